"""From what a person said and usually wants to a Request that a model can draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from bot.app import App
from bot.config import NO_STYLE
from bot.options import Ratio, Size, nearest, shown, without_controls
from inference.request import MAX_PROMPT, MAX_SEED, MAX_SIDE, MAX_STEPS, SAMPLERS, ModelSpec
from storage.refusal import Refusal

NEAR_ENOUGH = 0.12
"""How far a fixed size may be from the wanted ratio, as a difference of logarithms (about 12 %)."""
MIN_SIDE = 16
"""Pixels; what ``Request`` takes."""
STEEPEST = 4
"""A side is at most this many times the other, for models without fixed sizes."""


def one_of(kind: str, wanted: str, known: Iterable[str]) -> str:
    """The name a person meant. Raises Refusal unknown_<kind>, with the nearest name if there is one."""
    names = list(known)
    name = wanted.strip().casefold()
    if name in names:
        return name
    near = nearest(name, names)
    values = {"name": shown(wanted), "near": near, "known": ", ".join(names)}
    raise Refusal(f"unknown_{kind}_near" if near else f"unknown_{kind}", **values)


def model(app: App, wanted: str | None, usual: str | None) -> ModelSpec:
    """The model asked for, else the usual one if it still exists, else the operator's."""
    if wanted is not None:
        return app.catalog.specs[one_of("model", wanted, app.catalog.specs)]
    return app.catalog.get(usual or "") or app.catalog.specs[app.catalog.default]


def anything(app: App) -> ModelSpec:
    """A model of every style and length: by it the rest of an ask is judged when nobody knows its model."""
    return ModelSpec(name="", max_steps=MAX_STEPS, styles=tuple(all_styles(app)))


def sampler(wanted: str | None, usual: str | None, spec: ModelSpec) -> str:
    """The sampler asked for, else the usual one, else the model's."""
    if wanted is not None:
        return one_of("sampler", wanted.replace("-", "_").replace(" ", "_").replace("++", "pp"), SAMPLERS)
    return usual if usual in SAMPLERS else spec.sampler


def styles(app: App, spec: ModelSpec) -> Mapping[str, str]:
    """Name → template: what the model was trained with, and what the operator adds."""
    return {name: f"{{prompt}}, {name}" for name in spec.styles} | dict(app.config.styles)


def all_styles(app: App) -> Mapping[str, str]:
    """The styles of every model."""
    found: dict[str, str] = {}
    for spec in app.catalog.specs.values():
        found |= styles(app, spec)
    return found


def styled(app: App, spec: ModelSpec, prompt: str, wanted: str | None, usual: str | None) -> str:
    """``prompt`` in the style asked for, else in the usual one, if this model has it."""
    known = styles(app, spec)
    name = usual if wanted is None else one_of("style", wanted, [*known, NO_STYLE])
    text = known.get(name or NO_STYLE, "{prompt}").replace("{prompt}", prompt)
    if len(text) > MAX_PROMPT:
        raise Refusal("prompt_too_long", length=len(text), limit=MAX_PROMPT)
    return text


def clean(prompt: str) -> str:
    """The prompt without invisible characters. Raises Refusal empty_prompt if nothing is left."""
    text = without_controls(prompt)[0]
    if not text:
        raise Refusal("empty_prompt", flag="prompt")
    return text


def steps(wanted: int | None, usual: int | None, spec: ModelSpec) -> int:
    """The steps asked for, else the usual ones as far as this model goes, else the model's."""
    if wanted is not None and wanted > spec.max_steps:
        raise Refusal("out_of_range", flag="steps", value=wanted, low=1, high=spec.max_steps)
    return wanted or min(usual or spec.steps, spec.max_steps)


def most_steps(app: App, model: str | None) -> int:
    """The steps that this model draws at most; without one that is here, the one that usually draws."""
    spec = app.catalog.get(model) if model else None
    return (spec or app.catalog.specs[app.catalog.default]).max_steps


def check_seed(seed: int, count: int) -> int:
    """A seed that leaves room for every picture's own: picture i has seed + i."""
    if seed > MAX_SEED - count + 1:
        raise Refusal("out_of_range", flag="seed", value=seed, low=0, high=MAX_SEED - count + 1)
    return seed


# --- size


def size(spec: ModelSpec, wanted: Size | None, ratio: Ratio | None, usual: str | None) -> Size:
    """The size asked for, else the one for the ratio, else the usual ratio if the model has it."""
    if wanted is not None:
        return exact(spec, wanted)
    if ratio is not None:
        return of_ratio(spec, ratio)
    own = Size(spec.width, spec.height)
    if not usual:
        return own
    wide, _, high = usual.partition(":")
    try:
        return of_ratio(spec, Ratio(int(wide), int(high)))
    except Refusal:
        return own


def exact(spec: ModelSpec, wanted: Size) -> Size:
    """The size itself, if the model draws it. Raises Refusal size_unavailable or size_steps."""
    width, height = wanted
    if spec.sizes and tuple(wanted) not in spec.sizes:
        raise Refusal("size_unavailable", size=_named(wanted), model=spec.name, sizes=_sizes(spec))
    fits = all(MIN_SIDE <= side <= MAX_SIDE and side % spec.multiple == 0 for side in wanted)
    if not spec.sizes and not (fits and width * height <= spec.max_pixels):
        largest = int(math.sqrt(spec.max_pixels)) // spec.multiple * spec.multiple
        raise Refusal(
            "size_steps", size=_named(wanted), model=spec.name, multiple=spec.multiple,
            largest=f"{largest}x{largest}",
        )  # fmt: skip
    return wanted


def of_ratio(spec: ModelSpec, ratio: Ratio) -> Size:
    """The model's size that is nearest to the ratio. Raises Refusal ratio_unavailable or ratio_steep."""
    want = math.log(ratio.wide / ratio.high)
    if spec.sizes:
        best = min(spec.sizes, key=lambda each: abs(math.log(each[0] / each[1]) - want))
        if abs(math.log(best[0] / best[1]) - want) > NEAR_ENOUGH:
            ratios = ", ".join(dict.fromkeys(ratio_of(*each) for each in spec.sizes))
            raise Refusal("ratio_unavailable", ratio=_colon(ratio), model=spec.name, ratios=ratios)
        return Size(*best)
    if abs(want) > math.log(STEEPEST):
        raise Refusal("ratio_steep", ratio=_colon(ratio), limit=STEEPEST)
    return _of_area(spec, ratio.wide / ratio.high)


def of_picture(spec: ModelSpec, came: Size, wanted: Size | None, ratio: Ratio | None) -> Size:
    """The size asked for, else the model's that is nearest in shape to a picture that came."""
    if wanted is not None or ratio is not None:
        return size(spec, wanted, ratio, None)
    shape = math.log(came.width / came.height)
    if spec.sizes:
        return Size(*min(spec.sizes, key=lambda each: abs(math.log(each[0] / each[1]) - shape)))
    steepest = math.log(STEEPEST)
    return _of_area(spec, math.exp(max(-steepest, min(shape, steepest))))


def _of_area(spec: ModelSpec, share: float) -> Size:
    """The size on the model's grid that is nearest in shape (counts twice) and area to the model's own."""
    area, grid = spec.width * spec.height, spec.multiple
    least = math.ceil(MIN_SIDE / grid) * grid

    def distance(size: Size) -> float:
        shape = abs(math.log(size.width / size.height / share))
        return 2 * shape + abs(math.log(size.width * size.height / area))

    sizes = (
        Size(width, height)
        for width in range(least, MAX_SIDE + 1, grid)
        for height in (int(width / share / grid) * grid, math.ceil(width / share / grid) * grid)
        if least <= height <= MAX_SIDE and width * height <= spec.max_pixels
    )
    return min(sizes, key=distance, default=Size(spec.width, spec.height))


def ratio_of(width: int, height: int) -> str:
    """Sides as a ratio in small numbers: 192, 128 → 3:2."""
    divisor = math.gcd(width, height)
    return f"{width // divisor}:{height // divisor}"


def _named(wanted: Size) -> str:
    return f"{wanted.width}x{wanted.height}"


def _colon(ratio: Ratio) -> str:
    return f"{ratio.wide}:{ratio.high}"


def _sizes(spec: ModelSpec) -> str:
    return ", ".join(f"{width}x{height}" for width, height in spec.sizes)
