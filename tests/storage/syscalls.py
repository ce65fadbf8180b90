"""Makes the disk fail under the real sqlite3: replaces system calls in SQLite's own unix VFS.

SQLite lets a test swap every call it makes (``xSetSystemCall`` of ``sqlite3_vfs``, version 3). The library
that Python's ``sqlite3`` uses is reached through the extension module that is linked to it.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_Set = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_Get = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_METHODS = (
    "xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose",
    "xRandomness", "xSleep", "xCurrentTime", "xGetLastError", "xCurrentTimeInt64",
)  # fmt: skip


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int), ("szOsFile", ctypes.c_int), ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p), ("zName", ctypes.c_char_p), ("pAppData", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in _METHODS),
        ("xSetSystemCall", _Set), ("xGetSystemCall", _Get), ("xNextSystemCall", ctypes.c_void_p),
    ]  # fmt: skip


_KINDS: dict[str, Any] = {
    "pwrite64": ctypes.CFUNCTYPE(
        ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, use_errno=True
    ),
    "pread64": ctypes.CFUNCTYPE(
        ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, use_errno=True
    ),
    "ftruncate": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64, use_errno=True),
    "open": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, use_errno=True),
}


def _vfs() -> Any:
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    return library.sqlite3_vfs_find(None)


def can_fail() -> bool:
    """Can system calls be replaced here? (Linux, sqlite3 not linked statically.)"""
    try:
        vfs = _vfs().contents
    except (AttributeError, OSError):
        return False
    return bool(vfs.iVersion >= 3 and vfs.zName == b"unix" and vfs.xGetSystemCall(_vfs(), b"pwrite64"))


@dataclass(slots=True)
class Fault:
    """Call number ``at`` (from 0) of the watched one fails with ``errno``, and all after it if ``stays``."""

    errno: int
    at: int = 0
    stays: bool = True
    calls: int = 0
    armed: bool = False
    hit: bool = False
    _kept: list[Any] = field(default_factory=list)

    def fails(self) -> bool:
        if not self.armed:
            return False
        number, self.calls = self.calls, self.calls + 1
        failing = number == self.at or (self.stays and number > self.at)
        self.hit |= failing
        return failing


@contextmanager
def failing(call: str, fault: Fault) -> Iterator[Fault]:
    """While this is open, SQLite's ``call`` fails as ``fault`` says, once ``fault.armed``."""
    vfs = _vfs()
    kind = _KINDS[call]
    original = kind(vfs.contents.xGetSystemCall(vfs, call.encode()))

    def replaced(*arguments: Any) -> int:
        if fault.fails():
            ctypes.set_errno(fault.errno)
            return -1
        return int(original(*arguments))

    hook = kind(replaced)
    fault._kept.append(hook)
    assert (
        vfs.contents.xSetSystemCall(vfs, call.encode(), ctypes.cast(hook, ctypes.c_void_p))
        == sqlite3.SQLITE_OK
    )
    try:
        yield fault
    finally:
        vfs.contents.xSetSystemCall(vfs, call.encode(), ctypes.cast(original, ctypes.c_void_p))
