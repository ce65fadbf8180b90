"""One rule's answer about one prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """``rule`` refuses a prompt; ``reason`` is what in it, as the person may read it."""

    rule: str
    reason: str
    code: str = "refused"
    """How it is recorded."""
    by: str = ""
    """The word or pattern that was listed."""
