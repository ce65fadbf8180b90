"""Moves jobs to engines with room, and events back to whoever waits.

An engine is a stream of credits: a job is claimed when a credit arrives, never before, so that who is next
is decided at the last moment. The dispatcher, not the command, settles: the person may leave, the ledger
may not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bot.catalog import Catalog
from bot.events import Event, Moved, Over, Progress, Started, Stuck, Subscription, Watchers
from bot.speed import Pace, Range, Speed
from inference import wire
from inference.request import BUILTIN, Picture, Request
from storage import jobs, policy
from storage.database import Connection, Database
from storage.disk import check_room
from storage.gallery import Files, Kept
from storage.jobs import Ahead, Job, NewJob, Status
from storage.refusal import Refusal

__all__ = [
    "Ahead", "Catalog", "Dispatch", "Engine", "Event", "Moved", "Over", "Progress", "Range", "Started",
    "Stuck", "Subscription",
]  # fmt: skip

log = logging.getLogger(__name__)
T = TypeVar("T")

TICK = 1.0
"""Seconds between two looks at who moved up in the queue."""
STALE = 5
"""Ticks after which those who wait hear again even if nobody moved: the clock did."""
LOOKS = 256
"""Places looked up in one tick."""
SLICE, PAUSE = 16, 0.01
"""People told in one breath, and seconds of silence after it."""
PATIENCE = 30.0
"""Seconds that running jobs of a former life wait for their engine to speak up."""
GUESTS = 32
"""Jobs in an engine up to which somebody of whom it draws less than their part needs no credit."""
CALL = 16
"""Rows of the largest call: what is shared."""
SETTLES = 4
"""Results that may wait for the disk at once; nothing more is drawn while there are so many."""
HOPELESS = 3
"""Engines lost in a row, without a Hello in between, after which people are told."""
SEEKS = 60
"""Looks in a row (five minutes) at which a source could not be read and other pictures could: it is lost."""
RETRY = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to write what must be written, on a disk that refuses."""


@dataclass(frozen=True, slots=True)
class Safety:
    """The classifier that every engine must have (none: nothing is checked), and from which chance on a
    picture counts as one for adults only. ``stickers``: also what the built-in model draws from words alone,
    which can be nothing of the kind."""

    source: str = ""
    level: float = 2.0
    stickers: bool = True

    def checks(self, claimed: _Claimed) -> bool:
        """Is its picture looked at before it is shown?"""
        return bool(self.source) and (self.stickers or not claimed.sticker)


UNCHECKED = Safety()


class Engine(Protocol):
    """What the dispatcher needs of ``inference.client.Client``."""

    name: str

    async def run(self, handle: Callable[[wire.FromEngine], Awaitable[None]]) -> None:
        """Keep one engine alive and hand over its messages, until cancelled."""

    async def send(self, message: wire.ToEngine) -> bool:
        """False: not connected, nothing was sent."""

    async def stop(self, quit: bool) -> None:  # noqa: A002 - the wire's word
        """Let go of it; with ``quit`` it leaves too."""


@dataclass(frozen=True, slots=True)
class Health:
    """How an engine is: ``device`` empty until it said its first word; ``left`` device seconds of what it
    draws; ``lost`` times since that word."""

    name: str
    device: str
    drawing: int
    room: int
    left: float
    lost: int


@dataclass(slots=True, eq=False)
class _Link:
    """One engine as the dispatcher sees it."""

    engine: Engine
    device: str = ""
    credits: int = 0
    met: bool = False
    lost: int = 0
    """Times it was lost since it last said Hello."""
    running: dict[int, Job] = field(default_factory=dict)
    """What it was given and has not answered."""
    weights: dict[int, float] = field(default_factory=dict)
    """Account that is drawn for → its share, where that was seen."""
    paces: dict[int, Pace] = field(default_factory=dict)
    """Job → how far and how fast, once that was heard."""

    def draws(self, job: int, attempt: int) -> bool:
        return job in self.running and self.running[job].attempt == attempt

    def left(self, speed: Speed, besides: int | None = None) -> float:
        """Device seconds of what it draws, without one job."""
        rows = [row for job, row in self.running.items() if job != besides]
        return sum(speed.seconds(row.request) * (1 - self.share(row.id)) for row in rows)

    def health(self, speed: Speed) -> Health:
        """How it is."""
        left = self.left(speed)
        return Health(self.engine.name, self.device, len(self.running), self.credits, left, self.lost)

    def share(self, job: int) -> float:
        """How much of a job is drawn, 0 to 1."""
        return self.paces[job].share if job in self.paces else 0.0

    def full(self) -> set[int] | None:
        """Accounts of which it draws their part or more; None if it takes nobody without a credit."""
        if not 0 < len(self.running) < GUESTS or any(job.suspect for job in self.running.values()):
            return None
        rows: dict[int, int] = {}
        for job in self.running.values():
            rows[job.account] = rows.get(job.account, 0) + job.request.rows * job.request.count
        shares = {account: self.weights.get(account, 1.0) for account in rows}
        every = sum(shares.values())
        return {
            account for account, own in rows.items()
            if own * every >= CALL * shares[account] or len(rows) == 1
        }  # fmt: skip

    def open(self) -> bool:
        """Has it room? None where a suspect is drawn: nothing may stand beside it."""
        return self.credits > 0 and not any(job.suspect for job in self.running.values())


@dataclass(frozen=True, slots=True)
class _Claimed:
    job: Job
    weight: float
    watch: bool
    """May be seen while it is drawn, before a safety check looked at it."""
    sticker: bool
    """The built-in model draws it, and never was there anything but words."""


def _taken(tx: Connection, job: Job | None) -> _Claimed | None:
    if job is None:
        return None
    way = policy.flagged(tx, job.community, job.channel, adult=job.adult)
    sticker = not job.over and jobs.of_words(tx, job, BUILTIN)
    return _Claimed(job, jobs.weight(tx, job.id), way == "allow", sticker)


def _claim_guest(tx: Connection, engine: str, now: float, full: set[int]) -> _Claimed | None:
    """A job for an engine without room: of somebody of whom it draws less than their part. They need not
    wait until a picture is done; the engine parks what is ahead of its share."""
    return _taken(tx, None if jobs.suspects(tx) else jobs.claim_guest(tx, engine, now, full))


def _claim(tx: Connection, engine: str, now: float, idle: bool, yields: bool) -> _Claimed | None:
    """The next job of an engine that is ``idle``, or that something may join.

    A suspect is drawn alone: it goes to an idle engine only, first of all (its turn is the oldest), and the
    engine that ``yields`` takes nothing new while one waits, so that it becomes idle.
    """
    job = jobs.claim(tx, engine, now, alone=True) if idle else None
    if job is None and not (yields and jobs.suspects(tx)):
        job = jobs.claim(tx, engine, now, alone=False)
    return _taken(tx, job)


def _grid(drawn: wire.Drawn) -> Picture:
    """The grid as picture −1; a PNG's sides stand in bytes 16 to 24."""
    width, height = (int.from_bytes(drawn.grid[i : i + 4], "big") for i in (16, 20))
    seed = drawn.pictures[0].seed
    return Picture(index=-1, seed=seed, width=width, height=height, data=drawn.grid)


def _places(tx: Connection, wanted: Sequence[int]) -> list[tuple[Job, Ahead]]:
    rows = [(jobs.get(tx, job), job) for job in wanted]
    return [(row, jobs.ahead(tx, job)) for row, job in rows if row and row.status is Status.QUEUED]


async def surely(call: Callable[[], Awaitable[T]]) -> T:
    """Do it, however long the disk refuses: an outcome is never dropped."""
    pauses = chain(RETRY, repeat(RETRY[-1]))
    while True:
        try:
            return await call()
        except Refusal as refusal:
            log.warning("disk refuses", extra={"action": "disk", "code": refusal.code})
            await asyncio.sleep(next(pauses))


class Dispatch:
    """N engines as N credit streams over one queue."""

    def __init__(
        self, database: Database, files: Files, catalog: Catalog, engines: Sequence[Engine], *,
        clock: Callable[[], float], queue_limit: int = 20, home: Path | None = None,
        safety: Safety = UNCHECKED,
    ) -> None:  # fmt: skip
        self.on_over: Callable[[Job], None] = lambda _: None
        self.speed = Speed(home)
        self._database = database
        self._files = files
        self._catalog = catalog
        self._links = [_Link(engine) for engine in engines]
        self._clock = clock
        self._limit = queue_limit
        self._safety = safety
        self._watchers = Watchers()
        self._arrival = asyncio.Event()
        self._moved = True
        self._orphans: dict[int, Job] = {}
        """Running in the database since before this process."""
        self._promises: dict[int, tuple[float, float]] = {}
        """Job → when it was first told how long it would take, and how long (s)."""
        self._settling = 0
        self._leaving = asyncio.Event()
        """Nothing is waited for any more."""
        self._tasks: set[asyncio.Task[None]] = set()

    # --- for commands

    async def submit(self, new: NewJob) -> Job:
        """Charge and queue, durably; the same key gives the same job. Raises Refusal, nothing charged then.

        A model that no engine can draw with is refused here, and everything while no engine can start or the
        disk is nearly full.
        """
        if self._stuck():
            raise Refusal("no_engine")
        model = self._catalog.state(new.request.model)
        if model.state == "broken":
            raise Refusal(model.reason or "bad_model", model=model.name, detail=model.detail)
        check_room(self._files.folder.parent)
        submit = partial(jobs.submit, limit=self._limit)
        job = await self._database.write(submit, new, self._clock(), durable=True)
        self._moved = True
        self._arrival.set()
        log.info("queued", extra={"action": "queued", "job": job.id, "account": job.account})
        return job

    def wake(self) -> None:
        """The queue was changed by somebody else: a moderator released a job."""
        self._moved = True
        self._arrival.set()

    def subscribe(self, job_id: int) -> AbstractContextManager[Subscription]:
        """What happens to this job from now on; it begins with the newest that is known, ``Over`` included.

        Of a job that was over long ago nothing is known: subscribe first, then look at its row.
        """
        self._moved = True
        return self._watchers.subscribe(job_id)

    async def cancel(self, job_id: int) -> Job | None:
        """Cancelled and refunded; None if it was over already. Who may is for the command to know."""
        job = await self._database.write(jobs.cancel, job_id, self._clock(), durable=True)
        if job is not None:
            await self.stopped(job)
        return job

    async def stopped(self, job: Job) -> None:
        """Somebody's own transaction cancelled it: its engine and whoever watches it hear of that."""
        link = next((link for link in self._links if link.draws(job.id, job.attempt)), None)
        if link:
            await link.engine.send(wire.Cancel(job=job.id, attempt=job.attempt))
        self._orphans.pop(job.id, None)
        self._end(job)

    async def position(self, job_id: int) -> Ahead:
        """What is before it: the jobs that wait in front and those being drawn."""
        return await self._database.read(jobs.ahead, job_id)

    def seconds(self, request: Request) -> float:
        """Device seconds this request will take, by the last measured speed: the queue's ``cost``."""
        return self.speed.seconds(request)

    def eta(self, request: Request, ahead: Ahead | None = None, job: int | None = None) -> Range:
        """Seconds from now until a request that waits will be drawn, by what is known of the speed now.

        ``ahead`` is what waits before it; without, it is the next one. ``job`` is its id if it has one: then
        this is a promise, and it is remembered how well it was kept, unless a model that still loads makes it
        longer. What is drawn already shares its steps with it: it takes its turn after what is ahead, and at
        least as long as its steps do in company.
        """
        engines = max(1, len(self._links))
        before = (ahead.cost if ahead else 0.0) / engines
        drawn = sum(link.left(self.speed, job) for link in self._links) / engines
        seconds = before + max(drawn + self.speed.seconds(request), self.speed.in_company(request))
        known = self.speed.known(request.model)
        counts = known and not self.warming(request.model)
        if job is not None and counts and len(self._promises) < LOOKS:
            self._promises.setdefault(job, (self._clock(), seconds))
        return self.speed.range(seconds, measured=known)

    def _eta(self, job: Job, ahead: Ahead) -> Range:
        return self.eta(job.request, ahead, job.id)

    def health(self) -> tuple[Health, ...]:
        """Every engine as it is now."""
        return tuple(link.health(self.speed) for link in self._links)

    def warming(self, model: str) -> bool:
        """No engine has this model ready yet: the first picture takes longer than ``eta`` says."""
        return self._catalog.state(model).state in {"waiting", "loading"}

    def _stuck(self) -> bool:
        """Every engine was lost again and again before its first word."""
        return min((link.lost for link in self._links), default=0) >= HOPELESS

    # --- the loop

    async def run(self) -> None:
        """Serve until cancelled."""
        self._leaving.clear()
        self._orphans = {job.id: job for job in await self._database.read(jobs.running)}
        try:
            async with asyncio.TaskGroup() as group:
                for link in self._links:
                    group.create_task(link.engine.run(partial(self._hear, link)))
                group.create_task(self._feed())
                group.create_task(self._tell())
                group.create_task(self._lose_patience())
        finally:
            await self._wind_up()

    async def _wind_up(self) -> None:
        self._leaving.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=3.0)
        for task in self._tasks:
            task.cancel()

    async def stop(self, *, leave: bool = False) -> None:
        """Let the engines go; one with work goes on for the next bot unless told to ``leave``: then what it
        draws goes back to its turn."""
        for link in self._links:
            await link.engine.stop(leave or not link.running)
            if leave:
                left, link.running = link.running, {}
                self._redo(left.values(), died=False)

    def _spawn(self, work: Coroutine[Any, Any, None], rescue: tuple[int, int] | None = None) -> None:
        """Run what must not hold the engine's messages up; a bug in it fails only the job of ``rescue``."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._spawned, rescue))

    def _spawned(self, rescue: tuple[int, int] | None, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (bug := task.exception()) is None:
            return
        log.error("broke", exc_info=bug, extra={"action": "broke", "job": rescue and rescue[0]})
        if rescue:
            self._spawn(self._fail(*rescue, "broken"))

    async def _write(self, fn: Callable[..., T], *args: object) -> T:
        return await surely(partial(self._database.write, fn, *args, durable=True))

    # --- jobs to engines

    async def _feed(self) -> None:
        while True:
            await self._arrival.wait()
            self._arrival.clear()  # before claiming: what arrives meanwhile sets it again
            try:
                while await self._hand_out():
                    pass
            except Refusal as refusal:  # the disk; nothing was claimed
                log.warning("no claim", extra={"action": "disk", "code": refusal.code})
                asyncio.get_running_loop().call_later(RETRY[-1], self._arrival.set)

    async def _hand_out(self) -> bool:
        """One job to the engine with the most credits that there is a job for; False when there is none."""
        for link in sorted(self._links, key=lambda link: -link.credits):
            if link.open() and self._settling < SETTLES and await self._give(link):
                return True
        for link in sorted(self._links, key=lambda link: len(link.running)):
            full = link.full() if link.credits <= 0 and self._settling < SETTLES else None
            if full is not None and await self._give(link, full):
                return True
        return False

    async def _give(self, link: _Link, full: set[int] | None = None) -> bool:
        """Claim for this engine and send; False when there is nothing for it. ``full``: it has no room, and
        only others may come in."""
        name, now = link.engine.name, self._clock()
        yields = link is min(self._links, key=lambda link: (not link.credits, len(link.running)))
        if full is None:
            claimed = await self._database.write(_claim, name, now, not link.running, yields)
        else:
            claimed = await self._database.write(_claim_guest, name, now, full)
        if claimed is None:
            return False
        self._moved = True
        job = claimed.job
        if job.over:  # its request could not be read
            self._end(job)
            return True
        try:
            source = await self._files.load(job.request.source) if job.request.source else b""
        except Refusal as refusal:
            self._spawn(self._seek(job, refusal), (job.id, job.attempt))
        else:
            await self._send(link, claimed, source)
        return True

    async def _seek(self, job: Job, refusal: Refusal) -> None:
        """Its source could not be read. It keeps its claim, so that nobody waits behind it, until the source
        can be, or the bot leaves, and goes back to its turn; one that is gone, or alone cannot be read, fails
        it.
        """
        alone = 0
        for pause in chain(RETRY, repeat(RETRY[-1])):
            alone = alone + 1 if refusal.code == "picture_unreadable" else 0
            if refusal.code == "picture_gone" or alone >= SEEKS:
                code = "source_gone" if refusal.code == "picture_gone" else "source_unreadable"
                await self._fail(job.id, job.attempt, code)
                return
            log.warning("no source", extra={"action": "disk", "code": refusal.code, "job": job.id})
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._leaving.wait()
            if isinstance(self._watchers.newest(job.id), Over):
                return  # cancelled meanwhile
            try:
                if not self._leaving.is_set():
                    await self._files.load(job.request.source or "")
            except Refusal as again:
                refusal = again
            else:
                await self._requeue(job, died=False, suspect=False)
                return

    async def _send(self, link: _Link, claimed: _Claimed, source: bytes) -> None:
        job = claimed.job
        if isinstance(self._watchers.newest(job.id), Over):
            return  # cancelled since it was claimed
        link.running[job.id] = job
        link.weights[job.account] = claimed.weight
        link.credits = max(0, link.credits - 1)
        check = self._safety.checks(claimed)
        draw = wire.Draw(
            job=job.id, attempt=job.attempt, request=job.request, flow=f"a{job.account}",
            weight=claimed.weight, turn=job.turn, source=source, alone=job.suspect,
            watch=claimed.watch or not check, check=check,
        )  # fmt: skip
        self._watchers.publish(job.id, Started(job))
        if not await link.engine.send(draw):
            link.credits = 0
            if link.running.pop(job.id, None):
                self._redo([job], died=False)

    # --- events back

    async def _hear(self, link: _Link, message: wire.FromEngine) -> None:
        match message:
            case wire.Hello():
                await self._meet(link, message)
            case wire.Ready():
                link.credits += message.credits
                self._arrival.set()
            case wire.Models():
                self._catalog.hear(link.engine.name, message.models)
            case wire.Beat():
                self.speed.learn(message.speed, message.pace)
            case wire.Progress():
                self._progress(link, message)
            case wire.Drawn():
                self._free(link, message.job, message.attempt)  # at once: it may be lost in the next moment
                self._spawn(self._settle(link, message), (message.job, message.attempt))
            case wire.Failed():
                self._free(link, message.job, message.attempt)
                self._spawn(self._failed(link, message))
            case wire.Cancelled():
                self._free(link, message.job, message.attempt)
            case wire.Lost():
                self._lost(link, message.reason)

    async def _meet(self, link: _Link, hello: wire.Hello) -> None:
        """An engine speaks: keep what it draws for us, cancel what nobody waits for, redo the rest."""
        log.info("engine", extra={"action": "engine", "engine": link.engine.name, "device": hello.device})
        if hello.safety != self._safety.source:  # begun by a bot of another configuration
            await link.engine.send(wire.Quit())
            return
        self._catalog.hear(link.engine.name, hello.models)
        before, link.running, link.credits, link.met, link.lost = link.running, {}, 0, True, 0
        link.device = hello.device
        self._moved = True
        ours = before | self._orphans
        for job, attempt in (*hello.drawing, *hello.finished):
            if job in ours and ours[job].attempt == attempt:
                link.running[job] = ours[job]
                self._orphans.pop(job, None)
                log.info("adopted", extra={"action": "adopted", "job": job})
            elif (job, attempt) in hello.drawing:
                await link.engine.send(wire.Cancel(job=job, attempt=attempt))
        self._redo([job for job in before.values() if job.id not in link.running], died=False)
        if all(link.met for link in self._links):
            self._redo_orphans()

    async def _lose_patience(self) -> None:
        """An engine that does not speak up within ``PATIENCE`` draws nothing of ours."""
        await asyncio.sleep(PATIENCE)
        self._redo_orphans()

    def _redo_orphans(self) -> None:
        """Nobody draws them: their engine died while there was no bot, or took the bot with it."""
        orphans, self._orphans = self._orphans, {}
        self._redo(orphans.values(), died=False, suspect=True)

    def _lost(self, link: _Link, reason: str) -> None:
        """The engine is gone with all it had: back to their turns, and alone from now on."""
        log.warning("engine lost", extra={"action": "lost", "engine": link.engine.name, "reason": reason})
        lost, link.running, link.paces, link.credits = link.running, {}, {}, 0
        link.lost += 1
        self._moved = True
        self._catalog.forget(link.engine.name)
        self._redo(lost.values(), died=True)

    def _redo(self, lost: Iterable[Job], *, died: bool, suspect: bool = False) -> None:
        for job in lost:
            self._spawn(self._requeue(job, died, suspect), (job.id, job.attempt))

    async def _requeue(self, lost: Job, died: bool, suspect: bool) -> None:
        requeue = partial(jobs.requeue, died=died, suspect=suspect)
        job = await self._write(requeue, lost.id, lost.attempt, self._clock())
        self._arrival.set()
        log.info("requeued", extra={"action": "requeued", "job": job.id, "died": died, "deaths": job.deaths})
        if job.over:
            self._end(job)
        elif job.status is Status.QUEUED:
            ahead = await self.position(job.id)
            self._watchers.publish(job.id, Moved(ahead, self._eta(job, ahead)))

    def _progress(self, link: _Link, message: wire.Progress) -> None:
        if link.draws(message.job, message.attempt):
            job = link.running[message.job]
            pace = link.paces.setdefault(job.id, Pace())
            pace.heard(message.done / max(1, message.total), asyncio.get_running_loop().time())
            left = pace.left or self._rest(job.request, pace.share)
            self._watchers.publish(job.id, Progress(message.done, message.total, message.previews, left))

    def _rest(self, request: Request, share: float) -> Range:
        """How long what is not drawn yet takes, by the speed of others."""
        seconds = self.speed.seconds(request) * (1 - share)
        return self.speed.range(seconds, measured=self.speed.known(request.model))

    def _free(self, link: _Link, job: int, attempt: int) -> None:
        if link.draws(job, attempt):
            account = link.running.pop(job).account
            link.paces.pop(job, None)
            if all(other.account != account for other in link.running.values()):
                link.weights.pop(account, None)
        self._arrival.set()

    async def _settle(self, link: _Link, drawn: wire.Drawn) -> None:
        """Files, then the row, then the engine may forget: a picture is always somewhere."""
        self._settling += 1
        try:
            kept = await self._keep(drawn)
            settle = partial(jobs.settle, failures=drawn.failures, unsafe=self._safety.level)
            job = await self._write(settle, drawn.job, drawn.attempt, kept, drawn.seconds, self._clock())
        finally:
            self._settling -= 1
            self._arrival.set()
        if job:  # else somebody was faster: cancelled, or an older attempt
            self._end(job)
        self._files.settled(each.digest for each in kept)
        await link.engine.send(wire.Settled(job=drawn.job, attempt=drawn.attempt))

    async def _keep(self, drawn: wire.Drawn) -> tuple[Kept, ...]:
        pictures = [*drawn.pictures, *([_grid(drawn)] if drawn.grid and drawn.pictures else [])]
        return tuple([await self._kept(picture) for picture in pictures])

    async def _kept(self, picture: Picture) -> Kept:
        digest = await surely(partial(self._files.keep, picture.data))
        return Kept(
            digest=digest, preview=picture.preview, index=picture.index, seed=picture.seed,
            width=picture.width, height=picture.height, size=len(picture.data), unsafe=picture.unsafe,
        )  # fmt: skip

    async def _failed(self, link: _Link, failed: wire.Failed) -> None:
        log.warning("failed", extra={"action": "failed", "job": failed.job, "code": failed.code})
        await self._fail(failed.job, failed.attempt, failed.code)
        await link.engine.send(wire.Settled(job=failed.job, attempt=failed.attempt))

    async def _fail(self, job_id: int, attempt: int, code: str) -> None:
        job = await self._write(jobs.fail, job_id, attempt, code, self._clock())
        if job:
            self._end(job)

    def _end(self, job: Job) -> None:
        self._moved = True
        when, seconds = self._promises.pop(job.id, (0.0, 0.0))
        if job.status is Status.DONE and seconds:
            self.speed.kept(seconds, self._clock() - when)
        log.info("over", extra={"action": "over", "job": job.id, "status": job.status.value})
        self._watchers.publish(job.id, Over(job))
        self.on_over(job)

    # --- the queue moves

    async def _tell(self) -> None:
        """Tell those who wait what is before them, when that changed and now and then anyway."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK)
            ticks += 1
            if self._moved or ticks % STALE == 0:
                self._moved = False
                await self._tell_places(ticks)

    async def _tell_places(self, ticks: int) -> None:
        waiting = self._watchers.waiting()
        if not waiting:
            return
        first = ticks * LOOKS % max(1, len(waiting)) if len(waiting) > LOOKS else 0
        try:
            places = await self._database.read(_places, (waiting[first:] + waiting[:first])[:LOOKS])
        except Refusal:
            return  # progress is a courtesy
        for number, (job, ahead) in enumerate(places):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(PAUSE)  # whoever asks now need not wait for all of these
            if self._is_news(job.id, ahead, ticks):
                news = Stuck() if self._stuck() else Moved(ahead, self._eta(job, ahead))
                self._watchers.publish(job.id, news)

    def _is_news(self, job: int, ahead: Ahead, ticks: int) -> bool:
        """Far back only a tenth of the way counts, but now and then everybody hears."""
        before = self._watchers.newest(job)
        if isinstance(before, Started | Progress | Over):
            return False
        if self._stuck() or isinstance(before, Stuck):
            return self._stuck() != isinstance(before, Stuck)
        if before is None or ticks % STALE == 0:
            return True
        return abs(before.ahead.jobs - ahead.jobs) >= max(1, before.ahead.jobs // 10)
