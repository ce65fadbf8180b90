"""People, across chats: one account may be known as several whos, joined by a code."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from inference.request import MAX_COUNT, MAX_STEPS, Name, Prompt
from storage import ledger, sanctions, stats
from storage.group import Recorded
from storage.refusal import Refusal

OWNER = "terminal:owner"
"""The who of the person in front of the machine; their account is unlimited."""
CODE_SECONDS = 600
"""A link code is good for ten minutes, and for one redemption."""
CODE_LENGTH = 8
CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""No 0/O, 1/I/L: 31⁸ ≈ 8.5 × 10¹¹ codes."""
TRIES = 5
"""Codes an account may make, and guesses a who may make, in ten minutes."""


class Settings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person wants when they do not say it; None is "as usual". Newer programs' fields are ignored."""

    model: Name | None = None
    style: Annotated[str, Meta(max_length=64)] | None = None
    sampler: Name | None = None
    aspect: Annotated[str, Meta(max_length=16)] | None = None
    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)] | None = None
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] | None = None
    guidance: Annotated[float, Meta(ge=0.0, le=30.0)] | None = None
    negative: Prompt | None = None
    language: Annotated[str, Meta(max_length=16)] | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A person. ``weight`` is their share of a busy machine; ``unlimited`` may go below 0 units."""

    id: int
    language: str
    unlimited: bool
    weight: float
    defaults: Settings
    created: float


_SELECT = "SELECT id, language, unlimited, weight, settings, created FROM account WHERE id = ?"


def get(tx: sqlite3.Connection, account_id: int) -> Account:
    """The account with this id. Raises LookupError: an id comes from a row, never from a person."""
    row = tx.execute(_SELECT, (account_id,)).fetchone()
    if row is None:
        raise LookupError(f"account {account_id}")
    number, language, unlimited, weight, settings, created = row
    defaults = msgspec.json.decode(settings, type=Settings)
    return Account(number, defaults.language or language, bool(unlimited), weight, defaults, created)


def find(tx: sqlite3.Connection, who: str) -> int | None:
    """The id of the account that ``who`` belongs to, or None for a stranger."""
    row = tx.execute("SELECT account FROM identity WHERE who = ?", (who,)).fetchone()
    return None if row is None else int(row[0])


def meet(
    tx: sqlite3.Connection, who: str, language: str, now: float, *, grant: int, unlimited: bool = False
) -> Account:
    """The account of ``who``; a stranger gets one, with ``grant`` units.

    The first grant comes once a who, ever: whoever unlinks and comes back waits for the next refill.
    """
    known = find(tx, who)
    if known is None:
        known = _make(tx, who, language, now, grant, unlimited)
    elif unlimited:
        tx.execute("UPDATE account SET unlimited = 1 WHERE id = ? AND unlimited = 0", (known,))
    return get(tx, known)


def _make(tx: sqlite3.Connection, who: str, language: str, now: float, grant: int, unlimited: bool) -> int:
    row = tx.execute(
        "INSERT INTO account (language, unlimited, weight, finish, created) VALUES (?, ?, 1.0, 0.0, ?) "
        "RETURNING id",
        (language, int(unlimited), now),
    ).fetchone()
    account = int(row[0])
    tx.execute("INSERT INTO identity (who, account) VALUES (?, ?)", (who, account))
    if _forgotten(tx, who, now) is None:
        ledger.grant(tx, account, grant, "grant", f"grant:first:{_hidden(tx, who)}", now)
    sanctions.come_back(tx, _hidden(tx, who), account, now)
    return account


AGAIN = 2 * 86_400.0
"""Seconds for which a salted mark of somebody who was forgotten stays."""


def _forgotten(tx: sqlite3.Connection, who: str, now: float) -> float | None:
    """Until when they count as just forgotten."""
    row = tx.execute(
        "SELECT until FROM forgotten WHERE mark = ? AND until > ? AND until <= ?",
        (_hidden(tx, who), now, now + AGAIN),
    ).fetchone()
    return None if row is None else float(row[0])


def mark_forgotten(tx: sqlite3.Connection, who: str, now: float) -> None:
    """Remember for two days that they were forgotten. Raises Refusal forget_again(until) if they were."""
    until = _forgotten(tx, who, now)
    if until is not None:
        raise Refusal("forget_again", until=until)
    tx.execute("DELETE FROM forgotten WHERE until <= ? OR until > ?", (now, now + AGAIN))
    tx.execute("INSERT INTO forgotten (mark, until) VALUES (?, ?)", (_hidden(tx, who), now + AGAIN))
    known = find(tx, who)
    if known is not None:
        sanctions.exile(tx, _hidden(tx, who), known, now)


def expire_marks(tx: sqlite3.Connection, now: float) -> None:
    """Forget that somebody was forgotten, and what forbade them something, once it is over."""
    tx.execute("DELETE FROM forgotten WHERE until <= ?", (now,))
    sanctions.expire(tx, now)


def last_forgotten(tx: sqlite3.Connection) -> float | None:
    """When somebody was last forgotten, if that is known still."""
    (until,) = tx.execute("SELECT max(until) FROM forgotten").fetchone()
    return None if until is None else float(until) - AGAIN


def who_of(tx: sqlite3.Connection, account_id: int) -> tuple[str, ...]:
    """Every who of an account, sorted."""
    rows = tx.execute("SELECT who FROM identity WHERE account = ? ORDER BY who", (account_id,)).fetchall()
    return tuple(str(who) for (who,) in rows)


def save_settings(tx: sqlite3.Connection, account_id: int, settings: Settings) -> None:
    """Replace a person's defaults."""
    text = msgspec.json.encode(settings).decode()
    tx.execute("UPDATE account SET settings = ? WHERE id = ?", (text, account_id))


# --- one person in two chats


def link_code(tx: sqlite3.Connection, account_id: int, now: float) -> str:
    """A fresh code for ``redeem``, good for ten minutes; older ones of this account end here.

    Raises Refusal link_tries(until) after 5 codes in ten minutes.
    """
    _count_try(tx, f"code:{account_id}", now)
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    tx.execute("DELETE FROM link WHERE account = ? OR expires <= ?", (account_id, now))
    tx.execute(
        "INSERT INTO link (code, account, expires) VALUES (?, ?, ?)",
        (_hidden(tx, code), account_id, now + CODE_SECONDS),
    )
    return code


def redeem(tx: sqlite3.Connection, code: str, who: str, now: float) -> Account:
    """From now on ``who`` belongs to the account that made ``code``.

    If nobody else belongs to the account ``who`` had, all that was its comes along: jobs in every state,
    pictures, settings that the other has not chosen, a moderator's sanctions. Credits never do, so that
    nobody grows rich by linking; what a job that moved gives back goes to the account that paid.

    Raises Refusal link_tries(until) after 5 tries in ten minutes, link_expired for a wrong, used or old code,
    link_owner if ``who`` is the owner: their code is redeemed elsewhere, not the other way round.
    """
    _count_try(tx, f"try:{_hidden(tx, who)}", now)
    clean = code.upper().replace("-", "").replace(" ", "")
    row = tx.execute(
        "DELETE FROM link WHERE code = ? RETURNING account, expires", (_hidden(tx, clean),)
    ).fetchone()
    if row is None or row[1] <= now:
        raise Recorded("link_expired")
    account = get(tx, int(row[0]))
    _join(tx, who, account, now)
    return account


_MOVES = (
    # the queue: keys are unique in an account, and nobody's share is used up twice or forgotten
    "UPDATE job SET key = key || '~' || id WHERE account = :old AND EXISTS "
    "(SELECT 1 FROM job AS other WHERE other.account = :to AND other.key = job.key)",
    "UPDATE job SET account = :to WHERE account = :old",
    "UPDATE account SET finish = max(finish, (SELECT finish FROM account WHERE id = :old)) WHERE id = :to",
    "UPDATE piece SET account = :to WHERE account = :old",
    *stats.MOVES,
    # what moderators decided about a person stays with the person
    *sanctions.MOVES,
    "UPDATE decision SET account = :to WHERE account = :old",
    "UPDATE matter SET account = :to WHERE account = :old",
    "UPDATE OR IGNORE membership SET account = :to WHERE account = :old",
    "DELETE FROM membership WHERE account = :old",
    "DELETE FROM link WHERE account = :old",
)
"""What comes along when the last chat of an account joins another."""


def _join(tx: sqlite3.Connection, who: str, account: Account, now: float) -> None:
    before = find(tx, who)
    if before == account.id:
        return
    if before is not None and get(tx, before).unlimited:
        raise Refusal("link_owner")
    tx.execute(
        "INSERT INTO identity (who, account) VALUES (?, ?) "
        "ON CONFLICT (who) DO UPDATE SET account = excluded.account",
        (who, account.id),
    )
    sanctions.come_back(tx, _hidden(tx, who), account.id, now)
    if before is not None and who_of(tx, before):
        sanctions.follow(tx, before, account.id, now)
    elif before is not None:
        for statement in _MOVES:
            tx.execute(statement, {"to": account.id, "old": before})
        wishes = msgspec.structs.asdict(get(tx, before).defaults)
        chosen = {
            name: value
            for name, value in msgspec.structs.asdict(account.defaults).items()
            if value is not None
        }
        save_settings(tx, account.id, Settings(**(wishes | chosen)))
        tx.execute("UPDATE account SET settings = '{}' WHERE id = ?", (before,))  # nobody can change them now


def adopt(tx: sqlite3.Connection, who: str, account_id: int, now: float) -> Account:
    """From now on ``who`` belongs to this account, without a code: the caller knows that it may (the page's
    launch address). Raises Refusal link_owner as ``redeem`` does.
    """
    account = get(tx, account_id)
    _join(tx, who, account, now)
    return account


def revoke(tx: sqlite3.Connection, account_id: int) -> bool:
    """The account's code is worth nothing from now on; False if there was none."""
    gone = tx.execute("DELETE FROM link WHERE account = ? RETURNING code", (account_id,)).fetchone()
    return gone is not None


def unlink(tx: sqlite3.Connection, who: str, now: float) -> bool:
    """Take ``who`` out of its account; False if it is the only one there, for then all would be lost. What
    forbids them something waits for their return.
    """
    before = find(tx, who)
    if before is None or len(who_of(tx, before)) == 1:
        return False
    sanctions.exile(tx, _hidden(tx, who), before, now)
    tx.execute("DELETE FROM identity WHERE who = ?", (who,))
    return True


def _count_try(tx: sqlite3.Connection, subject: str, now: float) -> None:
    """Count one try; refuse the sixth within ten minutes. Tries in the future (a clock jumped) are void."""
    tx.execute("DELETE FROM link_try WHERE at <= ? OR at > ?", (now - CODE_SECONDS, now))
    tries, first = tx.execute(
        "SELECT count(*), min(at) FROM link_try WHERE subject = ?", (subject,)
    ).fetchone()
    if tries >= TRIES:
        raise Refusal("link_tries", until=first + CODE_SECONDS)
    tx.execute("INSERT INTO link_try (subject, at) VALUES (?, ?)", (subject, now))


def _hidden(tx: sqlite3.Connection, text: str) -> str:
    """``text`` as a salted hash: the same each time here, unreadable to whoever finds the file."""
    (salt,) = tx.execute("SELECT salt FROM meta WHERE id = 1").fetchone()
    return hashlib.sha256(bytes(salt) + text.encode()).hexdigest()
