"""``/mod setup``: a whole community in one line of one's own words, all of it or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from bot import options
from bot.app import App
from bot.commands.mod import community, limits, wishes
from bot.commands.mod.common import (
    MOST,
    called,
    change,
    channel_of,
    check_generous,
    confirmed,
    is_person,
    lonely,
    meant,
    moderator,
    role_of,
    units,
)
from bot.commands.mod.quota import allowance_fields
from bot.options import Option
from bot.talk import Call, Reply
from bot.texts import say
from storage import acts, allowances, policy
from storage.accounts import Account
from storage.acts import Change, Step
from storage.allowances import Allowance
from storage.calendar import Hours
from storage.database import Connection
from storage.policy import Policy
from storage.refusal import Mistakes, Refusal

NAMES = ("only", "who", *limits.NAMES, "zone")
"""What of a policy is shown beside allowances and hours, where somebody decided it."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be, as one would say it; without words, how it is."""

    words: Annotated[str, Option("what", words=True, longest=wishes.LONGEST)] = ""


async def answer(ask: Setup, call: Call, app: App) -> AsyncIterator[Reply]:
    """Show what counts here with a line to begin from, or make all of it so at once."""
    await moderator(call, app)
    if not ask.words:
        fields = await app.database.read(_shown, call, app.clock())
        key = "mod.setup.text" if fields else "mod.setup.none"
        values = {"example": say(call.language, "command.mod.setup.example"), "n": app.config.daily_credits}
        title = say(call.language, "mod.setup.title")
        yield Reply(say(call.language, key, **values), title=title, fields=fields, private=True)
        return
    wanted = wishes.read(ask.words)
    said = _limits(wanted) | ({"zone": community.zone(wanted.zone)} if wanted.zone else {})

    def work(tx: Connection, who: Account) -> Change:
        wrong = Mistakes()
        portions = [wrong.tried(_allowance, tx, each, call, who, app) for each in wanted.portions]
        parts = wrong.tried(_parts, tx, wanted, call)
        wrong.say()
        decided = [each for each in portions if each]
        _check_once(tx, decided, call)
        facts = [[each.kind, each.key, each.units, each.period] for each in decided]
        back = [_decided(tx, each) for each in decided]
        changed = limits.rewritten(tx, call.community, "", said | (parts or {}))
        return Change({"allowances": facts, "parts": changed.facts["parts"]}, [*changed.back, *back])

    done = await change(call, app, "setup", work)
    fields = await app.database.read(_remarks, done.facts, call)
    yield await confirmed(done, call, app, fields=fields)


def _limits(wanted: wishes.Wishes) -> dict[str, Any]:
    """Checked as ``/mod limits`` would."""
    asked = options.build(limits.Limits, {name: str(value) for name, value in wanted.limits})
    return {name: getattr(asked, name) for name, _ in wanted.limits}


def _allowance(tx: Connection, portion: wishes.Portion, call: Call, who: Account, app: App) -> Allowance:
    """Raises Refusal for one person: what is said of them goes when they are forgotten."""
    if is_person(portion.who):
        raise Refusal("not_for_one", name=options.shown(portion.who))
    subject = meant(tx, portion.who, call, who.id, app, look=True)
    if subject.account is not None:
        raise Refusal("not_for_one", name=options.shown(portion.who))
    if portion.credits > MOST:
        raise Refusal("out_of_range", flag="credits", value=portion.credits, low=0, high=MOST)
    found = Allowance(call.community, subject.kind, subject.key, portion.period, units(portion.credits))
    if subject.kind not in allowances.SHARED:
        check_generous(round(found.units / allowances.days(found.period)), who, app)
    return found


def _check_once(tx: Connection, decided: list[Allowance], call: Call) -> None:
    """Refuse two allowances for the same: ``members`` and ``todos`` are one. Raises Refusal said_twice."""
    keys = [(each.kind, each.key) for each in decided]
    for kind, key in keys:
        if keys.count((kind, key)) > 1:
            raise Refusal("said_twice", name=called(tx, kind, key, call.language))


def _decided(tx: Connection, allowance: Allowance) -> Step:
    back = acts.allowance_back(tx, allowance.community, allowance.kind, allowance.key)
    allowances.decide(tx, allowance)
    return back


def _parts(tx: Connection, wanted: wishes.Wishes, call: Call) -> dict[str, Any]:
    """Channels, roles and hours: those that were said of a tariff stand in place of what it had."""
    parts: dict[str, Any] = {}
    if wanted.only:
        parts["only"] = tuple(dict.fromkeys(channel_of(tx, each, call) for each in wanted.only))
    if wanted.roles:
        parts["who"] = tuple(role_of(tx, each, call) for each in wanted.roles)
    if wanted.hours:
        parts["hours"] = _hours(policy.said(tx, call.community), wanted.hours)
    return parts


def _hours(before: Policy, said: tuple[Hours, ...]) -> tuple[Hours, ...]:
    tariffs = {each.tariff for each in said}
    return (*(each for each in before.hours or () if each.tariff not in tariffs), *said)


# --- what is said back


def _shown(tx: Connection, call: Call, now: float) -> tuple[tuple[str, str], ...]:
    return (
        *allowance_fields(tx, call),
        *limits.shown(tx, call, "", NAMES, now),
        *community.hours_shown(tx, call),
    )


def _remarks(tx: Connection, facts: dict[str, Any], call: Call) -> tuple[tuple[str, str], ...]:
    """What the moderator may not know yet: whose night it is, and that nobody has that role."""
    parts = msgspec.convert(dict(facts["parts"]), Policy)
    named = [key for kind, key, *_ in facts["allowances"] if kind == "role"]
    return (
        *(community.zoneless(tx, call) if parts.hours else ()),
        *(line for role in dict.fromkeys([*named, *(parts.who or ())]) for line in lonely(tx, role, call)),
    )
