"""The data folder: where everything lies, who is in it, and the short folder for sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from storage.database import refusal_of
from storage.refusal import Refusal

LONGEST_SOCKET = 100
"""Bytes of a socket's path: 104 on macOS, 108 on Linux, with the end."""
_NAME = "engine-0123456789abcdef.sock"
"""As long as the longest name of a socket that lies there."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths inside one data folder."""

    data: Path

    @property
    def database(self) -> Path:
        """The one file to back up, with ``pictures``."""
        return self.data / "falopitas.sqlite3"

    @property
    def pictures(self) -> Path:
        """Finished pictures by content hash."""
        return self.data / "pictures"

    @property
    def logs(self) -> Path:
        """Log files, rotated."""
        return self.data / "logs"

    @property
    def backups(self) -> Path:
        """Copies of the database, made by the clock."""
        return self.data / "backups"

    def make(self) -> None:
        """Make the folder, for its owner only. Raises Refusal (data_read_only, disk_full …)."""
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.data / f".probe-{os.getpid()}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise refusal_of(error) from error

    def runtime(self) -> Path:
        """The folder for sockets (0700, short): in the data folder, or a temporary one that belongs to it."""
        near = self.data.absolute() / "run"
        if len(os.fsencode(near / _NAME)) > LONGEST_SOCKET:
            mark = hashlib.sha256(os.fsencode(self.data.absolute())).hexdigest()[:12]
            base = os.environ.get("XDG_RUNTIME_DIR", "")
            near = Path(base if os.access(base, os.W_OK) else tempfile.gettempdir()) / f"falopitas-{mark}"
        near.mkdir(mode=0o700, exist_ok=True)
        _must_be_ours(near)
        return near

    def lock(self) -> IO[str]:
        """Hold the folder until the file is closed. Raises Refusal already_running if another bot does."""
        try:
            file = (self.data / "bot.lock").open("a+", encoding="ascii")
        except OSError as error:
            raise refusal_of(error) from error
        try:
            _lock(file)
        except OSError:
            pid = _content(file)
            file.close()
            raise Refusal("already_running", pid=pid, folder=str(self.data)) from None
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        return file


def _content(file: IO[str]) -> str:
    with contextlib.suppress(OSError):
        file.seek(0)
        return file.read(20).strip() or "?"
    return "?"


def _must_be_ours(folder: Path) -> None:
    """A folder of that name that somebody else made is no place for a socket."""
    if not hasattr(os, "getuid"):
        return
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise Refusal("data_read_only", detail=str(folder))
    if stat.S_IMODE(facts.st_mode) != 0o700:
        folder.chmod(0o700)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        """Lock a byte far behind the end, so that the content stays readable."""
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
