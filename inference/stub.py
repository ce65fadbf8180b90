"""An engine without a model, for tests that kill processes: it starts in a fraction of a second and draws at
once.

It speaks through the same ``serve.py``. The picture is a flat colour that follows from prompt and seed. Words
in double brackets in the prompt make it misbehave: ``[[slow 2.5]]`` takes 2.5 seconds, ``[[die]]`` kills the
process (``[[die 0.3]]`` after so many seconds), ``[[hang]]`` never answers and says that its step is stalled,
``[[break]]`` fails, ``[[lose]]`` loses its device: the thread dies, as the real engine's does.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import signal
import struct
import threading
import time
import zlib
from collections.abc import Callable
from functools import partial

from inference import wire
from inference.request import ModelSpec, Picture, Request

_MAGIC = re.compile(r"\[\[(slow|die|hang|break|lose)(?: ([0-9.]+))?\]\]")
_TICK = 0.02
"""Seconds between two looks at the inbox while drawing slowly."""


class StubEngine:
    """Looks like ``engine.Engine`` to ``serve.py``."""

    device, dtype, torch = "stub", "none", "none"

    def __init__(
        self, specs: tuple[ModelSpec, ...], tell: Callable[[wire.ToBot], None], seconds: float = 0.0
    ) -> None:
        self._specs = specs
        self._tell = tell
        self._seconds = seconds
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._cancelled: set[tuple[int, int]] = set()
        self._since: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name="stub", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Leave."""
        self._stopping = True
        self._inbox.put(lambda: None)
        self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def submit(self, draw: wire.Draw) -> None:
        """Draw this."""
        self._inbox.put(partial(self._draw, draw))

    def cancel(self, job: int, attempt: int) -> None:
        """Stop drawing this."""
        self._cancelled.add((job, attempt))
        self._inbox.put(lambda: self._tell(wire.Cancelled(job=job, attempt=attempt)))

    def states(self) -> tuple[wire.ModelState, ...]:
        """Every model is ready."""
        return tuple(wire.ModelState(name=spec.name, state="ready") for spec in self._specs)

    def stalled(self) -> float:
        """Seconds since the present drawing began, if it hangs."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def speeds(self) -> dict[str, float]:
        """One second for a unit of work."""
        return {spec.name: 1.0 for spec in self._specs}

    def paces(self) -> dict[str, float]:
        """Nothing is known."""
        return {}

    def _live(self) -> None:
        while not self._stopping:
            self._inbox.get()()

    def _draw(self, draw: wire.Draw) -> None:
        request, key = draw.request, (draw.job, draw.attempt)
        magic = _MAGIC.search(request.prompt)
        word, number = magic.groups() if magic else ("", "")
        if word == "die":
            time.sleep(float(number or 0))
            os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        if word == "hang":
            self._since = time.monotonic()
            while not self._stopping:
                time.sleep(_TICK)
        if word == "lose":
            raise SystemExit  # ends this thread alone
        if word == "break":
            self._tell(wire.Failed(job=draw.job, attempt=draw.attempt, code="broken_picture"))
            return
        seconds = float(number) if word == "slow" else self._seconds
        end, steps = time.monotonic() + seconds, request.steps * request.count
        while (left := end - time.monotonic()) > 0:
            done = round(steps * (1 - left / seconds))
            self._tell(wire.Progress(job=draw.job, attempt=draw.attempt, done=done, total=steps))
            time.sleep(min(_TICK, left))
            if key in self._cancelled or self._stopping:
                return
        pictures = tuple(picture(request, index) for index in range(request.count))
        grid = pictures[0].data if len(pictures) > 1 else b""
        self._tell(
            wire.Drawn(job=draw.job, attempt=draw.attempt, pictures=pictures, grid=grid, seconds=seconds)
        )


def picture(request: Request, index: int) -> Picture:
    """Picture ``index`` of ``request``: one colour, the same every time."""
    seed = (request.seed + index) % 2**32
    colour = hashlib.sha256(f"{request.prompt}\0{seed}".encode()).digest()[:3]
    data = png(request.width, request.height, colour)
    return Picture(
        index=index, seed=seed, width=request.width, height=request.height, data=data, preview=data
    )


def png(width: int, height: int, colour: bytes) -> bytes:
    """A PNG of one RGB colour, written by hand (W3C PNG 3rd edition, section 5)."""
    rows = (b"\0" + colour * width) * height

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
