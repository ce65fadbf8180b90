"""A word to somebody who comes back: what was finished while nothing could be shown to them."""

from __future__ import annotations

from bot.app import App
from bot.commands.show import Show
from bot.talk import Button, Call, Reply
from bot.texts import say
from storage import accounts, outbox
from storage.database import Connection

SHOWN = 5
"""Jobs that get a button: a row of Discord."""


async def missed(call: Call, app: App) -> tuple[Reply, tuple[int, ...]] | None:
    """What to tell whoever calls, and the jobs it tells of; None if there is nothing to tell."""
    jobs = await app.database.read(_missed, call.who)
    if not jobs:
        return None
    buttons = [Button(f"#{job}", Show(job)) for job in jobs[:SHOWN]]
    text = say(call.language, "missed.text", n=len(jobs))
    return Reply(text, buttons=(tuple(buttons),), private=True), jobs


def _missed(tx: Connection, who: str) -> tuple[int, ...]:
    account = accounts.find(tx, who)
    return () if account is None else outbox.missed(tx, account)
