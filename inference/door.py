"""Where a process of ours is spoken to: a Unix socket in a folder that only its owner may enter, else a port
of the loopback. An engine has one, and so has a bot that runs. Whoever comes in says a token first, which
stands in a file for the owner alone: a port has no other protection. Imports no tensors.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

LONGEST = 100
"""Bytes of a socket's path: 104 on macOS, 108 on Linux, with the end."""
_NAME = "engine-0123456789abcdef.sock"
"""As long as the longest name of a socket that lies there."""

Accept: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class UnsafeFolder(Exception):  # noqa: N818 - it says what is wrong
    """The folder for sockets is somebody else's, or no folder."""


@dataclass(frozen=True, slots=True)
class Door:
    """An open one. ``address`` is ``unix:PATH`` or ``tcp:HOST:PORT``."""

    server: asyncio.Server
    address: str

    def close(self) -> None:
        """Let nobody else in."""
        self.server.close()
        kind, _, where = self.address.partition(":")
        if kind == "unix":
            with contextlib.suppress(OSError):  # the next one who listens there takes its place
                Path(where).unlink(missing_ok=True)


def folder(home: Path) -> Path:
    """The folder for the sockets of data folder ``home``, mode 0700: in it, or, where a path would be too
    long, a temporary one that belongs to it. Raises UnsafeFolder, OSError.
    """
    near = home.absolute() / "run"
    if len(os.fsencode(near / _NAME)) > LONGEST:
        mark = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:12]
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        near = Path(base if os.access(base, os.W_OK) else tempfile.gettempdir()) / f"falopitas-{mark}"
    near.mkdir(mode=0o700, exist_ok=True)
    _must_be_ours(near)
    return near


def _must_be_ours(there: Path) -> None:
    """A folder of that name that somebody else made is no place for a socket."""
    if not hasattr(os, "getuid"):
        return
    facts = there.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        raise UnsafeFolder(str(there))
    if stat.S_IMODE(facts.st_mode) != 0o700:
        there.chmod(0o700)


def socket_path(home: Path, name: str) -> Path:
    """Where ``name`` of data folder ``home`` listens. Raises UnsafeFolder, OSError."""
    return folder(home) / f"{name}.sock"


async def listen(accept: Accept, path: Path | None, port: int = 0) -> Door:
    """Listen on the Unix socket ``path``; without one, or on a system or a disk that has none (a folder that
    a virtual machine shares), on ``port`` of 127.0.0.1 (0: any free one).
    """
    if path is not None and hasattr(asyncio, "start_unix_server"):
        with contextlib.suppress(NotImplementedError, OSError):
            return Door(await _unix(accept, path), f"unix:{path}")
    server = await asyncio.start_server(accept, "127.0.0.1", port)
    number = server.sockets[0].getsockname()[1]
    return Door(server, f"tcp:127.0.0.1:{number}")


async def _unix(accept: Accept, path: Path) -> asyncio.Server:
    """Its owner's alone, as the folder is that it lies in: nobody else reaches it before it is."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - a name in a folder of our own
    server = await asyncio.start_unix_server(accept, path)
    try:  # not by umask: that is every thread's, and every task's meanwhile
        path.chmod(0o600)  # noqa: ASYNC240 - one call
    except OSError:
        server.close()
        raise
    return server


def key() -> str:
    """A new token."""
    return secrets.token_urlsafe(32)


def fits(said: str, token: str) -> bool:
    """Is that the token? Compared in a time that tells nothing of it."""
    return secrets.compare_digest(said.encode(errors="replace"), token.encode())


async def dial(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the door at ``address``. Raises OSError, ValueError."""
    kind, _, where = address.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(where)
    host, _, port = where.rpartition(":")
    return await asyncio.open_connection(host, int(port))
