"""R3 in suite size: power cuts, with their control."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof import power
from tests.proof.frame import State, holds, run
from tests.proof.power import SECTOR, Shadow


@pytest.mark.timeout(900)
def test_no_power_cut_loses_or_spoils_what_was_acknowledged() -> None:
    """400 images of disks on which durable groups were committed and checkpointed."""
    state = run(power.POWER, 400, 900, State(seed=10_001))
    assert state.violations == []
    assert state.done >= 400


@pytest.mark.timeout(900)
def test_without_full_the_same_cuts_lose_jobs() -> None:
    """The control: synchronous=NORMAL must lose acknowledged jobs in more than 30 % of the images."""
    state = run(power.POWER, 300, 900, State(seed=1), control=True)
    assert holds(power.POWER, state, control=True)


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.binary(min_size=1, max_size=1_500)), max_size=8),
    st.integers(0, 9),
)
def test_an_image_holds_everything_that_was_synced(writes: list[tuple[int, bytes]], seed: int) -> None:
    """Nothing kept: the synced content; all kept: the whole; some kept: between the two."""
    shadow = Shadow(b"s" * 2_000, list(writes))
    everything = shadow.image(random.Random(seed), 1.1)
    assert shadow.image(random.Random(seed), 0.0) == b"s" * 2_000
    some = shadow.image(random.Random(seed), 0.5)
    assert len(b"s" * 2_000) <= len(some) <= len(everything)
    shadow.sync()
    assert shadow.synced == everything
    assert shadow.pending == []


def test_a_write_is_cut_at_the_sectors_of_the_file() -> None:
    """Frames of a log are not aligned to them."""
    cut = power._sectors((SECTOR - 10, b"x" * (SECTOR + 20)))
    assert [(offset, len(data)) for offset, data in cut] == [(502, 10), (512, 512), (1024, 10)]
