"""The page's server as an Adapter: people's posts become Calls, replies become server-sent events."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from bot.adapters.web.api import Api, Route, said
from bot.adapters.web.bureau import Bureau
from bot.adapters.web.house import House
from bot.adapters.web.mod import ModApi
from bot.adapters.web.render import render, tiles
from bot.adapters.web.security import (
    ALL_GUARDS,
    HEADERS,
    MAX_BODY,
    Cookies,
    Denied,
    Guard,
    Left,
    Names,
    Tokens,
    check_bytes,
    check_host,
    check_json,
    check_origin,
    check_site,
    is_session,
    new_session,
    read_key,
)
from bot.adapters.web.session import Message, Session, Sessions
from bot.talk import Attachment, Call, Gone, Place, Reply, Tone
from storage.refusal import Refusal

log = logging.getLogger(__name__)
MAX_WAITING: Final = 1_000
"""Calls taken in and not yet picked up by the conversation."""


class Web:
    """An adapter whose chat is our own page. A place is ``web:<session>/<message>``."""

    name = "web"

    def __init__(
        self,
        house: House,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 8427,
        public: bool = False,
        names: tuple[str, ...] = (),
        guards: frozenset[Guard] = ALL_GUARDS,
        clock: Callable[[], float] = time.time,
        patience: float = 10.0,
        max_body: int = MAX_BODY,
        bureau: Bureau | None = None,
    ) -> None:
        if not public and host not in {"127.0.0.1", "localhost", "::1"}:
            raise Refusal("web_public", host=host)
        self.house = house
        self.bureau = bureau
        self.host = host
        self.port = port
        self.public = public
        self.names = names
        self.guards = guards
        self.clock = clock
        self.patience = patience
        self.max_body = max_body if Guard.SIZE in guards else 64 * 2**20
        self.cookies = Cookies(read_key(data_dir / "web.key"), guards)
        self.left = Left(data_dir / "web.left")
        self.left.read(clock())
        self.tokens = Tokens(guards)
        self.sessions = Sessions()
        self._calls: asyncio.Queue[tuple[Call, asyncio.Future[None]] | None] = asyncio.Queue()
        self._closed = False
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; Refusal ``port_in_use`` when somebody else does."""
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0, lingering_time=1.0)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port)
        try:
            await site.start()
        except OSError as problem:
            await runner.cleanup()
            if problem.errno in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
                raise Refusal("port_in_use", host=self.host, port=self.port) from problem
            raise
        self._runner = runner
        if self.port == 0:
            self.port = int(runner.addresses[0][1])
        if self.bureau:
            self.bureau.opened(self.address)

    def launch_address(self) -> str:
        """The page's address with a one-time token that signs in the owner.

        The token stands behind the ``#``: it is never sent in a request line, so no log, history of a
        proxy or link preview can use it up.
        """
        return f"{self.address}#enter={self.tokens.make(self.clock())}"

    @property
    def address(self) -> str:
        """Where the page is."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", "localhost"} else self.host  # noqa: S104 - read, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    async def close(self) -> None:
        """End every stream and stop listening."""
        if self._closed:
            return
        self._closed = True
        self.sessions.close_all()
        for task in self._tasks:
            task.cancel()
        self._calls.put_nowait(None)
        if self._runner:
            await self._runner.cleanup()

    # -- adapter ---------------------------------------------------------------------------------------

    async def listen(self) -> AsyncIterator[Call]:
        """Every call that people make on the page."""
        while (item := await self._calls.get()) is not None:
            call, taken = item
            yield call
            if not taken.done():
                taken.set_result(None)

    async def hand_in(self, call: Call) -> None:
        """Pass a call on; back when the conversation asks for the next one: then it has this one durably."""
        if self._closed or self._calls.qsize() >= MAX_WAITING:
            raise Denied(503, "busy", **{"Retry-After": "5"})
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls.put_nowait((call, taken))
        try:
            async with asyncio.timeout(self.patience):
                await taken
        except TimeoutError as late:
            raise Denied(503, "busy", **{"Retry-After": "5"}) from late

    async def fetch(self, picture: Attachment, limit: int) -> bytes:
        """The bytes of an upload."""
        data = await self.house.uploaded(picture)
        if len(data) > limit:
            raise Refusal("picture_too_large", limit=limit // 2**20)
        return data

    async def show(self, place: Place, reply: Reply) -> Place:
        """Send or edit; Gone when the session signed out."""
        session, name = self._parse(place)
        message = session.messages.get(name) or Message(name, self.clock())
        if reply.fleeting and is_final(message.reply):
            return f"web:{session.name}/{name}"  # progress that comes too late
        if not reply.fleeting and not await self.house.member(f"web:{session.name}"):
            raise Gone(place)
        message.reply = await self._rendered(session, await self._spoken(session, message, reply))
        session.put(message)
        if message.changes is not None and not reply.fleeting:
            await self.freshen(session, message.changes)
        return f"web:{session.name}/{name}"

    async def _spoken(self, session: Session, message: Message, reply: Reply) -> Reply:
        """What came of an ask, in its person's language also if they changed that meanwhile."""
        over = not reply.fleeting and reply.tone is not Tone.WAITING
        if reply.job is None or not over or message.language in ("", session.language):
            return reply
        return await self.house.card(f"web:{session.name}", reply.job) or reply

    def respeak(self, session: Session) -> None:
        """Its person speaks another language now: finished pictures and their details are told again."""
        self._begin(self._retell(session))

    async def _retell(self, session: Session) -> None:
        who = f"web:{session.name}"
        for message in list(session.messages.values()):
            with suppress(Refusal, Gone):  # what cannot be told again stays as it was
                reply = await self._again(who, message, session.language)
                if reply is not None:
                    message.language = session.language
                    await self.show(f"{who}/{message.name}", reply)

    async def _again(self, who: str, message: Message, language: str) -> Reply | None:
        job = (message.reply or {}).get("job")
        if job is not None and is_card(message, job):
            return await self.house.card(who, job)
        return await self.house.retold(who, message.ask, language)

    async def _rendered(self, session: Session, reply: Reply) -> dict[str, Any]:
        shown = render(reply, self.house.pack, session.keep, session.offer)
        job = reply.job if reply.job is not None else self._about(reply)
        if shown["images"] and not reply.fleeting:
            pieces = await self.house.pieces(f"web:{session.name}", job) if job is not None else ()
            shown["tiles"] = tiles(shown["images"], pieces)
            for picture in (*shown["images"], *shown["tiles"]):
                session.saw(picture["digest"])
        return shown

    def _about(self, reply: Reply) -> int | None:
        """The job of a reply that does not say it: the one its first button is about."""
        asks = [button.ask for row in reply.buttons for button in row]
        return self.house.job_of(asks[0]) if asks else None

    async def restore(self, session: Session) -> None:
        """After a restart of the bot: what this session was shown before, and what is still being drawn."""
        if session.restored:
            return
        session.restored = True
        who = f"web:{session.name}"
        for past in await self.house.past(who, session.name):
            known = session.messages.get(past.name)
            if known is None:
                words = said(past.said, picture=past.picture) if past.said else None
                session.put(Message(past.name, past.at, said=words))
            if past.reply is not None and (known is None or known.reply is None):
                await self.show(f"{who}/{past.name}", past.reply)
            elif past.job is not None and known is None:
                self._begin(self._follow(f"{who}/{past.name}", who, past.job))

    async def _follow(self, place: Place, who: str, job: int) -> None:
        async for reply in self.house.follow(who, job):
            # what would be said once to a new ask is news of an old one here: it may be skipped
            await self.show(place, replace(reply, fleeting=reply.tone is Tone.WAITING))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def freshen(self, session: Session, job: int) -> None:
        """A job of this session changed (a star, deleted pictures): its cards show it."""
        for message in [m for m in session.messages.values() if is_card(m, job)]:
            reply = await self.house.card(f"web:{session.name}", job)
            if reply is not None:
                await self.show(f"web:{session.name}/{message.name}", reply)

    def _parse(self, place: Place) -> tuple[Session, str]:
        platform, _, address = place.partition(":")
        session, _, name = address.partition("/")
        if platform != self.name or not is_session(session):
            raise Gone(place)
        return self.sessions.get(session), name or f"m{new_session()}"

    # -- server ----------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._answer], client_max_size=self.max_body)
        self._routes: dict[str, Route] = {}
        moderators = ModApi(self, self.bureau).routes() if self.bureau else []
        for route in (*Api(self).routes(), *moderators):
            resource = app.router.add_resource(route.path)
            resource.add_route("*", route.handle)
            self._routes[resource.canonical] = route
        return app

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], object]
    ) -> web.StreamResponse:
        """Check, handle, and put our headers on whatever comes of it."""
        try:
            response = await self._checked(request, handler)
        except Denied as denied:
            response = web.json_response({"error": denied.code}, status=denied.status, headers=denied.headers)
        except web.HTTPRequestEntityTooLarge:
            response = web.json_response({"error": "size"}, status=413)
        except web.HTTPException as problem:
            response = web.json_response({"error": "missing"}, status=problem.status)
        if not response.prepared:
            finish(response)
            if response.status in {408, 413, 415}:
                response.force_close()  # what is left of the body is not worth reading
        return response

    async def _checked(
        self, request: web.Request, handler: Callable[[web.Request], object]
    ) -> web.StreamResponse:
        guards = self.guards
        if Guard.HOST in guards:
            check_host(request, Names(self.port, self.public, self.names))
        route = self._route(request)
        method = "GET" if request.method == "HEAD" else request.method
        if Guard.METHOD in guards and method != route.method:
            raise Denied(405, "method", Allow=route.method)
        if Guard.SITE in guards:
            check_site(request, navigable=route.navigable)
        if route.method == "POST":
            if Guard.ORIGIN in guards:
                check_origin(request, Names(self.port, self.public, self.names))
            if Guard.JSON in guards:
                (check_bytes if route.raw else check_json)(request)
        return await route.handle(request)

    def _route(self, request: web.Request) -> Route:
        resource = request.match_info.route.resource
        if resource is None or resource.canonical not in self._routes:
            raise Denied(404, "missing")
        return self._routes[resource.canonical]


def is_card(message: Message, job: int) -> bool:
    """Whether a message shows the finished pictures of this job."""
    reply = message.reply or {}
    return (
        reply.get("job") == job
        and bool(reply.get("tiles") or reply.get("images"))
        and not reply.get("fleeting")
    )


def is_final(reply: dict[str, Any] | None) -> bool:
    """Whether a message has its last word: pictures, a refusal, bad news."""
    return reply is not None and not reply["fleeting"] and reply["tone"] != Tone.WAITING


def finish(response: web.StreamResponse) -> None:
    """The headers of every answer."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
