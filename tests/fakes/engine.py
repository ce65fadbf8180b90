"""Engines in memory: one that does only what a test says, and one that draws by itself."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from inference import wire
from inference.request import Picture, Request

M = TypeVar("M", bound=wire.Message)


def png(width: int, height: int, seed: int) -> bytes:
    """A flat PNG whose colour follows from the seed."""
    colour = hashlib.sha256(str(seed).encode()).digest()[:3]
    rows = (b"\0" + colour * width) * height

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(rows, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def drawn(draw: wire.Draw, *, lack: tuple[int, ...] = ()) -> wire.Drawn:
    """What an engine answers; pictures in ``lack`` did not come out."""
    request = draw.request
    pictures = tuple(picture(request, i) for i in range(request.count) if i not in lack)
    failures = tuple(wire.Failure(index=i, code="broken_picture") for i in lack)
    grid = png(request.width * 2, request.height * 2, request.seed) if len(pictures) > 1 else b""
    return wire.Drawn(
        job=draw.job, attempt=draw.attempt, pictures=pictures, grid=grid, failures=failures, seconds=0.5
    )


def picture(request: Request, index: int) -> Picture:
    seed = request.seed + index
    data = png(request.width, request.height, seed)
    return Picture(
        index=index, seed=seed, width=request.width, height=request.height, data=data, preview=b"webp"
    )


class FakeEngine:
    """Remembers what it was sent, says what the test says."""

    def __init__(self, name: str = "engine") -> None:
        self.name = name
        self.sent: list[wire.ToEngine] = []
        self.connected = True
        self.stopped: bool | None = None
        self._handle: Callable[[wire.FromEngine], Awaitable[None]] | None = None
        self._running = asyncio.Event()
        self._news = asyncio.Event()

    async def run(self, handle: Callable[[wire.FromEngine], Awaitable[None]]) -> None:
        self._handle = handle
        self._running.set()
        await asyncio.Event().wait()

    async def send(self, message: wire.ToEngine) -> bool:
        if self.connected:
            self.sent.append(message)
            self._news.set()
        return self.connected

    async def stop(self, quit: bool) -> None:  # noqa: A002 - the wire's word
        self.stopped = quit

    async def say(self, message: wire.FromEngine) -> None:
        await self._running.wait()
        assert self._handle
        await self._handle(message)

    async def hello(
        self, credits: int = 0, *, drawing: tuple[tuple[int, int], ...] = (),  # noqa: A002 - the wire's word
        finished: tuple[tuple[int, int], ...] = (), states: tuple[wire.ModelState, ...] = (),
    ) -> None:  # fmt: skip
        states = states or (wire.ModelState(name="builtin", state="ready"),)
        hello = wire.Hello(
            pid=1, device="cpu", dtype="float32", torch="0", models=states, drawing=drawing, finished=finished
        )
        await self.say(hello)
        if credits:
            await self.say(wire.Ready(credits=credits))

    def got(self, kind: type[M]) -> list[M]:
        return [message for message in self.sent if isinstance(message, kind)]

    async def wait_for(self, kind: type[M], count: int = 1) -> list[M]:
        async with asyncio.timeout(60):
            while len(self.got(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return self.got(kind)


class DrawingEngine(FakeEngine):
    """Draws everything at once, ``credits`` jobs at a time."""

    def __init__(self, name: str = "engine", credits: int = 4, seconds: float = 0.0) -> None:  # noqa: A002
        super().__init__(name)
        self._credits = credits
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, handle: Callable[[wire.FromEngine], Awaitable[None]]) -> None:
        self._handle = handle
        self._running.set()
        await self.hello(self._credits)
        await asyncio.Event().wait()

    async def send(self, message: wire.ToEngine) -> bool:
        sent = await super().send(message)
        if sent and isinstance(message, wire.Draw):
            task = asyncio.create_task(self._draw(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return sent

    async def _draw(self, draw: wire.Draw) -> None:
        total = draw.request.steps * draw.request.count
        await self.say(wire.Progress(job=draw.job, attempt=draw.attempt, done=total // 2, total=total))
        await asyncio.sleep(self._seconds)
        await self.say(drawn(draw))
        await self.say(wire.Ready(credits=1))
