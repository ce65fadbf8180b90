"""Row buckets, learned step times, the cap, and whose step it is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.batch import MAX_ROWS, ROW_BUCKETS, WARM, Costs, Turns, padded


def _learned(seconds: Callable[[int], float], bucket: str = "b") -> Costs:
    costs = Costs()
    for size in ROW_BUCKETS:
        for _ in range(WARM + 1):
            costs.measured(bucket, size, seconds(size))
    return costs


@settings(deadline=None)
@given(st.integers(1, MAX_ROWS))
def test_padding_is_the_smallest_bucket_that_holds(rows: int) -> None:
    assert padded(rows) in ROW_BUCKETS
    assert padded(rows) >= rows
    assert all(size < rows for size in ROW_BUCKETS if size < padded(rows))


@settings(deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.001, 1.0), st.integers(1, 40), st.integers(1, 2))
def test_the_cap_is_the_smallest_with_nearly_the_best_throughput(
    fixed: float, each: float, wanted: int, least: int
) -> None:
    costs = _learned(lambda rows: fixed + each * rows)
    cap = costs.cap("b", wanted, least)
    assert least <= cap <= max(padded(min(wanted, MAX_ROWS)), least)
    allowed = [size for size in ROW_BUCKETS if least <= size <= padded(min(wanted, MAX_ROWS))]
    wanted = max(wanted, least)
    gain = {size: min(size, wanted) / (fixed + each * size) for size in allowed or [cap]}
    assert gain[cap] >= 0.95 * max(gain.values())
    assert all(gain[size] < 0.95 * max(gain.values()) for size in gain if size < cap)


def test_where_batching_does_not_pay_little_is_batched() -> None:
    """A saturated device: eight rows take eight times as long, so everybody else would only wait."""
    assert _learned(lambda rows: 0.1 * rows).cap("b", 16) == 1
    assert _learned(lambda rows: 0.1 * rows).cap("b", 16, least=2) == 2


def test_where_batching_is_free_all_rows_are_used() -> None:
    assert _learned(lambda rows: 0.1).cap("b", 40) == 16


def _tried(seconds: Callable[[int], float], wanted: int, least: int = 1) -> list[int]:
    """Sizes in the order in which an engine with work for ``wanted`` rows tries them, then its choice."""
    costs = Costs()
    tried: list[int] = []
    for _ in range(40):
        size = costs.cap("b", wanted, least)
        costs.measured("b", size, seconds(size))
        tried += [size] if tried[-1:] != [size] else []
    return tried


def test_unmeasured_sizes_are_tried_from_below_when_there_is_work_for_them() -> None:
    assert _tried(lambda rows: 1.0, 40) == [1, 2, 4, 8, 16]
    assert _tried(lambda rows: 1.0, 5) == [1, 2, 4]
    assert _tried(lambda rows: 1.0, 5, least=2) == [2, 4]
    assert _tried(lambda rows: 1.0, 1) == [1]


def test_nobody_pays_for_trying_sizes_that_cannot_be_worth_it() -> None:
    """Where two rows take twice as long as one, sixteen are never tried at somebody's expense."""
    assert _tried(float, 40) == [1, 2, 1]


def test_what_was_learnt_before_is_believed_and_what_is_measured_now_is_believed_more() -> None:
    costs = _learned(lambda rows: 1.0)
    costs.believe("b", {1: 5.0, 2: 5.0})
    assert costs.seconds("b", 1) == 1.0
    fresh = Costs()
    fresh.believe("b", costs.known("b"))
    assert fresh.cap("b", 40) == 16
    assert fresh.unknown("b") is None


def test_the_first_calls_of_a_shape_are_not_believed() -> None:
    """They allocate and compile: a cap learned from them would be wrong for good."""
    costs = Costs()
    for _ in range(WARM):
        costs.measured("b", 4, 99.0)
    assert costs.seconds("b", 4) is None
    costs.measured("b", 4, 1.0)
    assert costs.seconds("b", 4) == 1.0


def _used(costs: Costs, factor: float, calls: int) -> list[int]:
    """``calls`` steps for sixteen rows at a machine ``factor`` times as slow as usual; the sizes used."""
    used = []
    for _ in range(calls):
        used.append(costs.cap("b", 16))
        costs.measured("b", used[-1], factor * (0.1 + 0.01 * used[-1]))
    return used


def test_a_hiccup_of_the_machine_does_not_lower_the_rows_for_good() -> None:
    """One call took ten seconds because something else had the machine: sixteen rows look bad, and are tried
    again."""
    costs = _learned(lambda rows: 0.1 + 0.01 * rows)
    assert _used(costs, 1.0, 5) == [16] * 5
    costs.measured("b", 16, 10.0)
    assert _used(costs, 1.0, 5) == [8] * 5
    assert _used(costs, 1.0, 150)[-100:] == [16] * 100
    assert costs.seconds("b", 16) == pytest.approx(0.26, rel=0.05)


def test_control_without_a_second_look_the_rows_stay_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Costs, "_doubtful", lambda *_: False)
    costs = _learned(lambda rows: 0.1 + 0.01 * rows)
    costs.measured("b", 16, 10.0)
    assert _used(costs, 1.0, 200) == [8] * 200


@pytest.mark.parametrize("factor", [2.0, 5.0])
def test_after_a_busy_time_all_is_as_before(factor: float) -> None:
    costs = _learned(lambda rows: 0.1 + 0.01 * rows)
    _used(costs, factor, 40)
    assert _used(costs, 1.0, 300)[-200:] == [16] * 200


def test_a_machine_that_became_slower_is_believed_after_some_tries() -> None:
    costs = _learned(lambda rows: 0.1 + 0.01 * rows)
    _used(costs, 3.0, 2_000)
    assert _used(costs, 3.0, 300) == [16] * 300


def test_a_size_that_was_always_slow_is_not_tried_again() -> None:
    """A saturated device: nobody waits for a second look."""
    costs = _learned(lambda rows: 0.1 * rows)
    used = []
    for _ in range(500):
        used.append(costs.cap("b", 16))
        costs.measured("b", used[-1], 0.1 * used[-1])
    assert used == [1] * 500


def test_out_of_memory_halves_the_cap() -> None:
    costs = _learned(lambda rows: 1.0)
    assert costs.too_big("b", 16) == 8
    assert costs.cap("b", 40) == 8
    assert costs.too_big("b", 8) == 4
    assert costs.cap("b", 40) == 4
    assert costs.limit("other") == 16


def test_averages_follow_slowly() -> None:
    costs = _learned(lambda rows: 1.0)
    costs.measured("b", 4, 2.0)
    assert costs.seconds("b", 4) == pytest.approx(1.1)


def test_row_seconds_is_the_best_known() -> None:
    assert _learned(lambda rows: 1.0).row_seconds("b") == 1.0 / 16
    assert Costs().row_seconds("b") is None


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 3.0), min_size=2, max_size=5), st.integers(0, 1000))
def test_no_bucket_waits_longer_than_the_others_allowances_and_their_overruns(
    costs: list[float], seed: int
) -> None:
    """Deficit round robin: the wait is bounded by every other bucket's quantum and longest step."""
    turns = Turns[str](quantum=0.5)
    waiting = {f"b{i}": 1.0 for i in range(len(costs))}
    waited = dict.fromkeys(waiting, 0.0)
    bound = sum(0.5 + cost for cost in costs) * 4 + 1.0
    for _ in range(400):
        chosen = turns.choose(waiting)
        cost = costs[int(chosen[1:])]
        turns.spent(chosen, cost)
        for bucket in waiting:
            waited[bucket] = 0.0 if bucket == chosen else waited[bucket] + cost
            assert waited[bucket] <= bound


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 0.4), min_size=2, max_size=4))
def test_device_time_is_shared_equally_whatever_a_step_costs(costs: list[float]) -> None:
    turns = Turns[str](quantum=0.5)
    waiting = {f"b{i}": 1.0 for i in range(len(costs))}
    got = dict.fromkeys(waiting, 0.0)
    for _ in range(3_000):
        chosen = turns.choose(waiting)
        turns.spent(chosen, costs[int(chosen[1:])])
        got[chosen] += costs[int(chosen[1:])]
    assert max(got.values()) - min(got.values()) <= 2.0


def test_a_bucket_with_more_people_gets_more() -> None:
    turns = Turns[str](quantum=0.5)
    got = {"a": 0.0, "b": 0.0}
    for _ in range(2_000):
        chosen = turns.choose({"a": 3.0, "b": 1.0})
        turns.spent(chosen, 0.1)
        got[chosen] += 0.1
    assert got["a"] / got["b"] == pytest.approx(3.0, rel=0.05)


def test_an_allowance_shrinks_with_what_a_picture_is_found_to_cost() -> None:
    """The first one is given before any picture was measured: on a fast machine it would last for minutes."""
    turns = Turns[str](10.0)
    waiting = {"hot": 9.0, "cool": 1.0}
    assert turns.choose(waiting) == "hot"
    turns.spent("hot", 0.1)
    turns.quantum = 0.2
    waited = 0.0
    while turns.choose(waiting) == "hot":
        turns.spent("hot", 0.1)
        waited += 0.1
    assert waited <= 9.0 * 0.2 + 0.1


def test_an_allowance_shrinks_with_the_people_who_leave() -> None:
    turns = Turns[str](1.0)
    assert turns.choose({"hot": 9.0, "cool": 1.0}) == "hot"
    waited = 0.0
    while turns.choose({"hot": 1.0, "cool": 1.0}) == "hot":
        turns.spent("hot", 0.1)
        waited += 0.1
    assert waited <= 1.0 + 0.1


def test_a_lone_bucket_always_goes() -> None:
    turns = Turns[str]()
    for _ in range(50):
        assert turns.choose({"only": 1.0}) == "only"
        turns.spent("only", 100.0)


def test_a_bucket_goes_on_until_its_allowance_is_used() -> None:
    """Latents are not parked after every step."""
    turns = Turns[str](quantum=1.0)
    order = []
    for _ in range(20):
        chosen = turns.choose({"a": 1.0, "b": 1.0})
        order.append(chosen)
        turns.spent(chosen, 0.2)
    assert "".join(order) in {"aaaaabbbbbaaaaabbbbb", "aaaaaabbbbbbaaaabbbb"} or order.count("a") in range(
        8, 13
    )
    assert sum(a != b for a, b in pairwise(order)) <= 4
