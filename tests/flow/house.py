"""The test's view of a whole bot: its processes, its chat, and what must be true of its data at rest."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.lock import living
from storage import ledger
from storage.database import Connection
from storage.opening import connect_reader
from tests.fakes.chat import Platform

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


_BUSY = """
    SELECT (SELECT count(*) FROM job WHERE status IN ('queued', 'running')),
        (SELECT count(*) FROM outbox WHERE over IS NULL), (SELECT count(*) FROM inbox WHERE done = 0)
"""


@dataclass
class Whole:
    """One data folder, one chat, at most one bot."""

    data: Path
    chat: Platform
    arguments: tuple[str, ...] = ()
    bot: asyncio.subprocess.Process | None = None
    engines: set[int] = field(default_factory=set)

    async def start(self, *more: str, wrap: Sequence[str] = ()) -> asyncio.subprocess.Process:
        """A bot process; it may take a second until it listens."""
        words = (
            *wrap, sys.executable, "-m", "tests.flow.bot", "--data", str(self.data),
            "--chat", str(self.chat.path), *self.arguments, *more,
        )  # fmt: skip
        self.bot = await asyncio.create_subprocess_exec(
            *words, cwd=ROOT, env=ENVIRONMENT, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self.bot

    def engine(self, name: str = "engine") -> int:
        """The process id of the living engine, or 0."""
        note = living(self.data / f"{name}.lock") if self.data.exists() else None
        if note and note.pid:
            self.engines.add(note.pid)
        return note.pid if note else 0

    async def until_engine(self, other_than: int = 0) -> int:
        async with asyncio.timeout(60):
            while not (pid := self.engine()) or pid == other_than:
                await asyncio.sleep(0.01)
        return pid

    async def until_drawing(self) -> None:
        """An engine has a job."""
        async with asyncio.timeout(60):
            while self.look("SELECT count(*) FROM job WHERE status = 'running'") == [(0,)]:
                await asyncio.sleep(0.01)

    def kill_engine(self, number: int = signal.SIGKILL) -> None:
        pid = self.engine()
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def kill_bot(self) -> None:
        if self.bot and self.bot.returncode is None:
            self.bot.kill()
        if self.bot:
            await self.bot.wait()

    async def stop_bot(self, number: int = signal.SIGTERM) -> tuple[int, float, str]:
        """Exit code, seconds it took, what it said."""
        assert self.bot
        began = time.monotonic()
        with suppress(ProcessLookupError):
            self.bot.send_signal(number)
        said = b""
        if self.bot.stderr:
            said = await self.bot.stderr.read()
        code = await self.bot.wait()
        return code, time.monotonic() - began, said.decode(errors="replace")

    async def end(self) -> None:
        """Nothing of ours runs any more."""
        await self.kill_bot()
        self.engine()
        self.kill_engine()
        for pid in self.engines:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    # --- at rest

    def look(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        connection = connect_reader(self.data / "falopitas.sqlite3")
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    async def quiet(self, seconds: float = 180.0) -> None:
        """Every job is over, everything owed is delivered, every event is answered."""
        async with asyncio.timeout(seconds):
            while not self._is_quiet():
                await asyncio.sleep(0.02)

    def _is_quiet(self) -> bool:
        if not (self.data / "falopitas.sqlite3").exists():
            return False
        try:
            ((busy, owed, unanswered),) = self.look(_BUSY)
        except sqlite3.OperationalError:
            return False  # killed before it was made, or in the middle of its recovery
        return self.chat.confirmed >= max(self.chat.updates, default=0) and not (busy or owed or unanswered)

    def wrongs(self) -> list[str]:
        """Everything that must not be: lost, charged twice, delivered twice, ledger, files."""
        connection = connect_reader(self.data / "falopitas.sqlite3")
        try:
            return [*_ledger(connection), *_orders(connection, self.chat), *_files(connection, self.data)]
        finally:
            connection.close()


def _ledger(tx: Connection) -> list[str]:
    wrong = list(ledger.audit(tx))
    (verdict,) = tx.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        wrong.append(f"integrity: {verdict}")
    for job, paid, price, arrived, count, status in tx.execute(
        "SELECT job.id, (SELECT total(units) FROM ledger WHERE ledger.job = job.id), price, arrived, "
        "json_extract(request, '$.count'), status FROM job"
    ):
        due = price * arrived // count if status == "done" else 0
        if paid != -due:
            wrong.append(f"job {job} {status}: paid {-paid}, worth {due}")
    return wrong


def _orders(tx: Connection, chat: Platform) -> list[str]:
    wrong = []
    made: dict[int, int] = {}
    for job, key, status, place in tx.execute("SELECT id, key, status, place FROM job"):
        event = chat.updates[int(place.removeprefix("chat:").removeprefix("c").partition("/")[0])]["id"]
        if event in made:
            wrong.append(f"update {event} was charged twice: jobs {made[event]}, {job} ({key})")
        made[event] = job
        shown = chat.finals(job)
        if status in {"done", "failed"} and len(shown) != 1:
            wrong.append(f"job {job} ({status}) was delivered {len(shown)} times")
        if status == "done" and shown and not shown[0].now["images"]:
            wrong.append(f"job {job}: its message ends without pictures")
    for number, update in chat.updates.items():
        drawn = update["text"] and not update["text"].startswith("/")
        if drawn and number not in made and number <= chat.confirmed:
            wrong.append(f"update {number} was lost")
    return wrong


def _files(tx: Connection, data: Path) -> list[str]:
    known = {digest for (digest,) in tx.execute("SELECT digest FROM piece")}
    there = {file.stem for file in (data / "pictures").glob("??/*.png")}
    return [f"row without file {digest}" for digest in known - there]


@asynccontextmanager
async def whole(*arguments: str) -> AsyncIterator[Whole]:
    """A bot that has not been started yet, in a short folder (sockets)."""
    folder = Path(tempfile.mkdtemp(prefix="falo-"))
    chat = Platform(folder / "chat.sock")
    await chat.start()
    made = Whole(folder / "data", chat, arguments)
    try:
        yield made
    finally:
        await made.end()
        await chat.close()
        shutil.rmtree(folder, ignore_errors=True)
