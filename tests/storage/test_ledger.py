"""The ledger: only ever added to, each key once, the balance its sum."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import jobs, ledger
from tests.storage import people
from tests.storage.people import GRANT, NOW, meet

Tx = sqlite3.Connection
DAY = 86_400.0


@pytest.mark.parametrize(
    "sql", ["UPDATE ledger SET units = 0", "DELETE FROM ledger", "UPDATE ledger SET note = 'x'"]
)
def test_rows_are_never_changed_nor_deleted(tx: Tx, sql: str) -> None:
    """A trigger forbids it, whoever asks."""
    meet(tx)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        tx.execute(sql)


def test_insert_or_replace_does_not_get_around_it(tx: Tx) -> None:
    """REPLACE fires delete triggers only if they are recursive: the balance must still add up."""
    meet(tx)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        tx.execute(
            "INSERT OR REPLACE INTO ledger"
            " SELECT id, account, job, why, 1, at, note, key, purse, window FROM ledger"
        )


def test_a_key_gives_once(tx: Tx) -> None:
    """The second time is False and gives nothing."""
    me = meet(tx)
    assert ledger.grant(tx, me, 5, "grant", "gift:1", NOW)
    assert not ledger.grant(tx, me, 5, "grant", "gift:1", NOW)
    assert ledger.balance(tx, me) == GRANT + 5


def test_nobody_goes_below_zero(tx: Tx) -> None:
    """The check is in the table: a bug raises instead of lending."""
    me = meet(tx, grant=3)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        ledger.grant(tx, me, -4, "grant", "take:1", NOW)


def test_entries_are_the_newest_first(tx: Tx) -> None:
    """What a person sees under /quota."""
    me = meet(tx)
    job = people.done(tx, me, 3)
    assert [(e.why, e.units, e.note) for e in ledger.entries(tx, me, 3)] == [
        ("refund", 1_000, "done"), ("settle", 0, "3/4"), ("reserve", -4_000, ""),
    ]  # fmt: skip
    assert [e.key for e in ledger.of_job(tx, job.id)] == [
        f"{w}:{job.id}" for w in ("reserve", "settle", "refund")
    ]
    assert ledger.balance(tx, 10**9) == 0


# --- refill


def test_refill_tops_up_and_takes_nothing_away(tx: Tx) -> None:
    """Whoever has more keeps it; the owner is not refilled."""
    poor, rich = meet(tx, "a:1", 10), meet(tx, "a:2", 900)
    owner = meet(tx, "terminal:owner", 0, owner=True)
    assert ledger.refill(tx, NOW + DAY, daily=100) == 1
    assert [ledger.balance(tx, who) for who in (poor, rich, owner)] == [100, 900, 0]


def test_refill_comes_once_a_day(tx: Tx) -> None:
    """Not again in the same day, however much was spent."""
    me = meet(tx, grant=100)
    ledger.refill(tx, NOW + DAY, daily=100)
    ledger.grant(tx, me, -100, "grant", "spent", NOW)
    assert ledger.refill(tx, NOW + DAY + 60, daily=100) == 0
    assert ledger.refill(tx, NOW + 2 * DAY, daily=100) == 1


def test_a_clock_that_jumps_back_refills_nobody(tx: Tx) -> None:
    """Yesterday never comes twice, and neither does a day between."""
    me = meet(tx, grant=0)
    ledger.refill(tx, NOW + 9 * DAY, daily=100)
    ledger.grant(tx, me, -100, "grant", "spent", NOW)
    assert [ledger.refill(tx, NOW + day * DAY, daily=100) for day in (1, 5, 8, 9)] == [0, 0, 0, 0]
    assert ledger.refill(tx, NOW + 10 * DAY, daily=100) == 1


def test_a_clock_that_was_years_ahead_takes_nobody_s_days_away(tx: Tx) -> None:
    """Nor does it give any of them twice."""
    me = meet(tx, grant=0)
    moments = (NOW + 3_000 * DAY, NOW + DAY, NOW + 3_000 * DAY, NOW + DAY, NOW + 2 * DAY)
    given = []
    for number, moment in enumerate(moments):
        given.append(ledger.refill(tx, moment, daily=100))
        ledger.grant(tx, me, -ledger.balance(tx, me), "grant", f"spent:{number}", moment)
    assert given == [1, 1, 0, 0, 1]


def test_who_came_today_waits_for_tomorrow(tx: Tx) -> None:
    """The first grant is today's share: coming anew is no second one."""
    me = meet(tx, grant=0)
    assert ledger.refill(tx, NOW, daily=100) == 0
    assert ledger.refill(tx, NOW + DAY, daily=100) == 1
    assert ledger.balance(tx, me) == 100


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 120)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_no_walk_of_the_clock_gives_more_than_daily_a_day(walk: list[tuple[int, int]]) -> None:
    """For any jumps and any spending: refilled ≤ daily × days on which it moved forward."""
    tx = people.memory()
    me = meet(tx, grant=0)
    now, newest = NOW, ledger.day_of(NOW)
    for index, (jump, spend) in enumerate(walk):
        now += jump * DAY
        before = ledger.balance(tx, me)
        ledger.refill(tx, now, daily=100)
        forward = ledger.day_of(now) > newest
        newest = max(newest, ledger.day_of(now))
        assert ledger.balance(tx, me) == (max(before, 100) if forward else before)
        ledger.grant(tx, me, -min(spend, ledger.balance(tx, me)), "grant", f"spent:{index}", now)
    tx.close()


# --- audit


@pytest.mark.parametrize(
    "fraud",
    [
        "UPDATE account SET balance = balance + 1",
        "UPDATE job SET arrived = 1",
        "UPDATE job SET price = price + 4",
        "UPDATE job SET status = 'cancelled'",
        "UPDATE job SET request = json_set(request, '$.count', 2)",
    ],
)
def test_the_audit_finds_every_fraud(fraud: str) -> None:
    """A sound book is silent; one changed number is not."""
    tx = people.memory()
    people.done(tx, meet(tx), 3)
    assert ledger.audit(tx) == ()
    tx.execute(fraud)
    assert ledger.audit(tx) != ()
    tx.close()


def test_the_audit_finds_a_job_that_was_never_reserved() -> None:
    """A free job is a lost entry."""
    tx = people.memory()
    me = meet(tx)
    jobs.submit(tx, people.ask(me, price=0), NOW, limit=1)
    assert ledger.audit(tx) == ()
    tx.execute(
        "INSERT INTO job (account, key, request, price, cost, share, turn, status, place, language, created) "
        "SELECT account, 'free', request, 0, 0, 0, 0, status, '', '', 0 FROM job"
    )
    assert ledger.audit(tx) == ("job 2: not reserved",)
    tx.close()


@pytest.mark.parametrize("sql", ledger.AUDIT)
def test_the_audit_reads_the_ledger_as_it_lies(sql: str) -> None:
    """A seek an entry takes half a minute where reading on takes a second, in a ledger of a million."""
    tx = people.memory()
    plan = [str(row[-1]) for row in tx.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
    ways = [line for line in plan if "ledger" in line]
    assert all(line == "SCAN ledger" or "COVERING INDEX ledger_job (job=?" in line for line in ways)
    assert ways or sql == ledger.OVERDRAWN_SQL
    tx.close()
