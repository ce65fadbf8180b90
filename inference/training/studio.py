"""What every stage works with: the folder of the run, the concepts, their sprites, and scenes at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from inference.training.concepts import STYLES, Concept, catalogue, core
from inference.training.scenes import Scene, held_out, style_held_out
from inference.training.sprites import Sprites, cached
from inference.training.words import BACKGROUNDS, SIZES

SIDE = 128
# "3d" is what a caption without a style means.
STYLE_WEIGHTS = {"3d": 0.34, "flat": 0.22, "noto": 0.24, "blob": 0.2}
SIZE_WEIGHTS = {"normal": 0.5, "small": 0.25, "large": 0.25}
# The latent grid halves three times inside the UNet, so every side is a multiple of 64 pixels.
CANVASES = ((128, 128), (192, 128), (128, 192))


@dataclass(frozen=True)
class Studio:
    """`folder` keeps everything that a run makes; `scope` is "core" or "all" concepts."""

    folder: Path
    scope: str = "core"

    @cached_property
    def everything(self) -> tuple[Concept, ...]:
        """The whole catalogue, whatever the scope."""
        return catalogue(self.folder / "npm")

    @cached_property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts of the scope."""
        return core(self.everything) if self.scope == "core" else self.everything

    @cached_property
    def by_key(self) -> dict[str, Concept]:
        """Concept key -> Concept."""
        return {concept.key: concept for concept in self.concepts}

    @cached_property
    def sprites(self) -> Sprites:
        """Every sprite of the catalogue."""
        return cached(self.everything, self.folder, SIDE)

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The (concept, style) pairs of the scope that have a sprite and may be trained on."""
        return tuple(
            (concept.key, style)
            for concept in self.concepts
            for style in STYLES
            if (concept.key, style) in self.sprites.index and not style_held_out(concept.key, style)
        )

    @cached_property
    def _weights(self) -> list[float]:
        """Running sums of the pairs' weights."""
        return list(accumulate(STYLE_WEIGHTS[style] for _, style in self.pairs))

    def pick(self, rng: random.Random) -> tuple[str, str]:
        """A (concept, style) pair that may be trained on."""
        return rng.choices(self.pairs, cum_weights=self._weights)[0]


def any_scene(pairs: Sequence[tuple[str, str]], rng: random.Random) -> Scene:
    """A scene for the autoencoder and the scorer: any place, size and background, one thing or two."""
    thing, style = rng.choice(pairs)
    move = rng.randint(-12, 12), rng.randint(-12, 12)
    return Scene(
        (thing,), style, rng.choice(list(BACKGROUNDS)), rng.choice(list(SIZES)), dx=move[0], dy=move[1]
    )


def training_scene(studio: Studio, rng: random.Random, progress: float) -> Scene:
    """A scene that the UNet may see: never a held-out one.

    Little varies at first: a thing is learned soonest where it stands still. Two things, and a
    little movement, come in from half on.
    """
    late = progress > 0.5
    while True:
        thing, style = studio.pick(rng)
        background = "white" if rng.random() < 0.2 else rng.choice(list(BACKGROUNDS))
        if late and rng.random() < 0.1:
            scene = _pair(studio, thing, style, background, rng)
        else:
            size = rng.choices(list(SIZE_WEIGHTS), list(SIZE_WEIGHTS.values()))[0]
            scene = Scene((thing,), style, background, size)
        if not held_out(scene):
            return scene


def _pair(studio: Studio, thing: str, style: str, background: str, rng: random.Random) -> Scene:
    while True:
        other = studio.pick(rng)
        if other[1] == style and other[0] != thing:
            relation = "beside" if rng.random() < 0.8 else "above"
            return Scene((thing, other[0]), style, background, relation=relation)


def on_canvas(scene: Scene, canvas: tuple[int, int]) -> Scene:
    """The scene on a picture of another shape; things stand in the middle."""
    width, height = canvas
    return Scene(scene.things, scene.style, scene.background, scene.size, scene.relation, width, height)
