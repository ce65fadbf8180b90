"""Migrations, in order, make exactly ``schema.sql``."""

from __future__ import annotations

import re
import sqlite3

import pytest

from storage import opening
from storage.refusal import Refusal


def _shape(connection: sqlite3.Connection) -> dict[str, tuple[str, list[tuple[object, ...]]]]:
    """Every table, index and trigger: its SQL without layout, and a table's columns."""
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {
        name: (
            re.sub(r"\s+", " ", sql),
            connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall(),
        )
        for name, sql in rows
    }


def test_migrations_equal_the_schema() -> None:
    """schema.sql is what one reads; the migrations are what runs."""
    migrated, written = (sqlite3.connect(":memory:", isolation_level=None) for _ in range(2))
    opening.migrate(migrated)
    for statement in opening.statements((opening.MIGRATIONS / "schema.sql").read_text(encoding="utf-8")):
        written.execute(statement)
    assert _shape(migrated) == _shape(written)
    migrated.close()
    written.close()


def test_migrations_have_no_gaps() -> None:
    """0001, 0002 …: the number is the version."""
    numbers = [number for number, _ in opening.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_table_is_strict() -> None:
    """A column holds its type or the statement fails."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    opening.migrate(connection)
    loose = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 "
        "AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    assert loose == []
    connection.close()


def test_a_script_is_cut_into_statements_and_triggers_stay_whole() -> None:
    """Comments between them are dropped, an unfinished tail is not."""
    script = (
        "-- a word\nCREATE TABLE a (b);\n\nCREATE TRIGGER c AFTER INSERT ON a BEGIN\n SELECT 1;\nEND;\nSELECT"
    )
    assert opening.statements(script) == [
        "CREATE TABLE a (b);",
        "CREATE TRIGGER c AFTER INSERT ON a BEGIN\n SELECT 1;\nEND;",
        "SELECT",
    ]


def test_a_migration_that_fails_leaves_the_version_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing of it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    opening.migrate(connection)
    version, before = connection.execute("PRAGMA user_version").fetchone(), _shape(connection)
    good = opening.migrations()
    monkeypatch.setattr(
        opening, "migrations", lambda: (*good, (2, "CREATE TABLE new (a);\nSELECT nonsense;"))
    )
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        opening.migrate(connection)
    assert (connection.execute("PRAGMA user_version").fetchone(), _shape(connection)) == (version, before)
    connection.close()


def test_a_newer_database_and_a_foreign_one_are_refused() -> None:
    """Politely, with both versions; and nothing in them is touched."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(Refusal, match="database_corrupt"):
        opening.prepare(connection)
    connection.execute("DROP TABLE theirs")
    opening.prepare(connection)
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(Refusal, match="database_newer") as refused:
        opening.prepare(connection)
    assert refused.value.values == {"found": 99, "known": len(opening.migrations())}
    connection.close()
