"""How machines are shared: by us, with the code that runs in the engine, and by others."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Sequence

from inference.batch import MAX_ROWS, padded
from inference.schedule import Schedule
from inference.serve import room
from inference.simulate.clock import Job, Machine, Piece

GUESTS = 32
"""Jobs in an engine up to which somebody of whom it draws nothing comes in without a credit; as in
``bot/dispatch.py``."""


class Ours:
    """Falopitas: turns in virtual time between engines (``storage/jobs.py``), handed out by credits
    (``serve.py``), and the engine's own schedule step by step.

    It predicts a job's wait as ``bot/dispatch.py`` does: what is in front of it, over the engines.
    """

    def __init__(self, machine: Machine, engines: int = 1, quantum: float | None = None) -> None:
        self._machine = machine
        self._schedules = [Schedule() if quantum is None else Schedule(quantum) for _ in range(engines)]
        for schedule in self._schedules:
            for model, table in machine.tables.items():
                schedule.costs.believe(model, table)
        self._inside: list[list[Job]] = [[] for _ in range(engines)]
        self._queue: list[tuple[float, int, Job]] = []
        self._clock = 0.0
        self._finish: dict[str, float] = {}

    def arrive(self, job: Job, now: float) -> None:
        """It gets its turn, and a promise."""
        ask = job.ask
        job.turn = max(self._clock, self._finish.get(ask.person, 0.0))
        self._finish[ask.person] = job.turn + job.cost / ask.weight
        job.promised = self._promise(job)
        heapq.heappush(self._queue, (job.turn, job.id, job))
        self._hand_out()

    def _guest(self, engine: int) -> tuple[float, int, Job] | None:
        """The earliest of somebody of whom this engine draws less than their part: they need not wait until a
        picture is done, the schedule inside sees to the rest."""
        if len(self._inside[engine]) >= GUESTS:
            return None
        inside = self._rows_of(engine)
        shares = {job.ask.person: job.ask.weight for job in self._inside[engine]}
        only, every = len(inside) == 1, sum(shares.values())
        full = {
            person for person, rows in inside.items() if only or rows * every >= MAX_ROWS * shares[person]
        }
        return min((entry for entry in self._queue if entry[2].ask.person not in full), default=None)

    def _rows_of(self, engine: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for job in self._inside[engine]:
            found[job.ask.person] = found.get(job.ask.person, 0) + job.ask.rows * len(job.pieces)
        return found

    def _promise(self, job: Job) -> float:
        ahead = sum(other.cost for turn, _, other in self._queue if turn <= job.turn) / len(self._inside)
        inside = [other for jobs in self._inside for other in jobs]
        drawn = sum(other.left for other in inside) / len(self._inside)
        worth = self._machine.worth(job.ask.model)
        company = sum(len(other.pieces) * other.ask.rows for other in inside) / len(self._inside)
        rows = max(job.ask.rows, min(worth, round(company) + job.ask.rows * job.ask.count))
        steps = job.ask.steps * self._machine.seconds(job.ask.model, rows)
        if all(other.ask.person != job.ask.person for other in inside) and job.turn <= self._clock:
            return steps
        return ahead + max(drawn + job.cost, steps)

    def _hand_out(self) -> None:
        """Claims, as long as an engine has room: to the one with the most."""
        while self._queue:
            free = [room(sum(job.ask.rows * len(job.pieces) for job in inside)) for inside in self._inside]
            engine = free.index(max(free))
            entry = self._queue[0] if free[engine] > 0 else self._guest(engine)
            if entry is None:
                return
            self._queue.remove(entry)
            heapq.heapify(self._queue)
            turn, _, job = entry
            self._clock = max(self._clock, turn)
            self._inside[engine].append(job)
            self._schedules[engine].share.join(job.ask.person, job.ask.weight, job.ask.count)

    def call(self, engine: int) -> Sequence[Piece]:
        """As the engine's thread does."""
        return self._schedules[engine].pick([piece for job in self._inside[engine] for piece in job.pieces])

    def took(self, engine: int, pieces: Sequence[Piece], seconds: float) -> None:
        """As the engine's thread does."""
        schedule = self._schedules[engine]
        schedule.took(pieces[0].bucket, padded(sum(piece.rows for piece in pieces)), seconds)
        for piece in pieces:
            schedule.charge(piece.flow, piece.bucket, piece.rows)
            if not piece.left:
                schedule.share.leave(piece.flow)
        for job in [job for job in self._inside[engine] if not job.pieces]:
            self._inside[engine].remove(job)
            schedule.drawn(job.cost / job.ask.count)
        self._hand_out()


class _OneByOne:
    """One picture at a time, to its end."""

    def __init__(self, engines: int) -> None:
        self._present: list[Piece | None] = [None] * engines

    def next(self) -> Piece | None:
        """The picture that comes next."""
        raise NotImplementedError

    def call(self, engine: int) -> Sequence[Piece]:
        """The present picture goes on."""
        present = self._present[engine] = self._present[engine] or self.next()
        return [present] if present else []

    def took(self, engine: int, pieces: Sequence[Piece], seconds: float) -> None:
        """Done?"""
        if not pieces[0].left:
            self._present[engine] = None


class Fifo(_OneByOne):
    """First come, first served, one picture at a time: ComfyUI, AUTOMATIC1111."""

    def __init__(self, machine: Machine, engines: int = 1) -> None:
        super().__init__(engines)
        self._queue: deque[Piece] = deque()

    def arrive(self, job: Job, now: float) -> None:
        """To the end."""
        self._queue.extend(job.pieces)

    def next(self) -> Piece | None:
        """The oldest."""
        return self._queue.popleft() if self._queue else None


class RoundRobin(_OneByOne):
    """One picture of each person in turn, one at a time: InvokeAI's multi-user queue."""

    def __init__(self, machine: Machine, engines: int = 1) -> None:
        super().__init__(engines)
        self._of: dict[str, deque[Piece]] = {}

    def arrive(self, job: Job, now: float) -> None:
        """To the end of their own."""
        self._of.setdefault(job.ask.person, deque()).extend(job.pieces)

    def next(self) -> Piece | None:
        """The next person's oldest."""
        for person in list(self._of):
            queue = self._of.pop(person)
            if queue:
                self._of[person] = queue  # they go to the end of the round
                return queue.popleft()
        return None


class Vtc:
    """Virtual token counter (Sheng et al. 2024, arXiv 2401.00588): pictures join the batch of whoever got
    least and stay to their end."""

    def __init__(self, machine: Machine, engines: int = 1) -> None:
        self._machine = machine
        self._running: list[list[Piece]] = [[] for _ in range(engines)]
        self._of: dict[str, deque[Piece]] = {}
        self._got: dict[str, float] = {}

    def arrive(self, job: Job, now: float) -> None:
        """Nobody banks idle time."""
        person = job.ask.person
        active = {piece.flow for running in self._running for piece in running}
        active |= {name for name, queue in self._of.items() if queue}
        if person not in active:
            floor = min((self._got[name] for name in active), default=0.0)
            self._got[person] = max(self._got.get(person, 0.0), floor)
        self._of.setdefault(person, deque()).extend(job.pieces)

    def call(self, engine: int) -> Sequence[Piece]:
        """Fill the batch."""
        running = self._running[engine]
        while waiting := [name for name, queue in self._of.items() if queue]:
            person = min(waiting, key=lambda name: (self._got[name], name))
            piece = self._of[person][0]
            most = max(piece.rows, self._machine.worth(piece.bucket))
            if running and (piece.bucket != running[0].bucket or _rows(running) + piece.rows > most):
                break
            running.append(self._of[person].popleft())
        return list(running)

    def took(self, engine: int, pieces: Sequence[Piece], seconds: float) -> None:
        """Count what they got."""
        for piece in pieces:
            self._got[piece.flow] += piece.rows * self._machine.row(piece.bucket) / piece.weight
        self._running[engine] = [piece for piece in pieces if piece.left]


class Batches:
    """First come, first served in batches of pictures that are alike in ``key``.

    ``refill``: a picture may join at any step (vLLM-Omni's policy), else a batch ends before the next begins
    (request-level dynamic batching: SGLang). ``most``: rows of a batch; without, what is worth it.
    """

    def __init__(
        self, machine: Machine, engines: int = 1, *, refill: bool = False, most: int | None = None,
        key: Callable[[Piece], Hashable] = lambda piece: (piece.bucket, piece.job.ask.steps, piece.rows),
    ) -> None:  # fmt: skip
        self._machine, self._refill, self._most, self._key = machine, refill, most, key
        self._running: list[list[Piece]] = [[] for _ in range(engines)]
        self._queue: list[Piece] = []

    def arrive(self, job: Job, now: float) -> None:
        """To the end."""
        self._queue.extend(job.pieces)

    def call(self, engine: int) -> Sequence[Piece]:
        """Form or fill a batch."""
        running = self._running[engine]
        if self._queue and (self._refill or not running):
            like = self._key(running[0] if running else self._queue[0])
            model = (running or self._queue)[0].bucket
            most = max(2, self._most or self._machine.worth(model))
            for piece in [piece for piece in self._queue if self._key(piece) == like]:
                if _rows(running) + piece.rows > most:
                    break
                running.append(piece)
                self._queue.remove(piece)
        return list(running)

    def took(self, engine: int, pieces: Sequence[Piece], seconds: float) -> None:
        """Who is done leaves."""
        self._running[engine] = [piece for piece in pieces if piece.left]


def _rows(pieces: Sequence[Piece]) -> int:
    return sum(piece.rows for piece in pieces)


POLICIES: dict[str, Callable[[Machine, int], Ours | Fifo | RoundRobin | Vtc | Batches]] = {
    "falopitas": Ours,
    "vtc": Vtc,
    "batches": Batches,
    "round_robin": RoundRobin,
    "fifo": Fifo,
}
"""What is compared, ours first."""
