"""Who used how much: the table of days is the jobs and the ledger, and asking reads the days asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.request import Request
from storage import forget, jobs, stats
from storage.allowances import Allowance, Scene, decide
from storage.jobs import Job, NewJob
from storage.refusal import Refusal
from storage.stats import Totals, Used
from tests.storage import people
from tests.storage.people import NOW, meet

Tx = sqlite3.Connection
DAY = 86_400.0
TOWNS = ("", "test:town", "test:other")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "ask", "ask", "finish", "finish", "fail", "cancel", "forget", "later")),
        st.integers(0, 11), st.integers(0, 4),
    ),
    max_size=40,
)  # fmt: skip


class _House:
    """Three people in three communities, one of which has a pool and allowances: two payers a job."""

    def __init__(self) -> None:
        self.tx, self.now, self.count = people.memory(), NOW, 0
        decide(self.tx, Allowance(TOWNS[1], "everybody", "", "day", 10**6))
        decide(self.tx, Allowance(TOWNS[1], "pool", "", "month", 10**7))

    def who(self, a: int) -> int:
        return meet(self.tx, f"test:{a % 3}")

    def ask(self, a: int, b: int) -> None:
        self.count += 1
        request = Request(prompt="p", count=1 + b % 4)
        new = NewJob(
            self.who(a), f"k{self.count}", request, 250 * b * request.count, 1.0, "test:1", "en",
            scene=Scene(TOWNS[a % 2 + b % 2]),
        )  # fmt: skip
        jobs.submit(self.tx, new, self.now, limit=99)

    def finish(self, a: int, b: int) -> None:
        if job := jobs.claim(self.tx, "e", self.now):
            arrived = b % (job.request.count + 1)
            jobs.settle(self.tx, job.id, job.attempt, people.drawn(job, arrived), 1.0, self.now + a * 9_000)

    def fail(self, a: int, b: int) -> None:
        if job := jobs.claim(self.tx, "e", self.now):
            jobs.fail(self.tx, job.id, job.attempt, "bad_model", self.now)

    def cancel(self, a: int, b: int) -> None:
        for job in jobs.unfinished(self.tx, self.who(a))[:1]:
            jobs.cancel(self.tx, job.id, self.now)

    def forget(self, a: int, b: int) -> None:
        forget.forget(self.tx, self.who(a), self.now)

    def later(self, a: int, b: int) -> None:
        self.now += a * DAY / 4

    def do(self, steps: list[tuple[str, int, int]]) -> None:
        for name, a, b in steps:
            try:
                getattr(self, name)(a, b)
            except Refusal as refusal:
                assert refusal.code in {"over_quota", "forget_again"}  # noqa: PT017 - any of these
            kept, entered = people.usage(self.tx)
            assert kept == entered


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_the_table_of_days_is_the_sums_over_the_ledger(steps: list[tuple[str, int, int]]) -> None:
    """After every step, whatever becomes of jobs and people; and what is asked of it is its sum."""
    house = _House()
    house.do(steps)
    for town in TOWNS:
        totals, heavy = stats.since(house.tx, town, 0.0, 99)
        sql = "SELECT coalesce(sum(jobs), 0), count(DISTINCT account) FROM usage WHERE community = ?"
        assert (totals.jobs, totals.people) == house.tx.execute(sql, (town,)).fetchone()
        assert sum(each.units for each in heavy) == totals.units
    house.tx.close()


@contextmanager
def _without(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stats, name, lambda *_, **__: None)
        yield


@pytest.mark.parametrize("name", ["asked", "ended"])
def test_a_job_that_is_not_counted_is_noticed(name: str) -> None:
    """The control: the same steps, and one of the two writes left out."""
    with _without(name), pytest.raises(AssertionError):
        _House().do([("ask", 1, 4), ("finish", 0, 3)])


def _day(tx: Tx, who: str, day: int, end: Callable[[Tx, Job], object] | None = None) -> None:
    job = jobs.submit(tx, people.ask(meet(tx, who)), NOW + day * DAY, limit=99)
    if end is not None:
        jobs.claim(tx, "e", NOW)
        end(tx, job)


def _settled(tx: Tx, job: Job) -> Job | None:
    return jobs.settle(tx, job.id, 1, people.drawn(job, 2), 1.0, NOW)


def test_only_the_days_asked_for_count_and_the_heaviest_come_first(tx: Tx) -> None:
    """Two of four pictures are half the price; who drew nothing is no heavy one."""
    for who, day in (("a:1", 0), ("a:2", 1), ("a:2", 1), ("a:2", 2)):
        _day(tx, who, day, _settled)
    _day(tx, "a:1", 2, lambda tx, job: jobs.fail(tx, job.id, 1, "bad_model", NOW))
    _day(tx, "a:3", 2)
    one, two = meet(tx, "a:1"), meet(tx, "a:2")
    assert stats.since(tx, "", NOW, 9) == (
        Totals(6, 8, 3, 8_000, 1),
        (Used(two, 6, 6_000), Used(one, 2, 2_000)),
    )
    assert stats.since(tx, "", NOW + 2 * DAY, 9) == (Totals(3, 2, 3, 2_000, 1), (Used(two, 2, 2_000),))
    assert stats.since(tx, "test:town", NOW, 9) == (Totals(0, 0, 0, 0, 0), ())


def test_asking_seeks_the_days(tx: Tx) -> None:
    """By the key: neither the whole table nor a job is read."""
    plan = [row[-1] for row in tx.execute(f"EXPLAIN QUERY PLAN {stats.SINCE_SQL}", ("", 1, 9)).fetchall()]
    assert "SEARCH usage USING PRIMARY KEY (community=? AND day>?)" in plan
    assert not any("job" in line or line.startswith("SCAN usage") for line in plan)
