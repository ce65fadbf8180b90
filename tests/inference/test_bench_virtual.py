"""The goals that are measured on a virtual clock hold, exactly; and their measure finds who misses them."""

from __future__ import annotations

import pytest

from inference.simulate.clock import Ask, Machine, play
from inference.simulate.policies import Fifo, Ours, Vtc
from inference.simulate.story import gap
from tests.bench import virtual


@pytest.mark.parametrize("name", sorted(virtual.BENCHES.keys() - {"C21"}))
def test_the_gate_is_reached(name: str) -> None:
    figure = virtual.BENCHES[name](1)
    assert figure.good, figure
    assert all(value is not False for value in (figure.more or {}).values()), figure.more


def test_the_gap_of_others_misses_the_gate() -> None:
    """The control of C11."""
    asks, gate = virtual._crowd(), virtual.c11(1).gate
    for policy in (Vtc(virtual.GAINS), Fifo(virtual.GAINS)):
        assert gap(play(asks, policy, virtual.GAINS), ("flood", "steady")) / virtual.ROW > 4 * gate


def test_whoever_has_only_what_is_being_drawn_is_not_backlogged() -> None:
    """Ana's one picture takes one row of eight from its first step to its last: bob takes what she cannot."""
    machine = Machine({"first": virtual.GAIN})
    asks = [Ask(0.0, "ana", "first", 10, 1), *(Ask(0.0, "bob", "first", 10, 1) for _ in range(20))]
    record = play(asks, Ours(machine), machine)
    assert "ana" not in record.behind
    (begin, end), *_ = record.behind["bob"]
    assert begin == 0.0
    assert end > 0.4 * record.end
    assert gap(record, ("ana", "bob")) == 0.0
