"""How often something was refused here, appealed, and put right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.talk import Call, Reply
from bot.texts import number, say
from storage import tallies

DAYS = 30


@dataclass(frozen=True, slots=True)
class Transparency:
    """Counts of the last thirty days."""


async def answer(ask: Transparency, call: Call, app: App) -> AsyncIterator[Reply]:
    """Anybody may ask; nobody is named."""
    since = int(app.clock() // 86_400) - DAYS
    counts = await app.database.read(tallies.since, call.community, since)
    fields = [
        (say(call.language, f"transparency.{what}"), number(call.language, n)) for what, n in counts.items()
    ]
    yield Reply(
        say(call.language, "transparency.text", days=DAYS),
        title=say(call.language, "transparency.title"),
        fields=tuple(fields),
    )
