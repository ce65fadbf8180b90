"""A page's server on a free port, and a client that says exactly what a test wants to say."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.adapters.web import Web
from bot.adapters.web.security import ALL_GUARDS, Guard
from tests.browser.house import FakeHouse, Talk

NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Answer:
    """A raw HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json.get("error", "")) if self.body.startswith(b"{") else ""


@dataclass
class Clock:
    """Seconds that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A server with a fake house; ``mine`` and ``theirs`` are pictures of the owner and of somebody else."""

    web: Web
    house: FakeHouse
    talk: Talk
    clock: Clock
    cookie: str = ""
    other: str = ""
    mine: str = ""
    theirs: str = ""
    keys: itertools.count[int] = field(default_factory=lambda: itertools.count(10_000_000))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.web.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def headers(self, **more: str | None) -> dict[str, str]:
        """What the page itself sends with a post; None takes one away."""
        usual: dict[str, str | None] = {
            "Host": self.host,
            "Origin": self.origin,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            "Cookie": self.cookie,
            "Idempotency-Key": f"key{next(self.keys)}",
        }
        usual |= {name.replace("_", "-"): value for name, value in more.items()}
        return {name: value for name, value in usual.items() if value is not None}

    async def get(self, path: str, **more: str | None) -> Answer:
        return await self.send("GET", path, self.headers(Content_Type=None, Origin=None, **more))

    async def post(self, path: str, body: Any, **more: str | None) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.send("POST", path, self.headers(**more), data)

    async def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> Answer:
        """Exactly these bytes, and the whole answer."""
        return await send(self.web.port, method, path, headers, body)

    async def raw(self, data: bytes, *more: tuple[float, bytes]) -> Answer:
        """Bytes, and later bytes after a pause in seconds."""
        return await raw(self.web.port, data, *more)

    async def enter(self) -> str:
        """Sign in the owner; the cookie."""
        answer = await self.post("/api/enter", {"token": token(self.web)}, Cookie=None)
        assert answer.status == 200, answer
        return answer.headers["set-cookie"].partition(";")[0]


async def send(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> Answer:
    """One request, with these headers and no others."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None and "Transfer-Encoding" not in headers and "Content-Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
    return await raw(port, head + (body or b""))


async def raw(port: int, data: bytes, *more: tuple[float, bytes]) -> Answer:
    """Bytes, and later bytes after a pause in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        for pause, late in more:
            await asyncio.sleep(pause)
            writer.write(late)
            await writer.drain()
        async with asyncio.timeout(60):
            return await _answer(reader)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    if headers.get("content-type", "").startswith("text/event-stream"):
        body = b""
    else:
        body = await reader.read()
    return Answer(int(head[0].split()[1]), headers, body)


def token(web: Web) -> str:
    return web.launch_address().partition("#enter=")[2]


@asynccontextmanager
async def site(
    folder: Path, *, guards: frozenset[Guard] = ALL_GUARDS, patience: float = 5.0, max_body: int = 64 * 1024,
    public: bool = False, names: tuple[str, ...] = (), house: FakeHouse | None = None,
    quiet: bool = True,
) -> AsyncIterator[Site]:  # fmt: skip
    """A server with an owner, somebody else, and a picture of each."""
    house, clock = house or FakeHouse(), Clock()
    web = Web(
        house, folder, port=0, guards=guards, clock=clock, patience=patience, max_body=max_body,
        public=public, names=names,
    )  # fmt: skip
    await web.start()
    talk = Talk(web, house, pace=0.0, quiet=quiet)
    task = asyncio.create_task(talk.run())
    made = Site(web, house, talk, clock)
    try:
        made.cookie = await made.enter()
        answer = await made.post("/api/link", {"code": "ABCD2345"}, Cookie=None)
        made.other = answer.headers["set-cookie"].partition(";")[0]
        made.mine, made.theirs = (house.hang(account) for account in (1, 2))
        yield made
    finally:
        await web.close()
        task.cancel()
        await asyncio.wait({task})
