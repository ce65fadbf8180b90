"""The arena by itself: what runs hold there and what a step makes of it, whoever takes it with whom."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from inference import samplers, wire
from inference.admit import Plan
from inference.arena import AHEAD, SHARED, Arena
from inference.batch import Bucket
from inference.request import Request
from inference.runs import Run, Work
from inference.samplers import SCHEDULERS
from tests.inference import tiny

SHAPE = (4, 3, 5)
STEPS = 2 * AHEAD + 3
ROWS = 8


class _Model:
    """Quick; what it answers for a row depends on that row alone."""

    def __init__(self) -> None:
        self.broken = False

    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        if self.broken:
            raise RuntimeError("out of memory")
        return (x * 0.3 + cond.view(-1, 1, 1, 1)) * (t.view(-1, 1, 1, 1) / 1000.0)


def _runs(model: Any) -> list[Run]:
    """One of each sampler; every third one unguided, the others in a part of their steps."""
    made = []
    for seed, name in enumerate(SCHEDULERS):
        table = samplers.compile(name, STEPS, tiny.scheduler_config(), "epsilon")
        work = Work(wire.Draw(job=seed, attempt=1, request=Request(prompt="", sampler=name)))
        run = Run(
            work=work, index=0, seed=seed, bucket=Bucket("", 3, 5, 1), model=model, table=table,
            cond=torch.tensor([0.5]), uncond=torch.tensor([-0.5]), plan=Plan(table),
            guided=(0, 0) if seed % 3 == 0 else (2, STEPS - 5), guidance=3.0,
        )  # fmt: skip
        made.append(run)
    return made


def _drawn(pick: Callable[[list[Run]], list[Run]]) -> dict[str, torch.Tensor]:
    """The last latent of each run, by sampler; ``pick`` says who takes the next step together, and with no
    runs that it fails."""
    model = _Model()
    arena, left, found = Arena(SHAPE, torch.device("cpu")), _runs(model), {}
    for run in left:
        arena.begin(run)
    while left:
        company = pick(left)
        model.broken = not company
        if model.broken:
            with pytest.raises(RuntimeError, match="memory"):
                arena.step(model, left[:3], ROWS)
            continue
        with torch.inference_mode():
            arena.step(model, company, ROWS)
        for run in [run for run in company if run.cursor == len(run.table)]:
            found[run.work.draw.request.sampler] = arena.latent(run).clone()
            arena.end(run)
            left.remove(run)
    assert not arena.cells[SHARED:].any()
    return found


@pytest.fixture(scope="module")
def alone() -> dict[str, torch.Tensor]:
    """Each by itself, from its first step to its last."""
    return _drawn(lambda left: left[:1])


@pytest.mark.parametrize("stay", [1, 3, AHEAD - 1, AHEAD, AHEAD + 1, 3 * AHEAD])
def test_a_run_is_bitwise_the_same_however_long_its_company_stays(
    alone: dict[str, torch.Tensor], stay: int
) -> None:
    """The same four go on together for some steps, then others, drawn by lot; some steps fail and are taken
    again."""
    rng, steps = random.Random(stay), 0
    company: list[Run] = []

    def pick(left: list[Run]) -> list[Run]:
        nonlocal company, steps
        steps += 1
        if rng.random() < 0.1:
            return []
        if steps % stay == 0 or not set(company) <= set(left):
            company = rng.sample(left, min(4, len(left)))
        return company

    together = _drawn(pick)
    assert set(together) == set(SCHEDULERS)
    for name, latent in together.items():
        assert torch.equal(latent, alone[name]), name
        assert latent.isfinite().all()
