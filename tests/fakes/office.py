"""The moderators' page over a town: real commands, storage, server; who sits where is a test's to say."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bot.adapters.web import Web
from bot.bureau import Bureau
from bot.page import Page
from bot.talk import Reply
from storage import accounts
from storage.accounts import OWNER
from tests.bot.web_server import Answer, send, token
from tests.fakes.engine import FakeEngine
from tests.fakes.town import HERE, MODERATOR, Town, town


@dataclass
class Office:
    """A town, its page, and browsers that are known by their cookies."""

    town: Town
    web: Web
    keys: itertools.count[int] = field(default_factory=lambda: itertools.count(10_000_000))

    async def link(self, who: str = MODERATOR, **facts: object) -> str:
        """The link that the bot sends to who asks for it."""
        replies: list[Reply] = await self.town.say(who, "/mod page", **facts)
        return replies[-1].link

    async def sit(self, who: str = MODERATOR, **facts: object) -> str:
        """The cookie of a browser that used a link."""
        answer = await self.enter(await self.link(who, **facts))
        assert answer.status == 200, answer
        return answer.headers["set-cookie"].partition(";")[0]

    async def enter(self, link: str, cookie: str = "") -> Answer:
        """Use a link; nobody does that twice in 20 seconds."""
        self.town.clock[0] += 20
        return await self.post("/mod/api/enter", {"token": link.partition("#seat=")[2]}, cookie)

    async def owner(self) -> str:
        """The cookie of the owner's ordinary sign-in."""
        answer = await self.post("/api/enter", {"token": token(self.web)})
        return answer.headers["set-cookie"].partition(";")[0]

    async def member(self, who: str) -> str:
        """The cookie of somebody who came to the people's page with a code."""
        database = self.town.app.database
        account = await database.read(accounts.find, who)
        assert account
        code = await database.write(accounts.link_code, account, self.town.clock[0])
        answer = await self.post("/api/link", {"code": code})
        assert answer.status == 200, answer
        return answer.headers["set-cookie"].partition(";")[0]

    async def get(self, path: str, cookie: str = "", **query: str) -> Answer:
        address = f"{path}?{urlencode(query)}" if query else path
        return await send(self.web.port, "GET", address, self._headers(cookie, {}))

    async def post(self, path: str, body: Any, cookie: str = "", **more: str) -> Answer:
        usual = {
            "Origin": f"http://127.0.0.1:{self.web.port}", "Content-Type": "application/json",
            "Idempotency-Key": f"key{next(self.keys)}",
        }  # fmt: skip
        headers = self._headers(
            cookie, usual | {name.replace("_", "-"): value for name, value in more.items()}
        )
        return await send(self.web.port, "POST", path, headers, json.dumps(body).encode())

    async def do(self, cookie: str, command: str, community: str | None = HERE, **fields: object) -> Answer:
        body = {"command": command, "fields": fields, "community": community}
        return await self.post("/mod/api/do", body, cookie)

    async def view(self, cookie: str, name: str, **query: str) -> Any:
        answer = await self.get(f"/mod/api/view/{name}", cookie, **query)
        assert answer.status == 200, answer
        return answer.json

    def _headers(self, cookie: str, more: dict[str, str]) -> dict[str, str]:
        host = {"Host": f"127.0.0.1:{self.web.port}", "Sec-Fetch-Site": "same-origin"}
        return host | more | ({"Cookie": cookie} if cookie else {})


@asynccontextmanager
async def office(folder: Path, *, engine: FakeEngine | None = None) -> AsyncIterator[Office]:
    """An office while the block runs; without an ``engine`` of the test's own, one that draws at once."""
    async with town(folder, engine=engine) as made:
        web = Web(Page(made.app), folder, port=0, clock=made.app.clock, bureau=Bureau(made.app))
        await web.start()
        try:
            await made.say(OWNER, "/quota", community="", channel="")
            yield Office(made, web)
        finally:
            await web.close()
