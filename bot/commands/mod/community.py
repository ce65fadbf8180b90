"""``/mod community``: language, time zone, hours, open channels, who may ask, what is shown and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from bot.app import App
from bot.commands import choose
from bot.commands.mod.common import (
    change,
    channel_of,
    confirmed,
    is_all,
    moderator,
    role_of,
    units,
)
from bot.commands.mod.limits import Lift, lifted, rewrite, shown
from bot.commands.mod.parts import hours_in_words
from bot.options import CHOICES, Option, nearest
from bot.talk import Call, Reply, lane
from bot.texts import LANGUAGES, say
from storage import policy
from storage.accounts import Account
from storage.acts import Change
from storage.calendar import Hours, Tariff, read_hours, zones
from storage.database import Connection
from storage.refusal import Refusal

NAMES = ("language", "zone", "hours", "only", "who", "nsfw", "adult", "retention", "gifts", "desk")
"""What of a policy is shown here."""
_TOLD = ("hours", "gifts", "desk", "retention")
"""Of these, what is shown in sentences of their own."""

_SPANISH = {"retener": "withhold", "cubrir": "spoiler", "permitir": "allow"}


@dataclass(frozen=True, slots=True)
class Community:
    """How this community is, or how it is from now on; ``lift`` names a part to take back, or ``all``."""

    language: Annotated[str | None, Option("language", ("idioma",), choices="languages")] = None
    zone: Annotated[str | None, Option("zone", ("zona",), rest=True, longest=100)] = None
    free: Annotated[str | None, Option("free", ("gratis", "libre"), rest=True, longest=100)] = None
    half: Annotated[str | None, Option("half", ("mitad",), rest=True, longest=100)] = None
    closed: Annotated[str | None, Option("closed", ("cerrado",), rest=True, longest=100)] = None
    only: Annotated[
        str | None, Option("only", ("solo", "sólo"), names="channel", rest=True, longest=1_000)
    ] = None
    who: Annotated[str | None, Option("who", ("quien", "quién"), names="role", rest=True, longest=1_000)] = (
        None
    )
    nsfw: Annotated[str | None, Option("nsfw", choices="nsfw")] = None
    adult: Annotated[str | None, Option("adult", ("adultos",), choices="nsfw")] = None
    channel: Annotated[str, Option("channel", ("canal",), names="channel", longest=300)] = ""
    retention: Annotated[int | None, Option("retention", ("guardar", "conservar"), low=0, high=36_500)] = None
    gifts: Annotated[float | None, Option("gifts", ("regalos",), low=0, high=100_000)] = None
    desk: Annotated[bool, Option("desk", ("mesa",))] = False
    lift: Lift = None


async def answer(ask: Community, call: Call, app: App) -> AsyncIterator[Reply]:
    """Show how it is, or change it."""
    await moderator(call, app)
    said = _said(ask, call)

    def work(tx: Connection, who: Account) -> Change:
        wanted = dict(said)
        if ask.only is not None:
            wanted["only"] = tuple(channel_of(tx, each, call) for each in _names(ask.only, "#"))
        if ask.who is not None:
            wanted["who"] = _roles(tx, _names(ask.who, "@"), call)
        before = policy.said(tx, call.community)
        hours = _hours(ask, lifted(ask, NAMES, before).get("hours", before.hours) or ())
        wanted |= {"hours": hours} if hours is not None else {}
        channel = channel_of(tx, ask.channel, call) if ask.channel else ""
        return rewrite(tx, call.community, channel, wanted, ask, NAMES)

    if any((said, ask.only, ask.who, ask.free, ask.half, ask.closed, ask.lift)):
        done = await change(call, app, "community", work)
        hours = done.facts["parts"].get("hours")
        remarks = await app.database.read(zoneless, call) if hours else ()
        yield await confirmed(done, call, app, fields=remarks)
        return
    fields = await app.database.read(_shown, call, app.config.retention_days, app.clock())
    yield Reply(
        say(call.language, "mod.community.text"), title=say(call.language, "mod.community.title"),
        fields=fields, private=True,
    )  # fmt: skip


def _kept(language: str, here: int | None, house: int) -> str:
    days = house if here is None else here
    return say(language, "mod.retention.days", n=days) if days else say(language, "mod.retention.kept")


def _said(ask: Community, call: Call) -> dict[str, Any]:
    said = {
        "language": ask.language and choose.one_of("language", ask.language, LANGUAGES),
        "zone": ask.zone and zone(ask.zone),
        "nsfw": ask.nsfw and _choice(ask.nsfw),
        "adult": ask.adult and _choice(ask.adult),
        "retention": ask.retention,
        "gifts": None if ask.gifts is None else units(ask.gifts),
        "desk": lane(call.place) if ask.desk else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def zone(text: str) -> str:
    """The time zone that was meant: its name, or its city. Raises Refusal unknown_zone."""
    known = zones()
    name = text.strip().casefold()
    found = known.get(name) or known.get(name.replace(" ", "_"))
    if found is None:
        raise Refusal("unknown_zone", name=text[:60], near=known.get(nearest(name, known), "UTC"))
    return found


def _choice(text: str) -> str:
    known = dict.fromkeys(CHOICES["nsfw"]) | _SPANISH
    if text.casefold() not in known:
        raise Refusal("bad_choice", flag="nsfw", value=text[:40], known=", ".join(CHOICES["nsfw"]))
    return known[text.casefold()] or text.casefold()


def _names(text: str, mark: str) -> list[str]:
    return [each.lstrip(mark) for each in text.replace(",", " ").split()]


def _roles(tx: Connection, names: list[str], call: Call) -> tuple[str, ...]:
    """The roles that alone may ask; for everybody it takes none."""
    if any(is_all(tx, each, call) for each in names):
        return ()
    return tuple(role_of(tx, each, call) for each in names)


def _hours(ask: Community, before: tuple[Hours, ...]) -> tuple[Hours, ...] | None:
    """The hours of the day with those of a tariff that was said in place of what it had."""
    said: dict[Tariff, str | None] = {"free": ask.free, "half": ask.half, "closed": ask.closed}
    if not any(said.values()):
        return None
    kept = tuple(each for each in before if not said[each.tariff])
    return kept + tuple(
        read_hours(part, tariff)
        for tariff, text in said.items()
        if text
        for part in text.replace(",", " ").split()
    )


def _shown(tx: Connection, call: Call, retention: int, now: float) -> tuple[tuple[str, str], ...]:
    counts, language = policy.counts(tx, call.community), call.language
    gifts = policy.GIFTS if counts.gifts is None else counts.gifts
    lines = shown(tx, call, "", tuple(each for each in NAMES if each not in _TOLD), now)
    desk = say(
        language,
        "mod.here" if counts.desk == lane(call.place) else "mod.elsewhere" if counts.desk else "mod.nowhere",
    )
    return (
        *lines, *hours_shown(tx, call),
        (say(language, "mod.policy.retention"), _kept(language, counts.retention, retention)),
        (say(language, "mod.policy.gifts"), say(language, "mod.gifts_a_day", units=gifts)),
        (say(language, "mod.policy.desk"), desk),
    )  # fmt: skip


def hours_shown(tx: Connection, call: Call) -> tuple[tuple[str, str], ...]:
    """The hours that count here, and whose clock they are read on if nobody said."""
    hours = hours_in_words(policy.counts(tx, call.community).hours or (), call.language)
    return (*hours, *(zoneless(tx, call) if hours else ()))


def zoneless(tx: Connection, call: Call) -> tuple[tuple[str, str], ...]:
    """That hours are UTC, where nobody said a zone."""
    if policy.counts(tx, call.community).zone:
        return ()
    return ((say(call.language, "mod.policy.zone"), say(call.language, "mod.zoneless")),)
