"""One seed is one day: 24 hours of the real bot among people, chats and engines of the simulation's own."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import IO, Any, Self
from unittest import mock

from apscheduler.schedulers import base as scheduling

from bot.app import App
from bot.config import Config
from bot.home import Home
from bot.life import Life, live
from storage import jobs
from storage.refusal import Refusal
from tests.fakes.room import CONFIG
from tests.sim import engines
from tests.sim.chats import Chat, Platform
from tests.sim.disk import Disk
from tests.sim.engines import Link, Machine
from tests.sim.judge import Judge, anybody, counted, guest, ordered, stopped
from tests.sim.loop import Task, made
from tests.sim.people import People
from tests.sim.world import BugError, World

HOUR = 3_600.0
LOOK = 20.0
"""Seconds between two looks of the judge."""
HEALING = 1_800.0
"""Seconds within which everything must be quiet once nothing goes wrong any more."""
PATIENCE = 240.0
"""Seconds that the last words about a job may take: a chat may put them off again and again."""
TALKS = ("answer", "_resume", "_tell", "_not_total.<locals>.answer")
"""What a conversation runs; the last one is a trap's."""


@dataclass(frozen=True)
class Size:
    """How long a day is, how often anybody does anything (s), and how often something goes wrong (1 is as
    often as in the full size)."""

    hours: float = 24.0
    often: float = 150.0
    trouble: float = 1.0
    crowd: float = 0.04


FULL = Size()


@dataclass(frozen=True)
class Outcome:
    """What a day showed. ``record``: the hash of everything that happened."""

    wrongs: tuple[str, ...]
    fired: Counter[str]
    record: str
    jobs: int
    lives: int
    steps: int
    recent: tuple[str, ...] = ()


@dataclass(eq=False)
class Day:
    """The world and the bot in it."""

    world: World
    folder: Path
    size: Size
    disk: Disk
    platforms: dict[str, Platform]
    machines: tuple[Machine, ...]
    people: People
    judge: Judge
    lives: int = 0
    life: Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False
    since: float = 0.0
    """Since when bot and disk are up and well."""
    _stop: asyncio.Event | None = None
    _locks: list[IO[str]] = field(default_factory=list)
    _ending: Task[None] | None = None
    _over: dict[int, float] = field(default_factory=dict)
    """Jobs that are over and still talked about → since when."""

    @property
    def config(self) -> Config:
        return replace(CONFIG, data_dir=self.folder, queue_limit=20, daily_credits=150, retention_days=30)

    # --- the bot

    async def _live(self, stop: asyncio.Event) -> None:
        def adapters(app: App, home: Home) -> Sequence[Chat]:
            return [Chat(each) for each in self.platforms.values()]

        def links(config: Config, home: Home) -> Sequence[Link]:
            return [Link(each) for each in self.machines]

        lock = Home.lock

        def locked(home: Home) -> IO[str]:
            file = lock(home)
            self._locks.append(file)
            return file

        with mock.patch.object(Home, "lock", locked):
            entered = live(self.config, adapters, links, self.world.clock, self.disk)
            life: Life = await entered.__aenter__()
        del life
        self.since = self.world.loop.time()
        try:
            await stop.wait()
        finally:
            await entered.__aexit__(None, None, None)

    async def keep_alive(self) -> None:
        """As a service manager does: what ends is begun again a moment later."""
        while not self.over:
            self.lives += 1
            self._stop = asyncio.Event()
            self.world.note("life", self.lives)
            self.life = self.world.loop.begin(self.lives, self._live(self._stop))
            ended = self.ended = asyncio.Event()
            self.life.add_done_callback(partial(_tell, ended))
            await self._ended(self.life)
            self.since = float("inf")
            if not self.over:
                await asyncio.sleep(self.world.dice.uniform(0.5, 15.0))

    async def _ended(self, life: Task[None]) -> None:
        """It stopped, was killed or could not start."""
        await self.ended.wait()
        if life.done() and not life.cancelled() and (error := life.exception()):
            if not isinstance(error, Refusal):
                self.world.wrong(f"a life broke: {type(error).__name__}: {error}")
            self.world.note("no start", str(error))
            self._unlock()
            self.disk.cut()

    def crash(self) -> None:
        """kill -9: nothing of it runs any more, its files are closed as they are."""
        if self.life is None or self.life.done():
            return
        self.world.fault("crash", self.lives)
        self.world.loop.kill(self.lives)
        self.disk.cut()
        self._unlock()
        for machine in self.machines:
            if machine.process is not None and machine.process.link is not None:
                machine.process.leave()
        self.life = None
        self.ended.set()

    def _unlock(self) -> None:
        for file in self._locks:
            file.close()
        self._locks = []

    async def restart(self) -> None:
        """SIGTERM, and up again."""
        if self._stop is not None and self.up:
            self.world.fault("restart", self.lives)
            await self._end()

    async def _end(self) -> None:
        """Stop and be gone: no task, no transaction is left."""
        life, number = self.life, self.lives
        assert life is not None and self._stop is not None  # noqa: PT018 - both belong to a life
        self._stop.set()
        while not life.done():
            if self.life is not life:
                return  # killed meanwhile
            await asyncio.sleep(0.05)
        await asyncio.sleep(5.0)
        for task in self.world.loop.tasks(number):
            self.world.wrong(f"a task is left over: {task.get_coro()!r:.60}")
        self.disk.runners = []

    def served(self) -> bool:
        """Bot and disk are up and well, and were so for a while."""
        return self.up and self.disk.well and self.world.loop.time() - self.since > 2 * LOOK

    @property
    def up(self) -> bool:
        return self.since <= self.world.loop.time()

    # --- trouble

    async def trouble(self) -> None:
        """Faults of every kind, at their own rates, until everything heals."""
        dice = self.world.dice
        each_hour: tuple[tuple[Callable[[], None], float], ...] = (
            (self.crash, 0.7), (self._restart, 0.12), (self._engine_dies, 0.3), (self._engine_hangs, 0.15),
            (self._line_breaks, 0.8), (self._disk_full, 0.12), (self._disk_ails, 0.12),
            (self._disk_once, 0.5), (self._clock_forward, 0.1), (self._clock_back, 0.1),
            (self._chat_breaks, 0.4), (self._outage, 0.12),
        )  # fmt: skip
        kinds, rates = zip(*each_hour, strict=True)
        total = sum(rates) * self.size.trouble / HOUR
        while not self.world.healed:
            await asyncio.sleep(dice.expovariate(total))
            if not self.world.healed:
                dice.choices(kinds, rates)[0]()

    def _restart(self) -> None:
        self._ending = self.world.loop.create_task(self.restart())

    def _machine(self) -> Machine:
        return self.world.dice.choice(self.machines)

    def _engine_dies(self) -> None:
        engines.die(self._machine())

    def _engine_hangs(self) -> None:
        engines.hang(self._machine())

    def _line_breaks(self) -> None:
        engines.break_line(self._machine())

    def _disk_full(self) -> None:
        self.disk.full = True
        self.world.later(self.world.dice.uniform(5, 120), self._disk_well)

    def _disk_ails(self) -> None:
        self.disk.ailing = True
        self.world.later(self.world.dice.uniform(2, 60), self._disk_well)

    def _disk_well(self) -> None:
        self.disk.full = self.disk.ailing = False
        self.since = self.world.loop.time() if self.up else self.since

    def _disk_once(self) -> None:
        self.disk.once = self.world.dice.randint(1, 3)

    def _clock_forward(self) -> None:
        self._jump("clock forward", 1.0)

    def _clock_back(self) -> None:
        self._jump("clock back", -1.0)

    def _jump(self, kind: str, sign: float) -> None:
        seconds = sign * self.world.dice.choice((30.0, 600.0, 2 * HOUR, 20 * HOUR))
        self.world.shift += seconds
        self.world.fault(kind, seconds)

    def _chat_breaks(self) -> None:
        """The line of one chat breaks: everybody who talks there is cut off at whatever they wait for."""
        platform = self.world.dice.choice(tuple(self.platforms.values()))
        if self.up:
            talks = [t for t in self.world.loop.tasks(self.lives) if _name(t) in TALKS]
            for _ in talks:
                self.world.fault("callers cancelled", platform.name)
            platform.break_line()

    def _outage(self) -> None:
        platform = self.world.dice.choice(tuple(self.platforms.values()))
        platform.down = True
        self.world.later(self.world.dice.uniform(20, 400), setattr, platform, "down", False)

    def heal(self) -> None:
        """Nothing goes wrong any more; the clock stays as wrong as it is."""
        self.world.healed = True
        self.disk.once = 0
        self._disk_well()
        for platform in self.platforms.values():
            platform.down = False

    # --- the day

    async def watch(self) -> None:
        """Look every few seconds, and into the books every few hours."""
        looks = 0
        while not self.over:
            await asyncio.sleep(LOOK)
            looks += 1
            if self.disk.open_transactions():
                self.world.wrong("a transaction is open")
            self.judge.now(served=self.served())
            if self.served():
                self._look_for_talks()
            if looks % 720 == 0:
                self.judge.books()

    async def play(self) -> None:
        """From the first life to the last."""
        keeper = asyncio.create_task(self.keep_alive())
        watcher = asyncio.create_task(self.watch())
        trouble = asyncio.create_task(self.trouble())
        await asyncio.sleep(30)
        await self.people.live(self.size.hours * HOUR)
        await asyncio.sleep(60)  # whoever began something ends it
        self.heal()
        trouble.cancel()
        await self._until(lambda: self.up and self.life is not None)
        await self._end()
        await self._until(lambda: self.up)
        if not await self._until(self.judge.quiet):
            self.judge.left()
        self.over = True
        await self._end()
        keeper.cancel()
        watcher.cancel()
        self.judge.whole(self.folder / "pictures")

    async def _until(self, wanted: Callable[[], bool]) -> bool:
        ends = self.world.loop.time() + HEALING
        while not wanted():
            if self.world.loop.time() > ends:
                return False
            await asyncio.sleep(2.0)
        return True

    def _look_for_talks(self) -> None:
        """Nobody talks for ever about what is over."""
        now = self.world.loop.time()
        found = {job for job in map(_talks_of, self.world.loop.tasks(self.lives)) if job is not None}
        self._over = {job: self._over.get(job, now) for job in found if self.judge.is_over(job)}
        for job, since in self._over.items():
            if now - since > PATIENCE:
                self.world.wrong(f"somebody still waits for job {job}, which is over")
        self.judge.unanswered({event for event in map(_answers, self.world.loop.tasks(self.lives)) if event})


def _answers(task: Task[object]) -> tuple[str, str] | None:
    """The event that a conversation answers: its platform and its number."""
    here = _here(task)
    event = here.get("call") or here.get("event")
    return (here["adapter"].name, event.event) if "adapter" in here and event is not None else None


def _talks_of(task: Task[object]) -> int | None:
    """The job that a conversation is about."""
    return getattr(_here(task).get("thread"), "job", None)


def _tell(event: asyncio.Event, _: object) -> None:
    event.set()


def _here(task: Task[object]) -> dict[str, Any]:
    """What a conversation has in hand; nothing of other tasks."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame.f_locals if frame is not None and _name(task) in TALKS else {}


def _name(task: Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")


class _Ears(logging.Handler):
    """Bugs that the bot logs, unless the simulation made them."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, BugError | ConnectionError):
            return
        cause = f"{type(error).__name__}: {error}" if error else str(record.__dict__.get("action", ""))
        self._world.wrong(f"logged {record.getMessage()!r}: {cause}")


@contextmanager
def _heard(world: World) -> Iterator[None]:
    ears = _Ears(world)
    loggers = [logging.getLogger(name) for name in ("bot", "storage", "inference")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
        each.propagate = False
        each.addHandler(ears)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
            each.propagate = True
            each.removeHandler(ears)


@contextmanager
def _secrets(seed: int) -> Iterator[None]:
    """What nobody can guess, by seed."""
    dice = random.Random(f"secrets {seed}")
    with (
        mock.patch.object(secrets, "randbelow", dice.randrange),
        mock.patch.object(secrets, "choice", dice.choice),
        mock.patch.object(secrets, "token_hex", lambda size=32: dice.randbytes(size).hex()),
        mock.patch.object(secrets, "token_bytes", lambda size=32: dice.randbytes(size)),
    ):
        yield


def _made(world: World, folder: Path, size: Size) -> Day:
    platforms = {name: Platform(world, name, keyed=name == "keyed") for name in ("keyed", "plain")}
    people = People(world, platforms, size.often, size.crowd)
    judge = Judge(world, Home(folder).database, platforms, (), people)
    machines = tuple(
        Machine(world, name, judge.hear_draw, judge.hear_drawn)
        for name in ("engine", "engine1")[: world.dice.choice((1, 1, 2))]
    )
    judge.machines = machines
    for platform in platforms.values():
        platform.on_confirm = judge.confirmed
    day = Day(world, folder, size, Disk(world), platforms, machines, people, judge)
    judge.served = day.served
    return day


def _dated(world: World) -> type[datetime]:
    """What the scheduler of the chores takes the time from."""

    class Dated(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(world.clock(), tz)

    return Dated


def play(
    seed: int, size: Size = FULL, setup: Callable[[Day], None] | None = None, *, impatient: bool = False
) -> Outcome:
    """Play one day, or until the first wrong (``impatient``); the same seed gives the same record."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - fresh folders are made in it
    with tempfile.TemporaryDirectory(prefix="falopitas-r8-", dir=memory) as folder, ExitStack() as stack:
        loop = made(seed, shuffled=seed % 2 == 0)
        world = World(loop, seed, random.Random(f"world {seed}"), impatient=impatient)
        day = _made(world, Path(folder) / "data", size)
        stack.callback(os.umask, os.umask(0o077))
        stack.enter_context(_heard(world))
        stack.enter_context(_secrets(seed))
        stack.enter_context(day.disk.pictures())
        claim, claim_guest = ordered(jobs.claim, world, anybody), ordered(jobs.claim_guest, world, guest)
        stack.enter_context(mock.patch.object(jobs, "claim", claim))
        stack.enter_context(mock.patch.object(scheduling, "datetime", _dated(day.world)))
        stack.enter_context(mock.patch.object(jobs, "claim_guest", claim_guest))
        stack.enter_context(mock.patch.object(jobs, "submit", counted(jobs.submit, day.judge)))
        stack.enter_context(mock.patch.object(jobs, "cancel", stopped(jobs.cancel, day.judge)))
        if setup is not None:
            setup(day)
        try:
            loop.run_until_complete(day.play())
            count, steps = day.judge.tx.execute("SELECT count(*) FROM job").fetchone()[0], loop.steps
        finally:
            loop.close()
            day.disk.cut()
            day._unlock()
            day.judge.close()
        wrongs = (*world.wrongs, *loop.errors)
        return Outcome(wrongs, world.fired, world.record, count, day.lives, steps, tuple(world.recent))
