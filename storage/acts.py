"""What moderators did: each act once, with its subject, its facts and the way back.

Rows are never changed but to say that they were undone.

A way back is data, not code: a list of steps, each of which puts one row as it was. So an act can be undone
after a restart and by a newer program.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from storage import allowances, jobs, policy, rulebook, sanctions
from storage.allowances import Allowance, Kind, Scene
from storage.calendar import Hours, Tariff
from storage.policy import Policy
from storage.refusal import Refusal

Step: TypeAlias = Sequence[Any]
"""Its kind, then its values: a method of ``_Undo`` and what it takes."""


@dataclass(frozen=True, slots=True)
class Act:
    """``what`` names the command (``quota.set``) and its sentence; ``facts`` fill it."""

    id: int
    community: str
    moderator: int
    what: str
    subject: int | None
    facts: dict[str, Any]
    back: tuple[Step, ...]
    at: float
    undone: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What an act did, as it is recorded; without ``back`` it cannot be undone."""

    facts: Mapping[str, Any]
    back: Sequence[Step] = ()
    subject: int | None = None


_SELECT = "SELECT id, community, moderator, what, subject, facts, back, at, undone FROM act"


def _act(row: tuple[Any, ...]) -> Act:
    number, community, moderator, what, subject, facts, back, at, undone = row
    steps = tuple(msgspec.json.decode(back or "[]"))
    return Act(
        number, community, moderator, what, subject, msgspec.json.decode(facts), steps, at, bool(undone)
    )


def by_key(tx: sqlite3.Connection, key: str) -> Act | None:
    """The act that this event did, or None."""
    row = tx.execute(f"{_SELECT} WHERE key = ?", (key,)).fetchone()
    return None if row is None else _act(row)


def record(
    tx: sqlite3.Connection, community: str, moderator: int, what: str, change: Change, key: str, now: float
) -> Act:
    """Write down what was done, in the transaction that did it."""
    facts, back = (msgspec.json.encode(each).decode() for each in (dict(change.facts), list(change.back)))
    row = tx.execute(
        "INSERT INTO act (community, moderator, what, subject, facts, back, at, key) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (community, moderator, what, change.subject, facts, back if change.back else "", now, key),
    ).fetchone()
    kept = dict(change.facts), tuple(change.back)
    return Act(int(row[0]), community, moderator, what, change.subject, *kept, now, False)


def newest(tx: sqlite3.Connection, community: str, limit: int, before: int | None = None) -> tuple[Act, ...]:
    """The newest acts in a community with ids below ``before``."""
    rows = tx.execute(
        f"{_SELECT} WHERE community = ? AND id < ? ORDER BY id DESC LIMIT ?",
        (community, before or 2**62, limit),
    ).fetchall()
    return tuple(_act(row) for row in rows)


def last(tx: sqlite3.Connection, community: str) -> Act:
    """The newest that can be undone and was not. Raises Refusal nothing_to_undo."""
    row = tx.execute(
        f"{_SELECT} WHERE community = ? AND undone = 0 AND back <> '' ORDER BY id DESC LIMIT 1", (community,)
    ).fetchone()
    if row is None:
        raise Refusal("nothing_to_undo")
    return _act(row)


def get(tx: sqlite3.Connection, community: str, act_id: int) -> Act:
    """An act of this community that can be undone. Raises Refusal nothing_to_undo."""
    act = any_of(tx, community, act_id)
    if act is None or act.undone or not act.back:
        raise Refusal("nothing_to_undo")
    return act


def any_of(tx: sqlite3.Connection, community: str, act_id: int) -> Act | None:
    """An act of this community, or None."""
    row = tx.execute(f"{_SELECT} WHERE community = ? AND id = ?", (community, act_id)).fetchone()
    return None if row is None else _act(row)


_WHY_SQL = """
    SELECT facts FROM act WHERE subject = ? AND what = ? AND undone = 0
    AND json_extract(facts, '$.job') = ? ORDER BY id DESC LIMIT 1
"""


def why(tx: sqlite3.Connection, what: str, account: int, job: int) -> str:
    """The reason with which a moderator did that to the pictures of an account's job, if they said one."""
    row = tx.execute(_WHY_SQL, (account, what, job)).fetchone()
    return "" if row is None else str(msgspec.json.decode(row[0]).get("reason", ""))


def stands(tx: sqlite3.Connection, what: str, account: int, job: int) -> bool:
    """Did a moderator do that to the pictures of an account's job, and nobody undo it?"""
    return tx.execute(_WHY_SQL, (account, what, job)).fetchone() is not None


def undo(tx: sqlite3.Connection, act: Act, now: float) -> None:
    """Put everything as it was before, the last first; ``act`` must not be undone yet."""
    for number, (kind, *values) in reversed(list(enumerate(act.back))):
        getattr(_Undo(tx, f"undo:{act.id}:{number}", now), kind)(*values)
    tx.execute("UPDATE act SET undone = 1 WHERE id = ?", (act.id,))


# --- ways back: made before a row is changed, walked when the change is undone


def policy_back(community: str, channel: str, before: Policy, after: Policy) -> list[Step]:
    """What changed of a policy as it was (None: not decided). What is decided later of other parts stays:
    each tariff's hours, and each role's share, are a part of their own.
    """
    old = msgspec.to_builtins(before)
    parts = {name: old.get(name) for name in policy.differing(before, after) if name not in _DIVIDED}
    steps: list[Step] = [("parts", community, channel, parts)]
    for tariff in policy.retariffed(before, after):
        hours = msgspec.to_builtins(policy.at_tariff(before, tariff))
        steps.append(("hours", community, channel, tariff, hours))
    shares, now = before.weights or {}, after.weights or {}
    for role in {**shares, **now}:
        if shares.get(role) != now.get(role):
            steps.append(("share", community, channel, role, shares.get(role)))
    return steps


_DIVIDED = frozenset(["hours", "weights"])


def allowance_back(tx: sqlite3.Connection, community: str, kind: Kind, key: str) -> Step:
    """An allowance as it is now."""
    now = allowances.get(tx, community, kind, key)
    return ("allowance", community, kind, key, now.period if now else None, now.units if now else 0)


def units_back(account: int, community: str, units: int) -> Step:
    """Units that are given (or taken, if negative)."""
    return ("units", account, community, units)


def sanction_back(ids: Sequence[int], *, ended: bool) -> Step:
    """Sanctions that are to be over again, or to count again."""
    return ("sanction", list(ids), ended)


def shown_back(job: int, shown: str) -> Step:
    """How a job's pictures are shown now."""
    return ("shown", job, shown)


@dataclass(frozen=True, slots=True)
class _Undo:
    """What walks a step back: one transaction, one moment, a key of its own."""

    tx: sqlite3.Connection
    key: str
    now: float

    def parts(self, community: str, channel: str, before: dict[str, Any]) -> None:
        now = msgspec.to_builtins(policy.said(self.tx, community, channel)) | before
        policy.save(self.tx, community, channel, msgspec.convert(now, Policy))

    def hours(self, community: str, channel: str, tariff: Tariff, before: list[Any]) -> None:
        now = policy.said(self.tx, community, channel)
        others = [each for each in now.hours or () if each.tariff != tariff]
        hours = (*others, *msgspec.convert(before, tuple[Hours, ...])) or None
        policy.save(self.tx, community, channel, msgspec.structs.replace(now, hours=hours))

    def share(self, community: str, channel: str, role: str, before: float | None) -> None:
        now = policy.said(self.tx, community, channel)
        others = {each: share for each, share in (now.weights or {}).items() if each != role}
        weights = others | ({role: before} if before is not None else {})
        policy.save(self.tx, community, channel, msgspec.structs.replace(now, weights=weights or None))

    def policy(self, community: str, channel: str, said: str) -> None:  # of acts that did not say which parts
        policy.save(self.tx, community, channel, msgspec.json.decode(said, type=Policy))

    def allowance(self, community: str, kind: Kind, key: str, period: Any, units: int) -> None:
        if period is None:
            allowances.drop(self.tx, community, kind, key)
        else:
            allowances.decide(self.tx, Allowance(community, kind, key, period, units))

    def units(self, account: int, community: str, units: int) -> None:
        allowances.give(self.tx, account, Scene(community), units, "undo", self.key, self.now)

    def sanction(self, ids: list[int], ended: bool) -> None:
        sanctions.end(self.tx, tuple(ids), ended=ended)

    def rule(self, community: str, kind: str, text: str, there: bool) -> None:
        rulebook.put(self.tx, community, kind, text, there=there)

    def membership(self, community: str, role: str, account: int, leave: bool) -> None:
        allowances.join(self.tx, community, role, account, leave=leave)

    def hold(self, job: int, release: bool) -> None:
        jobs.hold(self.tx, job, release=release)

    def shown(self, job: int, shown: str) -> None:
        jobs.show_as(self.tx, job, shown)
