"""What the page's server answers: the files of the page, sign-in, posts, events, pictures, side views."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from bot.adapters.web.house import PAGE, Kept, Waiting
from bot.adapters.web.render import DIGEST, media_type, show_button
from bot.adapters.web.security import CODE_LENGTH, COOKIE_DAYS, HEADERS, Denied, Guard, Rate, new_session
from bot.adapters.web.session import Message, Session
from bot.adapters.web.words import LANGUAGES, page_texts, prefer
from bot.talk import Attachment, Button, Call
from storage.refusal import Refusal

if TYPE_CHECKING:
    from bot.adapters.web.server import Web

T = TypeVar("T", bound=Struct)
HEARTBEAT = 15.0
"""Seconds of silence after which a stream says that it is alive."""
MAX_UPLOAD = 20 * 2**20
"""Bytes of a picture."""
UPLOADS = 4
"""Pictures on their way in at once."""
SLOW_LINE = 120.0
"""Seconds that one may take."""
MAX_STREAMS = 12
"""Streams one session may hold open."""
KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}\.zip")
"""A file to take along: what a header can carry, and the one kind that we make."""
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "page.webmanifest": ("page.webmanifest", "application/manifest+json"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "mod": ("mod.html", "text/html; charset=utf-8"),
    "mod.css": ("mod.css", "text/css; charset=utf-8"),
    **{
        f"{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in (
            "app",
            "attach",
            "card",
            "chat",
            "composer",
            "dom",
            "form",
            "mod",
            "modviews",
            "net",
            "plots",
            "viewer",
            "views",
            "words",
        )
    },
}
"""Every file the server can send: address → name and type. No address ever becomes a path."""

PAGES = ("", "mod")
"""The files that somebody may come to from elsewhere."""

Language = Literal["en", "es"]


class Say(Struct, forbid_unknown_fields=True):
    """Something a person typed, or a button they pressed (with what its form says)."""

    text: Annotated[str, Meta(max_length=9_000)] = ""
    press: Annotated[str, Meta(max_length=200)] = ""
    fields: Annotated[dict[str, str | int | float | bool], Meta(max_length=24)] = {}
    label: Annotated[str, Meta(max_length=80)] = ""
    about: Annotated[str, Meta(max_length=80)] = ""
    language: Language = "en"
    picture: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """The digest of an upload."""


class Enter(Struct, forbid_unknown_fields=True):
    """A launch token."""

    token: Annotated[str, Meta(max_length=100)]
    language: Language = "en"


class LinkIn(Struct, forbid_unknown_fields=True):
    """A code from ``/link``."""

    code: Annotated[str, Meta(max_length=40)]
    language: Language = "en"


class Change(Struct, forbid_unknown_fields=True):
    """New settings: only what is given changes."""

    language: Language | None = None
    fields: Annotated[dict[str, str | int | float | bool], Meta(max_length=24)] | None = None


class Leave(Struct, forbid_unknown_fields=True):
    """Sign out."""


@dataclass(frozen=True, slots=True)
class Route:
    """One address and its one method. ``navigable``: another site may link to it; ``raw``: it takes bytes."""

    path: str
    method: str
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    navigable: bool = False
    raw: bool = False


class Api:
    """The handlers. Host, origin, method and content type were checked before any of them runs."""

    def __init__(self, server: Web) -> None:
        self.server = server
        self.house = server.house
        self.tries = Rate(6, 20.0, server.clock)
        self.posts = Rate(20, 1.0, server.clock)
        self.uploads = Rate(6, 5.0, server.clock)
        self.bringing = asyncio.Semaphore(UPLOADS)
        self.files = _load_files()

    def routes(self) -> list[Route]:
        """Every address there is."""
        files = [Route(f"/{name}", "GET", self.file, navigable=name in PAGES) for name in FILES]
        return [
            *files,
            Route("/api/texts", "GET", self.texts),
            Route("/api/enter", "POST", self.enter),
            Route("/api/link", "POST", self.link),
            Route("/api/leave", "POST", self.leave),
            Route("/api/me", "GET", self.me),
            Route("/api/settings", "POST", self.settings),
            Route("/api/upload", "POST", self.upload, raw=True),
            Route("/api/say", "POST", self.say),
            Route("/api/events", "GET", self.events),
            Route("/api/picture/{digest}", "GET", self.picture),
            Route("/api/small/{digest}", "GET", self.small),
            Route("/api/file/{digest}", "GET", self.taken_along),
            Route("/api/gallery", "GET", self.gallery),
            Route("/api/queue", "GET", self.queue),
            Route("/api/quota", "GET", self.quota),
        ]

    # -- the page --------------------------------------------------------------------------------------

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of the page's own files."""
        data, kind, tag = self.files[request.path.removeprefix("/")]
        headers = {"Content-Type": kind, "ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, headers=headers)

    async def texts(self, request: web.Request) -> web.StreamResponse:
        """The page's sentences, which language this browser prefers, and whether it shows a cookie at all."""
        wanted = request.query.get("language", "")
        language = wanted if wanted in LANGUAGES else prefer(request.headers.get("Accept-Language", ""))
        known = self._cookie_name in request.cookies
        return web.json_response({"language": language, "texts": page_texts(language), "known": known})

    # -- coming and going ------------------------------------------------------------------------------

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Sign in the owner with the token of the launch address."""
        body = await self._body(request, Enter)
        self._guess(request)
        if not self.server.tokens.use(body.token, self.server.clock()):
            raise Denied(403, "token")
        name = new_session()
        await self.house.admit_owner(f"web:{name}", body.language)
        return self._signed_in(request, name)

    async def link(self, request: web.Request) -> web.StreamResponse:
        """Sign in with a code from ``/link`` in another chat."""
        body = await self._body(request, LinkIn)
        self._guess(request)
        code = "".join(body.code.split()).replace("-", "").upper()
        if not (CODE_LENGTH[0] <= len(code) <= CODE_LENGTH[1] and code.isascii() and code.isalnum()):
            raise Denied(403, "code")
        name = new_session()
        try:
            await self.house.redeem(code, f"web:{name}", body.language)
        except Refusal as refusal:
            raise Denied(403, "tries" if refusal.code == "link_tries" else "code") from refusal
        return self._signed_in(request, name)

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """Sign out: the cookie is worth nothing from now on, copied or not."""
        await self._body(request, Leave)
        session = await self._session(request)
        self.server.left.add(session.name, self.server.clock())
        await self.house.leave(f"web:{session.name}")
        self.server.sessions.close(session.name)
        response = web.json_response({"ok": True})
        response.del_cookie(self._cookie_name, path="/", samesite="Strict", httponly=True)
        return response

    def _signed_in(self, request: web.Request, name: str) -> web.StreamResponse:
        response = web.json_response({"ok": True})
        self._set_cookie(request, response, name)
        return response

    def _set_cookie(self, request: web.Request, response: web.StreamResponse, name: str) -> None:
        """Behind TLS (the proxy says so, or the page itself) it is never sent in the clear."""
        headers = request.headers
        tls = headers.get("X-Forwarded-Proto") == "https" or headers.get("Origin", "").startswith("https://")
        response.set_cookie(
            self._cookie_name, self.server.cookies.sign(name, self.server.clock()), path="/",
            max_age=COOKIE_DAYS * 86_400, httponly=True, samesite="Strict", secure=tls,
        )  # fmt: skip

    @property
    def _cookie_name(self) -> str:
        """Cookies know no ports: two bots on one machine need two names."""
        return f"falopitas_{self.server.port}"

    def _guess(self, request: web.Request) -> None:
        """Tokens and codes are guessed slowly: by address, and by everybody together."""
        if Guard.RATE not in self.server.guards:
            return
        wait = max(
            self.tries.wait(request.remote or "?"), self.tries.wait("everybody") if self.server.public else 0
        )
        if wait:
            raise Denied(429, "tries", **{"Retry-After": str(math.ceil(wait))})

    async def _session(self, request: web.Request) -> Session:
        """The session of the cookie, or 401."""
        cookies = self.server.cookies.read(request.cookies.get(self._cookie_name, ""), self.server.clock())
        if cookies is None:
            raise Denied(401, "session")
        name, _ = cookies
        gone = name in self.server.left or not await self.house.member(f"web:{name}")
        if Guard.MEMBER in self.server.guards and gone:
            raise Denied(401, "session")
        return self.server.sessions.get(name)

    async def _body(self, request: web.Request, kind: type[T]) -> T:
        return await read_body(request, kind, self.server.patience)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """A picture for the next prompt, as bytes; its digest. It is opened elsewhere, later, or never."""
        session = await self._session(request)
        if Guard.RATE in self.server.guards and (wait := self.uploads.wait(session.name)):
            raise Denied(429, "rate", **{"Retry-After": str(math.ceil(wait))})
        try:
            async with asyncio.timeout(SLOW_LINE), self.bringing:
                data = await self._picture_of(request)
        except TimeoutError as late:
            raise Denied(408, "slow") from late
        return web.json_response({"picture": await self.house.upload(data)})

    async def _picture_of(self, request: web.Request) -> bytes:
        limit = MAX_UPLOAD if Guard.SIZE in self.server.guards else 64 * 2**20
        if (request.content_length or 0) > limit:
            raise Denied(413, "picture_size")
        data = bytearray()
        async for part in request.content.iter_any():
            data += part
            if len(data) > limit:
                raise Denied(413, "picture_size")
        if not data:
            raise Denied(400, "shape")
        return bytes(data)

    # -- the conversation ------------------------------------------------------------------------------

    async def me(self, request: web.Request) -> web.StreamResponse:
        """Whether I am signed in, and what I can ask for."""
        session = await self._session(request)
        who = f"web:{session.name}"
        session.language = await self.house.language(who)
        mine = {
            "epoch": session.epoch,
            "language": session.language,
            "defaults": await self.house.defaults(who),
        }
        about = self.house.about(session.language, owner=await self.house.owner(who))
        response = web.json_response(mine | about)
        self._set_cookie(request, response, session.name)
        return response

    async def settings(self, request: web.Request) -> web.StreamResponse:
        """My language and my defaults."""
        body = await self._body(request, Change)
        session = await self._session(request)
        who = f"web:{session.name}"
        try:
            if body.fields is not None:
                await self.house.save(who, body.fields)
        except Refusal as refusal:
            reply = self.house.refused(session.language, refusal)
            return web.json_response({"error": "refused", "text": reply.text}, status=400)
        if body.language is not None:
            await self.house.speak(who, body.language)
            session.language = body.language
            self.server.respeak(session)
        return web.json_response({"ok": True})

    async def say(self, request: web.Request) -> web.StreamResponse:
        """Something typed or pressed. The same Idempotency-Key again is the same call."""
        session = await self._session(request)
        key = request.headers.get("Idempotency-Key", "")
        if not KEY.fullmatch(key):
            raise Denied(400, "key")
        body = await self._body(request, Say)
        if bool(body.text.strip()) == bool(body.press):
            raise Denied(400, "shape")
        if key in session.messages:
            return web.json_response({"id": key, "again": True}, status=202)
        if Guard.RATE in self.server.guards and (wait := self.posts.wait(session.name)):
            raise Denied(429, "rate", **{"Retry-After": str(math.ceil(wait))})
        await self._hand_in(session, key, body)
        return web.json_response({"id": key}, status=202)

    async def _hand_in(self, session: Session, key: str, body: Say) -> None:
        session.language = body.language
        message = Message(
            key, self.server.clock(), said=said(body.text, body.label, body.about, picture=bool(body.picture))
        )
        session.put(message)
        who = f"web:{session.name}"
        place = f"{who}/{key}"
        try:
            ask = self.house.read(body.text, body.press, body.fields)
        except Refusal as refusal:
            await self.server.show(place, self.house.refused(body.language, refusal))
            return
        message.changes, message.ask, message.language = self.house.changes(ask), ask, body.language
        picture = Attachment(body.picture) if body.picture else None
        event = f"{session.name}.{key}"
        call = Call(who, place, event, ask, body.text, body.language, picture=picture)
        try:
            await self.server.hand_in(call)
        except Denied:
            session.drop(key)
            raise

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The conversation as it happens, from where the page last was."""
        session = await self._session(request)
        if session.watchers >= MAX_STREAMS:
            raise Denied(429, "streams", **{"Retry-After": "10"})
        await self.server.restore(session)
        last = request.headers.get("Last-Event-ID", "") or request.query.get("after", "")
        headers = HEADERS | {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers | {"X-Accel-Buffering": "no"})
        await response.prepare(request)
        if request.method != "HEAD":
            await self._stream(session, response, session.after(last))
        return response

    async def _stream(self, session: Session, response: web.StreamResponse, seen: int | None) -> None:
        """Newest states only: a slow page skips progress instead of piling it up."""
        with session.watch() as changed:
            if seen is None:
                everything = sorted(session.messages.values(), key=lambda m: m.at)
                seen = max((m.number for m in everything), default=0)
                await _send(response, "all", f"{session.epoch}-{seen}", [m.event() for m in everything])
            else:
                await response.write(b": back again\n\n")
            while not session.closed:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await changed.wait()
                except TimeoutError:
                    await response.write(b"event: beat\ndata: 0\n\n")
                changed.clear()
                for message in session.since(seen):
                    seen = message.number
                    await _send(response, "message", f"{session.epoch}-{seen}", message.event())

    # -- pictures --------------------------------------------------------------------------------------

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """A picture of mine, by its digest."""
        return await self._picture(request, small=False)

    async def small(self, request: web.Request) -> web.StreamResponse:
        """Its preview."""
        return await self._picture(request, small=True)

    async def taken_along(self, request: web.Request) -> web.StreamResponse:
        """A file that a reply to this very session offered; it is only ever saved, never shown."""
        session = await self._session(request)
        name, data = session.offered.get(request.match_info["digest"], ("", b""))
        if not FILE_NAME.fullmatch(name):
            raise Denied(404, "missing")
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-store",
        }
        return web.Response(body=data, headers=headers)

    async def _picture(self, request: web.Request, *, small: bool) -> web.StreamResponse:
        session = await self._session(request)
        digest = request.match_info["digest"]
        if not DIGEST.fullmatch(digest):
            raise Denied(404, "missing")
        data = session.loose.get(digest) or await self._kept(session, digest, small=small)
        kind = media_type(data)
        if kind is None:
            raise Denied(404, "missing")
        tag = f'"{digest}-{kind}"'
        headers = {"Content-Type": kind, "ETag": tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("If-None-Match") == tag:  # it never changes, but it may be held back meanwhile
            return web.Response(status=304, headers=headers)
        if "download" in request.query:
            name = f"falopitas-{digest[:12]}.{kind.removeprefix('image/')}"
            headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return web.Response(body=data, headers=headers)

    async def _kept(self, session: Session, digest: str, *, small: bool) -> bytes:
        """ "Not yours" and "not there" read the same."""
        may = digest in session.shown or await self.house.may_see(f"web:{session.name}", digest)
        if Guard.OWNER in self.server.guards and not may:
            raise Denied(404, "missing")
        try:
            data = await self.house.picture(digest, small=small)
            return data if media_type(data) else await self.house.picture(digest, small=False)
        except Refusal as refusal:
            raise Denied(404, "missing") from refusal

    # -- side views ------------------------------------------------------------------------------------

    async def gallery(self, request: web.Request) -> web.StreamResponse:
        """A page of my pictures."""
        session = await self._session(request)
        before = request.query.get("before", "")
        if before and not (before.isascii() and before.isdecimal() and len(before) <= 15):
            raise Denied(400, "shape")
        pieces = await self.house.gallery(
            f"web:{session.name}", session.language, before=int(before) if before else None,
            starred=request.query.get("starred") == "1",
        )  # fmt: skip
        return web.json_response(
            {
                "pieces": [self._piece(piece) for piece in pieces],
                "more": pieces[-1].id if len(pieces) >= PAGE else None,
            }
        )

    def _piece(self, piece: Kept) -> dict[str, Any]:
        known = {name: value for name, value in asdict_flat(piece).items() if name != "buttons"}
        sources = {"src": f"/api/picture/{piece.digest}", "small": f"/api/small/{piece.digest}"}
        return known | sources | {"buttons": self._buttons(piece.buttons)}

    async def queue(self, request: web.Request) -> web.StreamResponse:
        """My jobs that are not over."""
        session = await self._session(request)
        waiting = await self.house.queue(f"web:{session.name}", session.language)
        return web.json_response({"jobs": [self._waiting(job) for job in waiting]})

    def _waiting(self, job: Waiting) -> dict[str, Any]:
        return asdict_flat(job) | {"buttons": self._buttons(job.buttons)}

    def _buttons(self, rows: tuple[tuple[Button, ...], ...]) -> list[list[dict[str, Any]]]:
        return [[show_button(button, self.house.pack) for button in row] for row in rows]

    async def quota(self, request: web.Request) -> web.StreamResponse:
        """What I may still spend."""
        session = await self._session(request)
        return web.json_response(asdict(await self.house.quota(f"web:{session.name}")))


async def read_body(request: web.Request, kind: type[T], patience: float) -> T:
    """The posted JSON, in time (s) and in shape."""
    try:
        async with asyncio.timeout(patience):
            data = await request.read()
    except TimeoutError as late:
        raise Denied(408, "slow") from late
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Denied(400, "shape") from problem


def said(text: str, label: str = "", about: str = "", *, picture: bool = False) -> dict[str, Any]:
    """A person's half of a message: what they typed, or which button of which picture they pressed."""
    return {"text": text, "label": label, "about": about, "picture": picture}


def asdict_flat(value: Kept | Waiting) -> dict[str, Any]:
    """The fields as they are, without descending into buttons."""
    return {name: getattr(value, name) for name in value.__slots__}


async def _send(response: web.StreamResponse, event: str, number: str, data: object) -> None:
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    await response.write(f"id: {number}\nevent: {event}\ndata: {text}\n\n".encode())


def _load_files() -> dict[str, tuple[bytes, str, str]]:
    folder = resources.files("bot.adapters.web") / "page"
    loaded = {}
    for address, (name, kind) in FILES.items():
        data = (folder / name).read_bytes()
        loaded[address] = (data, kind, f'"{hashlib.sha256(data).hexdigest()[:20]}"')
    return loaded
