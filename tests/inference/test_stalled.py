"""How long the engine says that it has been busy: one use of the model, not a whole round of its loop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import torch

from inference.models import Denoiser, load
from inference.request import ModelSpec, Request
from tests.inference import tiny
from tests.inference.engines import Spy, running

SLOW = 0.2
SIDE = 8 * tiny.FACTOR


class Slow(Spy):
    """A big checkpoint on a slow machine: every use takes a while, none hangs."""

    def encode(self, prompts: tuple[str, ...], chunks: int = 1) -> tuple[torch.Tensor, ...]:
        time.sleep(SLOW)
        return tuple(self._model.encode(prompts, chunks))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        time.sleep(SLOW)
        return self._model.decode(latents)


def test_a_slow_machine_with_many_pictures_is_not_called_hung(tmp_path: Path) -> None:
    """Four are encoded, stepped and decoded in the same rounds; one that hangs is still seen."""
    spy = Slow(load(ModelSpec(name="tiny", source=str(tiny.folder(tmp_path / "tiny", seed=5)))))
    request = Request(
        prompt="a fox", model="tiny", width=SIDE, height=SIDE, steps=2, guidance=5.0, sampler="euler",
        seed=1, count=4,
    )  # fmt: skip
    hangs = [False]
    spy.before = lambda cond: time.sleep(1.5 if hangs[0] else 0.0)
    longest = [0.0, 0.0]
    with running(("tiny", cast("Denoiser", spy))) as harness:
        harness.drawn(request)
        for hung in (False, True):
            hangs[0] = hung
            job = harness.draw(request)
            while not any(
                getattr(each, "job", 0) == job and hasattr(each, "pictures") for each in harness.seen
            ):
                longest[hung] = max(longest[hung], harness.engine.stalled())
                if not harness.messages.empty():
                    harness.hear()
                time.sleep(0.005)
    assert longest[False] < 3 * SLOW, "a round takes four times as long"
    assert longest[True] > 1.0
