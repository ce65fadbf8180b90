"""R10: callers cancelled at every await leave no open transaction, no half work and no task behind."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

import aiosqlite

from storage import accounts, inbox, jobs
from storage.database import Database
from tests.proof.frame import Played, Proof, memory
from tests.storage import people

BATCH = 250
"""Cancellations of one seed, on one database."""


def work(tx: sqlite3.Connection, account: int, event: str) -> int:
    """What is cancelled: two tables in one transaction, either both or none."""
    inbox.accept(tx, "test", event, "test:1", b"", people.NOW)
    return jobs.submit(tx, people.ask(account, event, price=1), people.NOW, limit=10**6).id


async def _cancelled(make: Callable[[str], Coroutine[object, object, object]], rng: random.Random) -> int:
    """Start ``BATCH`` calls, cancel most of them 0 to 12 turns of the loop or 2 ms later; how many began."""
    began = 0

    async def caller(event: str) -> None:
        nonlocal began
        began += 1
        await make(event)

    tasks = []
    for number in range(BATCH):
        tasks.append(asyncio.create_task(caller(f"e{number}")))
        for _ in range(rng.choice((0, 0, 1, 2, 3, 12))):
            await asyncio.sleep(0)
        if rng.random() < 0.5:
            await asyncio.sleep(rng.random() * 0.002)
        waiting = [task for task in tasks[-40:] if not task.done()]
        if waiting and rng.random() < 0.9:
            waiting[rng.choice((0, 0, rng.randrange(len(waiting))))].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return began


async def ours(path: Path, rng: random.Random) -> Played:
    """Our writer: every function that was asked for runs to its end, whoever still waits for it."""
    database = await Database.open(path)
    me = (await database.write(accounts.meet, "test:1", "en", people.NOW, grant=10**6)).id
    began = await _cancelled(lambda event: database.write(work, me, event, durable=rng.random() < 0.3), rng)
    await database.write(_counts)  # what cancelled callers had asked for comes before it
    wrong = []
    if await database._writer.run(lambda connection: connection.in_transaction):
        wrong.append("a transaction is open")
    done, events = await database.read(_counts)
    if not done == events == began:
        wrong.append(f"{began} began, {done} jobs, {events} events")
    wrong += await database.read(people.audit)
    await database.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        wrong.append(f"{len(left)} tasks left")
    return Played(BATCH, tuple(wrong))


def _counts(tx: sqlite3.Connection) -> tuple[int, int]:
    (done,) = tx.execute("SELECT count(*) FROM job").fetchone()
    (events,) = tx.execute("SELECT count(*) FROM inbox").fetchone()
    return int(done), int(events)


async def usual_idiom(path: Path, rng: random.Random) -> Played:
    """The control: aiosqlite's statements one by one, under a lock, rolled back on errors."""
    await (await Database.open(path)).close()
    open_ones = 0
    lock = asyncio.Lock()
    async with aiosqlite.connect(path, isolation_level=None) as connection:

        async def transaction(event: str) -> None:
            nonlocal open_ones
            async with lock:
                if connection.in_transaction:
                    open_ones += 1
                    await connection.execute("ROLLBACK")
                await connection.execute("BEGIN IMMEDIATE")
                try:
                    for table in ("a", "b"):
                        await connection.execute(
                            "INSERT INTO inbox (platform, event, place, payload, at) "
                            "VALUES (?, ?, '', x'', 0.0)",
                            (table, event),
                        )
                    await connection.execute("COMMIT")
                except sqlite3.Error:
                    await connection.execute("ROLLBACK")
                    raise

        await _cancelled(transaction, rng)
    return Played(BATCH, tuple("an open transaction" for _ in range(open_ones)))


def play(seed: int, control: bool) -> Played:
    """``BATCH`` cancellations on a fresh database."""
    with tempfile.TemporaryDirectory(prefix="falopitas-r10-", dir=memory()) as folder:
        path = Path(folder) / "falopitas.db"
        rng = random.Random(seed)
        return asyncio.run(usual_idiom(path, rng) if control else ours(path, rng))


CANCEL = Proof(
    "R10", "0 open transactions, 0 leaked tasks, nothing half done", 20_000, "cancellations", play,
    control_rounds=2_000, control_rate=0.01,
)  # fmt: skip
