"""A life with everything in it: what proofs spoil, copy, upgrade and forget."""

from __future__ import annotations

import sqlite3

from inference.request import Request
from storage import accounts, acts, allowances, decisions, inbox, jobs, matters, sanctions
from storage.acts import Change
from storage.allowances import Allowance, Scene
from storage.jobs import NewJob
from tests.storage import people
from tests.storage.people import NOW

WHO, OTHER = "discord:7345111222333444", "telegram:998877665544"
PROMPT = "a very particular zebra under a lilac umbrella"
SECRETS = (WHO, WHO.split(":")[1], OTHER.split(":")[1], PROMPT, "zebra", "shout louder", "lilac-negative")
TOWN = Scene("discord:town", "discord:art", ())


def live(tx: sqlite3.Connection, rounds: int = 30) -> int:
    """A life with everything in it: a friend, purses, links, refusals, sanctions, pictures, gifts."""
    me = accounts.meet(tx, WHO, "es", NOW, grant=1_000_000).id
    friend = people.meet(tx, "discord:2", grant=10_000_000)
    allowances.decide(tx, Allowance(TOWN.community, "everybody", "", "day", 500_000))
    allowances.decide(tx, Allowance(TOWN.community, "person", str(me), "day", 600_000))
    allowances.decide(tx, Allowance("", "pool", "", "day", 10**9))
    accounts.save_settings(tx, me, accounts.Settings(negative="lilac-negative"))
    accounts.redeem(tx, accounts.link_code(tx, me, NOW), OTHER, NOW)
    for number in range(rounds):
        inbox.accept(tx, "discord", f"e{number}", f"{WHO}/{number}", f"{WHO} {PROMPT}".encode(), NOW)
        scene = TOWN if number % 2 else allowances.PRIVATE
        request = Request(prompt=f"{PROMPT} {number}", count=2)
        new = NewJob(
            me, f"k{number}", request, 2_000, 1.0, f"{WHO}/{number}", "es", scene=scene,
            inbox=("discord", f"e{number}"),
        )  # fmt: skip
        job = jobs.submit(tx, new, NOW, limit=1_000)
        people.submit(tx, friend)
        if number % 3:
            claimed = jobs.claim(tx, "engine", NOW)
            while claimed and claimed.id != job.id:
                jobs.settle(tx, claimed.id, claimed.attempt, people.drawn(claimed, 4), 1.0, NOW)
                claimed = jobs.claim(tx, "engine", NOW)
            assert claimed
            jobs.settle(tx, job.id, 1, people.drawn(claimed, 1 + number % 2), 1.0, NOW)
    decisions.record(tx, me, "words", "refused", "a" * 64, NOW)
    sanctions.make(tx, TOWN.community, me, "warn", "shout louder", NOW, NOW + 9)
    allowances.join(tx, TOWN.community, "friends", me)
    allowances.gift(tx, me, friend, TOWN, 3_000, "g1", NOW)
    allowances.give(tx, me, TOWN, 4_000, "give", "m1", NOW)
    acts.record(tx, TOWN.community, friend, "warn", Change({"reason": "shout louder"}, [], me), "a1", NOW)
    request = Request(prompt=PROMPT)
    matters.offer(tx, matters.New(me, TOWN, request, "words", "zebra", f"{WHO}/9", "es"), NOW)
    return me
