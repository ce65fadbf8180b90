"""R19: a damaged database is a refusal or harmless: never a traceback, never a start on bad books."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

from storage import (
    accounts,
    backup,
    disk,
    forget,
    gallery,
    jobs,
    ledger,
    opening,
    policy,
    sanctions,
)
from storage.refusal import Refusal
from tests.proof.frame import Played, Proof, memory
from tests.storage import life, people

BATCH = 25
"""Damaged files of one seed."""
PAGE = 4_096
REFUSALS = {"database_corrupt", "database_newer", "backup_bad"}

Tx = sqlite3.Connection
Spoil = Callable[[bytearray, random.Random], None]


@lru_cache(maxsize=1)
def sound() -> bytes:
    """The bytes of a database in which people live."""
    with tempfile.TemporaryDirectory(prefix="falopitas-r19-", dir=memory()) as folder:
        path = Path(folder) / "falopitas.db"
        with closing(opening.connect(path)) as tx:
            tx.execute("BEGIN")
            life.live(tx, 12)
            tx.execute("COMMIT")
            tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return path.read_bytes()


# --- on the disk


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 3, 30))):
        data[rng.randrange(len(data))] = rng.randrange(256)


def _bits(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def _blank(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) // 512) * 512
    data[at : at + 512 * rng.choice((1, 8))] = bytes(512 * rng.choice((1, 8)))


def _page(data: bytearray, rng: random.Random) -> None:
    """A page in the place of another: a lost or a misdirected write."""
    one, other = (rng.randrange(len(data) // PAGE) * PAGE for _ in range(2))
    data[one : one + PAGE] = data[other : other + PAGE]


def _head(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(100)] = rng.randrange(256)


ON_DISK: dict[str, Spoil] = {
    "flipped bytes": _flip, "a flipped bit": _bits, "cut": _cut, "blank sectors": _blank,
    "a page of another place": _page, "header": _head,
}  # fmt: skip

# --- pages are whole and the books are not

COOKED = {
    "a balance": "UPDATE account SET balance = balance + 1 WHERE id = (SELECT min(id) FROM account)",
    "a price": "UPDATE job SET price = price + 4000 WHERE id = (SELECT min(id) FROM job WHERE price > 0)",
    "pictures": "UPDATE job SET arrived = arrived + 1 WHERE id = (SELECT min(id) FROM job WHERE arrived > 0)",
    "a window": "UPDATE meter SET spent = spent + 1000",
    "what was given": "UPDATE purse SET extra = extra + 1000",
    "a picture of no job": "UPDATE piece SET job = 10000 WHERE id = (SELECT min(id) FROM piece)",
    "an entry of no job": "UPDATE ledger SET job = 10000 WHERE id = (SELECT max(id) FROM ledger WHERE job)",
    "a failure that was paid": "UPDATE job SET status = 'failed' WHERE status = 'done'",
}


def _cook(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as tx:
        for (name,) in tx.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            tx.execute(f"DROP TRIGGER {name}")
        tx.execute(sql)


# --- what it comes to


def _read(tx: Tx) -> None:
    """What a bot asks of it in its first minutes."""
    who = accounts.find(tx, life.WHO)
    if who is not None:
        accounts.get(tx, who)
        jobs.mine(tx, who, 50)
        gallery.mine(tx, who, 50)
        ledger.entries(tx, who, 50)
        forget.everything(tx, who)
        sanctions.of_account(tx, life.TOWN.community, who, people.NOW)
    policy.counts(tx, life.TOWN.community)
    jobs.running(tx)


def _outcome(path: Path) -> str:
    """What is wrong with how this file is met; nothing if it is refused, or sound."""
    before = path.read_bytes()
    with suppress(Refusal):
        opening.examine(path)
    try:
        backup.verify(path)
    except Refusal as refusal:
        if refusal.code not in REFUSALS:
            return f"a backup is refused as {refusal.code}"
    if path.read_bytes() != before:
        return "a look changed it"
    try:
        return _started(path)
    except Refusal as refusal:
        return "" if refusal.code in REFUSALS else f"refused as {refusal.code}"


def _started(path: Path) -> str:
    """What is wrong after a start. Raises the Refusal of one that was refused, at once or (a big file) by the
    look beside the work.
    """
    with closing(opening.connect(path)) as tx:
        if not opening.EXAMINED:
            opening.examine(path)
        problems = people.audit(tx)
        try:
            _read(tx)
        except sqlite3.Error as error:  # as every read of the bot does
            raise disk.refusal_of(error) from error
    return f"a start on bad books: {problems[0]}" if problems else ""


def one(path: Path, rng: random.Random) -> str:
    """Spoil a sound file at ``path`` and meet it; what went wrong."""
    data = bytearray(sound())
    kind = rng.choice([*ON_DISK, *COOKED])
    if kind in ON_DISK:
        ON_DISK[kind](data, rng)
    path.write_bytes(data)
    if kind in COOKED:
        _cook(path, COOKED[kind])
    try:
        wrong = _outcome(path)
    except Exception as error:  # noqa: BLE001 - whatever comes here is a traceback to somebody
        wrong = f"{type(error).__name__}: {error}"
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return f"{kind}: {wrong}" if wrong else ""


def play(seed: int, control: bool) -> Played:
    """``BATCH`` damaged files; as the control, met by a bot that does not look at them."""
    rng = random.Random(seed)
    blind = [patch.object(opening, look, lambda _: None) for look in ("check_pages", "check_rows")]
    with (
        patch.object(opening, "EXAMINED", rng.choice((0, opening.EXAMINED, opening.EXAMINED))),
        tempfile.TemporaryDirectory(prefix="falopitas-r19-", dir=memory()) as folder,
        blind[0] if control else nullcontext(),
        blind[1] if control else nullcontext(),
    ):
        found = [one(Path(folder) / "falopitas.db", rng) for _ in range(BATCH)]
    return Played(BATCH, tuple(wrong for wrong in found if wrong))


DAMAGE = Proof(
    "R19", "a damaged database is a refusal or harmless: no traceback, no start on bad books", 5_000, "files",
    play, control_rounds=200, control_rate=0.3,
)  # fmt: skip
