"""Copies of the database while it is in use, proved before they count; and the way back.

A copy is one snapshot, taken page by page by a reader of its own: writers go on meanwhile. It is checked as
a whole (every page, every reference, the ledger's audit) before it gets its name, and again before it is
restored.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from storage import database
from storage.database import RESERVE, check_room, check_rows, connect_reader, is_empty, recognise, refusal_of
from storage.refusal import Refusal

PAGES = 512
"""Pages copied in one breath (2 MiB)."""
REST = 0.005
"""Seconds between two: the disk is there for those who wait."""


def copy(source: Path, target: Path, rest: float = REST) -> int:
    """Copy a database that may be in use; return the copy's bytes once it is proved and durable.

    ``target`` is new or replaced as a whole. Raises Refusal: of the disk, or backup_bad for a copy that fails
    its checks.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_room(target.parent, RESERVE + source.stat().st_size)
        with _closing(part) as after, contextlib.closing(connect_reader(source)) as before:
            before.execute("BEGIN")
            before.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()  # the snapshot begins here
            before.backup(after, pages=PAGES, progress=lambda *_: time.sleep(rest))
        part.chmod(0o600)
        verify(part)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise refusal_of(error) from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _closing(path: Path) -> Iterator[sqlite3.Connection]:
    """A fresh file that no log stands beside when it is closed."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    finally:
        connection.close()


def verify(path: Path) -> None:
    """Refuse (backup_bad, database_newer) what is no sound database of ours: all pages, references, books."""
    try:
        with contextlib.closing(connect_reader(path)) as connection:
            recognise(connection)
            if is_empty(connection):
                raise Refusal("backup_bad", detail="empty")
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise Refusal("backup_bad", detail="integrity_check")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == len(database.migrations()):  # an older one is checked when it is migrated
                check_rows(connection)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise Refusal("backup_bad", detail=type(error).__name__) from error
    except Refusal as refusal:
        if refusal.code == "database_corrupt":
            raise Refusal("backup_bad", detail=str(refusal.values.get("detail", ""))) from refusal
        raise


def restore(backup: Path, target: Path, aside: str) -> Path | None:
    """Put a proved backup in the place of the database; return where the one before now is, if there was one.

    Nobody may have ``target`` open. The old file and its log are moved together, never deleted.
    """
    verify(backup)
    fresh = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(backup, fresh)
        fresh.chmod(0o600)
        _sync(fresh)
        verify(fresh)
        before = target.with_name(f"{target.name}.{aside}") if target.exists() else None
        if before is not None:
            for end in ("", "-wal"):
                if (file := target.with_name(target.name + end)).exists():
                    file.replace(before.with_name(before.name + end))
        target.with_name(f"{target.name}-shm").unlink(missing_ok=True)
        target.with_name(f"{target.name}-wal").unlink(missing_ok=True)
        fresh.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise refusal_of(error) from error
    finally:
        fresh.unlink(missing_ok=True)
    return before


def copy_pictures(source: Path, target: Path) -> int:
    """Copy the pictures that are not there yet: a file under its SHA-256 never changes. Returns how many."""
    count = 0
    try:
        for file in sorted(source.glob("??/*.png")):
            there = target / file.parent.name / file.name
            if there.exists() and there.stat().st_size == file.stat().st_size:
                continue
            there.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = there.with_name(f".{there.name}.part")
            shutil.copyfile(file, part)
            part.replace(there)
            count += 1
    except FileNotFoundError:  # deleted meanwhile, by its person
        return count + copy_pictures(source, target)
    except OSError as error:
        raise refusal_of(error) from error
    return count


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
