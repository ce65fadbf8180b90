"""A whole bot on a Telegram of the test's own: real adapter, real HTTP, real storage, an engine in memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from bot import kiosk, life
from bot.adapters.telegram import Telegram
from bot.app import App
from bot.config import Config
from bot.config import Telegram as Settings
from bot.home import Home
from bot.secret import Secret
from bot.talk import Adapter
from inference import wire
from storage import jobs
from storage.jobs import Job
from tests.fakes.engine import DrawingEngine, FakeEngine
from tests.fakes.room import CONFIG
from tests.fakes.telegram import TOKEN, Server
from tests.fakes.telegram import server as telegram

UNIT = 0.05
"""Seconds that a second of Telegram's pace takes here: a minute is three."""


class Painter(DrawingEngine):
    """Draws with small pictures that are pictures."""

    async def say(self, message: wire.FromEngine) -> None:
        if isinstance(message, wire.Drawn):
            made = tuple(msgspec.structs.replace(each, preview=webp(each.seed)) for each in message.pictures)
            message = msgspec.structs.replace(message, pictures=made)
        await super().say(message)


@cache
def webp(seed: int) -> bytes:
    """A flat WebP whose colour follows from the seed."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (seed % 255, seed // 255 % 255, 90)).save(file, "WEBP")
    return file.getvalue()


@dataclass
class House:
    """One data folder, one Telegram, at most one bot."""

    folder: Path
    tele: Server
    config: Config = CONFIG
    token: str = TOKEN
    told: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    app: App | None = None
    adapter: Telegram | None = None

    @asynccontextmanager
    async def bot(self, engine: FakeEngine | None = None, *, unit: float = 0.0) -> AsyncIterator[App]:
        """A bot while the block runs."""
        engine = engine or Painter()
        settings = Settings(api_root=self.tele.root, token=Secret(self.token), **self.settings)
        config = replace(self.config, data_dir=self.folder / "data", telegram=settings)

        def adapters(app: App, home: Home) -> Sequence[Adapter]:
            made = Telegram(settings, kiosk.Kiosk(app), "en", self.told.append, unit or self.tele.unit)
            self.adapter = made
            return [made]

        async with life.live(config, adapters, lambda config, home: [engine]) as alive:
            self.app = alive.app
            yield alive.app

    async def job(self, number: int) -> Job:
        assert self.app
        found = await self.app.database.read(jobs.get, number)
        assert found
        return found

    async def until(self, wanted: Callable[[], Any], seconds: float = 60.0) -> Any:
        async with asyncio.timeout(seconds):
            while not (found := wanted()):
                await asyncio.sleep(0.005)
        return found


@asynccontextmanager
async def house(folder: Path, unit: float = UNIT, **more: Any) -> AsyncIterator[House]:
    """A Telegram and an empty data folder while the block runs."""
    async with telegram(unit) as made:
        yield House(folder, made, **more)
