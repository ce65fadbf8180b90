"""Discord on a wire: gateway and REST on loopback, as far as our bot uses them, strict, with faults on order.

It keeps what the real one keeps: messages, tokens that die after a quarter of an hour, one answer to an
interaction, a nonce for five minutes, a session that can be resumed. Every request is checked against the
specification when that is at hand.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.bot.adapters.discord import spec

EPOCH = 1_420_070_400
APPLICATION, BOT, GUILD = 7_000, 7_001, 7_002
TOKEN = "MTA3MDAx.secret.token"
TOKEN_SECONDS, NONCE_SECONDS = 15 * 60, 5 * 60
FIRST_SECONDS = 3
"""For the first answer to an interaction."""
UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION, ANSWERED = 10_008, 10_015, 10_062, 40_060
EPHEMERAL = 64


class Drop(Exception):  # noqa: N818 - an order
    """Close the connection instead of answering; ``done``: after the request was carried out."""

    def __init__(self, *, done: bool) -> None:
        super().__init__()
        self.done = done


@dataclass
class Message:
    """One message as it is now."""

    id: int
    channel: int
    body: dict[str, Any]
    files: dict[str, bytes]
    private: bool = False
    edits: int = 0

    @property
    def custom_ids(self) -> list[str]:
        return [each["custom_id"] for each in _flat(self.body.get("components", [])) if "custom_id" in each]

    @property
    def text(self) -> str:
        return "\n".join(e["content"] for e in _flat(self.body.get("components", [])) if "content" in e)

    def shown(self) -> dict[str, Any]:
        author = {"id": str(BOT), "username": "falopitas", "discriminator": "0", "avatar": None}
        attachments = [
            {"id": str(self.id + n), "filename": name, "size": len(data), "url": "x", "proxy_url": "x"}
            for n, (name, data) in enumerate(self.files.items())
        ]
        return {
            "id": str(self.id), "channel_id": str(self.channel), "author": author, "content": "",
            "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False, "embeds": [],
            "mention_everyone": False, "mentions": [], "mention_roles": [], "pinned": False, "type": 0,
            "components": self.body.get("components", []), "attachments": attachments,
            "flags": EPHEMERAL if self.private else 0,
        }  # fmt: skip


@dataclass
class Interaction:
    """Somebody pressed or typed; ``message`` is its answer."""

    id: int
    token: str
    channel: int
    user: int
    answered: bool = False
    message: int = 0
    expired: bool = False
    """Its token opens nothing any more, whatever its age."""


@dataclass
class Shard:
    """One session of the gateway: what it was told, over which connection, and what it shows of the bot."""

    number: int
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None
    presence: str = ""

    @property
    def session(self) -> str:
        return f"s{self.number}"


def _flat(components: list[Any]) -> list[dict[str, Any]]:
    found = []
    for each in components:
        found += [each, *_flat(each.get("components", []))]
    return found


@dataclass
class Wire:
    """The server. ``fault`` sees each request (method, path) before it is carried out and may raise."""

    port: int = 0
    fault: Callable[[str, str], None] = lambda method, path: None
    clock: Callable[[], float] = time.time
    messages: dict[int, Message] = field(default_factory=dict)
    interactions: dict[int, Interaction] = field(default_factory=dict)
    commands: list[Any] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    """How each connection began: identify or resume, and of which shard where there are several."""
    refused: list[int] = field(default_factory=list)
    """Codes with which the next connections are closed that begin."""
    mute: bool = False
    """The gateway says nothing to who connects."""
    presence: list[str] = field(default_factory=list)
    guilds: dict[int, str] = field(default_factory=dict)
    """The servers that the bot is in, and their names."""
    shards: list[Shard] = field(default_factory=lambda: [Shard(0)])
    good_token: str = TOKEN
    front: str = ""
    """Where it is for those who connect, if that is not its own address."""
    heartbeat: float = 20.0
    """Seconds between two beats of the gateway."""
    _nonces: dict[tuple[int, str], tuple[float, int]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v10"

    @property
    def gateway(self) -> str:
        return f"{(self.front or f'http://127.0.0.1:{self.port}').replace('http', 'ws', 1)}/gateway"

    def snowflake(self, age: float = 0.0) -> int:
        return (int((self.clock() - EPOCH - age) * 1_000) << 22) + next(self._ids) % 4_096

    # --- what people do

    def interaction(self, channel: int, user: int, age: float = 0.0, *, answered: bool = True) -> Interaction:
        """One that is there already, with the message that answers it."""
        made = Interaction(self.snowflake(age), f"token-{next(self._ids)}", channel, user)
        self.interactions[made.id] = made
        if answered:
            self._answer(made, {}, {}, private=False)
        return made

    async def slash(
        self, name: str, channel: int = 7_003, user: int = 7_004, guild: int = 0, **values: Any
    ) -> Interaction:
        """Somebody types a command: to the bot alone, or in a server."""
        made = self.interaction(channel, user, answered=False)
        kinds = {bool: 5, int: 4, float: 10}
        options = [{"name": k, "type": kinds.get(type(v), 3), "value": v} for k, v in values.items()]
        person = {"id": str(user), "username": "ana", "discriminator": "0", "avatar": None}
        there: dict[str, Any] = {"user": person, "context": 1, "channel": {"id": str(channel), "type": 1}}
        if guild:
            here = {"id": str(channel), "type": 0, "name": "art", "position": 0, **_HERE}
            member = {"user": person, **_MEMBER}
            there = {"guild_id": str(guild), "member": member, "context": 0, "channel": here}
        await self.emit("INTERACTION_CREATE", {
            "id": str(made.id), "application_id": str(APPLICATION), "type": 2, "token": made.token,
            "version": 1,
            "data": {"id": "1", "name": name, "type": 1, "options": options},
            "channel_id": str(channel), **there,
            "locale": "en-US", "entitlements": [], "authorizing_integration_owners": {},
            "attachment_size_limit": 10 * 2**20, "app_permissions": "0",
        }, self.of(guild))  # fmt: skip
        return made

    def of(self, guild: int) -> Shard:
        """Who is told what happens in a server; private conversations are the first one's."""
        return self.shards[(guild >> 22) % len(self.shards)]

    async def emit(self, event: str, data: dict[str, Any], shard: Shard | None = None) -> None:
        shard = shard or self.shards[0]
        shard.events.append((event, data))
        if shard.socket is not None and not shard.socket.closed:
            with suppress(ConnectionError):  # it breaks now: told after the resume
                await self._send(shard.socket, shard, len(shard.events))

    async def hang_up(self, code: int = 4_000, shard: Shard | None = None) -> None:
        """The gateway goes away (of one shard, or of all); the session can be resumed."""
        for each in [shard] if shard else self.shards:
            if each.socket is not None:
                await each.socket.close(code=code)

    # --- gateway

    async def _send(self, socket: web.WebSocketResponse, shard: Shard, number: int) -> None:
        event, data = shard.events[number - 1]
        await socket.send_json({"op": 0, "t": event, "s": number, "d": data})

    def _began(self, how: str, shard: Shard) -> None:
        self.sessions.append(how if len(self.shards) == 1 else f"{how} {shard.number}")

    async def _identified(self, socket: web.WebSocketResponse, shard: Shard) -> None:
        """A new session, which shows nothing of the bot yet."""
        self._began("identify", shard)
        shard.presence = ""
        ours = [each for each in self.guilds if self.of(each) is shard]
        unavailable = [{"id": str(each), "unavailable": True} for each in ours]
        user = {"id": str(BOT), "username": "falopitas", "discriminator": "0", "avatar": None, "bot": True}
        news = [("READY", {
            "v": 10, "user": user, "guilds": unavailable, "session_id": shard.session,
            "resume_gateway_url": self.gateway, "shard": [shard.number, len(self.shards)],
            "application": {"id": str(APPLICATION), "flags": 0},
        })]  # fmt: skip
        for each in [*news, *(("GUILD_CREATE", _guild(guild, self.guilds[guild])) for guild in ours)]:
            shard.events.append(each)
            await self._send(socket, shard, len(shard.events))
        shard.socket = socket  # a session has one connection: the newest

    async def _resumed(self, socket: web.WebSocketResponse, shard: Shard, heard: int) -> None:
        """The session goes on behind what was ``heard``."""
        if heard > len(shard.events):
            await socket.close(code=4_007)
            return
        self._began("resume", shard)
        for number in range(heard + 1, len(shard.events) + 1):
            await self._send(socket, shard, number)
        await socket.send_json({"op": 0, "t": "RESUMED", "s": len(shard.events), "d": {}})
        shard.socket = socket

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.mute:
            self.sessions.append("mute")
        while self.mute:
            await asyncio.sleep(0.01)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": round(1_000 * self.heartbeat)}})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            await self._told(socket, json.loads(message.data))
        return socket

    async def _told(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        match said["op"]:
            case 1:
                await socket.send_json({"op": 11})
            case 2 | 6 if self.refused:
                self.sessions.append(f"refused {said['op']}")
                await socket.close(code=self.refused.pop(0))
            case 2 if said["d"]["token"] != self.good_token:
                await socket.close(code=4_004)
            case 2:
                assert said["d"]["intents"] & (1 << 1 | 1 << 8 | 1 << 15) == 0, "a privileged intent"
                number, count = said["d"].get("shard", [0, 1])
                assert count == len(self.shards), "another number of shards than was told"
                await self._identified(socket, self.shards[number])
            case 6 if said["d"]["session_id"] is None or said["d"]["seq"] is None:
                self.violations.append("a resume of no session")
                await socket.close(code=4_002)
            case 6:
                wanted = next(each for each in self.shards if each.session == said["d"]["session_id"])
                await self._resumed(socket, wanted, said["d"]["seq"])
            case 3:
                texts = [each.get("state") or each["name"] for each in said["d"]["activities"]]
                self.presence += texts
                for shard in self.shards:
                    if shard.socket is socket:
                        shard.presence = "".join(texts)

    # --- REST

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/api/v10")
        body, files = await _read(request)
        self.asked.append((request.method, path))
        if spec.available():
            self.violations += spec.wrongs(request.method, path, body, dict(request.query))
        if request.headers.get("Authorization") != f"Bot {self.good_token}":
            return _json({"message": "401: Unauthorized", "code": 0}, 401)
        try:
            self.fault(request.method, path)
        except Drop as drop:
            if drop.done:
                self._carry_out(request.method, path, body, files)
            assert request.transport
            request.transport.close()
            await asyncio.sleep(0)
            return web.Response()
        except web.HTTPException as refused:
            return _json(json.loads(refused.text or "{}"), refused.status, {"Via": "1.1 google"})
        status, answer = self._carry_out(request.method, path, body, files)
        return web.Response(status=204) if answer is None else _json(answer, status)

    def _carry_out(  # noqa: PLR0911 - one line an address
        self, method: str, path: str, body: Any, files: dict[str, bytes]
    ) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        match (method, *parts):
            case ("GET", "users", "@me"):
                return 200, {"id": str(BOT), "username": "falopitas", "discriminator": "0", "avatar": None}
            case ("GET", "oauth2", "applications", "@me") | ("GET", "applications", "@me"):
                return 200, _application()
            case ("GET", "gateway", "bot"):
                limits = {"total": 1_000, "remaining": 999, "reset_after": 1, "max_concurrency": 1}
                return 200, {"url": self.gateway, "shards": len(self.shards), "session_start_limit": limits}
            case ("PUT", "applications", _, "commands"):
                self.commands = body
                return 200, []
            case ("POST", "interactions", number, token, "callback"):
                return self._callback(int(number), token, body, files)
            case (_, "webhooks", _, token, *rest):
                return self._webhook(method, token, rest[1] if rest else "", body, files)
            case ("POST", "users", "@me", "channels"):
                return 200, {"id": str(9_000_000 + int(body["recipient_id"])), "type": 1, "recipients": []}
            case (_, "channels", channel, "messages", *rest):
                return self._channel(method, int(channel), int(rest[0]) if rest else 0, body, files)
        return 404, {"message": "404: Not Found", "code": 0}

    def _callback(self, number: int, token: str, body: Any, files: dict[str, bytes]) -> tuple[int, Any]:
        known = self.interactions.get(number)
        if known is None or known.token != token or self._age(known) > FIRST_SECONDS or known.expired:
            return 404, {"message": "Unknown interaction", "code": UNKNOWN_INTERACTION}
        if known.answered:
            return 400, {"message": "Interaction has already been acknowledged.", "code": ANSWERED}
        data = body.get("data", {})
        self._answer(known, data, files, private=bool(data.get("flags", 0) & EPHEMERAL))
        facts = {"id": str(number), "type": 2, "response_message_id": str(known.message)}
        return 200, {"interaction": facts}

    def _answer(self, known: Interaction, data: Any, files: dict[str, bytes], *, private: bool) -> None:
        known.answered = True
        known.message = self._post(known.channel, data, files, private=private).id

    def _dead(self, known: Interaction) -> bool:
        return known.expired or self._age(known) > TOKEN_SECONDS

    def _age(self, known: Interaction) -> float:
        return self.clock() - ((known.id >> 22) / 1_000 + EPOCH)

    def _webhook(
        self, method: str, token: str, number: str, body: Any, files: dict[str, bytes]
    ) -> tuple[int, Any]:
        known = next((each for each in self.interactions.values() if each.token == token), None)
        if known is None or self._dead(known):
            return 404, {"message": "Unknown Webhook", "code": UNKNOWN_WEBHOOK}
        if method == "POST":
            made = self._post(known.channel, body, files, private=bool(body.get("flags", 0) & EPHEMERAL))
            return 200, made.shown()
        wanted = known.message if number == "@original" else int(number)
        return self._change(method, wanted, body, files)

    def _channel(
        self, method: str, channel: int, number: int, body: Any, files: dict[str, bytes]
    ) -> tuple[int, Any]:
        if number:
            return self._change(method, number, body, files)
        if method == "GET":
            newest = sorted((m for m in self.messages.values() if m.channel == channel), key=lambda m: -m.id)
            return 200, [each.shown() for each in newest[:50] if not each.private]
        nonce = (channel, str(body.get("nonce")))
        at, before = self._nonces.get(nonce, (0.0, 0))
        if body.get("enforce_nonce") and self.clock() - at < NONCE_SECONDS and before in self.messages:
            return 200, self.messages[before].shown()
        made = self._post(channel, body, files)
        self._nonces[nonce] = (self.clock(), made.id)
        return 200, made.shown()

    def _change(self, method: str, number: int, body: Any, files: dict[str, bytes]) -> tuple[int, Any]:
        message = self.messages.get(number)
        if message is None:
            return 404, {"message": "Unknown Message", "code": UNKNOWN_MESSAGE}
        if method == "DELETE":
            del self.messages[number]
            return 204, None
        message.body = {**message.body, **body}
        if "attachments" in body:
            message.files = files
        message.edits += 1
        return 200, message.shown()

    def _post(self, channel: int, body: Any, files: dict[str, bytes], *, private: bool = False) -> Message:
        made = Message(self.snowflake(), channel, body, files, private)
        self.messages[made.id] = made
        return made


_MEMBER = {
    "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False, "flags": 0,
    "permissions": "0",
}  # fmt: skip
_HERE = {"permission_overwrites": [], "nsfw": False, "parent_id": None}


def _guild(number: int, name: str) -> dict[str, Any]:
    everyone = {
        "id": str(number), "name": "@everyone", "permissions": "0", "position": 0, "color": 0, "hoist": False,
        "managed": False, "mentionable": False, "flags": 0,
    }  # fmt: skip
    return {
        "id": str(number), "name": name, "owner_id": "1", "roles": [everyone], "emojis": [], "features": [],
        "channels": [], "members": [], "threads": [], "member_count": 2, "large": False,
    }  # fmt: skip


def _application() -> dict[str, Any]:
    return {
        "id": str(APPLICATION), "name": "falopitas", "icon": None, "description": "", "summary": "",
        "bot_public": True, "bot_require_code_grant": False, "verify_key": "0" * 64, "flags": 0, "team": None,
        "owner": {"id": "1", "username": "owner", "discriminator": "0", "avatar": None},
        "integration_types_config": {"0": {}, "1": {}},
    }  # fmt: skip


async def _read(request: web.Request) -> tuple[Any, dict[str, bytes]]:
    """The JSON of a request, and its files."""
    if request.content_type != "multipart/form-data":
        text = await request.text()
        return (json.loads(text) if text else None), {}
    form = await request.post()
    payload = json.loads(str(form["payload_json"]))
    data = payload.get("data", payload)
    names = {str(each["id"]): each["filename"] for each in data.get("attachments", [])}
    files = {
        names[key[6:-1]]: value.file.read()
        for key, value in form.items()
        if key.startswith("files[") and isinstance(value, web.FileField)
    }
    return payload, files


def _json(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """The Content-Type is exactly this, or the library takes it for text."""
    body = json.dumps(answer).encode()
    return web.Response(
        body=body, status=status, headers={"Content-Type": "application/json", **(headers or {})}
    )


def refuse(status: int, code: int = 0, **more: Any) -> None:
    """For ``fault``: answer with this instead."""
    answers: dict[int, type[web.HTTPException]] = {
        429: web.HTTPTooManyRequests, 500: web.HTTPInternalServerError, 503: web.HTTPServiceUnavailable,
    }  # fmt: skip
    raise answers[status](text=json.dumps({"message": "no", "code": code, **more}))


@asynccontextmanager
async def wire(**facts: Any) -> AsyncIterator[Wire]:
    """A server on loopback while the block runs."""
    made = Wire(**facts)
    app = web.Application(client_max_size=30 * 2**20)
    app.router.add_get("/gateway", made._gateway)
    app.router.add_get("/gateway/", made._gateway)
    app.router.add_route("*", "/api/v10/{rest:.*}", made._rest)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        with suppress(Exception):
            await made.hang_up(1_000)
        await runner.cleanup()
