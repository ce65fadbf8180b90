"""Events of the chats, each once: a row before anything is answered, done when its ask is safe."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """What a chat told us: ``event`` is the platform's id, ``payload`` whatever the adapter needs again."""

    platform: str
    event: str
    place: str
    payload: bytes
    at: float


def accept(tx: sqlite3.Connection, platform: str, event: str, place: str, payload: bytes, now: float) -> bool:
    """Remember an event; False if it was seen before (ids are compared as a set, never by order)."""
    added = tx.execute(
        "INSERT INTO inbox (platform, event, place, payload, at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (platform, event) DO NOTHING RETURNING event",
        (platform, event, place, payload, now),
    ).fetchone()
    return added is not None


def done(tx: sqlite3.Connection, platform: str, event: str) -> None:
    """This event needs no answer any more; its place and payload are forgotten, its id is not."""
    tx.execute(
        "UPDATE inbox SET done = 1, place = '', payload = x'' WHERE platform = ? AND event = ? AND done = 0",
        (platform, event),
    )


def pending(tx: sqlite3.Connection) -> tuple[Event, ...]:
    """Accepted and not answered, oldest first: what a crash left over."""
    rows = tx.execute(
        "SELECT platform, event, place, payload, at FROM inbox WHERE done = 0 ORDER BY at, platform, event"
    ).fetchall()
    return tuple(Event(*row) for row in rows)


def forget(tx: sqlite3.Connection, before: float) -> int:
    """Drop answered events older than ``before`` (Unix s; 48 h is safe); return how many."""
    rows = tx.execute("DELETE FROM inbox WHERE at < ? AND done = 1 RETURNING event", (before,)).fetchall()
    return len(rows)
