"""R15: clocks that jump, in every zone: nobody is refilled twice, and nobody waits for ever."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from unittest.mock import patch
from zoneinfo import ZoneInfo, available_timezones

from storage import allowances, calendar, jobs, ledger, policy
from storage.allowances import Allowance, Scene
from storage.calendar import PERIODS, Period, Window
from storage.policy import Policy
from storage.refusal import Refusal
from tests.proof.frame import Played, Proof
from tests.storage import people

STEPS = 60
"""Moments of one walk, at each of which everything that is there is spent."""
UNITS = 5_000
DAY = 86_400.0
JUMPS = (
    30.0,
    900.0,
    3_600.0,
    5 * 3_600.0,
    DAY,
    -60.0,
    -3_600.0,
    -DAY,
    8 * DAY,
    -3 * DAY,
    40 * DAY,
    400 * DAY,
)
TOWN = Scene("test:town", "", ())


@lru_cache(maxsize=1)
def zones() -> list[str]:
    return sorted(available_timezones() - {"Factory", "localtime"})


def page(period: Period, zone: str, now: float) -> tuple[int, ...]:
    """Which leaf of a paper calendar ``now`` is on: reckoned from the date alone."""
    day = datetime.fromtimestamp(now, ZoneInfo(zone)).date()
    match period:
        case "day":
            return day.timetuple()[:3]
        case "week":
            return day.isocalendar()[:2]
        case "month":
            return day.timetuple()[:2]


def _begun(zone: str, rng: random.Random) -> float:
    """Any moment of 2000 to 2037, often within hours of a change of the clocks or a midnight."""
    day = date(2000, 1, 1) + timedelta(days=rng.randrange(13_500))
    at = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()
    return at + rng.choice((0.0, -1.0, rng.uniform(-7_200, 7_200), rng.uniform(0, DAY)))


def pages(rng: random.Random) -> list[str]:
    """The calendar itself: windows hold their moment, follow each other, and are leaves of paper."""
    zone, period = rng.choice(zones()), rng.choice(PERIODS)
    now = _begun(zone, rng)
    found = calendar.window(period, zone, now)
    where, wrong = f"{zone} {period} {now:.0f}", []
    if not found.begins <= now < found.ends:
        wrong.append(f"{where}: not within {found}")
    if calendar.window(period, zone, found.ends).begins != found.ends:
        wrong.append(f"{where}: a gap after {found}")
    leaf = page(period, zone, now)
    if any(page(period, zone, at) != leaf for at in (found.begins, found.ends - 1)):
        wrong.append(f"{where}: two leaves in {found}")
    if page(period, zone, found.ends) == leaf:
        wrong.append(f"{where}: a leaf in two windows")
    return wrong


def spent(rng: random.Random) -> list[str]:
    """An allowance: at every moment of a jumping clock all that is left is spent."""
    zone, period = rng.choice(zones()), rng.choice(PERIODS)
    with closing(people.memory()) as tx:
        me = people.meet(tx, "test:1", grant=0)
        policy.save(tx, TOWN.community, "", Policy(zone=zone))
        allowances.decide(tx, Allowance(TOWN.community, "everybody", "", period, UNITS))
        now, leaves, total, newest = _begun(zone, rng), set[tuple[int, ...]](), 0, 0.0
        for number in range(STEPS):
            now += rng.choice(JUMPS) if number else 0.0
            left = allowances.spendable(tx, me, TOWN, now)
            leaf = page(period, zone, now)
            where = f"{zone} {period} step {number} at {now:.0f}"
            if now > newest and leaf not in leaves and left != UNITS:
                return [f"{where}: a new {period} begins with {left}"]
            leaves.add(leaf)
            newest = max(now, newest)
            if left:
                total += _spend(tx, me, left, now, number, fail=rng.random() < 0.2)
            if total > UNITS * len(leaves):
                return [f"{where}: {total} spent in {len(leaves)} windows of {UNITS}"]
        return list(people.audit(tx))


def _spend(tx: sqlite3.Connection, me: int, units: int, now: float, number: int, *, fail: bool) -> int:
    """Pay for something, which may then fail: what it cost."""
    new = replace(people.ask(me, f"k{number}", price=units, count=1), scene=TOWN)
    try:
        job = jobs.submit(tx, new, now, limit=10**6)
    except Refusal as refusal:
        raise AssertionError(f"{units} are left and cannot be spent: {refusal.code}") from refusal
    if fail:
        jobs.cancel(tx, job.id, now)
    return 0 if fail else units


def refilled(rng: random.Random) -> list[str]:
    """The house's daily credits: once a UTC day, whatever the clock does; and when it is right again."""
    with closing(people.memory()) as tx:
        now = people.NOW + rng.uniform(0, 10**8)
        me = people.meet(tx, "test:1", grant=UNITS)
        tx.execute("UPDATE account SET created = ?", (now - 2 * DAY,))
        days, got = set[int](), 0
        for number in range(STEPS):
            now += rng.choice(JUMPS) if number < STEPS - 1 else ledger.FAR * DAY + DAY
            before = ledger.balance(tx, me)
            ledger.refill(tx, now, daily=UNITS)
            got += ledger.balance(tx, me) - before
            days.add(ledger.day_of(now))
            if got > UNITS * len(days):
                return [f"refilled {got / UNITS:.0f} times on {len(days)} days"]
            ledger.grant(tx, me, -ledger.balance(tx, me), "take", f"t{number}", now)
        for back in range(1, 4):  # the clock is right again, and so are the days of whoever waits
            ledger.grant(tx, me, -ledger.balance(tx, me), "take", f"back{back}", now)
            right = now - 2 * ledger.FAR * DAY + back * DAY
            ledger.refill(tx, right, daily=UNITS)
            if ledger.day_of(right) not in days and ledger.balance(tx, me) != UNITS:
                return [f"nobody is refilled {back} days after the clock was put right"]
        return list(ledger.audit(tx))


PARTS = (pages, pages, spent, refilled)


def _by_length(period: Period, zone: str, now: float) -> Window:
    """The control's calendar: every day has 24 hours, every month 30 days."""
    length = {"day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}[period]
    begins = int(now // length) * length
    return Window(begins, begins + length)


def play(seed: int, control: bool) -> Played:
    """A moment or a walk of each kind; as the control, on a calendar of equal lengths in UTC."""
    rng = random.Random(seed)
    with (
        patch.object(allowances, "window", _by_length) if control else nullcontext(),
        patch.object(calendar, "window", _by_length) if control else nullcontext(),
    ):
        wrong = []
        for part in PARTS:
            try:
                wrong += part(rng)
            except Exception as error:  # noqa: BLE001 - whatever a clock makes storage raise
                wrong.append(f"{part.__name__}: {type(error).__name__}: {error}")
    return Played(len(PARTS), tuple(wrong))


CLOCKS = Proof(
    "R15", "a clock that jumps refills nobody twice and keeps nobody waiting; every zone's days are its own",
    100_000, "walks", play, control_rounds=400, control_rate=0.3,
)  # fmt: skip
