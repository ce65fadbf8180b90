"""R20: a copy taken while the bot serves is one sound moment, and so is what is restored from it."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path

from storage import backup, ledger, opening
from storage.refusal import Refusal
from tests.proof.frame import Played, Proof, memory
from tests.storage import people

COPIES = 10
"""Copies of one database, which goes on meanwhile."""
CAP = 8_000
"""Jobs after which it rests: copies must stay small."""


class Serving:
    """A database that is written to all the time, by its one writer on a thread."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path, self.acknowledged = path, 0
        self._rng, self._over = rng, threading.Event()
        opening.connect(path).close()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Serving:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        with closing(opening.connect(self.path)) as tx:
            while not self._over.is_set():
                if self.acknowledged >= CAP:
                    self._over.wait(0.01)
                    continue
                tx.execute("BEGIN IMMEDIATE")
                for _ in range(self._rng.randint(1, 5)):
                    busy(tx, self._rng)
                tx.execute("COMMIT")
                (done,) = tx.execute("SELECT count(*) FROM job").fetchone()
                self.acknowledged = int(done)
                if self._rng.random() < 0.05:
                    tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def busy(tx: sqlite3.Connection, rng: random.Random) -> None:
    """One job from its ask to its end."""
    me = people.meet(tx, f"discord:{rng.randrange(9)}", grant=10**9)
    people.done(tx, me, 1 + rng.randrange(4), grid=rng.random() < 0.5)


def _judged(copy: Path, target: Path, before: int, after: int) -> str:
    """Restore it and look; what is wrong."""
    try:
        backup.restore(copy, target, "before")
        with closing(opening.connect(target)) as tx:
            (verdict,) = tx.execute("PRAGMA integrity_check").fetchone()
            problems = people.audit(tx)
            (found,) = tx.execute("SELECT count(*) FROM job").fetchone()
            busy(tx, random.Random(1))
            problems += ledger.audit(tx)
    except (Refusal, sqlite3.Error) as error:
        return f"{type(error).__name__}: {error}"
    if verdict != "ok":
        return f"integrity: {verdict}"
    if problems:
        return problems[0]
    return (
        "" if before <= found <= after else f"{found} jobs; there were {before} before it, {after} after it"
    )


def play(seed: int, control: bool) -> Played:
    """``COPIES`` of one database; as the control, its file copied as any file is."""
    rng = random.Random(seed)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="falopitas-r20-", dir=memory()) as name:
        folder = Path(name)
        with Serving(folder / "live.db", random.Random(seed + 10**6)) as serving:
            for _ in range(COPIES):
                threading.Event().wait(rng.random() * 0.05)
                before = serving.acknowledged
                copy = folder / "copy.db"
                if control:
                    shutil.copyfile(serving.path, copy)
                else:
                    backup.copy(serving.path, copy, rest=rng.choice((0.0, 0.001)))
                wrong.append(_judged(copy, folder / "restored.db", before, serving.acknowledged + 5))
    return Played(COPIES, tuple(each for each in wrong if each))


COPIED = Proof(
    "R20", "a copy taken while it serves, restored, is one sound moment of it", 1_000, "backups", play,
    control_rounds=50, control_rate=0.3,
)  # fmt: skip
