"""Which runs get the next step: sticky, step-level fair share. Pure: no tensors, no clock.

Every flow (an account) has a virtual service ``V``: the cost of the rows it got, divided by its weight. The
flow that got least goes first (start-time fair queueing and virtual token counters: Goyal et al. 1996; Sheng
et al. 2024, arXiv 2401.00588), but a run that has begun keeps its place until it is ``quantum`` ahead: with a
quantum of about one picture, equal single jobs wait no longer than first come, first served, and no flow is
ever more than ``2·quantum + one batch`` behind another.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Protocol, TypeVar

KEEP = 10_000
"""Flows without a run whose service is remembered."""


class Wish(Protocol):
    """A run that could take a step now."""

    @property
    def flow(self) -> str:
        """Whose it is."""

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
        """When it came; breaks ties between equal turns."""


W = TypeVar("W", bound=Wish)
_UNSEEN = -math.inf
"""In the place of the turn of a flow whose runs were not put in order yet: among equals it is looked at
first."""


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

    def pick(self, wishes: Iterable[W], room: int, cost: float) -> list[W]:
        """The wishes that get the next step: at most ``room`` rows, none idle while a wish fits. ``cost`` is
        what a row is worth.

        A flow's own runs go in the order running first, then turn, then arrival; they are put in it when its
        turn comes, as most flows' does not.
        """
        queues: dict[str, list[W]] = {}
        running: set[str] = set()
        for wish in wishes:
            flow = wish.flow
            if flow in queues:
                queues[flow].append(wish)
            else:
                queues[flow] = [wish]
            if wish.began:
                running.add(flow)
        heap = [(self._score(flow, flow in running, 0.0), _UNSEEN, 0, flow, 0.0) for flow in queues]
        heapq.heapify(heap)
        picked: list[W] = []
        while heap and room > 0:
            _, turn, _, flow, extra = heapq.heappop(heap)
            queue = queues[flow]
            if turn == _UNSEEN:
                queue.sort(key=_own_order, reverse=True)  # the next one is the last
            else:
                wish = queue.pop()
                if wish.rows <= room:
                    picked.append(wish)
                    room -= wish.rows
                    extra += wish.rows * cost / self._weight.get(flow, 1.0)
            if queue:
                first = queue[-1]
                score = self._score(flow, first.began, extra)
                heapq.heappush(heap, (score, first.turn, first.order, flow, extra))
        return picked

    def _score(self, flow: str, running: bool, extra: float) -> float:
        """The least goes first; ``extra`` is the cost over weight that this step gives the flow already."""
        ahead = self.quantum / self._weight.get(flow, 1.0) if running else 0.0
        return self._service.get(flow, 0.0) + extra - ahead


def _own_order(wish: Wish) -> tuple[bool, float, int]:
    return not wish.began, wish.turn, wish.order
