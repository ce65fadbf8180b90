"""Which runs take the next step together, and what it costs their people: ``fair.py`` and ``batch.py``.

Pure: no tensors, no clock. The engine and ``simulate.py`` drive the same code.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
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


class Runnable(Wish, Protocol):
    """What must be known of a run; all of it may change from step to step, but ``flow`` and ``order``."""

    @property
    def bucket(self) -> Hashable:
        """What it must have in common with its company."""

    @property
    def weight(self) -> float:
        """Its flow's share."""


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
        waiting = _by_bucket(runs)
        chosen = self.turns.choose(_weights(waiting))
        wanted = waiting[chosen]
        rows = [run.rows for run in wanted]
        return self.share.pick(wanted, self.costs.cap(chosen, sum(rows), max(rows)), self.row_cost(chosen))

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


def _by_bucket(runs: Sequence[R]) -> dict[Hashable, list[R]]:
    found: dict[Hashable, list[R]] = {}
    for run in runs:
        bucket = run.bucket
        if bucket in found:
            found[bucket].append(run)
        else:
            found[bucket] = [run]
    return found


def _weights(waiting: Mapping[Hashable, Sequence[Runnable]]) -> dict[Hashable, float]:
    """The summed weight of the distinct people in each bucket; of the only one it is not asked."""
    if len(waiting) == 1:
        return dict.fromkeys(waiting, 1.0)
    return {bucket: sum({run.flow: run.weight for run in runs}.values()) for bucket, runs in waiting.items()}
