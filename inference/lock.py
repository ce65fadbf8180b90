"""One engine a data folder: who it is and where it listens. Imports no tensors; used by both ends of the
wire."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
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
    """``unix:PATH`` or ``tcp:HOST:PORT``."""
    token: str = ""
    """What ``wire.Open`` must carry on TCP."""
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


class UnsafeFolder(Exception):  # noqa: N818 - it says what is wrong
    """The runtime folder belongs to somebody else, or others may enter it."""


def runtime_folder() -> Path:
    """A short folder of our own for sockets (their paths end at about 100 bytes), mode 0700. Raises
    UnsafeFolder."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and Path(base).is_dir() and os.access(base, os.W_OK):
        folder = Path(base) / "falopitas"
    else:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"falopitas-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    ours = not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o077)
    if not ours or not stat.S_ISDIR(state.st_mode):
        raise UnsafeFolder(str(folder))
    return folder


def socket_path(home: Path, name: str) -> Path:
    """Where the engine ``name`` of the data folder ``home`` listens. Raises UnsafeFolder."""
    digest = hashlib.sha256(f"{home.resolve()}\0{name}".encode()).hexdigest()[:16]
    return runtime_folder() / f"{digest}.sock"
