"""A killed training goes on exactly where its checkpoint stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.muon import BLOCK, Muon, by_blocks, orthogonal, split


def make(folder: Path, steps: int, *, seed: int = 3) -> Loop:
    """A loop over a tiny network, with both optimisers."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 16))
    matrices, rest = split(module)

    def loss(step: Step) -> Tensor:
        x = torch.randn(8, 16, generator=step.generator)
        out: Tensor = (module(x) - x * step.rng.random()).square().mean()
        return out

    optimizers = [Muon(matrices, lr=0.01), torch.optim.AdamW(rest, lr=1e-3)]
    settings = Settings(seed=seed, warmup=3, decay=0.0)
    return Loop(module, optimizers, loss, folder / "tiny.pt", Budget(steps=steps), settings)


def test_a_restart_gives_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    """Ten steps at once equal four, a kill, and six."""
    whole = make(tmp_path / "whole", 10)
    whole.run(lambda _: None)
    make(tmp_path / "parts", 4).run(lambda _: None)
    rest = make(tmp_path / "parts", 10)
    assert rest.step == 4
    rest.run(lambda _: None)
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, rest.module.state_dict()[name]), name
    assert all(torch.equal(a, b) for a, b in zip(whole.average, rest.average, strict=True))


def test_a_spent_budget_trains_no_further(tmp_path: Path) -> None:
    """So that the whole command may be run again."""
    make(tmp_path, 5).run(lambda _: None)
    again = make(tmp_path, 5)
    before = [p.clone() for p in again.module.parameters()]
    again.run(lambda _: None)
    assert all(torch.equal(a, b) for a, b in zip(before, again.module.parameters(), strict=True))


def test_another_seed_trains_differently(tmp_path: Path) -> None:
    """The seed reaches the batches."""
    one, two = make(tmp_path / "a", 3), make(tmp_path / "b", 3, seed=4)
    one.run(lambda _: None)
    two.run(lambda _: None)
    first, second = next(one.module.parameters()), next(two.module.parameters())
    assert not torch.equal(first, second)


def test_seconds_of_every_run_add_up() -> None:
    """A budget of minutes is the whole training's, not a run's."""
    budget = Budget(seconds=100)
    assert budget.progress(7, 25) == 0.25
    assert budget.progress(7, 250) == 1


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16)])
def test_muon_makes_matrices_orthogonal(shape: tuple[int, int]) -> None:
    """Singular values end near 1, as the paper's coefficients promise."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_muon_works_block_by_block() -> None:
    """Each block of rows is made orthogonal by itself."""
    matrix = torch.randn(2 * BLOCK, 100, generator=torch.Generator().manual_seed(6))
    assert torch.allclose(by_blocks(matrix)[:BLOCK], orthogonal(matrix[:BLOCK]), atol=1e-5)
