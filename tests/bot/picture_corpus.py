"""Pictures as hostile people send them, and as honest phones do: what each is, and what must become of it."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, PngImagePlugin

CLEAN = "clean"
ANY = "any"
"""Clean or refused: spoiled bytes may still be a picture."""
WIDE, HIGH = 96, 64


@dataclass(frozen=True, slots=True)
class Case:
    """``fate``: CLEAN, ANY, or the refusal that must come."""

    name: str
    data: bytes
    fate: str
    size: tuple[int, int] = (WIDE, HIGH)
    """As one sees it, for clean ones."""

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]


def scene(mode: str = "RGB", size: tuple[int, int] = (WIDE, HIGH)) -> Image.Image:
    """Red on the left, blue on the right, a green bar on top: which way is up can be seen."""
    image = Image.new("RGB", size, (200, 30, 30))
    image.paste((30, 30, 200), (size[0] // 2, 0, *size))
    image.paste((30, 200, 30), (0, 0, size[0], size[1] // 4))
    if mode == "I;16":
        return image.convert("L").convert("I").point(lambda value: value * 256).convert("I;16")
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, size: tuple[int, int] = (WIDE, HIGH), depth: int = 8, colour: int = 2) -> bytes:
    """A PNG made by hand, with anything in it."""
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def rows(size: tuple[int, int] = (WIDE, HIGH)) -> bytes:
    return chunk(b"IDAT", zlib.compress((b"\0" + b"\x7f" * (3 * size[0])) * size[1]))


def turned(orientation: int) -> bytes:
    """A JPEG whose EXIF says how the camera was held; the pixels lie accordingly."""
    image = scene()
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)  # fmt: skip
    if back is not None:
        image = image.transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera's name"
    return saved(image, "JPEG", exif=exif, quality=95)


def honest() -> Iterator[Case]:
    """Everything that people's programs write."""
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield Case(f"png:{mode}", saved(scene(mode), "PNG"), CLEAN)
    clear = scene("P")
    yield Case("png:P with a clear colour", saved(clear, "PNG", transparency=0), CLEAN)
    yield Case("png:RGB with a clear colour", saved(scene(), "PNG", transparency=(30, 30, 200)), CLEAN)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "secret " * 100, zip=True)
    notes.add_itxt("Description", "☃" * 100)
    yield Case("png:notes", saved(scene(), "PNG", pnginfo=notes, dpi=(300, 300)), CLEAN)
    yield Case("png:animated", saved(scene(), "PNG", save_all=True, append_images=[scene("L")] * 3), CLEAN)
    for mode in ("L", "RGB", "CMYK"):
        yield Case(f"jpeg:{mode}", saved(scene(mode), "JPEG"), CLEAN)
    jpegs: dict[str, dict[str, Any]] = {
        "progressive": {"progressive": True}, "4:4:4": {"subsampling": 0},
        "restarts": {"restart_marker_rows": 1}, "comment": {"comment": b"<script>alert(1)</script>"},
    }  # fmt: skip
    for name, how in jpegs.items():
        yield Case(f"jpeg:{name}", saved(scene(), "JPEG", **how), CLEAN)
    for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65_535):
        yield Case(f"exif:orientation {orientation}", turned(orientation), CLEAN)
    yield Case(
        "jpeg:two pictures in one", saved(scene(), "MPO", save_all=True, append_images=[scene()]), CLEAN
    )
    webps: dict[str, dict[str, Any]] = {
        "lossy": {}, "lossless": {"lossless": True}, "exact": {"exact": True, "quality": 100}
    }  # fmt: skip
    for name, how in webps.items():
        yield Case(f"webp:{name}", saved(scene(), "WEBP", **how), CLEAN)
        yield Case(f"webp:{name}, clear", saved(scene("RGBA"), "WEBP", **how), CLEAN)
    frames = [scene("L").convert("RGB")] * 5
    yield Case("webp:animated", saved(scene(), "WEBP", save_all=True, append_images=frames), CLEAN)
    yield Case("webp:large", saved(scene(size=(1_200, 800)), "WEBP"), CLEAN, (1_200, 800))
    yield Case("gif:plain", saved(scene("P"), "GIF"), CLEAN)
    yield Case("gif:grey", saved(scene("L"), "GIF"), CLEAN)
    yield Case("gif:animated", saved(scene(), "GIF", save_all=True, append_images=frames), CLEAN)
    yield Case("gif:clear", saved(scene("P"), "GIF", transparency=0), CLEAN)
    yield Case("gif:interlaced", saved(scene("P"), "GIF", interlace=1), CLEAN)
    for size in ((4_000, 3_000), (8_000, 6_000)):
        yield Case(f"jpeg:a phone's {size[0]}", saved(scene(size=size), "JPEG"), CLEAN, size)
    yield Case("png:a strip", saved(scene(size=(16, 4_000)), "PNG"), CLEAN, (16, 4_000))


def bombs() -> Iterator[Case]:
    """Small files that are large when they are opened."""
    for side in (5_000, 20_000, 60_000, 2**31 - 1):
        yield Case(f"bomb:png {side}", png(rows(), size=(side, side)), "picture_pixels")
    yield Case("bomb:png one bit", png(rows(), size=(60_000, 60_000), depth=1, colour=0), "picture_pixels")
    yield Case("bomb:png 1 high", png(rows(), size=(10**8, 1)), "picture_pixels")
    endless = zlib.compressobj(9)
    much = b"".join(endless.compress(bytes(2**20)) for _ in range(300)) + endless.flush()
    yield Case("bomb:png more rows than it says", png(chunk(b"IDAT", much)), ANY)
    for kind, head in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        yield Case(f"bomb:{kind.decode()}", png(chunk(kind, head + much), rows()), ANY)
    yield Case("bomb:png of notes", png(*[chunk(b"tEXt", b"k\0" + bytes(1_000))] * 9_000, rows()), ANY)
    screen = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6)
    yield Case(
        "bomb:gif 65535",
        screen + b"\x2c" + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x44\x01\x00\x3b",
        "picture_pixels",
    )
    small = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + bytes(6)
    outside = small + b"\x2c" + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x44\x01\x00\x3b"
    yield Case("bomb:gif frame larger than its screen", outside, ANY)
    many = saved(scene(), "GIF", save_all=True, append_images=[scene("L").convert("RGB"), scene()] * 200)
    yield Case("bomb:gif of 400 frames", many, CLEAN)
    yield Case("bomb:jpeg 65500", _resized(saved(scene(), "JPEG"), 65_500, 65_500), "picture_pixels")
    yield Case("bomb:jpeg 60 megapixels of nothing", _resized(saved(scene(), "JPEG"), 9_000, 6_600), ANY)
    slow = _resized(saved(scene(), "JPEG", progressive=True), 8_000, 7_900)
    yield Case("bomb:jpeg progressive, of nothing", slow, ANY)
    yield Case("bomb:jpeg of a thousand scans", _scans(saved(scene(), "JPEG", progressive=True)), ANY)
    yield Case("bomb:webp 16383", _webp(16_383, 16_383), ANY)
    yield Case("bomb:bytes", saved(scene(), "PNG") + bytes(21 * 2**20), "picture_too_large")
    yield Case("bomb:bytes that fit", saved(scene(), "PNG") + bytes(19 * 2**20), CLEAN)


def _resized(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG with other sides in its header."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = jpeg.find(marker)
        if at > 0:
            return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]
    raise LookupError


def _scans(jpeg: bytes) -> bytes:
    """The last scan of a progressive JPEG, a thousand times."""
    last = jpeg.rfind(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * 1_000 + jpeg[-2:]


def _webp(width: int, height: int) -> bytes:
    """A VP8L header of this size, without pixels."""
    bits = (width - 1) | (height - 1) << 14
    body = b"\x2f" + struct.pack("<I", bits) + bytes(64)
    inner = b"WEBPVP8L" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def strangers() -> Iterator[Case]:
    """Files that are no PNG, JPEG, WebP or GIF, whatever they say."""
    texts = {
        "nothing": b"",
        "a byte": b"\x89",
        "words": b"hello",
        "zeros": bytes(4_096),
        "html": b"<html><script>1</script>",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "xml": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "pdf": b"%PDF-1.7\n%\xe2\xe3\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%id)(r)file\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "elf": b"\x7fELF" + bytes(60),
        "heic": b"\0\0\0\x18ftypheic" + bytes(60),
        "avif": b"\0\0\0\x1cftypavif" + bytes(60),
        "psd": b"8BPS\0\1" + bytes(60),
        "python": b"\x80\x04cos\nsystem\n",
        "xpm": b'/* XPM */\nstatic char * a[] = {\n"1 1 1 1",\n};',
        "fits": b"SIMPLE  =                    T" + bytes(2_850),
        "pcx": b"\x0a\x05\x01\x08" + bytes(124),
        "fli": bytes(4) + b"\x11\xaf" + bytes(122),
        "wmf": b"\xd7\xcd\xc6\x9a" + bytes(60),
    }
    for name, data in texts.items():
        yield Case(f"stranger:{name}", data, "picture_kind")
    for kind in (
        "BMP",
        "TIFF",
        "PPM",
        "TGA",
        "PCX",
        "ICO",
        "SGI",
        "JPEG2000",
        "EPS",
        "PDF",
        "DDS",
    ):
        yield Case(f"stranger:{kind}", saved(scene(), kind), "picture_kind")
    for side in ((1, 1), (15, 400), (400, 15)):
        yield Case(f"small:{side[0]}x{side[1]}", saved(scene(size=side), "PNG"), "picture_small")
    yield Case("stranger:a gif that is a script", b"GIF89a/*" + bytes(40) + b"*/=1;alert(1)", ANY)
    yield Case(
        "stranger:a jpeg that is a page", saved(scene(), "JPEG", comment=b"<?php system($_GET[0]); ?>"), CLEAN
    )
    yield Case(
        "stranger:a picture with a zip behind", saved(scene(), "PNG") + b"PK\x03\x04" + bytes(99), CLEAN
    )


def notes() -> Iterator[Case]:
    """Metadata that means harm."""
    exif = turned(6)
    at = exif.find(b"Exif\0\0") + 6
    for name, where, what in (
        ("a directory that points at itself", 4, struct.pack(">I", 8)), ("no byte order", 0, b"XX"),
        ("a directory far away", 4, b"\xff\xff\xff\xf0"), ("65535 entries", 8, b"\xff\xff"),
        ("a tag of 4 GiB", 14, b"\xff\xff\xff\xff"), ("a tag of no type", 12, b"\0\0"),
        ("a tag of words", 12, b"\0\2"), ("nothing", 0, bytes(40)),
    ):  # fmt: skip
        spoiled = exif[: at + where] + what + exif[at + where + len(what) :]
        yield Case(f"exif:{name}", spoiled, ANY)
    with_profile = saved(scene(), "JPEG", icc_profile=b"\0" * 60_000)
    yield Case("profile:zeros", with_profile, CLEAN)
    yield Case("profile:png", saved(scene(), "PNG", icc_profile=random.Random(1).randbytes(9_000)), CLEAN)
    yield Case("chunk:4 GiB", png(b"\xff\xff\xff\xffIDAT" + bytes(100)), ANY)
    yield Case("chunk:no palette", png(rows(), colour=3), ANY)
    yield Case(
        "chunk:two headers",
        png(chunk(b"IHDR", struct.pack(">IIBBBBB", 9_999, 9_999, 8, 2, 0, 0, 0)), rows()),
        ANY,
    )
    yield Case("chunk:wrong checksum", png(rows()[:-1] + b"\0"), ANY)
    yield Case("chunk:no pixels", png(), "picture_broken")
    yield Case(
        "chunk:frames without a picture", png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), rows()), ANY
    )
    for depth, colour in ((3, 0), (16, 3), (8, 7), (0, 2)):
        yield Case(f"chunk:depth {depth} colour {colour}", png(rows(), depth=depth, colour=colour), ANY)


def spoiled(seed: int = 0, count: int = 80) -> Iterator[Case]:
    """Honest files cut off, or with bytes changed."""
    dice = random.Random(seed)
    kinds = {
        "png": saved(scene(), "PNG"), "jpeg": turned(6), "webp": saved(scene(), "WEBP"),
        "progressive": saved(scene(), "JPEG", progressive=True),
        "lossless": saved(scene("RGBA"), "WEBP", lossless=True),
        "gif": saved(scene(), "GIF", save_all=True, append_images=[scene("L").convert("RGB")] * 3),
    }  # fmt: skip
    for name, data in kinds.items():
        for tenth in range(1, 10):
            fate = "picture_kind" if len(data) * tenth // 10 < 8 else ANY
            yield Case(f"cut:{name} at {tenth}0 %", data[: len(data) * tenth // 10], fate)
    for number in range(count):
        name, data = dice.choice(list(kinds.items()))
        harmed = bytearray(data)
        for _ in range(dice.choice((1, 2, 8, 40))):
            harmed[dice.randrange(len(harmed))] = dice.randrange(256)
        yield Case(f"harmed:{name} {seed}.{number}", bytes(harmed), ANY)


def corpus(seed: int = 0, harmed: int = 80) -> list[Case]:
    """All of them."""
    return [*honest(), *bombs(), *strangers(), *notes(), *spoiled(seed, harmed)]
