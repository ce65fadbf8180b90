"""R8: whole days of the real bot on a clock that is a number. One round is one day of one seed."""

from __future__ import annotations

from tests.proof.frame import Played, Proof
from tests.sim.day import play
from tests.sim.traps import TRAPS
from tests.sim.world import FAULTS

ROUNDS = 2_000
LEAST = 100
"""Times that every kind of fault must have happened in all of them."""


def _play(seed: int, control: bool) -> Played:
    if not control:
        outcome = play(seed)
        return Played(1, outcome.wrongs, dict.fromkeys(FAULTS, 0) | outcome.fired)
    name = list(TRAPS)[(seed - 1) % len(TRAPS)]
    with TRAPS[name].put_back():
        outcome = play(seed, TRAPS[name].size, impatient=True)
    return Played(1, tuple(f"{name}: {wrong}" for wrong in outcome.wrongs[:1]))


DAYS = Proof(
    "R8", "24 hours of the whole bot with every kind of fault: nothing lost, doubled, forgotten or left open",
    ROUNDS, "days", _play, 3 * len(TRAPS), control_rate=0.6, least=LEAST,
)  # fmt: skip
