"""The door of the queue: may this person ask for this, here, now, and what does it cost them?"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from inference.request import Request
from storage import allowances, policy, sanctions
from storage.allowances import Scene, Share
from storage.calendar import TARIFFS, Moment, ends_at, tariff_at
from storage.policy import Policy
from storage.refusal import Refusal

MINUTE = 60.0
NEW = 3 * 86_400.0
"""Seconds for which somebody is a newcomer, unless a moderator gave them something of their own here."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a job costs here and now, who pays, and how many times a usual share of a busy machine it gets."""

    price: int
    shares: tuple[Share, ...]
    weight: float = 1.0


def admit(
    tx: sqlite3.Connection, account: int, scene: Scene, request: Request, price: int, now: float,
    *, approved: bool = False,
) -> Ticket:  # fmt: skip
    """Let a request in. Raises Refusal, in this order: blocked, frozen, raid, not_here, not_you, limit_…,
    closed, too_fast, crowded, at_once, over_…. One that a moderator ``approved`` comes at any pace, in a raid
    too.
    """
    _sanctioned(tx, account, scene, now)
    rules = policy.counts(tx, scene.community, scene.channel)
    roles = allowances.roles_of(tx, account, scene)
    fresh = not scene.moderates and is_new(tx, account, scene.community, now)
    if fresh and rules.raid is not None and now < rules.raid and not approved:
        raise Refusal("raid", until=Moment(rules.raid, rules.zone or "UTC"))
    _welcome(tx, rules, scene, roles)
    policy.check_request(rules, request)
    price = _tariff(rules, price, request.count, now)
    if not approved:
        _pace(tx, account, scene, rules, now)
    shares = allowances.payers(tx, account, scene, price, now)
    share = rules.newcomers if fresh and rules.newcomers is not None else 1.0
    return Ticket(price, shares, share * weight(rules, roles))


def _sanctioned(tx: sqlite3.Connection, account: int, scene: Scene, now: float) -> None:
    zone = policy.counts(tx, scene.community).zone or "UTC"
    found = sanctions.of_account(tx, scene.community, account, now)
    for each in found:
        until = None if each.until is None else Moment(each.until, zone)
        if each.kind == "block":
            raise Refusal("blocked", reason=each.reason, until=until)
        if each.kind == "freeze":
            raise Refusal("frozen", reason=each.reason)


def _welcome(tx: sqlite3.Connection, rules: Policy, scene: Scene, roles: tuple[str, ...]) -> None:
    if rules.only and scene.channel and scene.channel not in rules.only:
        raise Refusal("not_here", where=", ".join(f"#{titled(tx, each)}" for each in rules.only))
    if rules.who and scene.community and not set(rules.who) & set(roles):
        raise Refusal("not_you", who=", ".join(titled(tx, each) for each in rules.who))


def _tariff(rules: Policy, price: int, count: int, now: float) -> int:
    """The price at this hour: still a multiple of ``count``, so that each picture has its own."""
    zone = rules.zone or "UTC"
    hours = tariff_at(rules.hours or (), zone, now)
    if hours is None:
        return price
    if hours.tariff == "closed":
        raise Refusal("closed", opens=Moment(ends_at(hours, zone, now), zone))
    return round(price // count * TARIFFS[hours.tariff]) * count


_NEW_SQL = """
    SELECT account.created > ?3 AND NOT account.unlimited
        AND NOT EXISTS (SELECT 1 FROM membership WHERE account = ?1 AND community = ?2)
        AND NOT EXISTS (SELECT 1 FROM allowance WHERE community = ?2 AND kind = 'person'
            AND key = CAST(?1 AS TEXT))
    FROM account WHERE id = ?1
"""


def is_new(tx: sqlite3.Connection, account: int, community: str, now: float) -> bool:
    """Is this a newcomer there, for whom no moderator answered with a role or an allowance of their own?"""
    return bool(tx.execute(_NEW_SQL, (account, community, now - NEW)).fetchone()[0])


WAITING_SQL = """
    SELECT id, account, community FROM job
    WHERE status = 'queued' AND vouched = 0 AND (?1 = '' OR +community = ?1) AND (?2 = '' OR channel = ?2)
"""
"""Of what waits, never of all that was ever asked for there."""


def waiting_newcomers(
    tx: sqlite3.Connection, community: str, channel: str, now: float, *, but: int
) -> tuple[int, ...]:
    """The jobs that newcomers have waiting where a policy of this community, or of its ``channel``, counts
    (of the house: everywhere); none that is vouched for, and none of the account ``but``.
    """
    rows = sorted(tx.execute(WAITING_SQL, (community, channel)).fetchall())
    people = {(account, place) for _, account, place in rows if account != but}
    new = {person for person in people if is_new(tx, *person, now)}
    return tuple(job for job, *person in rows if tuple(person) in new)


CROWD_SQL = """
    SELECT created FROM job WHERE community = ? AND created > ? AND created <= ?
    ORDER BY created DESC LIMIT 1 OFFSET ?
"""
"""When the first of the newest so many of a minute was asked for; one of the future is a clock's mistake."""
_NEWEST_SQL = "SELECT created FROM job WHERE account = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
_UNFINISHED_SQL = """
    SELECT (SELECT count(*) FROM job WHERE account = ?1 AND status = 'queued')
        + (SELECT count(*) FROM job WHERE account = ?1 AND status = 'running')
"""


def _pace(tx: sqlite3.Connection, account: int, scene: Scene, rules: Policy, now: float) -> None:
    if rules.burst is not None:
        row = tx.execute(_NEWEST_SQL, (account, rules.burst - 1)).fetchone()
        if row is not None and now - MINUTE < row[0] <= now:  # one of the future is a clock's mistake
            raise Refusal("too_fast", limit=rules.burst, left=row[0] + MINUTE - now)
    if rules.crowd is not None:
        minute = (scene.community, now - MINUTE, now)
        row = tx.execute(CROWD_SQL, (*minute, rules.crowd - 1)).fetchone()
        if row is not None:
            raise Refusal("crowded", limit=rules.crowd, left=row[0] + MINUTE - now)
    if rules.at_once is not None:
        (unfinished,) = tx.execute(_UNFINISHED_SQL, (account,)).fetchone()
        if unfinished >= rules.at_once:
            raise Refusal("at_once", limit=rules.at_once)


def weight(rules: Policy, roles: tuple[str, ...]) -> float:
    """The largest share that one of the roles has; 1 where nobody decided."""
    return max((value for role, value in (rules.weights or {}).items() if role in roles), default=1.0)


def titled(tx: sqlite3.Connection, thing: str) -> str:
    """What a role or a channel is called, else itself."""
    row = tx.execute("SELECT name FROM title WHERE thing = ?", (thing,)).fetchone()
    return str(row[0]) if row else thing.partition(":")[2] or thing


def entitle(tx: sqlite3.Connection, titles: tuple[tuple[str, str], ...]) -> None:
    """Remember what things are called."""
    tx.executemany(
        "INSERT INTO title (thing, name) VALUES (?, ?) "
        "ON CONFLICT (thing) DO UPDATE SET name = excluded.name",
        [(thing, name[:100]) for thing, name in titles],
    )
