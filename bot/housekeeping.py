"""What happens by the clock: refills, retention, checkpoints, leftovers, the audit of the ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from apscheduler.triggers.base import BaseTrigger

from bot import backups
from bot.app import App
from bot.commands.mod.cases import about, buttons
from bot.home import Home
from bot.talk import Gone, Later, Reply, Tone, Unsure
from bot.texts import say
from inference.request import UNITS
from storage import accounts, gallery, inbox, ledger, matters, policy
from storage.disk import refusal_of
from storage.gallery import Old
from storage.matters import Matter
from storage.policy import Policy
from storage.refusal import Refusal

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

log = logging.getLogger(__name__)

DAY = 86_400.0
SLICE = 500
"""Pictures looked at in one breath."""
CASES = 100
"""Matters looked at in one breath; none holds up those behind it."""
SEEN = 2 * DAY
"""Seconds for which an answered event is remembered: chats send one again within a day."""
LEFTOVER = 3_600.0
"""Seconds after which a file without a row is nobody's."""
CRASH = 2.0
"""The same at the start of a bot: what is older was left by the one before."""
LOOK = 60.0
"""Seconds between two looks at whether the clock was set back."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something done every ``seconds``."""

    name: str
    work: Callable[[App], Awaitable[None]]
    seconds: float


async def refill(app: App) -> None:
    """Everybody's balance up to the daily credits, once a UTC day."""
    units = app.config.daily_credits * UNITS
    count = await app.database.write(ledger.refill, app.clock(), daily=units, durable=True)
    if count:
        log.info("refilled", extra={"action": "refilled", "accounts": count})


async def expire(app: App) -> None:
    """Pictures that nobody starred, older than their channel, community or house keeps them; in slices, for
    others read and write meanwhile."""
    said, now = await app.database.read(policy.retentions), app.clock()
    days = [each for each in (*said.values(), app.config.retention_days) if each]
    count, last = 0, None
    while days:
        found = await app.database.read(gallery.old, now - min(days) * DAY, SLICE, last)
        over = [each.id for each in found if _is_over(each, said, app.config.retention_days, now)]
        gone = await app.database.write(gallery.expire, over, durable=True) if over else ()
        count += await app.files.remove(gone)
        if len(found) < SLICE:
            break
        last = found[-1]
    if count:
        log.info("expired", extra={"action": "expired", "files": count})


def _is_over(old: Old, said: dict[tuple[str, str], int], otherwise: int, now: float) -> bool:
    days = policy.kept_for(said, old.community, old.channel, otherwise)
    return days > 0 and old.created < now - days * DAY


async def checkpoint(app: App) -> None:
    """The write-ahead log back into the database."""
    await app.database.checkpoint()


async def sweep(app: App, age: float = LEFTOVER) -> None:
    """Files without a row and half-written ones, older than ``age`` seconds."""
    old = app.clock() - age
    count = await app.files.sweep(await app.database.read(gallery.digests), old)
    if count:
        log.info("swept", extra={"action": "swept", "files": count})


async def uploads(app: App) -> None:
    """What people sent and no job needs any more."""
    gone = await app.database.write(gallery.expire_uploads, app.clock() - SEEN, durable=True)
    await app.files.remove(gone)
    await app.sent.uploads.sweep(set(), app.clock() - LEFTOVER)


async def forget(app: App) -> None:
    """Events that no chat will send again, and refusals that nobody appealed."""
    await app.database.write(inbox.forget, app.clock() - SEEN)
    await app.database.write(matters.expire, app.clock())


async def audit(app: App) -> None:
    """Is the file whole, and does every balance equal the sum of its entries? Raises Refusal if nobody could
    look."""
    try:
        await app.database.examine()
    except Refusal as refusal:
        if refusal.code != "database_corrupt":
            raise
        log.error("unsound", extra={"action": "unsound", "code": refusal.code, "what": str(refusal.values)})


async def cases(app: App) -> None:
    """Cards for moderators, and their answers for whoever asked; what cannot be shown now comes later."""
    known: dict[str, Policy] = {}
    last = 0
    while found := await app.database.read(matters.untold, CASES, last):
        for matter in found:
            if matter.community not in known:
                known[matter.community] = await app.database.read(policy.counts, matter.community)
            await _told(app, matter, known[matter.community])
        last = found[-1].id


async def _told(app: App, matter: Matter, there: Policy) -> None:
    if matter.state == "open":
        card = await _posted(app, there.desk or "", _card(matter, there.language or matter.language))
        if card:
            await app.database.write(matters.shown, matter.id, card)
    elif matter.state != "upheld" or await _posted(app, matter.place, _upheld(matter)):
        await app.database.write(matters.told, matter.id)


async def _posted(app: App, place: str, reply: Reply) -> str:
    """Where it was said now, or would have been; nothing if it is to be said later."""
    if not place:
        return ""  # they see it in /mod cases
    try:
        return await app.outbox.post(place, reply)
    except Later:
        return ""
    except (Gone, Unsure):  # nowhere to say it, or said perhaps: never twice
        return place


def _card(matter: Matter, language: str) -> Reply:
    ways = (buttons(matter, language),)
    return Reply(about(matter, language), prompt=matter.request.prompt, buttons=ways)


def _upheld(matter: Matter) -> Reply:
    text = say(matter.language, "appeal.upheld")
    return Reply(text, prompt=matter.request.prompt, tone=Tone.REFUSED, private=True)


async def backup(app: App) -> None:
    """A proved copy of the database a day, beside it; none that knows whoever was forgotten since."""
    if await backups.outdated(app):
        await backups.renew(app)
    await app.database.write(accounts.expire_marks, app.clock())  # no backup knows them any more
    newest = backups.all_in(Home(app.config.data_dir).backups)[-1:]
    if not newest or newest[0].name < backups.name_at(app.clock() - DAY + 3_600.0):
        await backups.make(app)


CHORES: tuple[Chore, ...] = (
    Chore("refill", refill, 300.0),
    Chore("expire", expire, 3_600.0),
    Chore("checkpoint", checkpoint, 600.0),
    Chore("sweep", sweep, 3_600.0),
    Chore("uploads", uploads, 3_600.0),
    Chore("forget", forget, 3_600.0),
    Chore("audit", audit, DAY),
    Chore("backup", backup, 3_600.0),
    Chore("cases", cases, 5.0),
)


class Every(BaseTrigger):  # type: ignore[misc]  # the library has no types
    """Again, so many seconds after it was due. The library's own trigger counts every time that a clock which
    jumps ahead has passed by: after a month, half a million for the shortest interval."""

    def __init__(self, seconds: float) -> None:
        self._between = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Never further away than the interval."""
        return now + self._between


class Housekeeping:
    """Runs the chores: all once at the start, then each at its interval."""

    def __init__(self, app: App, chores: tuple[Chore, ...] = CHORES) -> None:
        self._app = app
        self._chores = chores

    async def run(self) -> None:
        """Until cancelled."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        for chore in (Chore("crash", partial(sweep, age=CRASH), 0.0), *self._chores):
            await self.do(chore)
        scheduler = AsyncIOScheduler(timezone="UTC")
        for chore in self._chores:
            scheduler.add_job(
                self.do, Every(chore.seconds), [chore], id=chore.name,
                coalesce=True, max_instances=1, misfire_grace_time=None,
            )  # fmt: skip
        scheduler.start()
        try:
            await self._keep_near(scheduler)
        finally:
            scheduler.shutdown(wait=False)

    async def _keep_near(self, scheduler: AsyncIOScheduler) -> None:
        """The scheduler goes by the wall clock: one that is set back by a day would stop every chore for a
        day."""
        while True:
            await asyncio.sleep(LOOK)
            now = datetime.fromtimestamp(self._app.clock(), UTC)
            for job in scheduler.get_jobs():
                if job.next_run_time > (soon := job.trigger.get_next_fire_time(None, now)):
                    job.modify(next_run_time=soon)

    async def do(self, chore: Chore) -> None:
        """One chore; a disk that refuses is for the next time, and so is a bug: the others go on."""
        try:
            try:
                await chore.work(self._app)
            except OSError as error:
                raise refusal_of(error) from error
        except Refusal as refusal:  # where it was raised: a file that our own bug lost reads like a disk's
            extra = {"action": "chore", "chore": chore.name, "code": refusal.code}
            log.warning("chore", exc_info=refusal, extra=extra)
        except Exception as error:  # every person's refill hangs on this loop
            extra = {"action": "chore", "chore": chore.name, "error": type(error).__name__}
            log.error("chore", exc_info=error, extra=extra)
