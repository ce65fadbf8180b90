"""R9 in suite size: queue, ledger, gallery and outbox equal their in-memory twin, step by step."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.proof import model
from tests.proof.frame import State, holds, memory, run
from tests.storage.pair import STEPS, Pair

_number = st.integers(0, 999)


class Machine(RuleBasedStateMachine):
    """Any order of steps; hypothesis shortens what differs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="falopitas-r9-", dir=memory())
        self.pair = Pair(Path(self.folder.name) / "falopitas.db")

    @rule(step=st.sampled_from(STEPS), a=_number, b=_number, c=_number)
    def step(self, step: str, a: int, b: int, c: int) -> None:
        getattr(self.pair, step)(a, b, c)

    @invariant()
    def same(self) -> None:
        self.pair.check()

    def teardown(self) -> None:
        self.pair.close()
        self.folder.cleanup()


TestMachine = pytest.mark.timeout(900)(Machine.TestCase)
TestMachine.settings = settings(
    max_examples=40, stateful_step_count=50, deadline=None, print_blob=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.mark.timeout(900)
def test_long_lives_equal_the_twin() -> None:
    """Random walks of 250 steps from fixed seeds."""
    state = run(model.MODEL, 4_000, 900, State(seed=1))
    assert state.violations == []
    assert state.done >= 4_000


@pytest.mark.parametrize("trap", sorted(model.TRAPS))
def test_every_mistake_put_back_is_noticed(trap: str) -> None:
    """The control: each known-bad variant must differ from the twin."""
    played = model.play(sorted(model.TRAPS).index(trap), control=True)
    assert len(played.violations) == 1
    assert holds(model.MODEL, State(done=1, wrong=1), control=True)
