"""Steps that are replayed instead of launched, where that is quicker and changes no bit.

A small step on a GPU waits for the host: a thousand kernels take longer to launch than to run. Recorded once
for each number of rows (a CUDA graph, ``device.Recording``), they are launched as one. A recording runs the
very kernels of the step it recorded, so the bitwise contract holds; that is checked, not believed. What
compilers do (``torch.compile``) changes the bits of a picture, and on a CPU it made a step of the built-in
model slower (0.73 and 0.98 times as fast at two and eight rows): it is not used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from inference import device
from inference.models import Denoiser

log = logging.getLogger(__name__)

WORTH = 1.05
"""A recording is kept where it is at least this many times as fast."""
LONGEST = 0.1
"""Seconds; a longer step has hidden its launches already, and measuring it would hold people up."""
TIMES = 3
"""Steps of each kind that are measured."""

Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Record = Callable[[Step, torch.Tensor, torch.Tensor, torch.Tensor], Step]
"""Something that runs a step once and can then repeat it with other numbers of the same shapes."""


class Replayed:
    """A Denoiser that knows recordings of its steps. As one, for everything else, it is ``model``."""

    def __init__(self, model: Denoiser, record: Record) -> None:
        self._model = model
        self._record = record
        self._steps: dict[tuple[torch.Size, torch.Size], Step | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """As ``Denoiser.denoise``."""
        step = self._steps.get((x.shape, cond.shape)) or self._model.denoise
        return step(x, t, cond)

    def consider(
        self,
        clock: device.StepClock,
        x: torch.Tensor,
        t: torch.Tensor,
        cond: torch.Tensor,
        before: float | None = None,
    ) -> float | None:
        """Record the step of this shape, and keep that if it pays; how many times as fast it is, or 0.

        With what was found ``before`` it is not measured again, only looked at whether it still changes no
        bit. None: it was considered already, or cannot be recorded just now.
        """
        key = x.shape, cond.shape
        if key in self._steps:
            return None
        self._steps[key] = None
        if before is not None and before < WORTH:
            return before
        try:
            gain, step = self._measured(clock, x, t, cond) if before is None else (before, None)
            if gain < WORTH:
                return gain
            step = step or self._record(self._model.denoise, x, t, cond)
            same = torch.equal(step(x, t, cond), self._model.denoise(x, t, cond))
        except RuntimeError as error:
            if device.lost(error):
                raise
            log.warning("not recorded", exc_info=error, extra={"action": "record", "rows": len(x)})
            return None
        self._steps[key] = step if same else None
        log.info("recorded", extra={"action": "record", "rows": len(x), "gain": round(gain, 2), "same": same})
        return gain if same else 0.0

    def _measured(
        self, clock: device.StepClock, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor
    ) -> tuple[float, Step | None]:
        """How many times as fast a recording is, and that recording; (0, None): its steps are long."""
        usual = _seconds(clock, self._model.denoise, x, t, cond)
        if usual > LONGEST:
            return 0.0, None
        step = self._record(self._model.denoise, x, t, cond)
        return usual / _seconds(clock, step, x, t, cond), step


def _seconds(
    clock: device.StepClock, step: Step, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor
) -> float:
    """The best of ``TIMES`` steps, after one to warm up."""
    found: list[float] = []
    step(x, t, cond)
    for _ in range(TIMES):
        clock.start()
        step(x, t, cond)
        clock.stop(found.append)
    clock.drain()
    return max(min(found), 1e-9)
