"""The art as pixels: every icon of every style, rendered once with alpha and kept in one array."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from inference.training.concepts import STYLES, Concept
from inference.training.sources import ART, fetch, read_json

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sprites:
    """`pixels` (n, side, side, 4) RGBA, not premultiplied; `index[(concept key, style)]` is a row of it."""

    pixels: Pixels
    index: dict[tuple[str, str], int]


def svg(icons: dict[str, Any], name: str) -> str:
    """The standalone SVG of one icon of an iconify set; KeyError when the set lacks it."""
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}">{icon["body"]}</svg>'
    )


def render(document: str, side: int) -> Pixels:
    """Draw an SVG as (side, side, 4) RGBA; raises ValueError when it does not parse."""
    png = resvg_py.svg_to_bytes(svg_string=document, width=side, height=side, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA").resize((side, side)))


def render_all(concepts: Sequence[Concept], tarballs: Path, side: int) -> Sprites:
    """Render every icon of every concept; icons that draw text are left out (no font is loaded)."""
    pixels: list[Pixels] = []
    index: dict[tuple[str, str], int] = {}
    for key, style, document in _documents(concepts, tarballs):
        if re.search(r"<text\b", document):
            continue
        index[key, style] = len(pixels)
        pixels.append(render(document, side))
    return Sprites(np.stack(pixels), index)


def _documents(concepts: Sequence[Concept], tarballs: Path) -> Iterator[tuple[str, str, str]]:
    for style in STYLES:
        icons = read_json(fetch(ART[style], tarballs), "icons.json")
        for concept in concepts:
            if style in concept.icons:
                yield concept.key, style, svg(icons, concept.icons[style])


def cached(concepts: Sequence[Concept], folder: Path, side: int) -> Sprites:
    """The sprites at `side` pixels, from `folder` when they were rendered before."""
    array, names = folder / f"sprites-{side}.npy", folder / f"sprites-{side}.json"
    if not names.exists():
        sprites = render_all(concepts, folder / "npm", side)
        np.save(array, sprites.pixels)
        names.write_text(json.dumps([[*key, row] for key, row in sprites.index.items()]))
    index = {(key, style): row for key, style, row in json.loads(names.read_text())}
    return Sprites(np.load(array, mmap_mode="r"), index)
