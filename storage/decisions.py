"""What the moderation rules said, and of which prompt: its SHA-256, never its words."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """One rule's recorded answer; ``prompt`` is 64 hexadecimal digits."""

    id: int
    account: int
    rule: str
    verdict: str
    prompt: str
    at: float


def record(
    tx: sqlite3.Connection, account: int, rule: str, verdict: str, digest_of_prompt: str, now: float
) -> int:
    """Remember a verdict; return its id."""
    row = tx.execute(
        "INSERT INTO decision (account, rule, verdict, prompt, at) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (account, rule, verdict, digest_of_prompt, now),
    ).fetchone()
    return int(row[0])


def of_account(tx: sqlite3.Connection, account_id: int, limit: int) -> tuple[Decision, ...]:
    """The newest ``limit`` decisions about an account's prompts, newest first."""
    rows = tx.execute(
        "SELECT id, account, rule, verdict, prompt, at FROM decision WHERE account = ? "
        "ORDER BY id DESC LIMIT ?",
        (account_id, limit),
    ).fetchall()
    return tuple(Decision(*row) for row in rows)
