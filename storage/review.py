"""What moderators look through: use by day and community, ledger entries, pictures, who was drawn for.

Everywhere ``community`` None stands for all of them together, which only the owner may see.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from storage import jobs
from storage.jobs import Job
from storage.ledger import Entry, day_of
from storage.stats import Totals, Used


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day (days since 1970-01-01)."""

    day: int
    jobs: int
    pictures: int
    people: int
    units: int
    failed: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one community used."""

    community: str
    jobs: int
    pictures: int
    units: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """For whom the machine worked: ``seconds`` of drawing, and the mean wait of their jobs until it began."""

    account: int
    jobs: int
    seconds: float
    waited: float


def _scope(community: str | None, column: str = "community") -> tuple[str, tuple[str, ...]]:
    return ("1", ()) if community is None else (f"{column} = ?", (community,))


# --- use

_SUMS = """coalesce(sum(jobs), 0), coalesce(sum(pictures), 0), count(DISTINCT account),
    coalesce(sum(units), 0), coalesce(sum(failed), 0)"""


def totals(tx: sqlite3.Connection, community: str | None, since: float) -> Totals:
    """Everything from the UTC day of ``since`` (Unix s) on."""
    where, values = _scope(community)
    sql = f"SELECT {_SUMS} FROM usage WHERE {where} AND day >= ?"  # noqa: S608 - constants only
    return Totals(*tx.execute(sql, (*values, day_of(since))).fetchone())


def days(tx: sqlite3.Connection, community: str | None, since: float) -> tuple[Day, ...]:
    """Each day with something on it, the oldest first."""
    where, values = _scope(community)
    sql = f"SELECT day, {_SUMS} FROM usage WHERE {where} AND day >= ? GROUP BY day ORDER BY day"  # noqa: S608
    return tuple(Day(*row) for row in tx.execute(sql, (*values, day_of(since))).fetchall())


def people(tx: sqlite3.Connection, community: str | None, since: float, limit: int) -> tuple[Used, ...]:
    """Who used most, the heaviest first."""
    where, values = _scope(community)
    sql = f"""SELECT account, sum(pictures), sum(units) AS used FROM usage WHERE {where} AND day >= ?
        GROUP BY account HAVING sum(pictures) > 0 ORDER BY used DESC, account LIMIT ?"""  # noqa: S608
    return tuple(Used(*row) for row in tx.execute(sql, (*values, day_of(since), limit)).fetchall())


def shares(tx: sqlite3.Connection, since: float) -> tuple[Share, ...]:
    """Every community that used something, the heaviest first."""
    rows = tx.execute(
        "SELECT community, sum(jobs), sum(pictures), sum(units) AS used FROM usage WHERE day >= ? "
        "GROUP BY community ORDER BY used DESC, community",
        (day_of(since),),
    ).fetchall()
    return tuple(Share(*row) for row in rows)


def detail(
    tx: sqlite3.Connection, community: str | None, since: float, limit: int
) -> tuple[tuple[str, int, int, int, int, int, int], ...]:
    """(community, day, account, jobs, failed, pictures, units) of every person and day, newest day first."""
    where, values = _scope(community)
    sql = f"""SELECT community, day, account, jobs, failed, pictures, units FROM usage
        WHERE {where} AND day >= ? ORDER BY day DESC, community, account LIMIT ?"""  # noqa: S608
    return tuple(tx.execute(sql, (*values, day_of(since), limit)).fetchall())


COMMUNITIES_SQL = """
    WITH RECURSIVE used (name) AS (
        SELECT min(community) FROM usage
        UNION ALL SELECT (SELECT min(community) FROM usage WHERE community > name) FROM used
        WHERE name IS NOT NULL
    )
    SELECT name FROM used WHERE name IS NOT NULL
    UNION SELECT community FROM policy UNION SELECT community FROM allowance
    UNION SELECT community FROM rule UNION SELECT community FROM act
    UNION SELECT community FROM matter WHERE state = 'open' ORDER BY 1
"""


def communities(tx: sqlite3.Connection) -> tuple[str, ...]:
    """Every community in which something was drawn or decided; the house ('') if it was there."""
    return tuple(str(name) for (name,) in tx.execute(COMMUNITIES_SQL).fetchall())


def open_matters(tx: sqlite3.Connection) -> dict[str, int]:
    """How many reports and appeals wait, by community."""
    rows = tx.execute("SELECT community, count(*) FROM matter WHERE state = 'open' GROUP BY 1").fetchall()
    return {str(community): int(n) for community, n in rows}


# --- fairness

RECENT = 5_000
"""Of the newest jobs, how many are looked at."""
DRAWN_SQL = """
    SELECT account, count(*), sum(seconds), avg(max(0.0, coalesce(started, created) - created)) FROM job
    WHERE id > (SELECT coalesce(max(id), 0) FROM job) - ? AND finished > ? AND status = 'done' AND {where}
    GROUP BY account ORDER BY sum(seconds) DESC, account LIMIT ?
"""


def drawn(tx: sqlite3.Connection, community: str | None, since: float, limit: int) -> tuple[Drawn, ...]:
    """For whom the machine drew since then, the most first."""
    where, values = _scope(community)
    rows = tx.execute(DRAWN_SQL.format(where=where), (RECENT, since, *values, limit)).fetchall()
    return tuple(Drawn(*row) for row in rows)


# --- the ledger


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: each field that is set must fit. ``before`` is an id; times in Unix s."""

    account: int | None = None
    job: int | None = None
    why: str = ""
    since: float | None = None
    until: float | None = None
    before: int | None = None


_ENTRY = """SELECT ledger.id, ledger.account, ledger.job, ledger.why, ledger.units, ledger.at, ledger.note,
    ledger.key, ledger.purse, ledger.window FROM ledger"""
_INSIDE = """(EXISTS (SELECT 1 FROM job WHERE job.id = ledger.job AND job.community = ?)
    OR EXISTS (SELECT 1 FROM purse WHERE purse.id = ledger.purse AND purse.community = ?))"""
SMALL = 5_000
"""Jobs up to which a community's entries are found by its jobs and purses: in a large ledger so few lie far
apart, and to pass by those of all others takes longest."""
_OF_IT = """ledger.id IN (
    SELECT id FROM ledger WHERE job IN (SELECT id FROM job WHERE community = ?)
    UNION ALL SELECT id FROM ledger WHERE purse IN (SELECT id FROM purse WHERE community = ?))"""


def _is_small(tx: sqlite3.Connection, community: str) -> bool:
    sql = "SELECT count(*) FROM (SELECT 1 FROM job WHERE community = ? LIMIT ?)"
    (found,) = tx.execute(sql, (community, SMALL + 1)).fetchone()
    return bool(found <= SMALL)


_RARE = "ledger.why NOT IN ('reserve', 'refund')"
"""What the index ``ledger_rare`` is of: said in the same words, so that it is used."""
_OF_PEOPLE = frozenset(["grant", "refill"])
"""Entries of accounts alone, of no job and no purse: no community has any."""


def entries(tx: sqlite3.Connection, community: str | None, wanted: Wanted, limit: int) -> tuple[Entry, ...]:
    """The newest that fit, newest first: of a community, those of its jobs and of its purses. Where moments
    are looked for, or everybody's rare entries, they are in the order of their moments.
    """
    if community is not None and wanted.why in _OF_PEOPLE:
        return ()
    narrow = wanted.account is not None or wanted.job is not None
    rare = wanted.why not in ("", "reserve", "refund") and not narrow  # somebody's few, not all of that day
    timed = rare or wanted.since is not None or wanted.until is not None
    tests: dict[str, tuple[object, ...]] = {
        "ledger.account = ?": (wanted.account,), "ledger.job = ?": (wanted.job,),
        "ledger.why = ?": (wanted.why or None,), "ledger.at >= ?": (wanted.since,),
        "ledger.at < ?": (wanted.until,), **_earlier(tx, wanted.before, timed=timed),
    }  # fmt: skip
    asked = {sql: values for sql, values in tests.items() if None not in values} | (
        {_RARE: ()} if rare else {}
    )
    if community is not None:
        inside = _OF_IT if not narrow and _is_small(tx, community) else _INSIDE
        asked[inside] = (community, community)
    order = "ledger.at DESC, ledger.id DESC" if timed else "ledger.id DESC"
    sql = f"{_ENTRY} WHERE {' AND '.join(asked) or '1'} ORDER BY {order} LIMIT ?"
    values = [value for each in asked.values() for value in each]
    return tuple(Entry(*row) for row in tx.execute(sql, (*values, limit)).fetchall())


_AROUND = f"(ledger.job IS NULL AND ledger.purse IS NULL OR {_INSIDE})"


def history(tx: sqlite3.Connection, community: str | None, account: int, limit: int) -> tuple[Entry, ...]:
    """The newest entries of a person, newest first, as far as they are this community's to see (None: all):
    of its jobs and purses, and of neither, which no other community has a part in.
    """
    where, values = ("1", ()) if community is None else (_AROUND, (community, community))
    sql = f"{_ENTRY} WHERE ledger.account = ? AND {where} ORDER BY ledger.id DESC LIMIT ?"
    return tuple(Entry(*row) for row in tx.execute(sql, (account, *values, limit)).fetchall())


def _earlier(tx: sqlite3.Connection, before: int | None, *, timed: bool) -> dict[str, tuple[object, ...]]:
    """What comes after the entry ``before`` in that order."""
    row = tx.execute("SELECT at FROM ledger WHERE id = ?", (before,)).fetchone() if timed else None
    if row is None:  # or forgotten meanwhile
        return {"ledger.id < ?": (before,)}
    return {"(ledger.at, ledger.id) < (?, ?)": (row[0], before)}


# --- pictures

PICTURES_SQL = """
    SELECT id FROM job WHERE community = ? AND created < ? AND status = 'done' AND private = 0 AND {shown}
        AND EXISTS (SELECT 1 FROM piece WHERE piece.job = job.id AND number >= 0)
    ORDER BY created DESC, id DESC LIMIT ?
"""


def pictured(
    tx: sqlite3.Connection, community: str, before: float, limit: int, shown: Sequence[str] = ()
) -> tuple[Job, ...]:
    """Jobs there whose pictures hang, newest first, never private ones; ``shown`` only those so shown."""
    test = f"shown IN ({', '.join('?' * len(shown))})" if shown else "1"
    rows = tx.execute(PICTURES_SQL.format(shown=test), (community, before, *shown, limit)).fetchall()
    found = (jobs.get(tx, number) for (number,) in rows)
    return tuple(job for job in found if job is not None)


def may_look(tx: sqlite3.Connection, community: str | None, digest: str) -> bool:
    """Does this picture hang there, and not for its person alone?"""
    where, values = _scope(community, "job.community")
    row = tx.execute(
        "SELECT 1 FROM piece JOIN job ON job.id = piece.job "  # noqa: S608 - constants only
        f"WHERE piece.digest = ? AND job.private = 0 AND {where} LIMIT 1",
        (digest, *values),
    ).fetchone()
    return row is not None


def known_as(tx: sqlite3.Connection, name: str) -> int | None:
    """The account of ``platform:user``, or of the one person whose user part this is."""
    rows = tx.execute(
        "SELECT DISTINCT account FROM identity "
        "WHERE who = ?1 OR substr(who, instr(who, ':') + 1) = ?1 LIMIT 2",
        (name,),
    ).fetchall()
    return int(rows[0][0]) if len(rows) == 1 else None
