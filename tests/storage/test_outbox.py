"""Deliveries that are owed."""

from __future__ import annotations

import sqlite3

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
