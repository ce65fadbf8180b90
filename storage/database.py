"""The database: one writer, many readers, and a transaction that is one function run to its end.

A *transaction function* takes a ``sqlite3.Connection`` first (``tx``), never awaits, never reads a clock and
never commits. The writer runs the functions that wait as SAVEPOINTs of one ``BEGIN IMMEDIATE … COMMIT``
(group commit), so that many people share one fsync, and one that raises is rolled back alone. Cancelling the
caller does not stop its function: what was begun is finished.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from storage import opening
from storage.disk import refusal_of
from storage.group import Member, run_group
from storage.opening import connect, connect_reader, look
from storage.refusal import Refusal
from storage.runner import Runner, RunnerKind, Threaded

T = TypeVar("T")
Connection: TypeAlias = sqlite3.Connection
"""What a transaction function takes: the bot names it here, SQL itself stays in ``storage``."""

READERS = 2


@dataclass(slots=True)
class Database:
    """The one way to the database file. Open with ``await Database.open(path)``, end with ``close``."""

    path: Path
    _writer: Runner
    _readers: Sequence[Runner]
    _kind: RunnerKind
    _unsound: Refusal | None = None
    _waiting: deque[Member[Any]] = field(default_factory=deque)
    _work: asyncio.Task[None] | None = None
    _turns: itertools.count[int] = field(default_factory=itertools.count)
    _closed: bool = False

    @classmethod
    async def open(cls, path: Path, runner: RunnerKind = Threaded, readers: int = READERS) -> Database:
        """Open ``path``, made if missing, migrated and checked.

        Raises Refusal database_newer, database_locked, database_corrupt, data_read_only, disk_full,
        disk_error.
        """
        writer = await runner.open(partial(connect, path))
        opened: list[Runner] = []
        try:
            for _ in range(readers):
                opened.append(await runner.open(partial(connect_reader, path)))
        except Refusal:
            for each in (*opened, writer):
                await each.close()
            raise
        return cls(path, writer, opened, runner)

    async def write(self, fn: Callable[..., T], *args: object, durable: bool = False, **kwargs: object) -> T:
        """Run ``fn(tx, *args, **kwargs)`` on the writer and return what it returned, once committed.

        ``durable``: safe from power loss before this returns; otherwise only from the death of the process.
        Raises what ``fn`` raised (rolled back alone) or a Refusal of the disk. If the caller is cancelled
        ``fn`` still runs to its end: give whatever must not happen twice a key.
        """
        if self._closed:
            raise RuntimeError("the database is closed")
        if self._unsound:
            raise self._unsound
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(Member(_bound(fn, args, kwargs), durable, future))
        self._kick()
        return await future  # only the slot for the answer: cancelled with its caller, the function is not

    def _kick(self) -> None:
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._drain(), name="database writer")

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._writer.run(partial(_run_and_tell, waiting=self._waiting, loop=loop))

    async def read(self, fn: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Run ``fn(tx, *args, **kwargs)`` on a reader, in one snapshot that sees every returned write."""
        if self._closed:
            raise RuntimeError("the database is closed")
        reader = self._readers[next(self._turns) % len(self._readers)]
        return await reader.run(partial(_snapshot, run=_bound(fn, args, kwargs)))

    async def examine(self) -> None:
        """Look at the whole file, beside the work. Raises Refusal; database_corrupt is every write's from
        then on: nobody is charged in books that are wrong.

        SQLite says the same of a disk that could not be read for a moment: only a second look settles it.
        """
        try:
            await self._look()
        except Refusal as refusal:
            if refusal.code != "database_corrupt":
                raise
            await self._look_again()

    async def _look_again(self) -> None:
        try:
            await self._look()
        except Refusal as refusal:
            if refusal.code == "database_corrupt":
                self._unsound = refusal
            raise

    async def _look(self) -> None:
        made: list[sqlite3.Connection] = []

        def connect() -> sqlite3.Connection:
            made.append(connect_reader(self.path))
            return made[0]

        reader = await self._kind.open(connect)
        try:
            await reader.run(look)
        finally:
            made[0].interrupt()  # if the caller was cancelled: it may take seconds
            await reader.close()

    async def checkpoint(self) -> None:
        """Move the write-ahead log into the database file, and truncate it if nobody reads (housekeeping).

        It waits for no reader: writes would wait behind it.
        """
        await self._writer.run(partial(_checkpoint, patience=0.0))

    async def scrub(self) -> None:
        """What was deleted is nowhere in the files any more when this returns: it was overwritten, and the
        write-ahead log is emptied. Raises Refusal database_locked while a reader holds on to it.
        """
        await self._writer.run(_scrub)

    async def close(self) -> None:
        """Finish what waits, checkpoint and close. May be called twice; a dying disk is no error here."""
        if self._closed:
            return
        self._closed = True
        while self._work is not None and not self._work.done():
            await asyncio.wait({self._work})
        await self._drain()
        for reader in self._readers:
            await reader.close()
        await self._writer.run(_checkpoint_quietly)
        await self._writer.close()


def _bound(
    fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]
) -> Callable[[sqlite3.Connection], T]:
    return lambda tx: fn(tx, *args, **kwargs)


def _run_and_tell(
    connection: sqlite3.Connection, waiting: deque[Member[Any]], loop: asyncio.AbstractEventLoop
) -> None:
    """Run one group and tell its callers; from this thread, so that no cancelled task can lose an answer."""
    members = run_group(connection, waiting)
    if not loop.is_closed():
        loop.call_soon_threadsafe(_tell, members)


def _tell(members: list[Member[Any]]) -> None:
    for member in members:
        if member.future is None or member.future.done():
            continue
        if member.error is not None:
            member.future.set_exception(member.error)
        else:
            member.future.set_result(member.value)


def _snapshot(connection: sqlite3.Connection, run: Callable[[sqlite3.Connection], T]) -> T:
    try:
        connection.execute("BEGIN")
        return run(connection)
    except sqlite3.Error as error:
        raise refusal_of(error) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _checkpoint(connection: sqlite3.Connection, patience: float) -> None:
    """As much as the readers let go within ``patience`` seconds; without patience this is PASSIVE, which also
    truncates where there is no reader."""
    try:
        connection.execute(f"PRAGMA busy_timeout = {patience * 1_000:.0f}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise refusal_of(error) from error
    finally:
        connection.execute(f"PRAGMA busy_timeout = {opening.BUSY * 1_000:.0f}")


def _scrub(connection: sqlite3.Connection) -> None:
    """``secure_delete`` overwrites what is deleted; the log has the pages as they were until it is empty."""
    try:
        connection.execute(f"PRAGMA busy_timeout = {opening.BUSY * 1_000:.0f}")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise refusal_of(error) from error
    if busy:
        raise Refusal("database_locked", detail="checkpoint")


def _checkpoint_quietly(connection: sqlite3.Connection) -> None:
    try:
        _checkpoint(connection, opening.BUSY)
    except Refusal:
        return
