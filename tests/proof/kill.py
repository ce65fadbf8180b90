"""R1, the storage part: the real storage code in a process of its own is killed (-9) at random moments.

The worker tells through a pipe what it was told is safe (*acknowledged*). After each kill the parent opens
the database as the next start would, and looks for lost jobs, double charges, double deliveries, imbalances,
rows without files. The folder lives on through many kills.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeAlias

from storage import accounts, gallery, jobs, ledger, opening, outbox
from storage.database import Database
from storage.gallery import Files, Kept
from storage.jobs import Job, NewJob
from storage.refusal import Refusal
from tests.proof.frame import Played, Proof, memory
from tests.storage import people

ROUNDS = 25
"""Kills of one folder, which is one seed."""
CLIENTS = 5
LONGEST = 0.06
"""Seconds of work before a kill, at most."""
PATIENCE = 30.0
"""Seconds within which a worker must be ready."""

Word: TypeAlias = tuple[str, int, str]
"""What the worker says: a verb, a job, and a key or status."""


# --- the worker


@dataclass(slots=True)
class Worker:
    """Some people, an engine and a courier at work on one folder, until they are killed."""

    database: Database
    files: Files
    pipe: Connection
    rng: random.Random
    broken: bool
    keys: list[tuple[int, str]] = field(default_factory=list)

    def say(self, verb: str, job: int, word: str = "") -> None:
        self.pipe.send((verb, job, word))

    async def ask(self) -> None:
        """Submit; now and then an old key again, as a caller that was cancelled would."""
        who = f"test:{self.rng.randrange(6)}"
        person = await self.database.write(accounts.meet, who, "en", people.NOW, grant=10**8)
        key = f"{self.rng.getrandbits(60):x}"
        account = person.id
        if self.keys and self.rng.random() < 0.3:
            account, key = self.rng.choice(self.keys)
        new = people.ask(account, key)
        job = await (self._ask_in_two(new) if self.broken else self._ask(new))
        self.keys.append((job.account, job.key))
        self.say("submitted", job.id, f"{job.account}/{job.key}")

    async def _ask(self, new: NewJob) -> Job:
        return await self.database.write(jobs.submit, new, people.NOW, limit=10**6, durable=True)

    async def _ask_in_two(self, new: NewJob) -> Job:
        """The known-bad variant: the job in one transaction, its charge in the next."""
        known = await self.database.read(jobs.by_key, new.account, new.key)
        if known is not None:
            return known
        job = await self.database.write(jobs._insert, new, 0.0, 0.0, people.NOW, durable=True)
        await self.database.write(
            jobs._enter, new.account, job.id, "reserve", -new.price, people.NOW, durable=True
        )
        return job

    async def draw(self) -> None:
        """Claim, keep the files, settle."""
        job = await self.database.write(jobs.claim, "engine", people.NOW)
        if job is None:
            return
        kept = []
        for index in range(self.rng.randrange(3)):
            data = f"picture {job.id} {job.attempt} {index % 2}".encode()
            digest = await self.files.keep(data)
            kept.append(Kept(digest, b"", index, 0, 8, 8, len(data)))
        over = await self.database.write(
            jobs.settle, job.id, job.attempt, kept, 0.1, people.NOW, durable=True
        )
        if over is not None:
            self.say("over", job.id, over.status.value)

    async def cancel(self) -> None:
        """Stop somebody's job."""
        number = self.rng.randint(1, 1 + await self.database.read(_last_job))
        job = await self.database.write(jobs.cancel, number, people.NOW, durable=True)
        if job is not None:
            self.say("over", job.id, job.status.value)

    async def deliver(self) -> None:
        """Show what is due, then record it."""
        for owed in await self.database.read(outbox.due, people.NOW, 2):
            self.say("shown", owed.job)
            if await self.database.write(outbox.delivered, owed.id, "test:2", people.NOW, durable=True):
                self.say("recorded", owed.job)

    async def work(self) -> None:
        """Recover as a start does, then work for ever."""
        for job in await self.database.read(jobs.running):
            await self.database.write(jobs.requeue, job.id, job.attempt, people.NOW, died=False)
        await self.files.sweep(await self.database.read(gallery.digests), float("inf"))
        self.say("ready", 0)
        await asyncio.gather(self._courier(), *(self._client() for _ in range(CLIENTS)))

    async def _client(self) -> None:
        deeds = (self.ask,) if self.broken else (self.ask, self.ask, self.draw, self.draw, self.cancel)
        while True:
            await self.rng.choice(deeds)()

    async def _courier(self) -> None:
        while True:
            await self.deliver()
            await asyncio.sleep(0.001)


def _last_job(tx: sqlite3.Connection) -> int:
    return int(tx.execute("SELECT coalesce(max(id), 0) FROM job").fetchone()[0])


async def _work(folder: Path, seed: int, pipe: Connection, broken: bool) -> None:
    opened = await Database.open(folder / "falopitas.db")
    await Worker(opened, Files(folder / "pictures"), pipe, random.Random(seed), broken).work()


def _worker(folder: Path, seed: int, pipe: Connection, broken: bool) -> None:
    asyncio.run(_work(folder, seed, pipe, broken))


# --- the parent


@dataclass(slots=True)
class Witness:
    """Everything that a folder's workers were told is safe."""

    jobs: dict[str, int] = field(default_factory=dict)
    over: dict[int, str] = field(default_factory=dict)
    recorded: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def hear(self, word: Word) -> None:
        verb, job, what = word
        if verb == "submitted" and self.jobs.setdefault(what, job) != job:
            self.problems.append(f"key {what} is job {self.jobs[what]} and job {job}")
        elif verb == "over" and self.over.setdefault(job, what) != what:
            self.problems.append(f"job {job} ended twice: {self.over[job]}, {what}")
        elif verb == "shown" and job in self.recorded:
            self.problems.append(f"job {job} delivered twice")
        elif verb == "recorded":
            self.recorded.add(job)

    def look(self, folder: Path) -> Iterator[str]:
        """Open the folder as the next start would, and yield what is wrong."""
        yield from self.problems
        try:
            tx = opening.connect(folder / "falopitas.db")
        except Refusal as refusal:
            yield f"does not start: {refusal.code} {refusal.values}"
            return
        yield from self._lost(tx)
        yield from ledger.audit(tx)
        yield from (str(row) for row in tx.execute("PRAGMA integrity_check").fetchall() if row != ("ok",))
        yield from _missing_files(tx, folder)
        tx.close()

    def _lost(self, tx: sqlite3.Connection) -> Iterator[str]:
        rows = tx.execute("SELECT account || '/' || key, id, status FROM job").fetchall()
        keys, status = {key: job for key, job, _ in rows}, {job: state for _, job, state in rows}
        yield from (f"lost: {key}" for key, job in self.jobs.items() if keys.get(key) != job)
        yield from (f"job {job} was {was}" for job, was in self.over.items() if status.get(job) != was)
        still = {job for (job,) in tx.execute("SELECT job FROM outbox WHERE over IS NULL")}
        yield from (f"job {job} is owed again" for job in self.recorded & still)


def _missing_files(tx: sqlite3.Connection, folder: Path) -> Iterator[str]:
    files = Files(folder / "pictures")
    for digest in gallery.digests(tx):
        path = files.path(digest)
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield f"no file for {digest}"


def one_kill(folder: Path, seed: int, witness: Witness, broken: bool) -> list[str]:
    """Start a worker, let it work for a random while, kill it; return what is wrong then."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.proof.kill"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_worker, args=(folder, seed, theirs, broken))
    process.start()
    theirs.close()
    rng = random.Random(seed)
    try:
        _listen(ours, witness, process, rng.random() * LONGEST, during_start=rng.random() < 0.15)
    finally:
        process.kill()
        process.join()
        ours.close()
    return list(witness.look(folder))


def _listen(
    pipe: Connection, witness: Witness, process: BaseProcess, seconds: float, *, during_start: bool
) -> None:
    """Kill the worker ``seconds`` after it began to work (or to start), and hear it out to its last word."""
    ends = time.monotonic() + (seconds if during_start else PATIENCE)
    killed = False
    try:
        while True:
            if not killed and not pipe.poll(max(0.0, ends - time.monotonic())):
                process.kill()
                killed = True
            word = pipe.recv()
            witness.hear(word)
            if word[0] == "ready" and not during_start:
                ends = time.monotonic() + seconds
            elif not killed and time.monotonic() >= ends:
                process.kill()
                killed = True
    except (EOFError, ConnectionResetError):
        if not killed:
            witness.problems.append("the worker died by itself")


def play(seed: int, control: bool, rounds: int = ROUNDS) -> Played:
    """``rounds`` kills of one folder, until something is wrong."""
    with tempfile.TemporaryDirectory(prefix="falopitas-r1-", dir=memory()) as folder:
        witness = Witness()
        for number in range(1, rounds + 1):
            wrong = one_kill(Path(folder), seed * 1_000 + number, witness, control)
            if wrong:
                return Played(number, tuple(wrong[:3]) if not control else (wrong[0],))
    return Played(rounds)


STORAGE = Proof(
    "R1-storage", "kill -9 loses no acknowledged job, charges and delivers nothing twice", 10_000, "kills",
    play, control_rounds=100,
)  # fmt: skip
