"""Updates by webhook: Telegram calls us, and is told "got it" only when the update is safe with us."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import AsyncGenerator
from http import HTTPStatus
from itertools import chain, repeat
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from telegram import Bot, Update
from telegram.error import InvalidToken, TelegramError

from bot.adapters.telegram.poll import ALLOWED, PAUSES
from storage.refusal import Refusal

log = logging.getLogger(__name__)

HEADER = "X-Telegram-Bot-Api-Secret-Token"
LARGEST = 1 << 20
"""Bytes of an update; Telegram's are a few thousand."""
PATIENCE = 30.0
"""Seconds an update may wait to be safe; then Telegram sends it again."""


class Webhook:
    """A small server behind the operator's TLS. The secret is new at each start: Telegram is told it."""

    def __init__(self, bot: Bot, url: str, host: str, port: int, unit: float = 1.0) -> None:
        self._bot = bot
        self._url = url
        self._host = host
        self._port = port
        self._unit = unit
        self._secret = secrets.token_urlsafe(32)
        self._arrived: asyncio.Queue[tuple[Update, asyncio.Future[None]]] = asyncio.Queue(maxsize=100)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises Refusal port_in_use."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_post(urlsplit(self._url).path or "/", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self.close()
            raise Refusal("port_in_use", port=self._port, host=self._host) from None

    async def _announce(self) -> None:
        """Tell Telegram where we are, however long that takes. Raises InvalidToken."""
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                await self._bot.set_webhook(
                    self._url, allowed_updates=ALLOWED, secret_token=self._secret, max_connections=20
                )
            except InvalidToken:
                raise
            except TelegramError as error:
                log.warning("no webhook", extra={"action": "webhook", "why": type(error).__name__})
                await asyncio.sleep(pause * self._unit)
            else:
                return

    async def updates(self) -> AsyncGenerator[Update]:
        """Every update; when the next is asked for, the one before is durable."""
        await self._announce()
        while True:
            update, safe = await self._arrived.get()
            if safe.cancelled():
                continue
            yield update
            if not safe.done():
                safe.set_result(None)

    async def _receive(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get(HEADER, "").encode(), self._secret.encode()):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        update = await self._read(request)
        if update is None:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._arrived.put((update, safe))
                await safe
        except TimeoutError:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response()

    async def _read(self, request: web.Request) -> Update | None:
        try:
            said: Any = await request.json()
            return Update.de_json(said, self._bot)
        except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError):
            log.warning("unreadable update", extra={"action": "unreadable"})
            return None

    async def close(self) -> None:
        """Stop listening; what was not safe yet is sent again."""
        if self._runner:
            await self._runner.cleanup()
