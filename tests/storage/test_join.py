"""Two chats become one person: whatever was under way, nothing is lost, doubled or made."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from storage import accounts, gallery, jobs
from storage.accounts import Settings
from storage.jobs import Job, Status
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.people import GRANT, NOW, meet, memory

WHOS = ("discord:1", "telegram:2", "web:3")


def _mine(tx: sqlite3.Connection, who: str) -> tuple[Job, ...]:
    return jobs.mine(tx, meet(tx, who), 999)


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("ask", "ask", "claim", "settle", "fail", "cancel", "link", "link", "unlink")),
        st.integers(0, 2), st.integers(0, 2),
    ),
    max_size=40,
)  # fmt: skip


def _settle(tx: sqlite3.Connection, job: Job) -> Job | None:
    return jobs.settle(tx, job.id, job.attempt, people.drawn(job), 1.5, NOW)


class _World:
    """Three chats, and every job that was ever asked for."""

    def __init__(self) -> None:
        self.tx = memory()
        self.asked: dict[int, str] = {}
        for who in WHOS:
            meet(self.tx, who)

    def ask(self, a: int, b: int) -> None:
        job = people.submit(self.tx, meet(self.tx, WHOS[a]), f"k{b}{len(self.asked) % 3}")
        self.asked.setdefault(job.id, WHOS[a])

    def claim(self, a: int, b: int) -> None:
        jobs.claim(self.tx, "engine", NOW)

    def _running(self, a: int) -> Job | None:
        found = jobs.running(self.tx)
        return found[a % len(found)] if found else None

    def settle(self, a: int, b: int) -> None:
        if job := self._running(a):
            _settle(self.tx, job)

    def fail(self, a: int, b: int) -> None:
        if job := self._running(a):
            jobs.fail(self.tx, job.id, job.attempt, "draw_failed", NOW)

    def cancel(self, a: int, b: int) -> None:
        mine = _mine(self.tx, WHOS[a])
        if mine:
            jobs.cancel(self.tx, mine[b % len(mine)].id, NOW)

    def link(self, a: int, b: int) -> None:
        self.tx.execute("DELETE FROM link_try")
        accounts.redeem(self.tx, accounts.link_code(self.tx, meet(self.tx, WHOS[a]), NOW), WHOS[b], NOW)

    def unlink(self, a: int, b: int) -> None:
        accounts.unlink(self.tx, WHOS[a], NOW)

    def do(self, step: Step) -> None:
        try:
            getattr(self, step[0])(step[1], step[2])
        except Refusal as refusal:
            assert refusal.code in {"queue_full", "over_quota", "at_once", "link_last"}  # noqa: PT017 - any of these


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_whatever_was_under_way_nothing_is_lost_doubled_or_made(steps: list[Step]) -> None:
    """Every job belongs to somebody who can be reached; money is only ever moved."""
    world = _World()
    for step in steps:
        world.do(step)
        assert people.audit(world.tx) == ()
        kept, entered = people.usage(world.tx)
        assert kept == entered
    reached = {meet(world.tx, who) for who in WHOS}
    found = {job.id for account in reached for job in jobs.mine(world.tx, account, 999)}
    assert found == set(world.asked)
    for job in found:
        row = jobs.get(world.tx, job)
        assert row
        assert (row.status is Status.DONE) == bool(gallery.of_job(world.tx, job))
        assert all(piece.account == row.account for piece in gallery.of_job(world.tx, job))
    (granted,) = world.tx.execute("SELECT total(units) FROM ledger WHERE why = 'grant'").fetchone()
    assert granted <= GRANT * len(WHOS)
    world.tx.close()


def test_without_moving_the_jobs_that_test_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a link that leaves the jobs behind loses them."""
    monkeypatch.setattr(accounts, "_MOVES", ())
    world = _World()
    for step in (("ask", 1, 0), ("link", 0, 1)):
        world.do(step)
    reached = {meet(world.tx, who) for who in WHOS}
    assert not {job.id for account in reached for job in jobs.mine(world.tx, account, 999)}
    world.tx.close()


def _joined(prepare: Callable[[sqlite3.Connection, int, int], object]) -> tuple[sqlite3.Connection, int]:
    tx = memory()
    me, other = meet(tx, WHOS[0]), meet(tx, WHOS[1])
    prepare(tx, me, other)
    accounts.redeem(tx, accounts.link_code(tx, me, NOW), WHOS[1], NOW)
    return tx, me


def test_a_job_on_its_way_in_finds_the_account_that_its_person_joined() -> None:
    """It was begun before the link and submitted after it."""
    tx = memory()
    me, other = meet(tx, WHOS[0]), meet(tx, WHOS[1])
    new = replace(people.ask(other), who=WHOS[1])
    accounts.redeem(tx, accounts.link_code(tx, me, NOW), WHOS[1], NOW)
    assert jobs.submit(tx, new, NOW, limit=9).account == me
    tx.close()


def test_a_job_being_drawn_is_delivered_to_its_place_and_hangs_in_the_one_gallery() -> None:
    def prepare(tx: sqlite3.Connection, me: int, other: int) -> None:
        people.submit(tx, other)
        jobs.claim(tx, "engine", NOW)

    tx, me = _joined(prepare)
    (job,) = jobs.running(tx)
    done = _settle(tx, job)
    assert done
    assert (done.account, done.place) == (me, job.place)
    assert len(gallery.mine(tx, me, 9)) == job.request.count
    tx.close()


def test_nobody_jumps_the_queue_by_linking() -> None:
    """The share that both used up is used up."""
    tx, me = _joined(lambda tx, me, other: [people.submit(tx, other) for _ in range(3)])
    (finish,) = tx.execute("SELECT finish FROM account WHERE id = ?", (me,)).fetchone()
    assert people.submit(tx, me).turn >= finish > 0
    tx.close()


def test_what_one_chat_had_chosen_and_the_other_had_not_stays_chosen() -> None:
    def prepare(tx: sqlite3.Connection, me: int, other: int) -> None:
        accounts.save_settings(tx, me, Settings(steps=9))
        accounts.save_settings(tx, other, Settings(steps=5, style="flat"))

    tx, me = _joined(prepare)
    assert accounts.get(tx, me).defaults == Settings(steps=9, style="flat")
    tx.close()


def test_a_sanction_is_not_left_behind() -> None:
    def prepare(tx: sqlite3.Connection, me: int, other: int) -> None:
        tx.execute(
            "INSERT INTO sanction (community, account, kind, reason, at) VALUES ('', ?, 'block', 'x', ?)",
            (other, NOW),
        )

    tx, me = _joined(prepare)
    assert tx.execute("SELECT account FROM sanction").fetchall() == [(me,)]
    tx.close()


def test_a_code_that_was_taken_back_is_worth_nothing() -> None:
    tx = memory()
    me = meet(tx, WHOS[0])
    code = accounts.link_code(tx, me, NOW)
    assert accounts.revoke(tx, me)
    assert not accounts.revoke(tx, me)
    try:
        accounts.redeem(tx, code, WHOS[1], NOW)
    except Refusal as refusal:
        assert refusal.code == "link_expired"  # noqa: PT017 - the transaction is ours
    assert accounts.find(tx, WHOS[1]) is None
    tx.close()
