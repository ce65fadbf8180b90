"""Jobs: charged once, drawn in fair turn, ended once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.wire import Failure
from storage import allowances, gallery, gate, inbox, jobs, ledger, outbox, policy
from storage.allowances import Scene
from storage.jobs import Ahead, Job, Status
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.people import NOW, ask, claim, drawn, meet, submit

Tx = sqlite3.Connection


def test_submit_charges_and_queues_in_one_go(tx: Tx) -> None:
    """The row, the reserve entry and the balance move together."""
    me = meet(tx)
    job = submit(tx, me, price=4_000)
    assert job == jobs.get(tx, job.id)
    assert (job.status, job.attempt, job.turn) == (Status.QUEUED, 0, 0.0)
    assert ledger.balance(tx, me) == people.GRANT - 4_000
    assert [(e.why, e.units) for e in ledger.of_job(tx, job.id)] == [("reserve", -4_000)]


def test_the_same_key_is_the_same_job_charged_once(tx: Tx) -> None:
    """A cancelled caller never knows: it asks again with its key."""
    me = meet(tx)
    first, second = submit(tx, me, "again"), submit(tx, me, "again")
    assert first == second
    assert ledger.balance(tx, me) == people.GRANT - first.price


def test_a_key_is_private_to_its_account(tx: Tx) -> None:
    """Nobody reaches somebody else's job by guessing an idempotency key."""
    mine = submit(tx, meet(tx, "web:1"), "k")
    theirs = submit(tx, meet(tx, "web:2"), "k")
    assert mine.id != theirs.id


def test_submit_answers_the_inbox_event_also_when_it_was_there_already(tx: Tx) -> None:
    """The event is done in the transaction that made its job."""
    me = meet(tx)
    for event in ("1", "2"):
        inbox.accept(tx, "discord", event, "discord:c", b"{}", NOW)
        jobs.submit(tx, _answering(ask(me, "once"), event), NOW, limit=9)
    assert inbox.pending(tx) == ()


def _answering(new: jobs.NewJob, event: str) -> jobs.NewJob:
    return jobs.NewJob(
        new.account,
        new.key,
        new.request,
        new.price,
        new.cost,
        new.place,
        new.language,
        inbox=("discord", event),
    )


def test_who_cannot_pay_is_refused_with_price_balance_and_refill(tx: Tx) -> None:
    """The refusal says what is needed, what is left and when there is more."""
    me = meet(tx, grant=3_999)
    with pytest.raises(Refusal) as refused:
        submit(tx, me, price=4_000)
    assert refused.value.code == "over_quota"
    midnight = refused.value.values.pop("refills_at")
    assert refused.value.values == {"price": 4_000, "balance": 3_999}
    assert isinstance(midnight, float)
    assert 0 < midnight - NOW <= 86_400
    assert midnight % 86_400 == 0
    assert jobs.queued_count(tx) == 0


def test_the_owner_may_owe(tx: Tx) -> None:
    """Unlimited, but every unit is in the ledger."""
    owner = meet(tx, "terminal:owner", grant=0, owner=True)
    submit(tx, owner, price=4_000)
    assert ledger.balance(tx, owner) == -4_000


def test_a_full_queue_is_refused_and_only_queued_jobs_count(tx: Tx) -> None:
    """``limit`` bounds what waits, not what is drawn or over."""
    me = meet(tx)
    jobs.submit(tx, ask(me), NOW, limit=1)
    with pytest.raises(Refusal, match="queue_full") as refused:
        jobs.submit(tx, ask(me), NOW, limit=1)
    assert refused.value.values == {"limit": 1}
    claim(tx)
    assert jobs.submit(tx, ask(me), NOW, limit=1).status is Status.QUEUED


# --- turns


def test_idle_time_earns_no_credit(tx: Tx) -> None:
    """Who comes late starts at the clock, not at 0: they do not get everything at once."""
    early, late = meet(tx, "a:1"), meet(tx, "a:2")
    for _ in range(5):
        submit(tx, early, cost=10.0)
    for _ in range(3):
        claim(tx)
    assert submit(tx, late).turn == 20.0


def test_weight_is_share(tx: Tx) -> None:
    """Twice the weight moves ``finish`` half as far."""
    me = meet(tx)
    tx.execute("UPDATE account SET weight = 2.0")
    assert [submit(tx, me, cost=10.0).turn for _ in range(3)] == [0.0, 5.0, 10.0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 50), min_size=4, max_size=12), st.integers(0, 2**31))
def test_two_overloaded_people_share_equally_whatever_their_jobs_cost(costs: list[int], seed: int) -> None:
    """While both wait, neither is ahead by more than one job of each (Goyal et al. 1997, theorem 1)."""
    tx = people.memory()
    both = (meet(tx, "a:1"), meet(tx, "a:2"))
    for index, cost in enumerate(costs):
        submit(tx, both[(seed >> index) & 1], price=1, cost=float(cost))
    for person in both:
        submit(tx, person, price=1, cost=1_000.0)  # both wait until the end
    served: Counter[int] = Counter()
    for _ in costs:
        job = claim(tx)
        if job.cost == 1_000.0:
            break
        served[job.account] += int(job.cost)
        assert abs(served[both[0]] - served[both[1]]) <= 2 * max(costs)
    tx.close()


def test_cancelling_a_queued_job_gives_its_share_back(tx: Tx) -> None:
    """The next job of that person is not behind work that nobody does."""
    me = meet(tx)
    submit(tx, me, cost=10.0)
    second = submit(tx, me, cost=10.0)
    jobs.cancel(tx, second.id, NOW)
    assert submit(tx, me).turn == second.turn == 10.0


def test_cancelling_a_running_job_gives_no_share_back(tx: Tx) -> None:
    """It has used the machine: a loop of cancels gains nothing."""
    me = meet(tx)
    submit(tx, me, cost=10.0)
    jobs.cancel(tx, claim(tx).id, NOW)
    assert submit(tx, me).turn == 10.0


def test_claims_go_by_turn_then_by_age(tx: Tx) -> None:
    """Ties are drawn in the order they came."""
    a, b = meet(tx, "a:1"), meet(tx, "a:2")
    ids = [submit(tx, a).id, submit(tx, a).id, submit(tx, b).id]
    assert [claim(tx).id for _ in ids] == [ids[0], ids[2], ids[1]]
    assert jobs.claim(tx, "engine", NOW) is None


def test_ahead_counts_what_is_drawn_before(tx: Tx) -> None:
    """ "12 ahead of you" is a count over the queue's own order."""
    a, b = meet(tx, "a:1"), meet(tx, "a:2")
    first, second, third = submit(tx, a, cost=3.0), submit(tx, a, cost=3.0), submit(tx, b, cost=5.0)
    assert jobs.ahead(tx, second.id) == Ahead(2, 8.0, 0)
    assert jobs.ahead(tx, third.id) == Ahead(1, 3.0, 0)
    claim(tx)
    assert jobs.ahead(tx, second.id) == Ahead(1, 5.0, 1)
    assert jobs.ahead(tx, first.id) == Ahead(0, 0.0, 0)


def test_suspects_are_claimed_alone_and_the_others_without_them(tx: Tx) -> None:
    """alone=True takes suspects only, alone=False everybody else, None whoever is next."""
    me = meet(tx)
    suspect, innocent = submit(tx, me), submit(tx, me)
    running = claim(tx)
    jobs.requeue(tx, running.id, 1, NOW, died=True)
    got = jobs.claim(tx, "engine", NOW, alone=False)
    assert got is not None
    assert got.id == innocent.id
    got = jobs.claim(tx, "engine", NOW, alone=True)
    assert got is not None
    assert (got.id, got.suspect, got.attempt) == (suspect.id, True, 2)
    assert jobs.claim(tx, "engine", NOW, alone=True) is None


# --- ends


@pytest.mark.parametrize(("arrived", "refund"), [(4, 0), (3, 1_000), (1, 3_000)])
def test_settle_charges_what_arrived(tx: Tx, arrived: int, refund: int) -> None:
    """The price of the pictures that did not come goes back in the same transaction."""
    me = meet(tx)
    job = people.done(tx, me, arrived)
    assert (job.status, job.arrived, job.seconds, job.finished) == (Status.DONE, arrived, 1.5, NOW)
    assert job == jobs.get(tx, job.id)
    assert ledger.balance(tx, me) == people.GRANT - 4_000 + refund
    assert [p.index for p in gallery.of_job(tx, job.id)] == list(range(arrived))
    assert [d.job for d in outbox.due(tx, NOW, 9)] == [job.id]


def test_settle_without_a_picture_is_a_failure(tx: Tx) -> None:
    """All is refunded, and the first failure gives the sentence."""
    me = meet(tx)
    submit(tx, me)
    job = claim(tx)
    lost = (Failure(index=0, code="out_of_memory"),)
    over = jobs.settle(tx, job.id, job.attempt, (), 0.5, NOW, failures=lost)
    assert over is not None
    assert (over.status, over.code) == (Status.FAILED, "out_of_memory")
    assert ledger.balance(tx, me) == people.GRANT


@pytest.mark.parametrize(
    ("arrived", "lost", "back"), [(4, 4, 4_000), (4, 1, 1_000), (3, 3, 3_000), (3, 1, 1_000)]
)
def test_pictures_that_were_lost_before_anybody_saw_them_cost_nothing(
    tx: Tx, arrived: int, lost: int, back: int
) -> None:
    """Once; what arrived keeps its price in the books, and is made good beside it."""
    me = meet(tx)
    job = people.done(tx, me, arrived)
    paid = ledger.balance(tx, me)
    assert jobs.lose(tx, job.id, lost, NOW) == back
    jobs.lose(tx, job.id, lost, NOW)
    assert ledger.balance(tx, me) == paid + back
    assert [(e.why, e.units, e.note) for e in ledger.of_job(tx, job.id)][-1] == ("undo", back, "unreadable")
    assert allowances.given(tx, me, NOW + 1) == 0, "no moderator gave it"


def test_pictures_that_were_shown_before_they_were_lost_are_paid(tx: Tx) -> None:
    me = meet(tx)
    job = people.done(tx, me)
    (owed,) = outbox.due(tx, NOW, 9)
    outbox.delivered(tx, owed.id, "test:2", NOW)
    outbox.redraw(tx, job.id)
    assert jobs.lose(tx, job.id, 4, NOW) == 0
    assert jobs.lose(tx, 10**9, 4, NOW) == 0
    assert ledger.balance(tx, me) == people.GRANT - 4_000


def test_what_was_lost_is_given_back_to_whatever_paid(tx: Tx) -> None:
    """A window of an allowance and what was given on top of it."""
    me = meet(tx)
    scene = Scene("test:town")
    allowances.decide(tx, allowances.Allowance("test:town", "everybody", "", "day", 3_000))
    allowances.give(tx, me, scene, 2_000, "give", "gift", NOW)
    jobs.submit(tx, replace(people.ask(me), scene=scene), NOW, limit=9)
    job = claim(tx)
    left = allowances.spendable(tx, me, scene, NOW)
    jobs.settle(tx, job.id, job.attempt, drawn(job, 3), 1.0, NOW)
    assert jobs.lose(tx, job.id, 3, NOW) == 3_000
    assert allowances.spendable(tx, me, scene, NOW) == left + 4_000


def test_a_late_result_of_an_old_attempt_is_dropped(tx: Tx) -> None:
    """``attempt`` is the fencing token."""
    me = meet(tx)
    submit(tx, me)
    old = claim(tx)
    jobs.requeue(tx, old.id, old.attempt, NOW, died=False)
    new = claim(tx)
    assert jobs.settle(tx, old.id, old.attempt, drawn(old), 1.0, NOW) is None
    assert jobs.fail(tx, old.id, old.attempt, "late", NOW) is None
    assert jobs.settle(tx, new.id, new.attempt, drawn(new), 1.0, NOW) is not None
    assert jobs.settle(tx, new.id, new.attempt, drawn(new), 1.0, NOW) is None


def test_cancel_and_settle_race_and_one_wins(tx: Tx) -> None:
    """Whoever comes second changes nothing, whichever it is."""
    me = meet(tx)
    submit(tx, me)
    job = claim(tx)
    assert jobs.cancel(tx, job.id, NOW) is not None
    assert jobs.settle(tx, job.id, job.attempt, drawn(job), 1.0, NOW) is None
    assert jobs.cancel(tx, job.id, NOW) is None
    settled = people.done(tx, me)
    assert jobs.cancel(tx, settled.id, NOW) is None
    assert jobs.cancel(tx, 10**9, NOW) is None


SPOILT = "CAST(x'7b22ff' AS TEXT)"
"""Words that are no UTF-8."""


@pytest.mark.parametrize("word", ["request", "place", "language", "community"])
def test_damaged_words_of_a_job_hold_up_nobody(tx: Tx, word: str) -> None:
    """What can be drawn is; what cannot be read fails and is refunded; the next one gets its turn."""
    me, other = meet(tx), meet(tx, "discord:2")
    spoilt, fine = submit(tx, me), submit(tx, other)
    tx.execute(f"UPDATE job SET {word} = {SPOILT} WHERE id = ?", (spoilt.id,))  # noqa: S608
    first, second = claim(tx), claim(tx)
    assert (first.id, second.id) == (spoilt.id, fine.id)
    assert first.status is (Status.FAILED if word == "request" else Status.RUNNING)
    assert len(jobs.running(tx)) + first.over == 2
    assert ledger.balance(tx, me) == people.GRANT - (0 if first.over else spoilt.price)
    tx.execute("UPDATE job SET request = replace(request, x'ff', 'x')")  # the audit reads it as JSON


def test_words_that_damage_left_nothing_of_are_empty(tx: Tx) -> None:
    """SQLite reads NULL also where there can be none."""
    job = submit(tx, meet(tx))
    row = list(tx.execute(f"{jobs._SELECT} WHERE id = ?", (job.id,)).fetchone())
    for place in (3, *jobs._WORDS):
        row[place] = None
    read = jobs._job(tuple(row))
    assert (read.id, read.place, read.language, read.community, read.request.prompt) == (
        job.id,
        "",
        "",
        "",
        "?",
    )


def test_the_control_claims_nobody_s_job_because_of_one_that_is_damaged(tx: Tx) -> None:
    """It reads the words as words, and SQLite's error is everybody's."""
    job = submit(tx, meet(tx))
    tx.execute(f"UPDATE job SET place = {SPOILT} WHERE id = ?", (job.id,))  # noqa: S608
    submit(tx, meet(tx, "discord:2"))
    with pytest.raises(sqlite3.OperationalError, match="decode"):
        tx.execute("SELECT id, place FROM job WHERE status = 'queued' ORDER BY turn, id").fetchall()


def test_a_cancelled_job_owes_no_delivery(tx: Tx) -> None:
    """Whoever cancelled was told at once."""
    me = meet(tx)
    jobs.cancel(tx, submit(tx, me).id, NOW)
    assert outbox.due(tx, NOW, 9) == ()
    assert ledger.balance(tx, me) == people.GRANT


def test_the_third_death_fails_and_refunds_that_job_only(tx: Tx) -> None:
    """Deaths are counted on the job; a restart of the bot is no death."""
    me = meet(tx)
    job, other = submit(tx, me), submit(tx, me)
    seen: list[Job] = []
    for died in (True, False, True, True):
        running = claim(tx)
        seen.append(jobs.requeue(tx, running.id, running.attempt, NOW, died=died))
    assert [(j.id, j.deaths, j.status) for j in seen] == [
        (job.id, 1, Status.QUEUED), (job.id, 1, Status.QUEUED), (job.id, 2, Status.QUEUED),
        (job.id, 3, Status.FAILED),
    ]  # fmt: skip
    assert seen[-1].code == "engine_died"
    assert seen[-1].turn == job.turn
    assert claim(tx).id == other.id
    assert ledger.balance(tx, me) == people.GRANT - other.price


def test_one_that_may_have_killed_bot_and_engine_runs_alone_and_is_given_up_at_its_sixth_attempt(
    tx: Tx,
) -> None:
    """No death is counted where nobody saw one; an innocent one may be tried as often as it takes."""
    me = meet(tx)
    innocent = submit(tx, me)
    for _ in range(jobs.ATTEMPTS + 1):
        running = claim(tx)
        assert jobs.requeue(tx, running.id, running.attempt, NOW, died=False).status is Status.QUEUED
    jobs.cancel(tx, innocent.id, NOW)
    submit(tx, me)
    seen: list[Job] = []
    for _ in range(jobs.ATTEMPTS):
        running = claim(tx)
        seen.append(jobs.requeue(tx, running.id, running.attempt, NOW, died=False, suspect=True))
    assert [(job.suspect, job.deaths) for job in seen] == [(True, 0)] * jobs.ATTEMPTS
    assert [job.status for job in seen] == [Status.QUEUED] * (jobs.ATTEMPTS - 1) + [Status.FAILED]
    assert seen[-1].code == "engine_died"
    assert ledger.balance(tx, me) == people.GRANT


def test_requeue_of_an_old_attempt_does_nothing(tx: Tx) -> None:
    """It returns the job as it is."""
    me = meet(tx)
    submit(tx, me)
    job = claim(tx)
    assert jobs.requeue(tx, job.id, job.attempt - 1, NOW, died=True) == job
    assert jobs.running(tx) == (job,)
    assert jobs.engine_of(tx, job.id) == "engine"


@given(price=st.integers(0, 10**6), count=st.integers(1, 4), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_price_is_split_without_losing_a_unit(price: int, count: int, data: st.DataObject) -> None:
    """charged + refunded = reserved for any price and any number of pictures that came."""
    arrived = data.draw(st.integers(0, count))
    tx = people.memory()
    me = meet(tx, grant=10**6)
    jobs.submit(tx, ask(me, price=price, count=count), NOW, limit=1)
    job = claim(tx)
    jobs.settle(tx, job.id, 1, drawn(job, arrived), 1.0, NOW)
    assert ledger.balance(tx, me) == 10**6 - price * arrived // count
    assert people.audit(tx) == ()
    tx.close()


# --- questions


def test_mine_and_unfinished(tx: Tx) -> None:
    """The newest first; what is still to come in the order it comes."""
    me = meet(tx)
    over = people.done(tx, me)
    first, second, third = (submit(tx, me) for _ in range(3))
    running = claim(tx)
    assert [j.id for j in jobs.mine(tx, me, 2)] == [third.id, second.id]
    assert [j.id for j in jobs.unfinished(tx, me)] == [first.id, second.id, third.id]
    assert running.id == first.id
    assert jobs.get(tx, over.id) == over
    assert jobs.get(tx, 10**12) is None


def test_the_place_of_a_job_is_where_its_result_goes(tx: Tx) -> None:
    """A placeholder's id is recorded with the job, and the delivery goes there."""
    job = people.done(tx, meet(tx))
    jobs.set_place(tx, job.id, "test:message-7")
    assert [d.place for d in outbox.due(tx, NOW, 9)] == ["test:message-7"]


@pytest.mark.parametrize(
    ("sql", "values", "index"),
    [
        (jobs.CLAIM_SQL, ("e", NOW), "job_queue"),
        (jobs.CLAIM_INNOCENT_SQL, ("e", NOW), "job_queue"),
        (jobs.CLAIM_SUSPECT_SQL, ("e", NOW), "job_suspects"),
        (jobs.AHEAD_SQL, (1.0, 1), "job_queue"),
        (outbox.DUE_SQL, (NOW, 10), "outbox_due"),
        (gallery.MINE_SQL, (1, 9, 9), "piece_account"),
        (gallery.STARRED_SQL, (1, 9, 9), "piece_starred"),
    ],
)
def test_the_hot_statements_are_served_by_their_partial_index(
    tx: Tx, sql: str, values: tuple[object, ...], index: str
) -> None:
    """No scan of the table, no sort, however long the queue."""
    plan = " | ".join(str(row[3]) for row in tx.execute(f"EXPLAIN QUERY PLAN {sql}", values))
    assert f"INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN job |" not in f"{plan} |"


def test_newcomers_are_found_among_what_waits_and_not_among_all_that_was_ever_asked(tx: Tx) -> None:
    """The writer is needed most in a raid."""
    plan = str(tx.execute(f"EXPLAIN QUERY PLAN {gate.WAITING_SQL}", ("test:town", "")).fetchall())
    assert "job_community" not in plan
    assert any(f"INDEX {name}" in plan for name in ("job_waiting", "job_queue"))


def test_a_pace_for_everybody_together_survives_a_clock_that_was_ahead(tx: Tx) -> None:
    """And looks at this minute alone."""
    policy.save(tx, "test:town", "", policy.Policy(crowd=3))
    me = meet(tx)
    asked = [NOW + 9_000.0] * 3 + [NOW - 70] * 3 + [NOW - 1] * 2

    def ask_at(now: float) -> Job:
        new = replace(people.ask(me, price=0), scene=Scene("test:town"))
        return jobs.submit(tx, new, now, limit=99)

    for now in asked:
        ask_at(now)
    ask_at(NOW)
    with pytest.raises(Refusal, match="crowded"):
        ask_at(NOW)
    plan = str(tx.execute(f"EXPLAIN QUERY PLAN {gate.CROWD_SQL}", ("test:town", 0.0, 1.0, 9)).fetchall())
    assert "job_community (community=? AND created>? AND created<?)" in plan


def test_a_job_is_drawn_with_the_weight_it_was_let_in_with(tx: Tx) -> None:
    """Its account's times its role's; one that costs nothing has its account's."""
    me = meet(tx)
    tx.execute("UPDATE account SET weight = 2.0")
    policy.save(tx, "test:town", "", policy.Policy(weights={"role:7": 3.0}))
    scene = Scene("test:town", "", ("role:7",))
    asked = [replace(people.ask(me), scene=scene), people.ask(me), people.ask(me, cost=0.0)]
    made = [jobs.submit(tx, each, NOW, limit=9) for each in asked]
    assert [jobs.weight(tx, job.id) for job in made] == pytest.approx([6.0, 2.0, 2.0])
