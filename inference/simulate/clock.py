"""A virtual clock: people ask, a policy chooses who takes each step, a table says how long a step takes.

Deterministic: the same asks, policy and tables give the same record to the last bit.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from inference.batch import ROW_BUCKETS, WORTH, padded

Tables = Mapping[str, Mapping[int, float]]
"""Model → rows → seconds of a step."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks: ``count`` pictures of ``steps`` steps, each of ``rows`` rows (2: guided)."""

    at: float
    person: str
    model: str
    steps: int = 25
    rows: int = 2
    count: int = 1
    weight: float = 1.0
    group: str = ""


@dataclass(eq=False, slots=True)
class Piece:
    """One picture of a job. It is what the real scheduler schedules (``schedule.Runnable``)."""

    job: Job
    left: int
    order: int
    began: bool = False

    @property
    def bucket(self) -> str:
        """Pictures of one model share a call."""
        return self.job.ask.model

    @property
    def flow(self) -> str:
        """Whose it is."""
        return self.job.ask.person

    @property
    def weight(self) -> float:
        """Their share."""
        return self.job.ask.weight

    @property
    def rows(self) -> int:
        """Rows of a step."""
        return self.job.ask.rows

    @property
    def turn(self) -> float:
        """Its job's place."""
        return self.job.turn


@dataclass(eq=False, slots=True)
class Job:
    """An ask and what became of it; times in virtual seconds."""

    id: int
    ask: Ask
    cost: float
    """Device seconds at the best number of rows."""
    turn: float = 0.0
    pieces: list[Piece] = field(default_factory=list)
    """Pictures that want steps."""
    began: float = -1.0
    ended: float = -1.0
    promised: float = -1.0
    """Wait that was predicted when it was asked for; -1: nothing was."""

    @property
    def wait(self) -> float:
        """From the ask to the last picture."""
        return self.ended - self.ask.at

    @property
    def left(self) -> float:
        """Device seconds that its pictures still want."""
        steps = sum(piece.left for piece in self.pieces)
        return self.cost * steps / (self.ask.steps * self.ask.count)


class Machine:
    """How fast it is: ``tables`` measured or given; sizes between are interpolated."""

    def __init__(self, tables: Tables) -> None:
        self.tables = {model: _whole(table) for model, table in tables.items()}

    def seconds(self, model: str, rows: int) -> float:
        """One call of ``rows`` rows, padded to a row bucket."""
        return self.tables[model][padded(rows)]

    def row(self, model: str) -> float:
        """Seconds of a row at the best number of rows."""
        return min(seconds / rows for rows, seconds in self.tables[model].items())

    def worth(self, model: str) -> int:
        """The smallest number of rows with nearly the best throughput."""
        table, best = self.tables[model], 1.0 / self.row(model)
        return next(rows for rows in ROW_BUCKETS if rows / table[rows] >= WORTH * best)

    def alone(self, ask: Ask) -> float:
        """Seconds that ``ask`` takes when nobody else is there: its pictures together, as is best."""
        most = max(ask.rows, self.worth(ask.model))
        together = min(ask.count, max(1, most // ask.rows))
        calls = -(-ask.count // together)
        return ask.steps * calls * self.seconds(ask.model, together * ask.rows)

    def cost(self, ask: Ask) -> float:
        """Device seconds at the best number of rows."""
        return ask.steps * ask.count * ask.rows * self.row(ask.model)


def _whole(table: Mapping[int, float]) -> dict[int, float]:
    """Every row bucket, in between and beyond by straight lines through what is known."""
    known = sorted(table.items())
    if len(known) == 1:
        known.append((known[0][0] * 2, known[0][1] * 2))
    whole = {}
    for rows in ROW_BUCKETS:
        after = next((i for i, (size, _) in enumerate(known) if size >= rows), len(known) - 1)
        (r0, t0), (r1, t1) = known[max(0, after - 1)], known[max(1, after)]
        whole[rows] = max(t0 + (t1 - t0) * (rows - r0) / (r1 - r0), known[0][1] / known[0][0] / 16)
    return whole


class Policy(Protocol):
    """How a machine is shared."""

    def arrive(self, job: Job, now: float) -> None:
        """Somebody asked."""

    def call(self, engine: int) -> Sequence[Piece]:
        """Whose step is next on ``engine``; nobody's: it is idle."""

    def took(self, engine: int, pieces: Sequence[Piece], seconds: float) -> None:
        """That call is over; pieces with nothing ``left`` are done."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made. ``given``: device seconds of each person, at the best number of rows."""

    end: float
    seconds: float
    given: tuple[tuple[str, float], ...]


@dataclass(slots=True)
class Record:
    """Everything that happened."""

    jobs: list[Job]
    calls: list[Call] = field(default_factory=list)
    engines: int = 1
    behind: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """From when to when each person was backlogged: had a picture that no call carried."""

    @property
    def end(self) -> float:
        """When the last call was over."""
        return self.calls[-1].end if self.calls else 0.0


class _Backlog:
    """Keeps ``Record.behind``: who wants more than the calls under way carry."""

    def __init__(self, spans: dict[str, list[tuple[float, float]]]) -> None:
        self._spans = spans
        self._wanted: Counter[str] = Counter()
        self._since: dict[str, float] = {}
        self._changed: set[str] = set()

    def count(self, person: str, pictures: int) -> None:
        """So many pictures of ``person`` more wait for a step (less: they are in a call, or done)."""
        self._wanted[person] += pictures
        self._changed.add(person)

    def look(self, now: float) -> None:
        """Everything of this instant has happened."""
        for person in self._changed:
            if self._wanted[person] and person not in self._since:
                self._since[person] = now
            elif not self._wanted[person] and person in self._since:
                self._spans.setdefault(person, []).append((self._since.pop(person), now))
        self._changed.clear()

    def end(self, now: float) -> None:
        """It is over."""
        for person in self._since:
            self._spans.setdefault(person, []).append((self._since[person], now))


def play(
    asks: Iterable[Ask], policy: Policy, machine: Machine, engines: int = 1, until: float = float("inf")
) -> Record:
    """Let it happen, until everything is drawn or ``until``."""
    order = itertools.count()
    jobs = [Job(number, ask, machine.cost(ask)) for number, ask in enumerate(sorted(asks, key=_when))]
    record = Record(jobs, engines=engines)
    coming = iter(jobs)
    following = next(coming, None)
    working: list[tuple[float, int, Sequence[Piece], float]] = []
    idle, backlog = set(range(engines)), _Backlog(record.behind)
    now = 0.0
    while (following or working) and now <= until:
        if following and (not working or following.ask.at <= working[0][0]):
            now, job = following.ask.at, following
            job.pieces = [Piece(job, job.ask.steps, next(order)) for _ in range(job.ask.count)]
            policy.arrive(job, now)
            backlog.count(job.ask.person, job.ask.count)
            following = next(coming, None)
        else:
            now, engine, pieces, seconds = heapq.heappop(working)
            record.calls.append(_over(policy, machine, engine, pieces, now, seconds))
            for piece in pieces:
                backlog.count(piece.flow, piece.left > 0)
            idle.add(engine)
        for engine in sorted(idle):
            if chosen := policy.call(engine):
                idle.remove(engine)
                heapq.heappush(working, _begin(machine, engine, chosen, now))
                for piece in chosen:
                    backlog.count(piece.flow, -1)
        backlog.look(now)
    backlog.end(now)
    return record


def _when(ask: Ask) -> tuple[float, str]:
    return ask.at, ask.person


def _begin(
    machine: Machine, engine: int, pieces: Sequence[Piece], now: float
) -> tuple[float, int, Sequence[Piece], float]:
    for piece in pieces:
        piece.began = True
        if piece.job.began < 0.0:
            piece.job.began = now
    seconds = machine.seconds(pieces[0].bucket, sum(piece.rows for piece in pieces))
    return now + seconds, engine, pieces, seconds


def _over(
    policy: Policy, machine: Machine, engine: int, pieces: Sequence[Piece], now: float, seconds: float
) -> Call:
    given: dict[str, float] = {}
    for piece in pieces:
        given[piece.flow] = given.get(piece.flow, 0.0) + piece.rows * machine.row(piece.bucket)
        piece.left -= 1
        if not piece.left:
            piece.job.pieces.remove(piece)
            if not piece.job.pieces:
                piece.job.ended = now
    policy.took(engine, pieces, seconds)
    return Call(now, seconds, tuple(given.items()))
