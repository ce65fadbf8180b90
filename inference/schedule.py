"""Which runs take the next step together, and what it costs their people: ``fair.py`` and ``batch.py``.

Pure: no tensors, no clock. The engine and ``simulate.py`` drive the same code.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

from inference import batch
from inference.fair import Share, Wish

FIRST_QUANTUM = 1.0
"""Seconds of device time a run may be ahead of its flow's share before it is parked, until pictures were
measured."""
FIRST_COST = 0.01
"""Seconds for a row of one step before any was measured."""
ALONE = 2.5
"""A bucket's allowance for each person in it, in quanta: a picture that has no company costs about that
much."""
FRESH = 0.05
"""Weight of one more picture in what a usual one costs."""


class Runnable(Protocol):
    """What must be known of a run; all of it may change from step to step, but ``flow`` and ``order``."""

    @property
    def bucket(self) -> Hashable:
        """What it must have in common with its company."""

    @property
    def flow(self) -> str:
        """Whose it is."""

    @property
    def weight(self) -> float:
        """Their share."""

    @property
    def rows(self) -> int:
        """Rows of its next step."""

    @property
    def began(self) -> bool:
        """Whether it has taken a step."""

    @property
    def turn(self) -> float:
        """Its job's place in the queue."""

    @property
    def order(self) -> int:
        """When it came."""


R = TypeVar("R", bound=Runnable)


class Schedule:
    """Fair share between people, deficit round robin between buckets, as many rows as are worth it."""

    def __init__(self, quantum: float = FIRST_QUANTUM) -> None:
        self.share = Share(quantum)
        self.costs = batch.Costs()
        self.turns = batch.Turns[Hashable](ALONE * quantum)
        self._drawn = 0

    def pick(self, runs: Sequence[R]) -> list[R]:
        """Those of ``runs`` that take the next step: of one bucket, at least one if there are any."""
        if not runs:
            return []
        weights, wishes = self._wishes(runs)
        chosen = self.turns.choose(weights)
        wanted = wishes[chosen]
        room = self.costs.cap(chosen, sum(wish.rows for wish in wanted), max(wish.rows for wish in wanted))
        return [runs[wish.key] for wish in self.share.pick(wanted, room)]

    def _wishes(self, runs: Sequence[Runnable]) -> tuple[dict[Hashable, float], dict[Hashable, list[Wish]]]:
        """By bucket: the summed weight of the distinct people in it, and what they wish for."""
        people: dict[Hashable, dict[str, float]] = {}
        wishes: dict[Hashable, list[Wish]] = {}
        each: dict[Hashable, float] = {}
        for place, run in enumerate(runs):
            bucket, flow, rows = run.bucket, run.flow, run.rows
            if bucket not in each:
                people[bucket], wishes[bucket], each[bucket] = {}, [], self.row_cost(bucket)
            people[bucket][flow] = run.weight
            wishes[bucket].append(
                Wish(place, flow, rows, rows * each[bucket], run.began, run.turn, run.order)
            )
        return {bucket: sum(weights.values()) for bucket, weights in people.items()}, wishes

    def charge(self, flow: str, bucket: Hashable, rows: int) -> float:
        """``flow`` got a step of ``rows`` rows; what it cost."""
        cost = rows * self.row_cost(bucket)
        self.share.charge(flow, cost)
        return cost

    def took(self, bucket: Hashable, rows: int, seconds: float) -> None:
        """A call of ``rows`` (padded) rows took so long."""
        self.costs.measured(bucket, rows, seconds)
        self.turns.spent(bucket, seconds)

    def drawn(self, cost: float) -> None:
        """A picture that cost so much is done: the quantum is about one of them."""
        if cost > 0.0:
            self._drawn += 1
            self.share.quantum += max(FRESH, 1.0 / self._drawn) * (cost - self.share.quantum)
            self.turns.quantum = ALONE * self.share.quantum

    def row_cost(self, bucket: Hashable) -> float:
        """Seconds of device time that one row of one step is worth."""
        return self.costs.row_seconds(bucket) or FIRST_COST
