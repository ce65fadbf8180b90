"""U1-U4: one picture alone, enlarged if it is small."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec

from bot.app import App
from bot.commands.common import Index, JobId, find_piece, meet
from bot.commands.drawing import Origin, draw
from bot.talk import Call, Reply

SMALL = 512
"""Pixels: a picture with both sides below this is enlarged."""


@dataclass(frozen=True, slots=True)
class Upscale:
    """Picture ``picture`` of a job, alone."""

    job: JobId
    picture: Index = 0


async def answer(ask: Upscale, call: Call, app: App) -> AsyncIterator[Reply]:
    """Enlarge it 4× (a job, at a job's price); one that is large enough is just shown, for nothing."""
    account = await meet(call, app)
    job, piece = await app.database.read(find_piece, account.id, ask.job, ask.picture)
    if max(piece.width, piece.height) >= SMALL:
        from bot.commands import finished  # it shows our button

        yield await finished.alone(replace(job, language=call.language), piece, app)
        return
    request = msgspec.structs.replace(
        job.request,
        source=piece.digest,
        enlarge=4,
        width=4 * piece.width,
        height=4 * piece.height,
        seed=piece.seed,
        count=1,
        strength=1.0,
    )
    origin = Origin(job.id, ask.picture, job.private)
    async for reply in draw(request, origin, account, call, app, once=True):
        yield reply
