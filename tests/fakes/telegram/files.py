"""Uploads as Telegram takes them: photos are pictures of a decent size, files are not too large."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from tests.fakes.telegram.words import Bad

PHOTO, DOCUMENT, DOWNLOAD = 10 * 1024 * 1024, 50 * 1024 * 1024, 20 * 1024 * 1024


@dataclass(frozen=True)
class File:
    """What was sent once, and can be sent again by its id."""

    id: str
    kind: str
    data: bytes
    width: int = 0
    height: int = 0
    name: str = ""
    claims: int = 0
    """What size Telegram says it has, when a test has no use for that many bytes."""

    @property
    def size(self) -> int:
        return self.claims or len(self.data)


def photo(number: int, data: bytes) -> File:
    """A photo. Raises Bad."""
    if len(data) > PHOTO:
        raise Bad(f"Bad Request: file of size {len(data)} bytes is too big for a photo")
    try:
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
            opened.verify()
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise Bad("Bad Request: IMAGE_PROCESS_FAILED") from None
    if width + height > 10_000 or max(width, height) > 20 * min(width, height):
        raise Bad("Bad Request: PHOTO_INVALID_DIMENSIONS")
    return File(f"photo{number}", "photo", data, width, height)


def document(number: int, data: bytes, name: str) -> File:
    """A file. Raises Bad."""
    if len(data) > DOCUMENT:
        raise Bad("Request Entity Too Large", 413)
    if not data:
        raise Bad("Bad Request: file must be non-empty")
    return File(f"document{number}", "document", data, name=name)
