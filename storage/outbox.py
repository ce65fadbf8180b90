"""Finished jobs that somebody has yet to be shown. A row is made by settle or fail, in their transaction.

What was shown is shown anew when a moderator covers, holds back or deletes it, or when something older may
have been shown over it: its message is then only changed (``redraw``), never sent once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from storage.disk import is_damage


@dataclass(frozen=True, slots=True)
class Delivery:
    """One finished job to show at ``place`` (where the job is now), not before ``due`` (Unix s).

    ``redraw``: it was shown already, and its message is to be changed. Without a place: that is damaged.
    """

    id: int
    job: int
    place: str
    tries: int
    due: float
    redraw: bool = False


DUE_SQL = """
    SELECT outbox.id, outbox.job, job.place, outbox.tries, outbox.due, outbox.outcome = 'redraw'
    FROM outbox JOIN job ON job.id = outbox.job
    WHERE outbox.over IS NULL AND outbox.due <= ? ORDER BY outbox.due, outbox.id LIMIT ?
"""
_NUMBERS_SQL = """
    SELECT id, job, tries, due, outcome = 'redraw' FROM outbox
    WHERE over IS NULL AND due <= ? ORDER BY due, id LIMIT ?
"""


def add(tx: sqlite3.Connection, job_id: int, now: float) -> None:
    """Owe this job's delivery, due at once; a job is owed once."""
    tx.execute("INSERT INTO outbox (job, due) VALUES (?, ?) ON CONFLICT (job) DO NOTHING", (job_id, now))


def again(tx: sqlite3.Connection, job_id: int, now: float) -> None:
    """Owe it once more, as news: what there is to show has changed."""
    tx.execute("UPDATE outbox SET over = NULL, outcome = '', tries = 0, due = ? WHERE job = ?", (now, job_id))


def redraw(tx: sqlite3.Connection, job_id: int, due: float = 0.0) -> None:
    """Its message is to be changed at ``due``, if it was ever shown; one that waits shows what is then."""
    tx.execute(
        "UPDATE outbox SET over = NULL, outcome = 'redraw', tries = 0, due = ? "
        "WHERE job = ? AND outcome IN ('delivered', 'left', 'redraw')",
        (due, job_id),
    )


def looks(tx: sqlite3.Connection, job_id: int) -> tuple[str, int] | None:
    """What decides how a job's message looks: how its pictures are shown, and how many there are."""
    sql = "SELECT shown, (SELECT count(*) FROM piece WHERE piece.job = job.id) FROM job WHERE id = ?"
    row: tuple[str, int] | None = tx.execute(sql, (job_id,)).fetchone()
    return row


def due(tx: sqlite3.Connection, now: float, limit: int) -> tuple[Delivery, ...]:
    """At most ``limit`` deliveries whose time has come, the most overdue first.

    One whose job is damaged hides no other: it comes without a place.
    """
    try:
        rows = tx.execute(DUE_SQL, (now, limit)).fetchall()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        numbers = tx.execute(_NUMBERS_SQL, (now, limit)).fetchall()
        rows = [(number, job, _place(tx, job), *rest) for number, job, *rest in numbers]
    return tuple(Delivery(row[0], row[1], row[2] or "", row[3], row[4], bool(row[5])) for row in rows)


def _place(tx: sqlite3.Connection, job_id: int) -> str:
    """Where a job is; nowhere if that cannot be read."""
    try:
        row = tx.execute("SELECT place FROM job WHERE id = ?", (job_id,)).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return ""
    return str(row[0] or "") if row else ""


def never_shown(tx: sqlite3.Connection, job_id: int) -> bool:
    """Is it still owed for the first time?"""
    sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE job = ? AND over IS NULL AND outcome = '')"
    (found,) = tx.execute(sql, (job_id,)).fetchone()
    return bool(found)


def is_due(tx: sqlite3.Connection, delivery_id: int, now: float) -> bool:
    """Is this one still to be shown, and is it time? Whoever looked earlier may have seen it shown since."""
    sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE id = ? AND over IS NULL AND due <= ?)"
    (found,) = tx.execute(sql, (delivery_id, now)).fetchone()
    return bool(found)


def hurry(tx: sqlite3.Connection, now: float, believed: float = 0.0) -> None:
    """What is owed more than ``believed`` seconds from now is due at once: a wrong clock put it off."""
    tx.execute("UPDATE outbox SET due = ?1 WHERE over IS NULL AND due > ?1 + ?2", (now, believed))


def newest(tx: sqlite3.Connection) -> int:
    """The newest job there is, 0 if there is none."""
    (found,) = tx.execute("SELECT coalesce(max(id), 0) FROM job").fetchone()
    return int(found)


def next_due(tx: sqlite3.Connection) -> float | None:
    """When the next delivery is due (Unix s), or None if nothing is owed."""
    (when,) = tx.execute("SELECT min(due) FROM outbox WHERE over IS NULL").fetchone()
    return None if when is None else float(when)


def delivered(
    tx: sqlite3.Connection, delivery_id: int, place: str, now: float, seen: tuple[str, int] | None = None,
    *, echo: float = 0.0,
) -> bool:  # fmt: skip
    """It was shown at ``place``, and the job is there from now on; False if it was over already.

    If it no longer looks as when it was ``seen``, a moderator was quicker: it is to be redrawn. Also when
    something older may be shown over it for ``echo`` seconds more: after them.
    """
    row = tx.execute(
        "UPDATE outbox SET over = ?, outcome = 'delivered' WHERE id = ? AND over IS NULL RETURNING job",
        (now, delivery_id),
    ).fetchone()
    if row is not None:
        tx.execute("UPDATE job SET place = ? WHERE id = ?", (place, row[0]))
        if seen is not None and looks(tx, row[0]) != seen:
            redraw(tx, row[0])
        elif echo:
            redraw(tx, row[0], now + echo)
    return row is not None


def later(tx: sqlite3.Connection, delivery_id: int, due: float, *, failed: bool = True) -> None:
    """Try again at ``due`` (Unix s); only what ``failed`` counts as a try."""
    tx.execute(
        "UPDATE outbox SET tries = tries + ?, due = ? WHERE id = ? AND over IS NULL",
        (int(failed), due, delivery_id),
    )


MISSED_SQL = """
    SELECT outbox.job FROM outbox JOIN job ON job.id = outbox.job
    WHERE outbox.outcome IN ('gone', 'unsure') AND job.account = ? AND job.status = 'done'
    ORDER BY outbox.job DESC LIMIT 100
"""


def missed(tx: sqlite3.Connection, account_id: int) -> tuple[int, ...]:
    """The newest jobs of an account whose pictures could not be shown, and of which nobody told it since."""
    return tuple(job for (job,) in tx.execute(MISSED_SQL, (account_id,)).fetchall())


def told(tx: sqlite3.Connection, jobs: Iterable[int]) -> None:
    """Their person knows of these now."""
    tx.executemany("UPDATE outbox SET outcome = 'told' WHERE job = ?", [(job,) for job in jobs])


def drop(tx: sqlite3.Connection, delivery_id: int, why: str, now: float = 0.0) -> None:
    """Give up: ``gone`` or ``unsure``, of which its person is told when they are back (``missed``); ``left``:
    the message that was to be redrawn is gone, or as it was. The pictures stay in the gallery."""
    tx.execute(
        "UPDATE outbox SET over = ?, outcome = ? WHERE id = ? AND over IS NULL", (now, why, delivery_id)
    )
