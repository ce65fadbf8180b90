"""R8 in suite size: a few days of the whole bot by seed, and every old trap put back (full: proof R8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sim.day import Outcome, Size, play
from tests.sim.traps import TRAPS

SMALL = Size(hours=1.5, often=30.0, trouble=6.0)
TRIES = 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_of_faults_loses_nothing_doubles_nothing_and_leaves_nothing_open(seed: int) -> None:
    """Shuffled (even seeds) and not."""
    outcome = play(seed, SMALL)
    assert outcome.wrongs == ()
    assert outcome.jobs > 50
    assert outcome.lives > 3
    assert sum(outcome.fired.values()) > 50


@pytest.mark.slow
def test_the_same_seed_is_the_same_day_to_the_last_message() -> None:
    def day(seed: int) -> Outcome:
        return replace(play(seed, Size(hours=0.5, often=20.0, trouble=10.0)), recent=())

    assert day(3) == day(3)
    assert day(3).record != day(4).record


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_that_is_put_back_is_noticed(name: str) -> None:
    """The controls: each is a known-bad variant of one function."""
    trap = TRAPS[name]
    with trap.put_back():
        days = range(trap.first, trap.first + TRIES)
        assert any(play(seed, trap.size, impatient=True).wrongs for seed in days)
