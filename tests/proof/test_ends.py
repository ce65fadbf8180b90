"""R11, R12, R13 and R18 at the suite's size; how long a start takes is the full size's to say."""

from __future__ import annotations

import signal

import pytest

from tests.proof import ends


async def test_a_start_with_much_that_waits_listens_and_loses_nothing() -> None:
    found = await ends.ready(queued=1_000, undelivered=100)
    assert [wrong for wrong in found if not wrong.startswith("ready after")] == []


async def test_told_to_stop_at_any_moment_it_ends_in_time_and_loses_nothing() -> None:
    assert await ends.stops(1, 4) == []


async def test_a_bot_that_does_not_listen_to_signals_is_caught() -> None:
    """The control."""
    assert any("exit -15" in wrong for wrong in await ends.stops(1, 1, "--bad", "rude"))


@pytest.mark.parametrize("way", ends.WAYS, ids=["dies", "hangs"])
async def test_no_job_is_without_an_owner_for_long_when_an_engine_dies_or_hangs(way: int) -> None:
    assert await ends.owned(1, poisoned=False, ways=(way,), seconds=0.2) == []


async def test_an_engine_whose_silence_nobody_notices_is_caught() -> None:
    """The control."""
    deaf = ends.owned(1, "--silent", "1000", poisoned=False, patience=3.0, ways=(signal.SIGSTOP,))
    assert any("had nobody" in wrong for wrong in await deaf)


async def test_neighbours_of_a_poison_job_are_delivered() -> None:
    assert await ends.owned(2, poisoned=True, seconds=0.1) == []


async def test_suspects_that_are_drawn_beside_others_take_them_along() -> None:
    """The control."""
    wrong = await ends.owned(2, "--bad", "together", poisoned=True, at=0, seconds=0.1)
    assert any(each.startswith("neighbour") for each in wrong)
