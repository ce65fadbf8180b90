"""Forgetting: nothing of a person is left in the database, and the books still add up."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from storage import accounts, forget, ledger
from storage.database import Database
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.life import OTHER, PROMPT, SECRETS, WHO, live
from tests.storage.people import NOW


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
