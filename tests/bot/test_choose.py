"""From what a person said to a Request that a model can draw: always valid, or a Refusal."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.app import App
from bot.catalog import Catalog
from bot.commands import choose
from bot.commands.imagine import Imagine, planned
from bot.config import Config
from bot.options import Ratio, Size
from inference.request import MAX_SEED, SAMPLERS, ModelSpec, Request, price
from storage.accounts import Settings
from storage.refusal import Refusal

FIXED = ModelSpec(name="fixed", width=128, height=128, sizes=((128, 128), (192, 128)), styles=("3d",))
FREE = ModelSpec(name="free", width=512, height=512, max_pixels=512 * 512)
TINY = ModelSpec(name="tiny", width=16, height=16, multiple=1, max_pixels=1_024, max_steps=10, steps=5)
WIDE = ModelSpec(name="wide", width=2_048, height=1_024, multiple=8, max_pixels=2_048 * 2_048)
SPECS = (FIXED, FREE, TINY, WIDE)
CONFIG = Config(models=SPECS, styles={"ink": "{prompt} in ink", "long": "{prompt}" + " x" * 200})


class Stub:
    """What choosing needs of an App."""

    config = CONFIG
    catalog = Catalog(SPECS, "fixed")


APP = cast("App", Stub())

names = st.none() | st.sampled_from(["fixed", "free", "tiny", "wide", "gone", "FREE "])
styles = st.none() | st.sampled_from(["ink", "long", "3d", "none", "Ink", "gone"])
numbers = st.integers(0, 5_000)
asks = st.builds(
    Imagine,
    prompt=st.text(st.characters(), min_size=1, max_size=50) | st.just("a" * 4_000),
    aspect=st.none() | st.builds(Ratio, st.integers(1, 9_999), st.integers(1, 9_999)),
    negative=st.none() | st.text(max_size=20),
    seed=st.none() | st.integers(-1, MAX_SEED),
    steps=st.none() | st.integers(1, 150),
    guidance=st.none() | st.floats(0, 30),
    count=st.none() | st.integers(1, 4),
    model=names,
    style=styles,
    sampler=st.none() | st.sampled_from([*SAMPLERS, "DPM++ 2M", "Euler A", "gone"]),
    size=st.none() | st.builds(Size, numbers, numbers),
)
usual = st.builds(
    Settings,
    model=names,
    style=styles,
    sampler=st.none() | st.sampled_from([*SAMPLERS, "gone"]),
    aspect=st.none() | st.sampled_from(["1:1", "3:2", "9999:1"]),
    count=st.none() | st.integers(1, 4),
    steps=st.none() | st.integers(1, 150),
    guidance=st.none() | st.floats(0, 30),
    negative=st.none() | st.text(max_size=20),
)


@given(asks, usual)
@settings(max_examples=300, deadline=None)
def test_a_request_is_valid_or_refused(ask: Imagine, settings: Settings) -> None:
    try:
        request = planned(ask, settings, APP)
    except Refusal:
        return
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request
    spec = APP.catalog.specs[request.model]
    assert choose.exact(spec, Size(request.width, request.height))
    assert request.steps <= spec.max_steps
    assert request.seed + request.count - 1 <= MAX_SEED
    assert price(request, spec) >= request.count


@given(usual)
@settings(max_examples=100, deadline=None)
def test_settings_of_another_time_never_stand_in_the_way(settings: Settings) -> None:
    """What somebody once saved may be gone; then the usual is used, nothing is refused."""
    settings = msgspec.structs.replace(settings, style=None if settings.style == "long" else settings.style)
    assert planned(Imagine("a fox"), settings, APP).prompt.startswith("a fox")


@pytest.mark.parametrize(
    ("spec", "ratio", "size"),
    [
        (FIXED, (1, 1), (128, 128)), (FIXED, (3, 2), (192, 128)), (FIXED, (16, 11), (192, 128)),
        (FREE, (1, 1), (512, 512)), (FREE, (2, 1), (640, 320)), (FREE, (1, 2), (320, 640)),
        (TINY, (4, 1), (64, 16)), (WIDE, (4, 1), (2_048, 512)),
    ],
)  # fmt: skip
def test_a_ratio_becomes_a_size_of_the_model(
    spec: ModelSpec, ratio: tuple[int, int], size: tuple[int, int]
) -> None:
    assert choose.of_ratio(spec, Ratio(*ratio)) == size


@pytest.mark.parametrize(
    ("spec", "ratio"), [(FIXED, (2, 3)), (FIXED, (2, 1)), (FREE, (5, 1)), (FREE, (1, 9))]
)
def test_a_ratio_that_no_size_is_near_is_refused(spec: ModelSpec, ratio: tuple[int, int]) -> None:
    with pytest.raises(Refusal):
        choose.of_ratio(spec, Ratio(*ratio))


def test_a_refused_size_names_those_there_are() -> None:
    with pytest.raises(Refusal) as caught:
        choose.exact(FIXED, Size(100, 100))
    assert caught.value.values["sizes"] == "128x128, 192x128"
    with pytest.raises(Refusal) as caught:
        choose.exact(FREE, Size(1_024, 1_024))
    assert caught.value.values["largest"] == "512x512"
    assert choose.ratio_of(192, 128) == "3:2"


def test_samplers_are_found_by_the_names_people_know() -> None:
    assert choose.sampler("DPM++ 2M", None, FREE) == "dpmpp_2m"
    assert choose.sampler("Euler a", None, FREE) == "euler_a"
