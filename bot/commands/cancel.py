"""Stop a job of mine; it costs nothing then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.common import LAST_JOB, find_mine, meet
from bot.options import Option
from bot.talk import Call, Reply
from bot.texts import say
from storage import jobs
from storage.database import Connection
from storage.jobs import Job
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel this job, or the newest that is not over."""

    job: Annotated[int | None, Option(words=True, low=1, high=LAST_JOB)] = None


async def answer(ask: Cancel, call: Call, app: App) -> AsyncIterator[Reply]:
    """Stop it, if it is mine and not over."""
    account = await meet(call, app)
    job = await app.database.read(_mine, account.id, ask.job)
    stopped = await app.dispatch.cancel(job.id)
    if stopped is None:
        raise Refusal("already_over", job=job.id)
    yield Reply(say(call.language, "cancel.done", job=stopped.id), private=True)


def _mine(tx: Connection, account: int, wanted: int | None) -> Job:
    if wanted is not None:
        return find_mine(tx, account, wanted)
    waiting = jobs.unfinished(tx, account)
    if not waiting:
        raise Refusal("nothing_to_cancel")
    return max(waiting, key=lambda job: job.id)


def cancelled(job: Job, language: str) -> Reply:
    """What is left of the message of a job that somebody stopped."""
    return Reply(stopped(job, language), prompt=job.request.prompt, private=job.private, job=job.id)


def stopped(job: Job, language: str) -> str:
    """That it was stopped, and why, if somebody else's decision did it."""
    done = say(language, "cancel.done", job=job.id)
    return f"{done}\n{say(language, f'refusal.{job.code}')}" if job.code else done
