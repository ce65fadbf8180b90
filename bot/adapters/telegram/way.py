"""The library's client, which lets go of everything before it closes."""

from __future__ import annotations

import asyncio
from typing import Any

from telegram.error import NetworkError
from telegram.request import HTTPXRequest


class Way(HTTPXRequest):
    """What is still being asked at ``shutdown`` is given up first: its pool forgets a connection that is only
    being made while it closes, and nobody would ever close that one."""

    def __init__(self, connections: int, **seconds: Any) -> None:
        super().__init__(connections, **seconds)
        self._asked = set[asyncio.Future[tuple[int, bytes]]]()

    async def do_request(self, *given: Any, **named: Any) -> tuple[int, bytes]:
        """The library's. Raises NetworkError too when this was closed meanwhile."""
        asked = asyncio.ensure_future(super().do_request(*given, **named))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        try:
            await asyncio.wait({asked})
        finally:
            asked.cancel()
        if asked.cancelled():
            raise NetworkError("closed")
        return asked.result()

    async def shutdown(self) -> None:
        """The library's, when nothing is asked any more."""
        while self._asked:
            for asked in self._asked:
                asked.cancel()
            await asyncio.wait(self._asked)
        await super().shutdown()
