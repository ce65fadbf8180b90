"""Group commit: the functions that wait become members of one transaction, and share its fsync."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from storage.disk import UNSOUND, refusal_of
from storage.opening import abandon
from storage.refusal import Refusal

T = TypeVar("T")

WINDOW = 0.005
"""Seconds after which a group takes no further member: the most that grouping delays anybody."""
GROUP = 128
"""Members of one group at most."""


class Recorded(Refusal):
    """A refusal whose transaction is kept all the same: the try itself must count."""


@dataclass(slots=True)
class Member(Generic[T]):
    """One transaction function on its way through the writer, and how it ended."""

    run: Callable[[sqlite3.Connection], T]
    durable: bool
    future: asyncio.Future[T] | None = None
    value: T | None = None
    error: BaseException | None = None


def run_group(connection: sqlite3.Connection, waiting: deque[Member[Any]]) -> list[Member[Any]]:
    """Run members from ``waiting`` in order in one transaction and commit it; each then has value or error.

    The group is durable (synchronous = FULL: safe from power loss when this returns) if anybody who waits
    needs it, and then takes everybody; one begun as NORMAL ends before a durable member that came later. An
    error at BEGIN or COMMIT, or one with which SQLite dropped the whole transaction, is every member's error.
    """
    members: list[Member[Any]] = []
    if not waiting:
        return members
    durable = any(waiting[i].durable for i in range(min(len(waiting), GROUP)))  # another thread may append
    try:
        connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        _run_members(connection, waiting, members, durable)
        connection.execute("COMMIT")
    except (*UNSOUND, Dropped) as error:
        while not members or (waiting and len(members) < GROUP):
            members.append(waiting.popleft())
        for member in members:
            member.value, member.error = None, refusal_of(_cause(error))
    finally:
        abandon(connection)
    return members


class Dropped(Exception):  # noqa: N818 - it says what became of the transaction
    """The whole transaction is gone, not only a savepoint: SQLite does that when the disk fails."""


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error, Dropped) and isinstance(error.__cause__, Exception) else error


def _run_members(
    connection: sqlite3.Connection, waiting: deque[Member[Any]], members: list[Member[Any]], durable: bool
) -> None:
    ends = time.monotonic() + WINDOW
    while waiting and len(members) < GROUP and (durable or not waiting[0].durable):
        members.append(waiting.popleft())
        _run_member(connection, members[-1])
        if time.monotonic() > ends:
            break


def _run_member(connection: sqlite3.Connection, member: Member[Any]) -> None:
    connection.execute("SAVEPOINT member")
    try:
        member.value = member.run(connection)
    except Recorded as error:
        member.error = error
    except Exception as error:  # not handled here: the caller gets it, whatever it is
        if not connection.in_transaction:
            raise Dropped from error
        member.error = refusal_of(error)
        connection.execute("ROLLBACK TO member")
    connection.execute("RELEASE member")
