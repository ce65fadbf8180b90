"""One connection to the database file: recognised, configured, migrated and checked before it is used."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from storage import ledger
from storage.disk import UNSOUND, refusal_of, unsound
from storage.refusal import Refusal

APPLICATION = 0x46414C4F
"""``PRAGMA application_id``: "FALO", so that a foreign SQLite file is never taken for ours."""
BUSY = 5.0
"""Seconds to wait for another process's lock before ``database_locked``."""

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
        abandon(connection)


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


def examine(path: Path) -> str:
    """Look at the file without changing it; return SQLite's version. Raises Refusal if it is not sound."""
    connection = connect_reader(path)
    try:
        look(connection)
    finally:
        connection.close()
    return sqlite3.sqlite_version


def look(connection: sqlite3.Connection) -> None:
    """As ``examine``, by a connection that is there."""
    try:
        recognise(connection)
        check_pages(connection)
        if _pragma(connection, "PRAGMA user_version") == len(migrations()):
            check_rows(connection)
    except UNSOUND as error:
        raise unsound(error) from error


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
    except UNSOUND as error:
        connection.close()
        raise unsound(error) from error
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


def abandon(connection: sqlite3.Connection) -> None:
    """End a transaction that is still open, with nothing of it."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
