"""C3, C4, C6, C11-C17, C22: the real scheduling code on a virtual clock. Exact: the same figures every time.

``python -m tests.bench.virtual [C11 …]``. Times are in steps of one row; T(8)/T(1) is 2.45, as measured for a
small UNet at latent 8 (``saturated``: rows cost what they cost, as at latent 32).
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from itertools import accumulate

from inference.batch import Turns
from inference.schedule import Schedule
from inference.simulate.clock import Ask, Call, Job, Machine, Piece, Record, play
from inference.simulate.mixes import flood, models
from inference.simulate.policies import GUESTS, Batches, Fifo, Ours, RoundRobin, Vtc
from inference.simulate.story import apart, gap, share, spans, tell
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
    """The most row-steps that one of two people fell behind the other in any stretch in which both were
    backlogged; VTC and FIFO beside it.

    Backlogged, as in the fair queueing literature: a picture of theirs is in no call. ``with_its_end`` also
    counts the last fifty steps of whoever runs out first: one picture then takes one row of eight, because a
    picture's steps follow each other, and no scheduler could give it more.
    """
    asks, people = _crowd(), ("flood", "steady")
    records = [play(asks, policy, GAINS) for policy in (_ours(), Vtc(GAINS), Fifo(GAINS))]
    ours, vtc, fifo = (gap(record, people) / ROW for record in records)
    until = min(spans(records[0])[person][-1][1] for person in people)
    more = {
        "with_its_end": round(apart(records[0], *people, 0.0, until) / ROW),
        "vtc": round(vtc),
        "fifo": round(fifo),
        "quarter_of_vtc": ours <= vtc / 4,
        "tenth_of_fifo": ours <= fifo / 10,
    }
    return Figure("C11 service gap, row-steps", round(ours, 6), 2 * QUANTUM + 8, up=False, more=more)


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
    """Counts calls with rows that stay empty under the cap while somebody waits who would fit: in the engine,
    and before it."""

    calls, empty, outside = 0, 0, 0

    def call(self, engine: int) -> Sequence[Piece]:
        """As ours."""
        chosen = super().call(engine)
        if chosen:
            inside = [piece for job in self._inside[engine] for piece in job.pieces]
            rest = [piece.rows for piece in inside if piece not in chosen]
            queued = [job.ask.rows for _, _, job in self._queue for _ in job.pieces]
            used = sum(piece.rows for piece in chosen)
            wanted, costs = sum(piece.rows for piece in inside), self._schedules[engine].costs
            least = max(piece.rows for piece in inside)
            self.calls += 1
            self.empty += any(rows <= costs.cap("first", wanted, least) - used for rows in rest)
            cap = costs.cap("first", wanted + sum(queued), max(least, *queued, 1))
            self.outside += any(rows <= cap - used for rows in rest + queued)
        return chosen


def c15(rounds: int) -> Figure:
    """Calls in which a row stays empty, under the cap, while a picture in the engine waits that would fit.

    ``while_queued``: the same, counting also the jobs that are still in the database. It is the eighth row
    beside guided pairs, when the only unguided picture is not in the engine: they are claimed late so that
    their order stays open, and one row is less than a claim is worth.
    """
    rng = random.Random(3)
    asks = [
        Ask(rng.uniform(0, 4_000), f"p{rng.randrange(9)}", "first", rng.choice((8, 25, 50)),
            rng.choice((1, 2)), rng.choice((1, 4)))
        for _ in range(300)
    ]  # fmt: skip
    watched = _Watched(GAINS, 1, QUANTUM * ROW)
    play(asks, watched, GAINS)
    more = {"while_queued": watched.outside, "calls": watched.calls}
    return Figure("C15 idle rows", watched.empty, 0, up=False, more=more)


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
    """From the ask to the first step while the engine is full, in row-steps of device time: p99 of everybody
    who asks now and then. Asked, not admitted: the wait in the queue counts."""
    record = play(_crowd(), _ours(), GAINS)
    waits = [(job.began - job.ask.at) / ROW for job in record.jobs if job.ask.group == "light"]
    alone = play([Ask(7.0, "p", "first", STEPS, 1)], _ours(), GAINS).jobs[0]
    more = {"median": round(share(waits, 0.5), 1), "idle": round(alone.began - alone.ask.at, 6)}
    return Figure("C17 join while full, row-steps", share(waits, 0.99), 2 * QUANTUM + 8, up=False, more=more)


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
    """The engine's decision among all it can hold, in microseconds of CPU time: p99.

    However many wait, an engine holds at most ``GUESTS`` jobs of four pictures; the others are in a table (a
    claim from it is C21 of ``c20.py``). ``if_it_held_1000``: a thousand people with a run each.
    """
    full, crowd = _decisions(GUESTS, 4), _decisions(1_000, 1)
    more = {"median": round(share(full, 0.5), 1), "if_it_held_1000": round(share(crowd, 0.5), 1)}
    return Figure("C21 pick, µs", share(full, 0.99), 300.0, up=False, more=more)


def _decisions(people: int, each: int) -> list[float]:
    """Microseconds of CPU time of 300 picks among ``each`` runs of so many people."""
    schedule, runs = Schedule(QUANTUM * ROW), []
    schedule.costs.believe("first", GAIN)
    for person in range(people):
        job = Job(person, Ask(0.0, f"p{person}", "first", STEPS, 1 + person % 2, each), 1.0)
        schedule.share.join(job.ask.person, 1.0, each)
        schedule.charge(job.ask.person, "first", person * 37 % 101)
        runs += [Piece(job, STEPS, each * person + n, began=person % 10 == 0) for n in range(each)]
    found = []
    for _ in range(300):
        began = time.thread_time_ns()
        schedule.pick(runs)
        found.append((time.thread_time_ns() - began) / 1e3)
    return found


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
    sys.exit(main(BENCHES, exact=BENCHES.keys() - {"C21"}))
