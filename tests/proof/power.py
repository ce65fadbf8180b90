"""R3: the power goes at any moment; every sector that was not synced may be there or not.

The real transaction functions and the real group commit run on an APSW connection whose VFS keeps, beside
each file, what is certainly on the disk: its content at the last sync. At random moments an *image* is taken:
the synced content plus any subset of the 512-byte sectors written since (as SQLite's own power-safe-overwrite
assumption has it, a write harms no neighbour). Each image is then opened by the real start of the real
storage, which must find whole pages, sound books and every acknowledged job.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import apsw

from storage import accounts, group, jobs, ledger, opening
from storage.group import Member
from storage.refusal import Refusal
from tests.proof.frame import Played, Proof, memory
from tests.storage import people

SECTOR = 512
GROUPS = 14
"""Groups committed on one disk, each of 1 to 6 transactions."""
IMAGES = 20
"""Images taken of one disk, about."""
CHECKPOINTS = (12, 60, 2_000, 2_000)
"""Pages of WAL until a checkpoint, by turns: they decide how much NORMAL loses."""

Write = tuple[int, bytes]
"""Offset and data; a truncation is (size, b"")."""


@dataclass(slots=True)
class Shadow:
    """One file: ``synced`` is certain, ``pending`` was written since."""

    synced: bytes = b""
    pending: list[Write] = field(default_factory=list)

    def sync(self) -> None:
        self.synced = _apply(self.synced, self.pending)
        self.pending.clear()

    def image(self, rng: random.Random, share: float) -> bytes:
        """What is found after the power comes back: of the pending sectors each by chance."""
        return _apply(
            self.synced, [w for each in self.pending for w in _sectors(each) if rng.random() < share]
        )


def _sectors(write: Write) -> list[Write]:
    offset, data = write
    if not data:
        return [write]
    cuts = [offset, *range((offset // SECTOR + 1) * SECTOR, offset + len(data), SECTOR), offset + len(data)]
    return [(a, data[a - offset : b - offset]) for a, b in pairwise(cuts)]


def _apply(content: bytes, writes: list[Write]) -> bytes:
    changed = bytearray(content)
    for offset, data in writes:
        if not data:
            del changed[offset:]
            continue
        changed.extend(bytes(max(0, offset - len(changed))))
        changed[offset : offset + len(data)] = data
    return bytes(changed)


class _File(apsw.VFSFile):
    """A real file whose writes are also noted."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.disk = disk
        self.shadow = disk.files.setdefault(Path(path).name, Shadow())

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - APSW's name
        super().xWrite(data, offset)
        self.shadow.pending.append((offset, bytes(data)))
        self.disk.moment()

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self.shadow.pending.append((size, b""))
        self.disk.moment()

    def xSync(self, flags: int) -> None:  # noqa: N802 - the real disk need not sync
        self.disk.moment()
        self.shadow.sync()


@dataclass(frozen=True, slots=True)
class Image:
    """The disk after a cut, and what had been acknowledged by then: the status that each job must have."""

    files: dict[str, bytes]
    acknowledged: dict[int, str]


class Disk(apsw.VFS):
    """The VFS of one run; takes images at random moments once ``chance`` is set."""

    def __init__(self, rng: random.Random) -> None:
        self.label = f"power-{id(self):x}"
        super().__init__(self.label, base="")
        self.rng = rng
        self.files: dict[str, Shadow] = {}
        self.acknowledged: dict[int, str] = {}
        self.images: list[Image] = []
        self.chance = 0.0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return apsw.VFSFile("", name, flags) if name is None else _File(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        super().xDelete(name, sync)
        self.files.pop(Path(name).name, None)

    def moment(self) -> None:
        if self.rng.random() < self.chance:
            self.cut()

    def cut(self) -> None:
        """Take an image of this moment."""
        share = self.rng.choice((0.0, 0.1, 0.5, 0.9, 0.95))
        files = {name: shadow.image(self.rng, share) for name, shadow in self.files.items()}
        self.images.append(Image(files, dict(self.acknowledged)))


def _work(tx: sqlite3.Connection, rng: random.Random) -> tuple[int, str] | None:
    """One random durable transaction; what is acknowledged when it returned: a job and its status."""
    job: jobs.Job | None
    draw = rng.random()
    if draw < 0.5:
        person = accounts.meet(tx, f"test:{rng.randrange(8)}", "en", people.NOW, grant=10**8).id
        return jobs.submit(tx, people.ask(person), people.NOW, limit=10**6).id, ""
    if draw < 0.6:
        waiting = tx.execute("SELECT id FROM job WHERE status = 'queued' ORDER BY id DESC LIMIT 1").fetchone()
        job = jobs.cancel(tx, waiting[0], people.NOW) if waiting else None
    else:
        job = jobs.claim(tx, "engine", people.NOW)
        if job is not None and draw < 0.9:
            kept = people.drawn(job, rng.randrange(5))
            job = jobs.settle(tx, job.id, job.attempt, kept, 1.0, people.NOW)
        elif job is not None:
            job = None
    return None if job is None else (job.id, job.status.value)


def run(path: Path, rng: random.Random, *, durable: bool, pages: int) -> list[Image]:
    """Commit ``GROUPS`` groups on a disk, with a checkpoint after so many ``pages`` of WAL; return the images
    that were taken meanwhile."""
    disk = Disk(rng)
    connection = apsw.Connection(str(path), vfs=disk.label)
    tx = cast("sqlite3.Connection", connection)
    opening.prepare(tx)
    connection.execute(f"PRAGMA wal_autocheckpoint = {pages:d}").fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for shadow in disk.files.values():
        shadow.sync()
    disk.chance = IMAGES / (GROUPS * 32)
    for _ in range(GROUPS):
        waiting: deque[Member[Any]] = deque(
            Member(lambda tx: _work(tx, rng), durable) for _ in range(rng.randint(1, 6))
        )
        for member in group.run_group(tx, waiting):
            if member.error is not None:
                raise member.error
            if member.value is not None:
                disk.acknowledged[member.value[0]] = member.value[1]
        disk.moment()
    disk.cut()
    disk.chance = 0.0
    connection.close()
    return disk.images


def judge(image: Image, folder: Path) -> str:
    """What is wrong with an image: "inconsistent …", "lost …", or nothing."""
    for name, content in image.files.items():
        if not name.endswith("-journal"):
            (folder / name).write_bytes(content)
    try:
        connection = opening.connect(folder / "falopitas.db")
    except Refusal as refusal:
        return f"inconsistent: {refusal.code} {refusal.values}"
    problems = ledger.audit(connection)
    (whole,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    found = dict(connection.execute("SELECT id, status FROM job").fetchall())
    owed = {job for (job,) in connection.execute("SELECT job FROM outbox").fetchall()}
    ended = {job for job, status in found.items() if status in ("done", "failed")}
    connection.close()
    for leftover in folder.iterdir():
        leftover.unlink()
    if problems or whole != "ok" or owed != ended:
        return f"inconsistent: {problems} {whole} {owed ^ ended}"
    lost = [
        j for j, status in image.acknowledged.items() if j not in found or (status and found[j] != status)
    ]
    return f"lost: {lost}" if lost else ""


def play(seed: int, control: bool) -> Played:
    """One disk and its images. The control commits everything under synchronous=NORMAL."""
    rng, pages = random.Random(seed), CHECKPOINTS[seed % len(CHECKPOINTS)]
    with tempfile.TemporaryDirectory(prefix="falopitas-r3-", dir=memory()) as folder:
        place = Path(folder) / "image"
        place.mkdir()
        images = run(Path(folder) / "falopitas.db", rng, durable=not control, pages=pages)
        wrong = tuple(filter(None, (judge(image, place) for image in images)))
    if control and any(each.startswith("inconsistent") for each in wrong):
        raise AssertionError(f"NORMAL may lose, but must stay whole: {wrong}")
    return Played(len(images), wrong)


POWER = Proof(
    "R3", "after a power cut nothing is inconsistent and nothing acknowledged is lost", 20_000, "images",
    play, control_rounds=500, control_rate=0.3,
)  # fmt: skip
