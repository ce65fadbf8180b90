"""The word list: whole words, however disguised, and never a part of another word."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import rules
from bot.config import Config, Rules
from bot.rules.words import fold

WORDS = ("ass", "gore", "coño", "ano", "two words", "Straße", "sexy")


def reason(prompt: str, *, spaced: bool = True) -> str:
    verdict = rules.judge(prompt, Config(rules=Rules(words=WORDS, spaced=spaced)))
    return verdict.reason if verdict else ""


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("a gore scene", "gore"), ("GORE", "gore"), ("much gore!", "gore"), ("gore.", "gore"),
        ("gôrè", "gore"), ("gоrе", "gore"), ("ｇｏｒｅ", "gore"), ("𝖌𝖔𝖗𝖊", "gore"), ("ⓖⓞⓡⓔ", "gore"),
        ("g0re", "gore"), ("g0r3 art", "gore"), ("@ss", "ass"), ("a$$es and a$$", "ass"), ("as5", "ass"),
        ("go\u200bre", "gore"), ("g\u00adore", "gore"), ("g o r e", "gore"), ("g.o.r.e", "gore"),
        ("g-o-r-e", "gore"), ("no-gore", "gore"),
        ("coño", "coño"), ("COÑO", "coño"), ("con\u0303o", "coño"), ("two  words here", "two words"),
        ("TWO-WORDS", "two words"), ("strasse", "Straße"), ("un ano", "ano"), ("s3xy", "sexy"),
        ("gore_art", "gore"),
    ],
)  # fmt: skip
def test_a_listed_word_is_found_in_every_disguise(prompt: str, word: str) -> None:
    assert reason(prompt) == word


@pytest.mark.parametrize(
    "prompt",
    [
        "grass and glass", "an assassin's class", "a passage", "Gorean", "gored bull", "los años",
        "un cono de helado", "two other words", "two. Three words", "a s t r o", "4 55 3", "it's 100$",
        "feliz año nuevo", "sexton",
        "", "🦊", "ثعلب أحمر", "狐", "a b", "as", "!!", "piano", "verano", "manzana", "essex",
    ],
)  # fmt: skip
def test_what_is_only_like_a_listed_word_is_allowed(prompt: str) -> None:
    assert reason(prompt) == ""


def test_spelling_out_may_be_allowed() -> None:
    assert reason("g o r e", spaced=False) == ""


def test_an_empty_list_allows_everything() -> None:
    assert rules.judge("gore", Config()) is None
    assert rules.judge("gore", Config(rules=Rules(words=("…", "  ")))) is None


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_prompt_breaks_a_rule(prompt: str) -> None:
    verdict = rules.judge(prompt, Config(rules=Rules(words=WORDS)))
    assert verdict is None or verdict.reason in WORDS


@given(st.text(max_size=80))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize("unit", ["a ", "a@", "@", "ñ", "g o ", "\u0301", "$a$", "ﷺ"])
def test_judging_takes_time_in_proportion_to_the_prompt(unit: str) -> None:
    """Four times as long takes about four times the work; sixteen times would be a square. Only this
    thread's own work counts, so that a busy machine changes nothing."""
    short, long = (_work(unit * (length // len(unit))) for length in (1_000, 4_000))
    assert long < 10 * max(short, 2e-4), f"{short * 1e3:.2f} ms, then {long * 1e3:.2f} ms"


def _work(prompt: str) -> float:
    """The least processor time of a few tries, in seconds."""

    def once() -> float:
        begin = time.thread_time()
        reason(prompt)
        return time.thread_time() - begin

    return min(once() for _ in range(7))
