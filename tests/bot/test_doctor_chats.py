"""doctor asks both platforms whether the tokens work, and says exactly what is missing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from bot import doctor
from bot.adapters.discord.check import PERMISSIONS, check, invitation
from bot.secret import Secret
from bot.texts import LANGUAGES

# Discord's own example of a token
TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
APPLICATION: dict[str, Any] = {
    "id": "1234", "name": "Falopitas", "bot_public": True, "integration_types_config": {"0": {}, "1": {}},
}  # fmt: skip


@dataclass
class Platform:
    """The two addresses of Discord that doctor asks."""

    application: dict[str, Any] = field(default_factory=lambda: dict(APPLICATION))
    status: int = 200
    root: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)
        if self.status != 200:
            return web.json_response({}, status=self.status)
        me = {"id": "1", "username": "falopitas", "bot": True}
        return web.json_response(me if request.path.endswith("users/@me") else self.application)


@asynccontextmanager
async def discord_at(**more: Any) -> AsyncIterator[Platform]:
    platform = Platform(**more)
    app = web.Application()
    app.router.add_get("/api/v10/{tail:.*}", platform.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    platform.root = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v10"
    try:
        yield platform
    finally:
        await runner.cleanup()


def marks(found: Any) -> list[tuple[str, str]]:
    return [(each.mark, each.what) for each in found]


async def test_a_good_set_up_is_its_name_and_the_link_that_invites_it() -> None:
    async with discord_at() as there:
        found = await check(Secret(TOKEN), there.root)
    assert marks(found) == [("ok", "name"), ("ok", "invite")]
    asked = parse_qs(urlsplit(str(dict(found[1].values)["link"])).query)
    assert asked == {
        "client_id": ["1234"], "permissions": [str(PERMISSIONS)], "scope": ["bot applications.commands"]
    }  # fmt: skip


def test_the_permissions_are_those_of_the_documentation() -> None:
    import discord

    wanted = discord.Permissions(
        view_channel=True, send_messages=True, attach_files=True, read_message_history=True,
        send_messages_in_threads=True,
    )  # fmt: skip
    assert wanted.value == PERMISSIONS == 274_878_008_320
    assert f"permissions={PERMISSIONS}" in invitation(7)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"integration_types_config": {"0": {}}}, ("note", "personal")),
        ({"integration_types_config": None}, ("note", "personal")),
        ({"bot_public": False}, ("note", "closed")),
        ({"interactions_endpoint_url": "https://a.example/x"}, ("bad", "endpoint")),
    ],
)
async def test_what_is_set_otherwise_is_named(change: dict[str, Any], what: tuple[str, str]) -> None:
    async with discord_at(application=APPLICATION | change) as there:
        assert what in marks(await check(Secret(TOKEN), there.root))


async def test_a_wrong_token_a_broken_platform_and_none_at_all() -> None:
    async with discord_at() as there:
        assert marks(await check(Secret("wrong"), there.root)) == [("bad", "token")]
        there.status = 503
        assert marks(await check(Secret(TOKEN), there.root)) == [("bad", "refused")]
        there.application, there.status = [], 200  # type: ignore[assignment]
        assert marks(await check(Secret(TOKEN), there.root)) == [("bad", "network")]
    assert marks(await check(Secret(TOKEN), "http://127.0.0.1:9/api/v10")) == [("bad", "network")]


@contextmanager
def elsewhere(serve: Callable[[], Any]) -> Iterator[Any]:
    """A platform in a thread of its own: doctor has its own loop."""
    ready, done, box = threading.Event(), threading.Event(), []

    async def live() -> None:
        async with serve() as there:
            box.append(there)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    ready.wait(10)
    try:
        yield box[0]
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("language", LANGUAGES)
def test_doctor_says_it_in_words_and_never_the_token(
    language: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "probe", lambda models: {"versions": {"torch": "2"}, "devices": []})
    file = tmp_path / "falopitas.toml"
    with elsewhere(discord_at) as there:
        file.write_text(f'[discord]\napi_root = "{there.root}"\n')
        said: list[str] = []
        environ = {"FALOPITAS_DATA": str(tmp_path / "data"), "DISCORD_TOKEN": TOKEN}
        code = doctor.examine(file, environ, language, said.append)
        text = "".join(said)
        assert code == 0
        assert f"client_id=1234&permissions={PERMISSIONS}&scope=bot+applications.commands" in text
        assert str(PERMISSIONS) in text
        assert "/newbot" in text  # there is no token for Telegram: how to get one
        assert doctor.examine(file, environ | {"DISCORD_TOKEN": "wrong"}, language, said.append) == 1
    assert TOKEN not in "".join(said)
    assert "{" not in "".join(said)


@pytest.mark.parametrize("readme", ["README.md", "README.es.md"])
def test_the_readme_names_the_same_permissions_and_files(readme: str) -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / readme).read_text("utf-8")
    assert f"`{PERMISSIONS}`" in text
    example = (root / "deploy" / "example.env").read_text("utf-8")
    assert all(name in text and f"#{name}=" in example for name in ("DISCORD_TOKEN", "TELEGRAM_TOKEN"))
