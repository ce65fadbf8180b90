"""A person's text on a terminal: never a control sequence."""

from __future__ import annotations

_JOINERS = frozenset("\u200d\ufe0f\u200c")
"""Invisible, and part of emoji and of Persian words."""


def visible(text: str) -> str:
    """``text`` with what a terminal would obey (control, direction) made visible; line ends stay."""
    return "".join(char if _harmless(char) else f"\\u{ord(char):04x}" for char in text)


def _harmless(char: str) -> bool:
    return char == "\n" or char.isprintable() or char in _JOINERS
