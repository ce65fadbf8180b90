"""Deliveries that must arrive: paced per chat, in order, surviving a restart.

Everything shown goes through ``show``: it is where a final picture and a late progress bar meet, and where
the picture wins.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, TypeVar

from bot.dispatch import surely
from bot.talk import Adapter, Gone, Later, Place, Reply, Unsure, lane, platform
from storage import jobs, outbox
from storage.database import Connection, Database
from storage.jobs import Job
from storage.outbox import Delivery
from storage.refusal import Refusal

log = logging.getLogger(__name__)

Finished: TypeAlias = Callable[[Job], Awaitable[Reply]]
"""What a finished job looks like in its person's language."""

BATCH = 10_000
"""Deliveries looked at in one round."""
LOOK = 15.0
"""Seconds after which the outbox looks by itself, should nobody have woken it."""
ABSENT = 60.0
"""Seconds until another try when the platform's adapter is not running."""
SET_BACK = 1.0
"""Seconds that a clock must go back by to count as set back."""
DISK = 5.0
"""Seconds until another look when the disk refused."""
REFUSES = frozenset({"disk_full", "disk_error", "data_read_only", "database_locked"})
"""What passes by itself, or by somebody's hand: no try of any delivery. A damaged row stays damaged."""
UNREAD = "picture_unreadable"
"""One file cannot be read, and others can: that passes too, or never."""
LONGEST = 300.0
"""Seconds that a delivery is put off by at most, but by a chat that says for how long."""
UNREADABLE = 60.0
"""Most seconds until another look for a picture that could not be read: for ever while its disk is away."""
ALONE = 30
"""Looks in a row (half an hour) at which a picture could not be read and others could: its file is lost."""
TRIES = 12
"""Broken or unsure tries of one delivery before it is given up (``Later`` does not count)."""
REMEMBERED = 4_096
"""Chats and messages of which is known when they were last used; of older ones nothing is worth knowing."""


async def _nobody(job: Job) -> Reply:
    raise LookupError(f"job {job.id} finished before the outbox ran")


def backoff(tries: int) -> float:
    """Seconds until the next try: 1, 2, 4 … at most 5 minutes."""
    return min(LONGEST, 2.0 ** min(tries, 10))


def _look(tx: Connection, delivery: Delivery, now: float) -> tuple[bool, Job | None, tuple[str, int] | None]:
    """Is it still owed and due, what of its job, and how does that look?"""
    return outbox.is_due(tx, delivery.id, now), jobs.get(tx, delivery.job), outbox.looks(tx, delivery.job)


@dataclass(slots=True)
class _Chat:
    """Where deliveries come one after the other."""

    task: asyncio.Task[None] | None = None
    """What delivers there now."""
    closed: float = 0.0
    """Loop time before which nothing is delivered there: it put us off."""
    free: float = 0.0
    """Loop time before which its pace forbids another message."""

    @property
    def busy(self) -> bool:
        return self.task is not None


@dataclass(slots=True)
class _Message:
    """The one message of a job: who holds the lock may show it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    over: bool = False
    """Its last word was shown, or given up."""
    unheard: bool = False
    """Something was shown of which nobody heard whether it was: it may yet come about, over what is newer."""
    place: Place = ""
    """Where the job's row says that it is."""
    unread: int = 0
    """Times in a row that its pictures could not be read."""
    alone: int = 0
    """Of these, the newest times in a row at which other pictures could be."""

    @property
    def busy(self) -> bool:
        return self.lock.locked()


Used = TypeVar("Used", _Chat, _Message)


def _of(memory: OrderedDict[Any, Used], key: object, make: Callable[[], Used]) -> Used:
    """What is known of ``key``; the oldest that nobody uses is forgotten for it."""
    found = memory.get(key) or make()
    memory[key] = found
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        old = next((old for old, known in memory.items() if not known.busy), key)
        del memory[old]
    return found


class Outbox:
    """The only sender of final pictures, before and after a restart."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._adapters: Mapping[str, Adapter] = {}
        self._finished: Finished = _nobody
        self._spoilt: Finished = _nobody
        self._due = asyncio.Event()
        self._ahead = float("inf")
        """Seconds that the wall clock was ahead of the loop's at the last look."""
        self._before: int | None = None
        """The newest job of the lives before; None: not known yet."""
        self._chats: OrderedDict[str, _Chat] = OrderedDict()
        self._messages: OrderedDict[int, _Message] = OrderedDict()

    def wake(self) -> None:
        """There may be something due."""
        self._due.set()

    async def run(
        self, adapters: Mapping[str, Adapter], finished: Finished, spoilt: Finished = _nobody
    ) -> None:
        """Deliver what is due until cancelled; what is in flight then is not waited for.

        ``spoilt`` is what a finished job looks like of which a file can be read no more.
        """
        self._adapters, self._finished, self._spoilt = adapters, finished, spoilt
        self._due.set()
        try:
            while True:
                await self._rest()
                self._due.clear()  # before looking: what comes meanwhile sets it again
                await self._round()
        finally:
            for chat in self._chats.values():
                if chat.task:
                    chat.task.cancel()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK):
                await self._due.wait()
        except TimeoutError:
            return

    async def _round(self) -> None:
        try:
            await self._mind_the_clock()
            if self._before is None:
                self._before = await self._database.read(outbox.newest)
            due = await self._database.read(outbox.due, self._clock(), BATCH)
        except Refusal as refusal:
            log.warning("no deliveries", extra={"action": "disk", "code": refusal.code})
            self._again(DISK)
            return
        chats: dict[str, list[Delivery]] = {}
        for delivery in sorted(due, key=lambda delivery: delivery.id):
            chats.setdefault(lane(delivery.place), []).append(delivery)
        for name, deliveries in chats.items():
            chat = self._chat(name)
            if not chat.busy and chat.closed <= asyncio.get_running_loop().time():
                chat.task = asyncio.get_running_loop().create_task(self._deliver_all(chat, deliveries))
                chat.task.add_done_callback(partial(self._after, chat))

    async def _mind_the_clock(self) -> None:
        """The rows tell the wall clock's time. Where it was set back all that is owed is due now; a chat that
        put us off is closed all the same. At a start, when nobody was here to see it, only what is owed later
        than we put anything off: no restart is to spend a try.
        """
        ahead = self._clock() - asyncio.get_running_loop().time()
        if ahead < self._ahead - SET_BACK:
            believed = LONGEST if self._ahead == float("inf") else 0.0
            await self._database.write(outbox.hurry, self._clock(), believed)
        self._ahead = ahead

    def _chat(self, name: str) -> _Chat:
        return _of(self._chats, name, _Chat)

    def _message(self, job: int) -> _Message:
        return _of(self._messages, job, _Message)

    def _again(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._due.set)

    def _after(self, chat: _Chat, task: asyncio.Task[None]) -> None:
        chat.task = None
        if task.cancelled():
            return
        if task.exception() is None:
            self._due.set()
        else:
            self._again(DISK)  # not even that it broke could be written: the row is as it was

    # --- one delivery

    async def _deliver_all(self, chat: _Chat, deliveries: Sequence[Delivery]) -> None:
        """One after the other, until the chat is put off. One that breaks holds up none but itself."""
        for delivery in deliveries:
            try:
                await self._deliver(delivery)
            except Refusal as refusal:
                await self._refused(chat, delivery, refusal)
            except Exception:
                log.exception("delivery broke", extra={"action": "broke", "job": delivery.job})
                await self._retry(delivery, "broken", alone=True)
            if chat.closed > asyncio.get_running_loop().time():
                break

    async def _deliver(self, delivery: Delivery) -> None:
        async with self._message(delivery.job).lock:
            due, job, seen = await self._database.read(_look, delivery, self._clock())
            adapter = self._adapters.get(platform(delivery.place))
            if not due:  # the look that found it was older than its delivery: the row decides
                return
            if not delivery.place:
                raise Refusal("database_corrupt", detail="place")
            if job is None:
                await self._drop(delivery, "deleted")
            elif adapter is None:
                self._close(self._chat(lane(delivery.place)), ABSENT)  # not its row: others may run it
            else:
                finished = await self._read(delivery, job)
                if finished is not None:
                    await self._present(
                        adapter, delivery, job, replace(finished, redraws=delivery.redraw), seen
                    )

    async def _read(self, delivery: Delivery, job: Job) -> Reply | None:
        """What is shown of it; None if it cannot be read now, and waits."""
        message = self._message(job.id)
        try:
            found = await self._finished(job)
        except Refusal as refusal:
            if refusal.code not in REFUSES | {UNREAD}:
                raise
            message.unread += 1
            message.alone = message.alone + 1 if refusal.code == UNREAD else 0
            if message.alone < ALONE:
                await self._unreadable(delivery, refusal)
                return None
            log.error("a picture is lost", extra={"action": "lost", "code": refusal.code, "job": job.id})
            if delivery.redraw and not job.shown:  # it stands there, and nothing is to be covered
                await self._drop(delivery, "left")
                return None
            found = await self._spoilt(job)
        message.unread = message.alone = 0
        return found

    async def _present(
        self, adapter: Adapter, delivery: Delivery, job: Job, reply: Reply, seen: tuple[str, int] | None
    ) -> None:
        try:
            place = await self._paced(adapter, job.place, reply)
        except Gone:  # the picture stays in the gallery
            await self._drop(delivery, "gone")
        except Later as later:
            await self._put_off(delivery, later.seconds)
        except Unsure as unsure:
            if unsure.repeatable:
                await self._retry(delivery, "unsure")
            else:
                await self._drop(delivery, "unsure")
        else:
            echo = 0.0 if delivery.redraw else self._echo(adapter, job.id)
            await self._over(partial(outbox.delivered, seen=seen, echo=echo), delivery, place)
            self._due.set()  # a moderator may have been quicker than the chat
            self._again(echo + 0.01)
            log.info("delivered", extra={"action": "delivered", "job": job.id})

    def _echo(self, adapter: Adapter, job: int) -> float:
        """Seconds after which it is shown once more (``adapter.echo``), lest something older stands over it:
        what nobody heard of, or what a life before may have left on the line.
        """
        older = self._before is None or job <= self._before
        doubtful = older or self._message(job).unheard
        return float(getattr(adapter, "echo", 0.0)) if doubtful else 0.0

    async def _retry(self, delivery: Delivery, why: str, *, alone: bool = False) -> None:
        """It failed: once more later, and the whole chat with it unless it is only this one that ails."""
        if delivery.tries + 1 >= TRIES:
            await self._drop(delivery, why)
            return
        pause = backoff(delivery.tries + 1)
        if not alone:
            self._close(self._chat(lane(delivery.place)), pause)
        await self._later(delivery, pause, failed=True)

    async def _refused(self, chat: _Chat, delivery: Delivery, refusal: Refusal) -> None:
        """By the disk: the row is as it was, and this was no try of its chat's. Else its row is damaged: only
        this one ails, and is given up at last; its person is told when they are back.
        """
        about = {"code": refusal.code, "job": delivery.job}
        if refusal.code in REFUSES:
            log.warning("delivery waits", extra={"action": "disk", **about})
            self._close(chat, DISK)
        else:
            log.error("delivery broke", extra={"action": "broke", **about})
            await self._retry(delivery, "broken", alone=True)

    async def _unreadable(self, delivery: Delivery, refusal: Refusal) -> None:
        """Its pictures are there and cannot be read now: the others do not wait for it, and it is no try."""
        log.warning("delivery waits", extra={"action": "disk", "code": refusal.code, "job": delivery.job})
        pause = backoff(self._message(delivery.job).unread)
        await self._later(delivery, min(UNREADABLE, pause), failed=False)

    async def _put_off(self, delivery: Delivery, seconds: float) -> None:
        """Its chat takes nothing now."""
        self._close(self._chat(lane(delivery.place)), seconds)
        await self._later(delivery, seconds, failed=False)

    def _close(self, chat: _Chat, seconds: float) -> None:
        chat.closed = max(chat.closed, asyncio.get_running_loop().time() + seconds)
        self._again(seconds + 0.01)

    async def _later(self, delivery: Delivery, seconds: float, *, failed: bool) -> None:
        due = self._clock() + seconds
        await self._database.write(outbox.later, delivery.id, due, failed=failed)
        self._again(seconds + 0.01)

    async def _drop(self, delivery: Delivery, why: str) -> None:
        outcome = "gone" if why == "broken" else why
        outcome = "left" if delivery.redraw else outcome  # it was shown once: nobody is told that it was not
        await self._over(outbox.drop, delivery, outcome)
        log.info("not delivered", extra={"action": "dropped", "job": delivery.job, "why": why})

    async def _over(self, end: Callable[..., object], delivery: Delivery, outcome: str) -> None:
        """Record it however long the disk refuses: what was shown is not shown again for that."""
        self._message(delivery.job).over = True  # from now on progress of this job comes too late
        await surely(partial(self._database.write, end, delivery.id, outcome, self._clock()))

    # --- showing

    async def _paced(self, adapter: Adapter, place: Place, reply: Reply) -> Place:
        """Show when the chat's pace (``adapter.pace``: seconds between two messages) allows it."""
        now, chat = asyncio.get_running_loop().time(), self._chat(lane(place))
        start = max(now, chat.free)
        chat.free = start + float(getattr(adapter, "pace", 0.0))
        await asyncio.sleep(start - now)
        return await adapter.show(place, reply)

    async def post(self, place: Place, reply: Reply) -> Place:
        """Say something that nobody asked for, such as a moderators' card. Raises Gone, Later, Unsure; Later,
        too, while that chat's adapter is not running.
        """
        adapter = self._adapters.get(platform(place))
        if adapter is None:
            raise Later(ABSENT)
        return await self._paced(adapter, place, reply)

    async def show(self, adapter: Adapter, place: Place, reply: Reply) -> Place | None:
        """Show a command's own reply; None if it was dropped for something newer or final.

        A fleeting reply is dropped while the chat is busy; once the job's final reply was shown, nothing of
        that job is shown over it. Where the job's message is goes into its row. Raises Gone, Later, Unsure.
        """
        if reply.fleeting and self._chat(lane(place)).free > asyncio.get_running_loop().time():
            return None
        if reply.job is None:
            return await self._paced(adapter, place, reply)
        message = self._message(reply.job)
        if reply.fleeting and message.busy:
            return None
        async with message.lock:
            if message.over:
                return None
            shown = await self._heard(message, adapter, place, reply)
            if message.place != shown:
                await self._database.write(jobs.set_place, reply.job, shown)
                message.place = shown
            return shown

    async def _heard(self, message: _Message, adapter: Adapter, place: Place, reply: Reply) -> Place:
        """Show it; whatever ends that before it is known to have ended is remembered."""
        before, message.unheard = message.unheard, True
        try:
            shown = await self._paced(adapter, place, reply)
        except (Gone, Later):
            message.unheard = before
            raise
        message.unheard = before
        return shown
