"""Every rule: total, no I/O, its reason is a sentence, and innocent prompts stay allowed."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import texts
from bot.config import Config, Rules
from bot.rules import RULES, Rule, Verdict

INNOCENT = (Path(__file__).parent / "innocent.txt").read_text("utf-8").splitlines()
WORDS = """
    ass cock tit sex cum anal rape shit whore cunt penis vagina porn pornography hentai nazi hitler rapist
    nude ano coño follar puto violación porno violar culiar
"""
HARSH = Config(rules=Rules(words=(*WORDS.split(), "polvo blanco")))
"""A list as a strict community would write it. Words with an innocent meaning of their own are its choice."""
MEANT = {"tit", "nude"}
"""Words of the list that some innocent prompts do say: whole words are what a list is for."""
FORBIDDEN = {
    "open",
    "print",
    "requests",
    "socket",
    "time",
    "datetime",
    "random",
    "os",
    "asyncio",
    "aiohttp",
    "pathlib",
}

rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__module__.rsplit(".", 1)[-1])


def test_the_corpus_is_large_and_in_both_languages() -> None:
    assert len(set(INNOCENT)) >= 200
    assert sum(prompt.split()[0] in {"un", "una", "el", "la", "los"} for prompt in INNOCENT) >= 80


@rules
def test_innocent_prompts_stay_allowed(rule: Rule) -> None:
    refused = {prompt: verdict.reason for prompt in INNOCENT if (verdict := rule(prompt, HARSH))}
    assert {prompt: reason for prompt, reason in refused.items() if reason not in MEANT} == {}
    assert len(refused) <= 4


@rules
def test_a_substring_list_would_fail_here(rule: Rule) -> None:
    """The control: judged by substrings, the same list refuses dozens of the same prompts."""
    caught = [prompt for prompt in INNOCENT if any(word in prompt for word in HARSH.rules.words)]
    assert len(caught) >= 30


@rules
@given(prompt=st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_a_rule_answers_any_text_and_always_the_same(rule: Rule, prompt: str) -> None:
    verdict = rule(prompt, HARSH)
    assert verdict is None or isinstance(verdict, Verdict)
    assert rule(prompt, HARSH) == verdict


@rules
def test_a_rule_reads_nothing_but_its_arguments(rule: Rule) -> None:
    tree = ast.parse(inspect.getsource(inspect.getmodule(rule)))  # type: ignore[arg-type]
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    }
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not (imported | called) & FORBIDDEN


@rules
def test_a_rule_has_its_sentence_in_every_language(rule: Rule) -> None:
    name = rule.__module__.rsplit(".", 1)[-1]
    for language in texts.LANGUAGES:
        assert texts.say(language, f"refusal.rule_{name}", reason="x")
        assert texts.say(language, f"refusal.rule_{name}.next")
