"""Who may not, for how long and why. Only people make these; all but a freeze end by themselves.

One sanction is one row for each account that its person has: ``origin`` names it, and it ends in all of them
at once. Whoever leaves an account or is forgotten finds it again by a salted mark (``exiled``), without its
reason.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["freeze", "block", "warn"]


@dataclass(frozen=True, slots=True)
class Sanction:
    """A freeze stops spending, a block stops asking, a warning only counts. ``until`` in Unix s.

    ``id`` is the same in every account that it counts against.
    """

    id: int
    community: str
    account: int
    kind: Kind
    reason: str
    at: float
    until: float | None


YEAR = 365 * 86_400.0
"""Seconds for which the mark of somebody who went keeps what has no end."""
_SELECT = "SELECT origin, community, account, kind, reason, at, until FROM sanction"


def make(
    tx: sqlite3.Connection, community: str, account: int, kind: Kind, reason: str, now: float,
    until: float | None,
) -> int:  # fmt: skip
    """Make one; return its id."""
    (number,) = tx.execute(
        "INSERT INTO sanction (community, account, kind, reason, at, until) VALUES (?, ?, ?, ?, ?, ?) "
        "RETURNING id",
        (community, account, kind, reason, now, until),
    ).fetchone()
    tx.execute("UPDATE sanction SET origin = id WHERE id = ?", (number,))
    return int(number)


_FOLLOW_SQL = """
    INSERT OR IGNORE INTO sanction (community, account, kind, reason, at, until, origin)
    SELECT community, ?2, kind, reason, at, until, origin FROM sanction
    WHERE account = ?1 AND ended = 0 AND (until IS NULL OR until > ?3)
"""


def follow(tx: sqlite3.Connection, account: int, to: int, now: float) -> None:
    """A chat goes from one account to another: what is held against its person goes along, and stays."""
    tx.execute(_FOLLOW_SQL, (account, to, now))


MOVES = (
    "UPDATE OR IGNORE sanction SET account = :to WHERE account = :old",
    "DELETE FROM sanction WHERE account = :old",
)
"""What goes along when an account becomes another (``accounts.redeem``)."""
_EXILE_SQL = """
    INSERT OR REPLACE INTO exiled (mark, origin, community, kind, until, kept)
    SELECT ?1, origin, community, kind, until, coalesce(until, ?3 + ?4) FROM sanction
    WHERE account = ?2 AND ended = 0 AND kind <> 'warn' AND (until IS NULL OR until > ?3)
"""


def exile(tx: sqlite3.Connection, mark: str, account: int, now: float) -> None:
    """Somebody goes: what forbids them something waits for them under ``mark`` until it is over, a year if
    it has no end.
    """
    tx.execute(_EXILE_SQL, (mark, account, now, YEAR))


_COME_BACK_SQL = """
    INSERT OR IGNORE INTO sanction (community, account, kind, reason, at, until, origin)
    SELECT community, ?2, kind, '', ?3, until, origin FROM exiled WHERE mark = ?1 AND kept > ?3
"""


def come_back(tx: sqlite3.Connection, mark: str, account: int, now: float) -> None:
    """Whoever went as ``mark`` is this account now, and so is what forbids them something still."""
    tx.execute(_COME_BACK_SQL, (mark, account, now))
    tx.execute("DELETE FROM exiled WHERE mark = ?", (mark,))


def expire(tx: sqlite3.Connection, now: float) -> None:
    """Nothing is kept of whoever went once it is over."""
    tx.execute("DELETE FROM exiled WHERE kept <= ?", (now,))


def end(tx: sqlite3.Connection, ids: tuple[int, ...], *, ended: bool = True) -> None:
    """These are over for their person wherever they are, or (``ended`` false) count again; not for who was
    away when they ended.
    """
    tx.executemany("UPDATE sanction SET ended = ? WHERE origin = ?", [(int(ended), each) for each in ids])
    if ended:
        tx.executemany("DELETE FROM exiled WHERE origin = ?", [(each,) for each in ids])


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
    """Everything that counts in this community now, the newest first; each once, however many accounts its
    person has.
    """
    rows = tx.execute(
        f"{_SELECT} WHERE ended = 0 AND community = ? AND (until IS NULL OR until > ?) "
        "GROUP BY origin ORDER BY min(id) DESC",
        (community, now),
    ).fetchall()
    return tuple(Sanction(*row) for row in rows)
