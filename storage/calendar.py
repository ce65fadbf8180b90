"""Days, weeks and months where people live, and the hours of a day: windows of an allowance.

Everything is computed from Unix seconds and a zone's name, by the zone's own midnights: a day of 23 or 25
hours is one day.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from storage.refusal import Refusal

Period: TypeAlias = Literal["day", "week", "month"]
PERIODS: tuple[Period, ...] = ("day", "week", "month")


class Moment(float):
    """Unix seconds that are read in a zone."""

    zone: str

    def __new__(cls, at: float, zone: str) -> Moment:
        """``at`` as it is written in ``zone``."""
        made = super().__new__(cls, at)
        made.zone = zone
        return made


class Window(NamedTuple):
    """From ``begins`` until before ``ends``, in Unix seconds."""

    begins: int
    ends: int


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The zone of this name; UTC for one that this machine does not know (any more)."""
    try:
        return ZoneInfo(name) if name else UTC
    except (OSError, ValueError, KeyError):  # not there, no name at all, or no list of zones
        return UTC


@lru_cache(maxsize=1)
def zones() -> dict[str, str]:
    """Every zone's name by what people type: folded, and also by its city alone."""
    names = sorted(available_timezones())
    cities = {name.rsplit("/", 1)[-1].replace("_", " ").casefold(): name for name in names if "/" in name}
    return cities | {name.casefold(): name for name in names}


def local(at: float, zone: str) -> datetime:
    """Unix seconds as date and time in a zone."""
    return datetime.fromtimestamp(at, zone_of(zone))


def _midnight(day: date, zone: str) -> int:
    return int(datetime.combine(day, time(), zone_of(zone)).timestamp())


def window(period: Period, zone: str, now: float) -> Window:
    """The day, week (from Monday) or month of ``zone`` that ``now`` is in."""
    today = local(now, zone).date()
    match period:
        case "day":
            first, after = today, today + timedelta(days=1)
        case "week":
            first = today - timedelta(days=today.weekday())
            after = first + timedelta(days=7)
        case "month":
            first = today.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
    return Window(_midnight(first, zone), _midnight(after, zone))


# --- hours of a day

Tariff: TypeAlias = Literal["free", "half", "closed"]
TARIFFS: dict[Tariff, float] = {"free": 0.0, "half": 0.5, "closed": 1.0}
"""What a price is multiplied by; at closed hours nothing is sold at all."""
_HOURS = re.compile(r"(\d{1,2})(?::?([0-5]\d))?\s*[-–—]\s*(\d{1,2})(?::?([0-5]\d))?")


class Hours(NamedTuple):
    """Every day from minute ``begins`` to before minute ``ends``; past midnight if that is smaller."""

    begins: int
    ends: int
    tariff: Tariff


def read_hours(text: str, tariff: Tariff) -> Hours:
    """``22-8`` or ``22:30-08:00``. Raises Refusal bad_hours."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise Refusal("bad_hours", value=text[:40])
    begins, ends = (60 * int(match[i]) + int(match[i + 1] or 0) for i in (1, 3))
    if begins >= 1_440 or ends > 1_440 or begins == ends % 1_440:
        raise Refusal("bad_hours", value=text[:40])
    return Hours(begins, ends % 1_440, tariff)


def write_hours(hours: Hours) -> str:
    """As people read it: ``22:00–08:00``."""
    return "–".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in hours[:2])


def is_in(hours: Hours, minute: int) -> bool:
    """Does this minute of the day belong to it?"""
    begins, ends, _ = hours
    return begins <= minute < ends if begins < ends else minute >= begins or minute < ends


def tariff_at(hours: tuple[Hours, ...], zone: str, now: float) -> Hours | None:
    """The hours that count now: closed before half before free, so that the strictest wins."""
    at = local(now, zone)
    found = [each for each in hours if is_in(each, 60 * at.hour + at.minute)]
    order: tuple[Tariff, ...] = ("closed", "half", "free")
    return min(found, key=lambda each: order.index(each.tariff), default=None)


def ends_at(hours: Hours, zone: str, now: float) -> float:
    """When these hours, which are now, are over (Unix s)."""
    at = local(now, zone)
    days = 0 if 60 * at.hour + at.minute < hours.ends else 1
    day = at.date() + timedelta(days=days)
    clock = time(hours.ends // 60, hours.ends % 60)
    return datetime.combine(day, clock, zone_of(zone)).timestamp()
