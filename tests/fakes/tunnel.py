"""A websocket through a bad line: messages come late, twice, garbled, half, or not at all."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from tests.fakes.proxy import Proxy


async def tunnel(line: Proxy, request: web.Request, upstream: str) -> web.StreamResponse:
    """One connection until either end closes it or the line breaks it."""
    near = web.WebSocketResponse(autoping=False, autoclose=False)
    async with aiohttp.ClientSession() as session:
        address = f"{upstream.replace('http', 'ws', 1)}{request.raw_path}"
        try:
            far = await session.ws_connect(address, autoping=False, autoclose=False)
        except aiohttp.ClientError:
            raise web.HTTPBadGateway from None
        await near.prepare(request)
        ways = [asyncio.ensure_future(each) for each in (_up(near, far), _down(line, request, near, far))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _ended(near, far)
    return near


async def _ended(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
    """Both ends learn that the other is gone, with the code that it gave."""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(0.2):
            await near.close(code=far.close_code or aiohttp.WSCloseCode.GOING_AWAY)
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(0.2):
            await far.close()


async def _up(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
    """What the bot says goes through, as long as anything does."""
    async for message in near:
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        with suppress(aiohttp.ClientError, OSError):
            await far.send_str(message.data)


async def _down(
    line: Proxy, request: web.Request, near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse
) -> None:
    """What the platform says, as the line leaves it."""
    from tests.fakes.proxy import NONSENSE, Fault

    told = ""
    async for message in far:
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        fault = line.spoken(request.path, told=bool(told))
        if fault is Fault.HANG:
            await line.over.wait()
        if fault in {Fault.DROP, Fault.TRUNCATE}:
            _broken(request, message.data if fault is Fault.TRUNCATE else "")
            return
        if fault is Fault.DELAY:
            await asyncio.sleep(line.delay)
        if fault is Fault.GARBAGE:
            await near.send_str(NONSENSE)
            continue
        if fault is Fault.REPLAY:
            await near.send_str(told)
        await near.send_str(message.data)
        if '"INTERACTION_CREATE"' in message.data:
            told = message.data


def _broken(request: web.Request, text: str) -> None:
    """Half a message, if any of it, and then nothing more."""
    if request.transport is None:
        return
    data = text.encode()[:60_000]
    if len(data) > 125:
        request.transport.write(b"\x81\x7e" + struct.pack(">H", len(data)) + data[: len(data) // 2])
    request.transport.abort()
