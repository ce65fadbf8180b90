"""``@bot words`` in any chat: the person's own recent pictures. Nothing is drawn while somebody types."""

from __future__ import annotations

from functools import partial

from telegram import (
    InlineQuery,
    InlineQueryResultCachedPhoto,
    InlineQueryResultsButton,
    MessageEntity,
)  # fmt: skip

from bot.adapters.telegram.address import NAME
from bot.adapters.telegram.client import Line
from bot.adapters.telegram.house import House, Recent
from bot.adapters.telegram.rich import CAPTION, cut, units
from bot.texts import say

SHOWN = 30
"""Pictures offered; Telegram takes 50."""
FRESH = 10
"""Seconds for which Telegram may remember an answer."""


async def answer(line: Line, house: House, query: InlineQuery, usual: str) -> None:
    """Offer what there is; without anything, the way to the first picture."""
    who = f"{NAME}:{query.from_user.id}"
    language = await house.language(who, query.from_user.language_code or usual)
    found = await house.recent(who, query.query.strip(), SHOWN)
    button = InlineQueryResultsButton(say(language, "telegram.draw"), start_parameter="draw")
    send = partial(
        line.bot.answer_inline_query, query.id, [_offered(each) for each in found], cache_time=FRESH,
        is_personal=True, button=None if found else button,
    )  # fmt: skip
    await line.courtesy(send)


def _offered(recent: Recent) -> InlineQueryResultCachedPhoto:
    words = cut(recent.prompt, CAPTION)
    code = [MessageEntity(MessageEntity.CODE, 0, units(words))] if words.strip() else None
    return InlineQueryResultCachedPhoto(
        f"{recent.job}.{recent.index}", recent.ref, title=cut(recent.prompt, 60), caption=words,
        caption_entities=code,
    )  # fmt: skip
