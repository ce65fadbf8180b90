"""What is wrong with a token's set-up, for ``falopitas doctor``: asked of Telegram, changing nothing."""

from __future__ import annotations

import logging

from telegram.error import InvalidToken, NetworkError, TelegramError

from bot.adapters.telegram.client import Line
from bot.adapters.telegram.house import Finding
from bot.secret import Secret

# Where nobody keeps a log, Python prints the library's complaints: a trace in the middle of the findings.
logging.getLogger("telegram").addHandler(logging.NullHandler())


async def check(token: Secret, api_root: str, webhook: str = "") -> tuple[Finding, ...]:
    """The bot's name, or why it cannot be reached; privacy mode, inline mode, somebody else's webhook.

    ``webhook`` is what the configuration says. A finding's sentence is ``telegram.check.<what>`` (and
    ``….next``) with its values.
    """
    line = Line(token, api_root)
    try:
        return await _look(line, webhook)
    except InvalidToken:
        return (Finding("bad", "token"),)
    except NetworkError:
        return (Finding("bad", "network", (("root", api_root),)),)
    except TelegramError as error:
        if type(error) is TelegramError:  # no answer of Telegram's: somebody else's page
            return (Finding("bad", "network", (("root", api_root),)),)
        return (Finding("bad", "refused", (("reason", type(error).__name__),)),)
    finally:
        await line.close()


async def _look(line: Line, webhook: str) -> tuple[Finding, ...]:
    me = await line.bot.get_me()
    there = await line.bot.get_webhook_info()
    found = [Finding("ok", "name", (("name", me.username),))]
    if me.can_read_all_group_messages:
        found.append(Finding("note", "privacy"))
    if not me.supports_inline_queries:
        found.append(Finding("note", "inline"))
    if me.can_join_groups is False:
        found.append(Finding("note", "groups"))
    if there.url and there.url != webhook:
        found.append(Finding("bad", "webhook", (("url", there.url),)))
    if webhook and there.url == webhook and there.last_error_message:
        found.append(Finding("note", "webhook_error", (("reason", there.last_error_message),)))
    return tuple(found)
