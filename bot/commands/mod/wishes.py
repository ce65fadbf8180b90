"""What a moderator wants, in their own words, as settings: ``members 20 a day, only #art, nights free``.

Pure text. A part that cannot be understood as a whole is said back; nothing is guessed from half of it. Both
languages are read at once, for people mix them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bot.options import amount, plain, shown
from storage.calendar import Hours, Period, Tariff, read_hours
from storage.refusal import Mistakes, Refusal


@dataclass(frozen=True, slots=True)
class Portion:
    """So many credits a period for whoever ``who`` names."""

    who: str
    credits: float
    period: Period


@dataclass(frozen=True, slots=True)
class Wishes:
    """All of it. ``only`` are channels and ``roles`` roles, as they were named; ``limits`` and ``hours`` are
    parts of a policy; ``zone`` is a place.
    """

    portions: tuple[Portion, ...] = ()
    only: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    zone: str = ""


NIGHT = "22-8"
"""The hours of a night where nobody says."""
EVERYBODY = frozenset([
    "everybody", "everyone", "everyone else", "all", "all members", "members", "member", "person", "people",
    "users", "user", "todos", "todas", "todo", "todo el mundo", "todos los miembros", "miembros", "miembro",
    "persona", "gente", "usuarios", "usuario",
])  # fmt: skip
"""What everybody is called."""
LONGEST = 1_000
"""Characters of one setup."""
_N = r"(?P<n>[1-9]\d{0,2}(?:(?:,\d{3})+|(?:\.\d{3})+)|\d{1,9}(?:[.,]\d{1,3})?)"
_DAY = r"(?P<day>day|daily|d[ií]as?|diari[oa]s?)"
_WEEK = r"(?P<week>week|weekly|semanas?|semanal(?:es)?)"
_MONTH = r"(?P<month>month|monthly|mes|mensual(?:es)?)"
_PERIOD = rf"(?:\s*(?:/|(?:an?|per|each|every|al|a la|por|cada)\s)?\s*(?:{_DAY}|{_WEEK}|{_MONTH}))"
_THINGS = r"(?:\s*(?:credits?|pictures?|images?|cr[eé]ditos?|im[aá]gen(?:es)?))?"
_EACH = r"(?:\s*(?:each|per person|cada uno|cada una|por persona))?"
_AMOUNT = rf"{_N}{_THINGS}{_EACH}{_PERIOD}?{_EACH}"
_HAVE = (
    r"(?:\s*[:=]\s*|(?:\s+(?:gets?|have|has|can spend|may spend|tienen?|reciben?|gastan?|pueden gastar))?\s+)"
)
_MOST = r"(?:(?:max(?:imum)?|at most|up to|no more than|m[aá]x(?:imo)?|hasta|como m[aá]ximo)\.?\s+)?"
_JOBS = r"(?:\s*(?:jobs?|requests?|trabajos?|pedidos?))?"
_AT_ONCE = (
    r"(?:at a time|at once|at the same time|in parallel|a la vez|al mismo tiempo|en paralelo|por vez"
    r"|simult[aá]neos?)"
)
_CHANNEL = r"(?:#[^\s,]+|here|this (?:channel|topic)|aqu[ií]|este (?:canal|tema))"
_CHANNELS = rf"(?P<channels>{_CHANNEL}(?:(?:\s*,\s*|\s+(?:and|y|e)\s+|\s+){_CHANNEL})*)"
_ROLES = r"(?P<roles>@[^\s,]+(?:(?:\s*,\s*|\s+(?:and|y|e)\s+|\s+)@[^\s,]+)*)"
_ONLY = r"(?:only|just|solo|s[oó]lo|solamente|[uú]nicamente)"
_WHO = r"(?P<who>[@#]\S+|[a-z]+:\S+|[^\W\d][^\d]{0,60}?)"
_PORTIONS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_WHO}{_HAVE}{_AMOUNT}",
        rf"{_AMOUNT}\s+(?:for|to|para|cada)\s+{_WHO}",
        rf"{_N}{_THINGS}{_EACH}{_PERIOD}{_EACH}",
    )
)
_AT_MOST = r"(?:\s+(?:max(?:imum)?|at most|m[aá]x(?:imo)?|como mucho|como m[aá]ximo))?"
_LIMITS = tuple(
    (name, re.compile(rf"{_MOST}(?:de a\s+)?{pattern}{_EACH}{_AT_MOST}", re.IGNORECASE))
    for name, pattern in (
        ("at_once", rf"(?P<n>\d{{1,4}}){_JOBS}\s*{_AT_ONCE}"),
        ("burst", rf"(?P<n>\d{{1,4}}){_JOBS}\s*(?:an?|per|each|por|al)\s+(?:minute|minuto)"),
        ("steps", r"(?P<n>\d{1,4})\s*(?:steps?|pasos?)"),
        ("side", r"(?P<n>\d{2,5})\s*(?:px|pixels?|p[ií]xeles)(?:\s+(?:a|per|por)\s+(?:side|lado))?"),
    )
)
_OPEN = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_ONLY}\s+(?:in\s+|on\s+|en\s+)?(?:{_CHANNELS}|(?:for\s+|para\s+)?{_ROLES})",
        rf"(?:in\s+|on\s+|en\s+)?{_CHANNELS}\s+(?:{_ONLY}|nada m[aá]s)",
        rf"(?:for\s+|para\s+)?{_ROLES}\s+(?:{_ONLY}|nada m[aá]s)",
    )
)
_MORE = re.compile(_CHANNELS, re.IGNORECASE)
_TARIFFS: dict[Tariff, str] = {
    "free": r"(?:for free|free(?: of charge)?|gratis|gratuit[oa]s?)",
    "half": r"(?:(?:at\s+)?half[ -]price|half|(?:a\s+)?mitad(?:\s+de(?:l)?\s+precio)?|medio precio)",
    "closed": r"(?:closed|cerrad[oa]s?)",
}
_CLOCK = r"\d{1,2}(?::?\d{2})?"
_TIME = (
    rf"(?:(?P<night>(?:at\s+|every\s+|de\s+|por\s+la\s+|por\s+las\s+)?(?:nights?|noches?))"
    rf"|(?:from\s+|between\s+|de\s+|desde\s+(?:las\s+)?|entre\s+)?(?P<from>{_CLOCK})\s*(?:h\s*)?"
    rf"(?:-|–|—|to|until|till|and|a|hasta|y)\s*(?:las\s+)?(?P<to>{_CLOCK})\s*h?)"
)
_ARTICLE = r"(?:(?:the|las|los|la|el)\s+)?"
_BE = r"(?:\s+(?:are|is|son|est[aá]n?))?"
_HOURS = tuple(
    (tariff, re.compile(pattern, re.IGNORECASE))
    for tariff, word in _TARIFFS.items()
    for pattern in (rf"{_ARTICLE}{_TIME}{_BE}\s+{word}", rf"{word}\s+{_ARTICLE}{_TIME}")
)
_PLACE = r"(?P<zone>[^\W\d][\w/+-]*(?:[ ][\w/-]+){0,2}?)"
_ZONES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:time[ -]?zone|zone|zona(?:\s+horaria)?|hora)\s*(?::|=|is\s|of\s|de\s)?\s*{_PLACE}",
        rf"{_PLACE}\s+time",
    )
)
_BREAK = re.compile(r"\s*(?:[;\n]|[,.](?=\s|$))\s*")
_AND = re.compile(r"\s+(?:and|y|e)\s+", re.IGNORECASE)
_LEADING = re.compile(r"^(?:and|y|the|los|las|for|para|every|each|cada)\s+", re.IGNORECASE)


def read(text: str) -> Wishes:
    """Everything that ``text`` says. Raises Refusal unclear_wish(text), of each part that says nothing."""
    found, wrong = Wishes(), Mistakes()
    for part in filter(None, _BREAK.split(text)):
        with wrong.noted():
            found = _with(found, part)
    wrong.say()
    return found


def means(text: str) -> bool:
    """Does ``text`` surely say how a place should be? A name with a number may be meant otherwise.

    Anybody may send any line: what is longer than a setup is none, and blanks say nothing.
    """
    words = plain(text)
    try:
        said = read(words) if len(words) <= LONGEST else Wishes()
    except Refusal as refusal:
        return refusal.code == "unclear_amount"  # to be told so
    named = [each for each in said.portions if each.who.casefold() not in EVERYBODY]
    return said != Wishes() and (len(named) < len(said.portions) or said != Wishes(portions=said.portions))


def _with(so_far: Wishes, part: str) -> Wishes:
    """What was wished before and what this part says: as a whole, else each side of its ``and``."""
    said = _said(part)
    halves = _AND.split(part)
    if said is None and len(halves) > 1:
        each = [_said(half) for half in halves]
        said = None if None in each else {k: sum((e[k] for e in each if e and k in e), ()) for k in _KINDS}
    if said is None and so_far.only and _MORE.fullmatch(part):  # ``only #art, #sketches``
        said = {"only": tuple(_channels(part))}
    if said is None:
        raise Refusal("unclear_wish", text=shown(part, 60))
    return Wishes(
        **{kind: getattr(so_far, kind) + said.get(kind, ()) for kind in _KINDS},
        zone=said.get("zone") or so_far.zone,
    )


_KINDS = ("portions", "only", "roles", "hours", "limits")


def _said(part: str) -> dict[str, Any] | None:
    """One part; None if it is nothing that can be set."""
    part = _LEADING.sub("", part.strip())
    for look in (_limit, _hours, _open, _zone, _portion):
        found = look(part)
        if found is not None:
            return found
    return None


def _limit(part: str) -> dict[str, Any] | None:
    for name, pattern in _LIMITS:
        if match := pattern.fullmatch(part):
            return {"limits": ((name, int(match["n"])),)}
    return None


def _hours(part: str) -> dict[str, Any] | None:
    for tariff, pattern in _HOURS:
        if match := pattern.fullmatch(part):
            text = NIGHT if match["night"] else f"{match['from']}-{match['to']}"
            return {"hours": (read_hours(text, tariff),)}
    return None


def _open(part: str) -> dict[str, Any] | None:
    for pattern in _OPEN:
        if match := pattern.fullmatch(part):
            groups = match.groupdict()
            if groups.get("channels"):
                return {"only": tuple(_channels(groups["channels"]))}
            return {"roles": tuple(re.findall(r"@([^\s,]+)", groups["roles"]))}
    return None


def _channels(text: str) -> list[str]:
    return [
        each if each.startswith("#") else "#here" for each in re.findall(_CHANNEL, text.replace(",", " "))
    ]


def _zone(part: str) -> dict[str, Any] | None:
    match = next((found for each in _ZONES if (found := each.fullmatch(part))), None)
    return {"zone": match["zone"].strip()} if match else None


def _portion(part: str) -> dict[str, Any] | None:
    match = next((found for each in _PORTIONS if (found := each.fullmatch(part))), None)
    if match is None:
        return None
    period: Period = "week" if match["week"] else "month" if match["month"] else "day"
    who = _LEADING.sub("", match.groupdict().get("who") or "everybody").strip()
    return {"portions": (Portion(who, amount(match["n"]), period),)}
