"""Work beside the steps: in slices on a CPU; on a GPU in a thread and a stream of its own (faked here)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from inference import wire
from inference.aside import Beside, Between, Outcome
from inference.engine import Engine
from inference.loader import Loader
from inference.models import Denoiser, load
from inference.press import Studio
from inference.request import ModelSpec, Request
from tests.inference import tiny
from tests.inference.engines import Spy


class FakeStreams:
    """Remembers which thread worked on which stream, after which mark."""

    def __init__(self) -> None:
        self.marks = 0
        self.log: list[tuple[str, int, bool]] = []

    def mark(self) -> int:
        self.marks += 1
        return self.marks

    @contextmanager
    def other(self, mark: Any) -> Iterator[None]:
        self.log.append((threading.current_thread().name, mark, True))
        yield
        self.log.append((threading.current_thread().name, mark, False))


def test_between_two_steps_a_slice_of_what_waits_is_done_at_once() -> None:
    found: list[Outcome] = []
    between = Between()
    assert [between.slices(waiting) for waiting in (0, 1, 4, 5, 16)] == [0, 1, 1, 2, 4]
    between.do(lambda: torch.ones(1), found.append)
    assert found[0].found is not None
    assert found[0].seconds > 0.0


def test_an_error_is_an_outcome() -> None:
    found: list[Outcome] = []

    def fail() -> None:
        raise RuntimeError("decode")

    Between().do(fail, found.append)
    assert isinstance(found[0].error, RuntimeError)


def test_beside_works_on_the_other_stream_in_order_and_answers_in_the_engines_thread() -> None:
    streams, posted = FakeStreams(), queue.SimpleQueue[Callable[[], None]]()
    beside, order = Beside(streams, posted.put), []
    gate = threading.Event()

    def slow() -> torch.Tensor:
        gate.wait(5)
        return torch.zeros(1)

    beside.do(slow, lambda outcome: order.append(("first", threading.current_thread())))
    beside.do(lambda: None, lambda outcome: order.append(("second", threading.current_thread())))
    assert beside.slices(9) == 0, "no more than two are handed over at once"
    assert not order
    gate.set()
    for _ in range(2):
        posted.get(timeout=5)()
    here = threading.current_thread()
    assert order == [("first", here), ("second", here)]
    assert beside.slices(9) == 2
    assert [(mark, inside) for _, mark, inside in streams.log] == [
        (1, True),
        (1, False),
        (2, True),
        (2, False),
    ]
    assert all(name.startswith("aside") for name, _, _ in streams.log)
    beside.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Denoiser:
    return load(ModelSpec(name="tiny", source=str(tiny.folder(tmp_path_factory.mktemp("aside") / "tiny"))))


@contextmanager
def _beside(spy: Spy, beside: bool = True) -> Iterator[tuple[Engine, queue.Queue[wire.ToBot]]]:
    told: queue.Queue[wire.ToBot] = queue.Queue()
    engine = Engine(
        lambda changed: Loader([ModelSpec(name="tiny")], lambda spec: spy, changed), Studio(), told.put,
        aside=(lambda post: Beside(FakeStreams(), post)) if beside else None,
    )  # fmt: skip
    engine.start()
    try:
        yield engine, told
    finally:
        engine.stop()


def _over(told: queue.Queue[wire.ToBot], job: int) -> wire.ToBot:
    while True:
        message = told.get(timeout=60)
        if isinstance(message, wire.Drawn | wire.Failed) and message.job == job:
            return message


def _draw(job: int, **more: Any) -> wire.Draw:
    given: dict[str, Any] = {"prompt": "fox", "model": "tiny", "width": 32, "height": 32, "sampler": "euler"}
    return wire.Draw(job=job, attempt=1, request=Request(**(given | more)))


@pytest.mark.parametrize("beside", [True, False])
def test_a_slow_decoder_beside_holds_no_step_up(
    model: Denoiser, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    """The control is the slice between steps: there the same decoder does hold steps up."""
    spy, honest, during = Spy(model), model.decode, []

    def slow(latents: torch.Tensor) -> torch.Tensor:
        before, end = len(spy.rows), time.monotonic() + (20.0 if beside else 0.3)
        while len(spy.rows) < before + 5 and time.monotonic() < end:
            time.sleep(0.005)
        during.append(len(spy.rows) - before)
        return honest(latents)

    with _beside(spy, beside) as (engine, told):
        engine.submit(_draw(2, steps=150, count=1, seed=5))
        while not spy.rows:
            time.sleep(0.005)
        monkeypatch.setattr(spy, "decode", slow)
        engine.submit(_draw(1, steps=2, count=1))
        assert isinstance(_over(told, 1), wire.Drawn)
        engine.cancel(2, 1)
    assert (during[0] >= 5) == beside


def test_what_breaks_beside_fails_one_picture(model: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    spy, calls = Spy(model), iter(range(9))
    honest = model.decode

    def decode(latents: torch.Tensor) -> torch.Tensor:
        if next(calls) == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(latents)

    monkeypatch.setattr(spy, "decode", decode)
    with _beside(spy) as (engine, told):
        engine.submit(_draw(1, steps=2, count=3))
        result = _over(told, 1)
    assert isinstance(result, wire.Drawn)
    assert [failure.code for failure in result.failures] == ["out_of_memory"]
    assert len(result.pictures) == 2
