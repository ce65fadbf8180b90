"""A room to talk to the bot in: real commands, storage and dispatcher, an engine in memory, no adapter."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot import commands
from bot.app import App
from bot.catalog import Catalog
from bot.commands.finished import finished
from bot.config import Config, Rules
from bot.dispatch import Dispatch
from bot.outbox import Outbox
from bot.talk import Ask, Button, Call, Reply
from inference.request import ModelSpec
from storage import jobs, ledger
from storage.accounts import find
from storage.database import Database
from storage.gallery import Files
from storage.jobs import Job
from tests.fakes.engine import DrawingEngine, FakeEngine

BUILTIN = ModelSpec(
    name="builtin",
    width=64,
    height=64,
    sizes=((64, 64), (96, 64)),
    steps=4,
    max_steps=50,
    styles=("3d", "flat"),
)
OTHER = ModelSpec(
    name="other", source="somebody/other", width=512, height=512, max_pixels=512 * 768, price=4.0
)
CONFIG = Config(
    models=(BUILTIN, OTHER),
    styles={"ink": "ink drawing of {prompt}"},
    rules=Rules(words=("gore",)),
    queue_limit=3,
    safety="off",
)


@dataclass
class Room:
    """One house, many people; each ask is an event of its own."""

    app: App
    engine: FakeEngine
    events: itertools.count[int] = field(default_factory=itertools.count)

    async def ask(self, ask: Ask | str, who: str = "test:ana", language: str = "en") -> list[Reply]:
        """Every reply to typed text or to a pressed button."""
        said = commands.read(ask, "imagine") if isinstance(ask, str) else ask
        call = Call(who, f"test:room/{next(self.events)}", f"e{next(self.events)}", said, language=language)
        async with asyncio.timeout(60):
            return [fitting(reply) async for reply in commands.answer(said, call, self.app)]

    async def press(self, reply: Reply, label: str, who: str = "test:ana") -> list[Reply]:
        """Press a button, as it comes back from a chat: packed."""
        return await self.ask(commands.unpack(commands.pack(button(reply, label).ask)), who)

    async def draw(self, text: str, who: str = "test:ana", language: str = "en") -> tuple[Job, Reply]:
        """Ask, wait until it is drawn: the job and what the outbox shows."""
        replies = await self.ask(text, who, language)
        assert replies[0].job
        job = await self.job(replies[0].job)
        return job, fitting(await finished(job, self.app))

    async def job(self, number: int) -> Job:
        row = await self.app.database.read(jobs.get, number)
        assert row
        return row

    async def balance(self, who: str = "test:ana") -> int:
        account = await self.app.database.read(find, who)
        assert account
        return await self.app.database.read(ledger.balance, account)


def fitting(reply: Reply) -> Reply:
    """The reply, if every chat can show it whole: Discord's rows, labels and 3 900 characters, Telegram's 64
    bytes of a button. Fields are lines.
    """
    assert len(reply.buttons) <= 5
    assert len(reply.text) + sum(len(f"{label}  {value}\n") for label, value in reply.fields) <= 3_900
    assert len(reply.title) <= 256
    for row in reply.buttons:
        assert 1 <= len(row) <= 5
        for each in row:
            assert 1 <= len(each.label) <= 80
            assert commands.unpack(commands.pack(each.ask)) == each.ask
            assert not each.form or each.form == commands.form_field(each.ask)
    return reply


def button(reply: Reply, label: str) -> Button:
    """The button whose label has this text in it."""
    return next(each for row in reply.buttons for each in row if label in each.label)


@asynccontextmanager
async def room(
    folder: Path,
    *,
    engine: FakeEngine | None = None,
    config: Config = CONFIG,
    models: Sequence[ModelSpec] = (),
) -> AsyncIterator[Room]:
    """A room while the block runs."""
    engine = engine or DrawingEngine()
    database = await Database.open(folder / "falopitas.sqlite")
    files, catalog = Files(folder / "pictures"), Catalog(models or config.models, config.default_model)
    dispatch = Dispatch(
        database, files, catalog, [engine], clock=time.time, queue_limit=config.queue_limit, home=folder
    )
    app = App(
        replace(config, data_dir=folder), database, files, catalog, dispatch, Outbox(database, time.time)
    )
    task = asyncio.create_task(dispatch.run())
    try:
        yield Room(app, engine)
    finally:
        task.cancel()
        await asyncio.wait({task})
        await database.close()
