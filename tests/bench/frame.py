"""What every bench shares: interleaved runs, medians of ratios, one JSON line a figure, and honesty about
noise.

A bench compares two callables in one process, ABBA, so that a drift of the machine meets both. When others
used the machine meanwhile its figure is ``void``; it is reported all the same with ``--anyway``. Beside the
wall clock it counts the process's own CPU time, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

OTHERS = 0.1
"""Cores that others may use before a figure is void."""
ROUNDS = 5
"""Pairs of runs; the median of their ratios is the figure."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run took: seconds on the wall, and of CPU time in this process."""

    wall: float
    cpu: float


class Load:
    """How many cores other processes used since it was made; None where the system does not say."""

    def __init__(self) -> None:
        self._before = self._now()

    def others(self) -> float | None:
        """Cores used by others since the beginning."""
        now = self._now()
        if now is None or self._before is None:
            return None
        wall, all_, own = (after - before for after, before in zip(now, self._before, strict=True))
        return max(0.0, (all_ - own) / max(wall, 1e-9))

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        stat = Path("/proc/stat")
        if not stat.exists():
            return None
        words = [float(word) for word in stat.read_text().splitlines()[0].split()[1:9]]
        idle = words[3] + words[4]
        ended = os.times()  # processes of ours, once they are over
        own = time.process_time() + ended.children_user + ended.children_system
        return time.perf_counter(), (sum(words) - idle) / 100.0, own


def spent(run: Callable[[], object]) -> Spent:
    """Run it once."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def abba(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int = ROUNDS
) -> list[tuple[Spent, Spent]]:
    """``rounds`` pairs (ours, theirs), in the order ABBA ABBA; warming up is the caller's."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = spent(theirs)
            pairs.append((spent(ours), second))
        else:
            first = spent(ours)
            pairs.append((first, spent(theirs)))
    return pairs


@dataclass(frozen=True, slots=True)
class Figure:
    """One goal. ``gate``: at least (``up``) or at most this."""

    name: str
    value: float
    gate: float
    up: bool
    by_cpu: float | None = None
    """The same ratio counted in CPU time."""
    more: Mapping[str, object] | None = None

    @property
    def good(self) -> bool:
        """Whether the gate is reached."""
        return self.value >= self.gate if self.up else self.value <= self.gate


def ratio(pairs: Sequence[tuple[Spent, Spent]], *, inverse: bool = False) -> tuple[float, float]:
    """Median of theirs / ours by wall and by CPU (``inverse``: ours / theirs)."""
    wall = [ours.wall / theirs.wall if inverse else theirs.wall / ours.wall for ours, theirs in pairs]
    cpu = [ours.cpu / theirs.cpu if inverse else theirs.cpu / ours.cpu for ours, theirs in pairs]
    return statistics.median(wall), statistics.median(cpu)


def main(benches: Mapping[str, Callable[[int], Figure]], exact: Set[str] = frozenset()) -> int:
    """The command line of a bench file; exit code 1 if a gate was missed, 2 if the machine was too busy.

    ``exact``: those that no busy machine can disturb, because they measure no time.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("figures", nargs="*", default=[], help=f"of {', '.join(benches)}; all without")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--anyway", action="store_true", help="report although others use the machine")
    given = parser.parse_args()
    code = 0
    for name in given.figures or benches:
        load = Load()
        figure = benches[name](given.rounds)
        others = load.others()
        busy = name not in exact and (others is None or others > OTHERS)
        if busy and not given.anyway:
            print(f"{name}: others used {others} cores; nothing is reported (--anyway)", file=sys.stderr)
            print(json.dumps({"figure": name, "value": None, "good": None, "void": True}), flush=True)
            code = 2
            continue
        code = max(code, 0 if figure.good else 1)
        print(json.dumps(_line(figure, others, busy, given.rounds)), flush=True)
    return code


def _line(figure: Figure, others: float | None, busy: bool, rounds: int) -> dict[str, object]:
    line: dict[str, object] = {
        "figure": figure.name, "value": round(figure.value, 4), "gate": figure.gate, "good": figure.good,
        "rounds": rounds, "others_cores": None if others is None else round(others, 2),
    }  # fmt: skip
    if figure.by_cpu is not None:
        line["by_cpu"] = round(figure.by_cpu, 4)
    return line | ({"void": True} if busy else {}) | dict(figure.more or {})
