"""One bot's life: everything real is chosen and wired here, started in order, stopped in time."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any, TypeAlias

from bot import converse, texts
from bot.app import App
from bot.commands.finished import finished, spoilt
from bot.config import Config
from bot.dispatch import Catalog, Dispatch, Engine, Safety
from bot.home import Home
from bot.housekeeping import Housekeeping
from bot.outbox import Outbox
from bot.talk import Adapter
from storage.database import Database
from storage.disk import refusal_of
from storage.gallery import Files
from storage.refusal import Refusal
from storage.runner import RunnerKind, Threaded

log = logging.getLogger(__name__)

LETTING_GO, STOPPING, CLOSING = 5.0, 2.0, 2.0
"""Seconds that chats and engines, then the loops, then the database have to end. What does not is left where
it is; it is safe there."""
AGAIN = (1.0, 5.0, 30.0)
"""Seconds until a part that broke is started again."""

Engines: TypeAlias = Callable[[Config, Home], Sequence[Engine]]
Adapters: TypeAlias = Callable[[App, Home], Sequence[Adapter]]
_Part: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


def real_engines(config: Config, home: Home) -> Sequence[Engine]:
    """The inference processes on this machine, each with its own GPU or its part of the cores."""
    from inference.client import Client

    names = ["engine", *(f"engine{number}" for number in range(1, config.engines))]
    return [
        Client(
            name,
            home.data,
            config.models,
            device=config.device,
            environment=_part(place, len(names)),
            arguments=("--safety", config.checker) if config.checker else (),
        )
        for place, name in enumerate(names)
    ]


def _part(place: int, engines: int) -> dict[str, str]:
    """What engine ``place`` of so many may use."""
    if engines == 1:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    cards = visible.split(",") if visible else [str(number) for number in range(engines)]
    cores = max(1, (os.cpu_count() or 1) // engines)
    return {
        "CUDA_VISIBLE_DEVICES": cards[place % len(cards)],
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores)),
    }


@dataclass(slots=True)
class Life:
    """A running bot. ``leave``: its engines leave with it, whatever they draw."""

    app: App
    home: Home
    adapters: tuple[Adapter, ...]
    leave: bool = False


@asynccontextmanager
async def live(
    config: Config, adapters: Adapters, engines: Engines = real_engines,
    clock: Callable[[], float] = time.time, runner: RunnerKind = Threaded,
) -> AsyncIterator[Life]:  # fmt: skip
    """A bot while the block runs. Raises Refusal before anything was started that is not stopped again."""
    home = Home(config.data_dir)
    home.make()
    async with AsyncExitStack() as stack:
        stack.enter_context(home.lock())
        database = await Database.open(home.database, runner)
        stack.push_async_callback(_within, CLOSING, database.close())
        texts.at_hand()
        app = _app(config, home, database, engines(config, home), clock)
        life = Life(app, home, tuple(adapters(app, home)))
        asked = {each.name: getattr(each, "moderates", None) for each in life.adapters}
        app.seats.chats = {name: moderates for name, moderates in asked.items() if moderates}
        for adapter in life.adapters:
            await _start(adapter)
        await stack.enter_async_context(_parts(life))
        yield life


def _app(
    config: Config, home: Home, database: Database, engines: Sequence[Engine], clock: Callable[[], float]
) -> App:
    files, catalog = Files(home.pictures), Catalog(config.models, config.default_model)
    dispatch = Dispatch(
        database, files, catalog, engines, clock=clock, queue_limit=config.queue_limit, home=home.data,
        safety=Safety(config.checker, config.safety_level, stickers=config.safety != ""),
    )  # fmt: skip
    outbox = Outbox(database, clock)
    dispatch.on_over = lambda _: outbox.wake()
    return App(config, database, files, catalog, dispatch, outbox, clock)


async def _start(adapter: Adapter) -> None:
    """An adapter that listens does so before the bot says it is ready. Raises Refusal (port_in_use …)."""
    start = getattr(adapter, "start", None)
    if start is not None:
        await start()


@asynccontextmanager
async def _parts(life: Life) -> AsyncIterator[None]:
    """Every loop of the bot, each started again when it breaks: one chat's trouble is not another's."""
    app, adapters = life.app, {adapter.name: adapter for adapter in life.adapters}
    parts: dict[str, _Part] = {
        "dispatch": app.dispatch.run,
        "outbox": partial(app.outbox.run, adapters, partial(finished, app=app), partial(spoilt, app=app)),
        "housekeeping": Housekeeping(app).run,
    }
    parts |= {adapter.name: partial(converse.serve, adapter, app) for adapter in life.adapters}
    tasks = [asyncio.create_task(_keep(name, part), name=name) for name, part in parts.items()]
    try:
        yield
    finally:
        # before its loop ends: engines are told through it
        stop = app.dispatch.stop(leave=life.leave)
        await _within(LETTING_GO, stop, *(adapter.close() for adapter in life.adapters))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOPPING)


async def _within(seconds: float, *ends: Coroutine[Any, Any, None]) -> None:
    """Let everything end at once; what breaks or takes longer is logged and left."""
    tasks = [asyncio.create_task(end, name=getattr(end, "__qualname__", "")) for end in ends]
    done, late = await asyncio.wait(tasks, timeout=seconds)
    for task in done:
        if not task.cancelled() and (bug := task.exception()):
            log.error("end broke", exc_info=bug, extra={"action": "broke", "part": task.get_name()})
    for task in late:
        log.error("end is late", extra={"action": "late", "part": task.get_name()})
        task.cancel()


async def _keep(name: str, part: _Part) -> None:
    """Run a loop until it ends; start it again if it breaks."""
    for pause in chain(AGAIN, repeat(AGAIN[-1])):
        task = asyncio.create_task(part())
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=STOPPING)
        bug = None if task.cancelled() else task.exception()
        if bug is None:
            return
        refusal = refusal_of(bug) if isinstance(bug, OSError) else bug
        if isinstance(refusal, Refusal):  # the disk, or no file left to open: where, for it may be a bug
            extra = {"action": "refused", "part": name, "code": refusal.code}
            log.warning("part refused", exc_info=bug, extra=extra)
        else:
            log.error("part broke", exc_info=bug, extra={"action": "broke", "part": name})
        await asyncio.sleep(pause)
