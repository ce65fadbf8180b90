"""Pictures that people send: fetched, made clean in a process of its own (``scrub``), kept by their hash.

The bot itself never decodes one: from ``scrub`` come two numbers and raw pixels of a length it knows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.options import Size
from bot.scrub import MAX_BYTES, MAX_JPEG, MAX_PIXELS, MIN_SIDE
from bot.talk import Attachment, Call
from inference.beside import ended
from storage.gallery import Files
from storage.refusal import Refusal

__all__ = ["MAX_BYTES", "Picture", "Sent", "clean", "png"]

log = logging.getLogger(__name__)

SCRUB = Path(__file__).with_name("scrub.py")
PATIENCE = 20.0
"""Seconds for one picture on a busy machine; its processor time is bounded by the process itself."""
LEAVE = 1.0
"""Seconds in which it leaves by itself when its pipe is closed; then it is made to."""
AT_ONCE = 2
"""Pictures made clean at the same time: each may take 600 MiB for a moment."""
CODES = {"kind": "picture_kind", "pixels": "picture_pixels", "small": "picture_small"}
"""What ``scrub`` says → the refusal; whatever else it says is picture_broken."""

Choose = Callable[[int, int], Size]
"""Width and height of what came → those of what is wanted. May raise Refusal."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A clean picture in the picture folder, of a size that a model draws."""

    digest: str
    width: int
    height: int


class Sent:
    """What people send. ``uploads`` keeps the bytes of what came without a platform that keeps them."""

    def __init__(self, pictures: Files) -> None:
        self.uploads = Files(pictures.folder.parent / "uploads")
        """For an hour: the page's and the command line's; a call names them by digest."""
        self._pictures = pictures
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def uploaded(self, picture: Attachment) -> bytes:
        """What an upload holds. Raises Refusal picture_unreachable when it is gone."""
        try:
            return await self.uploads.load(picture.ref)
        except Refusal as refusal:
            raise Refusal("picture_unreachable") from refusal

    async def take(self, call: Call, choose: Choose) -> Picture:
        """The call's picture, clean, in the size that ``choose`` picks for it, kept.

        Raises Refusal: picture_too_large, picture_unreachable, picture_kind, picture_pixels, picture_small,
        picture_broken, what ``choose`` raises, and what a disk does.
        """
        if call.picture is None or call.fetch is None:
            raise Refusal("picture_unreachable")
        if call.picture.size > MAX_BYTES:
            raise Refusal("picture_too_large", limit=MAX_BYTES // 2**20)
        data = await call.fetch()
        async with self._gate:
            size, pixels = await clean(data, choose)
        picture = await asyncio.to_thread(png, size, pixels)
        return Picture(await self._pictures.keep(picture), *size)


async def clean(data: bytes, choose: Choose) -> tuple[Size, bytes]:
    """The size that was chosen, and RGB pixels. Raises Refusal as ``Sent.take``."""
    if len(data) > MAX_BYTES:
        raise Refusal("picture_too_large", limit=MAX_BYTES // 2**20)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(SCRUB), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env=_environment(), start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE):
            return await _talk(process, data, choose)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        log.warning("scrub", extra={"action": "scrub", "error": type(error).__name__})
        raise Refusal("picture_broken") from error
    finally:
        await asyncio.shield(ended(process, LEAVE))


def _environment() -> dict[str, str]:
    """Nothing of ours; Windows cannot start a process without these."""
    return {name: os.environ[name] for name in ("SYSTEMROOT", "WINDIR") if name in os.environ}


async def _talk(process: asyncio.subprocess.Process, data: bytes, choose: Choose) -> tuple[Size, bytes]:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101,PT018 - they are pipes
    process.stdin.write(len(data).to_bytes(4, "big") + data)
    await process.stdin.drain()
    word, *rest = (await process.stdout.readline()).decode("ascii").split() or [""]
    if word != "size":
        code = CODES.get(rest[0] if rest else "", "picture_broken")
        raise Refusal(code, limit=MAX_PIXELS // 10**6, jpeg=MAX_JPEG // 10**6, side=MIN_SIDE)
    width, height = (max(1, min(int(side), MAX_JPEG)) for side in rest)
    size = choose(width, height)
    process.stdin.write(b"%d %d\n" % size)
    await process.stdin.drain()
    return size, await process.stdout.readexactly(size.width * size.height * 3)


def png(size: Size, pixels: bytes) -> bytes:
    """RGB pixels as a PNG without any metadata."""
    width, height = size
    stride = 3 * width
    rows = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, stride * height, stride))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
