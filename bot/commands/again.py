"""🔄: the same request with new seeds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from bot.app import App
from bot.commands.common import JobId, find_seen, meet, new_seed
from bot.commands.drawing import Origin, draw
from bot.talk import Call, Reply


@dataclass(frozen=True, slots=True)
class Again:
    """Draw what this job drew once more, with new seeds."""

    job: JobId


async def answer(ask: Again, call: Call, app: App) -> AsyncIterator[Reply]:
    """Draw it for whoever presses; somebody's public picture may be drawn again by anybody."""
    account = await meet(call, app)
    job = await app.database.read(find_seen, account.id, ask.job)
    request = msgspec.structs.replace(job.request, seed=new_seed(job.request.count))
    origin = Origin(job.id, None, job.private)
    async for reply in draw(request, origin, account, call, app, once=True):
        yield reply
