"""How the engine's pixels become files: PNG with the recipe, grids, previews, enlargements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from inference import pictures, upscale
from inference.pictures import Recipe
from inference.request import Picture
from inference.runs import Run, Work

if TYPE_CHECKING:
    from inference.pictures import Pixels


class Studio:
    """The press of a real engine."""

    def picture(self, run: Run, pixels: torch.Tensor) -> Picture:
        """The finished picture of ``run``."""
        model = run.model
        recipe = Recipe(
            request=pictures.of_picture(run.work.draw.request, run.index),
            fingerprint=model.fingerprint,
            dtype=str(model.dtype).removeprefix("torch."),
            device=model.device.type,
            torch=str(torch.__version__),
        )
        return _picture(pixels, recipe, run.index)

    def grid(self, shown: list[torch.Tensor], work: Work) -> bytes:
        """One PNG of all pictures; its recipe is the whole request's."""
        return pictures.png(pictures.grid(shown), Recipe(request=work.draw.request))

    def preview(self, pixels: torch.Tensor) -> bytes:
        """A small WebP."""
        return pictures.preview(pixels)

    def enlarge(self, work: Work) -> Picture:
        """The source of ``work``, enlarged. Raises OSError if it is no picture of ours."""
        request = work.draw.request
        pixels, made_by = upscale.enlarge(work.draw.source, request.enlarge)
        return _picture(pixels, Recipe(request=pictures.of_picture(request, 0), upscaler=made_by), 0)


def _picture(pixels: Pixels, recipe: Recipe, index: int) -> Picture:
    height, width, _ = pixels.shape
    return Picture(
        index=index,
        seed=recipe.request.seed,
        width=width,
        height=height,
        data=pictures.png(pixels, recipe),
        preview=pictures.preview(pixels),
    )
