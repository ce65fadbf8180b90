"""R21: a database of any version before, with rows in it, becomes one of today with all of them, or stays."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from storage import accounts, jobs, opening
from storage.allowances import PRIVATE
from tests.proof.frame import Played, Proof, memory
from tests.storage import life, people

PURSES = 3
"""The version from which on money has purses; before it, people asked in private alone."""

Tx = sqlite3.Connection
Rows = dict[str, list[tuple[Any, ...]]]


class Cut(Exception):  # noqa: N818 - what happens, not a mistake of ours
    """The process is gone in the middle of a migration."""


def _lived(tx: Tx, rng: random.Random, version: int) -> None:
    """A life, of as much as this version knew."""
    if version >= PURSES:
        life.live(tx, rng.randint(1, 20))
    for number in range(rng.randint(1, 30)):
        me = people.meet(tx, f"discord:{number % 5}", grant=10**7)
        people.submit(tx, me)
        claimed = people.claim(tx)
        if rng.random() < 0.7:
            jobs.settle(
                tx, claimed.id, claimed.attempt, people.drawn(claimed, rng.randint(0, 4)), 1.0, people.NOW
            )
        elif rng.random() < 0.5:
            jobs.cancel(tx, claimed.id, people.NOW)


def columns(tx: Tx, table: str) -> list[str]:
    return [str(name) for (name,) in tx.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]


def tables(tx: Tx) -> list[str]:
    sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    return [str(name) for (name,) in tx.execute(sql).fetchall()]


def old(path: Path, version: int, rng: random.Random) -> Rows:
    """Make a database of ``version`` at ``path`` with the rows of a life; returns them."""
    with closing(people.memory()) as now, closing(sqlite3.connect(path, isolation_level=None)) as then:
        _lived(now, rng, version)
        for number, script in opening.migrations()[:version]:
            opening._apply(then, number, script)
        opening.configure(then)
        then.execute("PRAGMA foreign_keys = OFF")
        triggers = then.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            then.execute(f"DROP TRIGGER {name}")
        for table in tables(then):
            names = ", ".join(columns(then, table))
            found = now.execute(f"SELECT {names} FROM {table}").fetchall()  # noqa: S608 - names of ours
            marks = ", ".join("?" * len(columns(then, table)))
            then.executemany(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", found)  # noqa: S608
        for _, sql in triggers:
            then.execute(sql)
        return _rows(then)


def _rows(tx: Tx, known: Rows | None = None, names: dict[str, list[str]] | None = None) -> Rows:
    found = {}
    for table in known or tables(tx):
        wanted = ", ".join((names or {}).get(table) or columns(tx, table))
        found[table] = sorted(tx.execute(f"SELECT {wanted} FROM {table}").fetchall(), key=repr)  # noqa: S608
    return found


def _shape(tx: Tx) -> list[tuple[str, str]]:
    sql = (
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    return [(str(name), " ".join(str(text).split())) for name, text in tx.execute(sql).fetchall()]


def _cut_at(at: int) -> Callable[[str], list[str]]:
    """Statements of which the ``at``-th of all is never reached."""
    whole, count = opening.statements, iter(range(10**9))

    class Watched(list[str]):
        def __iter__(self) -> Any:
            for each in list.__iter__(self):
                if next(count) == at:
                    raise Cut
                yield each

    return lambda script: Watched(whole(script))


def one(path: Path, version: int, rng: random.Random) -> str:
    """From ``version`` to today, first cut short somewhere; what is wrong."""
    before = old(path, version, rng)
    with closing(sqlite3.connect(path)) as tx:
        names = {table: columns(tx, table) for table in before}
    with suppress(Cut), patch.object(opening, "statements", _cut_at(rng.randrange(60))):
        opening.connect(path).close()
    with closing(sqlite3.connect(path)) as tx:
        if _rows(tx, before, names) != before:
            return "cut short, rows are not what they were"
    with closing(opening.connect(path)) as tx:
        after = _rows(tx, before, names)
        changed = [table for table in before if after[table] != before[table]]
        if changed:
            return f"rows changed: {', '.join(changed)}"
        kept, entered = people.usage(tx)
        if kept != entered:
            return "the table of days is not what was asked for"
        if problems := people.audit(tx):
            return problems[0]
        with closing(people.memory()) as fresh:
            if _shape(tx) != _shape(fresh):
                return "it is not today's schema"
        return _goes_on(tx)


def _goes_on(tx: Tx) -> str:
    """It works on: a job from its ask to its end."""
    tx.execute("BEGIN IMMEDIATE")
    me = people.meet(tx, "discord:new", grant=10**7)
    assert accounts.get(tx, me).id == me
    job = jobs.submit(tx, people.ask(me), people.NOW, limit=99)
    while (claimed := people.claim(tx)).id != job.id:
        jobs.settle(tx, claimed.id, claimed.attempt, people.drawn(claimed, 1), 1.0, people.NOW)
    jobs.settle(tx, claimed.id, claimed.attempt, people.drawn(claimed, 2), 1.0, people.NOW)
    problems = people.audit(tx)
    tx.execute("COMMIT")
    assert job.community == PRIVATE.community
    return problems[0] if problems else ""


def _careless() -> tuple[tuple[int, str], ...]:
    """Migrations that make what there is new, and leave what there was."""
    dropped = ("INSERT INTO ledger (id", "INSERT INTO usage")
    return tuple(
        (number, "\n".join(each for each in opening.statements(script) if not each.startswith(dropped)))
        for number, script in _migrations()
    )


_migrations = opening.migrations


def play(seed: int, control: bool) -> Played:
    """One upgrade from each version before today's."""
    rng, wrong = random.Random(seed), []
    versions = range(1, len(opening.migrations()))
    for version in versions:
        with (
            tempfile.TemporaryDirectory(prefix="falopitas-r21-", dir=memory()) as folder,
            patch.object(opening, "migrations", _careless) if control else nullcontext(),
        ):
            try:
                found = one(Path(folder) / "falopitas.db", version, rng)
            except Exception as error:  # noqa: BLE001 - whatever an upgrade raises is a violation
                found = f"{type(error).__name__}: {error}"
        wrong += [f"from version {version}: {found}"] if found else []
    return Played(len(versions), tuple(wrong))


UPGRADES = Proof(
    "R21", "from every version before: every row kept, today's schema, sound books, cut short or not", 3_000,
    "upgrades", play, control_rounds=30, control_rate=0.3,
)  # fmt: skip
