"""Forgetting: nothing of a person is left in the database, and the books still add up."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from inference.request import Request
from storage import (
    accounts,
    acts,
    allowances,
    decisions,
    forget,
    inbox,
    jobs,
    ledger,
    matters,
    sanctions,
)
from storage.acts import Change
from storage.allowances import Allowance, Scene
from storage.database import Database
from storage.jobs import NewJob
from storage.refusal import Refusal
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


def test_the_books_add_up_and_no_row_is_left(tx: sqlite3.Connection) -> None:
    me = live(tx)
    others = tx.execute("SELECT id, balance FROM account WHERE id <> ?", (me,)).fetchall()
    purses = tx.execute("SELECT id, extra FROM purse").fetchall()
    meters = tx.execute("SELECT * FROM meter").fetchall()
    gone = forget.forget(tx, me, NOW + 60)
    assert set(gone.whos) == {WHO, OTHER}
    assert people.audit(tx) == ()
    assert tx.execute("SELECT id, balance FROM account WHERE id <> ?", (me,)).fetchall() == others
    assert tx.execute("SELECT id, extra FROM purse").fetchall() == purses
    assert tx.execute("SELECT * FROM meter").fetchall() == meters
    counts = {
        "job": "account", "piece": "account", "identity": "account", "decision": "account",
        "sanction": "account", "membership": "account", "matter": "account", "act": "subject",
    }  # fmt: skip
    for table, column in counts.items():
        sql = f"SELECT count(*) FROM {table} WHERE {column} = ?"  # noqa: S608 - names of ours
        assert tx.execute(sql, (me,)).fetchone() == (0,), table
    left = tx.execute("SELECT why, job FROM ledger WHERE account = ?", (me,)).fetchall()
    assert set(left) == {("forgotten", None)}
    assert accounts.find(tx, WHO) is None


def test_who_is_being_drawn_for_waits_and_the_owner_stays(tx: sqlite3.Connection) -> None:
    me = people.meet(tx, WHO)
    people.submit(tx, me)
    people.claim(tx)
    with pytest.raises(Refusal, match="forget_running"):
        forget.forget(tx, me, NOW)
    owner = people.meet(tx, accounts.OWNER, owner=True)
    with pytest.raises(Refusal, match="forget_owner"):
        forget.forget(tx, owner, NOW)


def test_only_forgetting_may_delete_entries(tx: sqlite3.Connection) -> None:
    """The control: afterwards the ledger is append-only again, for this account too."""
    me = live(tx, 3)
    forget.forget(tx, me, NOW)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        tx.execute("DELETE FROM ledger WHERE account = ?", (me,))


def found(folder: Path) -> set[str]:
    """Which secrets stand in any file of the folder, in the bytes as they are."""
    data = b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
    return {secret for secret in SECRETS if secret.encode() in data}


@pytest.mark.parametrize("scrubbed", [True, False])
async def test_a_raw_search_of_every_byte_finds_nothing(tmp_path: Path, scrubbed: bool) -> None:
    """R34. The control: without the scrub the write-ahead log still has it all."""
    opened = await Database.open(tmp_path / "falopitas.db")
    me = await opened.write(live, 60)
    await opened.checkpoint()
    await opened.write(ledger.grant, me, 1, "grant", "late", NOW)
    assert found(tmp_path) == set(SECRETS)
    await opened.write(forget.forget, me, NOW + 60, durable=True)
    if scrubbed:
        await opened.scrub()
    assert (found(tmp_path) == set()) is scrubbed
    assert await opened.read(ledger.audit) == ()
    await opened.close()


def test_what_is_taken_along_is_everything(tx: sqlite3.Connection) -> None:
    me = live(tx)
    taken = forget.everything(tx, me)
    assert {each["who"] for each in taken["identities"]} == {WHO, OTHER}
    assert all(PROMPT in each["request"]["prompt"] for each in taken["jobs"])
    assert len(taken["jobs"]) == 30
    assert sum(each["jobs"] for each in taken["usage"]) == 30
    assert taken["account"][0]["settings"] == {"negative": "lilac-negative"}
    assert [(each["period"], each["units"]) for each in taken["allowances"]] == [("day", 600_000)]
    assert [(each["what"], each["facts"]) for each in taken["moderation"]] == [
        ("warn", {"reason": "shout louder"})
    ]
    assert len(taken["pictures"]) == len(forget.files(tx, me)) > 20
    assert (
        sum(each["units"] for each in taken["ledger"] if each["purse"] is None)
        == taken["account"][0]["balance"]
    )
