"""The fair share rule on a virtual clock: what it promises, for random people."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.fair import Share


class Wish(NamedTuple):
    """A run that could take a step now."""

    key: int
    flow: str
    rows: int = 1
    began: bool = False
    turn: float = 0.0
    order: int = 0


class Crowd:
    """Flows with queues of equal jobs (steps each) of one-row runs, driven by a Share; a step costs 1 a
    row."""

    def __init__(self, quantum: float, room: int, weights: dict[str, float] | None = None) -> None:
        self.share = Share(quantum)
        self.room = room
        self.weights = weights or {}
        self.left: dict[int, int] = {}
        self.flow: dict[int, str] = {}
        self.began: set[int] = set()
        self.got: dict[str, float] = {}
        self.finished: dict[int, int] = {}
        self.now = 0

    def add(self, flow: str, steps: int, jobs: int = 1) -> list[int]:
        made = []
        for _ in range(jobs):
            key = len(self.flow)
            self.left[key], self.flow[key] = steps, flow
            self.share.join(flow, self.weights.get(flow, 1.0))
            made.append(key)
        return made

    def step(self) -> list[Wish]:
        wishes = [Wish(key, self.flow[key], 1, key in self.began, order=key) for key in self.left]
        picked = self.share.pick(wishes, self.room, 1.0)
        self.now += 1
        for wish in picked:
            key = wish.key
            self.began.add(key)
            self.share.charge(wish.flow, 1.0)
            self.got[wish.flow] = self.got.get(wish.flow, 0.0) + 1.0
            self.left[key] -= 1
            if self.left[key] == 0:
                del self.left[key]
                self.finished[key] = self.now
                self.share.leave(wish.flow)
        return picked


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 2), st.booleans()), max_size=30),
    st.integers(1, 16), st.floats(0, 50),
)  # fmt: skip
def test_no_room_stays_empty_while_a_wish_fits(
    rows: list[tuple[int, int, bool]], room: int, quantum: float
) -> None:
    share = Share(quantum)
    wishes = [Wish(i, f"f{flow}", r, running, order=i) for i, (flow, r, running) in enumerate(rows)]
    picked = share.pick(wishes, room, 1.0)
    left = room - sum(wish.rows for wish in picked)
    assert left >= 0
    assert len({wish.key for wish in picked}) == len(picked)
    assert all(wish.rows > left for wish in wishes if wish not in picked)


def by_the_rule(share: Share, wishes: list[Wish], weights: dict[str, float], room: int) -> list[int]:
    """The rule said plainly: row by row, the least served flow's first wish."""
    left, extra, picked = list(wishes), dict.fromkeys(weights, 0.0), []
    while left and room > 0:
        heads = {wish.flow: wish for wish in sorted(left, key=own_order, reverse=True)}

        def place(wish: Wish) -> tuple[float, float, int, str]:
            ahead = share.quantum / weights[wish.flow] if wish.began else 0.0
            return share.service(wish.flow) + extra[wish.flow] - ahead, wish.turn, wish.order, wish.flow

        wish = min(heads.values(), key=place)
        left.remove(wish)
        if wish.rows <= room:
            picked.append(wish.key)
            room -= wish.rows
            extra[wish.flow] += wish.rows * 0.25 / weights[wish.flow]
    return picked


def own_order(wish: Wish) -> tuple[bool, float, int]:
    return not wish.began, wish.turn, wish.order


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 2), st.booleans(), st.integers(0, 3), st.integers(0, 99)),
        max_size=40,
    ),
    st.lists(st.tuples(st.sampled_from((0.5, 1.0, 3.0)), st.integers(0, 4)), min_size=6, max_size=6),
    st.integers(1, 16), st.sampled_from((0.0, 0.5, 1.0, 10.0)),
)  # fmt: skip
def test_the_quick_way_decides_as_the_rule_says(
    rows: list[tuple[int, int, bool, int, int]],
    flows: list[tuple[float, int]],
    room: int,
    quantum: float,
) -> None:
    """Services, turns and quanta are few, so that there are ties."""
    share, weights = Share(quantum), {f"f{i}": weight for i, (weight, _) in enumerate(flows)}
    for flow, (weight, served) in enumerate(flows):
        share.join(f"f{flow}", weight)
        share.charge(f"f{flow}", served * 0.5)
    wishes = [
        Wish(key, f"f{flow}", own, began, float(turn), 100 * order + key)
        for key, (flow, own, began, turn, order) in enumerate(rows)
    ]
    picked = share.pick(wishes, room, 0.25)
    assert [wish.key for wish in picked] == by_the_rule(share, wishes, weights, room)


@given(st.integers(2, 6), st.integers(1, 8), st.floats(0, 40), st.integers(5, 30))
@settings(max_examples=60, deadline=None)
def test_backlogged_equals_stay_within_two_quanta_and_a_batch(
    people: int, room: int, quantum: float, steps: int
) -> None:
    crowd = Crowd(quantum, room)
    for person in range(people):
        crowd.add(f"p{person}", steps, 20)
    for _ in range(100):
        crowd.step()
        if len({crowd.flow[key] for key in crowd.left}) < people:
            break
        got = [crowd.got.get(f"p{person}", 0.0) for person in range(people)]
        assert max(got) - min(got) <= 2 * quantum + room


def test_without_a_quantum_equals_differ_by_one_row_step() -> None:
    crowd = Crowd(0.0, 1)
    for person in "ab":
        crowd.add(person, 20, 5)
    for _ in range(100):
        crowd.step()
        assert abs(crowd.got.get("a", 0.0) - crowd.got.get("b", 0.0)) <= 1.0


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 8))
def test_with_a_quantum_of_a_job_single_jobs_are_first_come_first_served(people: int, room: int) -> None:
    crowd = Crowd(10.0, room)
    keys = [crowd.add(f"p{person}", 10)[0] for person in range(people)]
    while crowd.left:
        crowd.step()
    assert [crowd.finished[key] for key in keys] == [10 * (place // room + 1) for place in range(people)]


def test_weights_are_shares() -> None:
    """Over any window of 500 row-steps, shares are within two hundredths of 1:2:4."""
    weights = {"a": 1.0, "b": 2.0, "c": 4.0}
    crowd = Crowd(5.0, 4, weights)
    for person in weights:
        crowd.add(person, 10, 120)
    history: list[dict[str, float]] = []
    for _ in range(500):
        crowd.step()
        history.append(dict(crowd.got))
    for start in range(50, 370):
        window = {p: history[start + 125].get(p, 0.0) - history[start].get(p, 0.0) for p in weights}
        for person, weight in weights.items():
            assert window[person] / 500 == pytest.approx(weight / 7, abs=0.02)


def test_nobody_banks_idle_time() -> None:
    """Someone who comes back after a long pause starts level, and does not shut the others out."""
    crowd = Crowd(5.0, 1)
    crowd.add("returns", 1)
    crowd.step()
    crowd.add("stays", 10, 40)
    for _ in range(200):
        crowd.step()
    crowd.add("returns", 10, 40)
    before = dict(crowd.got)
    for _ in range(100):
        crowd.step()
    assert abs((crowd.got["stays"] - before["stays"]) - (crowd.got["returns"] - before["returns"])) <= 11


def test_a_newcomer_pays_no_entrance() -> None:
    """A flow that joins a crowd that drew for long is served within a quantum and a batch."""
    crowd = Crowd(10.0, 2)
    crowd.add("old", 10, 100)
    for _ in range(100):
        crowd.step()
    crowd.add("new", 10)
    for _ in range(11):
        crowd.step()
    assert crowd.got.get("new", 0.0) > 0


def test_a_flood_slows_light_people_little() -> None:
    """One person with 300 jobs, six who ask for one now and then: the light ones hardly wait (C13's
    shape)."""
    rng = random.Random(1)
    crowd = Crowd(20.0, 4)
    crowd.add("flood", 20, 300)
    waits = []
    asked: dict[int, int] = {}
    for step in range(1_200):
        if step % 20 == 0:
            for person in range(6):
                if rng.random() < 0.3:
                    asked[crowd.add(f"light{person}", 20)[0]] = crowd.now
        crowd.step()
    for key, when in asked.items():
        if key in crowd.finished:
            waits.append((crowd.finished[key] - when) / 20)
    waits.sort()
    assert len(waits) > 80
    assert waits[int(len(waits) * 0.95)] <= 4.0


def test_within_a_flow_running_first_then_turn_then_arrival() -> None:
    late, second, first, running = range(4)
    wishes = [
        Wish(late, "a", turn=5.0, order=0),
        Wish(second, "a", turn=1.0, order=3),
        Wish(first, "a", turn=1.0, order=2),
        Wish(running, "a", began=True, turn=9.0, order=9),
    ]
    assert [wish.key for wish in Share(1.0).pick(wishes, 4, 1.0)] == [running, first, second, late]


def test_service_is_forgotten_when_nobody_is_left() -> None:
    """Memory does not grow with the number of people who ever came."""
    share = Share(1.0)
    for person in range(1_000):
        share.join(f"p{person}", 1.0)
        share.charge(f"p{person}", 3.0)
        share.leave(f"p{person}")
    assert share.service("p3") == 0.0
