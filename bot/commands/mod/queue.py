"""``/mod queue``, ``cancel``, ``hold``, ``release``: what waits, and stepping in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands.common import short
from bot.commands.mod.common import Queued, change, confirmed, here, moderator, person
from bot.talk import Button, Call, Reply
from bot.texts import duration, say
from storage import jobs
from storage.accounts import Account
from storage.acts import Change
from storage.database import Connection
from storage.jobs import Job, Status
from storage.refusal import Refusal

SHOWN = 12
"""Jobs in one answer."""


@dataclass(frozen=True, slots=True)
class ModQueue:
    """What is drawn and what waits here, in its order."""


@dataclass(frozen=True, slots=True)
class ModCancel:
    """Stop somebody's job; it costs nothing then."""

    job: Queued


@dataclass(frozen=True, slots=True)
class Hold:
    """A waiting job waits until it is released; it keeps its place."""

    job: Queued


@dataclass(frozen=True, slots=True)
class Release:
    """A held job goes on, from its old place."""

    job: Queued


async def queue(ask: ModQueue, call: Call, app: App) -> AsyncIterator[Reply]:
    """Everything under way here, with its person and how long it waits."""
    who = await moderator(call, app)

    def look(tx: Connection) -> tuple[tuple[tuple[str, str], ...], tuple[Job, ...]]:
        found = jobs.waiting(tx, 200, None if who.unlimited else call.community)
        return tuple(_line(tx, job, call.language, app.clock()) for job in found[:SHOWN]), found

    fields, found = await app.database.read(look)
    held = next((job for job in found if job.held), None)
    first = next((job for job in found if job.status is Status.QUEUED and not job.held), None)
    buttons = [Button(say(call.language, "button.hold", job=first.id), Hold(first.id))] if first else []
    buttons += [Button(say(call.language, "button.release", job=held.id), Release(held.id))] if held else []
    yield Reply(
        say(call.language, "mod.queue.text", n=len(found)), title=say(call.language, "mod.queue.title"),
        fields=fields, buttons=(tuple(buttons),) if buttons else (), private=True,
    )  # fmt: skip


def _line(tx: Connection, job: Job, language: str, now: float) -> tuple[str, str]:
    state = "held" if job.held else job.status.value
    facts = {"who": person(tx, job.account), "state": say(language, f"mod.state.{state}")}
    prompt = say(language, "mod.queue.private") if job.private else short(job.request.prompt, 60)
    waited = duration(language, now - (job.started or job.created))
    return f"#{job.id} · {facts['who']}"[:100], f"{facts['state']} · {waited} · {prompt}"


async def cancel(ask: ModCancel, call: Call, app: App) -> AsyncIterator[Reply]:
    """Stop it: the queue first, then the record, so that what is written down has happened."""
    who = await moderator(call, app)
    await app.database.read(here, ask.job, call, who)
    job = await app.dispatch.cancel(ask.job)
    if job is None:
        raise Refusal("already_over", job=ask.job)

    def work(tx: Connection, who: Account) -> Change:
        return Change({"job": ask.job}, subject=job.account)

    yield await confirmed(await change(call, app, "cancel", work), call, app)


async def hold(ask: Hold, call: Call, app: App) -> AsyncIterator[Reply]:
    """Let it wait."""

    def work(tx: Connection, who: Account) -> Change:
        job = here(tx, ask.job, call, who)
        if jobs.hold(tx, job.id) is None:
            raise Refusal("not_waiting", job=job.id)
        return Change({"job": job.id}, [("hold", job.id, True)], job.account)

    yield await confirmed(await change(call, app, "hold", work), call, app)


async def release(ask: Release, call: Call, app: App) -> AsyncIterator[Reply]:
    """Let it go on."""

    def work(tx: Connection, who: Account) -> Change:
        job = here(tx, ask.job, call, who)
        if jobs.hold(tx, job.id, release=True) is None:
            raise Refusal("not_held", job=job.id)
        return Change({"job": job.id}, [("hold", job.id, False)], job.account)

    done = await change(call, app, "release", work)
    app.dispatch.wake()
    yield await confirmed(done, call, app)
