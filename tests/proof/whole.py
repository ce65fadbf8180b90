"""R1, the whole path, and R2: real bot and engine processes and sockets, a chat in this process."""

from __future__ import annotations

import asyncio

from tests.flow.crash import Point, crash
from tests.flow.rounds import rounds
from tests.proof.frame import Played, Proof

ROUNDS = 20
"""Kills of one folder, which is one seed."""
BOUNDS = {
    "bot": {
        "pwrite64": 240, "fdatasync": 40, "fsync": 14, "rename": 5, "ftruncate": 5, "unlink": 12, "write": 14,
        "sendto": 40,
    },
    "engine": {"write": 6, "sendto": 14},
}  # fmt: skip
"""Calls of each kind that one thread makes in one /imagine, start and stop included, and a few more."""
POINTS = [
    Point(who, call, number)
    for who, calls in BOUNDS.items()
    for call, last in calls.items()
    for number in range(1, last + 1)
]
CONTROL = [Point("bot", "sendto", number) for number in range(1, 41)]
"""Where an order without a key shows: between the charge and the end of the answer."""


def _kills(seed: int, control: bool) -> Played:
    bad = ("--bad", ("double", "orphan")[seed % 2]) if control else ()
    outcome = asyncio.run(rounds(seed, ROUNDS, *bad, patience=10.0 if control else 60.0))
    return Played(outcome.rounds, tuple(outcome.wrongs))


def _point(seed: int, control: bool) -> Played:
    chosen = CONTROL if control else POINTS
    point = chosen[(seed - 1) % len(chosen)]
    outcome = asyncio.run(crash(point, *(("--bad", "double") if control else ())))
    return Played(1, tuple(f"{point.who} {point.call} {point.number}: {wrong}" for wrong in outcome.wrongs))


WHOLE = Proof(
    "R1-whole", "kill -9 of bot and engine: lost 0, charged twice 0, delivered twice 0, ledger = balance",
    1_000, "kills", _kills, 2 * ROUNDS,
)  # fmt: skip
CRASH = Proof(
    "R2", "every write-class system call of one /imagine, both processes: the end state of the crash table",
    len(POINTS), "crash points", _point, len(CONTROL),
)  # fmt: skip
