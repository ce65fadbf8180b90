"""Engines that draw in virtual time, and die, hang, fail and answer late. One outlives the bot that began it.

What ``inference.serve`` promises holds here: ``Hello`` names what is drawn and what is finished, results are
kept for ten minutes until ``Settled``, credits follow the room. The bot's end stands in for
``inference.client.Client``: it starts an engine that is not there, and says ``Lost`` when one is gone.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from inference import wire
from inference.request import Picture
from tests.fakes.engine import png
from tests.sim.world import World

ROOM = 4
"""Jobs that one engine takes at once."""
KEPT, ALONE = 600.0, 600.0
"""Seconds that a result waits for Settled, and that an engine waits for a bot."""
STARTS = (1.0, 12.0)
DELAY = 0.002
"""Seconds of a message on its way; they keep their order."""
SILENT, PAUSE = (15.0, 120.0), (0.2, 5.0)
FAILED, MISSING, LATE = 0.02, 0.03, 0.8
"""Shares: of jobs of which nothing comes, of pictures that do not come, of cancelled jobs that come all the
same."""
POISON = "poison"
"""A prompt with this word kills the engine that draws it."""

Key = tuple[int, int]
"""(job, attempt)."""


def drawn(draw: wire.Draw, missing: set[int], seconds: float) -> wire.Drawn:
    """What an engine answers. Each attempt's pictures are its own: files tell who drew them."""
    request, pictures, failures = draw.request, [], []
    for index in range(request.count):
        if index in missing:
            failures.append(wire.Failure(index=index, code="broken_picture"))
            continue
        seed = request.seed + index
        data = png(2, 2, seed * 64 + draw.attempt)
        pictures.append(
            Picture(
                index=index, seed=seed, width=request.width, height=request.height, data=data, preview=b"webp"
            )
        )
    grid = png(4, 4, request.seed * 64 + draw.attempt) if len(pictures) > 1 else b""
    return wire.Drawn(
        job=draw.job, attempt=draw.attempt, pictures=tuple(pictures), grid=grid, failures=tuple(failures),
        seconds=seconds,
    )  # fmt: skip


@dataclass(eq=False)
class Process:
    """One engine process."""

    world: World
    machine: Machine
    number: int
    drawing: dict[Key, wire.Draw] = field(default_factory=dict)
    finished: dict[Key, tuple[float, wire.Drawn | wire.Failed]] = field(default_factory=dict)
    alive: bool = True
    hung: bool = False
    link: Link | None = None
    granted: int = 0
    """Credits that it gave and nobody used."""
    roomy: float = 0.0
    """Since when it has any."""
    alone: float = 0.0
    """When its last bot was gone."""

    # --- with its bot

    def meet(self, link: Link) -> None:
        self.link, self.granted = link, 0
        self._forget()
        self.tell(wire.Hello(
            pid=self.number, device="cpu", dtype="float32", torch="0",
            models=(wire.ModelState(name="builtin", state="ready"),),
            drawing=tuple(self.drawing), finished=tuple(self.finished),
        ))  # fmt: skip
        for _, result in self.finished.values():
            self.tell(result)
        self.tell(wire.Beat(speed={"builtin": 2.0}, pace={"builtin": 0.2}))
        self._grant()

    def leave(self) -> None:
        """Its bot is gone."""
        self.link, self.alone = None, self.world.loop.time()

    def _forget(self) -> None:
        now = self.world.loop.time()
        self.finished = {key: kept for key, kept in self.finished.items() if now - kept[0] < KEPT}

    def tell(self, message: wire.FromEngine) -> None:
        if self.link is not None and self.alive and not self.hung:
            job, attempt = getattr(message, "job", None), getattr(message, "attempt", None)
            held = (sorted(self.drawing), sorted(self.finished)) if isinstance(message, wire.Hello) else ()
            kind = type(message).__name__
            self.world.note("from", self.machine.name, self.number, kind, job, attempt, *held)
            self.link.receive(message)

    def _grant(self) -> None:
        free = ROOM - len(self.drawing) - self.granted
        if free > 0 and self.link is not None:
            self.roomy = self.roomy if self.granted else self.world.loop.time()
            self.granted += free
            self.tell(wire.Ready(credits=free))

    def hear(self, message: wire.ToEngine) -> None:
        job, attempt = getattr(message, "job", None), getattr(message, "attempt", None)
        self.world.note("to", self.machine.name, self.number, type(message).__name__, job, attempt)
        if self.alive and self.hung and isinstance(message, wire.Draw):
            self.drawing[message.job, message.attempt] = message  # it has it, and nobody knows yet
        if not self.alive or self.hung:
            return
        match message:
            case wire.Draw():
                self.granted = max(0, self.granted - 1)
                self._begin(message)
            case wire.Cancel():
                self._cancel((message.job, message.attempt))
            case wire.Settled():
                self.finished.pop((message.job, message.attempt), None)
            case wire.Quit():
                self.die()

    # --- drawing

    def _begin(self, draw: wire.Draw) -> None:
        key = (draw.job, draw.attempt)
        if key in self.finished:
            self.tell(self.finished[key][1])
            return
        self.drawing[key] = draw
        self.machine.begun(draw)
        seconds = self.world.dice.uniform(1.0, 4.0) * draw.request.count * (1 + len(self.drawing) / 4)
        total = draw.request.steps * draw.request.count
        halfway = wire.Progress(job=draw.job, attempt=draw.attempt, done=total // 2, total=total)
        self.world.later(seconds / 2, self._progress, key, halfway)
        self.world.later(seconds, self._finish, key, seconds)

    def _progress(self, key: Key, message: wire.Progress) -> None:
        if key not in self.drawing or self.hung or not self.alive:
            return
        if POISON in self.drawing[key].request.prompt:
            self.world.fault("poison", key)
            self.die()
        else:
            self.tell(message)

    def _finish(self, key: Key, seconds: float) -> None:
        if key not in self.drawing or self.hung or not self.alive:
            return
        draw, world = self.drawing.pop(key), self.world
        result: wire.Drawn | wire.Failed
        if world.chance(FAILED):
            world.fault("drawing failed", key)
            result = wire.Failed(job=draw.job, attempt=draw.attempt, code="broken_picture")
        else:
            missing = {index for index in range(draw.request.count) if world.chance(MISSING)}
            if missing:
                world.fault("picture missing", key, sorted(missing))
            result = drawn(draw, missing, seconds)
            self.machine.drew(result)
        self.finished[key] = world.loop.time(), result
        self.tell(result)
        self._grant()

    def _cancel(self, key: Key) -> None:
        draw = self.drawing.pop(key, None)
        if draw is not None and self.world.chance(LATE):  # it was done before it heard
            self.world.fault("late result", key)
            late = drawn(draw, set(), 1.0)
            self.machine.drew(late)
            self.world.later(self.world.dice.uniform(0.1, 15.0), self.tell, late)
        elif draw is not None:
            self.tell(wire.Cancelled(job=key[0], attempt=key[1]))
        self._grant()

    # --- ends

    def die(self) -> None:
        """Gone, with all it had."""
        if not self.alive:
            return
        self.alive = False
        self.world.note("engine", self.machine.name, self.number, "dies", sorted(self.drawing))
        self.drawing, self.finished = {}, {}
        self.machine.process = None
        if self.link is not None:
            self.link.lose("it left")


@dataclass(eq=False)
class Machine:
    """Where one engine runs, by its name. ``drew``: whatever was drawn, by job and attempt."""

    world: World
    name: str
    begun: Callable[[wire.Draw], None]
    drew: Callable[[wire.Drawn], None]
    process: Process | None = None
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def living(self) -> Process | None:
        """The engine there, unless nobody needed it for too long."""
        found = self.process
        if found is not None and found.link is None and self.world.loop.time() - found.alone > ALONE:
            found.die()
        return self.process

    def start(self) -> Process:
        self.process = Process(self.world, self, next(self._numbers))
        self.world.note("engine", self.name, self.process.number, "starts")
        return self.process

    def owns(self, key: Key) -> bool:
        """Is it drawn here?"""
        return self.process is not None and key in self.process.drawing

    def room(self, seconds: float = 0.0) -> bool:
        """It has a bot, and gave credits at least so long ago that are not used."""
        process = self.process
        return (
            process is not None and not process.hung and process.link is not None
            and process.granted > 0 and self.world.loop.time() - process.roomy >= seconds
        )  # fmt: skip

    def idle(self) -> bool:
        """It has room, and draws nothing."""
        return self.room() and self.process is not None and not self.process.drawing


class Link:
    """The bot's end, made anew for each of its lives (``bot.dispatch.Engine``)."""

    def __init__(self, machine: Machine) -> None:
        self.name = machine.name
        self._machine = machine
        self._process: Process | None = None
        self._messages: deque[wire.FromEngine] = deque()
        self._in: deque[tuple[wire.FromEngine, Process | None]] = deque()
        self._out: deque[tuple[wire.ToEngine, Process]] = deque()
        self._news = asyncio.Event()
        self._stopping = False

    async def run(self, handle: Callable[[wire.FromEngine], Awaitable[None]]) -> None:
        dice = self._machine.world.dice
        while not self._stopping:
            process = self._machine.living()
            if process is None:
                await asyncio.sleep(dice.uniform(*STARTS))
                process = self._machine.living() or self._machine.start()
            self._process = process
            self._messages.clear()
            process.meet(self)
            while not isinstance(message := await self._next(), wire.Lost):
                await handle(message)
            self._process = None
            if not self._stopping:
                await handle(message)
                await asyncio.sleep(dice.uniform(*PAUSE))

    async def _next(self) -> wire.FromEngine:
        while not self._messages:
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    def receive(self, message: wire.FromEngine) -> None:
        """From the engine, a moment later, in order."""
        self._in.append((message, self._process))
        self._machine.world.later(DELAY, self._put)

    def _put(self) -> None:
        message, sender = self._in.popleft()
        if sender is self._process and sender is not None:
            self._messages.append(message)
            self._news.set()

    def lose(self, reason: str) -> None:
        """The line to it is gone, or it is."""
        if self._process is not None:
            self.receive(wire.Lost(reason=reason))

    async def send(self, message: wire.ToEngine) -> bool:
        if self._process is None:
            return False
        self._out.append((message, self._process))
        self._machine.world.later(DELAY, self._hand_over)
        await asyncio.sleep(0)
        return True

    def _hand_over(self) -> None:
        message, process = self._out.popleft()
        process.hear(message)

    async def stop(self, quit: bool) -> None:  # noqa: A002 - the wire's word
        self._stopping = True
        if self._process is not None:
            process = self._process
            process.leave()
            if quit:
                process.die()
            self.lose("stopped")


def hang(machine: Machine) -> None:
    """It says nothing more; whoever waits for it gives it up in a while, and ends it."""
    process = machine.process
    if process is None or process.hung:
        return
    process.hung = True
    process.world.fault("engine hung", machine.name)
    process.world.later(process.world.dice.uniform(*SILENT), process.die)


def die(machine: Machine) -> None:
    """It is killed."""
    if machine.process is not None:
        machine.world.fault("engine died", machine.name)
        machine.process.die()


def break_line(machine: Machine) -> None:
    """The engine lives and draws on; its bot believes it lost, and comes back to it."""
    process = machine.process
    if process is not None and process.link is not None:
        machine.world.fault("line to engine broke", machine.name)
        link = process.link
        process.leave()
        link.lose("the connection broke")


__all__ = ["POISON", "Link", "Machine", "Process", "break_line", "die", "drawn", "hang"]
