"""Muon (Jordan et al. 2024): momentum whose matrices are made orthogonal, here for convolutions too.

`torch.optim.Muon` takes two-dimensional parameters only; a convolution is the matrix of its
outputs by everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Newton-Schulz coefficients of the paper: fast rather than exact, singular values end in 0.7 to 1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315


# Rows that are made orthogonal together. The work grows with it: whole matrices would cost as much
# as the gradient of 60 pictures, blocks of 32 a tenth of that.
BLOCK = 32


def orthogonal(matrix: Tensor, rounds: int = 4) -> Tensor:
    """The nearest semi-orthogonal matrices, about: (..., m, n) with all singular values near 1.

    Every round multiplies from the left by a polynomial of the Gram matrix, and those commute: so the
    rounds are done on (m, m) alone, and the long side is touched once at each end.
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    gram, eye = x @ x.mT, torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
    turn = eye
    for _ in range(rounds):
        once = _A * eye + _B * gram + _C * gram @ gram
        turn = once @ turn
        gram = once @ gram @ once
    result: Tensor = turn @ x
    return result.mT if tall else result


def by_blocks(matrix: Tensor) -> Tensor:
    """`orthogonal` on each BLOCK rows of (m, n), or on the whole where they do not divide it."""
    rows, columns = matrix.shape
    if rows % BLOCK:
        return orthogonal(matrix)
    return orthogonal(matrix.view(rows // BLOCK, BLOCK, columns)).reshape(rows, columns)


class Muon(torch.optim.Optimizer):
    """For the weights of hidden layers; biases, norms and embeddings belong to AdamW."""

    def __init__(self, parameters: Iterable[Tensor], lr: float = 0.01, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step with Nesterov momentum; `closure` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"], group["momentum"])

    def _update(self, parameter: Tensor, gradient: Tensor, rate: float, momentum: float) -> None:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["velocity"] = torch.zeros_like(parameter)
        velocity = state["velocity"]
        velocity.lerp_(gradient, 1 - momentum)
        ahead = gradient.lerp(velocity, momentum)
        update = by_blocks(ahead.flatten(1))
        rows, columns = update.shape
        parameter.add_(update.reshape(parameter.shape), alpha=-rate * max(1.0, rows / columns) ** 0.5)


def split(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The module's parameters: matrices for Muon, and the rest for AdamW."""
    parameters = list(module.parameters())
    matrices: list[Tensor] = [p for p in parameters if p.ndim >= 2 and min(p.flatten(1).shape) >= 16]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in parameters if id(p) not in chosen]
