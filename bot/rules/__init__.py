"""What may not be asked for. A rule is one function: prompt and configuration in, a verdict or None out.

Rules are pure: no clock, no file, no network; they never raise. To add one: a file with a function, a line in
``RULES``, its sentence ``refusal.rule_<name>`` in every language. The corpus of innocent prompts in
``tests/contracts`` must stay allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from bot.config import Config
from bot.rules import patterns, words
from bot.rules.verdict import Verdict

Rule: TypeAlias = Callable[[str, Config], Verdict | None]

RULES: tuple[Rule, ...] = (words.judge, patterns.judge)


def judge(prompt: str, config: Config) -> Verdict | None:
    """The first verdict against ``prompt``, or None: nothing speaks against it.

    Phrases of ``rules.allowed`` are innocent wherever they stand.
    """
    heard = words.without(prompt, config.rules.allowed)
    return next((verdict for rule in RULES if (verdict := rule(heard, config))), None)


__all__ = ["RULES", "Rule", "Verdict", "judge"]
