"""Faults that were made before, or nearly: each is put back, alone, and the simulation must notice.

Each trap is a known-bad variant of one function, from the list of traps that the design keeps.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from bot import converse
from bot.app import App
from bot.commands import cancel, drawing
from bot.converse import _done, _fetch, _language, _remind, _replies, _Thread, refused
from bot.dispatch import Dispatch, _Link
from bot.events import Watchers
from bot.talk import Adapter, Call, Gone, Later, Reply, Unsure
from inference import wire
from storage import jobs
from storage.database import Database
from storage.jobs import Job, NewJob
from storage.refusal import Refusal
from tests.sim.day import Size


def _cleared_late() -> AbstractContextManager[Any]:
    """The arrival is cleared after claiming: what arrived meanwhile is forgotten."""

    async def feed(self: Dispatch) -> None:
        while True:
            await self._arrival.wait()
            try:
                while await self._hand_out():
                    pass
            except Refusal:
                asyncio.get_running_loop().call_later(5.0, self._arrival.set)
            self._arrival.clear()

    return mock.patch.object(Dispatch, "_feed", feed)


@contextmanager
def _subscribed_late() -> Iterator[None]:
    """Something is awaited between the order and the subscription, and nobody remembers what was missed."""
    watch = drawing.watch

    async def late(job: Job, *given: Any, **more: Any) -> AsyncIterator[Reply]:
        await asyncio.sleep(6.0)
        async for reply in watch(job, *given, **more):
            yield reply

    with (
        mock.patch.object(drawing, "watch", late),
        mock.patch.object(converse, "watch", late),
        mock.patch.object(Watchers, "newest", return_value=None),
    ):
        yield


def _settled_by_the_command() -> AbstractContextManager[Any]:
    """A result is settled only while its person waits for it."""
    settle = Dispatch._settle

    async def only_for_somebody(self: Dispatch, link: _Link, drawn: wire.Drawn) -> None:
        if self._watchers._waiting.get(drawn.job):
            await settle(self, link, drawn)

    return mock.patch.object(Dispatch, "_settle", only_for_somebody)


def _not_total() -> AbstractContextManager[Any]:
    """A bug ends the conversation without a word, and its event stays open."""

    async def answer(adapter: Adapter, app: App, call: Call) -> None:
        thread = _Thread(adapter, app, call.place)
        try:
            call = replace(
                call, language=await app.database.read(_language, call), fetch=_fetch(adapter, call)
            )
            await _replies(app, call, thread)
        except Refusal as refusal:
            await thread.last(refused(call.language, refusal))
        except (Gone, Later, Unsure):
            pass
        await _done(app, adapter.name, call.event)
        await _remind(adapter, app, call)

    return mock.patch.object(converse, "answer", answer)


def _anybody_cancels() -> AbstractContextManager[Any]:
    """A button is taken for a right."""

    def mine(tx: sqlite3.Connection, account: int, wanted: int | None) -> Job:
        job = jobs.get(tx, wanted) if wanted else None
        waiting = [job] if job else list(jobs.unfinished(tx, account))
        if not waiting:
            raise Refusal("nothing_to_cancel")
        return max(waiting, key=lambda each: each.id)

    return mock.patch.object(cancel, "_mine", mine)


def _cancelled_with_its_caller() -> AbstractContextManager[Any]:
    """A transaction runs in its caller's task, statement by statement, and is left open where that ends."""

    async def write(
        self: Database, fn: Callable[..., Any], *args: object, durable: bool = False, **kwargs: object
    ) -> Any:
        while await self._writer.run(lambda tx: tx.in_transaction):
            await asyncio.sleep(0.01)
        await self._writer.run(lambda tx: tx.execute("BEGIN IMMEDIATE"))
        try:
            value = await self._writer.run(lambda tx: fn(tx, *args, **kwargs))
        except Exception:
            await self._writer.run(lambda tx: tx.execute("ROLLBACK"))
            raise
        await asyncio.sleep(0.02)
        await self._writer.run(lambda tx: tx.execute("COMMIT"))
        return value

    return mock.patch.object(Database, "write", write)


def _any_attempt_settles() -> AbstractContextManager[Any]:
    """Whoever comes with a result settles, of whatever attempt it is."""

    def running(tx: sqlite3.Connection, job_id: int, attempt: int) -> Job | None:
        job = jobs.get(tx, job_id)
        return None if job is None or job.over else job

    return mock.patch.object(jobs, "_running", running)


def _no_key() -> AbstractContextManager[Any]:
    """An order has no key, and does not end its event: a second try is a second order."""
    submit = jobs.submit

    def keyless(tx: sqlite3.Connection, new: NewJob, now: float, *, limit: int) -> Job:
        return submit(tx, replace(new, key=secrets.token_hex(8), inbox=None), now, limit=limit)

    return mock.patch.object(jobs, "submit", keyless)


def _orphans_stay() -> AbstractContextManager[Any]:
    """What an engine drew when the bot died is nobody's any more."""
    return mock.patch.object(jobs, "running", return_value=())


def _newest_first() -> AbstractContextManager[Any]:
    """The queue goes by number, the newest first, not by turn."""
    claims = {
        alone: sql.replace("ORDER BY turn, id", "ORDER BY id DESC") for alone, sql in jobs._CLAIMS.items()
    }
    return mock.patch.object(jobs, "_CLAIMS", claims)


@dataclass(frozen=True)
class Trap:
    """``put_back`` makes the known-bad variant; it shows in days of this ``size``, in the ``first`` already
    as long as nothing else changes.
    """

    put_back: Callable[[], AbstractContextManager[Any]]
    size: Size
    first: int = 1


BUSY = Size(hours=0.3, often=6.0, trouble=8.0, crowd=0.2)
LONGER = Size(hours=0.8, often=6.0, trouble=8.0, crowd=0.2)
CALM = Size(hours=0.8, often=6.0, trouble=0.5, crowd=0.2)
LONELY = Size(hours=1.0, often=20.0, trouble=0.0, crowd=1.0)
"""Crowds, and silence after each: whoever is forgotten then waits."""

TRAPS: dict[str, Trap] = {
    "arrival cleared after claiming": Trap(_cleared_late, LONELY, 2),
    "subscribed after an await": Trap(_subscribed_late, BUSY),
    "settled by the command": Trap(_settled_by_the_command, BUSY),
    "answer is not total": Trap(_not_total, CALM),
    "cancel does not ask whose": Trap(_anybody_cancels, BUSY),
    "transaction ends with its caller": Trap(_cancelled_with_its_caller, replace(BUSY, hours=0.05)),
    "any attempt settles": Trap(_any_attempt_settles, BUSY),
    "an order without a key": Trap(_no_key, LONGER),
    "orphans stay orphans": Trap(_orphans_stay, BUSY),
    "newest first": Trap(_newest_first, BUSY),
}
