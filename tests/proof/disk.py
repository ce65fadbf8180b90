"""R4 and R5: the disk fails at any call: a refusal, nothing charged, and on it goes without a restart.

Storage alone, call by call, in this process; then a whole bot, whose own calls strace lets fail.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import sqlite3
import tempfile
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from storage import accounts, database, group, jobs, ledger, outbox
from storage.database import Database
from storage.group import Member
from storage.refusal import Refusal
from tests.flow import fail
from tests.proof.frame import Played, Proof, memory
from tests.storage import people
from tests.storage.people import NOW
from tests.storage.syscalls import Fault, failing

GRANT, PRICE, PEOPLE = 100_000, 4_000, 3
CODES = {"disk_full", "disk_error", "data_read_only", "database_corrupt", "database_locked"}
CALLS = {
    "pwrite64": (90, (errno.ENOSPC, errno.EIO, errno.EDQUOT)),
    "pread64": (40, (errno.EIO,)),
    "ftruncate": (8, (errno.EIO, errno.ENOSPC)),
    "open": (12, (errno.EMFILE, errno.ENFILE, errno.EROFS, errno.ENOSPC, errno.EIO, errno.EACCES)),
}
"""System call → a number that one life's calls of it do not reach, and what it fails with."""


@dataclass(frozen=True)
class Case:
    """Call number ``at`` fails, and those after it too if it ``stays``; from the opening on, or once it is
    open.
    """

    call: str
    number: int
    at: int
    stays: bool
    opening: bool


CASES = [
    Case(call, number, at, stays, opening)
    for call, (last, numbers) in CALLS.items()
    for number, at, stays, opening in itertools.product(numbers, range(last), (True, False), (True, False))
]


@dataclass
class Life:
    """A database and what its people were told: refusals are remembered, anything else is raised."""

    path: Path
    refused: int = 0
    acknowledged: int = 0
    _opened: Database | None = None

    async def open(self) -> None:
        self._opened = await Database.open(self.path)
        self.me = (await self._opened.write(accounts.meet, "test:1", "en", NOW, grant=GRANT)).id

    async def work(self, name: str) -> None:
        """A few people ask, one job is drawn, settled and shown, the log is emptied."""
        assert self._opened
        await asyncio.gather(*(self._ask(f"{name}{number}") for number in range(PEOPLE)))
        await self._quietly(self._draw())
        await self._quietly(self._opened.checkpoint())
        await self._quietly(self._opened.examine())

    async def _ask(self, key: str) -> None:
        assert self._opened
        try:
            await self._opened.write(jobs.submit, people.ask(self.me, key), NOW, limit=99, durable=True)
            self.acknowledged += 1
        except Refusal as refusal:
            self._count(refusal)

    async def _draw(self) -> None:
        assert self._opened
        job = await self._opened.write(jobs.claim, "engine", NOW)
        if job is not None:
            kept = people.drawn(job)
            await self._opened.write(jobs.settle, job.id, job.attempt, kept, 1.0, NOW, durable=True)
        for owed in await self._opened.read(outbox.due, NOW, 9):
            await self._opened.write(outbox.delivered, owed.id, "test:1/1", NOW)

    async def _quietly(self, work: object) -> None:
        try:
            await work  # type: ignore[misc]
        except Refusal as refusal:
            self._count(refusal)

    def _count(self, refusal: Refusal) -> None:
        if refusal.code not in CODES:
            raise refusal
        self.refused += 1

    async def wrongs(self) -> list[str]:
        """What is not as it was said to people."""
        assert self._opened
        done = await self._opened.read(_jobs)
        left = await self._opened.read(ledger.balance, self.me)
        wrong = list(await self._opened.read(people.audit))
        if done != self.acknowledged:
            wrong.append(f"{self.acknowledged} were told yes, {done} are there")
        if left != GRANT - PRICE * self.acknowledged:
            wrong.append(f"{left} left after {self.acknowledged} of {PRICE}")
        return wrong

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()


def _jobs(tx: sqlite3.Connection) -> int:
    return int(tx.execute("SELECT count(*) FROM job").fetchone()[0])


async def one(path: Path, case: Case) -> list[str]:
    """A life with this fault in it, the disk put right, and a restart; what was wrong."""
    lives = [Life(path)]
    try:
        with failing(case.call, Fault(case.number, case.at, case.stays)) as fault:
            fault.armed = case.opening
            await _opened(lives, fault)
            fault.armed = True
            await lives[-1].work("a")
            fault.armed = False
        await lives[-1].work("b")
        acknowledged = lives[-1].acknowledged
        if acknowledged < PEOPLE:
            return [f"the disk is back and {acknowledged} of {PEOPLE} were let in"]
        wrong = await lives[-1].wrongs()
        await lives[-1].close()
        lives.append(Life(path, acknowledged=acknowledged))
        await lives[-1].open()
        return wrong + [f"after a restart: {each}" for each in await lives[-1].wrongs()]
    finally:
        for life in lives:
            await life.close()


async def _opened(lives: list[Life], fault: Fault) -> None:
    """Open it; if that was refused, once more on a whole disk."""
    try:
        await lives[-1].open()
    except Refusal as refusal:
        fault.armed = False
        lives[-1]._count(refusal)
        await lives[-1].close()
        lives.append(Life(lives[-1].path))
        await lives[-1].open()


def _reckless(connection: sqlite3.Connection, waiting: deque[Member[Any]]) -> list[Member[Any]]:
    members = _group(connection, waiting)
    for member in members:
        if isinstance(member.error, Refusal) and member.error.code in CODES:
            member.error = None
    return members


_group = group.run_group


def _play(seed: int, control: bool) -> Played:
    """One case; as the control, with a writer that says yes whatever the disk says."""
    case = CASES[(seed * 7_919) % len(CASES)]
    with (
        tempfile.TemporaryDirectory(prefix="falopitas-r4-", dir=memory()) as folder,
        patch.object(database, "run_group", _reckless) if control else nullcontext(),
    ):
        try:
            wrong = asyncio.run(one(Path(folder) / "falopitas.db", case))
        except Exception as error:  # noqa: BLE001 - whatever people would see as a traceback
            wrong = [f"{type(error).__name__}: {error}"]
    return Played(1, tuple(f"{case}: {each}" for each in wrong))


STORAGE = Proof(
    "R4-storage", "EIO, ENOSPC, EROFS, EMFILE at any call: a refusal, nothing charged, works again by itself",
    len(CASES), "faults", _play, control_rounds=60, control_rate=0.1,
)  # fmt: skip


# --- a whole bot

ERRORS = {
    "pwrite64": (("ENOSPC", "EIO"), 300, 250), "fdatasync": (("EIO",), 18, 15),
    "fsync": (("EIO", "ENOSPC"), 18, 14), "rename": (("ENOSPC", "EROFS"), 5, 3),
    "ftruncate": (("EIO",), 5, 5), "unlink": (("EROFS",), 5, 5),
    fail.FILES: (("EMFILE",), 100, 100),
}  # fmt: skip
"""Call → what it fails with; how many of them the start in an empty folder has, and how many one that finds
its database, two drawings and the end."""
FRESH, USED = (
    [
        fail.Fault(call, number, error, used)
        for call, (errors, fresh, working) in ERRORS.items()
        for error in errors
        for number in range(1, (working if used else fresh) + 1)
    ]
    for used in (False, True)
)
FAULTS = FRESH + USED


def _whole(seed: int, control: bool) -> Played:
    """One fault of one call; as the control, in a bot at work for which what a disk says is a bug."""
    faults = USED if control else FAULTS
    fault = faults[(seed * 7_919) % len(faults)]
    wrong = asyncio.run(fail.fail(fault, *(("--bad", "fragile") if control else ())))
    return Played(1, tuple(f"{fault}: {each}" for each in wrong))


WHOLE = Proof(
    "R4-whole", "any call of a whole bot fails once: nobody pays for nothing, nothing is lost or doubled",
    len(FAULTS), "faults", _whole, control_rounds=30, control_rate=0.1,
)  # fmt: skip
