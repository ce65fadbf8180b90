"""The throw-away process in which people's pictures are parsed: the only place that decodes foreign bytes.

Started by ``bot/sent.py`` for one picture, as a script, with no environment and nothing but two pipes. It
reads a length (4 bytes, big-endian) and that many bytes; says ``size W H``, or ``no CODE`` and is done; reads
the size that is wanted, ``W H``; and writes W·H·3 bytes of RGB. Raw pixels of a known length are all that
ever leaves: whoever takes this process over can say nothing that anybody has to parse.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import math
import os
import struct
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 16 * 10**6
MAX_JPEG = 64 * 10**6
"""Pixels of a JPEG, which is decoded at a fraction of its size: phones take 50 megapixels."""
MIN_SIDE = 16
MAX_WANTED = 2_048
"""Pixels of one side of the result."""
MEMORY = 600 * 2**20
"""Bytes of address space."""
CPU = 4
"""Seconds of processor time."""
KINDS = ("PNG", "JPEG", "WEBP", "GIF")
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF orientation → ``Image.Transpose``."""


class No(Exception):  # noqa: N818 - an answer
    """This picture is refused with ``refusal.picture_<code>``."""


def limit() -> None:
    """No more memory and time than a picture needs, no files to write."""
    if sys.platform == "win32":  # the parent's clock is all there is
        return
    import resource

    bounds = {"AS": MEMORY, "CPU": CPU, "CORE": 0, "FSIZE": 0}
    for name, bound in bounds.items():
        with contextlib.suppress(ValueError, OSError):  # not every system knows every limit
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (bound, bound))


ALLOWED = {
    "x86_64": (
        0xC000003E,
        435,
        56,
        (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 35, 39, 60, 96, 131, 186, 202, 204, 218, 219,
         228, 230, 231, 273, 318, 334),
    ),
    "aarch64": (
        0xC00000B7,
        435,
        220,
        (57, 62, 63, 64, 80, 93, 94, 96, 98, 99, 101, 113, 115, 122, 123, 124, 128, 132, 134, 135, 139, 172,
         178, 214, 215, 216, 222, 226, 233, 278, 293),
    ),
}  # fmt: skip
"""Machine → its AUDIT_ARCH, clone3, clone, and the calls that a decoder makes: read, write, close, memory,
threads, clocks, the end (linux/syscalls; the same list in both)."""


def shut() -> None:
    """From here on: no file, no socket, no other process. Only the pipes that are open."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    if sys.platform == "linux" and os.uname().machine in ALLOWED:
        _seccomp(*ALLOWED[os.uname().machine])


def _seccomp(arch: int, clone3: int, clone: int, calls: tuple[int, ...]) -> None:
    """A filter (linux/seccomp.h, linux/bpf_common.h) that lets ``calls`` and new threads through.

    Everything else fails with EPERM; clone3 with ENOSYS, so that the C library makes its threads by clone.
    """
    load, equal, both, answer = 0x20, 0x15, 0x45, 0x06
    allow, refuse, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    thread = 0x10000  # CLONE_THREAD
    program = [(load, 0, 0, 4), (equal, 1, 0, arch), (answer, 0, 0, kill), (load, 0, 0, 0)]
    for call in calls:
        program += [(equal, 0, 1, call), (answer, 0, 0, allow)]
    program += [(equal, 0, 1, clone3), (answer, 0, 0, absent), (equal, 0, 3, clone)]
    program += [(load, 0, 0, 16), (both, 0, 1, thread), (answer, 0, 0, allow), (answer, 0, 0, refuse)]
    code = b"".join(struct.pack("HBBI", *each) for each in program)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    prctl(22, 2, ctypes.byref(Program(len(program), code)), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def opened(data: bytes) -> Image.Image:
    """The picture, its header read and its size allowed."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # ours are stricter, and differ by kind
    try:
        image = Image.open(io.BytesIO(data), formats=KINDS)
    except UnidentifiedImageError:
        raise No("kind") from None
    width, height = image.size
    if width * height > (MAX_JPEG if image.format in {"JPEG", "MPO"} else MAX_PIXELS):
        raise No("pixels")
    if min(width, height) < MIN_SIDE:
        raise No("small")
    return image


def turn(image: Image.Image) -> int | None:
    """How the camera was held; a broken note says nothing."""
    try:
        return TURNS.get(int(image.getexif().get(0x0112, 1)))
    except Exception:  # noqa: BLE001 - whatever a parser raises at hostile bytes
        return None


def shape(image: Image.Image, turned: int | None) -> tuple[int, int]:
    """Width and height as one sees it."""
    width, height = image.size
    return (height, width) if turned in {2, 4, 5, 6} else (width, height)


def pixels(image: Image.Image, turned: int | None, wanted: tuple[int, int]) -> bytes:
    """RGB of the first frame, turned upright, its middle cut to the wanted shape and scaled."""
    from PIL import Image

    if turned in {2, 4, 5, 6}:
        wanted = wanted[1], wanted[0]
    scale = max(wanted[0] / image.width, wanted[1] / image.height)
    image.draft("RGB", (math.ceil(image.width * scale) * 2, math.ceil(image.height * scale) * 2))
    image.load()
    whole = _rgb(image)
    scale = max(wanted[0] / whole.width, wanted[1] / whole.height)
    width, height = min(whole.width, wanted[0] / scale), min(whole.height, wanted[1] / scale)
    left, top = (whole.width - width) / 2, (whole.height - height) / 2
    box = (left, top, left + width, top + height)
    small = whole.resize(wanted, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return (small if turned is None else small.transpose(Image.Transpose(turned))).tobytes()


def _rgb(image: Image.Image) -> Image.Image:
    """What is transparent lies on white; 16 bits become 8."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        whole = Image.new("RGBA", clear.size, "white")
        whole.alpha_composite(clear)
        image = whole
    return image.convert("RGB")


def main(stdin: Any, stdout: Any) -> None:
    """One picture."""
    limit()
    import copy  # noqa: F401 - all that decoders import later, while files can still be opened

    from PIL import Image, ImageColor, MpoImagePlugin, WebPImagePlugin  # noqa: F401 - the same

    Image.preinit()
    shut()
    try:
        data = stdin.read(int.from_bytes(stdin.read(4), "big"))
        image = opened(data)
        turned = turn(image)
        width, height = shape(image, turned)
        stdout.write(b"size %d %d\n" % (width, height))
        stdout.flush()
        wanted = [int(each) for each in stdin.readline(16).split()]
        if len(wanted) != 2 or not all(1 <= side <= MAX_WANTED for side in wanted):
            return
        stdout.write(pixels(image, turned, (wanted[0], wanted[1])))
    except No as no:
        stdout.write(b"no %s\n" % str(no).encode())
    except MemoryError:
        stdout.write(b"no pixels\n")
    except Exception:  # noqa: BLE001 - whatever a decoder raises at hostile bytes
        stdout.write(b"no broken\n")
    stdout.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)  # nothing is left to be tidied up
