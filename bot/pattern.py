"""A pattern of the operator's or a community's own (RE2: linear time), compiled; or what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

MEMORY = 1 << 20
"""Bytes that one compiled pattern may take: a larger one is refused, whatever it says."""

_FAULTS = {
    "missing ]": "open", "missing )": "open", "unexpected )": "closed",
    "no argument for repetition operator": "repeats", "bad repetition operator": "repeats",
    "invalid repetition size": "large", "pattern too large - compile failed": "large",
    "invalid perl operator": "unknown", "invalid escape sequence": "unknown",
    "invalid named capture group": "unknown", "invalid character class range": "range",
    "trailing \\": "ends",
}  # fmt: skip
"""What RE2 says, to our word for it; what it says besides is ``other``."""
_MEANT_AS_TEXT = frozenset({"open", "closed", "repeats"})
_SIGNS = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text is no pattern: ``kind`` is our word, ``part`` where it is, as RE2 says.

    ``instead`` finds the same text sign by sign, if that is likely to have been meant.
    """

    kind: str
    part: str
    instead: str = ""


@lru_cache(maxsize=1_024)
def compiled_of(text: str) -> Any:
    """The pattern, ready to search; None for a text that is none: the configuration and ``/mod rules add``
    refuse it with what ``fault_of`` says."""
    try:
        return _compiled(text)
    except re2.error:
        return None


def _compiled(text: str) -> Any:
    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    options.case_sensitive = False
    return re2.compile(text, options)


def fault_of(text: str) -> Fault | None:
    """What is wrong with it; None if it is a pattern."""
    if "\b" in text:  # what TOML makes of the edge of a word in double quotes: it would never be found
        return Fault("quotes", r"\b", text.replace("\b", r"\b"))
    try:
        _compiled(text)
    except re2.error as error:
        said = error.args[0] if error.args else b""
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    else:
        return None
    reason, _, part = words.partition(": ")
    kind = _FAULTS.get(reason, "other")
    instead = _SIGNS.sub(r"\\\g<0>", text) if kind in _MEANT_AS_TEXT else ""
    return Fault(kind, (words if kind == "other" else part)[:60], instead)
