"""The disk: real SQLite files and pictures, on runners that take (virtual) time and refuse now and then."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest import mock

from storage import gallery, group, opening
from storage.gallery import Files
from tests.sim.world import World

T = TypeVar("T")

AT_ONCE = 0.5
"""The share of functions that are run within the caller's own step."""
QUICK, SLOW = (0.0002, 0.004), (0.005, 0.08)
"""Seconds that the others wait before they are run, and again before they answer; one in ten is slow."""
_WRITES = ("INSERT", "UPDATE", "DELETE", "COMMIT")


class Connection:
    """A SQLite connection whose disk may refuse: ``refuse(sql)`` says how, as SQLite would."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self.real = real
        self.refuse: Callable[[str], sqlite3.OperationalError | None] | None = None
        self.execute, self.executemany = self._execute, self._executemany

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def _execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        self._maybe(sql)
        return self.real.execute(sql, *values)

    def _executemany(self, sql: str, values: Any) -> sqlite3.Cursor:
        self._maybe(sql)
        return self.real.executemany(sql, values)

    def _maybe(self, sql: str) -> None:
        if self.refuse is None or not sql.lstrip().startswith(_WRITES):
            return
        error = self.refuse(sql)
        if error is not None:
            if sql == "COMMIT" or error.sqlite_errorcode == sqlite3.SQLITE_IOERR_WRITE:
                self.real.execute("ROLLBACK")  # SQLite drops the whole transaction then
            raise error


def _error(code: int, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


@dataclass(eq=False)
class Runner:
    """One connection: functions one after the other, each whole, also when its caller is gone."""

    world: World
    connection: Connection
    _waiting: deque[tuple[Callable[[Any], Any], asyncio.Future[Any]]] = field(default_factory=deque)
    _busy: bool = False

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        dice = self.world.dice
        if not self._busy and not self._waiting and dice.random() < AT_ONCE:
            return function(cast("sqlite3.Connection", self.connection))
        future: asyncio.Future[T] = self.world.loop.create_future()
        self._waiting.append((function, future))
        self._next()
        return await future

    def _next(self) -> None:
        if self._waiting and not self._busy:
            self._busy = True
            self.world.loop.call_later(self._seconds(), self._do)

    def _seconds(self) -> float:
        dice = self.world.dice
        return dice.uniform(*(SLOW if dice.random() < 0.1 else QUICK))

    def _do(self) -> None:
        function, future = self._waiting.popleft()
        self._busy = False
        try:
            value = function(cast("sqlite3.Connection", self.connection))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it, whatever it is
            answer = partial(self._tell, future, None, error)
        else:
            answer = partial(self._tell, future, value, None)
        self.world.loop.call_later(self._seconds(), answer)
        self._next()

    @staticmethod
    def _tell(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    async def close(self) -> None:
        while self._waiting or self._busy:
            await asyncio.sleep(0.001)
        self.connection.real.close()


@dataclass(eq=False)
class Disk:
    """What opens a life's connections (a ``RunnerKind``), keeps its pictures, and refuses.

    ``full`` and ``ailing``: every write is refused until the disk is well again; ``once``: the next so many.
    """

    world: World
    full: bool = False
    ailing: bool = False
    once: int = 0
    runners: list[Runner] = field(default_factory=list)

    async def open(self, connector: Callable[[], sqlite3.Connection]) -> Runner:
        made = connector()
        runner = Runner(self.world, Connection(made))
        if getattr(connector, "func", None) is opening.connect:
            runner.connection.refuse = self._refuse
        self.runners.append(runner)
        return runner

    @property
    def well(self) -> bool:
        return not (self.full or self.ailing)

    def open_transactions(self) -> int:
        """Between two steps of the loop nobody may be inside of one."""
        return sum(1 for each in self.runners if _is_open(each.connection.real))

    def _refuse(self, sql: str) -> sqlite3.OperationalError | None:
        if self.full and sql != "COMMIT":
            self.world.fault("disk full", sql[:6])
            return _error(sqlite3.SQLITE_FULL, "SQLITE_FULL")
        if self.ailing:
            self.world.fault("disk error", sql[:6])
            return _error(sqlite3.SQLITE_IOERR_WRITE, "SQLITE_IOERR_WRITE")
        if self.once and (sql == "COMMIT" or self.world.dice.random() < 0.2):
            self.once -= 1
            self.world.fault("disk refuses once", sql[:6])
            return _error(sqlite3.SQLITE_IOERR_WRITE, "SQLITE_IOERR_WRITE")
        return None

    def cut(self) -> None:
        """What a killed process leaves: closed files, nothing half done committed."""
        for runner in self.runners:
            runner.connection.real.close()
        self.runners = []

    def free(self, _: object) -> SimpleNamespace:
        """What ``shutil.disk_usage`` says."""
        return SimpleNamespace(free=10 * 2**20 if self.full else 10 * 2**30)

    @contextmanager
    def pictures(self) -> Iterator[None]:
        """The picture folder is on this disk too, and its clocks are the world's."""
        store, world = Files._store, self.world

        def kept(files: Files, digest: str, data: bytes) -> None:
            if not self.well or (self.once and world.chance(0.2)):
                world.fault("picture disk refuses", digest[:8])
                raise OSError(errno.ENOSPC if self.full else errno.EIO, "simulated")
            store(files, digest, data)
            os.utime(files.path(digest), (world.clock(),) * 2)

        with (
            mock.patch.object(Files, "_store", kept),
            mock.patch.object(gallery, "time", SimpleNamespace(monotonic=world.loop.time)),
            mock.patch.object(gallery, "_sync", return_value=None),
            mock.patch.object(gallery, "_sync_folder", return_value=None),
            mock.patch("shutil.disk_usage", self.free),
            mock.patch.object(group, "WINDOW", float("inf")),  # real time must not end a group
        ):
            yield


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # closed
        return False
