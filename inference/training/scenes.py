"""A Scene: what a picture shows, as data; its pixels, and the split that keeps some scenes unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inference.training.sprites import Sprites
from inference.training.words import BACKGROUNDS, SIZES

# Parts of a thousand that are held out. Names and numbers below enter the hash: changing one moves the split.
HELD_OUT_SCENES = 120
HELD_OUT_STYLES = 30


@dataclass(frozen=True, slots=True)
class Scene:
    """One or two things in one style on one background.

    `things` are concept keys; `relation` is None for one thing, else "beside" or "above" (the
    first above the second). `width` and `height` are pixels; `dx`, `dy` move everything, in pixels.
    """

    things: tuple[str, ...]
    style: str
    background: str = "white"
    size: str = "normal"
    relation: str | None = None
    width: int = 128
    height: int = 128
    dx: int = 0
    dy: int = 0


def fraction(*words: str) -> float:
    """A number in [0, 1) that depends on the words alone: the same on every machine, for ever."""
    digest = hashlib.sha256("\x1f".join(("falopitas-1", *words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def style_held_out(thing: str, style: str) -> bool:
    """Whether no training picture may show this thing in this style."""
    return fraction("style", thing, style) * 1000 < HELD_OUT_STYLES


def scene_held_out(thing: str, background: str, size: str) -> bool:
    """Whether no training picture may show this thing alone at this size on this background.

    The plain view (white, normal) of a thing is never held out: without it the thing is unknown.
    """
    if (background, size) == ("white", "normal"):
        return False
    return fraction("scene", thing, background, size) * 1000 < HELD_OUT_SCENES


def held_out(scene: Scene) -> bool:
    """Whether the scene belongs to either held-out split; two things together are held out thing by thing."""
    return any(
        style_held_out(thing, scene.style) or scene_held_out(thing, scene.background, scene.size)
        for thing in scene.things
    )


def _boxes(scene: Scene) -> list[tuple[int, int, int]]:
    """Left, top and side, in pixels, of each thing."""
    short = min(scene.width, scene.height)
    if len(scene.things) == 1:
        side = round(short * SIZES[scene.size])
        return [((scene.width - side) // 2 + scene.dx, (scene.height - side) // 2 + scene.dy, side)]
    across, along = (0, 1) if scene.relation == "above" else (1, 0)
    room = (scene.width if across else scene.height) // 2
    side = round(min(room, short) * 0.92)
    boxes = []
    for place in (0, 1):
        x = scene.width // 2 + across * round((place - 0.5) * room) - side // 2
        y = scene.height // 2 + along * round((place - 0.5) * room) - side // 2
        boxes.append((x + scene.dx, y + scene.dy, side))
    return boxes


def draw(scene: Scene, sprites: Sprites) -> Tensor:
    """The scene as uint8 (3, height, width); KeyError when a thing lacks the style."""
    picture = Image.new("RGB", (scene.width, scene.height), BACKGROUNDS[scene.background])
    for thing, (left, top, side) in zip(scene.things, _boxes(scene), strict=True):
        sprite = Image.fromarray(sprites.pixels[sprites.index[thing, scene.style]])
        sprite = sprite.resize((side, side), Image.Resampling.BILINEAR)
        picture.paste(sprite, (left, top), sprite)  # what sticks out is cut off
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def draw_all(scenes: Sequence[Scene], sprites: Sprites) -> Tensor:
    """Scenes of one size as float (n, 3, height, width) in [0, 1]."""
    return torch.stack([draw(scene, sprites) for scene in scenes]).float() / 255
