"""A client that closes while it is still connecting leaves nothing open."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest
from telegram.error import NetworkError, TelegramError
from telegram.request import HTTPXRequest

from bot.adapters.telegram.way import Way


class Connecting(httpx.AsyncBaseTransport):
    """A line on which every request is still connecting."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.busy = 0
        self.forgot = -1
        """How many were still connecting when it was closed."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.busy += 1
        self.begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            self.busy -= 1
        return httpx.Response(200, request=request)

    async def aclose(self) -> None:
        self.forgot = self.busy


async def _closed_meanwhile(kind: type[HTTPXRequest]) -> tuple[int, BaseException | None]:
    """How many were forgotten, and what its asker was told."""
    line = Connecting()
    way = kind(4, httpx_kwargs={"transport": line})
    asked = asyncio.ensure_future(way.do_request("http://127.0.0.1/", "GET"))
    await line.begun.wait()
    await way.shutdown()
    if not line.forgot:
        await asyncio.wait({asked})
    asked.cancel()
    with suppress(asyncio.CancelledError, TelegramError):
        await asked
    return line.forgot, None if asked.cancelled() else asked.exception()


async def test_whatever_is_being_connected_is_let_go_of_before_it_closes_and_its_asker_told() -> None:
    forgot, told = await _closed_meanwhile(Way)
    assert forgot == 0
    assert isinstance(told, NetworkError)


async def test_a_client_that_closes_over_what_still_connects_is_caught() -> None:
    """The control: the library's own."""
    assert await _closed_meanwhile(HTTPXRequest) == (1, None)


async def test_who_gives_up_a_question_gives_up_its_connection() -> None:
    line = Connecting()
    way = Way(1, httpx_kwargs={"transport": line})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await way.do_request("http://127.0.0.1/", "GET")
    await way.shutdown()
    assert line.forgot == 0
