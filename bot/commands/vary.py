"""V1-V4: variations that begin from one picture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from bot.app import App
from bot.commands import choose
from bot.commands.common import Index, JobId, find_drawn_piece, meet, new_seed
from bot.commands.drawing import Origin, draw
from bot.commands.imagine import STRENGTH
from bot.options import Size
from bot.talk import Call, Reply
from inference.request import MAX_COUNT
from storage.refusal import Refusal

STRENGTHS = {False: 0.45, None: STRENGTH, True: 0.75}
"""How much of the way from noise is drawn anew: subtle, as under a grid, strong."""


@dataclass(frozen=True, slots=True)
class Vary:
    """Draw again from picture ``picture`` of a job: different, and ``strong``ly so or not."""

    job: JobId
    picture: Index = 0
    strong: bool | None = None


async def answer(ask: Vary, call: Call, app: App) -> AsyncIterator[Reply]:
    """Draw a grid of variations for whoever presses."""
    account = await meet(call, app)
    job, piece = await app.database.read(find_drawn_piece, account.id, ask.job, ask.picture)
    spec = app.catalog.get(job.request.model)
    if spec is None:
        raise Refusal("model_withdrawn", model=job.request.model)
    choose.exact(spec, Size(piece.width, piece.height))
    count = account.defaults.count or MAX_COUNT
    request = msgspec.structs.replace(
        job.request,
        source=piece.digest,
        strength=STRENGTHS[ask.strong],
        width=piece.width,
        height=piece.height,
        seed=new_seed(count),
        count=count,
        enlarge=1,
    )
    origin = Origin(job.id, piece.index, job.private)
    async for reply in draw(request, origin, account, call, app, once=True):
        yield reply
