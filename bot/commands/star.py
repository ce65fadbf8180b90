"""⭐: keep it, whatever the retention says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.common import JobId, find_mine, meet
from bot.options import Option
from bot.talk import Button, Call, Reply, Tone
from bot.texts import say
from inference.request import MAX_COUNT
from storage import gallery
from storage.database import Connection
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Star:
    """Star picture ``picture`` of a job (without one, all), or take the star back with ``off``."""

    job: JobId
    picture: Annotated[int | None, Option(low=0, high=MAX_COUNT - 1)] = None
    off: bool = False


async def answer(ask: Star, call: Call, app: App) -> AsyncIterator[Reply]:
    """Star it; the button under the answer takes it back."""
    account = await meet(call, app)
    count = await app.database.write(_star, account.id, ask.job, ask.picture, not ask.off)
    undo = Button(
        say(call.language, "button.star" if ask.off else "button.unstar"),
        Star(ask.job, ask.picture, off=not ask.off),
    )
    text = say(call.language, "star.off" if ask.off else "star.on", n=count)
    yield Reply(text, buttons=((undo,),), tone=Tone.GOOD, private=True)


def _star(tx: Connection, account: int, job_id: int, picture: int | None, on: bool) -> int:
    """Star the pictures of the owner's job; how many there are. Raises Refusal no_job."""
    find_mine(tx, account, job_id)
    pieces = [each for each in gallery.of_job(tx, job_id) if picture is None or each.index == picture]
    if not pieces:
        raise Refusal("no_job", job=job_id)
    for piece in pieces:
        gallery.star(tx, piece.id, on)
    return len(pieces)
