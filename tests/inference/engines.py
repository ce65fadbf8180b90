"""A running engine in this process, for tests: a tiny model that can be watched and broken, and its
messages."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from inference import wire
from inference.engine import Engine
from inference.loader import Loader
from inference.models import Denoiser
from inference.press import Studio
from inference.request import ModelSpec, Request

_jobs = itertools.count(1)
Over = wire.Drawn | wire.Failed | wire.Cancelled


class Spy:
    """A Denoiser that remembers the rows of its calls and the latents it decoded, and may be told to
    misbehave."""

    def __init__(self, model: Denoiser) -> None:
        self._model = model
        self.rows: list[int] = []
        self.latents: list[torch.Tensor] = []
        self.before: Callable[[torch.Tensor], None] = lambda cond: None
        self.after: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda out, cond: out
        self.pretends: torch.dtype | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @property
    def dtype(self) -> torch.dtype:
        return self.pretends or self._model.dtype

    def cast(self, dtype: torch.dtype) -> Denoiser:
        """The honest model."""
        return self._model

    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(x))
        self.before(cond)
        return self.after(self._model.denoise(x, t, cond), cond)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        self.latents.append(latents[0].clone())
        return self._model.decode(latents)


class Harness:
    """An engine and the messages that came out of it."""

    def __init__(self, specs: Sequence[ModelSpec], load: Callable[[ModelSpec], Denoiser]) -> None:
        self.messages: queue.Queue[wire.ToBot] = queue.Queue()
        self.seen: list[wire.ToBot] = []
        self.engine = Engine(lambda changed: Loader(specs, load, changed), Studio(), self.messages.put)
        self._over: dict[int, Over] = {}

    def draw(self, request: Request, **more: Any) -> int:
        """Ask for ``request``; the job's number."""
        job = next(_jobs)
        self.engine.submit(wire.Draw(job=job, attempt=1, request=request, **more))
        return job

    def wait(self, *jobs: int, timeout: float = 60.0) -> list[Over]:
        """What became of ``jobs``, in their order."""
        while any(job not in self._over for job in jobs):
            self.hear(timeout)
        return [self._over[job] for job in jobs]

    def hear(self, timeout: float = 60.0) -> wire.ToBot:
        """The next message."""
        message = self.messages.get(timeout=timeout)
        self.seen.append(message)
        if isinstance(message, Over):
            self._over[message.job] = message
        return message

    def drawn(self, request: Request, **more: Any) -> wire.Drawn:
        """``request``, drawn."""
        (result,) = self.wait(self.draw(request, **more))
        assert isinstance(result, wire.Drawn), result
        return result


@contextmanager
def running(*models: tuple[str, Denoiser]) -> Iterator[Harness]:
    """A harness with loaded models by name."""
    by_name = dict(models)
    specs = [ModelSpec(name=name) for name in by_name]
    harness = Harness(specs, lambda spec: by_name[spec.name])
    harness.engine.start()
    try:
        yield harness
    finally:
        harness.engine.stop()
