"""What happens by the clock, on a clock of our own."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

import pytest
from apscheduler.schedulers import base as scheduling

from bot import housekeeping, life, logs
from bot.app import App
from bot.housekeeping import DAY, Chore, Housekeeping
from inference.request import UNITS
from storage import accounts, gallery, inbox, ledger, opening
from storage.database import Connection
from storage.refusal import Refusal
from tests.fakes.room import Room, room


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    room: Room
    clock: Clock
    app: App


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with room(tmp_path) as made:
        clock = Clock(time.time())
        yield Kept(made, clock, replace(made.app, clock=clock))


async def test_everybody_is_refilled_once_a_day_and_never_by_a_clock_that_jumps_back(kept: Kept) -> None:
    daily = kept.app.config.daily_credits * UNITS
    await kept.room.draw("/imagine fox")
    spent = daily - await kept.room.balance()
    assert spent > 0
    kept.clock.now += DAY
    await housekeeping.refill(kept.app)
    assert await kept.room.balance() == daily
    await kept.room.draw("/imagine fox")
    for moment in (0.0, 60.0, -3 * DAY):
        kept.clock.now += moment
        await housekeeping.refill(kept.app)
    assert await kept.room.balance() == daily - spent


async def test_pictures_are_kept_for_ever_unless_the_operator_says_otherwise(kept: Kept) -> None:
    job, _ = await kept.room.draw("/imagine fox --n 2")
    starred = (await kept.app.database.read(gallery.of_job, job.id))[1]
    await kept.app.database.write(gallery.star, starred.id, True)
    kept.clock.now += 1_000 * DAY
    await housekeeping.expire(kept.app)
    assert len(await kept.app.database.read(gallery.of_job, job.id)) == 2
    short = replace(kept.app, config=replace(kept.app.config, retention_days=30))
    await housekeeping.expire(short)
    assert await kept.app.database.read(gallery.of_job, job.id) == (replace(starred, starred=True),)
    assert await kept.app.files.load(starred.digest)


async def test_files_without_a_row_are_swept_when_they_are_old(kept: Kept) -> None:
    job, _ = await kept.room.draw("/imagine fox --n 1")
    (piece,) = await kept.app.database.read(gallery.of_job, job.id)
    stray = kept.app.files.path("ab" * 32)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"left by a crash")
    await housekeeping.sweep(kept.app)
    assert stray.exists()
    os.utime(stray, (1.0, 1.0))
    await housekeeping.sweep(kept.app)
    assert not stray.exists()
    assert await kept.app.files.load(piece.digest)


async def test_answered_events_are_forgotten_after_two_days(kept: Kept) -> None:
    row = ("test", "old", "test:room", b"", kept.clock.now)
    await kept.app.database.write(inbox.accept, *row)
    await kept.app.database.write(inbox.done, "test", "old")
    await housekeeping.forget(kept.app)
    assert not await kept.app.database.write(inbox.accept, *row), "still known"
    kept.clock.now += 2 * DAY + 1
    await housekeeping.forget(kept.app)
    assert await kept.app.database.write(inbox.accept, *row)


async def test_an_imbalance_is_logged(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await housekeeping.audit(kept.app)
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
    monkeypatch.setattr(ledger, "audit", lambda tx: ("account 1: 5 instead of 4",))
    await housekeeping.audit(kept.app)
    assert [r.__dict__["what"] for r in caplog.records if r.levelname == "ERROR"] == ["{'detail': 'ledger'}"]
    with pytest.raises(Refusal, match="database_corrupt"):
        await kept.app.database.write(inbox.done, "test", "any")


async def test_a_look_for_which_no_file_can_be_opened_says_nothing_of_the_books(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def short() -> None:
        raise OSError(errno.EMFILE, "too many")

    with monkeypatch.context() as patched:
        patched.setattr(opening, "migrations", short)
        with pytest.raises(Refusal, match="disk_error"):
            await housekeeping.audit(kept.app)
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
    await kept.app.database.write(inbox.done, "test", "any")
    await housekeeping.audit(kept.app)


async def test_while_the_books_are_looked_at_everybody_is_served(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a thread and a reader of its own: no write and no read waits for it."""
    looking, on = threading.Event(), threading.Event()

    def slow(tx: Connection) -> tuple[str, ...]:
        tx.execute("SELECT count(*) FROM ledger").fetchall()
        looking.set()
        assert on.wait(60)
        return ()

    monkeypatch.setattr(ledger, "audit", slow)
    task = asyncio.create_task(housekeeping.audit(kept.app))
    try:
        assert await asyncio.to_thread(looking.wait, 60)
        async with asyncio.timeout(60):
            row = ("test", "new", "test:room", b"", kept.clock.now)
            assert await kept.app.database.write(inbox.accept, *row, durable=True)
            for _ in range(8):
                await kept.app.database.read(inbox.pending)
        assert not task.done()
    finally:
        on.set()
    await task


async def test_the_scheduler_does_each_chore_at_once_and_again_and_survives_refusals_and_bugs(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    done = {"fine": 0, "refused": 0, "broken": 0}

    async def fine(app: App) -> None:
        done["fine"] += 1

    async def refused(app: App) -> None:
        done["refused"] += 1
        raise Refusal("disk_full")

    async def broken(app: App) -> None:
        done["broken"] += 1
        if done["broken"] > 1:
            raise ZeroDivisionError

    chores = tuple(Chore(work.__name__, work, 0.05) for work in (fine, refused, broken))
    task = asyncio.create_task(Housekeeping(kept.app, chores).run())
    async with asyncio.timeout(60):
        while min(done.values()) < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_bug_in_a_chore_is_logged_and_the_next_one_is_done(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in the first round, where refills would never come if it ended the loop."""
    done = asyncio.Event()

    async def broken(app: App) -> None:
        raise OSError("an input/output error")

    async def fine(app: App) -> None:
        done.set()

    chores = Chore("broken", broken, 60.0), Chore("fine", fine, 60.0)
    task = asyncio.create_task(Housekeeping(kept.app, chores).run())
    async with asyncio.timeout(60):
        await done.wait()
    task.cancel()
    await asyncio.wait({task})
    assert [r.__dict__["chore"] for r in caplog.records if r.levelname == "ERROR"] == ["broken"]


@pytest.mark.parametrize("part", ["a chore", "a part"])
async def test_a_file_that_is_not_there_is_logged_with_the_place_that_looked_for_it(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    """It reads like a disk that refuses, and may be a bug of ours."""

    async def looks_for_it(app: App) -> None:
        (kept.app.files.folder / "nowhere").read_bytes()

    tries = iter([True])

    async def works() -> None:
        if next(tries, False):
            await looks_for_it(kept.app)

    if part == "a chore":
        await Housekeeping(kept.app, ()).do(Chore("looks", looks_for_it, 60.0))
    else:
        monkeypatch.setattr(life, "AGAIN", (0.0,))
        await life._keep("works", works)
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    line = json.loads(logs.Lines().format(record))
    assert line["code"] == "data_read_only"
    assert [each for each in line["error"] if each.startswith("test_housekeeping.py:")]


async def test_every_chore_runs_on_a_fresh_house(kept: Kept) -> None:
    await kept.app.database.write(accounts.meet, "test:ana", "en", 0.0, grant=5)
    for chore in housekeeping.CHORES:
        await chore.work(kept.app)
    assert await kept.app.database.read(ledger.audit) == ()


@pytest.mark.parametrize(("days", "look"), [(-1.0, 0.02), (30.0, 0.02), (-1.0, 3_600.0)])
async def test_a_clock_that_jumps_stops_no_chore(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, days: float, look: float
) -> None:
    """Back or far ahead. The control: who does not look stands still for as long as it was set back."""
    shift, done = [0.0], []

    class Dated(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time() + shift[0], tz)

    async def work(app: App) -> None:
        done.append(time.monotonic())

    monkeypatch.setattr(scheduling, "datetime", Dated)
    monkeypatch.setattr(housekeeping, "LOOK", look)
    app = replace(kept.app, clock=lambda: time.time() + shift[0])
    task = asyncio.create_task(Housekeeping(app, (Chore("work", work, 0.05),)).run())
    async with asyncio.timeout(60):
        while len(done) < 3:
            await asyncio.sleep(0.01)
    shift[0] = days * DAY
    await asyncio.sleep(0.2)  # what was due before the jump is done
    before = len(done)
    with pytest.raises(TimeoutError) if look > 1 else nullcontext():
        async with asyncio.timeout(0.5 if look > 1 else 60):
            while len(done) < before + 3:
                await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
