"""A whole bot on Discord's wire fake: real client, gateway and HTTP, real storage, an engine in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot import life
from bot.adapters.discord.adapter import Discord
from bot.app import App
from bot.config import Config
from bot.config import Discord as Section
from bot.desk import Desk
from bot.home import Home
from bot.secret import Secret
from bot.talk import Adapter
from tests.fakes.discord import TOKEN, Wire, wire
from tests.fakes.engine import DrawingEngine, FakeEngine
from tests.fakes.room import CONFIG


@contextmanager
def official() -> Iterator[None]:
    """The library keeps the root for the whole process: it is put back."""
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before


@dataclass
class House:
    """One data folder, one Discord (reached at ``root``), at most one bot."""

    folder: Path
    wire: Wire
    root: str = ""
    config: Config = CONFIG
    token: str = TOKEN
    told: list[str] = field(default_factory=list)
    adapter: Discord | None = None

    @asynccontextmanager
    async def bot(self, engine: FakeEngine | None = None) -> AsyncIterator[App]:
        """A bot while the block runs."""
        section = Section(api_root=self.root or self.wire.root, token=Secret(self.token))
        config = replace(self.config, data_dir=self.folder / "data", discord=section)

        def adapters(app: App, home: Home) -> Sequence[Adapter]:
            self.adapter = Discord.enter(Desk(app), section, home.data, app.clock, self.told.append)
            return [self.adapter]

        drawing = engine or DrawingEngine()
        with official():
            async with life.live(config, adapters, lambda config, home: [drawing]) as alive:
                yield alive.app


@asynccontextmanager
async def house(folder: Path, **facts: Any) -> AsyncIterator[House]:
    """A Discord and an empty data folder while the block runs."""
    async with wire(**facts) as made:
        yield House(folder, made)
        assert made.violations == []
