"""A Telegram of the test's own, on a wire: strict, stateful, with faults and floods a test asks for.

Everything that a bot sends is held against Telegram's published specification, and so is every answer
(``violations``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.fakes.telegram import body, spec
from tests.fakes.telegram.flood import Flood
from tests.fakes.telegram.methods import Methods
from tests.fakes.telegram.words import Bad
from tests.fakes.telegram.world import BOT_ID, TOKEN, Message, World

QUIET = frozenset({"getUpdates", "getMe", "getMyCommands", "setMyCommands", "deleteWebhook", "setWebhook"})
"""Requests that no job makes."""


@dataclass(frozen=True)
class Called:
    method: str
    values: dict[str, Any]
    at: float
    error: int
    """0 if it was done."""


@dataclass
class Fault:
    """What goes wrong: ``code`` (0: the connection breaks); ``done``: the method was done all the same."""

    code: int = 0
    done: bool = False
    retry_after: int = 0


@dataclass
class Server:
    unit: float = 1.0
    world: World = field(init=False)
    flood: Flood = field(init=False)
    methods: Methods = field(init=False)
    calls: list[Called] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    fault: Callable[[str, dict[str, Any]], Fault | None] = lambda method, values: None
    token: str = TOKEN
    root: str = ""
    conflicts: int = 0
    _offset: int = 0
    _allowed: list[str] = field(default_factory=list)
    _poll: asyncio.Event = field(default_factory=asyncio.Event)
    _pollers: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        clock = asyncio.get_running_loop().time
        self.world = World(clock, self.unit)
        self.flood = Flood(clock, self.unit)
        self.methods = Methods(self.world, self.flood)
        self.world.news = self._came.set
        self.world.check = self._checked_update

    def _checked_update(self, update: dict[str, Any]) -> None:
        self.violations += spec.load().update(update)

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=60 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self._called)
        app.router.add_get("/file/bot{token}/{path:.*}", self._download)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    # --- requests

    async def _called(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if request.match_info["token"] != self.token:
            malformed = not request.match_info["token"].startswith(str(BOT_ID))
            return _error(Bad("Not Found", 404) if malformed else Bad("Unauthorized", 401))
        try:
            values, uploads = await body.read(request)
            values = self._checked(method, values, set(uploads))
        except (body.Malformed, ValueError) as error:
            self.violations.append(f"{method}: {error}")
            return _error(Bad(f"Bad Request: {error}"))
        except Bad as bad:
            return _error(bad)
        fault = self.fault(method, values)
        if fault and not fault.done:
            return self._fail(request, method, values, fault)
        response = await self._answer(request, method, values, uploads)
        return self._fail(request, method, values, fault) if fault else response

    def _checked(self, method: str, values: dict[str, Any], uploads: set[str]) -> dict[str, Any]:
        known = spec.load()
        if not known.knows(method):
            raise Bad("Not Found", 404)
        direct = {name: f"attach://{name}" for name in uploads & known.parameters(method)}
        typed = known.typed(method, values | direct)
        self.violations += known.request(method, typed, uploads)
        return typed

    async def _answer(
        self, request: web.Request, method: str, values: dict[str, Any], uploads: dict[str, bytes]
    ) -> web.StreamResponse:
        try:
            if method == "getUpdates":
                result = await self._updates(values)
            else:
                action = self.methods.find(method)
                if action is None:
                    raise Bad(f"the fake does not know {method}", 501)
                result = action(values, uploads)
        except Bad as bad:
            self._note(method, values, bad.code)
            return _error(bad)
        self.violations += spec.load().response(method, result)
        self._note(method, values, 0)
        return web.json_response({"ok": True, "result": result})

    def _note(self, method: str, values: dict[str, Any], error: int) -> None:
        self.calls.append(Called(method, values, self.world.clock(), error))
        self._news.set()

    def _fail(
        self, request: web.Request, method: str, values: dict[str, Any], fault: Fault
    ) -> web.StreamResponse:
        if not fault.done:
            self._note(method, values, fault.code or 599)
        if fault.code == 0:
            if request.transport:
                request.transport.abort()
            return web.Response()
        if fault.retry_after:
            after = fault.retry_after
            return _error(Bad(f"Too Many Requests: retry after {after}", 429, retry_after=after))
        return web.Response(status=fault.code, text="<html>bad gateway</html>", content_type="text/html")

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file = self.world.files.get(request.match_info["path"].removeprefix("files/"))
        if request.match_info["token"] != self.token or file is None:
            return web.Response(status=404)
        return web.Response(body=file.data)

    # --- updates

    async def _updates(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Confirm what is before ``offset``; wait for what comes. A newer poller ends this one with 409."""
        if self.methods.webhook:
            raise Bad(
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete "
                "the webhook first", 409,
            )  # fmt: skip
        for number in [n for n in self.world.updates if n < values.get("offset", 0)]:
            del self.world.updates[number]
        self._allowed = values.get("allowed_updates", self._allowed)
        self._poll.set()
        mine = self._poll = asyncio.Event()
        deadline = self.world.clock() + values.get("timeout", 0)
        while not (found := self._waiting(values.get("limit", 100))):
            if mine.is_set():
                self.conflicts += 1
                raise Bad(
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance "
                    "is running", 409,
                )  # fmt: skip
            if self.world.clock() >= deadline:
                return []
            self._came.clear()
            both = [asyncio.ensure_future(each.wait()) for each in (self._came, mine)]
            await asyncio.wait(
                both, timeout=deadline - self.world.clock(), return_when=asyncio.FIRST_COMPLETED
            )
            for each in both:
                each.cancel()
        return found

    def _waiting(self, limit: int) -> list[dict[str, Any]]:
        wanted = [
            update
            for _, update in sorted(self.world.updates.items())
            if not self._allowed or set(self._allowed) & update.keys()
        ]
        return wanted[:limit]

    async def push(self, to: str, secret: str | None = None) -> list[int]:
        """Call the webhook with everything that waits, once; the statuses. What is taken is confirmed."""
        statuses = []
        secret = self.methods.webhook.get("secret_token", "") if secret is None else secret
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
        async with aiohttp.ClientSession() as session:
            for number, update in sorted(self.world.updates.items()):
                async with session.post(to, json=update, headers=headers) as response:
                    statuses.append(response.status)
                    if response.status == 200:
                        del self.world.updates[number]
        return statuses

    # --- for tests

    async def until(self, wanted: Callable[[], Any], seconds: float = 60.0) -> Any:
        """The first true answer of ``wanted()``, asked again whenever the bot did something."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := wanted()):
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.2):
                            await self._news.wait()
        except TimeoutError:
            said = [f"{m.chat.title}: {m.said[:60]!r}" for c in self.world.chats.values() for m in c.ours]
            calls = [(call.method, call.error) for call in self.calls[-8:]]
            raise AssertionError(f"it never came; {said}; {calls}") from None
        return found

    async def picture(self, chat: Any, number: int = 1, seconds: float = 60.0) -> Message:
        """The bot's ``number``-th message with a picture in a chat."""

        def found() -> Message | None:
            shown = [each for each in chat.ours if each.file]
            return shown[number - 1] if len(shown) >= number else None

        message: Message = await self.until(found, seconds)
        return message

    def made(self, *, quiet: bool = False) -> list[Called]:
        """Requests that were done, without those that no job makes."""
        return [each for each in self.calls if not each.error and (quiet or each.method not in QUIET)]


def _error(bad: Bad) -> web.Response:
    answer: dict[str, Any] = {"ok": False, "error_code": bad.code, "description": bad.text}
    if bad.parameters:
        answer["parameters"] = bad.parameters
    return web.json_response(answer, status=bad.code)


@asynccontextmanager
async def server(unit: float = 1.0) -> AsyncIterator[Server]:
    """A Telegram while the block runs; at its end everything that was said was within the specification."""
    made = Server(unit)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
    assert not made.violations, made.violations
