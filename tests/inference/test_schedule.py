"""Fair share and the buckets' turns as one: who takes the next step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.batch import MAX_ROWS
from inference.schedule import Schedule


@dataclass(eq=False)
class Runnable:
    bucket: str
    flow: str
    weight: float = 1.0
    rows: int = 1
    began: bool = False
    turn: float = 0.0
    order: int = 0


def test_a_bucket_weighs_what_the_distinct_people_in_it_weigh(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        Runnable("b", "ana", 2.0),
        Runnable("b", "ana", 2.0),
        Runnable("b", "eva"),
        Runnable("c", "ana", 2.0),
    ]
    schedule, asked = Schedule(), []

    def choose(waiting: Mapping[Hashable, float]) -> Hashable:
        asked.append(dict(waiting))
        return "c"

    monkeypatch.setattr(schedule.turns, "choose", choose)
    assert schedule.pick(runs) == runs[3:]
    assert asked == [{"b": 3.0, "c": 2.0}]


def test_nobody_there_nobody_picked() -> None:
    assert Schedule().pick([]) == []


@settings(deadline=None)
@given(st.lists(st.builds(Runnable, st.sampled_from("ab"), st.sampled_from("xyz"), rows=st.integers(1, 2)),
                min_size=1, max_size=30))  # fmt: skip
def test_a_step_is_of_one_bucket_and_never_empty(runs: list[Runnable]) -> None:
    schedule = Schedule()
    for run in runs:
        schedule.share.join(run.flow, run.weight)
    picked = schedule.pick(runs)
    assert picked
    assert len({run.bucket for run in picked}) == 1
    assert len({id(run) for run in picked}) == len(picked)
    assert sum(run.rows for run in picked) <= MAX_ROWS
