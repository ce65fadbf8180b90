"""R10 in suite size: cancellation at every await, with its control."""

from __future__ import annotations

import pytest

from tests.proof import cancel
from tests.proof.frame import State, holds, run


@pytest.mark.timeout(900)
def test_cancelled_callers_leave_nothing_open_and_nothing_half_done() -> None:
    """3 000 cancellations: 0 open transactions, 0 tasks left, every function ran to its end."""
    state = run(cancel.CANCEL, 3_000, 900, State(seed=30_001))
    assert state.violations == []
    assert state.done >= 3_000


def test_the_usual_idiom_leaves_transactions_open() -> None:
    """The control: statement by statement under a lock."""
    state = run(cancel.CANCEL, 1_000, 900, State(seed=1), control=True)
    assert holds(cancel.CANCEL, state, control=True)
