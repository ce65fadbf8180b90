"""Patterns of the operator's and the community's own, matched in time linear in the prompt (RE2)."""

from __future__ import annotations

from bot.config import Config
from bot.pattern import compiled_of
from bot.rules.verdict import Verdict
from bot.rules.words import fold


def judge(prompt: str, config: Config) -> Verdict | None:
    """Refuse a prompt in which one of ``rules.patterns`` is found, as written or folded as words are."""
    for pattern in config.rules.patterns:
        compiled = compiled_of(pattern)
        match = compiled and (compiled.search(prompt) or compiled.search(fold(prompt)))
        if match:
            return Verdict("patterns", match[0][:60] or pattern, by=pattern)
    return None
