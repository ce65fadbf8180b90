"""What I have left, when it refills, the last entries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

from bot.app import App
from bot.commands import drawing
from bot.commands.common import meet, scene_of
from bot.commands.mod.quota import left
from bot.talk import Call, Reply
from bot.texts import in_credits, moment, say
from inference.request import UNITS
from storage import allowances, ledger, policy, sanctions
from storage.accounts import Account
from storage.calendar import Moment
from storage.database import Connection
from storage.ledger import Entry

SHOWN = 8
"""Entries in one answer."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What I may still spend."""


async def answer(ask: Quota, call: Call, app: App) -> AsyncIterator[Reply]:
    """Balance, next refill and the newest entries that moved something."""
    account = await meet(call, app)
    balance, entries, pots, marks = await app.database.read(_books, account, call, app.clock())
    fields = [(say(call.language, "drawing.left"), drawing.left_today(call.language, account, balance))]
    fields += [*pots, *marks]
    if not account.unlimited and not pots:
        at, to = ledger.refills_at(app.clock()), app.config.daily_credits * UNITS
        fields.append(
            (say(call.language, "quota.refill"), say(call.language, "quota.refill_at", at=at, to=to))
        )
    fields += [(moment(call.language, each.at), _line(each, call.language)) for each in entries]
    yield Reply(title=say(call.language, "quota.title"), fields=tuple(fields), private=True)


_Lines: TypeAlias = list[tuple[str, str]]


def _books(
    tx: Connection, account: Account, call: Call, now: float
) -> tuple[int, list[Entry], _Lines, _Lines]:
    """What is left, the entries that moved something, every allowance that counts here, what is held against
    them.
    """
    scene = scene_of(call)
    moved = [each for each in ledger.entries(tx, account.id, 3 * SHOWN) if each.units]
    if account.unlimited:
        return 0, moved[:SHOWN], [], []
    pots = [
        (say(call.language, f"quota.of.{each.allowance.kind}"), left(each, call.language))
        for each in allowances.pots(tx, account.id, scene, now)
    ]
    zone = policy.counts(tx, call.community).zone or "UTC"
    marks = [
        (say(call.language, f"mod.sanction.{each.kind}"), _until(each, zone, call.language))
        for each in sanctions.of_account(tx, call.community, account.id, now)
    ]
    return allowances.spendable(tx, account.id, scene, now), moved[:SHOWN], pots, marks


def _until(mark: sanctions.Sanction, zone: str, language: str) -> str:
    until = moment(language, Moment(mark.until, zone)) if mark.until else say(language, "mod.open_end")
    return f"{until} · {mark.reason}".rstrip(" ·")


def _line(entry: Entry, language: str) -> str:
    sign = "+" if entry.units > 0 else "−"
    amount = f"{sign}{in_credits(language, abs(entry.units))}"
    why = say(language, f"quota.why.{entry.why}")
    return f"{amount} · {why}" + (f" · #{entry.job}" if entry.job else "")
