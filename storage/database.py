"""The database: one writer, many readers, and a transaction that is one function run to its end.

A *transaction function* takes a ``sqlite3.Connection`` first (``tx``), never awaits, never reads a clock and
never commits. The writer runs the functions that wait as SAVEPOINTs of one ``BEGIN IMMEDIATE … COMMIT``
(group commit), so that many people share one fsync, and one that raises is rolled back alone. Cancelling the
caller does not stop its function: what was begun is finished.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import aiosqlite

from storage import ledger
from storage.refusal import Refusal

T = TypeVar("T")
Connection: TypeAlias = sqlite3.Connection
"""What a transaction function takes: the bot names it here, SQL itself stays in ``storage``."""

APPLICATION = 0x46414C4F
"""``PRAGMA application_id``: "FALO", so that a foreign SQLite file is never taken for ours."""
WINDOW = 0.005
"""Seconds after which a group takes no further member: the most that grouping delays anybody."""
GROUP = 128
"""Members of one group at most."""
BUSY = 5.0
"""Seconds to wait for another process's lock before ``database_locked``."""
READERS = 2
RESERVE = 64 * 1024 * 1024
"""Bytes that must stay free on the disk: below it nothing new is accepted, so that what runs can finish."""

EXAMINED = 16 * 1024 * 1024
"""Bytes of a database that is examined before anything starts (within a second); a bigger one is beside the
work, by ``Database.examine``."""

MIGRATIONS = Path(__file__).with_name("migrations")

_SETTINGS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # else INSERT OR REPLACE would delete ledger rows past their trigger
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
)
_WRITER_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA secure_delete = ON",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA fullfsync = ON",  # only a Mac knows it: its fsync alone leaves data in the drive's own cache
    "PRAGMA checkpoint_fullfsync = ON",
)
_CODES = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_IOERR: "disk_error",
    sqlite3.SQLITE_READONLY: "data_read_only",
    sqlite3.SQLITE_CANTOPEN: "data_read_only",
    sqlite3.SQLITE_PERM: "data_read_only",
    sqlite3.SQLITE_AUTH: "data_read_only",
    sqlite3.SQLITE_BUSY: "database_locked",
    sqlite3.SQLITE_LOCKED: "database_locked",
    sqlite3.SQLITE_CORRUPT: "database_corrupt",
    sqlite3.SQLITE_NOTADB: "database_corrupt",
}
_ERRNO_CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "data_read_only",
    errno.EACCES: "data_read_only",
    errno.EPERM: "data_read_only",
    errno.ENOENT: "data_read_only",
    errno.ENOTDIR: "data_read_only",
    errno.EEXIST: "data_read_only",
    errno.EISDIR: "data_read_only",
}


class Recorded(Refusal):
    """A refusal whose transaction is kept all the same: the try itself must count."""


def refusal_of(error: Exception) -> Exception:
    """The Refusal that a disk's or SQLite's error means, or the error itself if it is a bug.

    Codes: disk_full, disk_error, data_read_only, database_locked, database_corrupt.
    """
    if isinstance(error, sqlite3.Error):
        code = _CODES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if code is None and str(error).startswith("Could not decode to UTF-8"):
            return Refusal("database_corrupt", detail="text")  # Python's own, without a code of SQLite's
        return error if code is None else Refusal(code, detail=error.sqlite_errorname)
    if isinstance(error, OSError) and error.errno is not None:
        return Refusal(
            _ERRNO_CODES.get(error.errno, "disk_error"), detail=errno.errorcode.get(error.errno, "")
        )
    return error


def is_damage(error: sqlite3.Error) -> bool:
    """Does this error say that a part of the database is damaged (database_corrupt)?"""
    known = refusal_of(error)
    return isinstance(known, Refusal) and known.code == "database_corrupt"


def check_room(folder: Path, reserve: int = RESERVE) -> None:
    """Refuse (disk_full) while fewer than ``reserve`` bytes are free where ``folder`` lies.

    Called before something new is accepted; what was accepted may use the reserve.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise refusal_of(error) from error
    if free < reserve:
        raise Refusal("disk_full", detail=f"{free // 1_000_000} MB")


# --- one connection


def migrations() -> tuple[tuple[int, str], ...]:
    """Every migration in order: its number (from 1, without gaps) and its SQL."""
    files = sorted(MIGRATIONS.glob("[0-9]*.sql"))
    return tuple((int(file.name[:4]), file.read_text(encoding="utf-8")) for file in files)


def statements(script: str) -> list[str]:
    """``script`` as single statements (triggers stay whole), comments between them dropped."""
    found, current = [], ""
    for line in script.splitlines(keepends=True):
        if not current and (not line.strip() or line.lstrip().startswith("--")):
            continue
        current += line
        if sqlite3.complete_statement(current):
            found.append(current.strip())
            current = ""
    return [*found, current] if current.strip() else found  # an unfinished one fails where it is run


def configure(connection: sqlite3.Connection) -> None:
    """Settings of the writer: WAL, foreign keys, secure delete; synchronous is set by each group."""
    for setting in _SETTINGS + _WRITER_SETTINGS:
        connection.execute(setting).fetchall()


def prepare(connection: sqlite3.Connection) -> None:
    """Make a fresh connection the writer: recognise, configure, check and migrate. Raises Refusal."""
    recognise(connection)
    configure(connection)
    bytes_used = _pragma(connection, "PRAGMA page_count") * _pragma(connection, "PRAGMA page_size")
    at_once = not is_empty(connection) and bytes_used <= EXAMINED
    if at_once:
        check_pages(connection)
    migrate(connection)
    if at_once:
        check_rows(connection)


def _pragma(connection: sqlite3.Connection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0])


def recognise(connection: sqlite3.Connection) -> None:
    """Refuse a database of another program (database_corrupt) or of a newer one of ours (database_newer)."""
    if is_empty(connection):
        return
    if _pragma(connection, "PRAGMA application_id") != APPLICATION:
        raise Refusal("database_corrupt", detail="not a Falopitas database")
    version, known = _pragma(connection, "PRAGMA user_version"), len(migrations())
    if version > known:
        raise Refusal("database_newer", found=version, known=known)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest version; each migration is one transaction."""
    version = _pragma(connection, "PRAGMA user_version")
    for number, script in migrations()[version:]:
        _apply(connection, number, script)


def _apply(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION:d}")
        connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute("COMMIT")
    finally:
        _abandon(connection)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Is this a database in which nobody has made anything yet?"""
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None


def check_pages(connection: sqlite3.Connection) -> None:
    """Refuse (database_corrupt) a damaged file: pages, types, indexes."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Refusal("database_corrupt", detail="quick_check")


def check_rows(connection: sqlite3.Connection) -> None:
    """Refuse (database_corrupt) rows that point nowhere and a ledger that does not add up."""
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise Refusal("database_corrupt", detail="foreign_key_check")
    if ledger.audit(connection):
        raise Refusal("database_corrupt", detail="ledger")


_UNSOUND = (sqlite3.Error, UnicodeDecodeError, OSError)
"""What looking at a damaged file may raise: SQLite's message may quote a damaged schema, and the migrations
are files that cannot be opened when no descriptor is left."""


def _unsound(error: Exception) -> Refusal:
    known = refusal_of(error)
    return known if isinstance(known, Refusal) else Refusal("database_corrupt", detail=type(error).__name__)


def examine(path: Path) -> str:
    """Look at the file without changing it; return SQLite's version. Raises Refusal if it is not sound."""
    connection = connect_reader(path)
    try:
        _examine(connection)
    finally:
        connection.close()
    return sqlite3.sqlite_version


def _examine(connection: sqlite3.Connection) -> None:
    try:
        recognise(connection)
        check_pages(connection)
        if _pragma(connection, "PRAGMA user_version") == len(migrations()):
            check_rows(connection)
    except _UNSOUND as error:
        raise _unsound(error) from error


def connect(path: Path) -> sqlite3.Connection:
    """The writer's connection: file made (mode 0600) if missing, migrated and checked. Raises Refusal."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = _sqlite(path.absolute().as_uri() + "?mode=rw")
    except (OSError, sqlite3.Error) as error:
        raise refusal_of(error) from error
    try:
        prepare(connection)
    except _UNSOUND as error:
        connection.close()
        raise _unsound(error) from error
    except Refusal:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A reader's connection: it can change nothing, and never checkpoints."""
    try:
        connection = _sqlite(path.absolute().as_uri() + "?mode=ro")
    except sqlite3.Error as error:
        raise refusal_of(error) from error
    try:
        for setting in _SETTINGS:
            connection.execute(setting).fetchall()
    except sqlite3.Error as error:
        connection.close()
        raise refusal_of(error) from error
    return connection


def _sqlite(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY, isolation_level=None, cached_statements=256, check_same_thread=False
    )


# --- groups


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
    except (*_UNSOUND, Dropped) as error:
        while not members or (waiting and len(members) < GROUP):
            members.append(waiting.popleft())
        for member in members:
            member.value, member.error = None, refusal_of(_cause(error))
    finally:
        _abandon(connection)
    return members


class Dropped(Exception):  # noqa: N818 - it says what became of the transaction
    """The whole transaction is gone, not only a savepoint: SQLite does that when the disk fails."""


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error, Dropped) and isinstance(error.__cause__, Exception) else error


def _abandon(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


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


# --- runners


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


# --- the database


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
            await reader.run(_examine)
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
        connection.execute(f"PRAGMA busy_timeout = {BUSY * 1_000:.0f}")


def _scrub(connection: sqlite3.Connection) -> None:
    """``secure_delete`` overwrites what is deleted; the log has the pages as they were until it is empty."""
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY * 1_000:.0f}")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise refusal_of(error) from error
    if busy:
        raise Refusal("database_locked", detail="checkpoint")


def _checkpoint_quietly(connection: sqlite3.Connection) -> None:
    try:
        _checkpoint(connection, BUSY)
    except Refusal:
        return
