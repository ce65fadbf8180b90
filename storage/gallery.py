"""Finished pictures: rows with their recipe, and files under their SHA-256.

The order keeps both true. A picture's file is written, synced and in place before its row is committed; its
row is deleted and committed before its file goes. So a row always has its file, and a file without a row is
only ever a leftover, which ``Files.sweep`` removes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from inference.request import Request
from storage.disk import refusal_of
from storage.refusal import Refusal

if sys.platform == "darwin":
    import fcntl

GRID = -1
"""The ``index`` of the one image that shows all pictures of a job together."""
FRESH = 600.0
"""Seconds for which a file that was just kept is safe from being swept: its row may not be there yet."""
OTHERS = 8
"""Other pictures that are read before a whole disk is blamed for one that cannot be."""

log = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture whose file is in the folder: ``size`` in bytes, ``preview`` a WebP, index -1 the grid."""

    digest: str
    preview: bytes
    index: int
    seed: int
    width: int
    height: int
    size: int
    unsafe: float | None = None
    """The chance that it is for adults only, by a safety check; None: nobody looked."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture in the gallery; ``request`` is what it was drawn from, as part of its ``job``."""

    id: int
    job: int
    account: int
    index: int
    digest: str
    seed: int
    width: int
    height: int
    starred: bool
    created: float
    request: Request


_SELECT = """
    SELECT piece.id, piece.job, piece.account, piece.number, piece.digest, piece.seed, piece.width,
        piece.height, piece.starred, piece.created, job.request
    FROM piece JOIN job ON job.id = piece.job """
_request = msgspec.json.Decoder(Request)


def _piece(row: tuple[object, ...]) -> Piece:
    try:
        request = _request.decode(str(row[10]))
    except msgspec.DecodeError:  # a newer program's, or damaged: it must not hide the others
        request = Request(prompt="?")
    fields = (*row[:8], bool(row[8]), row[9], request)
    return Piece(*fields)  # type: ignore[arg-type]  # a STRICT table: the columns have these types


# --- rows


def hang(tx: sqlite3.Connection, job_id: int, account_id: int, kept: Iterable[Kept], now: float) -> None:
    """Add the pictures of a job, whose files are in the folder (called by ``jobs.settle``)."""
    tx.executemany(
        "INSERT INTO piece (job, account, number, digest, seed, width, height, size, created, preview, "
        "unsafe) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                job_id,
                account_id,
                k.index,
                k.digest,
                k.seed,
                k.width,
                k.height,
                k.size,
                now,
                k.preview,
                k.unsafe,
            )
            for k in kept
        ],
    )


def of_job(tx: sqlite3.Connection, job_id: int) -> tuple[Piece, ...]:
    """The pictures of a job in order, without its grid."""
    rows = tx.execute(
        f"{_SELECT} WHERE piece.job = ? AND piece.number >= 0 ORDER BY piece.number", (job_id,)
    ).fetchall()
    return tuple(_piece(row) for row in rows)


def piece(tx: sqlite3.Connection, job_id: int, index: int) -> Piece | None:
    """Picture ``index`` (from 0) of a job, or None if it never came or was deleted."""
    row = tx.execute(f"{_SELECT} WHERE piece.job = ? AND piece.number = ?", (job_id, index)).fetchone()
    return None if row is None else _piece(row)


def grid(tx: sqlite3.Connection, job_id: int) -> Piece | None:
    """The grid of a job, or None if it has none."""
    return piece(tx, job_id, GRID)


def verdict(tx: sqlite3.Connection, job_id: int, index: int | None = None) -> float | None:
    """The highest chance that a picture of a job (or that one) is for adults only; None: nobody looked."""
    sql = "SELECT max(unsafe) FROM piece WHERE job = ?1 AND number >= 0 AND (?2 IS NULL OR number = ?2)"
    (found,) = tx.execute(sql, (job_id, index)).fetchone()
    return None if found is None else float(found)


_HIDDEN = "job.shown = 'withheld'"
MINE_SQL = f"""{_SELECT}
    WHERE piece.account = ? AND piece.number >= 0 AND piece.id < ? AND NOT {_HIDDEN}
    ORDER BY piece.id DESC LIMIT ?"""
STARRED_SQL = f"""{_SELECT}
    WHERE piece.account = ? AND piece.number >= 0 AND piece.starred = 1 AND piece.id < ? AND NOT {_HIDDEN}
    ORDER BY piece.id DESC LIMIT ?"""
_LAST = 2**63 - 1


def mine(
    tx: sqlite3.Connection, account_id: int, limit: int, before_id: int | None = None, starred: bool = False
) -> tuple[Piece, ...]:
    """The newest ``limit`` pictures of an account with ids below ``before_id``, newest first, no grids."""
    before = _LAST if before_id is None else before_id
    rows = tx.execute(STARRED_SQL if starred else MINE_SQL, (account_id, before, limit)).fetchall()
    return tuple(_piece(row) for row in rows)


def preview(tx: sqlite3.Connection, digest: str) -> bytes:
    """The small WebP of a picture. Raises Refusal picture_gone."""
    row = tx.execute("SELECT preview FROM piece WHERE digest = ? LIMIT 1", (digest,)).fetchone()
    if row is None:
        raise Refusal("picture_gone")
    return bytes(row[0])


def owns(tx: sqlite3.Connection, account_id: int, digest: str) -> bool:
    """Whether a picture or grid with this digest hangs in the account's own gallery, and may be seen."""
    row = tx.execute(
        f"SELECT 1 FROM piece JOIN job ON job.id = piece.job WHERE digest = ? AND piece.account = ? "  # noqa: S608
        f"AND NOT {_HIDDEN} LIMIT 1",
        (digest, account_id),
    )
    return row.fetchone() is not None


def hidden(tx: sqlite3.Connection, digest: str) -> bool:
    """Is it held back wherever it hangs?"""
    sql = f"SELECT min({_HIDDEN}) FROM piece JOIN job ON job.id = piece.job WHERE digest = ?"  # noqa: S608
    (every,) = tx.execute(sql, (digest,)).fetchone()
    return bool(every)


def star(tx: sqlite3.Connection, piece_id: int, on: bool) -> None:
    """Mark a picture as a favourite, or not: favourites are never expired. A grid cannot be one."""
    tx.execute("UPDATE piece SET starred = ? WHERE id = ? AND number >= 0", (int(on), piece_id))


def delete(tx: sqlite3.Connection, job_id: int) -> tuple[str, ...]:
    """Take a job's pictures, and the one it began from if somebody sent it, out of the gallery; return the
    digests that nobody uses any more.

    Give these to ``Files.remove`` once this is committed, never before.
    """
    rows = tx.execute("DELETE FROM piece WHERE job = ? RETURNING digest", (job_id,)).fetchall()
    rows += tx.execute("DELETE FROM upload WHERE job = ? RETURNING digest", (job_id,)).fetchall()
    return _unused(tx, {digest for (digest,) in rows})


@dataclass(frozen=True, slots=True)
class Old:
    """A picture or grid that is nobody's favourite, and where it was asked for."""

    id: int
    created: float
    community: str
    channel: str


OLD_SQL = """
    SELECT piece.id, piece.created, job.community, job.channel FROM piece JOIN job ON job.id = piece.job
    WHERE piece.starred = 0 AND (piece.created, piece.id) > (?, ?) AND piece.created < ?
    ORDER BY piece.created, piece.id LIMIT ?
"""


def old(tx: sqlite3.Connection, before: float, limit: int, after: Old | None = None) -> tuple[Old, ...]:
    """The oldest ``limit`` that were made before ``before`` (Unix s), beginning behind ``after``."""
    begin = (-1.0, 0) if after is None else (after.created, after.id)
    return tuple(Old(*row) for row in tx.execute(OLD_SQL, (*begin, before, limit)).fetchall())


def expire(tx: sqlite3.Connection, ids: Sequence[int]) -> tuple[str, ...]:
    """Take these out, but for what became a favourite meanwhile; as ``delete``."""
    rows = tx.execute(
        "DELETE FROM piece WHERE id IN (SELECT value FROM json_each(?)) AND starred = 0 RETURNING digest",
        (msgspec.json.encode(ids).decode(),),
    ).fetchall()
    return _unused(tx, {digest for (digest,) in rows})


def keep_upload(tx: sqlite3.Connection, job_id: int, account_id: int, digest: str, *, sent: bool) -> None:
    """A job begins from a picture that its account ``sent``, now or for an earlier job.

    Nobody else's job holds it: it goes when those of its sender do.
    """
    tx.execute(
        "INSERT INTO upload (job, digest) SELECT ?1, ?2 WHERE ?3 OR EXISTS (SELECT 1 FROM upload "
        "JOIN job ON job.id = upload.job WHERE upload.digest = ?2 AND job.account = ?4)",
        (job_id, digest, sent, account_id),
    )


def expire_uploads(tx: sqlite3.Connection, before: float) -> tuple[str, ...]:
    """Let go of what people sent for jobs that ended before ``before`` and have no picture; as ``delete``."""
    rows = tx.execute(
        "DELETE FROM upload WHERE job IN (SELECT upload.job FROM upload JOIN job ON job.id = upload.job "
        "WHERE job.finished < ? AND NOT EXISTS (SELECT 1 FROM piece WHERE piece.job = job.id)) "
        "RETURNING digest",
        (before,),
    ).fetchall()
    return _unused(tx, {digest for (digest,) in rows})


def _unused(tx: sqlite3.Connection, digests: set[str]) -> tuple[str, ...]:
    used = "SELECT 1 FROM piece WHERE digest = ?1 UNION ALL SELECT 1 FROM upload WHERE digest = ?1 LIMIT 1"
    return tuple(each for each in sorted(digests) if tx.execute(used, (each,)).fetchone() is None)


def digests(tx: sqlite3.Connection) -> set[str]:
    """Every digest that a row uses."""
    rows = tx.execute("SELECT digest FROM piece UNION SELECT digest FROM upload").fetchall()
    return {str(digest) for (digest,) in rows}


# --- files


@dataclass(slots=True)
class Files:
    """The picture folder: ``ab/abcdef….png`` under its SHA-256. Disk errors become Refusals."""

    folder: Path
    _fresh: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Between "is it fresh?" and its unlink no file gets its name, and nothing becomes fresh."""

    async def keep(self, data: bytes) -> str:
        """Store ``data`` so that it survives a power cut when this returns; return its SHA-256.

        It is safe from ``remove`` and ``sweep`` for ten minutes or until ``settled``.
        """
        digest = hashlib.sha256(data).hexdigest()
        try:
            await asyncio.to_thread(self._store, digest, data)
        except OSError as error:
            raise refusal_of(error) from error
        return digest

    def settled(self, digests: Iterable[str]) -> None:
        """The rows of these are committed (or never will be): the rows alone protect them from now on."""
        for digest in digests:
            self._fresh.pop(digest, None)  # one step of the interpreter: no lock, the loop waits for no disk

    async def load(self, digest: str) -> bytes:
        """The bytes under ``digest``. Raises Refusal picture_gone if missing or damaged, picture_unreadable
        if it cannot be read now while others can, disk_error … if none can; so it is where the whole folder
        is away."""
        try:
            data = await asyncio.to_thread(self.path(digest).read_bytes)
        except FileNotFoundError:
            away = not await asyncio.to_thread(self.folder.is_dir)
            raise Refusal("disk_error", detail="ENOENT") if away else Refusal("picture_gone") from None
        except OSError as error:
            alone = await asyncio.to_thread(self._others_read, digest)
            raise Refusal("picture_unreadable") if alone else refusal_of(error) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise Refusal("picture_gone")
        return data

    def _others_read(self, digest: str) -> bool:
        """Can another picture be read? Then the disk is there, and it is this one's file that ails."""
        try:
            others = (file for file in self.folder.glob("??/*.png") if file.stem != digest)
            return any(_reads(file) for file in islice(others, OTHERS))
        except OSError:
            return False

    async def gone(self, digest: str) -> bool:
        """Whether its file is no more; what cannot be looked at now is not gone."""
        return await asyncio.to_thread(lambda: self.folder.is_dir() and not self.path(digest).exists())

    def path(self, digest: str) -> Path:
        """Where a digest lies. Raises Refusal picture_gone for what is no digest: no text becomes a path."""
        if not _DIGEST.fullmatch(digest):
            raise Refusal("picture_gone")
        return self.folder / digest[:2] / f"{digest}.png"

    async def remove(self, digests: Sequence[str]) -> int:
        """Delete the files that ``gallery.delete`` or ``expire`` named; return how many went.

        One that was just kept again stays for the sweep: its new row may be on its way. So does one that the
        disk does not let go.
        """
        return await asyncio.to_thread(self._remove, digests)

    async def sweep(self, known: set[str], older_than: float) -> int:
        """Delete files that no row uses and half-written ones, changed before ``older_than`` (Unix s).

        ``known`` must be read after the newest file that ``older_than`` lets go was kept; at start, before
        anything is drawn, infinity is right. Returns how many went.
        """
        try:
            return await asyncio.to_thread(self._sweep, known, older_than)
        except OSError as error:
            raise refusal_of(error) from error

    def _is_fresh(self, digest: str) -> bool:
        until = self._fresh.get(digest)
        if until is not None and until <= time.monotonic():
            self._fresh.pop(digest, None)
            return False
        return until is not None

    def _store(self, digest: str, data: bytes) -> None:
        target = self.path(digest)
        self._make_folder(target.parent)
        if not self._is_there(target, digest, data):
            self._put(target, digest, data)
        _sync_folder(target.parent)

    def _is_there(self, target: Path, digest: str, data: bytes) -> bool:
        with self._lock, suppress(FileNotFoundError):
            if target.read_bytes() == data:
                os.utime(target)
                self._fresh[digest] = time.monotonic() + FRESH
                return True
        return False

    def _put(self, target: Path, digest: str, data: bytes) -> None:
        temporary = target.with_name(f".{digest}.{secrets.token_hex(4)}.part")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                _sync(file.fileno())
            with self._lock:
                temporary.replace(target)
                self._fresh[digest] = time.monotonic() + FRESH
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _make_folder(self, shard: Path) -> None:
        if not shard.exists():
            shard.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self.folder)
            _sync_folder(self.folder.parent)

    def _remove(self, digests: Sequence[str]) -> int:
        return sum(1 for digest in digests if self._unlink(self.path(digest), digest, float("inf")))

    def _sweep(self, known: set[str], older_than: float) -> int:
        return sum(1 for file, digest in self._leftovers(known) if self._unlink(file, digest, older_than))

    def _leftovers(self, known: set[str]) -> Iterator[tuple[Path, str]]:
        for file in sorted(self.folder.glob("??/*")):
            digest = file.name.removesuffix(".png")
            if file.name.endswith(".part") or (_DIGEST.fullmatch(digest) and digest not in known):
                yield file, digest

    def _unlink(self, file: Path, digest: str, older_than: float) -> bool:
        """Delete ``file`` if it is older and not fresh; False if it stays, also if the disk says so."""
        with self._lock:
            try:
                if self._is_fresh(digest) or file.stat().st_mtime >= older_than:
                    return False
                file.unlink()
            except FileNotFoundError:
                return False
            except OSError as error:  # open on Windows, read-only, a folder: the next sweep tries again
                log.warning("not deleted", extra={"action": "unlink", "code": str(error.errno)})
                return False
            return True


def _reads(file: Path) -> bool:
    """Does the disk, not the system's memory of it, still give what is in this file?"""
    try:
        with file.open("rb", buffering=0) as opened:
            if sys.platform == "linux":
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            opened.read()
    except OSError:
        return False
    return True


def _sync(handle: int) -> None:
    """Make what was written to ``handle`` survive a power cut."""
    if sys.platform == "darwin":  # there fsync alone leaves the data in the drive's own cache
        with suppress(OSError):  # not every file system of a Mac knows it
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    """Make a rename or a new name in ``folder`` survive a power cut; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
