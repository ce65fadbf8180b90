"""Allowances equal their model in any order of steps, and windows are those of people's calendars."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storage import allowances, calendar, forget, ledger
from storage.calendar import Hours, is_in, local, read_hours, window, write_hours, zones
from tests.proof.frame import memory
from tests.storage.town import STEPS, Town

_number = st.integers(0, 999)
ZONES = ("UTC", "America/Argentina/Buenos_Aires", "Europe/Madrid", "Asia/Kathmandu", "Australia/Lord_Howe")


class Machine(RuleBasedStateMachine):
    """Any order of steps; hypothesis shortens what differs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="falopitas-town-", dir=memory())
        self.town = Town(Path(self.folder.name) / "falopitas.db")

    @rule(step=st.sampled_from(STEPS), a=_number, b=_number, c=_number)
    def step(self, step: str, a: int, b: int, c: int) -> None:
        getattr(self.town, step)(a, b, c)

    @invariant()
    def same(self) -> None:
        self.town.check()

    def teardown(self) -> None:
        self.town.close()
        self.folder.cleanup()


TestMachine = pytest.mark.timeout(900)(Machine.TestCase)
TestMachine.settings = settings(
    max_examples=20, stateful_step_count=40, deadline=None, print_blob=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


def live(seed: int, steps: int) -> str:
    """A random walk; what differed, or nothing."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="falopitas-town-", dir=memory()) as folder:
        town = Town(Path(folder) / "falopitas.db")
        try:
            for number in range(1, steps + 1):
                getattr(town, rng.choice(STEPS))(*(rng.randrange(1_000) for _ in range(3)))
                if number % 10 == 0:
                    town.check()
        except Exception as error:  # noqa: BLE001 - whatever storage raises here is what differs
            return f"step {number}: {type(error).__name__}: {error}"
        finally:
            town.close()
    return ""


@pytest.mark.parametrize("seed", range(4))
def test_a_long_life_equals_the_model(seed: int) -> None:
    assert live(seed, 250) == ""


def _refund_to_extra(tx: sqlite3.Connection, job: int, units: int, now: float, note: str) -> None:
    """As if a window that is over were given back as credits that stay."""
    sql = "SELECT account, purse FROM ledger WHERE job = ? AND why = 'reserve'"
    for account, purse in tx.execute(sql, (job,)).fetchall():
        ledger.enter(tx, account, "refund", units, f"refund:{job}:{purse}", now, job=job, purse=purse)


TRAPS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "refunds become credits that stay": lambda: patch.object(allowances, "refund", _refund_to_extra),
    "pools pay nothing": lambda: patch.object(allowances, "shared", lambda *_: ()),
    "a new window an hour": lambda: patch.object(
        allowances,
        "window",
        lambda period, zone, now: calendar.Window(int(now // 3_600) * 3_600, int(now) + 3_600),
    ),
    "roles before people": lambda: patch.object(
        allowances, "own", lambda tx, account, scene: allowances.get(tx, scene.community, "everybody", "")
    ),
    "gifts make money": lambda: patch.object(allowances, "_split", lambda *_: ()),
    "forgetting keeps the entries": lambda: patch.object(forget, "_sum_up", lambda *_: None),
}
"""Each re-introduces one mistake; the model must notice every one."""


@pytest.mark.parametrize("trap", sorted(TRAPS))
def test_every_mistake_put_back_is_noticed(trap: str) -> None:
    with TRAPS[trap]():
        assert any(live(seed, 250) for seed in range(6))


# --- the calendar


@given(st.sampled_from(ZONES), st.sampled_from(calendar.PERIODS), st.floats(0, 4e9))
@settings(max_examples=300, deadline=None)
def test_windows_follow_each_other_without_gap_and_hold_their_moment(
    zone: str, period: calendar.Period, now: float
) -> None:
    found = window(period, zone, now)
    assert found.begins <= now < found.ends
    assert window(period, zone, found.ends).begins == found.ends
    assert window(period, zone, found.ends - 1) == found
    first = local(found.begins, zone)
    assert (first.hour, first.minute) in {(0, 0), (0, 30), (1, 0)}  # a clock change may skip midnight
    assert period != "week" or first.weekday() == 0
    assert period != "month" or first.day == 1


@pytest.mark.parametrize(("day", "hours"), [("2027-03-28", 23), ("2027-10-31", 25), ("2027-06-01", 24)])
def test_a_day_of_23_or_25_hours_is_one_day(day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp()
    found = window("day", "Europe/Madrid", noon)
    assert found.ends - found.begins == hours * 3_600


@given(st.integers(0, 1_439), st.integers(0, 1_439), st.integers(0, 1_439))
def test_hours_are_in_or_out_and_come_back_as_they_were_written(begins: int, ends: int, minute: int) -> None:
    if begins == ends:
        return
    hours = Hours(begins, ends, "free")
    assert read_hours(write_hours(hours), "free") == hours
    assert is_in(hours, minute) != is_in(Hours(ends, begins, "free"), minute)


def test_a_city_is_a_zone() -> None:
    assert zones()["madrid"] == "Europe/Madrid"
    assert zones()["america/montevideo"] == "America/Montevideo"
