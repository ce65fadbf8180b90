"""What a safety check said: kept with each picture, and what becomes of a job by it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import msgspec
import pytest

from inference.request import Request
from storage import forget, gallery, jobs, ledger, matters, outbox, policy
from storage.allowances import Allowance, Scene, decide
from storage.jobs import Job, Status
from storage.policy import Policy
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.people import NOW, meet

Tx = sqlite3.Connection
TOWN = "test:town"
LEVEL = 0.7


def _drawn(tx: Tx, me: int, *said: float | None, scene: Scene = Scene(TOWN, "test:art")) -> Job:
    """A job of as many pictures, each with what the check said of it."""
    new = replace(people.ask(me, count=len(said), price=1_000 * len(said)), scene=scene)
    jobs.submit(tx, new, NOW, limit=99)
    job = people.claim(tx)
    kept = [replace(k, unsafe=s) for k, s in zip(people.drawn(job, len(said)), said, strict=True)]
    settled = jobs.settle(tx, job.id, job.attempt, kept, 1.0, NOW, unsafe=LEVEL)
    assert settled
    assert settled == jobs.get(tx, job.id)
    assert people.audit(tx) == ()
    assert people.usage(tx)[0] == people.usage(tx)[1]
    return settled


def test_each_verdict_is_kept(tx: Tx) -> None:
    """Also that nobody looked."""
    job = _drawn(tx, meet(tx), 0.125, None, 0.5)
    rows = tx.execute("SELECT unsafe FROM piece WHERE job = ? ORDER BY number", (job.id,)).fetchall()
    assert rows == [(0.125,), (None,), (0.5,)]
    assert gallery.verdict(tx, job.id) == 0.5
    assert gallery.verdict(tx, job.id, 1) is None
    assert (job.shown, job.free) == ("", False)


def test_one_flagged_picture_withholds_the_job_and_it_costs_nothing(tx: Tx) -> None:
    """Everything that paid has everything back; it is owed its sentence; nobody finds it in a gallery."""
    decide(tx, Allowance(TOWN, "everybody", "", "day", 10_000))
    decide(tx, Allowance(TOWN, "pool", "", "day", 10_000))
    me = meet(tx)
    job = _drawn(tx, me, 0.1, LEVEL)
    assert (job.status, job.shown, job.free, job.charged, job.arrived) == (
        Status.DONE,
        "withheld",
        True,
        0,
        2,
    )
    assert tx.execute("SELECT DISTINCT spent FROM meter").fetchall() == [(0,)]
    assert [each.job for each in outbox.due(tx, NOW, 9)] == [job.id]
    assert gallery.mine(tx, me, 9) == ()
    digest = gallery.of_job(tx, job.id)[0].digest
    assert not gallery.owns(tx, me, digest)
    assert forget.files(tx, me) == ()
    jobs.show_as(tx, job.id, "")
    assert len(gallery.mine(tx, me, 9)) == 2
    assert gallery.owns(tx, me, digest)
    assert people.audit(tx) == (), "shown after all, it still costs nothing"


def _asked(tx: Tx, me: int, parent: Job | None = None, sent: bool = False, **more: object) -> Job:
    """A job that begins with ``parent``'s first picture, or with one that was sent."""
    source = gallery.of_job(tx, parent.id)[0].digest if parent else "5" * 64 if sent else None
    new = people.ask(me, count=1)
    request = msgspec.structs.replace(new.request, source=source, **more)
    new = replace(new, request=request, sent=sent)
    if parent is not None:
        new = replace(new, parent=parent.id, parent_index=0)
    jobs.submit(tx, new, NOW, limit=99)
    job = people.claim(tx)
    assert jobs.settle(tx, job.id, job.attempt, people.drawn(job, 1), 1.0, NOW)
    return job


def test_what_anybody_sent_or_another_model_drew_is_not_of_words(tx: Tx) -> None:
    """However many variations later."""
    me = meet(tx)
    words, sent, other = _asked(tx, me), _asked(tx, me, sent=True), _asked(tx, me, model="other")
    for first, of_words in ((words, True), (sent, False), (other, False)):
        second = _asked(tx, me, first)
        third = _asked(tx, me, second)
        for job in (first, second, third):
            assert jobs.of_words(tx, job, "builtin") is of_words


def test_a_refund_that_is_left_out_is_noticed() -> None:
    """The control: withheld and charged does not add up."""
    tx = people.memory()
    job = _drawn(tx, meet(tx), 0.1)
    assert job.charged == 1_000
    tx.execute("UPDATE job SET free = 1")
    assert ledger.audit(tx) != ()
    tx.close()


@pytest.mark.parametrize(
    ("said", "adult", "of_channel", "way"),
    [
        (Policy(), False, None, "withheld"),
        (Policy(), True, None, "spoiler"),
        (Policy(nsfw="spoiler"), False, None, "spoiler"),
        (Policy(nsfw="allow"), False, None, ""),
        (Policy(nsfw="allow"), True, None, "spoiler"),
        (Policy(nsfw="withhold", adult="allow"), True, None, ""),
        (Policy(nsfw="allow", adult="withhold"), True, None, "withheld"),
        (Policy(nsfw="withhold"), False, "allow", ""),
        (Policy(adult="allow"), True, "withhold", "withheld"),
    ],
)
def test_what_becomes_of_it_is_the_channels_else_the_communitys(
    tx: Tx, said: Policy, adult: bool, of_channel: str | None, way: str
) -> None:
    """Channels for adults have a rule of their own; the house's stands under a community's."""
    policy.save(tx, TOWN, "", said)
    policy.save(tx, TOWN, "test:art", Policy(nsfw=of_channel))
    job = _drawn(tx, meet(tx), 0.9, scene=Scene(TOWN, "test:art", (), adult))
    assert (job.shown, job.free, job.charged) == (way, way == "withheld", 0 if way == "withheld" else 1_000)
    policy.save(tx, policy.HOUSE, "", said)
    alone = _drawn(tx, meet(tx), 0.9, scene=Scene("test:other", "test:x", (), adult))
    if of_channel is None:
        assert alone.shown == way


def test_an_enlarged_picture_is_what_it_was(tx: Tx) -> None:
    """Nobody looks at it again; the picture beside it does not count."""
    policy.save(tx, TOWN, "", Policy(nsfw="spoiler"))
    me = meet(tx)
    parent = _drawn(tx, me, 0.1, 0.9)
    shown = []
    for index in (0, 1):
        request = Request(prompt="p", count=1, enlarge=4, source="0" * 64)
        new = replace(
            people.ask(me, price=10), request=request, parent=parent.id, parent_index=index, scene=Scene(TOWN)
        )
        jobs.submit(tx, new, NOW, limit=99)
        job = people.claim(tx)
        settled = jobs.settle(tx, job.id, 1, people.drawn(job, 1), 1.0, NOW, unsafe=LEVEL)
        assert settled
        shown.append(settled.shown)
    assert shown == ["", "spoiler"]


def test_it_is_contested_once_and_shown_again_when_that_is_decided(tx: Tx) -> None:
    """A card for moderators, counted as an appeal; the delivery is owed anew."""
    me = meet(tx)
    job = _drawn(tx, me, 0.9)
    new = matters.New(me, Scene(TOWN), job.request, "safety", "", "test:1", "en")
    number = matters.contest(tx, new, job.id, NOW)
    with pytest.raises(Refusal, match="already_appealed"):
        matters.contest(tx, new, job.id, NOW)
    assert [each.id for each in matters.opened(tx, TOWN, 9)] == [number]
    (delivery,) = outbox.due(tx, NOW, 9)
    outbox.delivered(tx, delivery.id, "test:1/5", NOW)
    assert outbox.due(tx, NOW, 9) == ()
    outbox.again(tx, job.id, NOW)
    assert [(each.job, each.place, each.tries) for each in outbox.due(tx, NOW, 9)] == [
        (job.id, "test:1/5", 0)
    ]
