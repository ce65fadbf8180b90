"""In a large house no command reads a whole table: the plan of every statement that one runs is looked at."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import database, opening
from storage.database import Database
from tests.bench import accounts
from tests.fakes.room import CONFIG, room

LARGE = re.compile(r"SCAN (ledger|job|piece|usage|account|identity|meter|purse|decision)\b(?!.*INDEX)")
ASKS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")


def _traced(
    make: Callable[[Path], sqlite3.Connection], seen: set[str]
) -> Callable[[Path], sqlite3.Connection]:
    def connect(path: Path) -> sqlite3.Connection:
        made = make(path)
        made.set_trace_callback(lambda sql: seen.add(sql) if sql.lstrip().startswith(ASKS) else None)
        return made

    return connect


def scans(path: Path, statements: set[str]) -> list[str]:
    """Each statement that reads a large table from end to end."""
    looking = opening.connect_reader(path)
    found = []
    for sql in sorted(statements):
        plan: list[Any] = looking.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        found += [f"{row[-1]}: {sql.strip()[:160]}" for row in plan if LARGE.match(str(row[-1]))]
    looking.close()
    return found


@pytest.mark.slow
async def test_no_command_reads_a_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred people, 30 000 entries: a scan shows in its plan at any size."""
    path, seen = tmp_path / "house.db", set[str]()
    accounts.fill(path, 300)
    for name in ("connect", "connect_reader"):
        monkeypatch.setattr(database, name, _traced(getattr(database, name), seen))
    opened = await Database.open(path)
    seen.clear()
    async with room(tmp_path, config=replace(CONFIG, queue_limit=500)) as made:
        app = replace(made.app, database=opened, clock=lambda: accounts.NOW)
        for number, text in enumerate(accounts.COMMANDS):
            await accounts._timed(app, text, number)
    await opened.close()
    monkeypatch.undo()
    assert len(seen) > 40
    assert scans(path, seen) == []


def test_a_scan_would_be_noticed(tmp_path: Path) -> None:
    """The control: /mod stats as it was, and a sum over the ledger."""
    path = tmp_path / "house.db"
    opening.connect(path).close()
    bad = {"SELECT sum(units) FROM ledger", "SELECT count(*) FROM job WHERE arrived > 0"}
    assert len(scans(path, bad)) == 2
