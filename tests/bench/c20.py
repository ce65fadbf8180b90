"""C20 and C21: jobs a second through the database, durable to power loss, and the cost of a claim.

``python -m tests.bench.c20`` prints one JSON line. C20: submit → claim → settle of jobs with four pictures
(previews of 1.5 kB) by 64 callers at once, submit and settle under FULL with group commit, against the same
functions statement by statement under autocommit with SQLite's default journal. C21: ``jobs.claim`` with
10 000 queued jobs of 1 000 people, against a sorted list in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import psutil

from storage import accounts, jobs, ledger, opening
from storage.database import Database
from storage.gallery import Kept
from tests.storage import people
from tests.storage.people import NOW

CALLERS = 64
PREVIEW = b"\x17" * 1_500
BUSY = 25.0
"""Per cent of all cores that others may use, before and after."""


def _kept(job: jobs.Job) -> list[Kept]:
    return [Kept(people.digest_of(f"{job.id}/{i}"), PREVIEW, i, i, 128, 128, 30_000) for i in range(4)]


def _people(tx: sqlite3.Connection, count: int) -> list[int]:
    return [accounts.meet(tx, f"bench:{n}", "en", NOW, grant=10**9).id for n in range(count)]


async def grouped(path: Path, count: int) -> float:
    """Jobs a second of our writer."""
    opened = await Database.open(path)
    me = await opened.write(_people, 100)
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            new = people.ask(me[number % len(me)], f"key-{number}")
            await opened.write(jobs.submit, new, NOW, limit=10**6, durable=True)
            job = await opened.write(jobs.claim, "engine", NOW)
            if job is not None:
                await opened.write(jobs.settle, job.id, job.attempt, _kept(job), 1.0, NOW, durable=True)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    seconds = time.perf_counter() - began
    done = await opened.read(
        lambda tx: tx.execute("SELECT count(*) FROM job WHERE status = 'done'").fetchone()[0]
    )
    books = await opened.read(ledger.audit)
    await opened.close()
    if done != count or books:
        raise SystemExit(f"{done} of {count} jobs done, {books}")
    return count / seconds


def autocommitted(path: Path, count: int) -> float:
    """Jobs a second of the same functions, each statement its own transaction in the default journal."""
    connection = sqlite3.connect(path, isolation_level=None)
    opening.migrate(connection)
    connection.execute("BEGIN")
    me = _people(connection, 100)
    connection.execute("COMMIT")
    began = time.perf_counter()
    for number in range(count):
        jobs.submit(connection, people.ask(me[number % len(me)]), NOW, limit=10**6)
        job = people.claim(connection)
        jobs.settle(connection, job.id, job.attempt, _kept(job), 1.0, NOW)
    seconds = time.perf_counter() - began
    connection.close()
    return count / seconds


def claims(queued: int = 10_000, persons: int = 1_000) -> dict[str, float]:
    """Milliseconds of a claim (function and commit) with ``queued`` jobs waiting: median and p99."""
    with tempfile.TemporaryDirectory() as folder:
        tx = opening.connect(Path(folder) / "falopitas.db")
        tx.execute("BEGIN")
        me = _people(tx, persons)
        for number in range(queued):
            new = people.ask(me[number % persons], cost=0.5 + number % 17)
            jobs.submit(tx, new, NOW, limit=10**6)
        tx.execute("COMMIT")
        times = [_one_claim(tx) for _ in range(2_000)]
        tx.close()
    return {
        "median_ms": _share(times, 0.5),
        "p99_ms": _share(times, 0.99),
        "list_p99_ms": _list_claims(queued),
    }


def _one_claim(tx: sqlite3.Connection) -> float:
    began = time.perf_counter()
    tx.execute("BEGIN IMMEDIATE")
    people.claim(tx)
    tx.execute("COMMIT")
    return (time.perf_counter() - began) * 1e3


def _list_claims(queued: int) -> float:
    """The reference: a sorted list that is put into and taken from."""
    waiting = sorted((number * 0.37 % 97, number) for number in range(queued))
    times = []
    for number in range(2_000):
        began = time.perf_counter()
        turn, _ = waiting.pop(0)
        bisect.insort(waiting, (turn + 97.0, queued + number))
        times.append((time.perf_counter() - began) * 1e3)
    return _share(times, 0.99)


def _share(times: list[float], share: float) -> float:
    return round(sorted(times)[int(len(times) * share)], 4)


def measure(folder: Path, count: int) -> dict[str, object]:
    """Both figures, baseline in the same run."""
    rates = [asyncio.run(grouped(folder / f"grouped-{n}.db", count)) for n in range(3)]
    base = autocommitted(folder / "auto.db", max(10, count // 100))
    return {
        "c20": {"jobs_per_second": round(sorted(rates)[1]), "runs": [round(r) for r in rates],
                "baseline": round(base, 1), "ratio": round(sorted(rates)[1] / base, 1)},
        "c21": claims(),
    }  # fmt: skip


def main() -> int:
    """Print the figures; exit 2 without them if the machine was busy (unless told otherwise)."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.c20")
    parser.add_argument("--jobs", type=int, default=4_000)
    parser.add_argument("--anyway", action="store_true", help="report although others use the machine")
    given = parser.parse_args()
    before = psutil.cpu_percent(1.0)
    with tempfile.TemporaryDirectory(prefix="falopitas-c20-") as folder:
        figures = measure(Path(folder), given.jobs)
    after = psutil.cpu_percent(1.0)
    busy = max(before, after) > BUSY
    if busy and not given.anyway:
        figures = {"refused": "the machine was busy"}
    print(json.dumps({"bench": "c20", "busy_percent": [before, after], **figures}))
    return 2 if busy and not given.anyway else 0


if __name__ == "__main__":
    sys.exit(main())
