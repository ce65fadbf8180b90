"""Show pictures again, with all their buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

from bot.app import App
from bot.commands.common import JobId, find_piece, meet
from bot.options import Option
from bot.talk import Call, Reply
from inference.request import MAX_COUNT


@dataclass(frozen=True, slots=True)
class Show:
    """What a job gave, or one picture of it."""

    job: JobId
    picture: Annotated[int | None, Option(low=0, high=MAX_COUNT - 1)] = None


async def answer(ask: Show, call: Call, app: App) -> AsyncIterator[Reply]:
    """As it was shown when it was finished, in a message of its own."""
    from bot.commands import finished  # it shows the buttons of every command

    account = await meet(call, app)
    if ask.picture is None:
        job, _ = await app.database.read(find_piece, account.id, ask.job, None)
        reply = await finished.finished(replace(job, language=call.language), app)
    else:
        job, piece = await app.database.read(find_piece, account.id, ask.job, ask.picture)
        reply = await finished.alone(replace(job, language=call.language), piece, app)
    yield replace(reply, job=None)
