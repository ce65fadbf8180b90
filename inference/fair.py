"""Which runs get the next step: sticky, step-level fair share. Pure: no tensors, no clock.

Every flow (an account) has a virtual service ``V``: the cost of the rows it got, divided by its weight. The
flow that got least goes first (start-time fair queueing and virtual token counters: Goyal et al. 1996; Sheng
et al. 2024, arXiv 2401.00588), but a run that has begun keeps its place until it is ``quantum`` ahead: with a
quantum of about one picture, equal single jobs wait no longer than first come, first served, and no flow is
ever more than ``2·quantum + one batch`` behind another.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

KEEP = 10_000
"""Flows without a run whose service is remembered."""


class Wish(NamedTuple):
    """One run that could take a step now. ``cost`` is what the step of its ``rows`` rows is worth.

    Made anew for every step, which a tuple is three times quicker at than a frozen dataclass.
    """

    key: int
    flow: str
    rows: int
    cost: float
    running: bool = False
    turn: float = 0.0
    order: int = 0
    """Arrival; breaks ties between equal turns."""


class Share:
    """The virtual service of every flow, and the rule that picks."""

    def __init__(self, quantum: float) -> None:
        self.quantum = quantum
        self._service: dict[str, float] = {}
        self._weight: dict[str, float] = {}
        self._runs: dict[str, int] = {}

    def join(self, flow: str, weight: float, runs: int = 1) -> None:
        """``runs`` more runs of ``flow``. A new or returning flow starts level with the least served: nobody
        banks idle time, nobody pays for it."""
        if not self._runs.get(flow):
            floor = min((self._service[name] for name in self._runs), default=0.0)
            self._service[flow] = max(self._service.get(flow, floor), floor)
            self._runs[flow] = 0
        self._weight[flow] = weight
        self._runs[flow] += runs

    def leave(self, flow: str, runs: int = 1) -> None:
        """``runs`` runs of ``flow`` are over."""
        self._runs[flow] -= runs
        if self._runs[flow] > 0:
            return
        del self._runs[flow], self._weight[flow]
        if not self._runs:
            self._service.clear()  # nobody is behind anybody any more
        elif len(self._service) > KEEP + len(self._runs):
            self._service = {name: self._service[name] for name in self._runs}

    def service(self, flow: str) -> float:
        """Virtual service of ``flow``: cost over weight."""
        return self._service.get(flow, 0.0)

    def charge(self, flow: str, cost: float) -> None:
        """``flow`` got rows worth ``cost``."""
        self._service[flow] = self._service.get(flow, 0.0) + cost / self._weight.get(flow, 1.0)

    def pick(self, wishes: Iterable[Wish], room: int) -> list[Wish]:
        """The wishes that get the next step: at most ``room`` rows, none idle while a wish fits.

        A flow's own runs go in the order running first, then turn, then arrival.
        """
        queues: dict[str, list[Wish]] = {}
        for wish in wishes:
            if wish.flow in queues:
                queues[wish.flow].append(wish)
            else:
                queues[wish.flow] = [wish]
        for queue in queues.values():
            if len(queue) > 1:
                queue.sort(key=_own_order, reverse=True)  # the next one is the last
        heap = [self._entry(flow, queue[-1], 0.0) for flow, queue in queues.items()]
        heapq.heapify(heap)
        picked: list[Wish] = []
        while heap and room > 0:
            _, _, _, flow, extra = heapq.heappop(heap)
            wish = queues[flow].pop()
            if wish.rows <= room:
                picked.append(wish)
                room -= wish.rows
                extra += wish.cost / self._weight.get(flow, 1.0)
            if queues[flow]:
                heapq.heappush(heap, self._entry(flow, queues[flow][-1], extra))
        return picked

    def _entry(self, flow: str, wish: Wish, extra: float) -> tuple[float, float, int, str, float]:
        ahead = self.quantum / self._weight.get(flow, 1.0) if wish.running else 0.0
        score = self._service.get(flow, 0.0) + extra - ahead
        return score, wish.turn, wish.order, flow, extra


def _own_order(wish: Wish) -> tuple[bool, float, int]:
    return not wish.running, wish.turn, wish.order
