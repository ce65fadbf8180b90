"""The styles on offer, each with what it adds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands import choose
from bot.talk import Call, Reply
from bot.texts import say


@dataclass(frozen=True, slots=True)
class Styles:
    """Which styles there are."""


async def answer(ask: Styles, call: Call, app: App) -> AsyncIterator[Reply]:
    """Every style and its template."""
    known = choose.all_styles(app)
    if not known:
        yield Reply(say(call.language, "styles.empty"), private=True)
        return
    yield Reply(
        say(call.language, "styles.text", example=next(iter(known))),
        title=say(call.language, "styles.title"),
        fields=tuple((name, template.replace("{prompt}", "…")) for name, template in known.items()),
        private=True,
    )
