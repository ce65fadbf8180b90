"""Patterns of the operator's and the community's own, matched in time linear in the prompt (RE2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from bot.config import Config
from bot.rules.verdict import Verdict
from bot.rules.words import fold

MEMORY = 1 << 20
"""Bytes that one compiled pattern may take: a larger one is refused, whatever it says."""


def judge(prompt: str, config: Config) -> Verdict | None:
    """Refuse a prompt in which one of ``rules.patterns`` is found, as written or folded as words are."""
    for pattern in config.rules.patterns:
        compiled = compiled_of(pattern)
        match = compiled and (compiled.search(prompt) or compiled.search(fold(prompt)))
        if match:
            return Verdict("patterns", match[0][:60] or pattern, by=pattern)
    return None


@lru_cache(maxsize=1_024)
def compiled_of(pattern: str) -> Any:
    """The pattern, ready to search; None for one that is none (``/mod rules add`` refuses it)."""
    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    options.case_sensitive = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None
