"""What the moderators' page is served: its door, its views, its exports, and the commands it says.

Nothing here is decided by the page. Each request is asked who it is from (a seat that a link gave to this
browser, or the owner's own session) and whether they moderate now.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from bot.adapters.web.api import Language, Route, read_body
from bot.adapters.web.bureau import EXPORTS, VIEWS, Bureau, Chair, Record
from bot.adapters.web.render import DIGEST, media_type
from bot.adapters.web.security import Denied, Guard, Rate, new_session
from bot.adapters.web.words import LANGUAGES
from bot.talk import Reply
from storage.refusal import Refusal

if TYPE_CHECKING:
    from bot.adapters.web.server import Web

HOURS = 12
"""How long the cookie of a seat is kept."""
KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
LONGEST_QUERY = 400
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


class Knock(Struct, forbid_unknown_fields=True):
    """The token of a link."""

    token: Annotated[str, Meta(max_length=100)]


class Do(Struct, forbid_unknown_fields=True):
    """A moderators' command and its fields."""

    command: Annotated[str, Meta(max_length=40)]
    fields: Annotated[dict[str, str | int | float | bool], Meta(max_length=24)] = {}
    community: Annotated[str, Meta(max_length=300)] | None = None
    language: Language = "en"


class Ask(Struct, forbid_unknown_fields=True):
    """What if there were so many machines and people?"""

    mix: Annotated[str, Meta(max_length=20)] = "evening"
    engines: Annotated[int, Meta(ge=1, le=100_000)] = 1
    members: Annotated[int, Meta(ge=1, le=100_000)] = 50
    community: Annotated[str, Meta(max_length=300)] | None = None
    language: Language = "en"


class Up(Struct, forbid_unknown_fields=True):
    """Leave the page."""


class ModApi:
    """The handlers under ``/mod``. Host, origin, method and content type were checked before."""

    def __init__(self, server: Web, bureau: Bureau) -> None:
        self.server = server
        self.bureau = bureau
        self.tries = Rate(6, 20.0, server.clock)
        self.acts = Rate(30, 0.5, server.clock)

    def routes(self) -> list[Route]:
        """Every address of the moderators' page but its files."""
        return [
            Route("/mod/api/texts", "GET", self.texts),
            Route("/mod/api/enter", "POST", self.enter),
            Route("/mod/api/leave", "POST", self.leave),
            Route("/mod/api/me", "GET", self.me),
            Route("/mod/api/do", "POST", self.do),
            Route("/mod/api/whatif", "POST", self.what_if),
            Route("/mod/api/view/{name}", "GET", self.view),
            Route("/mod/api/export/{name}", "GET", self.export),
            Route("/mod/api/picture/{digest}", "GET", self.picture),
            Route("/mod/api/small/{digest}", "GET", self.small),
        ]

    # -- who

    @property
    def _cookie(self) -> str:
        return f"falopitas_mod_{self.server.port}"

    async def _chair(self, request: web.Request, community: str | None = None) -> Chair:
        """Who asks. 401: nobody we know; 403: somebody who does not moderate there (now)."""
        chair = await self._seated(request) or await self._owner(request)
        wanted = request.query.get("c") if community is None else community
        if wanted is not None and wanted != chair.community:
            if not chair.owner or len(wanted) > 300 or not await self.bureau.known(wanted):
                raise Denied(403, "not_moderator")
            chair = Chair(chair.name, chair.who, wanted, owner=True, language=chair.language)
        language = request.query.get("language", chair.language)
        return Chair(
            chair.name, chair.who, chair.community, owner=chair.owner,
            language=language if language in LANGUAGES else LANGUAGES[0],
        )  # fmt: skip

    async def _seated(self, request: web.Request) -> Chair | None:
        """The moderator who took a seat in this browser."""
        name = self._name(request, self._cookie)
        if name is None:
            return None
        chair = await self.bureau.chair(name)
        if chair is None and self.bureau.taken(name):
            raise Denied(403, "not_moderator")
        return chair

    async def _owner(self, request: web.Request) -> Chair:
        """The owner, by their session on the people's page."""
        name = self._name(request, f"falopitas_{self.server.port}")
        who = f"web:{name}"
        if name is None or name in self.server.left or not await self.server.house.member(who):
            raise Denied(401, "seat")
        if not await self.bureau.owner(who):
            raise Denied(403, "not_moderator")
        return Chair(name, who, "", owner=True, language=await self.server.house.language(who))

    def _name(self, request: web.Request, cookie: str) -> str | None:
        known = self.server.cookies.read(request.cookies.get(cookie, ""), self.server.clock())
        return known[0] if known else None

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Take the seat of a link in this browser, and in no other from then on."""
        body = await read_body(request, Knock, self.server.patience)
        if Guard.RATE in self.server.guards and (wait := self.tries.wait(request.remote or "?")):
            raise Denied(429, "tries", **{"Retry-After": str(math.ceil(wait))})
        name = new_session()
        if not self.bureau.enter(body.token, name):
            raise Denied(403, "link")
        response = web.json_response({"ok": True})
        headers = request.headers
        tls = headers.get("X-Forwarded-Proto") == "https" or headers.get("Origin", "").startswith("https://")
        response.set_cookie(
            self._cookie, self.server.cookies.sign(name, self.server.clock()), path="/mod",
            max_age=HOURS * 3_600, httponly=True, samesite="Strict", secure=tls,
        )  # fmt: skip
        return response

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """Get up: the seat is nobody's. The people's page stays as it is."""
        await read_body(request, Up, self.server.patience)
        name = self._name(request, self._cookie)
        if name is None:
            raise Denied(401, "seat")
        self.bureau.leave(name)
        response = web.json_response({"ok": True})
        response.del_cookie(self._cookie, path="/mod", samesite="Strict", httponly=True)
        return response

    # -- looking

    async def texts(self, request: web.Request) -> web.StreamResponse:
        """The page's sentences (nothing of anybody's is in them), and whether this browser shows a cookie."""
        wanted = request.query.get("language", "")
        known = self._cookie in request.cookies or f"falopitas_{self.server.port}" in request.cookies
        return web.json_response({"texts": self.bureau.texts(wanted), "known": known})

    async def me(self, request: web.Request) -> web.StreamResponse:
        """Who I am here."""
        return web.json_response(await self.bureau.me(await self._chair(request)))

    async def view(self, request: web.Request) -> web.StreamResponse:
        """One view."""
        chair = await self._chair(request)
        name = request.match_info["name"]
        if name not in VIEWS:
            raise Denied(404, "missing")
        try:
            return web.json_response(await self.bureau.view(chair, name, _query(request)))
        except Refusal as refusal:
            return self._refused(chair, refusal)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """A view as a file: ``ledger.csv``, ``usage.json`` …"""
        chair = await self._chair(request)
        name, _, form = request.match_info["name"].partition(".")
        if name not in EXPORTS or form not in ("csv", "json"):
            raise Denied(404, "missing")
        try:
            columns, rows = await self.bureau.rows(chair, name, _query(request))
        except Refusal as refusal:
            return self._refused(chair, refusal)
        body = table(list(columns), rows) if form == "csv" else _json(list(columns), rows)
        kind = "text/csv" if form == "csv" else "application/json"
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="falopitas-{name}.{form}"',
        }
        return web.Response(body=body.encode(), headers=headers)

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """A picture of this community."""
        return await self._picture(request, small=False)

    async def small(self, request: web.Request) -> web.StreamResponse:
        """Its preview."""
        return await self._picture(request, small=True)

    async def _picture(self, request: web.Request, *, small: bool) -> web.StreamResponse:
        """ "Not here" and "not there" read the same."""
        chair = await self._chair(request)
        digest = request.match_info["digest"]
        if not DIGEST.fullmatch(digest) or not await self.bureau.may_look(chair, digest):
            raise Denied(404, "missing")
        try:
            data = await self.bureau.picture(digest, small=small)
            if small and media_type(data) is None:  # it has no preview that we could show
                data = await self.bureau.picture(digest, small=False)
        except Refusal as refusal:
            raise Denied(404, "missing") from refusal
        kind = media_type(data)
        if kind is None:
            raise Denied(404, "missing")
        return web.Response(body=data, headers={"Content-Type": kind, "Cache-Control": "private, no-store"})

    # -- doing

    async def do(self, request: web.Request) -> web.StreamResponse:
        """Say a command. The same Idempotency-Key again does it once."""
        body = await read_body(request, Do, self.server.patience)
        chair = await self._chair(request, body.community)
        key = request.headers.get("Idempotency-Key", "")
        if not KEY.fullmatch(key):
            raise Denied(400, "key")
        if Guard.RATE in self.server.guards and (wait := self.acts.wait(chair.name)):
            raise Denied(429, "rate", **{"Retry-After": str(math.ceil(wait))})
        chair = Chair(chair.name, chair.who, chair.community, owner=chair.owner, language=body.language)
        try:
            replies = await self.bureau.do(chair, body.command, body.fields, key)
        except Refusal as refusal:
            return self._refused(chair, refusal)
        return web.json_response(self._shown(replies[-1]) if replies else {"text": ""})

    async def what_if(self, request: web.Request) -> web.StreamResponse:
        """Begin a simulation; asking for the same one again begins none."""
        body = await read_body(request, Ask, self.server.patience)
        chair = await self._chair(request, body.community)
        if Guard.RATE in self.server.guards and (wait := self.acts.wait(chair.name)):
            raise Denied(429, "rate", **{"Retry-After": str(math.ceil(wait))})
        chair = Chair(chair.name, chair.who, chair.community, owner=chair.owner, language=body.language)
        try:
            found = await self.bureau.what_if(chair, body.mix, body.engines, body.members)
        except Refusal as refusal:
            return self._refused(chair, refusal)
        return web.json_response(found)

    def _shown(self, reply: Reply) -> Record:
        return {
            "title": reply.title, "text": reply.text, "prompt": reply.prompt, "tone": reply.tone.value,
            "fields": [list(each) for each in reply.fields],
            "buttons": [
                shown
                for row in reply.buttons
                for button in row
                if (shown := self.bureau.pressable(button)) is not None
            ],
        }  # fmt: skip

    def _refused(self, chair: Chair, refusal: Refusal) -> web.Response:
        status = 403 if refusal.code == "not_moderator" else 400
        text = self.bureau.refused(chair.language, refusal)
        return web.json_response({"error": "refused", "code": refusal.code, "text": text}, status=status)


def _query(request: web.Request) -> dict[str, str]:
    """What a view is asked with. Longer than any view needs is nobody's page."""
    query = dict(request.query)
    if any(len(name) + len(value) > LONGEST_QUERY for name, value in query.items()):
        raise Denied(400, "shape")
    return query


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """Rows as CSV. No cell is a formula: people choose their words."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([[cell(value) for value in row] for row in rows])
    return out.getvalue()


def cell(value: Any) -> Any:
    """A value as a spreadsheet may read it."""
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _json(columns: list[str], rows: list[list[Any]]) -> str:
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False)
