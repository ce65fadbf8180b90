"""Who may not, for how long and why. Only people make these; all but a freeze end by themselves."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["freeze", "block", "warn"]


@dataclass(frozen=True, slots=True)
class Sanction:
    """A freeze stops spending, a block stops asking, a warning only counts. ``until`` in Unix s."""

    id: int
    community: str
    account: int
    kind: Kind
    reason: str
    at: float
    until: float | None


_SELECT = "SELECT id, community, account, kind, reason, at, until FROM sanction"


def make(
    tx: sqlite3.Connection, community: str, account: int, kind: Kind, reason: str, now: float,
    until: float | None,
) -> int:  # fmt: skip
    """Make one; return its id."""
    row = tx.execute(
        "INSERT INTO sanction (community, account, kind, reason, at, until) VALUES (?, ?, ?, ?, ?, ?) "
        "RETURNING id",
        (community, account, kind, reason, now, until),
    ).fetchone()
    return int(row[0])


def follow(tx: sqlite3.Connection, account: int, to: int) -> None:
    """A chat goes from one account to another: what is held against its person goes along, and stays."""
    tx.execute(
        "INSERT INTO sanction (community, account, kind, reason, at, until) "
        "SELECT community, ?2, kind, reason, at, until FROM sanction WHERE account = ?1 AND ended = 0",
        (account, to),
    )


def exile(tx: sqlite3.Connection, mark: str, account: int) -> None:
    """Somebody goes: what forbids them something waits for them under ``mark``, without its reason."""
    tx.execute(
        "INSERT OR REPLACE INTO exiled (mark, community, kind, until) "
        "SELECT ?1, community, kind, nullif(max(coalesce(until, 1e300)), 1e300) FROM sanction "
        "WHERE account = ?2 AND ended = 0 AND kind <> 'warn' GROUP BY community, kind",
        (mark, account),
    )


def come_back(tx: sqlite3.Connection, mark: str, account: int, now: float) -> None:
    """Whoever went as ``mark`` is this account now, and so is what forbids them something still."""
    tx.execute(
        "INSERT INTO sanction (community, account, kind, reason, at, until) "
        "SELECT community, ?2, kind, '', ?3, until FROM exiled WHERE mark = ?1 "
        "AND (until IS NULL OR until > ?3)",
        (mark, account, now),
    )
    tx.execute("DELETE FROM exiled WHERE mark = ?", (mark,))


def end(tx: sqlite3.Connection, ids: tuple[int, ...], *, ended: bool = True) -> None:
    """These are over, or (``ended`` false) count again."""
    tx.executemany("UPDATE sanction SET ended = ? WHERE id = ?", [(int(ended), each) for each in ids])


def of_account(
    tx: sqlite3.Connection, community: str, account: int, now: float, kind: Kind | None = None
) -> tuple[Sanction, ...]:
    """What counts against a person there now: this community's, and the house's."""
    rows = tx.execute(
        f"{_SELECT} WHERE account = ?1 AND ended = 0 AND community IN (?2, '') "
        "AND (until IS NULL OR until > ?3) AND (?4 IS NULL OR kind = ?4) ORDER BY id",
        (account, community, now, kind),
    ).fetchall()
    return tuple(Sanction(*row) for row in rows)


def all_of(tx: sqlite3.Connection, community: str, now: float) -> tuple[Sanction, ...]:
    """Everything that counts in this community now, the newest first."""
    rows = tx.execute(
        f"{_SELECT} WHERE ended = 0 AND community = ? AND (until IS NULL OR until > ?) ORDER BY id DESC",
        (community, now),
    ).fetchall()
    return tuple(Sanction(*row) for row in rows)
