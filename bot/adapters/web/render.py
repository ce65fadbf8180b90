"""A Reply as the page receives it: JSON, plain text, pictures and files by digest."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

from bot.adapters.web.house import Kept
from bot.talk import Ask, Button, Image, Reply

SMALL = 24 * 1024
"""Bytes up to which a fleeting preview travels inside its event."""
DIGEST = re.compile(r"[0-9a-f]{64}")
Pack = Callable[[Ask], str]
Keep = Callable[[str, bytes], None]
"""Remembers a picture that is not in the gallery, for the session it was shown to."""
Offer = Callable[[str, str, bytes], None]
"""Remembers a file to take along (digest, name, bytes), for the session it was offered to."""


def render(reply: Reply, pack: Pack, keep: Keep, offer: Offer) -> dict[str, Any]:
    """What the page is told of a reply. Nothing in it is markup."""
    given = [each for each in reply.images if each.data or each.digest]
    return {
        "title": reply.title,
        "text": reply.text,
        "prompt": reply.prompt,
        "fields": [[label, value] for label, value in reply.fields],
        "tone": reply.tone.value,
        "fleeting": reply.fleeting,
        "progress": reply.progress,
        "ends": reply.ends,
        "job": reply.job,
        "link": reply.link,
        "images": [_image(each, reply.fleeting, keep) for each in given if not is_file(each)],
        "files": [_file(each, offer) for each in given if is_file(each)],
        "buttons": [[show_button(button, pack) for button in row] for row in reply.buttons],
    }


def _image(image: Image, fleeting: bool, keep: Keep) -> dict[str, Any]:
    width, height = size(image.data)
    known = {"name": image.name, "alt": image.alt, "width": width, "height": height, "digest": ""}
    known |= {"spoiler": True} if image.spoiler else {}
    kind = media_type(image.data)
    if fleeting and not image.digest and kind and len(image.data) <= SMALL:
        return known | {"src": f"data:{kind};base64,{base64.b64encode(image.data).decode('ascii')}"}
    digest = image.digest
    if not DIGEST.fullmatch(digest):
        digest = hashlib.sha256(image.data).hexdigest()
        keep(digest, image.data)
    return known | {"src": f"/api/picture/{digest}", "digest": digest}


def is_file(image: Image) -> bool:
    """Whether it is to be taken along, not looked at: asked for exactly, and no picture."""
    return image.exact and bool(image.data) and media_type(image.data) is None


def _file(image: Image, offer: Offer) -> dict[str, Any]:
    """Its name, size in bytes, and address."""
    digest = hashlib.sha256(image.data).hexdigest()
    offer(digest, image.name, image.data)
    return {"name": image.name, "size": len(image.data), "src": f"/api/file/{digest}"}


def tiles(images: list[dict[str, Any]], pieces: tuple[Kept, ...]) -> list[dict[str, Any]]:
    """The single pictures instead of the grid that shows them; else the images and what is known of them."""
    known = {piece.digest: piece for piece in pieces}
    if len(images) == 1 and len(pieces) > 1 and images[0]["digest"] not in known:
        covered = {"spoiler": True} if images[0].get("spoiler") else {}
        return [_tile(piece, images[0]["alt"]) | covered for piece in pieces]
    found = [(image, known.get(image["digest"])) for image in images]
    return [
        image | ({"starred": piece.starred, "seed": piece.seed} if piece else {}) for image, piece in found
    ]


def _tile(piece: Kept, alt: str) -> dict[str, Any]:
    return {
        "src": f"/api/picture/{piece.digest}", "digest": piece.digest, "alt": alt or piece.prompt, "name": "",
        "width": piece.width, "height": piece.height, "starred": piece.starred, "seed": piece.seed,
    }  # fmt: skip


def show_button(button: Button, pack: Pack) -> dict[str, Any]:
    """A button as the page receives it: what it says, and the ask it sends back."""
    known: dict[str, Any] = {
        "label": button.label,
        "style": button.style,
        "kind": type(button.ask).__name__.lower(),
        "press": pack(button.ask),
    }
    if button.form:
        known["form"] = {"name": button.form, "value": button.value}
    return known


def media_type(data: bytes) -> str | None:
    """PNG or WebP, by content; everything else is no picture of ours."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG or a WebP, so that the page can leave room; (0, 0) when not known."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if media_type(data) == "image/webp" and len(data) >= 30:
        return _webp_size(data)
    return 0, 0


def _webp_size(data: bytes) -> tuple[int, int]:
    """By the kind of its first chunk: lossy, lossless, extended (RFC 9649)."""
    match data[12:16]:
        case b"VP8 ":
            return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
        case b"VP8L":
            bits = _little(data, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    return 0, 0


def _little(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(data[at : at + count], "little")
