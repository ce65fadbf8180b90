"""``/mod quota``: what people, roles, channels and the community may spend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from bot.app import App
from bot.commands.mod.common import (
    Amount,
    Meant,
    Person,
    Subject,
    called,
    change,
    check_generous,
    confirmed,
    credits_line,
    lonely,
    meant,
    moderator,
    named,
    person_meant,
    units,
)
from bot.options import Option
from bot.talk import Call, Reply
from bot.texts import moment, say
from storage import acts, allowances, ledger, policy, review, sanctions
from storage.accounts import Account
from storage.acts import Change
from storage.allowances import Allowance, Pot, Scene
from storage.calendar import Moment, Period
from storage.database import Connection
from storage.refusal import Refusal

SHOWN = 20
"""Lines in one answer."""


@dataclass(frozen=True, slots=True)
class Show:
    """Every allowance here, or what one person has left."""

    subject: Subject = ""


@dataclass(frozen=True, slots=True)
class Set:
    """So many credits for them, a day, a week or a month."""

    subject: Subject
    credits: Amount
    period: Annotated[str, Option("per", ("por",), choices="periods")] = "day"


@dataclass(frozen=True, slots=True)
class Give:
    """So many credits on top of what a person has."""

    subject: Person
    credits: Amount


@dataclass(frozen=True, slots=True)
class Take:
    """So many of the credits on top away again, or as many as there are."""

    subject: Person
    credits: Amount


@dataclass(frozen=True, slots=True)
class Freeze:
    """A person spends nothing here until unfrozen."""

    subject: Person = ""
    reason: Annotated[str, Option("why", ("motivo",), words=True, longest=200)] = ""


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """A frozen person may spend again."""

    subject: Person = ""


@dataclass(frozen=True, slots=True)
class History:
    """The newest entries of a person's ledger."""

    subject: Person = ""


@dataclass(frozen=True, slots=True)
class Reset:
    """No allowance of their own for them: the next one that applies counts."""

    subject: Subject


# --- looking


async def show(ask: Show, call: Call, app: App) -> AsyncIterator[Reply]:
    """The allowances of this community, or one subject's."""
    me = await moderator(call, app)
    fields = await app.database.read(_shown, ask.subject or call.about, call, me.id, app)
    key = "mod.quota.text" if fields else "mod.quota.none"
    if ask.subject or call.about:
        key = "mod.quota.one" if fields else "mod.quota.nothing"
    yield Reply(
        say(call.language, key, n=app.config.daily_credits),
        title=say(call.language, "mod.quota.title"),
        fields=fields[:SHOWN],
        private=True,
    )


def _shown(tx: Connection, text: str, call: Call, me: int, app: App) -> tuple[tuple[str, str], ...]:
    now, language = app.clock(), call.language
    if not text:
        return allowance_fields(tx, call)
    subject = meant(tx, text, call, me, app, look=True)
    if subject.account is not None:
        return _person(tx, subject.account, call, now)
    wanted = allowances.get(tx, call.community, subject.kind, subject.key)
    return _pots(tx, [allowances.pot(tx, wanted, 0, now)] if wanted else [], language)


def allowance_fields(tx: Connection, call: Call) -> tuple[tuple[str, str], ...]:
    """Every allowance here, whose it is in front."""
    found = allowances.of_community(tx, call.community)
    return tuple(
        (called(tx, each.kind, each.key, call.language), line(each, call.language)) for each in found
    )


def _person(tx: Connection, account: int, call: Call, now: float) -> tuple[tuple[str, str], ...]:
    language = call.language
    mine = allowances.own(tx, account, Scene(call.community))
    fields = _pots(tx, [allowances.pot(tx, mine, account, now)] if mine else [], language)
    fields += ((say(language, "mod.quota.balance"), credits_line(language, ledger.balance(tx, account))),)
    for each in sanctions.of_account(tx, call.community, account, now):
        zone = policy.counts(tx, call.community).zone or "UTC"
        until = moment(language, Moment(each.until, zone)) if each.until else say(language, "mod.open_end")
        fields += ((say(language, f"mod.sanction.{each.kind}"), f"{until} · {each.reason}".rstrip(" ·")),)
    return fields


def line(allowance: Allowance, language: str) -> str:
    """An allowance in words."""
    period = say(language, f"mod.period.{allowance.period}")
    return say(language, "mod.quota.line", units=allowance.units, period=period)


def _pots(tx: Connection, pots: list[Pot], language: str) -> tuple[tuple[str, str], ...]:
    names = [called(tx, each.allowance.kind, each.allowance.key, language) for each in pots]
    return tuple((name, left(each, language)) for name, each in zip(names, pots, strict=True))


def left(pot: Pot, language: str) -> str:
    """What a pot has left, of what, and until when."""
    period = say(language, f"mod.period.{pot.allowance.period}")
    values = {"units": pot.allowance.units, "left": pot.left, "extra": pot.extra, "at": pot.refills}
    return say(language, "mod.quota.extra" if pot.extra else "mod.quota.left", period=period, **values)


async def history(ask: History, call: Call, app: App) -> AsyncIterator[Reply]:
    """A person's newest entries: no other community's, but to the owner."""
    me = await moderator(call, app)

    def entries(tx: Connection) -> tuple[str, str, tuple[ledger.Entry, ...]]:
        account = person_meant(tx, ask.subject, call, me.id, app, look=True)
        scope = None if me.unlimited else call.community
        zone = policy.counts(tx, call.community).zone or "UTC"
        name = called(tx, "person", str(account), call.language)
        return name, zone, review.history(tx, scope, account, SHOWN)

    name, zone, found = await app.database.read(entries)
    fields = tuple(
        (moment(call.language, Moment(each.at, zone)), _entry(each, call.language)) for each in found
    )
    yield Reply(title=say(call.language, "mod.quota.history", who=name), fields=fields, private=True)


def _entry(entry: ledger.Entry, language: str) -> str:
    sign = "+" if entry.units > 0 else "−" if entry.units else ""
    why = say(language, f"quota.why.{entry.why}")
    job = f" · #{entry.job}" if entry.job else ""
    return f"{sign}{credits_line(language, abs(entry.units))} · {why}{job}"


# --- changing


async def set_(ask: Set, call: Call, app: App) -> AsyncIterator[Reply]:
    """Decide an allowance."""

    def work(tx: Connection, who: Account) -> Change:
        subject = meant(tx, ask.subject, call, who.id, app)
        wanted = units(ask.credits)
        period = _period(ask.period)
        if subject.kind not in allowances.SHARED:
            check_generous(round(wanted / allowances.days(period)), who, app)
        back = acts.allowance_back(tx, call.community, subject.kind, subject.key)
        allowances.decide(tx, Allowance(call.community, subject.kind, subject.key, period, wanted))
        return Change(_facts(subject, units=wanted, period=period), [back], subject.account)

    done = await change(call, app, "quota.set", work)
    kind, key = done.facts.get("subject") or ("", "")
    fields = await app.database.read(lonely, key, call) if kind == "role" else ()
    yield await confirmed(done, call, app, fields=fields)


def _period(text: str) -> Period:
    known: dict[str, Period] = {
        "day": "day", "dia": "day", "día": "day", "week": "week", "semana": "week", "month": "month",
        "mes": "month",
    }  # fmt: skip
    if text.casefold() not in known:
        raise Refusal("bad_choice", flag="per", value=text[:40], known="day, week, month")
    return known[text.casefold()]


def _facts(subject: Meant, **values: object) -> dict[str, object]:
    """A person's name is not written down: it is looked up when it is shown."""
    return values if subject.account else {**values, "subject": [subject.kind, subject.key]}


async def reset(ask: Reset, call: Call, app: App) -> AsyncIterator[Reply]:
    """Take an allowance away."""

    def work(tx: Connection, who: Account) -> Change:
        subject = meant(tx, ask.subject, call, who.id, app)
        back = acts.allowance_back(tx, call.community, subject.kind, subject.key)
        allowances.drop(tx, call.community, subject.kind, subject.key)
        return Change(_facts(subject), [back], subject.account)

    yield await confirmed(await change(call, app, "quota.reset", work), call, app)


def _moved(ask: Give | Take, sign: int, call: Call, app: App, tx: Connection, who: Account) -> Change:
    account = person_meant(tx, ask.subject, call, who.id, app)
    wanted = sign * units(ask.credits)
    check_generous(wanted + (allowances.given(tx, account, app.clock()) if sign > 0 else 0), who, app)
    key = f"mod:{call.event}:{account}"
    scene = Scene(call.community, "", call.roles if account == who.id else ())
    moved = allowances.give(tx, account, scene, wanted, "give" if sign > 0 else "take", key, app.clock())
    back = [acts.units_back(account, call.community, -moved)] if moved else []
    return Change({"units": abs(moved)}, back, account)


async def give(ask: Give, call: Call, app: App) -> AsyncIterator[Reply]:
    """Give on top."""
    work = partial(_moved, ask, 1, call, app)
    yield await confirmed(await change(call, app, "quota.give", work), call, app)


async def take(ask: Take, call: Call, app: App) -> AsyncIterator[Reply]:
    """Take from what was given on top."""
    work = partial(_moved, ask, -1, call, app)
    yield await confirmed(await change(call, app, "quota.take", work), call, app)


async def freeze(ask: Freeze, call: Call, app: App) -> AsyncIterator[Reply]:
    """Let a person spend nothing here."""
    word, reason = named(ask.subject, ask.reason, call)

    def work(tx: Connection, who: Account) -> Change:
        account = person_meant(tx, word, call, who.id, app)
        made = sanctions.make(tx, call.community, account, "freeze", reason, app.clock(), None)
        return Change({"reason": reason}, [acts.sanction_back([made], ended=True)], account)

    yield await confirmed(await change(call, app, "quota.freeze", work), call, app)


async def unfreeze(ask: Unfreeze, call: Call, app: App) -> AsyncIterator[Reply]:
    """Let a person spend again."""

    def work(tx: Connection, who: Account) -> Change:
        account = person_meant(tx, ask.subject, call, who.id, app)
        return ended(tx, call, account, "freeze", app)

    yield await confirmed(await change(call, app, "quota.unfreeze", work), call, app)


_NONE = {"freeze": "no_freeze", "block": "no_block"}


def ended(tx: Connection, call: Call, account: int, kind: sanctions.Kind, app: App) -> Change:
    """End every sanction of this kind that this community made. Raises Refusal no_freeze, no_block."""
    found = sanctions.of_account(tx, call.community, account, app.clock(), kind)
    ids = [each.id for each in found if each.community == call.community]
    if not ids:
        raise Refusal(_NONE[kind])
    sanctions.end(tx, tuple(ids))
    return Change({}, [acts.sanction_back(ids, ended=False)], account)
