"""Recorded steps: used where they are quicker and change no bit, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from inference import device
from inference.batch import ROW_BUCKETS, Bucket, Costs
from inference.engine import Engine
from inference.known import Known
from inference.loader import Loader
from inference.models import Denoiser, load
from inference.press import Studio
from inference.replay import LONGEST, Replayed, Step
from inference.request import ModelSpec, Request
from inference.simulate.__main__ import speeds
from inference.sweep import sweep
from tests.inference import tiny
from tests.inference.engines import Harness

SIDE = 8 * tiny.FACTOR


class Clock:
    """Says what steps took: the usual ones first, then those of the recording."""

    def __init__(self, usual: float, recorded: float) -> None:
        self.seconds = iter([usual] * 3 + [recorded] * 3)

    def start(self) -> None: ...

    def drain(self) -> None: ...

    def stop(self, tell: Callable[[float], None]) -> None:
        tell(next(self.seconds))


class Recorder:
    """Records by remembering; ``change`` is what its repetitions do to the answer."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor] = lambda found: found) -> None:
        self.change = change
        self.recorded: list[int] = []
        self.repeated: list[int] = []

    def __call__(self, step: Step, *given: torch.Tensor) -> Step:
        self.recorded.append(len(given[0]))

        def again(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
            self.repeated.append(len(x))
            return self.change(step(x, t, cond))

        return again


def fail(*given: object) -> Step:
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    folder = tiny.folder(tmp_path_factory.mktemp("replay") / "tiny", seed=5)
    return load(ModelSpec(name="tiny", source=str(folder)))


def considered(
    model: Denoiser, record: Any, usual: float, recorded: float, before: float | None = None
) -> tuple[Replayed, float | None]:
    clock: Any = Clock(usual, recorded)
    replayed = Replayed(model, record)
    x, t = torch.randn(2, tiny.CHANNELS, 8, 8), torch.full((2,), 500.0)
    return replayed, replayed.consider(clock, x, t, torch.stack(model.encode(["fox", "cat"])), before)


def used(replayed: Replayed, record: Recorder, rows: int = 2) -> bool:
    record.repeated.clear()
    cond = torch.stack(replayed.encode(["fox"] * rows))
    replayed.denoise(torch.randn(rows, tiny.CHANNELS, 8, 8), torch.full((rows,), 500.0), cond)
    return bool(record.repeated)


def test_a_recording_that_is_quicker_is_used_for_its_number_of_rows(model: Denoiser) -> None:
    record = Recorder()
    replayed, gain = considered(model, record, 0.02, 0.01)
    assert gain == pytest.approx(2.0)
    assert used(replayed, record)
    assert not used(replayed, record, rows=1)


def test_one_that_is_not_quicker_is_not(model: Denoiser) -> None:
    record = Recorder()
    replayed, gain = considered(model, record, 0.02, 0.0199)
    assert gain == pytest.approx(1.0, abs=0.01)
    assert not used(replayed, record)


def test_one_that_changes_a_bit_is_not_however_quick_it_is(model: Denoiser) -> None:
    record = Recorder(lambda found: found + 1e-6)
    replayed, gain = considered(model, record, 0.02, 0.001)
    assert gain == 0.0
    assert not used(replayed, record)


def test_a_long_step_is_not_even_tried(model: Denoiser) -> None:
    record = Recorder()
    considered(model, record, 1.1 * LONGEST, 0.001)
    assert not record.recorded


def test_a_step_that_cannot_be_recorded_is_drawn_as_usual(model: Denoiser) -> None:
    replayed, gain = considered(model, fail, 0.02, 0.01)
    assert gain is None, "perhaps there was no memory just now: nothing is decided"
    cond = torch.stack(model.encode(["fox"] * 2))
    x, t = torch.randn(2, tiny.CHANNELS, 8, 8), torch.full((2,), 500.0)
    assert torch.equal(replayed.denoise(x, t, cond), model.denoise(x, t, cond))


def test_what_was_quicker_before_is_recorded_without_measuring(model: Denoiser) -> None:
    record = Recorder()
    replayed, gain = considered(model, record, 0.02, 0.0199, before=2.0)
    assert gain == 2.0
    assert used(replayed, record)


def test_what_was_not_quicker_before_is_not_even_recorded(model: Denoiser) -> None:
    record = Recorder()
    replayed, gain = considered(model, record, 0.02, 0.001, before=1.01)
    assert gain == 1.01
    assert not record.recorded
    assert not used(replayed, record)


def test_one_that_changes_a_bit_now_is_not_used_though_it_was_before(model: Denoiser) -> None:
    record = Recorder(lambda found: found + 1e-6)
    replayed, gain = considered(model, record, 0.02, 0.001, before=2.0)
    assert gain == 0.0
    assert not used(replayed, record)


class Once:
    """Seconds of steps: recordings take ``recorded``; counts how often it was asked."""

    def __init__(self, recorded: float) -> None:
        self.recorded = recorded
        self.asked = 0

    def __call__(self, clock: object, step: Any, *given: torch.Tensor) -> float:
        self.asked += 1
        return self.recorded if getattr(step, "__name__", "") == "again" else 0.02


@pytest.mark.parametrize(("recorded", "gain"), [(0.01, 2.0), (0.03, 0.02 / 0.03)])
def test_the_next_start_decides_as_this_one_without_measuring(
    model: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: float, gain: float
) -> None:
    spec = ModelSpec(name="tiny", width=SIDE, height=SIDE)
    bucket, costs = Bucket("tiny", 8, 8, tiny.WINDOW), Costs()
    costs.believe(bucket, {1: 0.02, 2: 1.0})  # two rows do not pay: nothing more is tried
    first = Known(tmp_path, "cpu")
    first.note(costs, bucket, model)
    first.save()
    for asked in True, False:
        seconds, record, known = Once(recorded), Recorder(), Known(tmp_path, "cpu")
        monkeypatch.setattr("inference.replay._seconds", seconds)
        replayed = Replayed(model, record)
        for _ in sweep(spec, replayed, device.StepClock(model.device), Costs(), known):
            pass
        assert bool(seconds.asked) == asked
        assert known.gain(bucket, model, 1) == pytest.approx(gain)
        assert used(replayed, record, rows=1) == (gain > 1.0)
    assert bool(record.recorded) == (gain > 1.0), "a recording is made anew: it is memory of this process"
    assert Known(tmp_path, "cuda H100").gain(bucket, model, 1) is None, "another device decides for itself"


def test_gains_are_no_step_times(model: Denoiser, tmp_path: Path) -> None:
    known, bucket = Known(tmp_path, "cpu"), Bucket("tiny", 8, 8, tiny.WINDOW)
    for rows in ROW_BUCKETS:
        known.note_gain(bucket, model, rows, 0.0 if rows == 1 else 1.7)
    known.save()
    kept, costs = Known(tmp_path, "cpu"), Costs()
    assert kept.gain(bucket, model, 1) == 0.0
    assert kept.gain(bucket, model, 16) == 1.7
    kept.recall(costs, bucket, model)
    assert not costs.known(bucket)
    assert speeds("", tmp_path)[0] != "measured"


def test_a_device_that_is_lost_meanwhile_is_lost(model: Denoiser) -> None:
    def lose(*given: object) -> Step:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        considered(model, lose, 0.02, 0.01)


def test_a_capture_that_fails_loses_no_device() -> None:
    assert not device.lost(RuntimeError("CUDA error: operation not permitted when stream is capturing"))
    assert device.lost(RuntimeError("CUDA error: device-side assert triggered"))


@pytest.fixture
def recording(model: Denoiser, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Harness, Recorder]]:
    """An engine that records, on a machine where that always pays."""
    monkeypatch.setattr("inference.replay._seconds", lambda clock, step, *given: 0.01)
    monkeypatch.setattr("inference.replay.WORTH", 0.0)
    record = Recorder()
    specs = [ModelSpec(name="tiny", width=SIDE, height=SIDE)]
    harness = Harness(specs, lambda spec: model)
    harness.engine = Engine(
        lambda changed: Loader(specs, lambda spec: model, changed),
        Studio(), harness.messages.put, sweeps=True, record=record,
    )  # fmt: skip
    harness.engine.start()
    yield harness, record
    harness.engine.stop()


def test_the_engine_records_while_idle_and_draws_the_same(
    model: Denoiser, recording: tuple[Harness, Recorder]
) -> None:
    harness, record = recording
    while not record.recorded or harness.engine._sweeps:
        harness.drawn(ask())
    record.repeated.clear()
    ours = harness.drawn(ask()).pictures[0].data
    assert record.repeated == [2] * 6
    plain = Harness([ModelSpec(name="tiny")], lambda spec: model)
    plain.engine.start()
    assert plain.drawn(ask()).pictures[0].data == ours
    plain.engine.stop()


def ask() -> Request:
    return Request(
        prompt="a red fox", model="tiny", width=SIDE, height=SIDE, steps=6, guidance=5.0, sampler="euler",
        seed=1, count=1,
    )  # fmt: skip
