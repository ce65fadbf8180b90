"""What moderators are asked to decide: a refused request that its person appeals, a job that is reported.

A refusal is ``offered`` for two days, in case its person appeals, and then forgotten. An appeal keeps the
place in the queue that the request would have had.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from inference.request import Request
from storage import tallies
from storage.allowances import Scene
from storage.refusal import Refusal

KEPT = 2 * 86_400.0
"""Seconds for which a refusal can be appealed."""

State: TypeAlias = Literal["offered", "open", "approved", "upheld", "removed", "spoilered"]


class Origin(msgspec.Struct, frozen=True):
    """What a request was made from, and as what its person asked."""

    parent: int | None = None
    picture: int | None = None
    private: bool = False
    sent: bool = False
    roles: tuple[str, ...] = ()
    adult: bool = False


@dataclass(frozen=True, slots=True)
class New:
    """A refusal: ``rule`` found ``matched`` in the request."""

    account: int
    scene: Scene
    request: Request
    rule: str
    matched: str
    place: str
    language: str
    origin: Origin = Origin()  # noqa: RUF009 - frozen, and the same for all


@dataclass(frozen=True, slots=True)
class Matter:
    """``job`` is what is reported, ``card`` where moderators see it; ``told``: its person has the answer."""

    id: int
    kind: Literal["refusal", "report"]
    state: State
    community: str
    channel: str
    account: int
    job: int | None
    rule: str
    matched: str
    request: Request
    origin: Origin
    turn: float
    place: str
    language: str
    at: float
    card: str
    told: bool


_COLUMNS = """id, kind, state, community, channel, account, job, rule, matched, request, context, turn, place,
    language, at, card, told"""
_SELECT = f"SELECT {_COLUMNS} FROM matter"  # noqa: S608 - constants only


def _matter(row: tuple[object, ...]) -> Matter:
    request = msgspec.json.decode(str(row[9]), type=Request)
    origin = msgspec.json.decode(str(row[10]), type=Origin)
    fields = (*row[:9], request, origin, *row[11:16], bool(row[16]))
    return Matter(*fields)  # type: ignore[arg-type]  # a STRICT table: the columns have these types


_OFFER_SQL = """
    INSERT INTO matter (kind, state, community, channel, account, job, rule, matched, request, context, turn,
        place, language, at)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, max(meta.clock, account.finish), ?11, ?12, ?13
    FROM account, meta WHERE account.id = ?5 AND meta.id = 1 RETURNING id
"""


def offer(tx: sqlite3.Connection, new: New, now: float) -> int:
    """Remember a refused request for as long as it may be appealed; return its id."""
    tallies.count(tx, new.scene.community, "refused", now)
    return _add(tx, "refusal", "offered", new, None, now)


def _add(tx: sqlite3.Connection, kind: str, state: State, new: New, job: int | None, now: float) -> int:
    row = tx.execute(
        _OFFER_SQL,
        (
            kind, state, new.scene.community, new.scene.channel, new.account, job, new.rule, new.matched,
            msgspec.json.encode(new.request).decode(), msgspec.json.encode(new.origin).decode(), new.place,
            new.language, now,
        ),
    ).fetchone()  # fmt: skip
    return int(row[0])


def report(tx: sqlite3.Connection, new: New, job: int, now: float) -> int:
    """Somebody reports a job (``new.account`` is who drew it); the open one, if there is one already."""
    row = tx.execute("SELECT id FROM matter WHERE job = ? AND state = 'open'", (job,)).fetchone()
    if row is not None:
        return int(row[0])
    tallies.count(tx, new.scene.community, "reported", now)
    return _add(tx, "report", "open", new, job, now)


def contest(tx: sqlite3.Connection, new: New, job: int, now: float) -> int:
    """The person of a job that a safety check withheld asks for a second look, once. Raises Refusal
    already_appealed."""
    sql = "SELECT 1 FROM matter WHERE job = ? AND rule = ?"
    if tx.execute(sql, (job, new.rule)).fetchone() is not None:
        raise Refusal("already_appealed")
    tallies.count(tx, new.scene.community, "appealed", now)
    return _add(tx, "report", "open", new, job, now)


def get(tx: sqlite3.Connection, matter_id: int) -> Matter | None:
    """The matter with this id, or None."""
    row = tx.execute(f"{_SELECT} WHERE id = ?", (matter_id,)).fetchone()
    return None if row is None else _matter(row)


def appeal(tx: sqlite3.Connection, matter_id: int, account: int, now: float) -> Matter:
    """The person of a refusal asks for a second look. Raises Refusal no_matter, already_appealed."""
    matter = get(tx, matter_id)
    if matter is None or matter.account != account or matter.kind != "refusal" or matter.at < now - KEPT:
        raise Refusal("no_matter")
    if matter.state != "offered":
        raise Refusal("already_appealed")
    tx.execute("UPDATE matter SET state = 'open' WHERE id = ?", (matter_id,))
    tallies.count(tx, matter.community, "appealed", now)
    return matter


def opened(tx: sqlite3.Connection, community: str, limit: int) -> tuple[Matter, ...]:
    """What waits for a decision there, the oldest first."""
    sql = f"{_SELECT} WHERE community = ? AND state = 'open' ORDER BY id LIMIT ?"
    return tuple(_matter(row) for row in tx.execute(sql, (community, limit)).fetchall())


def decide(tx: sqlite3.Connection, matter_id: int, state: State, moderator: int, now: float) -> Matter:
    """Decide an open matter, once. Raises Refusal no_matter, already_decided."""
    matter = get(tx, matter_id)
    if matter is None or matter.state == "offered":
        raise Refusal("no_matter")
    if matter.state != "open":
        raise Refusal("already_decided")
    tx.execute("UPDATE matter SET state = ?, moderator = ? WHERE id = ?", (state, moderator, matter_id))
    tallies.count(tx, matter.community, state, now)
    return matter


_UNTOLD_SQL = f"""{_SELECT}
    WHERE told = 0 AND state <> 'offered' AND (state <> 'open' OR card = '') AND id > ? ORDER BY id LIMIT ?"""


def untold(tx: sqlite3.Connection, limit: int, after: int = 0) -> tuple[Matter, ...]:
    """Open ones of which no card was shown, and decided ones of which their person was not told; from the
    oldest on, behind the one with the id ``after``."""
    return tuple(map(_matter, tx.execute(_UNTOLD_SQL, (after, limit)).fetchall()))


def shown(tx: sqlite3.Connection, matter_id: int, card: str) -> None:
    """Its card is there now."""
    tx.execute("UPDATE matter SET card = ? WHERE id = ?", (card, matter_id))


def told(tx: sqlite3.Connection, matter_id: int) -> None:
    """Its person was told what was decided."""
    tx.execute("UPDATE matter SET told = 1 WHERE id = ?", (matter_id,))


def expire(tx: sqlite3.Connection, now: float) -> int:
    """Forget refusals that nobody appealed, and what was decided a month ago; return how many."""
    gone = tx.execute(
        "DELETE FROM matter WHERE (state = 'offered' AND at < ?) OR (told = 1 AND at < ?) RETURNING id",
        (now - KEPT, now - 30 * 86_400.0),
    ).fetchall()
    return len(gone)
