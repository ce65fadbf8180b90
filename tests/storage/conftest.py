"""Fixtures of the storage tests."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.database import Database
from tests.storage import people


@pytest.fixture
def tx() -> Iterator[sqlite3.Connection]:
    """An open transaction on a fresh database; whatever the test did, the books must balance after it."""
    connection = people.memory()
    yield connection
    problems = people.audit(connection)
    connection.close()
    assert problems == ()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A real database file with its writer and readers."""
    opened = await Database.open(tmp_path / "falopitas.db")
    yield opened
    await opened.close()
