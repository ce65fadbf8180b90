"""One engine a data folder: who it is and where it listens (``door.py``). Imports no tensors; used by both
ends of the wire."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from inference.wire import PROTOCOL

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FAR = 1 << 30
"""Byte that is locked on Windows, where a locked byte cannot be read: far behind the note."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a living engine writes into its lock file. ``address`` is empty until it listens."""

    pid: int
    address: str = ""
    """``door.Door.address``."""
    token: str = ""
    """What ``wire.Open`` must carry."""
    protocol: int = PROTOCOL


class Taken(Exception):  # noqa: N818 - it says what happened
    """Another living engine holds the lock."""


class Lock:
    """The lock file of an engine; held as long as the process lives or until ``release``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _try_lock(self._file):
            os.close(self._file)
            raise Taken(str(path))
        self.write(Note(pid=os.getpid()))

    def write(self, note: Note) -> None:
        """Say who and where we are."""
        os.lseek(self._file, 0, os.SEEK_SET)
        os.ftruncate(self._file, 0)
        os.write(self._file, msgspec.json.encode(note))

    def release(self) -> None:
        """Nobody is here any more."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def living(path: Path) -> Note | None:
    """The note of the engine that holds the lock at ``path``, or None if none lives.

    An engine that took the lock and has not written its note yet is ``Note(pid=0)``.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(file):
            return None
        return msgspec.json.decode(os.read(file, 4096), type=Note)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError):
        return Note(pid=0)
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(file, _FAR, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.lseek(file, 0, os.SEEK_SET)
        return False
    return True
