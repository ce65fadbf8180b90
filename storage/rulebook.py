"""A community's own rules, beside the operator's: words, patterns, and exceptions from both."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from storage.policy import HOUSE

LONGEST = 200
"""Characters of one rule."""
MOST = 500
"""Rules of one community."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``kind`` is word, pattern or allow."""

    id: int
    community: str
    kind: str
    text: str


def of_community(tx: sqlite3.Connection, community: str) -> tuple[Entry, ...]:
    """What counts there: its own rules after the house's."""
    rows = tx.execute(
        "SELECT id, community, kind, text FROM rule WHERE community IN (?, ?) ORDER BY community <> ?, id",
        (community, HOUSE, HOUSE),
    ).fetchall()
    return tuple(Entry(*row) for row in rows)


def put(tx: sqlite3.Connection, community: str, kind: str, text: str, *, there: bool = True) -> bool:
    """Let a rule be there, or not; False if that is how it was."""
    sql = (
        "INSERT INTO rule (community, kind, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"
        if there
        else "DELETE FROM rule WHERE community = ? AND kind = ? AND text = ? RETURNING id"
    )
    return tx.execute(sql, (community, kind, text)).fetchone() is not None
