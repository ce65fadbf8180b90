"""Who may press what: actor x action x object, from the registry. A cell without an expectation fails.

"Not yours" and "not there" read the same, and authority is read from the database at the press.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from bot import commands
from bot.commands.again import Again
from bot.commands.cancel import Cancel
from bot.commands.contest import Contest
from bot.commands.delete import Delete
from bot.commands.details import Details
from bot.commands.mod.cases import Report
from bot.commands.original import Original
from bot.commands.remix import Remix
from bot.commands.show import Show
from bot.commands.star import Star
from bot.commands.upscale import Upscale
from bot.commands.vary import Vary
from bot.talk import Ask, Call, Reply
from inference import wire
from storage import accounts, jobs
from storage.database import Connection
from storage.refusal import Refusal
from tests.fakes.engine import FakeEngine, drawn
from tests.fakes.room import CONFIG, Room, room

ANA, BEN = "test:ana", "test:ben"
OBJECTS = ("done", "private", "deleted", "failed", "cancelled", "queued", "running", "absent")

YES, NO, OVER = "yes", "no_job", "already_over"
_ALL_NO = dict.fromkeys(OBJECTS, NO)
_PUBLIC = {**_ALL_NO, "done": YES}
_MINE_DRAWN = {**_PUBLIC, "private": YES}
_MINE = {**dict.fromkeys(OBJECTS, YES), "deleted": NO, "absent": NO}
_MINE_OPEN = {**dict.fromkeys(OBJECTS, OVER), "queued": YES, "running": YES, "absent": NO}

MAY: dict[str, tuple[Callable[[int], Ask], dict[str, str], dict[str, str]]] = {
    "again": (Again, _MINE, _PUBLIC),
    "vary": (lambda job: Vary(job, 1), _MINE_DRAWN, _PUBLIC),
    "upscale": (lambda job: Upscale(job, 1), _MINE_DRAWN, _PUBLIC),
    "original": (lambda job: Original(job, 1), _MINE_DRAWN, _PUBLIC),
    "remix": (lambda job: Remix(job, "a wolf"), _MINE, _PUBLIC),
    "details": (Details, _MINE, _PUBLIC),
    "report": (Report, _MINE, _PUBLIC),
    "show": (Show, _MINE_DRAWN, _PUBLIC),
    "star": (Star, _MINE_DRAWN, _ALL_NO),
    "delete": (lambda job: Delete(job, sure=True), _MINE_DRAWN, _ALL_NO),
    "cancel": (Cancel, _MINE_OPEN, _ALL_NO),
    "contest": (Contest, {**dict.fromkeys(OBJECTS, "no_matter"), "absent": NO}, _ALL_NO),
}
"""Action → how it is asked, what its owner gets of each object, what anybody else gets."""
HARMLESS = {
    "imagine",
    "queue",
    "gallery",
    "quota",
    "settings",
    "styles",
    "models",
    "link",
    "help",
    "gift",
    "mydata",
    "forgetme",
    "transparency",
    "appeal",
    "decide",
}
"""Asks that name nobody's job (``--from`` is in the commands' own tests)."""


def test_every_ask_has_an_expectation() -> None:
    assert set(MAY) | HARMLESS == {each.name for each in commands.COMMANDS + commands.BUTTONS}
    for _, mine, theirs in MAY.values():
        assert set(mine) == set(theirs) == set(OBJECTS)


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Room, dict[str, int]]]:
    """A room with one of every object, all of Ana's."""
    async with room(tmp_path, engine=FakeEngine(), config=replace(CONFIG, queue_limit=20)) as made:
        yield made, await objects(made)


async def objects(here: Room) -> dict[str, int]:
    await here.engine.hello(6)
    numbers = {name: await submit(here, name) for name in OBJECTS[:-1] if name != "queued"}
    draws = {draw.job: draw for draw in await here.engine.wait_for(wire.Draw, len(numbers))}
    for name in ("done", "private", "deleted"):
        await here.engine.say(drawn(draws[numbers[name]]))
    failing = draws[numbers["failed"]]
    await here.engine.say(wire.Failed(job=failing.job, attempt=failing.attempt, code="out_of_memory"))
    await here.app.dispatch.cancel(numbers["cancelled"])
    async with asyncio.timeout(60):
        for name in ("done", "private", "deleted", "failed"):
            await over(here, numbers[name])
    await here.ask(Delete(numbers["deleted"], sure=True), ANA)
    await here.app.database.write(make_private, numbers["private"])
    return numbers | {"queued": await submit(here, "queued"), "absent": 10**9}


async def submit(here: Room, name: str) -> int:
    """Ana asks; only the first answer is waited for."""
    assert await press(here, commands.read(f"/imagine a {name} fox --n 2"), ANA) == YES
    account = await here.app.database.read(accounts.find, ANA)
    assert account
    return (await here.app.database.read(jobs.mine, account, 1))[0].id


async def over(here: Room, number: int) -> None:
    with here.app.dispatch.subscribe(number) as events:
        if not (await here.job(number)).over:
            async for _ in events:
                pass


def make_private(tx: Connection, number: int) -> int:
    return tx.execute("UPDATE job SET private = 1 WHERE id = ?", (number,)).rowcount


_events = itertools.count()


async def press(here: Room, ask: Ask, who: str) -> str:
    """What a press gets: its first answer (yes), or the code of the refusal."""
    call = Call(who, f"test:x/{next(_events)}", f"m{next(_events)}", ask)
    replies = cast("AsyncGenerator[Reply]", commands.answer(ask, call, here.app))
    async with aclosing(replies), asyncio.timeout(60):
        try:
            await anext(replies)
        except Refusal as refusal:
            return refusal.code
    return YES


@pytest.mark.parametrize("actor", [ANA, BEN])
@pytest.mark.parametrize("action", sorted(MAY))
async def test_every_cell_of_the_matrix(place: tuple[Room, dict[str, int]], action: str, actor: str) -> None:
    here, numbers = place
    ask, mine, theirs = MAY[action]
    expected = mine if actor == ANA else theirs
    found = {name: await press(here, ask(numbers[name]), actor) for name in OBJECTS}
    assert found == expected


async def test_a_refused_press_changes_nothing(place: tuple[Room, dict[str, int]]) -> None:
    here, numbers = place
    before = await here.app.database.read(everything)
    for action, name in itertools.product(MAY, OBJECTS):
        ask, _, theirs = MAY[action]
        if theirs[name] != YES:
            await press(here, ask(numbers[name]), BEN)
    after = await here.app.database.read(everything)
    assert after == before


def everything(tx: Connection) -> list[object]:
    """Every row that belongs to Ana."""
    tables = ("SELECT * FROM job ORDER BY id", "SELECT * FROM piece ORDER BY id")
    books = "SELECT * FROM ledger WHERE account = 1 ORDER BY id"
    return [tx.execute(sql).fetchall() for sql in (*tables, books)]
