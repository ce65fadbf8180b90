"""Long polling. An update is confirmed by asking for the next one: when it is safe with us."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from telegram import Bot, Update
from telegram.error import BadRequest, Conflict, InvalidToken, RetryAfter, TelegramError

from bot.adapters.telegram.client import LONG, seconds_of

log = logging.getLogger(__name__)

ALLOWED = ("message", "callback_query", "inline_query", "my_chat_member")
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts while it fails; the last one repeats."""


async def updates(bot: Bot, unit: float = 1.0) -> AsyncGenerator[Update]:
    """Every update; when the next is asked for, the one before is durable. Raises InvalidToken.

    A second poller (409), a flood (429) and a lost connection are waited out; nothing is skipped. A webhook
    that is still set would keep every update from us.
    """
    offset, failures, hooked = None, 0, True
    while True:
        try:
            if hooked:
                await bot.delete_webhook()
                hooked = False
            found = await bot.get_updates(offset, timeout=LONG, allowed_updates=ALLOWED)
        except InvalidToken:
            raise
        except TelegramError as error:
            await asyncio.sleep(_pause(error, failures) * unit)
            failures += 1
            continue
        failures = 0
        for update in found:
            yield update
            offset = update.update_id + 1


def _pause(error: TelegramError, failures: int) -> float:
    why = type(error).__name__
    log.warning("no updates", extra={"action": "poll", "why": why})
    if isinstance(error, RetryAfter):
        return seconds_of(error)
    if isinstance(error, Conflict | BadRequest):
        return PAUSES[-1] if failures > 2 else PAUSES[2]
    return PAUSES[min(failures, len(PAUSES) - 1)]
