"""The data folder: where everything lies, who is in it, and the short folder for sockets."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from inference import door
from storage.disk import refusal_of
from storage.refusal import Refusal


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
        """Make the folder, for its owner only. Raises Refusal (folder_read_only, folder_full …)."""
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.data / f".probe-{os.getpid()}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise naming(self.data, refusal_of(error)) from error

    def runtime(self) -> Path:
        """The folder for sockets, also its engines'. Raises Refusal data_read_only, disk_full …"""
        try:
            return door.folder(self.data)
        except door.UnsafeFolder as unsafe:
            raise Refusal("data_read_only", detail=str(unsafe)) from unsafe
        except OSError as error:
            raise refusal_of(error) from error

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


def naming(folder: Path, error: Exception) -> Exception:
    """A disk's refusal as whoever gave a command is told of it: which folder, and nothing of a price."""
    match error:
        case Refusal(code="data_read_only"):
            return Refusal("folder_read_only", folder=str(folder))
        case Refusal(code="disk_full"):
            return Refusal("folder_full", folder=str(folder))
        case _:
            return error
