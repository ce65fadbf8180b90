"""What a record says: waits, fairness, and how busy the machine was."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from inference.simulate.clock import Job, Machine, Record

WINDOWS = 48
"""Parts of the time in which fairness is looked at."""
TINY = 1e-9
"""Seconds of the virtual clock that are rounding."""


@dataclass(frozen=True, slots=True)
class Group:
    """Waits of like people: their number of asks, and slowdowns (wait over what it takes alone)."""

    asks: int
    median: float
    p95: float
    seconds: float
    """Median wait."""


@dataclass(frozen=True, slots=True)
class Story:
    """One policy's record in figures."""

    groups: dict[str, Group]
    gap: float
    """The most device seconds that one of two people, both backlogged, was behind the other."""
    jain: tuple[float, ...]
    """Jain's index of what those who waited throughout a window got in it; 1 is equal."""
    service: dict[str, tuple[float, ...]]
    """Person → device seconds until the end of each window."""
    busy: float
    """Share of the time that the machines worked."""
    rate: float
    """Device seconds of useful work a second and machine: 1 is the best that they can do."""
    end: float
    step: float
    """Seconds of a window."""
    engines: int = 1


def tell(record: Record, machine: Machine) -> Story:
    """The story of ``record``."""
    end = record.end or 1.0
    step = end / WINDOWS
    service = _service(record, step)
    waiting = _waiting(record, step)
    jain = tuple(_jain(service, waiting, window, _weights(record)) for window in range(WINDOWS))
    useful = sum(value for call in record.calls for _, value in call.given)
    return Story(
        groups={name: _group(jobs, machine) for name, jobs in _groups(record).items()},
        gap=gap(record), jain=jain, service=service,
        busy=sum(call.seconds for call in record.calls) / (end * record.engines),
        rate=useful / (end * record.engines), end=end, step=step,
        engines=record.engines,
    )  # fmt: skip


def _groups(record: Record) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = {}
    for job in record.jobs:
        if job.ended >= 0.0:
            found.setdefault(job.ask.group or job.ask.person, []).append(job)
    return found


def _group(jobs: Sequence[Job], machine: Machine) -> Group:
    slow = [job.wait / machine.alone(job.ask) for job in jobs]
    waits = [job.wait for job in jobs]
    return Group(len(jobs), share(slow, 0.5), share(slow, 0.95), share(waits, 0.5))


def share(values: Sequence[float], part: float) -> float:
    """The value that ``part`` of all are not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def _weights(record: Record) -> dict[str, float]:
    return {job.ask.person: job.ask.weight for job in record.jobs}


def _service(record: Record, step: float) -> dict[str, tuple[float, ...]]:
    totals = {person: [0.0] * WINDOWS for person in _weights(record)}
    for call in record.calls:
        window = min(WINDOWS - 1, int(call.end / step))
        for person, value in call.given:
            totals[person][window] += value
    return {person: _running(values) for person, values in totals.items()}


def _running(values: Sequence[float]) -> tuple[float, ...]:
    found, total = [], 0.0
    for value in values:
        total += value
        found.append(total)
    return tuple(found)


def spans(record: Record) -> dict[str, list[tuple[float, float]]]:
    """When each person had something unfinished: from, to."""
    found: dict[str, list[tuple[float, float]]] = {}
    for job in record.jobs:
        mine = found.setdefault(job.ask.person, [])
        end = job.ended if job.ended >= 0.0 else record.end
        if mine and job.ask.at <= mine[-1][1]:
            mine[-1] = mine[-1][0], max(mine[-1][1], end)
        else:
            mine.append((job.ask.at, end))
    return found


def _waiting(record: Record, step: float) -> list[set[str]]:
    """Who wanted something throughout each window."""
    found: list[set[str]] = [set() for _ in range(WINDOWS)]
    for person, times in spans(record).items():
        for window in range(WINDOWS):
            begin, end = window * step, (window + 1) * step
            if any(first <= begin and end <= last for first, last in times):
                found[window].add(person)
    return found


def _jain(
    service: dict[str, tuple[float, ...]], waiting: Sequence[set[str]], window: int, weights: dict[str, float]
) -> float:
    got = []
    for person in waiting[window]:
        before = service[person][window - 1] if window else 0.0
        got.append((service[person][window] - before) / weights[person])
    squares = len(got) * sum(value * value for value in got)
    return sum(got) ** 2 / squares if squares else 1.0


def gap(record: Record, people: Sequence[str] = ()) -> float:
    """The most that one of two people was behind the other in any stretch in which both were backlogged; of
    ``people``, or of the eight who were longest.

    Backlogged: at least one picture of theirs is in no call. Whoever has only what is being drawn cannot use
    a larger part (Blanquer & Ozden 2001, "Fair queuing for aggregated multiple links").
    """
    times = record.behind
    waited = {name: sum(end - begin for begin, end in spans) for name, spans in times.items()}
    longest = list(people) or sorted(waited, key=lambda name: -waited[name])[:8]
    found = 0.0
    for place, one in enumerate(longest):
        for other in longest[place + 1 :]:
            for begin, end in _both(times.get(one, ()), times.get(other, ())):
                found = max(found, apart(record, one, other, begin, end))
    return found


def _both(
    one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    pairs = [(max(a[0], b[0]), min(a[1], b[1])) for a in one for b in other]
    return [(begin, end) for begin, end in pairs if begin < end]


def apart(record: Record, one: str, other: str, begin: float, end: float) -> float:
    """The most by which their service, over their weights, grew apart in any stretch of these calls."""
    weights = _weights(record)
    first = bisect_left(record.calls, begin, key=lambda call: call.end)
    difference, low, high = 0.0, 0.0, 0.0
    for call in itertools.islice(record.calls, first, None):
        if call.end > end + TINY:
            break
        if call.end - call.seconds > begin - TINY:
            given = dict(call.given)
            difference += given.get(one, 0.0) / weights[one] - given.get(other, 0.0) / weights[other]
            low, high = min(low, difference), max(high, difference)
    return high - low
