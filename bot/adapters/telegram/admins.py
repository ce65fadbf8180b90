"""Who may moderate a group: what Telegram says, remembered for a minute."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from telegram.error import TelegramError

from bot.adapters.telegram.client import Line, Lost, Moved, Unchanged
from bot.talk import Gone, Later, Unsure

FRESH, UNKNOWN = 60.0, 10.0
"""Seconds that an answer is remembered, and that none came."""
REMEMBERED = 1_024
_TROUBLE = (TelegramError, Gone, Later, Unsure, Lost, Moved, Unchanged)


class Admins:
    """The administrators of the groups."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._known: OrderedDict[int, tuple[float, frozenset[int]]] = OrderedDict()

    async def has(self, chat: int, person: int) -> bool:
        """Is this person one? Nobody is, when Telegram does not say."""
        return person in await self._of(chat)

    async def says(self, chat: int, person: int) -> bool | None:
        """Is this person one? None when Telegram does not say: no group is without an administrator."""
        found = await self._of(chat)
        return person in found if found else None

    async def _of(self, chat: int) -> frozenset[int]:
        now = asyncio.get_running_loop().time()
        until, found = self._known.get(chat, (0.0, frozenset[int]()))
        if until <= now:
            found = await self._ask(chat)
            self._known[chat] = (now + (FRESH if found else UNKNOWN), found)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    async def _ask(self, chat: int) -> frozenset[int]:
        try:
            async with asyncio.timeout(2):
                members = await self._line.ask(self._line.bot.get_chat_administrators(chat))
        except (*_TROUBLE, TimeoutError):
            return frozenset()
        return frozenset(member.user.id for member in members)
