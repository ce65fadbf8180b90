"""Every event once."""

from __future__ import annotations

import sqlite3

from storage import inbox
from tests.storage.people import NOW

Tx = sqlite3.Connection


def test_the_second_copy_of_an_event_is_refused(tx: Tx) -> None:
    """Also after it was answered; ids of two chats do not meet; a smaller id later is no copy."""
    assert inbox.accept(tx, "telegram", "100", "telegram:1", b"ask", NOW)
    assert not inbox.accept(tx, "telegram", "100", "telegram:1", b"ask", NOW)
    inbox.done(tx, "telegram", "100")
    assert not inbox.accept(tx, "telegram", "100", "telegram:1", b"ask", NOW)
    assert inbox.accept(tx, "discord", "100", "discord:1", b"ask", NOW)
    assert inbox.accept(tx, "telegram", "7", "telegram:1", b"ask", NOW)


def test_pending_is_what_a_crash_left_over_oldest_first(tx: Tx) -> None:
    """Place and payload come back as they were."""
    for number in (3, 1, 2):
        inbox.accept(tx, "web", str(number), f"web:{number}", bytes([number]), NOW + number)
    inbox.done(tx, "web", "2")
    assert inbox.pending(tx) == (
        inbox.Event("web", "1", "web:1", b"\x01", NOW + 1),
        inbox.Event("web", "3", "web:3", b"\x03", NOW + 3),
    )


def test_what_was_answered_is_forgotten_in_time_and_its_words_at_once(tx: Tx) -> None:
    """The id stays for the window in which copies come; what waits is never forgotten."""
    inbox.accept(tx, "web", "1", "web:1", b"a secret wish", NOW)
    inbox.accept(tx, "web", "2", "web:1", b"waits", NOW)
    inbox.done(tx, "web", "1")
    assert tx.execute("SELECT payload FROM inbox WHERE event = '1'").fetchone() == (b"",)
    assert inbox.forget(tx, NOW) == 0
    assert inbox.forget(tx, NOW + 1) == 1
    assert [e.event for e in inbox.pending(tx)] == ["2"]
