"""My jobs, and how many are before each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands import drawing
from bot.commands.cancel import Cancel
from bot.commands.common import meet, short
from bot.talk import Button, Call, Reply
from bot.texts import say
from storage import jobs
from storage.database import Connection
from storage.jobs import Ahead, Job, Status

SHOWN = 5
"""Jobs in one answer: a row of buttons on Discord."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What I wait for."""


async def answer(ask: Queue, call: Call, app: App) -> AsyncIterator[Reply]:
    """My unfinished jobs in the order they will be drawn, each with its place, time and a stop button."""
    account = await meet(call, app)
    mine, count, everybody = await app.database.read(_mine, account.id)
    if not mine:
        key = "queue.empty" if everybody else "queue.nobody"
        yield Reply(say(call.language, key, n=everybody), private=True)
        return
    stops = [Button(say(call.language, "button.stop", job=job.id), Cancel(job.id)) for job, _ in mine]
    yield Reply(
        say(call.language, "queue.text", n=count),
        title=say(call.language, "queue.title"),
        fields=tuple(_line(job, ahead, call.language, app) for job, ahead in mine),
        buttons=(tuple(stops),),
        private=True,
    )


def _mine(tx: Connection, account: int) -> tuple[list[tuple[Job, Ahead]], int, int]:
    """Those that are shown, of how many, and how many wait at all."""
    mine = jobs.unfinished(tx, account)
    shown = [(job, jobs.ahead(tx, job.id)) for job in mine[:SHOWN]]
    return shown, len(mine), jobs.queued_count(tx)


def _line(job: Job, ahead: Ahead, language: str, app: App) -> tuple[str, str]:
    label = f"#{job.id} {short(job.request.prompt, 40)}"
    if job.status is Status.RUNNING:
        return label, say(language, "queue.drawing")
    eta = app.dispatch.eta(job.request, ahead)
    return label, f"{drawing.place(language, ahead)} · {drawing.wait(language, eta)}"
