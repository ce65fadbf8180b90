"""R35: whoever is blocked stays blocked: by no link, no leaving, no forgetting and no other chat."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest

from storage import accounts, acts, forget, jobs, sanctions
from storage.allowances import Scene
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.people import NOW, meet

Tx = sqlite3.Connection
ME, MINE, OTHER = "discord:1", "telegram:2", "discord:3"
TOWN = Scene("discord:town", "", ())


def _link(tx: Tx, who: str, to: str) -> None:
    tx.execute("DELETE FROM link_try")
    accounts.redeem(tx, accounts.link_code(tx, meet(tx, to), NOW), who, NOW)


def _forget(tx: Tx) -> None:
    forget.forget(tx, meet(tx, ME), NOW)


def _forget_and_join(tx: Tx) -> None:
    _forget(tx)
    _link(tx, ME, OTHER)


def _leave_and_join(tx: Tx) -> None:
    accounts.unlink(tx, ME, NOW)
    _link(tx, ME, OTHER)


WAYS: dict[str, Callable[[Tx], object]] = {
    "leaves the account": lambda tx: accounts.unlink(tx, ME, NOW),
    "joins a friend's": lambda tx: _link(tx, ME, OTHER),
    "leaves, and joins a friend's": _leave_and_join,
    "is forgotten": _forget,
    "is forgotten, and joins a friend's": _forget_and_join,
    "links the other chat elsewhere": lambda tx: _link(tx, MINE, OTHER),
}


def refused(tx: Tx, who: str, now: float = NOW) -> str:
    """The code with which this person's ask is refused there, or nothing."""
    new = replace(people.ask(meet(tx, who), price=0), scene=TOWN)
    try:
        jobs.submit(tx, new, now, limit=99)
    except Refusal as refusal:
        return refusal.code
    return ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "until"), [("block", NOW + 99), ("freeze", None)])
def test_what_forbids_goes_with_the_person(
    tx: Tx, way: str, kind: sanctions.Kind, until: float | None
) -> None:
    meet(tx, OTHER)
    me = meet(tx, ME)
    _link(tx, MINE, ME)
    sanctions.make(tx, TOWN.community, me, kind, "floods", NOW, until)
    WAYS[way](tx)
    code = {"block": "blocked", "freeze": "frozen"}[kind]
    assert [refused(tx, who) for who in (ME, MINE)] == [code, code]
    if until is not None:
        assert refused(tx, ME, until + 1) == ""
    assert people.audit(tx) == ()


def test_who_is_forgotten_leaves_no_reason_and_who_was_free_comes_back_free(tx: Tx) -> None:
    me = meet(tx, ME)
    sanctions.make(tx, TOWN.community, me, "warn", "a warning is forgotten", NOW, NOW + 99)
    sanctions.make(tx, TOWN.community, me, "block", "over", NOW - 9, NOW - 1)
    forget.forget(tx, me, NOW)
    assert "over" not in str(tx.execute("SELECT * FROM exiled").fetchall())
    assert refused(tx, ME) == ""
    assert tx.execute("SELECT count(*) FROM exiled").fetchone() == (0,)


def test_twenty_moves_of_a_chat_hold_no_more_against_anybody_than_one(tx: Tx) -> None:
    me, friend = meet(tx, ME), meet(tx, OTHER)
    _link(tx, MINE, ME)
    kinds: tuple[sanctions.Kind, ...] = ("block", "freeze", "warn")
    for kind in kinds:
        sanctions.make(tx, TOWN.community, me, kind, kind, NOW, NOW + 99)
    sanctions.make(tx, TOWN.community, me, "block", "over", NOW - 9, NOW)
    for to in (OTHER, ME) * 10:
        _link(tx, MINE, to)
    for account in (me, friend):
        found = sanctions.of_account(tx, TOWN.community, account, NOW)
        assert [each.kind for each in found] == [*kinds]
    assert tx.execute("SELECT count(*) FROM sanction WHERE reason = 'over'").fetchone() == (1,)
    _link(tx, ME, OTHER)  # the last of them: one account has all
    assert tx.execute("SELECT count(*) FROM sanction WHERE account = ?", (friend,)).fetchone() == (3,)


def test_a_sanction_is_listed_once_however_many_accounts_its_person_has(tx: Tx) -> None:
    """The newest first, as they were made."""
    me = meet(tx, ME)
    _link(tx, MINE, ME)
    made = [sanctions.make(tx, TOWN.community, me, "warn", each, NOW, NOW + 99) for each in ("one", "two")]
    _link(tx, MINE, OTHER)
    made.append(sanctions.make(tx, TOWN.community, meet(tx, "discord:9"), "block", "three", NOW, NOW + 99))
    assert tx.execute("SELECT count(*) FROM sanction").fetchone() == (5,)
    assert [each.id for each in sanctions.all_of(tx, TOWN.community, NOW)] == made[::-1]


@pytest.mark.parametrize("way", ["leaves", "is forgotten"])
def test_what_was_lifted_does_not_come_back_with_who_was_away(tx: Tx, way: str) -> None:
    me = meet(tx, ME)
    _link(tx, MINE, ME)
    made = sanctions.make(tx, TOWN.community, me, "block", "floods", NOW, NOW + 99)
    _link(tx, MINE, OTHER)
    if way == "leaves":
        accounts.unlink(tx, MINE, NOW)
    else:
        forget.forget(tx, meet(tx, MINE), NOW)
    sanctions.end(tx, (made,))
    assert [refused(tx, who) for who in (ME, MINE, OTHER)] == ["", "", ""]


def test_who_came_back_is_freed_where_the_first_block_was_lifted_and_blocked_where_that_was_undone(
    tx: Tx,
) -> None:
    me = meet(tx, ME)
    _link(tx, MINE, ME)
    made = sanctions.make(tx, TOWN.community, me, "block", "floods", NOW, NOW + 99)
    accounts.unlink(tx, MINE, NOW)
    assert refused(tx, MINE) == "blocked"
    change = acts.Change({}, [acts.sanction_back([made], ended=True)], me)
    acts.undo(tx, acts.record(tx, TOWN.community, me, "block", change, "a", NOW), NOW)
    assert [refused(tx, who) for who in (ME, MINE)] == ["", ""]
    sanctions.end(tx, (made,), ended=False)
    assert [refused(tx, who) for who in (ME, MINE)] == ["blocked", "blocked"]


def test_an_act_reaches_what_it_made_after_its_account_became_another(tx: Tx) -> None:
    me = meet(tx, ME)
    _link(tx, MINE, ME)
    made = sanctions.make(tx, TOWN.community, me, "block", "floods", NOW, NOW + 99)
    _link(tx, MINE, OTHER)
    _link(tx, ME, OTHER)
    assert refused(tx, ME) == "blocked"
    sanctions.end(tx, (made,))
    assert refused(tx, ME) == ""


def test_nothing_is_kept_of_who_went_once_it_is_over_and_a_year_of_what_has_no_end(tx: Tx) -> None:
    def kept(now: float) -> int:
        accounts.expire_marks(tx, now)
        return int(tx.execute("SELECT count(*) FROM exiled").fetchone()[0])

    made: tuple[tuple[str, sanctions.Kind, float | None], ...] = (
        (ME, "block", NOW - 1), (MINE, "block", NOW + 99), (OTHER, "freeze", None),
    )  # fmt: skip
    for who, kind, until in made:
        account = meet(tx, who)
        sanctions.make(tx, TOWN.community, account, kind, "", NOW - 9, until)
        forget.forget(tx, account, NOW)
    year = NOW + sanctions.YEAR
    assert [kept(now) for now in (NOW, NOW + 98, NOW + 99, year - 1, year)] == [2, 2, 1, 1, 0]
    assert tx.execute("SELECT count(*) FROM forgotten").fetchone() == (0,)


def test_without_it_a_blocked_person_is_free_by_leaving(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(sanctions, "exile", lambda *_: None)
    me = meet(tx, ME)
    _link(tx, MINE, ME)
    sanctions.make(tx, TOWN.community, me, "block", "floods", NOW, NOW + 99)
    accounts.unlink(tx, ME, NOW)
    assert refused(tx, ME) == ""
