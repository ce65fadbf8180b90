"""Pictures as files that Discord takes: what is too large for a place goes as WebP, then as JPEG."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, replace
from pathlib import PurePath

from bot.talk import Image, Reply

REQUEST = 24 * 2**20
"""Bytes of all files of one request; Discord takes 25 MiB in all."""
WORSE = (("webp", 92), ("webp", 80), ("jpeg", 85), ("jpeg", 60))
"""Format and quality, until it fits."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A reply whose files can be sent; ``note`` is the sentence that says what became of the others."""

    reply: Reply
    note: str = ""


async def fit(reply: Reply, limit: int) -> Fitted:
    """``reply`` with no file above ``limit`` bytes, all of them within one request.

    Of what was asked for as a file there is no smaller copy: if it is too large it is left out.
    """
    each = min(limit, REQUEST // max(1, len(reply.images)))
    if all(len(image.data) <= each for image in reply.images):
        return Fitted(reply)
    shown = [image for image in reply.images if len(image.data) <= each or not image.exact]
    images = tuple([await asyncio.to_thread(_smaller, image, each) for image in shown])
    left_out = len(images) < len(reply.images)
    return Fitted(replace(reply, images=images), "discord.too_large" if left_out else "discord.lesser")


def _smaller(image: Image, limit: int) -> Image:
    """One of our own pictures in fewer bytes: first by its format, then by its size."""
    if len(image.data) <= limit:
        return image
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(image.data)) as opened:
        picture = opened.convert("RGB")
    data, kind = image.data, "png"
    while len(data) > limit and max(picture.size) > 1:
        for kind, quality in WORSE:
            written = io.BytesIO()
            picture.save(written, kind, quality=quality)
            data = written.getvalue()
            if len(data) <= limit:
                break
        else:
            picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)))
    return replace(image, data=data, name=f"{PurePath(image.name).stem}.{kind.replace('jpeg', 'jpg')}")
