"""A community to moderate: calls come from channels, with roles, at a clock of the test's own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot import commands
from bot.app import App
from bot.config import Config
from bot.talk import Ask, Call, Reply
from tests.fakes.engine import FakeEngine
from tests.fakes.room import CONFIG, Room, button, fitting, room

HERE = "test:town"
NOON = 1_800_018_000.0
"""A Friday in January 2027, 13:00 UTC, and so 10:00 in Buenos Aires."""
MODERATOR, ANA, BEN, ELSEWHERE = "test:mia", "test:ana", "test:ben", "test:zoe"
TITLES = (("role:7", "Supporters"), ("test:art", "art"), ("test:chat", "chat"))


@dataclass
class Town:
    """One community: ``say`` is what somebody writes in a channel of it."""

    room: Room
    app: App
    clock: list[float]
    events: itertools.count[int] = field(default_factory=itertools.count)

    def call(self, who: str, ask: Ask, **more: object) -> Call:
        number = next(self.events)
        facts: dict[str, object] = {
            "community": HERE, "channel": "test:art", "entitled": who == MODERATOR, "titles": TITLES, **more
        }  # fmt: skip
        if who == ELSEWHERE:
            facts |= {"community": "test:other", "entitled": True}
        return Call(who, f"test:town/{number}", f"e{number}", ask, **facts)  # type: ignore[arg-type]

    async def say(self, who: str, text: str | Ask, **more: object) -> list[Reply]:
        said = commands.read(text, "imagine") if isinstance(text, str) else text
        call = self.call(who, said, **more)
        async with asyncio.timeout(60):
            return [fitting(reply) async for reply in commands.answer(said, call, self.app)]

    async def mod(self, text: str, **more: object) -> Reply:
        """What a moderator gets for ``/mod text``."""
        return (await self.say(MODERATOR, f"/mod {text}", **more))[-1]

    async def press(self, reply: Reply, label: str, who: str = MODERATOR, **more: object) -> Reply:
        ask = commands.unpack(commands.pack(button(reply, label).ask))
        return (await self.say(who, ask, **more))[-1]


@asynccontextmanager
async def town(
    folder: Path, *, engine: FakeEngine | None = None, config: Config = CONFIG
) -> AsyncIterator[Town]:
    """A town while the block runs, at ``NOON``."""
    async with room(folder, engine=engine, config=replace(config, queue_limit=20)) as made:
        clock = [NOON]
        made.app.dispatch._clock = lambda: clock[0]
        yield Town(made, replace(made.app, clock=lambda: clock[0]), clock)
