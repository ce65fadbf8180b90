"""C3, C4, C6, C11-C17, C22: the real scheduling code on a virtual clock. Exact: the same figures every time.

``python -m tests.bench.virtual [C11 …]``. Times are in steps of one row; T(8)/T(1) is 2.45, as measured for a
small UNet at latent 8 (``saturated``: rows cost what they cost, as at latent 32).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from itertools import accumulate

from inference.batch import Turns, padded
from inference.fair import Share, Wish
from inference.simulate.clock import Ask, Call, Job, Machine, Piece, Record, play
from inference.simulate.mixes import flood, models
from inference.simulate.policies import Batches, Fifo, Ours, RoundRobin, Vtc
from inference.simulate.story import gap, share, tell
from tests.bench.frame import Figure, main

GAIN = {1: 1.0, 2: 1.21, 4: 1.62, 8: 2.45, 16: 4.9}
SATURATED = {1: 1.0, 2: 1.9, 4: 3.7, 8: 7.4, 16: 14.8}
STEPS, QUANTUM = 50, 50
"""Steps of a usual picture, and the quantum in row-steps."""
GAINS, FULL = Machine({"first": GAIN, "second": GAIN}), Machine({"first": SATURATED})
ROW = GAINS.row("first")


def _crowd(seed: int = 1) -> list[Ask]:
    """One floods, one keeps eighty waiting, six ask for one now and then: all unguided, all alike."""
    rng, asks = random.Random(seed), []
    asks += [Ask(0.0, "flood", "first", STEPS, 1, group="flood") for _ in range(300)]
    asks += [Ask(0.0, "steady", "first", STEPS, 1, group="steady") for _ in range(80)]
    for person in range(6):
        at = 0.0
        while (at := at + rng.expovariate(1 / (14.0 * STEPS))) < 150 * STEPS:
            asks.append(Ask(at, f"light{person}", "first", STEPS, 1, group="light"))
    return asks


def _ours(machine: Machine = GAINS, quantum: float = QUANTUM * ROW) -> Ours:
    return Ours(machine, 1, quantum)


def _light(record: Record, machine: Machine = GAINS) -> float:
    return tell(record, machine).groups["light"].p95


def _mean(jobs: Sequence[Job]) -> float:
    return sum(job.wait for job in jobs) / len(jobs)


def c11(rounds: int) -> Figure:
    """The most row-steps that one of two people, both always waiting, is behind; VTC and FIFO beside it."""
    asks = _crowd()
    ours, vtc, fifo = (
        gap(play(asks, policy, GAINS), ("flood", "steady")) / ROW
        for policy in (_ours(), Vtc(GAINS), Fifo(GAINS))
    )
    more = {
        "vtc": round(vtc),
        "fifo": round(fifo),
        "quarter_of_vtc": ours <= vtc / 4,
        "tenth_of_fifo": ours <= fifo / 10,
    }
    return Figure("C11 service gap, row-steps", ours, 2 * QUANTUM + 8, up=False, more=more)


def c12(rounds: int) -> Figure:
    """Shares of people with weights 1, 2 and 4 in any window of 500 row-steps: the largest error."""
    weights = {"a": 1.0, "b": 2.0, "c": 4.0}
    asks = [
        Ask(0.0, name, "first", 10, 1, weight=weight)
        for name, weight in weights.items() for _ in range(int(60 * weight))
    ]  # fmt: skip
    calls = play(asks, _ours(quantum=5 * ROW), GAINS).calls
    calls = calls[len(calls) // 20 : -len(calls) // 5]
    worst = max(_error(calls, person, weight / 7.0) for person, weight in weights.items())
    return Figure("C12 weighted shares, error", worst, 0.05, up=False)


def _error(calls: Sequence[Call], person: str, wanted: float) -> float:
    mine = [0.0, *accumulate(dict(call.given).get(person, 0.0) for call in calls)]
    every = [0.0, *accumulate(sum(value for _, value in call.given) for call in calls)]
    worst, end = 0.0, 0
    for begin in range(len(calls)):
        while end < len(calls) and every[end] - every[begin] < 500 * ROW:
            end += 1
        if every[end] - every[begin] < 500 * ROW:
            break
        worst = max(worst, abs((mine[end] - mine[begin]) / (every[end] - every[begin]) - wanted))
    return worst


def c13(rounds: int) -> Figure:
    """Light people's p95 slowdown under a flood, against sequential round robin."""
    asks = _crowd()
    ours, turn = (_light(play(asks, policy, GAINS)) for policy in (_ours(), RoundRobin(GAINS)))
    more = {
        "ours": round(ours, 2),
        "round_robin": round(turn, 2),
        "floor": GAIN[8],
        "under_1.4_floor": ours <= 1.4 * GAIN[8],
    }
    return Figure("C13 light people under a flood", turn / ours, 3.0, up=True, more=more)


def c14(rounds: int) -> Figure:
    """Forty people with one equal picture each: mean latency over first come, first served."""
    asks = [Ask(0.0, f"p{person}", "first", STEPS, 1) for person in range(40)]
    fifo = Batches(GAINS, refill=True, key=lambda piece: piece.bucket)
    ours, theirs = (_mean(play(asks, policy, GAINS).jobs) for policy in (_ours(), fifo))
    return Figure("C14 fairness tax", ours / theirs, 1.02, up=False)


class _Watched(Ours):
    """Counts calls with rows that stay empty under the cap while somebody waits who would fit, inside the
    engine or before it."""

    empty = 0

    def call(self, engine: int) -> Sequence[Piece]:
        """As ours."""
        chosen = super().call(engine)
        if chosen:
            rows = sum(piece.rows for piece in chosen)
            every = [piece for job in self._inside[engine] for piece in job.pieces]
            rest = [piece for piece in every if piece not in chosen]
            wanted = sum(piece.rows for piece in every)
            cap = self._schedules[engine].costs.cap("first", wanted, max(piece.rows for piece in every))
            self.empty += any(piece.rows <= cap - rows for piece in rest)
            self.empty += bool(self._queue) and wanted < GAINS.worth("first")
        return chosen


def c15(rounds: int) -> Figure:
    """Calls in which a row stays empty, under the cap, while something that would fit waits."""
    rng = random.Random(3)
    asks = [
        Ask(rng.uniform(0, 4_000), f"p{rng.randrange(9)}", "first", rng.choice((8, 25, 50)),
            rng.choice((1, 2)), rng.choice((1, 4)))
        for _ in range(300)
    ]  # fmt: skip
    watched = _Watched(GAINS, 1, QUANTUM * ROW)
    play(asks, watched, GAINS)
    return Figure("C15 idle rows", watched.empty, 0, up=False)


def c16(rounds: int) -> Figure:
    """Two models, one wanted by nine people: throughput over always taking the fuller bucket."""
    asks = models(GAINS, random.Random(1), 0)
    ours = play(asks, _ours(quantum=25 * 2 * ROW), GAINS)
    greedy = play(asks, _Greedy(GAINS), GAINS)
    rates = [tell(record, GAINS).rate for record in (ours, greedy)]
    return Figure(
        "C16 two models, throughput",
        rates[0] / rates[1],
        0.95,
        up=True,
        more={"waits_bounded": _turns_bounded()},
    )


class _Greedy(Ours):
    """Always the bucket with the most rows."""

    def call(self, engine: int) -> Sequence[Piece]:
        """The fuller one, first come, first served."""
        every = [piece for job in self._inside[engine] for piece in job.pieces]
        by: dict[str, list[Piece]] = {}
        for piece in every:
            by.setdefault(piece.bucket, []).append(piece)
        fullest = max(by.values(), key=lambda pieces: sum(piece.rows for piece in pieces), default=[])
        return fullest[: max(1, 8 // fullest[0].rows)] if fullest else []


def _turns_bounded() -> bool:
    """No bucket waits more than the others' allowances and one step."""
    turns, waited, worst = Turns[str](2.0), 0.0, 0.0
    for number in range(2_000):
        chosen = turns.choose({"hot": 9.0, "cool": 1.0})
        turns.spent(chosen, 0.3)
        waited = 0.0 if chosen == "cool" else waited + 0.3
        worst = max(worst, waited if number > 100 else 0.0)
    return worst <= 9.0 * 2.0 + 0.6


def c17(rounds: int) -> Figure:
    """From the ask to the first step while the engine is full, in row-steps of device time: p99."""
    record = play(_crowd(), _ours(), GAINS)
    light = [job for job in record.jobs if job.ask.group == "light"]
    first = [job for job in light if not any(_during(other, job) for other in light)]
    waits = [(job.began - job.ask.at) / ROW for job in first]
    alone = play([Ask(7.0, "p", "first", STEPS, 1)], _ours(), GAINS).jobs[0]
    more = {"median": round(share(waits, 0.5), 1), "idle": round(alone.began - alone.ask.at, 6)}
    return Figure("C17 join while full, row-steps", share(waits, 0.99), 2 * QUANTUM + 8, up=False, more=more)


def _during(other: Job, job: Job) -> bool:
    """Was ``other``, of the same person, under way when ``job`` was asked for?"""
    return other.ask.person == job.ask.person and other.ask.at < job.ask.at < other.ended


def c3(rounds: int) -> Figure:
    """A mixed queue, pictures a second, against batches that must be alike in guidance and steps."""
    rng = random.Random(5)
    asks = [
        Ask(rng.uniform(0, 200), f"p{n % 8}", "first", rng.randint(8, 50), 1 if n % 3 == 0 else 2)
        for n in range(64)
    ]  # fmt: skip
    keyed = Batches(GAINS, refill=True, key=lambda piece: (piece.rows, piece.job.ask.steps, piece.order % 4))
    ours, theirs = (play(asks, policy, GAINS).end for policy in (_ours(), keyed))
    return Figure("C3 over a homogeneous key", theirs / ours, 2.0, up=True)


def _poisson(machine: Machine, load: float, seed: int, mixed: bool) -> list[Ask]:
    rng, asks, at = random.Random(seed), [], 0.0
    for number in range(250):
        steps = rng.randint(8, 50) if mixed else 29
        rows = rng.choice((1, 2, 2)) if mixed else 1
        asks.append(Ask(at, f"p{number % 25}", "first", steps, rows))
        at += rng.expovariate(load / (29 * (5 / 3 if mixed else 1.0) * machine.row("first")))
    return asks


def c4(rounds: int) -> Figure:
    """Mean latency at 0.8 of capacity over request-level dynamic batching with its key."""
    found = []
    for load in (0.5, 0.8):
        asks = _poisson(GAINS, load, 2, mixed=True)
        key = lambda piece: (piece.rows, piece.job.ask.steps, piece.order % 4)  # noqa: E731 - beside its use
        ours, theirs = (_mean(play(asks, p, GAINS).jobs) for p in (_ours(), Batches(GAINS, key=key)))
        found.append(ours / theirs)
    return Figure(
        "C4 latency over request batches",
        max(found),
        0.25,
        up=False,
        more={"loads": [round(f, 3) for f in found]},
    )


def c6(rounds: int) -> Figure:
    """Saturated: mean latency over the best fixed number of rows."""
    asks = _poisson(FULL, 0.8, 4, mixed=False)
    ours = play(asks, _ours(FULL), FULL)
    fixed = [play(asks, Batches(FULL, refill=True, most=most), FULL) for most in (1, 2, 4, 8)]
    latency = _mean(ours.jobs) / min(_mean(record.jobs) for record in fixed)
    rate = min(record.end for record in fixed) / ours.end
    return Figure("C6 saturated, latency", latency, 1.05, up=False, more={"rate": round(rate, 3)})


def c21(rounds: int) -> Figure:
    """A pick among a thousand people with a run each, in microseconds (real time): p99."""
    import time

    fair = Share(QUANTUM * ROW)
    wishes = []
    for person in range(1_000):
        fair.join(f"p{person}", 1.0)
        fair.charge(f"p{person}", (person * 37 % 101) * ROW)
        wishes.append(Wish(person, f"p{person}", 1 + person % 2, ROW, person % 50 == 0, order=person))
    times = {}
    for count in (32, 1_000):
        found = []
        for _ in range(300):
            began = time.perf_counter()
            fair.pick(wishes[:count], 16)
            found.append(1e6 * (time.perf_counter() - began))
        times[count] = share(found, 0.99)
    more = {"in_an_engine_of_32": round(times[32], 1), "rows": padded(16)}
    return Figure("C21 pick among 1000, µs", times[1_000], 300.0, up=False, more=more)


def c22(rounds: int) -> Figure:
    """|promised - actual| over actual: the median, for light people in a flood and an evening's members."""
    errors = []
    for record in (play(_crowd(), _ours(), GAINS), play(flood(GAINS, random.Random(2), 0), _ours(), GAINS)):
        jobs = [job for job in record.jobs if job.ask.group == "light"]
        errors += [abs(job.promised - job.wait) / job.wait for job in jobs]
    return Figure(
        "C22 promises, median error",
        share(errors, 0.5),
        0.15,
        up=False,
        more={"p90": round(share(errors, 0.9), 2)},
    )


BENCHES = {
    "C3": c3, "C4": c4, "C6": c6, "C11": c11, "C12": c12, "C13": c13, "C14": c14, "C15": c15, "C16": c16,
    "C17": c17, "C21": c21, "C22": c22,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(BENCHES))
