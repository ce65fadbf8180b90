"""R4, R15, R19 to R23, R34 and R35 at the suite's size, each with its control that must fail."""

from __future__ import annotations

import pytest

from tests.proof import abuse, clocks, copies, damage, disk, forged, forgotten, hygiene, upgrades
from tests.proof.frame import Proof, State, holds, run
from tests.storage.syscalls import can_fail

statically = pytest.mark.skipif(not can_fail(), reason="this Python's sqlite3 is linked statically")
ROUNDS = (
    (disk.STORAGE, 40),
    (clocks.CLOCKS, 120),
    (damage.DAMAGE, 100),
    (copies.COPIED, 10),
    (upgrades.UPGRADES, 6),
    (hygiene.HYGIENE, 1),
    (forged.FORGED, 1_000),
    (forgotten.FORGOTTEN, 4),
    (abuse.ABUSE, 40),
)
PARTS = [
    pytest.param(proof, rounds, id=proof.name, marks=[statically] if proof is disk.STORAGE else [])
    for proof, rounds in ROUNDS
]
SEED = 50_001
"""Rounds that the full size, from 1 on, does not come to."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("proof", "rounds"), PARTS)
def test_it_holds(proof: Proof, rounds: int) -> None:
    state = run(proof, rounds, 900, State(seed=SEED))
    assert state.violations == []
    assert state.done >= rounds


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("proof", "rounds"), PARTS)
def test_without_what_it_proves_it_fails(proof: Proof, rounds: int) -> None:
    """The control, at most its own rounds."""
    few = min(rounds, proof.control_rounds) if proof is not hygiene.HYGIENE else proof.control_rounds
    assert holds(proof, run(proof, few, 900, State(), control=True), control=True)
