"""What a machine learnt is kept between starts, and measured while nobody waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.batch import ROW_BUCKETS, WARM, Bucket, Costs
from inference.engine import Engine
from inference.known import FILE, Known
from inference.loader import Loader
from inference.models import Denoiser, load
from inference.press import Studio
from inference.request import ModelSpec, Request
from inference.wire import Draw, Drawn, ToBot
from tests.inference import tiny
from tests.inference.engines import Spy

SPEC = ModelSpec(name="tiny", width=32, height=32)
BUCKET = Bucket("tiny", 8, 8, tiny.WINDOW)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    return load(ModelSpec(name="tiny", source=str(tiny.folder(tmp_path_factory.mktemp("known") / "tiny"))))


def test_step_times_survive_a_restart(model: Denoiser, tmp_path: Path) -> None:
    costs, known = Costs(), Known(tmp_path, "cpu")
    for _ in range(WARM + 1):
        costs.measured(BUCKET, 4, 0.5)
    known.note(costs, BUCKET, model)
    known.save()
    fresh = Costs()
    Known(tmp_path, "cpu").recall(fresh, BUCKET, model)
    assert fresh.known(BUCKET) == {4: 0.5}
    other = Costs()
    Known(tmp_path, "cuda H100").recall(other, BUCKET, model)
    assert not other.known(BUCKET), "another device is another speed"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"a": {"b": {"x": 1}}}', b'{"a": {"8x8x16": {"3": 1.0, "4": -1}}}', b"\xff"],
)
def test_a_damaged_file_is_no_trouble(model: Denoiser, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    costs = Costs()
    Known(tmp_path, "cpu").recall(costs, BUCKET, model)
    assert not costs.known(BUCKET)


def test_a_disk_that_refuses_is_no_trouble(model: Denoiser, tmp_path: Path) -> None:
    costs, known = Costs(), Known(tmp_path / "nosuch", "cpu")
    costs.believe(BUCKET, {1: 1.0})
    known.note(costs, BUCKET, model)
    known.save()


@pytest.fixture
def warm(model: Denoiser, tmp_path: Path) -> Iterator[tuple[Engine, Spy, list[ToBot]]]:
    spy = Spy(model)
    told: list[ToBot] = []
    engine = Engine(
        lambda changed: Loader([SPEC], lambda spec: spy, changed), Studio(), told.append, "cpu",
        Known(tmp_path, "cpu"), sweeps=True,
    )  # fmt: skip
    engine.start()
    yield engine, spy, told
    engine.stop()


def test_an_idle_engine_measures_its_sizes_and_keeps_them(
    warm: tuple[Engine, Spy, list[ToBot]], model: Denoiser, tmp_path: Path
) -> None:
    engine, spy, _ = warm
    while engine._sweeps or not spy.rows:
        time.sleep(0.01)
    engine.stop()
    assert spy.rows[: WARM + 1] == [1] * (WARM + 1)
    assert set(spy.rows) <= set(ROW_BUCKETS)
    kept = Costs()
    Known(tmp_path, "cpu").recall(kept, BUCKET, model)
    assert set(kept.known(BUCKET)) == set(spy.rows)


def test_whoever_comes_while_it_measures_is_drawn(warm: tuple[Engine, Spy, list[ToBot]]) -> None:
    engine, _, told = warm
    request = Request(prompt="fox", model="tiny", width=32, height=32, steps=2, count=1, sampler="euler")
    engine.submit(Draw(job=1, attempt=1, request=request))
    while not any(isinstance(message, Drawn) for message in told):
        time.sleep(0.01)
