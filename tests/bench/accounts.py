"""A large house: 10 000 accounts, 1 000 000 ledger entries, 200 000 pictures. How long is anything?

``python -m tests.bench.accounts [--anyway] [--accounts N] [--folder F]``: one JSON line a figure. The
database is made once in ``--folder`` and used again. Times are of whole commands, as a chat calls them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from bot import commands
from bot.app import App
from bot.talk import Call
from inference.request import Request
from storage import allowances, backup, jobs, ledger, opening, review
from storage.allowances import Scene
from storage.database import Database
from storage.refusal import Refusal
from storage.review import Wanted
from tests.bench.frame import OTHERS, Load
from tests.fakes.room import CONFIG, room

TOWN = "test:town"
NOW = 1_800_000_000.0
ROUNDS = 200
"""Times each command is asked."""
COMMANDS = (
    "/quota", "/queue", "/gallery", "/help", "/transparency", "/mod quota show", "/mod quota show test:77",
    "/mod quota history test:77", "/mod quota set test:77 30", "/mod quota give test:78 1", "/mod queue",
    "/mod log", "/mod stats", "/mod limits", "/mod rules list", "/mod community", "/mod undo",
    "/gift test:9 0.01",
)  # fmt: skip


def fill(path: Path, accounts: int) -> None:
    """``accounts`` people with 25 jobs each over 50 days, paid by the person's purse and the pool and
    refunded in part: 100 entries and 20 pictures each. The same rows that the commands write, in bulk.
    """
    tx = opening.connect(path)
    tx.execute("PRAGMA synchronous = OFF")
    tx.execute("BEGIN")
    allowances.decide(tx, allowances.Allowance(TOWN, "everybody", "", "day", 20_000))
    allowances.decide(tx, allowances.Allowance(TOWN, "pool", "", "month", 10**9))
    triggers = tx.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'ledger'"
    )
    kept = triggers.fetchall()
    for name, _ in kept:
        tx.execute(f"DROP TRIGGER {name}")
    request = msgspec.json.encode(Request(prompt="a red fox in the snow", count=4)).decode()
    for sql in FILL:
        tx.execute(sql, {"n": accounts, "now": NOW, "town": TOWN, "request": request})
    for _, sql in kept:
        tx.execute(sql)
    tx.execute("COMMIT")
    tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    tx.close()


# ruff: noqa: S608 - statements of constants of ours
_A = "WITH RECURSIVE a (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM a WHERE id < :n)"
_T = "t (t) AS (VALUES (0) UNION ALL SELECT t + 1 FROM t WHERE t < 24)"
_WAITS = "t.t = 24 AND a.id % 100 = 0"
FILL = (
    f"{_A} INSERT INTO account (id, language, unlimited, weight, finish, balance, created) "
    "SELECT id, 'en', 0, 1, 0, 100000, :now - 5e6 FROM a",
    f"{_A} INSERT INTO identity SELECT 'test:' || id, id FROM a",
    "INSERT INTO purse (id, community, kind, key) VALUES (1, :town, 'pool', '')",
    f"{_A} INSERT INTO purse (id, community, kind, key) SELECT id + 1, :town, 'person', id FROM a",
    f"{_A}, {_T} INSERT INTO job (id, account, key, request, price, cost, share, turn, status, place, "
    "language, created, arrived, community) "
    "SELECT t.t * :n + a.id, a.id, t.t, :request, 4000, 2.0, 2.0, "
    f"t.t, CASE WHEN {_WAITS} THEN 'queued' ELSE 'done' END, 'test:1', 'en', "
    f":now - 86400.0 * (50 - 2 * t.t) + a.id % 1000, CASE WHEN {_WAITS} THEN 0 ELSE 3 END, :town FROM a, t",
    "INSERT INTO ledger (account, why, units, at, key) "
    "SELECT id, 'grant', 100000, created, 'g:' || id FROM account",
    *(
        "INSERT INTO ledger (account, job, why, units, at, key, purse, window) "
        f"SELECT account, id, '{why}', {units}, created, '{why}:' || id || ':{which}', {purse}, "
        f"CAST(created / 86400 AS INTEGER) * 86400 FROM job WHERE created >= :now - {left} * 86400.0 "
        f"AND created < :now - {left - 2} * 86400.0 {where}"
        for left in range(50, 0, -2)
        for why, units, where in (("reserve", -4000, ""), ("refund", 1000, "AND status = 'done'"))
        for which, purse in (("own", "account + 1"), ("pool", "1"))
    ),
    "INSERT INTO meter SELECT purse, window, -sum(units) FROM ledger WHERE window IS NOT NULL GROUP BY 1, 2",
    "INSERT INTO usage SELECT community, CAST(created / 86400 AS INTEGER), account, count(*), 0, "
    "sum(arrived), sum(1000 * arrived) FROM job GROUP BY 1, 2, 3",
    "INSERT INTO piece (job, account, number, digest, seed, width, height, size, created, preview) "
    "SELECT id, account, 0, printf('%064x', id), 0, 128, 128, 20000, created, zeroblob(1500) FROM job "
    "WHERE status = 'done' AND id % 5 <> 0",
)
"""A house in a dozen statements; ``ledger.audit`` finds it sound."""


class Bench:
    """One JSON line a figure."""

    def __init__(self, anyway: bool) -> None:
        self.anyway, self.good = anyway, True

    def say(self, name: str, value: float, gate: float, load: Load, **more: object) -> None:
        others = load.others()
        busy = others is None or others > OTHERS
        if busy and not self.anyway:
            print(f"{name}: others used {others} cores; nothing is reported (--anyway)", file=sys.stderr)
            return
        self.good &= value <= gate
        line = {"figure": name, "value": round(value, 4), "gate": gate, "good": value <= gate, **more}
        print(json.dumps(line | ({"void": True, "others_cores": others} if busy else {})), flush=True)


async def measure(path: Path, bench: Bench) -> None:
    """Every figure, one after the other."""
    load, begun = Load(), time.perf_counter()
    opened = await Database.open(path)
    bench.say("start: database open (s)", time.perf_counter() - begun, 2.0, load)
    rows = await opened.read(_sizes)
    load, begun = Load(), time.perf_counter()
    problems = await opened.read(ledger.audit)
    bench.say("nightly audit (s)", time.perf_counter() - begun, 10.0, load, problems=len(problems), **rows)
    plans = await opened.read(_plans)
    load = Load()
    bench.say("plans that scan a table", float(len(plans)), 0.0, load, plans=plans)
    with tempfile.TemporaryDirectory() as folder:
        async with room(Path(folder), config=replace(CONFIG, queue_limit=500)) as made:
            app = replace(made.app, database=opened, clock=lambda: NOW)
            await _commands(app, bench)
            await _searches(app, bench)
            await _while_backed_up(app, Path(folder), bench)
    await opened.close()


def _sizes(tx: sqlite3.Connection) -> dict[str, int]:
    sql = {
        "accounts": "SELECT count(*) FROM account", "entries": "SELECT count(*) FROM ledger",
        "pictures": "SELECT count(*) FROM piece",
    }  # fmt: skip
    return {name: int(tx.execute(query).fetchone()[0]) for name, query in sql.items()}


def _plans(tx: sqlite3.Connection) -> list[str]:
    """What the claim, a place in the queue and a pot scan without an index."""
    asked: dict[str, tuple[object, ...]] = {
        jobs.CLAIM_SQL: ("e", 0.0), jobs.AHEAD_SQL: (0.0, 1),
        allowances._POT_SQL: (0, 1, TOWN, "person", "1"),
    }  # fmt: skip
    return [
        str(detail)
        for sql, values in asked.items()
        for *_, detail in tx.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        if str(detail).startswith("SCAN") and "INDEX" not in str(detail)
    ]


async def _timed(app: App, text: str, number: int) -> float:
    who = f"test:{1 + number * 37 % 250}"
    ask = commands.read(text)
    call = Call(who, "test:r/1", f"{text}{number}{time.time_ns()}", ask, community=TOWN, entitled=True)
    begun = time.perf_counter()
    try:
        async for _ in commands.answer(ask, call, app):
            pass
    except Refusal as refusal:  # gifts to oneself, caps: an answer, too
        if refusal.code not in {"gift_self", "gift_cap", "nothing_to_undo", "over_quota", "over_everybody"}:
            raise
    return 1_000 * (time.perf_counter() - begun)


async def _commands(app: App, bench: Bench) -> None:
    for text in COMMANDS:
        load = Load()
        times = sorted([await _timed(app, text, number) for number in range(ROUNDS)])
        p99 = times[int(len(times) * 0.99) - 1]
        bench.say(f"{text} p99 (ms)", p99, 50.0, load, median=round(statistics.median(times), 2))
    load = Load()
    times = await _submits(app)
    bench.say(
        "submit p99 (ms)", times[int(len(times) * 0.99) - 1], 50.0, load, median=statistics.median(times)
    )


async def _searches(app: App, bench: Bench) -> None:
    """The ledger, as the moderators' page searches it: what is rare, what is long ago, what is not there."""
    old = NOW - 45 * 86_400.0
    looked = {
        "gifts": Wanted(why="gift"), "refills": Wanted(why="refill"), "before": Wanted(until=old),
        "between": Wanted(since=old, until=old + 86_400.0), "never": Wanted(since=NOW + 1e8),
        "of one": Wanted(account=77, since=old), "all": Wanted(),
    }  # fmt: skip
    for name, wanted in looked.items():
        for community in (TOWN, None):
            load, times = Load(), []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                await app.database.read(review.entries, community, wanted, 100)
                times.append(1_000 * (time.perf_counter() - begun))
            where = "here" if community else "everywhere"
            bench.say(f"ledger search: {name} {where} p99 (ms)", _p99(times), 50.0, load)


async def _submits(app: App) -> list[float]:
    times = []
    for number in range(ROUNDS):
        account = 1 + number * 41 % 250
        new = jobs.NewJob(
            account, f"bench{time.time_ns()}", Request(prompt="p", count=1), 10, 1.0, "test:1", "en",
            scene=Scene(TOWN),
        )  # fmt: skip
        begun = time.perf_counter()
        await app.database.write(_submit, new, durable=True)
        times.append(1_000 * (time.perf_counter() - begun))
    return sorted(times)


def _submit(tx: sqlite3.Connection, new: jobs.NewJob) -> int:
    return jobs.submit(tx, new, NOW, limit=10_000).id


async def _while_backed_up(app: App, folder: Path, bench: Bench) -> None:
    """The same submits, one after the other as fast as they go, before, beside and after a backup as the
    house makes it.
    """
    load, begun = Load(), time.perf_counter()
    alone = await _many(app)
    copying = asyncio.create_task(backup.copied(app.database.path, folder / "copy.db"))
    beside: list[float] = []
    while not copying.done():
        beside += await _submits(app)
    size = await copying
    took = time.perf_counter() - begun
    alone += await _many(app)
    bench.say(
        "p99 beside a backup / alone", _p99(beside) / _p99(alone), 1.1, load, alone_ms=round(_p99(alone), 2),
        beside_ms=round(_p99(beside), 2), median_alone_ms=round(statistics.median(alone), 2),
        median_beside_ms=round(statistics.median(beside), 2), longest_ms=round(max(beside), 1),
        submits=len(beside), seconds=round(took, 1), megabytes=round(size / 1e6),
    )  # fmt: skip


ALONE = 20
"""Rounds before and after: a checkpoint comes every 200 submits or so, and p99 is where it shows."""


async def _many(app: App) -> list[float]:
    return [each for _ in range(ALONE) for each in await _submits(app)]


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99) - 1]


def main() -> int:
    """Make the house if it is not there, then measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--anyway", action="store_true", help="report although others use the machine")
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "falopitas-bench")
    given = parser.parse_args()
    path = given.folder / f"house-{given.accounts}.db"
    given.folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fill(path, given.accounts)
    bench = Bench(given.anyway)
    asyncio.run(measure(path, bench))
    return 0 if bench.good else 1


if __name__ == "__main__":
    sys.exit(main())
