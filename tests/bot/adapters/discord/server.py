"""A Discord server in memory (simcord) with our bot in it: the real adapter, commands and storage.

Its clock stands still until ``env.advance_time``: tokens, progress and the house's own time all go by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import simcord
import simcord.interactions
from simcord.components import walk_components

from bot import converse
from bot.adapters.discord.adapter import Discord
from bot.adapters.discord.client import Client
from bot.adapters.discord.declare import commands as declared
from bot.app import App
from bot.catalog import Catalog
from bot.commands.finished import finished
from bot.config import Config
from bot.desk import Desk
from bot.dispatch import Dispatch
from bot.outbox import Outbox
from bot.secret import Secret
from storage import jobs
from storage.database import Database
from storage.gallery import Files
from storage.jobs import Job
from tests.bot.adapters.discord import spec
from tests.fakes.engine import DrawingEngine, FakeEngine
from tests.fakes.room import CONFIG

T = TypeVar("T")
BUTTON, TEXT, GALLERY = 2, 10, 12


async def _simulated(client: Client, say: Callable[[str], None]) -> None:
    """simcord has signed the client in already."""
    await asyncio.Event().wait()


@dataclass
class Bot:
    """One life of the bot: everything that ends when its process does."""

    app: App
    adapter: Discord
    engine: FakeEngine
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


@dataclass
class Server:
    """A server with one channel, and the bot's present life."""

    env: simcord.Env
    folder: Path
    config: Config
    guild: Any
    channel: Any
    bot: Bot
    locales: dict[int, str]
    people: dict[str, Any] = field(default_factory=dict)

    @property
    def app(self) -> App:
        return self.bot.app

    @property
    def engine(self) -> FakeEngine:
        return self.bot.engine

    def join(self, name: str, locale: str = "en-US", **more: Any) -> Any:
        """A person in the server, or the one of that name."""
        if name not in self.people:
            self.people[name] = self.guild.add_member(self.env.create_user(name), **more)
            self.locales[self.people[name].id] = locale
        return self.people[name]

    async def until(self, wanted: Callable[[], T], seconds: float = 60.0) -> T:
        """The first true answer of ``wanted()``."""
        async with asyncio.timeout(seconds):
            while not (found := wanted()):
                await asyncio.sleep(0.005)
        return found

    async def job(self, number: int) -> Job:
        row = await self.app.database.read(jobs.get, number)
        assert row
        return row

    async def until_job(self, wanted: Callable[[Job], object], number: int = 1) -> Job:
        async with asyncio.timeout(60):
            while True:
                row = await self.app.database.read(jobs.get, number)
                if row is not None and wanted(row):
                    return row
                await asyncio.sleep(0.005)

    async def answer(self, result: Any) -> Any:
        """The message that answers an interaction, as soon as it says something."""
        return await self.until(lambda: result.response if said(result.response) else None)

    async def imagine(self, name: str = "ana", prompt: str = "a red fox", **options: Any) -> Any:
        """Ask for pictures, and wait until they are there: the message."""
        result = await self.join(name).slash(self.channel, "imagine", prompt=prompt, **options)
        return await self.pictures(result)

    async def pictures(self, result: Any) -> Any:
        """The answer, once it shows the finished pictures."""
        return await self.until(lambda: result.response if is_result(result.response) else None)

    async def press(self, message: Any, label: str, name: str = "ana") -> Any:
        """Press the button with this in its label."""
        button = next(each for each in buttons(message) if label in each["label"])
        return await self.join(name).click(message, custom_id=button["custom_id"])

    def requests(self, method: str = "", path: str = "") -> list[Any]:
        """What the bot asked of Discord, the signing-in left out."""
        return [
            each
            for each in self.env.http_requests
            if method in {"", each.method} and path in each.path and "/commands" not in each.path
        ]

    def violations(self) -> list[str]:
        """Everything the bot sent that Discord's specification does not allow."""
        return [
            wrong
            for each in self.env.http_requests
            for wrong in spec.wrongs(each.method, each.path, each.json, each.params)
        ]

    async def restart(self, engine: FakeEngine | None = None) -> None:
        """The bot's process dies, and another one comes."""
        await self.die()
        client = _client(self.folder)
        with self.env.time_context():
            await self.env.restart_bot(client)
        self.bot = await _life(self.env, client, self.folder, self.config, engine or DrawingEngine())

    async def die(self) -> None:
        """As kill -9 would: nothing says good-bye."""
        for task in self.bot.tasks:
            task.cancel()
        await asyncio.gather(*self.bot.tasks, return_exceptions=True)
        await self.app.database.close()


def _client(folder: Path) -> Client:
    desk = Desk(None)  # type: ignore[arg-type] # the table of commands needs no App
    return Client(Secret("token"), declared(desk.commands()), folder / "discord.commands", shards=1)


async def _life(env: Any, client: Client, folder: Path, config: Config, engine: FakeEngine) -> Bot:
    def clock() -> float:
        return float(env.now().timestamp())

    database = await Database.open(folder / "falopitas.sqlite")
    files, catalog = Files(folder / "pictures"), Catalog(config.models, config.default_model)
    dispatch = Dispatch(
        database, files, catalog, [engine], clock=clock, queue_limit=config.queue_limit, home=folder
    )
    outbox = Outbox(database, clock)
    dispatch.on_over = lambda _: outbox.wake()
    app = App(replace(config, data_dir=folder), database, files, catalog, dispatch, outbox, clock)
    adapter = Discord(Desk(app), client, clock=clock, connect=_simulated)
    bot = Bot(app, adapter, engine)
    parts: Sequence[Any] = (
        dispatch.run(),
        outbox.run({adapter.name: adapter}, partial(finished, app=app)),
        converse.serve(adapter, app),
    )
    bot.tasks = [asyncio.create_task(part) for part in parts]
    return bot


@asynccontextmanager
async def server(
    folder: Path, *, engine: FakeEngine | None = None, config: Config = CONFIG
) -> AsyncIterator[Server]:
    """A server while the block runs."""
    locales: dict[int, str] = {}
    usual = simcord.interactions.base_payload

    def localised(*args: Any, **more: Any) -> Any:
        record, payload = usual(*args, **more)
        payload["locale"] = locales.get(record.user_id, "en-US")
        return record, payload

    client = _client(folder)
    simcord.interactions.base_payload = localised
    try:
        async with simcord.run(client) as env:
            guild = env.create_guild()
            channel = guild.create_text_channel("art")
            bot = await _life(env, client, folder, config, engine or DrawingEngine())
            made = Server(env, folder, config, guild, channel, bot, locales)
            try:
                yield made
                if spec.available():
                    assert made.violations() == []
            finally:
                await made.die()
    finally:
        simcord.interactions.base_payload = usual


# --- what a message says


def parts(message: Any) -> list[dict[str, Any]]:
    """Every component, as Discord keeps it."""
    if message is None:
        return []
    shown = message.components
    raw = [each if isinstance(each, dict) else each.to_dict() for each in shown]
    return list(walk_components(raw))


def said(message: Any) -> str:
    """All its texts."""
    return "\n".join(each["content"] for each in parts(message) if each["type"] == TEXT)


def buttons(message: Any) -> list[dict[str, Any]]:
    return [each for each in parts(message) if each["type"] == BUTTON]


def labels(message: Any) -> list[str]:
    return [each["label"] for each in buttons(message)]


def media(message: Any) -> list[dict[str, Any]]:
    return [item for each in parts(message) if each["type"] == GALLERY for item in each["items"]]


def is_result(message: Any) -> bool:
    """Finished pictures, not a preview: what can be done with them stands below."""
    return bool(media(message)) and any("🔄" in label for label in labels(message))
