"""One training loop for every stage: budgeted, seeded by step, restartable from its last checkpoint."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

SAVE_EVERY_SECONDS = 150.0
LOG_EVERY_STEPS = 50


@dataclass(frozen=True, slots=True)
class Budget:
    """When a stage ends: after `seconds` of training (restarts add up) or, when given, after `steps`."""

    seconds: float = 0.0
    steps: int | None = None

    def progress(self, step: int, seconds: float) -> float:
        """The spent part, 0 to 1."""
        part = step / self.steps if self.steps is not None else seconds / max(self.seconds, 1e-9)
        return min(part, 1.0)


@dataclass(frozen=True, slots=True)
class Step:
    """What a loss may draw on: both generators depend on the seed and the step's number alone,
    so a restarted run sees the batches that the uninterrupted one would have seen."""

    number: int
    progress: float
    rng: random.Random
    generator: torch.Generator


Loss = Callable[[Step], Tensor]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a stage is optimised; `rates` are the optimisers' peak learning rates."""

    seed: int = 1
    warmup: int = 100
    decay: float = 0.5  # the last part of the budget, over which the rate falls linearly to 0
    clip: float = 1.0
    ema: float = 0.999


class Loop:
    """Trains `module` by `loss`; `average` holds the moving average of its parameters."""

    def __init__(
        self,
        module: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        loss: Loss,
        checkpoint: Path,
        budget: Budget,
        settings: Settings | None = None,
    ) -> None:
        self.module, self.optimizers, self.loss = module, optimizers, loss
        self.checkpoint, self.budget, self.settings = checkpoint, budget, settings or Settings()
        self.step, self.seconds = 0, 0.0
        self.average = [p.detach().clone() for p in module.parameters()]
        self._peaks = [[float(group["lr"]) for group in o.param_groups] for o in optimizers]
        if checkpoint.exists():
            self._load()

    def run(self, log: Callable[[str], None] = print) -> None:
        """Train until the budget is spent, saving on the way and at the end."""
        saved, recent = time.monotonic(), math.nan
        while (progress := self.budget.progress(self.step, self.seconds)) < 1:
            started = time.monotonic()
            loss = self._advance(progress)
            recent = loss if math.isnan(recent) else 0.98 * recent + 0.02 * loss
            self.seconds += time.monotonic() - started
            self.step += 1
            if self.step % LOG_EVERY_STEPS == 0:
                log(f"{self.checkpoint.stem} step {self.step} seconds {self.seconds:.0f} loss {recent:.4f}")
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Write beside the checkpoint, then rename: a kill leaves the old one or the new one."""
        state = {
            "module": self.module.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self.checkpoint)

    def use_average(self) -> None:
        """Put the averaged parameters into the module."""
        with torch.no_grad():
            for parameter, mean in zip(self.module.parameters(), self.average, strict=True):
                parameter.copy_(mean)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        self.module.load_state_dict(state["module"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.average, self.step, self.seconds = state["average"], state["step"], state["seconds"]

    def _advance(self, progress: float) -> float:
        seed = self.settings.seed * 1_000_003 + self.step
        step = Step(self.step, progress, random.Random(seed), torch.Generator().manual_seed(seed))
        self._set_rates(progress)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss = self.loss(step)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self._update_average()
        return float(loss.detach())

    def _set_rates(self, progress: float) -> None:
        rise = min(1.0, (self.step + 1) / self.settings.warmup)
        fall = min(1.0, (1 - progress) / max(self.settings.decay, 1e-9))
        for optimizer, peaks in zip(self.optimizers, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rise * fall

    def _update_average(self) -> None:
        # Short memory at first, or the random initial weights would linger for thousands of steps.
        decay = min(self.settings.ema, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.module.parameters()), 1 - decay)
