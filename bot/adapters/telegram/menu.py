"""The list of commands behind the "/" button: by scope and language, set only when it changed."""

from __future__ import annotations

import logging

from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllChatAdministrators,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
)  # fmt: skip

from bot.adapters.telegram.client import Line
from bot.adapters.telegram.house import House
from bot.texts import LANGUAGES

log = logging.getLogger(__name__)

PRIVATE = frozenset({"link"})
"""Commands that a group is not offered."""
SCOPES: tuple[BotCommandScope, ...] = (
    BotCommandScopeAllPrivateChats(),
    BotCommandScopeAllGroupChats(),
    BotCommandScopeAllChatAdministrators(),
)


async def offer(line: Line, house: House) -> None:
    """Make Telegram's lists ours; English is what everybody sees whose language we do not speak."""
    for scope in SCOPES:
        for language in LANGUAGES:
            code = "" if language == LANGUAGES[0] else language
            await _set(line, scope, code, _wanted(house, scope, language))


def _wanted(house: House, scope: BotCommandScope, language: str) -> list[BotCommand]:
    private = isinstance(scope, BotCommandScopeAllPrivateChats)
    moderates = isinstance(scope, BotCommandScopeAllChatAdministrators)
    offered = house.menu(language, moderates=moderates)
    return [BotCommand(name, text) for name, text in offered if private or name not in PRIVATE]


async def _set(line: Line, scope: BotCommandScope, code: str, wanted: list[BotCommand]) -> None:
    known = await line.ask(line.bot.get_my_commands(scope, code or None))
    if list(known) != wanted:
        await line.ask(line.bot.set_my_commands(wanted, scope, code or None))
        log.info("menu set", extra={"action": "menu", "scope": scope.type, "language": code})
