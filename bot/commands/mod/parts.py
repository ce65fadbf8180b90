"""What a change made of a policy, in words: for the answer, and for the record long after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bot.texts import moment, number, say
from storage import gate
from storage.calendar import Hours, Moment, write_hours
from storage.database import Connection
from storage.policy import HOURS_OF, Policy


def in_words(tx: Connection, parts: Mapping[str, Any], language: str, zone: str) -> str:
    """``Free: 22:00–08:00. Time zone: Europe/Madrid.``; moments as they are in ``zone``."""
    policy = msgspec.convert(dict(parts), Policy)
    words = [_part(tx, name, getattr(policy, name, None), language, zone).rstrip(".") for name in parts]
    return " ".join(f"{each}." for each in words)


def _part(tx: Connection, name: str, value: Any, language: str, zone: str) -> str:
    match name, value:
        case _, None if name.startswith(HOURS_OF):
            tariff = say(language, f"mod.tariff.{name.removeprefix(HOURS_OF)}")
            return f"{tariff}: {say(language, 'mod.no_longer')}"
        case _, None | ():
            words = say(language, "mod.no_longer")
        case "hours", _:
            return ". ".join(": ".join(each) for each in hours_in_words(value, language))
        case "retention", _:
            return (
                say(language, "mod.retention.days", n=value) if value else say(language, "mod.retention.kept")
            )
        case "gifts", _:
            words = say(language, "mod.gifts_a_day", units=value)
        case "desk", _:
            words = say(language, "mod.where_said")
        case _:
            words = written(tx, name, value, language, zone)
    return f"{say(language, f'mod.policy.{name}')}: {words}"


def hours_in_words(hours: tuple[Hours, ...], language: str) -> tuple[tuple[str, str], ...]:
    """Each with what it is: ``("Free", "22:00–08:00")``."""
    return tuple((say(language, f"mod.tariff.{each.tariff}"), write_hours(each)) for each in hours)


def written(tx: Connection, name: str, value: Any, language: str, zone: str) -> str:
    """One part of a policy in words; a moment as it is in ``zone``."""
    match value:
        case dict():
            return ", ".join(f"@{gate.titled(tx, role)} × {number(language, w)}" for role, w in value.items())
        case tuple() if name in ("only", "who"):
            mark = "#" if name == "only" else "@"
            return ", ".join(mark + gate.titled(tx, str(each)) for each in value)
        case tuple():
            return ", ".join(map(str, value))
        case float() if name == "raid":
            return moment(language, Moment(value, zone))
        case int() | float():
            return number(language, value)
    return str(value)
