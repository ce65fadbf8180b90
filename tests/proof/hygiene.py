"""R22: one connection commits, at the level that was asked for; what is deleted goes; the log stays small."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from storage import accounts, database, group, inbox, opening
from storage.database import Database
from tests.proof.frame import Played, Proof, memory
from tests.storage import people

WRITES = 400
"""Writes of one life, a third of them with a big payload."""
PAYLOAD = 48 * 1024
LOG = 3 * 2_000 * 4_120
"""Bytes of log that a life with short reads may come to: three times what begins a checkpoint."""
EVERY = {
    "foreign_keys": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "recursive_triggers": 1,
    "temp_store": 2,
}
WRITER = {"journal_mode": "wal", "secure_delete": 1, "wal_autocheckpoint": 2_000, "journal_size_limit": 2**26}

Tx = sqlite3.Connection


@dataclass
class Watched:
    """Every connection that was opened, and what went over it."""

    path: Path
    wrong: set[str] = field(default_factory=set)
    opened: list[Tx] = field(default_factory=list)
    writers: set[int] = field(default_factory=set)
    log: int = 0
    _level: str = ""
    _durable: bool = False

    def open(self, uri: str) -> Tx:
        connection = _opened(uri)
        number = len(self.opened)
        self.opened.append(connection)
        connection.set_trace_callback(lambda sql: self._see(number, sql))
        return connection

    def _see(self, number: int, sql: str) -> None:
        word = sql[:60]
        if word.startswith("PRAGMA synchronous"):
            self._level = word.rpartition(" ")[2]
        elif word.startswith("SELECT 'durable'"):
            self._durable = True
        elif word.startswith(("BEGIN IMMEDIATE", "PRAGMA wal_checkpoint")):
            self.writers.add(number)
        elif word == "COMMIT":
            self.writers.add(number)
            if self._durable and self._level != "FULL":
                self.wrong.add(f"a durable group was committed under {self._level}")
            self._durable = False
            log = self.path.with_name(self.path.name + "-wal")
            self.log = max(self.log, log.stat().st_size if log.exists() else 0)


_opened = opening._sqlite


def write(tx: Tx, event: str, secret: bytes, durable: bool) -> None:
    """An event with a payload, and the one before it done."""
    if durable:
        tx.execute("SELECT 'durable'").fetchall()
    inbox.accept(tx, "web", event, "web:1", secret, people.NOW)
    accounts.meet(tx, f"test:{event}", "en", people.NOW, grant=10)


async def _life(path: Path, rng: random.Random, *, held: bool) -> list[str]:
    watched = Watched(path)
    secrets = []
    with patch.object(opening, "_sqlite", watched.open):
        opened = await Database.open(path)
        holder = sqlite3.connect(path, isolation_level=None)
        for number in range(WRITES):
            secret = f"wish-{number:06d}-{rng.randrange(10**9)}".encode()
            secrets.append(secret)
            big = secret * (PAYLOAD // len(secret)) if number % 3 == 0 else secret
            durable = rng.random() < 0.3
            await opened.write(write, f"e{number}", big, durable, durable=durable)
            await opened.write(inbox.done, "web", f"e{number}")
            if rng.random() < 0.3:
                await asyncio.gather(*(opened.read(_look) for _ in range(3)))
            if held and number == 5:
                holder.execute("BEGIN")
                _look(holder)
        holder.close()
        wrong = await opened.read(_settings, EVERY)
        wrong += await opened.write(_settings, EVERY | WRITER)
        wrong += await _readers_write(opened)
        await opened.write(inbox.forget, people.NOW + 1)
        await opened.scrub()
        left = b"".join(each.read_bytes() for each in path.parent.iterdir())
        wrong += [f"{secret.decode()} was deleted and is there" for secret in secrets if secret in left][:3]
        await opened.close()
    if len(watched.writers) != 1:
        wrong.append(f"{len(watched.writers)} connections commit or checkpoint")
    if watched.log > LOG:
        wrong.append(f"a log of {watched.log / 1e6:.0f} MB")
    return [*wrong, *watched.wrong]


def _look(tx: Tx) -> int:
    return int(tx.execute("SELECT count(*) FROM account").fetchone()[0])


def _settings(tx: Tx, expected: dict[str, Any]) -> list[str]:
    found = {name: tx.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}
    return [f"{name} is {found[name]}" for name in expected if found[name] != expected[name]]


async def _readers_write(opened: Database) -> list[str]:
    """What readers could change."""

    def tries(tx: Tx) -> str:
        try:
            tx.execute("DELETE FROM inbox")
        except sqlite3.OperationalError:
            return ""
        return "a reader can write"

    return [wrong for wrong in [await opened.read(tries) for _ in range(database.READERS)] if wrong]


# --- known to be bad


def _writable(path: Path) -> Tx:
    connection = opening._sqlite(path.as_uri() + "?mode=rw")
    for setting in opening._SETTINGS:
        connection.execute(setting).fetchall()
    return connection


def _always_normal(connection: Tx, waiting: Any) -> Any:
    for member in waiting:
        member.durable = False
    return _group(connection, waiting)


_group = group.run_group
TRAPS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "deleted rows stay": lambda: patch.object(
        opening, "_WRITER_SETTINGS", (*opening._WRITER_SETTINGS, "PRAGMA secure_delete = OFF")
    ),
    "nothing is durable": lambda: patch.object(database, "run_group", _always_normal),
    "readers may write": lambda: patch.object(database, "connect_reader", _writable),
    "a reader that never ends": nullcontext,
}
"""Each is one setting or habit that is missing."""


def play(seed: int, control: bool) -> Played:
    """One life; as the control, one with the seed's trap in it."""
    name = sorted(TRAPS)[seed % len(TRAPS)] if control else ""
    with (
        tempfile.TemporaryDirectory(prefix="falopitas-r22-", dir=memory()) as folder,
        TRAPS[name]() if control else nullcontext(),
    ):
        held = name == "a reader that never ends"
        wrong = asyncio.run(_life(Path(folder) / "falopitas.db", random.Random(seed), held=held))
    return Played(
        1, tuple(f"{name}: {wrong[0]}" if name else each for each in (wrong[:1] if name else wrong))
    )


HYGIENE = Proof(
    "R22", "one connection commits, durable is FULL, deleted is gone, the log is bounded", 1_000, "lives",
    play,    control_rounds=len(TRAPS), control_rate=0.999,
)  # fmt: skip
