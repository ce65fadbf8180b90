"""Money: every entry that changed what an account may still spend. Rows are only ever added.

All amounts are integer units, 1 000 to the credit; an entry moves what it is about in the same statement (a
trigger): the account's own balance, or of a purse (``storage/allowances.py``) what was spent in a window, or
what was given on top. So every balance is a sum. ``key`` makes every entry happen once.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

DAY = 86_400
"""Seconds of a day; days are UTC."""
FAR = 31
"""Days: a day refilled before that is further ahead than this was a clock's mistake."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: ``units`` is signed; ``why`` is grant, refill, reserve, settle, refund, give, take, gift, undo
    or forgotten. Without a ``purse`` it moves the account's balance.
    """

    id: int
    account: int
    job: int | None
    why: str
    units: int
    at: float
    note: str
    key: str
    purse: int | None = None
    window: int | None = None


_SELECT = "SELECT id, account, job, why, units, at, note, key, purse, window FROM ledger"


def balance(tx: sqlite3.Connection, account_id: int) -> int:
    """Units this account may still spend; 0 for an account that is not there."""
    row = tx.execute("SELECT balance FROM account WHERE id = ?", (account_id,)).fetchone()
    return int(row[0]) if row else 0


def entries(tx: sqlite3.Connection, account_id: int, limit: int) -> tuple[Entry, ...]:
    """The newest ``limit`` entries of an account, newest first."""
    rows = tx.execute(f"{_SELECT} WHERE account = ? ORDER BY id DESC LIMIT ?", (account_id, limit)).fetchall()
    return tuple(Entry(*row) for row in rows)


def of_job(tx: sqlite3.Connection, job_id: int) -> tuple[Entry, ...]:
    """Every entry of a job, in the order they were made: of each purse that paid (or of the account itself)
    they sum to minus the price of what arrived; without what was made good since (undo).
    """
    rows = tx.execute(f"{_SELECT} WHERE job = ? ORDER BY id", (job_id,)).fetchall()
    return tuple(Entry(*row) for row in rows)


def grant(tx: sqlite3.Connection, account_id: int, units: int, why: str, key: str, now: float) -> bool:
    """Give ``units`` (negative takes); False, and nothing happens, if ``key`` was used before."""
    return enter(tx, account_id, why, units, key, now)


def enter(
    tx: sqlite3.Connection, account_id: int, why: str, units: int, key: str, now: float, *,
    job: int | None = None, note: str = "", purse: int | None = None, window: int | None = None,
) -> bool:  # fmt: skip
    """Add an entry; False, and nothing happens, if ``key`` was used before.

    Raises IntegrityError when it would leave less than nothing: whoever calls has looked before.
    """
    added = tx.execute(
        "INSERT INTO ledger (account, job, why, units, at, note, key, purse, window) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING RETURNING id",
        (account_id, job, why, units, now, note, key, purse, window),
    ).fetchone()
    return added is not None


def day_of(now: float) -> int:
    """Days since 1970-01-01 (UTC)."""
    return int(now // DAY)


def refills_at(now: float) -> float:
    """The next midnight (UTC) after ``now``: when the daily refill comes."""
    return float((day_of(now) + 1) * DAY)


# Everybody who can be reached, is not unlimited, was here before today and has less than `daily`.
REFILL_SQL = """
    INSERT INTO ledger (account, why, units, at, key)
    SELECT id, 'refill', ?1 - balance, ?2, 'refill:' || id || ':' || ?3
    FROM account
    WHERE unlimited = 0 AND balance < ?1 AND created < ?4
        AND EXISTS (SELECT 1 FROM identity WHERE identity.account = account.id)
    ON CONFLICT (key) DO NOTHING
    RETURNING id
"""


def refill(tx: sqlite3.Connection, now: float, *, daily: int) -> int:
    """Top every account up to ``daily`` units, once a UTC day; return how many had less.

    The day must be later than every day refilled before, so a clock that jumps back gives nothing; but one
    that was months ahead for a moment (``FAR``) takes nobody's days away: back from there, each day that was
    not refilled yet is, once. Accounts made today have their
    first grant and wait for tomorrow. Nobody loses what they have above ``daily``.
    """
    day = day_of(now)
    newer = tx.execute(
        "UPDATE meta SET day = ?1 WHERE id = 1 AND (day < ?1 OR day > ?1 + ?2) RETURNING day", (day, FAR)
    ).fetchone()
    if newer is None:
        return 0
    name = datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
    return len(tx.execute(REFILL_SQL, (daily, now, name, float(day * DAY))).fetchall())


# --- audit: each statement finds what may not be

# Each goes through the ledger once, as it lies: in a large one the way by an index is a seek an entry.
UNBALANCED_SQL = """
    WITH entered AS (
        SELECT account, sum(units) AS units FROM ledger NOT INDEXED WHERE purse IS NULL GROUP BY account
    )
    SELECT account.id, account.balance, coalesce(entered.units, 0)
    FROM account LEFT JOIN entered ON entered.account = account.id
    WHERE account.balance <> coalesce(entered.units, 0)
"""
OVERDRAWN_SQL = "SELECT id, balance FROM account WHERE unlimited = 0 AND balance < 0"
UNEVEN_SQL = """
    WITH entered AS (
        SELECT purse, sum(units) AS units FROM ledger NOT INDEXED
        WHERE purse IS NOT NULL AND window IS NULL GROUP BY purse
    )
    SELECT purse.id, purse.extra, coalesce(entered.units, 0)
    FROM purse LEFT JOIN entered ON entered.purse = purse.id WHERE purse.extra <> coalesce(entered.units, 0)
"""
UNMETERED_SQL = """
    WITH entered AS MATERIALIZED (
        SELECT purse, window, -sum(units) AS spent FROM ledger NOT INDEXED
        WHERE window IS NOT NULL GROUP BY purse, window
    )
    SELECT meter.purse, meter.window, meter.spent, coalesce(entered.spent, 0)
    FROM meter LEFT JOIN entered USING (purse, window) WHERE meter.spent <> coalesce(entered.spent, 0)
    UNION ALL
    SELECT entered.purse, entered.window, 0, entered.spent FROM entered LEFT JOIN meter USING (purse, window)
    WHERE meter.purse IS NULL
"""
MISCHARGED_SQL = """
    WITH entered AS (
        SELECT job, sum(units) AS units, sum(units) FILTER (WHERE why = 'reserve') AS reserved
        FROM ledger NOT INDEXED WHERE job IS NOT NULL AND why IN ('reserve', 'refund') GROUP BY job, purse
    )
    SELECT job.id, entered.units, coalesce(entered.reserved, 0) <> -job.price
    FROM entered CROSS JOIN job ON job.id = entered.job
    WHERE coalesce(entered.reserved, 0) <> -job.price OR entered.units <> CASE job.status
        WHEN 'queued' THEN -job.price
        WHEN 'running' THEN -job.price
        WHEN 'done' THEN -(NOT job.free)
            * (job.price * job.arrived / max(1, json_extract(job.request, '$.count')))
        ELSE 0 END
"""
UNRESERVED_SQL = """
    SELECT id FROM job WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.job = job.id AND why = 'reserve')
"""
AUDIT = (UNBALANCED_SQL, OVERDRAWN_SQL, UNEVEN_SQL, UNMETERED_SQL, MISCHARGED_SQL, UNRESERVED_SQL)


def audit(tx: sqlite3.Connection) -> tuple[str, ...]:
    """Everything in the books that does not add up, as lines for a log; empty means sound.

    Balance = sum of entries, of accounts, of purses and of their windows; nobody but the unlimited below 0;
    each job reserved once from each purse that pays for it, at its price; the sum of its entries there =
    minus the price of the pictures that arrived, 0 if it failed or was cancelled.
    """
    found = [
        f"account {account}: balance {has}, entries {total}"
        for account, has, total in tx.execute(UNBALANCED_SQL).fetchall()
    ]
    found += [f"account {account}: overdrawn {has}" for account, has in tx.execute(OVERDRAWN_SQL).fetchall()]
    found += [
        f"purse {purse}: extra {has}, entries {total}"
        for purse, has, total in tx.execute(UNEVEN_SQL).fetchall()
    ]
    found += [
        f"purse {purse}: window {window} spent {has}, entries {total}"
        for purse, window, has, total in tx.execute(UNMETERED_SQL).fetchall()
    ]
    found += [
        f"job {job}: not reserved at its price" if wrong else f"job {job}: entries sum to {total}"
        for job, total, wrong in tx.execute(MISCHARGED_SQL).fetchall()
    ]
    found += [f"job {job}: not reserved" for (job,) in tx.execute(UNRESERVED_SQL).fetchall()]
    return tuple(found)
