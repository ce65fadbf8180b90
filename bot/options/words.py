"""A person's own words: cleaned, shown back to them, taken for what they most likely meant."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def shown(text: object, limit: int = 40) -> str:
    """A person's own words as they may stand in a sentence to them: short, controls made visible."""
    clean = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text)[: limit + 1]
    )
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def plain(text: str) -> str:
    """``text`` with every run of white space as one blank, and without lone surrogates."""
    return " ".join(text.encode("utf-8", "ignore").decode().split())


_UNSEEN = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff")


def without_controls(text: str) -> tuple[str, int]:
    """``text`` without control characters, direction overrides, and how many there were.

    Joiners stay: emoji and several scripts need them.
    """
    before = plain(text)
    kept = "".join(each for each in before if unicodedata.category(each) != "Cc" and each not in _UNSEEN)
    return plain(kept), len(before) - len(kept)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word a person most likely meant, or nothing."""
    found = difflib.get_close_matches(word[:40].casefold(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
