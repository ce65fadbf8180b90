"""Enlarging finished pictures: the built-in 4x upscaler for stickers, Lanczos for what is large already."""

from __future__ import annotations

import io
import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from inference import pictures
from inference.models import BUILTIN, BadModel
from inference.models.files import Folder, check_sums
from inference.request import MAX_SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from inference.models.sticker_upscaler import StickerUpscaler

log = logging.getLogger(__name__)

LEARNED_BELOW = 512
"""Pictures whose longer side is under this many pixels go through the learned upscaler."""
SCALE = 4
"""What the learned upscaler does; 2x is its result, halved."""


def enlarge(png: bytes, factor: int, folder: Path = BUILTIN) -> tuple[NDArray[np.uint8], str]:
    """Pixels (factor·h, factor·w, 3) uint8 of a picture of ours, and what made them: sticker or lanczos.

    ``folder`` has the upscaler in ``upscaler/``; where it is missing or damaged, Lanczos enlarges. Raises
    OSError for anything that is not a PNG which we encoded, or would become larger than ``MAX_SIDE``.
    """
    image = opened(png)
    width, height = image.width * factor, image.height * factor
    if max(width, height) > MAX_SIDE:
        raise OSError(f"{width}x{height} is larger than {MAX_SIDE}")
    model = upscaler(folder) if max(image.size) < LEARNED_BELOW and factor in {2, SCALE} else None
    if model is None:
        return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS)), "lanczos"
    with torch.inference_mode():
        given = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        found = model(given)[0].permute(1, 2, 0).mul(255).round().to(torch.uint8).numpy()
    if factor == SCALE:
        return found, "sticker"
    return np.asarray(Image.fromarray(found).resize((width, height), Image.Resampling.BOX)), "sticker"


def opened(png: bytes) -> Image.Image:
    """The RGB image in a PNG that carries our recipe. Raises OSError for any other bytes."""
    if "falopitas" not in pictures.texts(png):
        raise OSError("not a picture of ours")
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise OSError("too large")
            return image.convert("RGB")
    except (SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise OSError("broken PNG") from error


@lru_cache(maxsize=2)
def upscaler(folder: Path) -> StickerUpscaler | None:
    """The verified upscaler of a built-in folder, loaded once; None where it is missing or damaged."""
    from inference.models.sticker_upscaler import load_upscaler

    try:
        check_sums(Folder(folder), under="upscaler/")
        return load_upscaler(folder / "upscaler")
    except (BadModel, OSError, RuntimeError, ValueError, KeyError) as error:
        log.warning("no upscaler", extra={"action": "upscale", "reason": type(error).__name__})
        return None
