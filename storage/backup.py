"""Copies of the database while it is in use, proved before they count; and the way back.

A copy is one snapshot, taken page by page by a reader of its own: writers go on meanwhile. It is checked as
a whole (every page, every reference, the ledger's audit) before it gets its name, and again before it is
restored. ``python -m storage.backup SOURCE TARGET`` is the process in which ``copied`` has a large one made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from inference import beside
from storage import opening
from storage.disk import RESERVE, check_room, refusal_of
from storage.opening import check_rows, connect_reader, is_empty, recognise
from storage.refusal import Refusal

PAGES = 64
"""Pages copied in one breath (256 KiB): who commits meanwhile waits for no more than that."""
REST = 0.004
"""Seconds between two: the disk is there for those who wait."""
SYNCED = 8
"""Breaths after which what was copied goes to the disk. All of it at once, at the end, would hold up every
commit behind it."""
LEFTOVER = 3_600.0
"""Seconds after which half a copy is nobody's."""
SMALL = 16 * 2**20
"""Bytes of a database that is copied on a thread: a process takes longer to start."""


def copy(source: Path, target: Path, rest: float = REST) -> int:
    """Copy a database that may be in use; return the copy's bytes once it is proved and durable.

    ``target`` is new or replaced as a whole. Raises Refusal: of the disk, or backup_bad for a copy that fails
    its checks.
    """
    part = part_of(target)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_room(target.parent, RESERVE + source.stat().st_size)
        _take(source, part, rest)
        part.chmod(0o600)
        verify(part)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise refusal_of(error) from error
    finally:
        with contextlib.suppress(OSError):  # its folder may be none: why, was said
            part.unlink(missing_ok=True)


def part_of(target: Path) -> Path:
    """Where a copy is until it is proved."""
    return target.with_name(f".{target.name}.part")


def drop_parts(folder: Path, age: float = LEFTOVER) -> None:
    """Delete what copies that were cut off (a power cut, a kill) left there, older than ``age`` seconds."""
    for part in folder.glob(part_of(Path("*")).name):
        with contextlib.suppress(FileNotFoundError):
            if part.stat().st_mtime < time.time() - age:
                part.unlink()


def _take(source: Path, part: Path, rest: float) -> None:
    with _closing(part) as after, contextlib.closing(connect_reader(source)) as before:
        handle, breaths = os.open(part, os.O_RDWR), 0

        def breathe(*_: object) -> None:
            nonlocal breaths
            breaths += 1
            if breaths % SYNCED == 0:
                os.fsync(handle)
            time.sleep(rest)

        try:
            before.execute("BEGIN")
            before.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()  # the snapshot begins here
            before.backup(after, pages=PAGES, progress=breathe)
        finally:
            os.close(handle)


# --- out of the way


async def copied(source: Path, target: Path) -> int:
    """``copy`` beside the work: a large one in a process that gives way to everything else.

    Raises Refusal like ``copy``. Cancelled, it leaves nothing.
    """
    if _is_small(source):
        return await asyncio.to_thread(copy, source, target)
    try:
        return _heard(*await beside.heard(_words(source, target)))
    except asyncio.CancelledError:
        part_of(target).unlink(missing_ok=True)
        raise


def _is_small(source: Path) -> bool:
    return source.stat().st_size <= SMALL


def _words(source: Path, target: Path) -> list[str]:
    return [sys.executable, "-m", "storage.backup", str(source.absolute()), str(target.absolute())]


class _Done(msgspec.Struct):
    """What the process says at its end: bytes, or a refusal."""

    size: int = 0
    code: str = ""
    detail: str = ""


def _heard(said: bytes, code: int | None) -> int:
    try:
        done = msgspec.json.decode(said, type=_Done)
    except msgspec.DecodeError as error:
        raise Refusal("backup_bad", detail=f"exit code {code}") from error
    if done.code:
        raise Refusal(done.code, detail=done.detail)
    return done.size


def main(source: str, target: str, rest: str = str(REST)) -> None:
    """The process of ``copied``."""
    beside.give_way()
    beside.end_with_parent(partial(part_of(Path(target)).unlink, missing_ok=True))
    try:
        done = _Done(size=copy(Path(source), Path(target), float(rest)))
    except Refusal as refusal:
        done = _Done(code=refusal.code, detail=str(refusal.values.get("detail", "")))
    sys.stdout.buffer.write(msgspec.json.encode(done))


@contextlib.contextmanager
def _closing(path: Path) -> Iterator[sqlite3.Connection]:
    """A fresh file that no log stands beside when it is closed. Until it is proved it may be torn: it is
    synced in pieces by who fills it, and has no journal.
    """
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for setting in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -1000"):
            connection.execute(f"PRAGMA {setting}").fetchall()
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
            if version == len(opening.migrations()):  # an older one is checked when it is migrated
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


if __name__ == "__main__":
    main(*sys.argv[1:])
