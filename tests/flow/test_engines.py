"""Several inference processes: one order for all of them, and one that dies holds nobody up."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bot.catalog import Catalog
from bot.config import load
from bot.dispatch import Dispatch
from bot.home import Home
from bot.life import real_engines
from inference.client import Client
from inference.request import ModelSpec, Request
from storage import accounts, jobs, ledger
from storage.database import Database
from storage.gallery import Files
from storage.jobs import Job, NewJob, Status

MODEL = ModelSpec(name="builtin", width=16, height=16)


@dataclass
class Pair:
    """Two engine processes behind one dispatcher."""

    database: Database
    dispatch: Dispatch
    clients: list[Client]
    people: list[int]

    async def submit(self, person: int, prompt: str = "fox") -> Job:
        request = Request(
            prompt=prompt, width=16, height=16, count=1, guidance=7.0, seed=time.monotonic_ns() % 2**32
        )
        key = f"{person}-{time.monotonic_ns()}"
        new = NewJob(self.people[person], key, request, 1_000, 1.0, "test:here", "en")
        return await self.dispatch.submit(new)

    async def rows(self, made: list[Job]) -> list[Job]:
        found = [await self.database.read(jobs.get, job.id) for job in made]
        return [row for row in found if row]

    async def over(self, made: list[Job]) -> list[Job]:
        async with asyncio.timeout(60):
            while not all(row.over for row in await self.rows(made)):
                await asyncio.sleep(0.02)
        return await self.rows(made)

    async def drew(self, made: list[Job]) -> set[str]:
        """The engines that drew them."""
        return {await _engine(self.database, job.id) for job in made}


@asynccontextmanager
async def pair(folder: Path, seconds: float) -> AsyncIterator[Pair]:
    words = ("--stub", "--stub-seconds", str(seconds))
    clients = [Client(name, folder, [MODEL], arguments=words, pause=0.05) for name in ("engine", "engine1")]
    database = await Database.open(folder / "data.sqlite3")
    files = Files(folder / "pictures")
    dispatch = Dispatch(database, files, Catalog([MODEL], "builtin"), clients, clock=time.time, home=folder)
    people = [
        (await database.write(accounts.meet, f"test:p{number}", "en", 0.0, grant=1_000_000)).id
        for number in range(3)
    ]
    task = asyncio.create_task(dispatch.run())
    try:
        yield Pair(database, dispatch, clients, people)
        assert await database.read(ledger.audit) == ()
    finally:
        await dispatch.stop(leave=True)
        task.cancel()
        await asyncio.wait({task})
        await database.close()


async def test_one_engine_dies_and_the_other_goes_on(tmp_path: Path) -> None:
    async with pair(tmp_path, 0.1) as both:
        warming: list[Job] = []
        while {each.name for each in both.clients} - await both.drew(warming):  # however late one starts
            # Several at once: one alone is always the first engine's.
            warming += [await both.submit(number % 3) for number in range(6)]
            await both.over(warming)
        made = [*warming, *[await both.submit(number % 3) for number in range(16)]]
        while sum(row.over for row in await both.rows(made)) < len(warming) + 3:
            await asyncio.sleep(0.02)
        dead = both.clients[0].pid
        os.kill(dead, signal.SIGKILL)
        rows = await both.over(made)
        assert {row.status for row in rows} == {Status.DONE}
        async with asyncio.timeout(120):
            while both.clients[0].pid in {0, dead}:
                await asyncio.sleep(0.02)


async def test_a_lost_device_sends_its_jobs_back_to_their_old_turns(tmp_path: Path) -> None:
    """All are drawn at the place they had, but the one that loses every device: that is given up, and paid
    back."""
    async with pair(tmp_path, 0.05) as both:
        before = await both.submit(0)
        cursed = await both.submit(1, "[[lose]]")
        made = [before, cursed, *[await both.submit(number % 3) for number in range(8)]]
        rows = await both.over(made)
        assert [row.turn for row in rows] == [job.turn for job in made]
        assert [row.status for row in rows if row.id != cursed.id] == [Status.DONE] * 9
        given_up = rows[1]
        assert (given_up.status, given_up.code, given_up.deaths) == (
            Status.FAILED,
            "engine_died",
            jobs.DEATHS,
        )
        balance = await both.database.read(ledger.balance, both.people[1])
        drawn = sum(row.account == both.people[1] for row in rows if row.status is Status.DONE)
        assert balance == 1_000_000 - 1_000 * drawn


async def _engine(database: Database, job: int) -> str:
    def read(tx: object) -> str:
        row: tuple[str] = tx.execute("SELECT engine FROM job WHERE id = ?", (job,)).fetchone()  # type: ignore[attr-defined]
        return row[0]

    return await database.read(read)


async def test_two_engines_have_one_fair_order(tmp_path: Path) -> None:
    """Somebody who comes behind a flood is drawn before most of it, whichever engine is free."""
    async with pair(tmp_path, 0.2) as both:
        flood = await asyncio.gather(*(both.submit(0) for _ in range(20)))
        waiting = [row for row in await both.rows(flood) if not row.over]
        light = await both.submit(1)
        rows = await both.over([*waiting, light])
        assert all(row.status is Status.DONE for row in rows)
        last = rows[-1].finished or 0.0
        assert sum((row.finished or 0.0) < last for row in rows[:-1]) < 0.75 * len(waiting)


def test_each_engine_gets_its_own_part_of_the_machine(tmp_path: Path) -> None:
    config = replace(load(None, {}), data_dir=tmp_path, engines=2)
    one, two = real_engines(config, Home(tmp_path))
    assert isinstance(one, Client)
    assert isinstance(two, Client)
    assert (one.name, two.name) == ("engine", "engine1")
    assert one._environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert two._environment["CUDA_VISIBLE_DEVICES"] == "1"
    (alone,) = real_engines(replace(config, engines=1), Home(tmp_path))
    assert isinstance(alone, Client)
    assert not alone._environment
