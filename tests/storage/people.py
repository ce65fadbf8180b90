"""Small makers for storage tests: a database in memory, people, jobs, pictures."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator

from inference.request import Request
from storage import accounts, jobs, ledger, opening
from storage.gallery import GRID, Kept
from storage.jobs import Job, NewJob

NOW = 1_800_000_000.0
"""A moment in 2027 (Unix s): not midnight, not a round day."""
GRANT = 100_000
_numbers: Iterator[int] = itertools.count(1)


def memory() -> sqlite3.Connection:
    """A fresh, migrated database in memory, inside an open transaction, as a member of a group sees it."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    opening.prepare(connection)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def meet(tx: sqlite3.Connection, who: str = "discord:1", grant: int = GRANT, owner: bool = False) -> int:
    return accounts.meet(tx, who, "en", NOW, grant=grant, unlimited=owner).id


def ask(
    account: int,
    key: str = "",
    *,
    price: int = 4_000,
    cost: float = 2.0,
    count: int = 4,
    place: str = "test:1",
) -> NewJob:
    request = Request(prompt="a red fox", count=count)
    return NewJob(account, key or f"key-{next(_numbers)}", request, price, cost, place, "en")


def submit(
    tx: sqlite3.Connection, account: int, key: str = "", *, price: int = 4_000, cost: float = 2.0
) -> Job:
    return jobs.submit(tx, ask(account, key, price=price, cost=cost), NOW, limit=1_000)


def claim(tx: sqlite3.Connection) -> Job:
    job = jobs.claim(tx, "engine", NOW)
    assert job is not None
    return job


def drawn(job: Job, count: int = 4, *, grid: bool = False) -> tuple[Kept, ...]:
    """``count`` pictures of a job, each with a digest of its own, and perhaps their grid."""
    indexes = [*range(count), *([GRID] if grid else [])]
    return tuple(
        Kept(digest_of(f"{job.id}/{job.attempt}/{i}"), b"webp", i, max(i, 0), 128, 128, 1_000)
        for i in indexes
    )


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def done(tx: sqlite3.Connection, account: int, count: int = 4, *, grid: bool = False) -> Job:
    """A job of ``account``, submitted, claimed and settled with ``count`` of its four pictures."""
    submit(tx, account)
    job = claim(tx)
    settled = jobs.settle(tx, job.id, job.attempt, drawn(job, count, grid=grid), 1.5, NOW)
    assert settled is not None
    return settled


def audit(tx: sqlite3.Connection) -> tuple[str, ...]:
    """Every imbalance, dangling reference and broken page."""
    dangling = tuple(str(row) for row in tx.execute("PRAGMA foreign_key_check").fetchall())
    return ledger.audit(tx) + dangling


USAGE_SQL = """
    SELECT community, day, account, jobs, failed, pictures, units FROM usage ORDER BY community, day, account
"""
ENTERED_SQL = """
    SELECT community, CAST(created / 86400 AS INTEGER) AS day, job.account, count(*), sum(status = 'failed'),
        sum(arrived), sum(CASE status WHEN 'done' THEN entered.units ELSE 0 END)
    FROM job JOIN (
        SELECT job, -sum(units) / count(DISTINCT coalesce(purse, 0)) AS units FROM ledger
        WHERE job IS NOT NULL AND why IN ('reserve', 'refund') GROUP BY job
    ) AS entered ON entered.job = job.id
    GROUP BY 1, 2, 3 ORDER BY community, day, job.account
"""


def usage(tx: sqlite3.Connection) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What the table of days says, and what jobs and ledger do: what each payer of a job did not get back is
    its price.
    """
    return tx.execute(USAGE_SQL).fetchall(), tx.execute(ENTERED_SQL).fetchall()
