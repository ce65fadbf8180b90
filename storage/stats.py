"""Who used how much: what each person's jobs of a UTC day came to, kept as they come and end.

A job counts on the day it was asked, for whoever it belongs to now; it is forgotten with its person.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from storage.ledger import day_of


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one community since some day; ``units`` is what arrived pictures cost."""

    jobs: int
    pictures: int
    people: int
    units: int
    failed: int


@dataclass(frozen=True, slots=True)
class Used:
    """What one person used."""

    account: int
    pictures: int
    units: int


_ADD = """
    ON CONFLICT (community, day, account) DO UPDATE SET jobs = jobs + excluded.jobs,
        failed = failed + excluded.failed, pictures = pictures + excluded.pictures,
        units = units + excluded.units
"""
ADD_SQL = f"""
    INSERT INTO usage (community, day, account, jobs, failed, pictures, units)
    VALUES (?, ?, ?, ?, ?, ?, ?) {_ADD}
"""  # noqa: S608 - constants only
MOVES = (
    "INSERT INTO usage (community, day, account, jobs, failed, pictures, units) "  # noqa: S608 - constants only
    f"SELECT community, day, :to, jobs, failed, pictures, units FROM usage WHERE account = :old {_ADD}",
    "DELETE FROM usage WHERE account = :old",
)
"""What somebody used goes with their jobs when they join another account."""
SINCE_SQL = """
    WITH person AS MATERIALIZED (
        SELECT account, sum(jobs) AS jobs, sum(pictures) AS pictures, sum(units) AS units,
            sum(failed) AS failed
        FROM usage WHERE community = ? AND day >= ? GROUP BY account
    )
    SELECT sum(jobs), sum(pictures), count(*), sum(units), sum(failed), NULL, NULL, NULL FROM person
    UNION ALL SELECT * FROM (
        SELECT NULL, NULL, NULL, NULL, NULL, account, pictures, units FROM person WHERE units > 0
        ORDER BY units DESC, account LIMIT ?
    )
"""


def asked(tx: sqlite3.Connection, community: str, account: int, created: float) -> None:
    """One job more."""
    tx.execute(ADD_SQL, (community, day_of(created), account, 1, 0, 0, 0))


def ended(
    tx: sqlite3.Connection, community: str, account: int, created: float,
    *, failed: bool, pictures: int, units: int,
) -> None:  # fmt: skip
    """What came of a job that was ``asked``."""
    tx.execute(ADD_SQL, (community, day_of(created), account, 0, int(failed), pictures, units))


def since(
    tx: sqlite3.Connection, community: str, moment: float, heaviest: int
) -> tuple[Totals, tuple[Used, ...]]:
    """Everything from the UTC day of ``moment`` (Unix s) on, and who used most, the heaviest first."""
    first, *rest = tx.execute(SINCE_SQL, (community, day_of(moment), heaviest)).fetchall()
    return Totals(*(int(each or 0) for each in first[:5])), tuple(Used(*row[5:]) for row in rest)
