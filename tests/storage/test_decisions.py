"""Recorded verdicts."""

from __future__ import annotations

import sqlite3

import pytest

from storage import decisions
from tests.storage.people import NOW, digest_of, meet


def test_a_verdict_is_recorded_without_the_words(tx: sqlite3.Connection) -> None:
    """Newest first; only a digest fits into the column."""
    me = meet(tx)
    for verdict in ("allow", "refuse"):
        decisions.record(tx, me, "words", verdict, digest_of("a prompt"), NOW)
    assert [d.verdict for d in decisions.of_account(tx, me, 9)] == ["refuse", "allow"]
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        decisions.record(tx, me, "words", "refuse", "a prompt in clear", NOW)
