"""The inference process: one socket, one engine, one loop.

``python -m inference.serve --home DIR --models FILE (--socket PATH | --port 0) [--device auto] [--stub]``

It serves one bot at a time (a newer connection replaces the older), keeps what the bot has not settled,
outlives its bot for ten minutes, and leaves at once when a bot of another protocol knocks. Exit codes: 0
asked to leave or left alone, 3 another engine lives in this folder, 70 the device is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from inference import door, wire
from inference.lock import Lock, Note, Taken
from inference.request import ModelSpec

log = logging.getLogger("inference.serve")

KEEP_RESULTS = 600.0
"""Seconds a result waits for Settled."""
LIVE_ALONE = 600.0
"""Seconds an engine lives without a bot."""
FIRST_WORD = 10.0
"""Seconds a connection has for its Open."""
BEAT = 1.0
BACKLOG = 1_000
"""Messages a bot may be behind before its connection is closed; progress is dropped at a tenth."""
ROOM, PER_CREDIT = 20, 8
"""Rows that may be in the engine before credits stop; rows that one job is expected to bring."""
EXIT_TAKEN, EXIT_LOST = 3, 70

Key = tuple[int, int]
Over = wire.Drawn | wire.Failed | wire.Cancelled


def room(rows: int) -> int:
    """Jobs that may be sent to an engine that has ``rows`` rows in flight: late enough that the order stays
    open, early enough to fill a batch."""
    return -(-(ROOM - rows) // PER_CREDIT)


class Drawer(Protocol):
    """What serves: ``engine.Engine`` or ``stub.StubEngine``."""

    @property
    def device(self) -> str:
        """Where it computes, in words."""

    @property
    def dtype(self) -> str:
        """What it usually computes in."""

    @property
    def torch(self) -> str:
        """Version of torch."""

    @property
    def alive(self) -> bool:
        """False when only a new process helps."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Leave."""

    def submit(self, draw: wire.Draw) -> None:
        """Draw."""

    def cancel(self, job: int, attempt: int) -> None:
        """Stop drawing."""

    def states(self) -> tuple[wire.ModelState, ...]:
        """The models."""

    def stalled(self) -> float:
        """Seconds the present step has been running."""

    def speeds(self) -> dict[str, float]:
        """Seconds a unit of work, by model."""

    def paces(self) -> dict[str, float]:
        """Seconds a call and megapixel, by model."""


class Peer:
    """One connection of a bot: frames go out in order, from a queue that cannot grow without end."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(BACKLOG)
        self._task = asyncio.create_task(self._send())

    def put(self, frame: bytes, fleeting: bool = False) -> None:
        """Send ``frame`` in its turn; a fleeting one is dropped when the bot is slow."""
        if fleeting and self._frames.qsize() > BACKLOG // 10:
            return
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            self._task.cancel()
            self._writer.transport.abort()  # nothing more would be read anyway

    def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        self._writer.close()

    async def _send(self) -> None:
        try:
            while True:
                self._writer.write(await self._frames.get())
                await self._writer.drain()
        except ConnectionError:
            self._writer.close()  # the reading side sees the end


class Serve:
    """State of the process between connections. Everything here runs on the event loop."""

    def __init__(
        self, token: str = "", clock: Callable[[], float] = time.monotonic, safety: str = ""
    ) -> None:
        self.engine: Drawer | None = None
        self.done = asyncio.Event()
        self.code = 0
        self._token = token
        self._safety = safety
        self._clock = clock
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._peer: Peer | None = None
        self._drawing: dict[Key, int] = {}
        self._finished: dict[Key, tuple[float, bytes]] = {}
        self._granted = 0
        self._warm = False
        """The first model was ready once; later it may make room for another."""
        self._alone_since = clock()

    # --- from the engine

    def tell(self, message: wire.ToBot) -> None:
        """A message of the engine."""
        if isinstance(message, Over):
            self._over(message)
        elif isinstance(message, wire.Progress):
            if (message.job, message.attempt) in self._drawing:
                self._put(message, fleeting=True)
        else:
            self._put(message)
        self._grant()

    def _over(self, message: Over) -> None:
        key = message.job, message.attempt
        if self._drawing.pop(key, None) is None:
            return  # it was cancelled, or asked for again with another attempt
        if isinstance(message, wire.Cancelled):
            self._put(message)
            return
        data = _framed(message)
        self._finished[key] = self._clock(), data
        if self._peer:
            self._peer.put(data)

    def _put(self, message: wire.ToBot, fleeting: bool = False) -> None:
        if self._peer:
            self._peer.put(wire.frame(message), fleeting)

    def _grant(self) -> None:
        """Ready, as long as there is room."""
        if not self._peer or not self.engine:
            return
        first = self.engine.states()[:1]
        self._warm = self._warm or not any(state.state in {"waiting", "loading"} for state in first)
        if not self._warm:
            return
        free = room(sum(self._drawing.values()))
        if free > self._granted:
            self._put(wire.Ready(credits=free - self._granted))
            self._granted = free

    # --- from a bot

    async def close(self) -> None:
        """Hang up on everybody and wait until they noticed."""
        for writer in self._open.values():
            writer.close()
        if self._open:
            await asyncio.wait(list(self._open), timeout=1.0)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end. Whatever it sends, only this connection suffers."""
        peer = None
        task = asyncio.current_task()
        if task is not None:
            self._open[task] = writer
            task.add_done_callback(lambda task: self._open.pop(task, None))
        try:
            async with asyncio.timeout(FIRST_WORD):
                first = await wire.read_by_engine(reader)
            if not self._welcome(first):
                return
            peer = self._connect(writer)
            while (message := await wire.read_by_engine(reader)) is not None:
                self._hear(message)
        except (wire.BadFrame, ConnectionError, TimeoutError) as error:
            log.warning("connection closed", extra={"action": "hang up", "reason": type(error).__name__})
        finally:
            writer.close()
            if peer is not None:
                peer.close()
                self._gone(peer)

    def _welcome(self, first: wire.ToEngine | None) -> bool:
        if not isinstance(first, wire.Open) or not door.fits(first.token, self._token):
            return False
        if first.protocol != wire.PROTOCOL:
            log.warning("a bot of another protocol", extra={"action": "leave"})
            self.done.set()
            return False
        return self.engine is not None

    def _connect(self, writer: asyncio.StreamWriter) -> Peer:
        if self._peer:
            self._peer.close()
        self._peer = peer = Peer(writer)
        engine = self.engine
        if engine is not None:
            self._put(
                wire.Hello(
                    pid=os.getpid(), device=engine.device, dtype=engine.dtype, torch=engine.torch,
                    models=engine.states(), safety=self._safety, drawing=tuple(self._drawing),
                    finished=tuple(self._finished),
                )
            )  # fmt: skip
        for _, data in self._finished.values():
            peer.put(data)
        self._granted = 0
        self._grant()
        return peer

    def _gone(self, peer: Peer) -> None:
        if self._peer is peer:
            self._peer = None
            self._alone_since = self._clock()

    def _hear(self, message: wire.ToEngine) -> None:
        match message:
            case wire.Draw():
                self._draw(message)
            case wire.Cancel():
                self._cancel((message.job, message.attempt))
            case wire.Settled():
                self._finished.pop((message.job, message.attempt), None)
            case wire.Quit():
                self.done.set()
            case wire.Open():
                raise wire.BadFrame("a second Open")

    def _draw(self, draw: wire.Draw) -> None:
        key = draw.job, draw.attempt
        self._granted = max(0, self._granted - 1)
        if key in self._finished and self._peer:
            self._peer.put(self._finished[key][1])
        elif key not in self._drawing and self.engine:
            for old in [old for old in self._drawing if old[0] == draw.job]:
                self._cancel(old)
            self._drawing[key] = draw.request.rows * draw.request.count
            self.engine.submit(draw)
        self._grant()

    def _cancel(self, key: Key) -> None:
        self._finished.pop(key, None)
        if key in self._drawing and self.engine:
            self.engine.cancel(*key)
        else:
            self._put(wire.Cancelled(job=key[0], attempt=key[1]))

    # --- by itself

    async def live(self) -> None:
        """Beat, forget old results, leave when nobody comes. Returns when it is time to leave."""
        while not self.done.is_set():
            now = self._clock()
            if self.engine:
                beat = wire.Beat(
                    stalled=self.engine.stalled(), speed=self.engine.speeds(), pace=self.engine.paces(),
                    jobs=len(self._drawing),
                )  # fmt: skip
                self._put(beat, fleeting=True)
                if not self.engine.alive:
                    log.error("the engine's thread died", extra={"action": "leave"})
                    self.code = EXIT_LOST
                    return
            self._finished = {k: kept for k, kept in self._finished.items() if now - kept[0] < KEEP_RESULTS}
            if self._peer is None and now - self._alone_since > LIVE_ALONE:
                log.info("no bot came", extra={"action": "leave"})
                return
            try:
                async with asyncio.timeout(BEAT):
                    await self.done.wait()
            except TimeoutError:
                continue


def _framed(message: wire.Drawn | wire.Failed) -> bytes:
    """``message`` as a frame; one that is too big goes without its grid, or fails."""
    try:
        return wire.frame(message)
    except wire.BadFrame:
        if isinstance(message, wire.Drawn) and message.grid:
            return _framed(msgspec.structs.replace(message, grid=b""))
        return wire.frame(wire.Failed(job=message.job, attempt=message.attempt, code="too_big"))


def _engine(options: argparse.Namespace, specs: tuple[ModelSpec, ...], serve: Serve) -> Drawer:
    loop = asyncio.get_running_loop()

    def tell(message: wire.ToBot) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(serve.tell, message)

    if options.stub:
        from inference.stub import StubEngine

        return StubEngine(specs, tell, options.stub_seconds)
    from inference.build import build

    return build(specs, tell, options.device, options.home, options.safety)


async def run(options: argparse.Namespace, lock: Lock) -> int:
    """Serve until it is time to leave; the exit code."""
    specs = msgspec.json.decode(options.models.read_bytes(), type=tuple[ModelSpec, ...])
    token = door.key()
    serve = Serve(token, safety=options.safety)
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, serve.done.set)
    serve.engine = _engine(options, specs, serve)
    serve.engine.start()
    entrance = await door.listen(serve.accept, options.socket, options.port or 0)
    lock.write(Note(pid=os.getpid(), address=entrance.address, token=token))
    try:
        await serve.live()
    finally:
        entrance.close()
        await serve.close()
        serve.engine.stop()
    return serve.code


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="inference.serve", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, help="listen on this Unix socket")
    where.add_argument("--port", type=int, help="listen on this port of 127.0.0.1 (0: any free one)")
    parser.add_argument("--home", type=Path, required=True, help="data folder; its lock file is here")
    parser.add_argument("--name", default="engine", help="which engine of this data folder")
    parser.add_argument("--models", type=Path, required=True, help="JSON file: a list of model specs")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--safety", default="", help="folder or hub id of a classifier for finished pictures")
    parser.add_argument("--stub", action="store_true", help="no model: draws flat colours (tests)")
    parser.add_argument("--stub-seconds", type=float, default=0.0)
    return parser.parse_args(words)


def main() -> int:
    """Take the lock, serve, leave."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = arguments()
    try:
        lock = Lock(options.home / f"{options.name}.lock")
    except Taken:
        return EXIT_TAKEN
    try:
        return asyncio.run(run(options, lock))
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
