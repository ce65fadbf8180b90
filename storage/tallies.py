"""Anonymous counts by day, which outlive whoever they count: what /transparency says."""

from __future__ import annotations

import sqlite3

from storage.ledger import day_of

KINDS = ("drawn", "refused", "appealed", "approved", "upheld", "reported", "removed", "spoilered", "blocked")


def count(tx: sqlite3.Connection, community: str, what: str, now: float, more: int = 1) -> None:
    """So many more of these, today (UTC)."""
    tx.execute(
        "INSERT INTO tally (community, what, day, n) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (community, what, day) DO UPDATE SET n = n + excluded.n",
        (community, what, day_of(now), more),
    )


def since(tx: sqlite3.Connection, community: str, day: int) -> dict[str, int]:
    """How many of each there were from that day (UTC) on."""
    rows = tx.execute(
        "SELECT what, sum(n) FROM tally WHERE community = ? AND day >= ? GROUP BY what", (community, day)
    ).fetchall()
    return dict.fromkeys(KINDS, 0) | {str(what): int(n) for what, n in rows}
