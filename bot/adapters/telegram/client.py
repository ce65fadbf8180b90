"""The line to Telegram: one place where what the SDK raises becomes Gone, Later or Unsure."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import httpx
from telegram import Bot
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)  # fmt: skip

from bot.adapters.telegram.way import Way
from bot.secret import Secret
from bot.talk import Gone, Later, Unsure

os.environ.setdefault("PTB_TIMEDELTA", "true")  # else RetryAfter warns about itself when it is raised

log = logging.getLogger(__name__)
T = TypeVar("T")

AWAY = 3.0
"""Seconds until another try when Telegram cannot be reached."""
WRONG = 300.0
"""And when it does not take the token."""
READ = 10.0
"""Seconds that an answer may take."""
LONG = 25
"""Seconds of one long poll."""
PATIENCE = 3.0
"""Seconds that what is being sent at the end may take."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Unchanged(Exception):  # noqa: N818 - an answer, not an error
    """The message shows this already."""


class Pictured(Exception):  # noqa: N818 - an answer, not an error
    """The message to edit is a picture, which never becomes a text."""


class Lost(Exception):  # noqa: N818 - an answer, not an error
    """The message to edit is not there (any more)."""


class Moved(Exception):  # noqa: N818 - an answer, not an error
    """The group became a supergroup: it is ``chat`` now."""

    def __init__(self, chat: int) -> None:
        super().__init__(str(chat))
        self.chat = chat


class Closed(Gone):
    """The topic is closed or deleted; the chat is there."""


async def request(call: Awaitable[T], *, repeatable: bool) -> T:
    """Its answer. Raises Gone, Later, Unsure (``repeatable`` or not), Unchanged, Pictured, Lost,
    Moved.

    A 5xx and a connection that broke after the request was on its way say nothing of what was done.
    """
    try:
        return await call
    except ChatMigrated as error:
        raise Moved(error.new_chat_id) from error
    except RetryAfter as error:
        raise Later(seconds_of(error)) from error
    except InvalidToken as error:
        raise Later(WRONG) from error
    except Forbidden as error:
        raise Gone from error
    except BadRequest as error:
        raise _bad(error) from error
    except (TimedOut, NetworkError) as error:
        if isinstance(error.__cause__, _NOT_SENT):
            raise Later(AWAY) from error
        raise Unsure(repeatable=repeatable) from error
    except Conflict as error:
        raise Later(AWAY) from error
    except TelegramError as error:  # not Telegram's words: a page of a wireless network, or half an answer
        raise Unsure(repeatable=repeatable) from error


_WORDS: tuple[tuple[str, type[Exception]], ...] = (
    ("message is not modified", Unchanged),
    ("message to edit not found", Lost),
    ("no text in the message to edit", Pictured),
    ("message can't be edited", Lost),
    ("message_id_invalid", Lost),
    ("topic_closed", Closed),
    ("topic_deleted", Closed),
    ("message thread not found", Closed),
    ("chat not found", Gone),
    ("chat_write_forbidden", Gone),
    ("chat_restricted", Gone),
    ("chat_send_photos_forbidden", Gone),
    ("not enough rights", Gone),
    ("have no rights", Gone),
    ("need administrator rights", Gone),
    ("peer_id_invalid", Gone),
    ("user is deactivated", Gone),
    ("group chat was deactivated", Gone),
)


def _bad(error: BadRequest) -> Exception:
    said = error.message.casefold()
    found = next((kind for words, kind in _WORDS if words in said), None)
    return found() if found else error


def seconds_of(error: RetryAfter) -> float:
    """How long Telegram asked us to wait."""
    pause = error.retry_after
    return pause.total_seconds() if isinstance(pause, datetime.timedelta) else float(pause)


class Line:
    """A bot, and what is in flight on it."""

    def __init__(self, token: Secret, api_root: str) -> None:
        """A bot that asks ``api_root``. Uploads get a minute, everything else ten seconds."""
        root = api_root.rstrip("/")
        self._ways = (
            Way(32, read_timeout=READ, write_timeout=10, pool_timeout=10, media_write_timeout=60),
            Way(1, read_timeout=LONG),
        )
        self.bot = Bot(
            token.reveal(), f"{root}/bot", f"{root}/file/bot",
            request=self._ways[0], get_updates_request=self._ways[1],
        )  # fmt: skip
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def ask(self, call: Awaitable[T], *, repeatable: bool = False) -> T:
        """``request``, waited for at the end."""
        self._busy += 1
        self._idle.clear()
        try:
            return await request(call, repeatable=repeatable)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def courtesy(self, call: Callable[[], Awaitable[object]]) -> bool:
        """Something that may fail; whether it did not."""
        try:
            await self.ask(call())
        except (TelegramError, Gone, Later, Unsure, Unchanged, Lost, Moved) as error:
            log.info("courtesy failed", extra={"action": "courtesy", "why": type(error).__name__})
            return False
        return True

    async def close(self) -> None:
        """Let what is in flight arrive, for a moment; then let go."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._idle.wait()
        for way in self._ways:
            with suppress(TelegramError, httpx.HTTPError):
                await way.shutdown()
