"""``/mod page``: a link to the moderators' page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands.mod.common import moderator
from bot.seats import LINK
from bot.talk import Call, Reply, Tone
from bot.texts import say
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class ModPage:
    """A link that opens the moderators' page once, for who asks and for this community."""


async def answer(ask: ModPage, call: Call, app: App) -> AsyncIterator[Reply]:
    """Only who asked sees it. Raises Refusal no_page where the bot runs without one."""
    await moderator(call, app)
    if not app.seats.address:
        raise Refusal("no_page")
    link = app.seats.invite(call.who, call.community, app.clock())
    key = "mod.page.text" if app.config.web.public else "mod.page.near"
    yield Reply(
        say(call.language, key, left=LINK), title=say(call.language, "mod.page.title"), tone=Tone.GOOD,
        link=link, private=True,
    )  # fmt: skip
