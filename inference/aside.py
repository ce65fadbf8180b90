"""Work beside the steps (decoding, previews), so that whoever finishes holds up nobody who still draws.

On a CPU there is nothing beside: it happens in slices between two steps. On a GPU it has a thread and a
stream of its own, and its result comes back to the engine's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece of work: a tensor on the CPU, or nothing, or an error; and its ``seconds``."""

    found: torch.Tensor | None = None
    error: Exception | None = None
    seconds: float = 0.0


Work = Callable[[], torch.Tensor | None]
Done = Callable[[Outcome], None]


class Aside(Protocol):
    """Where such work is done."""

    def slices(self, waiting: int) -> int:
        """How many of ``waiting`` pieces should be begun before the next step."""

    def do(self, work: Work, done: Done) -> None:
        """Do it; ``done`` is called in the engine's thread."""

    def close(self) -> None:
        """Begin nothing more."""


class Between:
    """Slices between two steps: one piece, more when more wait than the steps could bring."""

    def slices(self, waiting: int) -> int:
        """A quarter of what waits, at least one."""
        return -(-waiting // 4)

    def do(self, work: Work, done: Done) -> None:
        """At once."""
        done(_outcome(work))

    def close(self) -> None:
        """Nothing is under way."""


class Streams(Protocol):
    """Two queues of work on one device: the engine's, and another."""

    def mark(self) -> Any:
        """This point of the engine's stream."""

    def other(self, mark: Any) -> AbstractContextManager[None]:
        """While open, this thread works on the other stream, which first waits for ``mark``."""


class Beside:
    """A thread with a stream of its own. ``post`` brings what it is given into the engine's thread.

    Work ends with its result on the CPU, so the other stream has read its tensors before they are freed.
    """

    DEPTH = 2
    """Pieces handed over at once: one being worked on, one ready."""

    def __init__(self, streams: Streams, post: Callable[[Callable[[], None]], None]) -> None:
        self._streams = streams
        self._post = post
        self._open = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")

    def slices(self, waiting: int) -> int:
        """As many as there is room for."""
        return min(waiting, self.DEPTH - self._open)

    def do(self, work: Work, done: Done) -> None:
        """Begin when the tensors it was given are ready on the device."""
        self._open += 1
        self._thread.submit(self._work, self._streams.mark(), work, done)

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _work(self, mark: Any, work: Work, done: Done) -> None:
        def inside() -> torch.Tensor | None:
            with self._streams.other(mark), torch.inference_mode():
                return work()

        self._post(partial(self._over, done, _outcome(inside)))

    def _over(self, done: Done, outcome: Outcome) -> None:
        self._open -= 1
        done(outcome)


def _outcome(work: Work) -> Outcome:
    began = time.perf_counter()
    try:
        found = work()
    except Exception as error:  # noqa: BLE001 - whatever the model raises: the engine knows whose it is
        return Outcome(error=error, seconds=time.perf_counter() - began)
    return Outcome(found, seconds=time.perf_counter() - began)
