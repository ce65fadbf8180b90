"""R1's storage part in suite size: kill -9 of a working process, with its control."""

from __future__ import annotations

import sys

import pytest

from tests.proof import kill

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forkserver is a POSIX thing")


@pytest.mark.parametrize("seed", [20_001, 20_002])
def test_no_kill_loses_or_doubles_anything(seed: int) -> None:
    """Twelve kills of one folder that lives on, at random moments of start and work."""
    played = kill.play(seed, control=False, rounds=12)
    assert played.violations == ()
    assert played.rounds == 12


def test_a_charge_in_a_transaction_of_its_own_is_found_out() -> None:
    """The control: job and charge in two transactions must be caught apart."""
    found = [kill.play(seed, control=True, rounds=12).violations for seed in range(3)]
    assert any("job" in violation or "ledger" in violation for each in found for violation in each)
