"""Deliveries that are owed."""

from __future__ import annotations

import sqlite3

import pytest

from storage import jobs, outbox
from tests.storage import people
from tests.storage.people import NOW, meet

Tx = sqlite3.Connection


def test_every_finished_job_is_owed_once(tx: Tx) -> None:
    """Done and failed ones; a second row for a job cannot be made."""
    me = meet(tx)
    first = people.done(tx, me)
    people.submit(tx, me)
    second = people.claim(tx)
    jobs.fail(tx, second.id, 1, "bad_model", NOW + 1)
    outbox.add(tx, first.id, NOW + 5)
    owed = outbox.due(tx, NOW + 1, 9)
    assert [(d.job, d.place, d.tries, d.due) for d in owed] == [
        (first.id, "test:1", 0, NOW), (second.id, "test:1", 0, NOW + 1),
    ]  # fmt: skip
    assert outbox.due(tx, NOW, 9) == owed[:1]
    assert outbox.due(tx, NOW + 1, 1) == owed[:1]


def test_a_place_that_is_damaged_hides_no_other_delivery(tx: Tx) -> None:
    """It comes without one."""
    me = meet(tx)
    spoilt, fine = people.done(tx, me), people.done(tx, me)
    tx.execute("UPDATE job SET place = CAST(x'ff' AS TEXT) WHERE id = ?", (spoilt.id,))
    assert [(d.job, d.place) for d in outbox.due(tx, NOW, 9)] == [(spoilt.id, ""), (fine.id, "test:1")]
    with pytest.raises(sqlite3.OperationalError):  # the control: all in one query
        tx.execute(outbox.DUE_SQL, (NOW, 9)).fetchall()


def test_a_place_of_which_damage_left_nothing_is_none(tx: Tx) -> None:
    """SQLite reads NULL also where there can be none."""
    me = meet(tx)
    spoilt, fine = people.done(tx, me), people.done(tx, me)
    tx.execute("PRAGMA writable_schema = ON")
    tx.execute("UPDATE sqlite_schema SET sql = replace(sql, 'place TEXT NOT NULL', 'place TEXT')")
    tx.execute("PRAGMA writable_schema = RESET")
    tx.execute("UPDATE job SET place = NULL WHERE id = ?", (spoilt.id,))
    assert [(d.job, d.place) for d in outbox.due(tx, NOW, 9)] == [(spoilt.id, ""), (fine.id, "test:1")]


def test_what_is_no_damage_of_one_row_is_an_error_of_the_look(tx: Tx) -> None:
    """A disk that refuses, a bug."""
    tx.execute("DROP INDEX outbox_due")
    tx.execute("ALTER TABLE outbox RENAME TO elsewhere")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        outbox.due(tx, NOW, 9)
    tx.execute("ALTER TABLE elsewhere RENAME TO outbox")


def test_delivered_once_and_the_job_is_where_it_was_shown(tx: Tx) -> None:
    """The second word of it is False."""
    job = people.done(tx, meet(tx))
    (owed,) = outbox.due(tx, NOW, 9)
    assert outbox.delivered(tx, owed.id, "test:message-3", NOW)
    assert not outbox.delivered(tx, owed.id, "test:elsewhere", NOW)
    assert outbox.due(tx, NOW + 10**6, 9) == ()
    shown = jobs.get(tx, job.id)
    assert shown is not None
    assert shown.place == "test:message-3"


def test_later_counts_the_tries(tx: Tx) -> None:
    """Not due before its time; the next one's time is known."""
    people.done(tx, meet(tx))
    (owed,) = outbox.due(tx, NOW, 9)
    outbox.later(tx, owed.id, NOW + 30)
    assert outbox.due(tx, NOW + 29, 9) == ()
    assert outbox.next_due(tx) == NOW + 30
    assert [d.tries for d in outbox.due(tx, NOW + 30, 9)] == [1]
    outbox.later(tx, owed.id, NOW + 40, failed=False)
    assert [d.tries for d in outbox.due(tx, NOW + 40, 9)] == [1]


def test_one_is_due_from_its_time_until_it_is_over(tx: Tx) -> None:
    """Whatever an older look saw."""
    people.done(tx, meet(tx))
    (owed,) = outbox.due(tx, NOW, 9)
    assert outbox.is_due(tx, owed.id, NOW)
    outbox.later(tx, owed.id, NOW + 30)
    assert [outbox.is_due(tx, owed.id, NOW + wait) for wait in (29, 30)] == [False, True]
    outbox.delivered(tx, owed.id, "test:2", NOW)
    assert not outbox.is_due(tx, owed.id, NOW + 30)


def test_dropped_is_over(tx: Tx) -> None:
    """With a word for the log; the pictures stay."""
    people.done(tx, meet(tx))
    (owed,) = outbox.due(tx, NOW, 9)
    outbox.drop(tx, owed.id, "gone")
    assert outbox.next_due(tx) is None
    assert not outbox.delivered(tx, owed.id, "test:1", NOW)
    assert tx.execute("SELECT outcome FROM outbox").fetchone() == ("gone",)
