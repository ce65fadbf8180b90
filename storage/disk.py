"""What a disk and SQLite refuse, as a Refusal; and the room that must stay free."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from storage.refusal import Refusal

RESERVE = 64 * 1024 * 1024
"""Bytes that must stay free on the disk: below it nothing new is accepted, so that what runs can finish."""

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


UNSOUND = (sqlite3.Error, UnicodeDecodeError, OSError)
"""What looking at a damaged file may raise: SQLite's message may quote a damaged schema, and the migrations
are files that cannot be opened when no descriptor is left."""


def unsound(error: Exception) -> Refusal:
    """The Refusal that one of these means; database_corrupt if nothing else."""
    known = refusal_of(error)
    return known if isinstance(known, Refusal) else Refusal("database_corrupt", detail=type(error).__name__)
