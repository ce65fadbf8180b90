"""What is in flight: a Work is one Draw of the bot, a Run is one of its pictures, with its own place and
pace."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from inference import wire
from inference.batch import Bucket
from inference.models import Denoiser
from inference.request import Picture
from inference.samplers import Table

if TYPE_CHECKING:
    from inference.admit import Plan

_arrival = itertools.count()


@dataclass(eq=False, slots=True)
class Run:
    """One picture in flight: a cursor into its table, a slot in the arena, a generator of its own."""

    work: Work
    index: int
    seed: int
    bucket: Bucket
    model: Denoiser
    table: Table
    cond: torch.Tensor
    """(tokens, dim), in the model's dtype."""
    uncond: torch.Tensor
    """(tokens, dim); not used by an unguided run."""
    plan: Plan
    """What it was made from, to begin again."""
    guided: tuple[int, int] = (0, 0)
    """From which step to before which it is guided; the others need one row only."""
    guidance: float = 1.0
    """Guidance scale of the guided steps."""
    source: torch.Tensor | None = None
    """Latent (c, h, w) float32 to start from, or None: from noise."""
    cursor: int = 0
    slot: int = -1
    """First cell of what it holds in the arena; -1 before it began."""
    generator: torch.Generator | None = None
    """What its noise comes from; None when its sampler draws none after the first latent."""
    order: int = field(default_factory=lambda: next(_arrival))

    @property
    def rows(self) -> int:
        """Denoiser rows of its next step: 2 when it is guided."""
        return 2 if self.guided[0] <= self.cursor < self.guided[1] else 1

    @property
    def began(self) -> bool:
        """Whether it has latents."""
        return self.slot >= 0

    @property
    def flow(self) -> str:
        """Whose it is."""
        return self.work.draw.flow

    @property
    def weight(self) -> float:
        """Their share."""
        return self.work.draw.weight

    @property
    def turn(self) -> float:
        """Its job's place in the queue."""
        return self.work.draw.turn


@dataclass(eq=False, slots=True)
class Work:
    """One Draw: its runs, what came out so far, and what it cost."""

    draw: wire.Draw
    runs: list[Run] = field(default_factory=list)
    """Runs that still want steps."""
    pictures: dict[int, Picture] = field(default_factory=dict)
    pixels: dict[int, torch.Tensor] = field(default_factory=dict)
    """Finished pixels uint8 (h, w, 3), kept for the grid."""
    failures: dict[int, wire.Failure] = field(default_factory=dict)
    previews: dict[int, bytes] = field(default_factory=dict)
    """The last one of each picture."""
    fresh: bool = False
    """Whether ``previews`` changed since the last progress."""
    cancelled: bool = False
    done: int = 0
    total: int = 0
    """Steps of all pictures."""
    began: float = 0.0
    """Monotonic seconds of the first step; 0 before."""
    device_seconds: float = 0.0
    told: float = 0.0
    """Monotonic seconds of the last progress."""
    shown: float = 0.0
    """Monotonic seconds of the last previews."""

    @property
    def key(self) -> tuple[int, int]:
        """(job, attempt)."""
        return self.draw.job, self.draw.attempt

    @property
    def complete(self) -> bool:
        """Whether every picture came out or failed."""
        return len(self.pictures) + len(self.failures) >= self.draw.request.count

    def fail(self, index: int, code: str, detail: str = "") -> None:
        """Picture ``index`` will not come."""
        self.pictures.pop(index, None)
        self.pixels.pop(index, None)
        self.failures[index] = wire.Failure(index=index, code=code, detail=detail)

    def result(self, grid: bytes) -> wire.Drawn | wire.Failed:
        """What the bot is told when it is complete."""
        job, attempt = self.key
        if not self.pictures:
            first = min(self.failures.values(), key=lambda failure: failure.index)
            return wire.Failed(job=job, attempt=attempt, code=first.code, detail=first.detail)
        return wire.Drawn(
            job=job,
            attempt=attempt,
            pictures=tuple(self.pictures[index] for index in sorted(self.pictures)),
            grid=grid,
            failures=tuple(self.failures[index] for index in sorted(self.failures)),
            seconds=time.monotonic() - self.began if self.began else 0.0,
            device_seconds=self.device_seconds,
        )

    def progress(self) -> wire.Progress:
        """How far it is."""
        job, attempt = self.key
        count = self.draw.request.count
        shown = tuple(self.previews.get(index, b"") for index in range(count)) if self.fresh else ()
        self.fresh = False
        return wire.Progress(job=job, attempt=attempt, done=self.done, total=self.total, previews=shown)
