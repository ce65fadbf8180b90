"""What Telegram takes as a photo, as a file, or not at all."""

from __future__ import annotations

import zlib
from typing import Any

from telegram import InputFile, InputMediaDocument, InputMediaPhoto

from bot.adapters.telegram.render import Shown
from bot.talk import Image

PHOTO, DOCUMENT = 10_000_000, 50_000_000
"""Bytes."""
SIDES, STEEP = 10_000, 20
"""Pixels of both sides together; the longer side in shorter ones."""


def _grey(width: int, height: int) -> bytes:
    """A PNG of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + bytes((128,)) * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BLANK = Image(_grey(320, 180), "blank.png")
"""What stands where a picture was."""


def size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG; (1, 1) for the small WebPs that are our only other kind."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return 1, 1


def is_photo(image: Image) -> bool:
    """Can it be shown as a photo? Else it goes as a file."""
    width, height = size(image.data)
    fits = len(image.data) <= PHOTO and width + height <= SIDES
    return fits and max(width, height) <= STEEP * min(width, height) and not image.exact


def too_large(images: tuple[Image, ...]) -> bool:
    """Is one of them too large for Telegram altogether?"""
    return any(len(image.data) > DOCUMENT for image in images)


def file(image: Image) -> InputFile:
    """The picture as an upload."""
    return InputFile(image.data, filename=image.name, attach=True)


def media(image: Image, shown: Shown | None = None) -> InputMediaPhoto | InputMediaDocument:
    """The picture with its caption, if it is the one that carries it."""
    words: dict[str, Any] = {"caption": shown.text, "caption_entities": shown.entities} if shown else {}
    if is_photo(image):
        return InputMediaPhoto(file(image), has_spoiler=image.spoiler or None, **words)
    return InputMediaDocument(file(image), disable_content_type_detection=True, **words)
