"""A bad line between a bot and a platform: it delays, drops, resets, repeats, refuses, cuts off, by a seed.

It stands in front of any HTTP platform (``upstream``), Telegram's fake or Discord's; what it did is counted.
A fault is decided for each request alone, and on a websocket for each message, so that a seed and an order of
requests give the same faults again. ``heal`` ends all of them, but not a silence that has begun: a half-open
connection stays one.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
from aiohttp import web

from tests.fakes.tunnel import tunnel


class Fault(StrEnum):
    """What can happen to one request."""

    DELAY = "delay"  # it comes late, and is answered
    DROP = "drop"  # the line breaks before the platform heard it
    LOSE = "lose"  # the platform did it, and the answer is lost
    RESET = "reset"  # the same, in the middle of the answer's head
    TRUNCATE = "truncate"  # half of the answer's body
    REFUSE = "refuse"  # 502 of a gateway; not done
    BREAK = "break"  # 504 of a gateway; done
    FLOOD = "flood"  # 429; not done
    REPEAT = "repeat"  # what is safe to repeat reaches the platform twice
    REPLAY = "replay"  # news that were told before are told again
    PORTAL = "portal"  # somebody else answers 200, with a page; not done
    GARBAGE = "garbage"  # the answer is not what the platform said; done
    HANG = "hang"  # nothing comes any more, and the connection stays open; not done


NOT_DONE = frozenset({Fault.DROP, Fault.REFUSE, Fault.FLOOD, Fault.PORTAL, Fault.HANG})
"""After these the platform knows nothing of the request."""
SPOKEN = frozenset({Fault.DELAY, Fault.DROP, Fault.TRUNCATE, Fault.REPLAY, Fault.GARBAGE, Fault.HANG})
"""What can happen to a message of a websocket."""
NONSENSE = "\x00}{ not what was said"
HOP = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the proxy knows of a platform: which requests may be repeated, which bring news, how 429 looks."""

    safe: re.Pattern[str]
    news: re.Pattern[str]
    flood: Callable[[float], web.Response]


def _telegram_flood(seconds: float) -> web.Response:
    after = max(1, round(seconds))
    said = {"ok": False, "error_code": 429, "description": f"Too Many Requests: retry after {after}"}
    return web.json_response({**said, "parameters": {"retry_after": after}}, status=429)


def _discord_flood(seconds: float) -> web.Response:
    said = {"message": "You are being rate limited.", "retry_after": seconds, "global": False}
    headers = {"Retry-After": str(max(1, round(seconds))), "X-RateLimit-Scope": "shared"}
    return web.json_response(said, status=429, headers=headers)


TELEGRAM = Dialect(
    re.compile(r"/(edit\w+|delete\w+|answerCallbackQuery|set\w+|get(?!Updates)\w+)$"),
    re.compile(r"/getUpdates$"), _telegram_flood,
)  # fmt: skip
DISCORD = Dialect(re.compile(r"/messages/(@original|\d+)$"), re.compile(r"(?!)"), _discord_flood)


@dataclass(slots=True)
class Proxy:
    """``rates``: how often each fault happens, 0 to 1, while the line is ``bad``."""

    upstream: str
    dialect: Dialect
    rates: Mapping[Fault, float]
    seed: int = 0
    only: re.Pattern[str] = field(default_factory=lambda: re.compile(""))
    """Requests with such a path; the others go through."""
    delay: float = 0.3
    bad: bool = False
    fired: Counter[Fault] = field(default_factory=Counter)
    root: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """The proxy ends: who hangs is let go."""
    _dice: random.Random = field(init=False)
    _told: bytes = b""
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Proxy:
        self._dice = random.Random(self.seed)
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        if self._runner:
            await self._runner.cleanup()
        if self._session:
            await self._session.close()

    def heal(self) -> None:
        """Everything goes through from now on."""
        self.bad = False

    def _fault(self, path: str) -> Fault | None:
        fault = self._rolled(path)
        return fault if fault and self._fits(fault, path) else None

    def _rolled(self, path: str) -> Fault | None:
        if not self.bad or not self.only.search(path):
            return None
        dice = self._dice.random()
        for fault, rate in self.rates.items():
            dice -= rate
            if dice < 0:
                return fault
        return None

    def _fits(self, fault: Fault, path: str) -> bool:
        if fault is Fault.REPEAT:
            return self.dialect.safe.search(path) is not None
        return fault is not Fault.REPLAY or (bool(self._told) and self.dialect.news.search(path) is not None)

    def spoken(self, path: str, *, told: bool) -> Fault | None:
        """What happens to the next message of a websocket; ``told``: one was told before."""
        fault = self._rolled(path)
        if fault not in SPOKEN or (fault is Fault.REPLAY and not told):
            return None
        self.fired[fault] += 1
        return fault

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await tunnel(self, request, self.upstream)
        body = await request.read()
        fault = self._fault(request.path)
        if fault:
            self.fired[fault] += 1
        if fault is Fault.HANG:
            await self.over.wait()
        if fault is Fault.DELAY:
            await asyncio.sleep(self.delay)
        if fault in NOT_DONE or fault is Fault.REPLAY:
            return self._instead(request, fault)
        try:
            status, headers, data = await self._ask(request, body)
            if fault is Fault.REPEAT:
                status, headers, data = await self._ask(request, body)
        except aiohttp.ClientError:  # the platform itself broke the line
            return self._cut(request)
        if self.dialect.news.search(request.path) and status == 200 and len(data) > 30:
            self._told = data
        return await self._after(request, fault, web.Response(status=status, headers=headers, body=data))

    async def _ask(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        assert self._session
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        url = f"{self.upstream}{request.raw_path}"
        asked = self._session.request(
            request.method, url, headers=headers, data=body or None, timeout=aiohttp.ClientTimeout(90),
            skip_auto_headers=("Content-Type", "User-Agent"),
        )  # fmt: skip
        async with asked as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            return answer.status, kept, await answer.read()

    def _instead(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        if fault is Fault.REPLAY:
            return web.Response(body=self._told, content_type="application/json")
        if fault is Fault.FLOOD:
            return self.dialect.flood(1.0)
        if fault is Fault.PORTAL:
            return web.Response(text="<html>Welcome to our wireless network</html>", content_type="text/html")
        if fault is Fault.REFUSE:
            return web.Response(status=502, text="<html>bad gateway</html>", content_type="text/html")
        return self._cut(request)

    async def _after(
        self, request: web.Request, fault: Fault | None, answer: web.Response
    ) -> web.StreamResponse:
        """The platform did it: what the bot hears of that."""
        if fault is Fault.BREAK:
            return web.Response(status=504, text="<html>timeout</html>", content_type="text/html")
        if fault is Fault.GARBAGE:
            return web.Response(text=NONSENSE, content_type="application/json")
        if fault is Fault.LOSE:
            return self._cut(request)
        if fault in {Fault.RESET, Fault.TRUNCATE} and request.transport:
            whole = answer.body if isinstance(answer.body, bytes) else b""
            head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: application/json\r\nContent-Length: "
            half = whole[: len(whole) // 2] if fault is Fault.TRUNCATE else b""
            tail = f"{len(whole)}\r\n\r\n" if fault is Fault.TRUNCATE else ""
            request.transport.write(f"{head}{tail}".encode() + half)
            await asyncio.sleep(0.01)
            return self._cut(request)
        return answer

    @staticmethod
    def _cut(request: web.Request) -> web.Response:
        if request.transport:
            request.transport.abort()
        return web.Response()
