"""A studio of three concepts, made of squares: nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.training.concepts import STYLES, Concept
from inference.training.sprites import Sprites
from inference.training.studio import Studio

WORDS = {"fox": ("fox", "zorro"), "cat": ("cat", "gato"), "lion": ("lion", "león")}


def concept(key: str) -> Concept:
    """A concept with one name a language, in every style."""
    english, spanish = WORDS[key]
    names: dict[str, tuple[str, ...]] = {"en": (english,), "es": (spanish,)}
    return Concept(key, 3, names, {"en": ("animal",), "es": ("animal",)}, dict.fromkeys(STYLES, key))


class FakeStudio(Studio):
    """A Studio whose catalogue and sprites are made up."""

    @property
    def everything(self) -> tuple[Concept, ...]:
        """Three concepts."""
        return tuple(concept(key) for key in WORDS)

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """All of them, whatever the scope."""
        return self.everything

    @property
    def sprites(self) -> Sprites:
        """Opaque squares, a grey a sprite."""
        index = {(key, style): n for n, (key, style) in enumerate((k, s) for k in WORDS for s in STYLES)}
        pixels = np.zeros((len(index), 128, 128, 4), np.uint8)
        for row in index.values():
            pixels[row, 32:96, 32:96] = (20 * row, 20 * row, 20 * row, 255)
        return Sprites(pixels, index)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    """A studio that works in a temporary folder."""
    return FakeStudio(tmp_path)
