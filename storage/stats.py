"""Who used how much: sums over jobs, for moderators."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one community since some moment; ``units`` is what arrived pictures cost."""

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


_CHARGED = "price * arrived / max(1, json_extract(request, '$.count'))"
TOTALS_SQL = f"""
    SELECT count(*), coalesce(sum(arrived), 0), count(DISTINCT account), coalesce(sum({_CHARGED}), 0),
        coalesce(sum(status = 'failed'), 0)
    FROM job WHERE community = ? AND created >= ?
"""  # noqa: S608 - constants only
HEAVIEST_SQL = f"""
    SELECT account, sum(arrived), sum({_CHARGED}) AS used FROM job
    WHERE community = ? AND created >= ? GROUP BY account HAVING used > 0 ORDER BY used DESC, account LIMIT ?
"""  # noqa: S608 - constants only


def totals(tx: sqlite3.Connection, community: str, since: float) -> Totals:
    """Everything since ``since`` (Unix s)."""
    return Totals(*tx.execute(TOTALS_SQL, (community, since)).fetchone())


def heaviest(tx: sqlite3.Connection, community: str, since: float, limit: int) -> tuple[Used, ...]:
    """Who used most, the heaviest first."""
    rows = tx.execute(HEAVIEST_SQL, (community, since, limit)).fetchall()
    return tuple(Used(*row) for row in rows)
