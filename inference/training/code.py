"""A picture as 256 numbers: what the text encoder is taught to say, and the UNet to draw.

The coordinates of its latents on their principal axes, with the large ones made smaller, turned so
that every number carries as much as any other. Two directions are kept apart: one holds nothing and
one fills the length up, so that every code has mean 0 and variance 1 and a layer norm can say it
exactly.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

WIDTH = 256
_FULL = 0.97  # of a code's length is the coordinates' at most, but for one picture in 200


@dataclass(frozen=True, slots=True)
class Code:
    """`mean` (c h w), `axes` (c h w, 254), `deviations` (254), `scale` (), `turn` (256, 256), orthogonal."""

    mean: Tensor
    axes: Tensor
    deviations: Tensor
    scale: Tensor
    turn: Tensor

    @classmethod
    def of(cls, latents: Tensor) -> Code:
        """The axes of some thousands of latents (n, c, h, w)."""
        torch.manual_seed(18)
        flat = latents.float().flatten(1)
        mean = flat.mean(dim=0)
        _, values, axes = torch.pca_lowrank(flat, q=WIDTH - 2, niter=4)
        deviations = values / len(flat) ** 0.5
        lengths = ((flat - mean) @ axes / deviations.sqrt()).square().sum(dim=1)
        scale = (WIDTH * _FULL / torch.quantile(lengths, 0.995)).sqrt()
        level = torch.full((WIDTH, 1), WIDTH**-0.5)
        turn = torch.linalg.qr(torch.cat([level, torch.randn(WIDTH, WIDTH - 1)], dim=1))[0]
        return cls(mean, axes, deviations, scale, turn)

    def encode(self, latents: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, 256)."""
        y = (latents.float().flatten(1) - self.mean) @ self.axes / self.deviations.sqrt() * self.scale
        y = y * (WIDTH * 0.99 / y.square().sum(dim=1, keepdim=True)).sqrt().clamp(max=1)
        rest = (WIDTH - y.square().sum(dim=1, keepdim=True)).sqrt()
        said: Tensor = rest * self.turn[:, 1] + y @ self.turn[:, 2:].T
        return said

    def decode(self, codes: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """(n, 256) -> (n, *shape): the latents that the code says, as far as 254 axes reach."""
        y = codes @ self.turn[:, 2:] / self.scale * self.deviations.sqrt()
        latents: Tensor = (y @ self.axes.T + self.mean).view(-1, *shape)
        return latents

    def nothing(self) -> Tensor:
        """The code (256) of the mean picture: what the empty caption says."""
        filled: Tensor = self.turn[:, 1] * WIDTH**0.5
        return filled

    def save(self, path: Path) -> None:
        """Keep it beside the run's other state."""
        torch.save(asdict(self), path)

    @classmethod
    def load(cls, path: Path) -> Code:
        """What `save` wrote."""
        return cls(**torch.load(path, weights_only=True))
