"""The file as it was drawn, with its recipe inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands.common import Index, JobId, find_piece, meet
from bot.talk import Call, Image, Reply
from bot.texts import say


@dataclass(frozen=True, slots=True)
class Original:
    """The PNG of one picture, byte for byte."""

    job: JobId
    picture: Index = 0


async def answer(ask: Original, call: Call, app: App) -> AsyncIterator[Reply]:
    """Send the file; of what is covered only to who asks, for not everywhere has a file a cover."""
    account = await meet(call, app)
    job, piece = await app.database.read(find_piece, account.id, ask.job, ask.picture)
    image = Image(
        await app.files.load(piece.digest),
        f"falopitas-{job.id}-{ask.picture + 1}.png",
        alt=job.request.prompt,
        digest=piece.digest,
        exact=True,
        spoiler=job.shown == "spoiler",
    )
    text = say(call.language, "original.text", job=job.id, width=piece.width, height=piece.height)
    yield Reply(text, images=(image,), private=job.private or image.spoiler)
