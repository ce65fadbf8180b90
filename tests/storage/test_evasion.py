"""R35: whoever is blocked stays blocked: by no link, no leaving, no forgetting and no other chat."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest

from storage import accounts, forget, jobs, sanctions
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
    accounts.unlink(tx, ME)
    _link(tx, ME, OTHER)


WAYS: dict[str, Callable[[Tx], object]] = {
    "leaves the account": lambda tx: accounts.unlink(tx, ME),
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


def test_without_it_a_blocked_person_is_free_by_leaving(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(sanctions, "exile", lambda *_: None)
    me = meet(tx, ME)
    _link(tx, MINE, ME)
    sanctions.make(tx, TOWN.community, me, "block", "floods", NOW, NOW + 99)
    accounts.unlink(tx, ME)
    assert refused(tx, ME) == ""
