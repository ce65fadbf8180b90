"""A second look at pictures that the safety check withheld: a card for moderators, as an appeal makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands.common import JobId, by_check, find_mine, meet
from bot.talk import Call, Reply, Tone
from bot.texts import say
from storage import matters
from storage.allowances import Scene
from storage.database import Connection
from storage.jobs import Job
from storage.refusal import Refusal

RULE = "safety"
"""What stands for a rule in such a matter."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Let a moderator look at pictures of mine."""

    job: JobId


async def answer(ask: Contest, call: Call, app: App) -> AsyncIterator[Reply]:
    """Once a job. Raises Refusal no_job, no_matter for one that no check withheld, already_appealed."""
    account = await meet(call, app)
    job = await app.database.read(_withheld, account.id, ask.job)
    new = matters.New(
        job.account, Scene(job.community, job.channel), job.request, RULE, "", job.place, job.language
    )
    await app.database.write(matters.contest, new, job.id, app.clock(), durable=True)
    yield Reply(say(call.language, "appeal.sent"), tone=Tone.GOOD, private=True)


def _withheld(tx: Connection, account: int, number: int) -> Job:
    job = find_mine(tx, account, number)
    if not by_check(tx, job):
        raise Refusal("no_matter")
    return job
