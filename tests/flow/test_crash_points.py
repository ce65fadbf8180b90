"""Suite size of R2: some points always, every tenth when slow, and the variant that must fail."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.flow.crash import BOT, ENGINE, Point, crash, sweep

pytestmark = [
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(sys.platform != "linux" or not shutil.which("strace"), reason="needs strace"),
]
FEW = (
    Point("bot", "pwrite64", 90), Point("bot", "fdatasync", 8), Point("bot", "fdatasync", 12),
    Point("bot", "fsync", 1), Point("bot", "sendto", 6), Point("engine", "sendto", 4),
)  # fmt: skip


@pytest.mark.parametrize("point", FEW, ids=lambda point: f"{point.who}-{point.call}-{point.number}")
async def test_a_crash_there_changes_nothing_in_the_end(point: Point) -> None:
    outcome = await crash(point)
    assert outcome.wrongs == ()


@pytest.mark.slow
@pytest.mark.parametrize("call", BOT)
async def test_every_tenth_point_of_the_bot(call: str) -> None:
    step = 10 if call == "pwrite64" else 4
    outcomes = await sweep("bot", call, step)
    assert [each for each in outcomes if each.wrongs] == []
    assert outcomes[0].reached


@pytest.mark.slow
@pytest.mark.parametrize("call", ENGINE)
async def test_every_other_point_of_the_engine(call: str) -> None:
    outcomes = await sweep("engine", call, 2)
    assert [each for each in outcomes if each.wrongs] == []
    assert outcomes[0].reached


@pytest.mark.slow
async def test_a_bot_without_keys_is_caught() -> None:
    """The control: somewhere between the charge and the end of the answer it charges twice."""
    for number in range(6, 40, 2):
        outcome = await crash(Point("bot", "sendto", number), "--bad", "double")
        if outcome.wrongs:
            return
    pytest.fail("an order without a key went unnoticed")
