"""🗑️: pictures and their files are gone; asks once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands.common import JobId, find_mine, meet
from bot.talk import Button, Call, Reply
from bot.texts import say
from storage import gallery, outbox
from storage.database import Connection
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the pictures of a job; without ``sure`` only ask."""

    job: JobId
    sure: bool = False


async def answer(ask: Delete, call: Call, app: App) -> AsyncIterator[Reply]:
    """Ask once, then delete: rows first, files when that is committed."""
    account = await meet(call, app)
    count, prompt = await app.database.read(_count, account.id, ask.job)
    if not ask.sure:
        yes = Button(say(call.language, "button.delete_sure"), Delete(ask.job, sure=True), style="danger")
        text = say(call.language, "delete.sure", n=count, job=ask.job)
        yield Reply(text, prompt=prompt, buttons=((yes,),), private=True)
        return
    unused = await app.database.write(_delete, account.id, ask.job, durable=True)
    await app.files.remove(unused)
    app.outbox.wake()
    yield Reply(say(call.language, "delete.done", n=count), private=True)


def _count(tx: Connection, account: int, job_id: int) -> tuple[int, str]:
    """How many pictures the owner's job has, and its prompt. Raises Refusal no_job when there is none."""
    job = find_mine(tx, account, job_id)
    count = len(gallery.of_job(tx, job_id))
    if not count:
        raise Refusal("no_job", job=job_id)
    return count, job.request.prompt


def _delete(tx: Connection, account: int, job_id: int) -> tuple[str, ...]:
    _count(tx, account, job_id)
    outbox.redraw(tx, job_id)  # its message shows them no longer
    return gallery.delete(tx, job_id)
