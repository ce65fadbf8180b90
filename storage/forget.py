"""A person's own data: all of it to take along, and none of it left behind.

What stays after ``forget`` is a numbered account without a name and one ledger entry a purse, with the sum
of all that were there: so the books still add up, and pools keep what was spent from them. Nothing in it says
who it was. ``Database.scrub`` then leaves nothing of the deleted rows in the files.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from storage import accounts, gallery, jobs, ledger
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is left to do outside of the database: files that nobody uses any more, and what was stopped."""

    digests: tuple[str, ...]
    jobs: tuple[int, ...]
    whos: tuple[str, ...]


# --- to take along

_TABLES = {
    "account": "SELECT id, language, settings, created, balance FROM account WHERE id = ?",
    "identities": "SELECT who FROM identity WHERE account = ?",
    "jobs": "SELECT id, request, price, status, created, finished, parent, private, seconds, arrived, "
    "community, shown, adult, vouched FROM job WHERE account = ? ORDER BY id",
    "pictures": "SELECT job, number, digest, seed, width, height, size, starred, created, unsafe FROM piece "
    "WHERE account = ? ORDER BY id",
    "usage": "SELECT community, day, jobs, failed, pictures, units FROM usage WHERE account = ? "
    "ORDER BY day, community",
    "ledger": "SELECT id, job, why, units, at, note, purse FROM ledger WHERE account = ? ORDER BY id",
    "purses": "SELECT id, community, extra FROM purse WHERE kind = 'person' AND key = CAST(? AS TEXT)",
    "decisions": "SELECT rule, verdict, at FROM decision WHERE account = ? ORDER BY id",
    "sanctions": "SELECT community, kind, reason, at, until, ended FROM sanction WHERE account = ?",
    "allowances": "SELECT community, period, units FROM allowance "
    "WHERE kind = 'person' AND key = CAST(? AS TEXT)",
    "moderation": "SELECT community, what, facts, at, undone FROM act WHERE subject = ? ORDER BY id",
    "roles": "SELECT community, role FROM membership WHERE account = ?",
    "refusals": "SELECT kind, state, rule, matched, request, at FROM matter WHERE account = ? ORDER BY id",
}
_JSON = frozenset({"request", "settings", "facts"})


def everything(tx: sqlite3.Connection, account: int) -> dict[str, list[dict[str, Any]]]:
    """Every row about a person, by table, as JSON can say it."""
    return {name: _rows(tx, sql, account) for name, sql in _TABLES.items()}


def _rows(tx: sqlite3.Connection, sql: str, account: int) -> list[dict[str, Any]]:
    cursor = tx.execute(sql, (account,))
    names = [each[0] for each in cursor.description]
    rows = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    return [{name: json.loads(v) if name in _JSON and v else v for name, v in row.items()} for row in rows]


def files(tx: sqlite3.Connection, account: int) -> tuple[tuple[int, int, int, str], ...]:
    """Every picture to take along, the oldest first: id, job, number (-1 the grid), digest."""
    rows = tx.execute(
        "SELECT piece.id, job, number, digest FROM piece JOIN job ON job.id = piece.job "
        "WHERE piece.account = ? AND job.shown <> 'withheld' ORDER BY piece.id",
        (account,),
    )
    return tuple(rows.fetchall())


# --- to leave nothing behind


def forget(tx: sqlite3.Connection, account: int, now: float) -> Forgotten:
    """Forget a person: jobs, pictures, names, links, settings, refusals, sanctions and every ledger entry but
    the sums. Raises Refusal forget_owner, forget_running while something of theirs is drawn, forget_again
    (until) for who was forgotten just now: else it were a way to ever new credits.
    """
    if accounts.get(tx, account).unlimited:
        raise Refusal("forget_owner")
    mine = [job for (job,) in tx.execute("SELECT id FROM job WHERE account = ? ORDER BY id", (account,))]
    for job in jobs.unfinished(tx, account):
        if job.status is jobs.Status.RUNNING:
            raise Refusal("forget_running", job=job.id)
        jobs.cancel(tx, job.id, now)
    whos = accounts.who_of(tx, account)
    for who in whos:
        accounts.mark_forgotten(tx, who, now)
    digests = _pictures(tx, mine)
    _sum_up(tx, account, now)
    _delete(tx, account, mine, whos)
    tx.execute(
        "UPDATE account SET language = '', settings = '{}', weight = 1.0, finish = 0.0, created = 0.0 "
        "WHERE id = ?",
        (account,),
    )
    return Forgotten(digests, tuple(mine), whos)


def _pictures(tx: sqlite3.Connection, mine: list[int]) -> tuple[str, ...]:
    found = [digest for job in mine for digest in gallery.delete(tx, job)]
    return tuple(dict.fromkeys(found))


_PAYERS_SQL = """
    SELECT DISTINCT account FROM ledger WHERE account = ?1 OR job IN (SELECT id FROM job WHERE account = ?1)
"""
_SUMS_SQL = """
    SELECT purse, window, sum(units) FROM ledger
    WHERE account = ?1 AND (?1 = ?2 OR job IN (SELECT id FROM job WHERE account = ?2))
    GROUP BY purse, window HAVING sum(units) <> 0
"""
_ENTRIES_SQL = (
    "DELETE FROM ledger WHERE account = ?1 AND (?1 = ?2 OR job IN (SELECT id FROM job WHERE account = ?2))"
)


def _sum_up(tx: sqlite3.Connection, account: int, now: float) -> None:
    """One entry a purse and window in place of all of a person's, and of those of accounts that they were.

    The day alone stays of its moment. A mark in ``forgetting`` allows it, and keeps the balances still.
    """
    day = now // ledger.DAY * ledger.DAY
    for (payer,) in tx.execute(_PAYERS_SQL, (account,)).fetchall():
        tx.execute("INSERT INTO forgetting (account) VALUES (?)", (payer,))
        sums = tx.execute(_SUMS_SQL, (payer, account)).fetchall()
        tx.execute(_ENTRIES_SQL, (payer, account))
        for purse, window, units in sums:
            (number,) = tx.execute("SELECT coalesce(max(id), 0) + 1 FROM ledger").fetchone()
            key = f"forgotten:{number}"
            ledger.enter(tx, payer, "forgotten", units, key, day, purse=purse, window=window)
        tx.execute("DELETE FROM forgetting WHERE account = ?", (payer,))


_ROWS = (
    "DELETE FROM link WHERE account = ?1",
    "DELETE FROM decision WHERE account = ?1",
    "DELETE FROM sanction WHERE account = ?1",
    "DELETE FROM membership WHERE account = ?1",
    "DELETE FROM matter WHERE account = ?1",
    "DELETE FROM allowance WHERE kind = 'person' AND key = CAST(?1 AS TEXT)",
    "DELETE FROM usage WHERE account = ?1",
    "DELETE FROM identity WHERE account = ?1",
    "UPDATE act SET subject = NULL, facts = '{}', back = '' WHERE subject = ?1",
)
_JOB_ROWS = (
    "DELETE FROM outbox WHERE job = ?",
    "DELETE FROM matter WHERE job = ?",
    "UPDATE job SET parent = NULL WHERE parent = ?",
    "DELETE FROM job WHERE id = ?",
)


def _delete(tx: sqlite3.Connection, account: int, mine: list[int], whos: tuple[str, ...]) -> None:
    for sql in _ROWS:
        tx.execute(sql, (account,))
    for job in reversed(mine):  # what was made from a job goes before it
        for sql in _JOB_ROWS:
            tx.execute(sql, (job,))
    for who in whos:
        tx.execute("DELETE FROM title WHERE thing = ?", (who,))
        tx.execute("DELETE FROM link_try WHERE subject LIKE ? || '%'", (f"code:{account}",))
        platform, _, address = who.partition(":")
        tx.execute(
            "DELETE FROM inbox WHERE platform = ?1 AND (instr(payload, CAST(?2 AS BLOB)) > 0 "
            "OR place = ?2 OR place LIKE ?2 || '/%') AND done = 1",
            (platform, f"{platform}:{address}"),
        )
