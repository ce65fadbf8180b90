"""What runs functions on one connection, one after the other: a thread, or inline in a simulation."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

import aiosqlite

from storage.refusal import Refusal

T = TypeVar("T")


class Runner(Protocol):
    """What runs functions on one connection, one after the other: a thread, or inline in a simulation."""

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` to its end, also when the caller is cancelled."""

    async def close(self) -> None:
        """Close the connection after what is already queued."""


class Threaded:
    """A connection on a thread of its own: aiosqlite's queue, given whole functions instead of statements."""

    def __init__(self, thread: aiosqlite.Connection, connection: sqlite3.Connection) -> None:
        self._thread = thread
        self._connection = connection

    @classmethod
    async def open(cls, connector: Callable[[], sqlite3.Connection]) -> Threaded:
        """Open the connection on its thread. Raises the Refusal that ``connector`` raises."""
        made: list[sqlite3.Connection] = []
        failed: list[Refusal] = []

        def connect() -> sqlite3.Connection:
            try:
                made.append(connector())
            except (
                Refusal
            ) as refusal:  # raised below: a connector that raises would not end aiosqlite's thread
                failed.append(refusal)
                made.append(sqlite3.connect(":memory:"))
            return made[0]

        thread = aiosqlite.Connection(connect, 64)
        thread._thread.daemon = True  # a forgotten close must not keep the process alive
        await thread
        if failed:
            await thread.close()
            raise failed[0]
        return cls(thread, made[0])

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` to its end on the thread.

        ``_execute`` is private to aiosqlite 0.22, and the only way to give its thread one whole transaction:
        its public methods are one statement each, and a caller cancelled between two of them leaves a
        transaction open that swallows the next person's writes. ``test_database.py`` notices a rename.
        """
        result: T = await self._thread._execute(function, self._connection)  # type: ignore[no-untyped-call]
        return result

    async def close(self) -> None:
        """Close the connection after what is already queued, and end the thread."""
        await self._thread.close()


class Inline:
    """A connection on the caller's own thread: for simulations, where every step must be in one order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, connector: Callable[[], sqlite3.Connection]) -> Inline:
        """Open the connection here and now."""
        return cls(connector())

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` at once."""
        return function(self._connection)

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class RunnerKind(Protocol):
    """What opens runners: ``Threaded`` or ``Inline``."""

    async def open(self, connector: Callable[[], sqlite3.Connection]) -> Runner:
        """Open one."""
