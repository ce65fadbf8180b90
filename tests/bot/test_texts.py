"""Every sentence in every language, with the same values, and none that nobody says."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import commands, texts
from bot.config import ROOT
from bot.texts import duration, in_credits, moment, number, say, span, spoken, typed
from storage.refusal import Refusal

SOURCES = ("bot", "storage", "inference")
KEYS = sorted(texts.table("en"))


def placeholders(sentence: texts.Sentence) -> set[str]:
    forms = sentence.values() if isinstance(sentence, dict) else [sentence]
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_language_has_every_sentence_and_no_other(language: str) -> None:
    assert sorted(texts.table(language)) == KEYS


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_nothing_is_said_twice(language: str) -> None:
    keys = [
        key
        for file in texts.FOLDER.glob(f"{language}*.toml")
        for key, _ in texts._flat(tomllib.loads(file.read_text("utf-8")))
    ]
    assert sorted(keys) == sorted(set(keys))


@pytest.mark.parametrize("key", KEYS)
def test_a_sentence_has_the_same_values_in_every_language(key: str) -> None:
    wanted = placeholders(texts.table("en")[key])
    for language in texts.LANGUAGES:
        sentence = texts.table(language)[key]
        assert placeholders(sentence) == wanted, language
        assert isinstance(sentence, dict) == isinstance(texts.table("en")[key], dict)


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_a_plural_has_the_forms_of_its_language(language: str) -> None:
    from babel import Locale

    wanted = set(Locale(language).plural_form.tags) | {"other"}
    for key, sentence in texts.table(language).items():
        if isinstance(sentence, dict):
            assert set(sentence) == wanted, key


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_sentence_can_be_said(language: str) -> None:
    for key in KEYS:
        values = dict.fromkeys(placeholders(texts.table(language)[key]), 3)
        assert say(language, key, **values).strip(), key


def test_spanish_counts_by_its_three_plurals() -> None:
    assert say("es", "drawing.credits", n=1) == "1 crédito"
    assert say("es", "drawing.credits", n=2) == "2 créditos"
    assert say("es", "drawing.credits", n=1_000_000) == "1.000.000 de créditos"
    assert say("en", "drawing.credits", n=1.0) == "1 credit"
    assert say("en", "drawing.credits", n=0.25) == "0.25 credits"


def test_values_are_never_templates_nor_markup() -> None:
    evil = "{job} [red] <b> %s {0.__class__}"
    assert evil in say("en", "refusal.unknown_flag", flag=evil)


def test_a_language_is_recognised_by_its_beginning() -> None:
    assert [spoken(each) for each in ("es-419", "es_ES", "EN-us", "fr", "")] == ["es", "es", "en", "en", "en"]


def test_numbers_durations_and_moments() -> None:
    assert (number("en", 1234.5), number("es", 1234.5)) == ("1,234.5", "1.234,5")
    assert in_credits("es", 250) == "0,25"
    assert [typed("es", each) for each in (1_234.5, 1.125, 0.125, 0.01, 2**64)] == [
        "1234,5", "1,1250", "0,125", "0,01", str(2**64),
    ]  # fmt: skip
    assert [duration("en", each) for each in (-1, 0.4, 59.4, 59.6, 3_599, 3_700, 7_199, 86_400)] == [
        "0 s", "0 s", "59 s", "1 min", "1 h", "1 h 2 min", "2 h", "24 h",
    ]  # fmt: skip
    assert [span("en", *each) for each in ((8, 12), (8, 8.2), (50, 130), (130, 300), (3_600, 3_900))] == [
        "8–12 s", "8 s", "50 s–2 min", "2–5 min", "1 h–1 h 5 min",
    ]  # fmt: skip
    assert moment("en", 0) == "1 Jan 00:00 UTC"


# --- refusals: every code in the tree has its sentence, its next step and the values they need


@cache
def refusals() -> tuple[tuple[str, str, frozenset[str], bool], ...]:
    """(where, code, names of values, more values than names) of every ``Refusal("…")`` in the tree."""
    found = []
    for folder in SOURCES:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                found += [(file.name, *each) for each in _codes(node)]
    return tuple(found)


def _codes(node: ast.AST) -> Iterator[tuple[str, frozenset[str], bool]]:
    if not isinstance(node, ast.Call) or not node.args:
        return
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    code = node.args[0]
    if name in {"Refusal", "Recorded"} and isinstance(code, ast.Constant) and isinstance(code.value, str):
        values = frozenset(each.arg for each in node.keywords if each.arg)
        yield code.value, values, any(each.arg is None for each in node.keywords)


def test_the_search_finds_refusals() -> None:
    assert {"over_quota", "no_job", "bad_button", "link_expired"} <= {code for _, code, _, _ in refusals()}


def test_every_refusal_has_a_sentence_and_a_next_step() -> None:
    for where, code, _, _ in refusals():
        assert texts.has(f"refusal.{code}"), f"{where}: refusal.{code}"
        assert texts.has(f"refusal.{code}.next"), f"{where}: refusal.{code}.next"


def test_every_refusal_brings_the_values_of_its_sentences() -> None:
    for where, code, values, more in refusals():
        needed = placeholders(texts.table("en")[f"refusal.{code}"])
        needed |= placeholders(texts.table("en")[f"refusal.{code}.next"])
        assert more or needed <= values, f"{where}: {code} lacks {needed - values}"


DYNAMIC = {
    "unknown_model", "unknown_model_near", "unknown_style", "unknown_style_near", "unknown_sampler",
    "unknown_sampler_near", "unknown_language", "unknown_language_near", "unknown_flag", "unknown_flag_near",
    "unknown_command", "unknown_command_near", "empty_prompt", "rule_words",
    "rule_patterns", "over_person", "over_role", "over_everybody", "over_channel", "over_pool", "over_house",
}  # fmt: skip
"""Codes that are put together."""
ENGINE = re.compile(r'(?:BadModel\(|code=|reason=|Failed\()\s*"([a-z]+_[a-z_]+)"')


def engine_codes() -> set[str]:
    """Codes that the engine gives for a model or a picture."""
    files = [*sorted((ROOT / "inference").rglob("*.py")), ROOT / "storage" / "jobs.py"]
    return {code for file in files for code in ENGINE.findall(file.read_text("utf-8"))}


def test_every_code_of_the_engine_has_sentences_that_need_only_the_model() -> None:
    assert {"model_pickle", "model_missing"} <= engine_codes()
    for code in sorted(engine_codes()):
        for key in (f"refusal.{code}", f"refusal.{code}.next"):
            assert texts.has(key), key
            assert placeholders(texts.table("en")[key]) <= {"model", "detail"}, key


@pytest.mark.parametrize("code", sorted(DYNAMIC))
def test_every_code_that_is_put_together_has_sentences(code: str) -> None:
    assert texts.has(f"refusal.{code}")
    assert texts.has(f"refusal.{code}.next")


def test_no_refusal_sentence_is_left_over() -> None:
    used = {code for _, code, _, _ in refusals()} | DYNAMIC | engine_codes() | {"broken"}
    sources = "".join(
        file.read_text("utf-8") for folder in SOURCES for file in sorted((ROOT / folder).rglob("*.py"))
    )
    for key in KEYS:
        code = key.removeprefix("refusal.").removesuffix(".next")
        if key.startswith("refusal."):
            assert code in used or f'"{code}"' in sources, key


SAID = re.compile(r"""\bsay\(\s*[\w.]+,\s*"([a-z_.]+)\"""")


def test_every_key_that_the_code_says_exists() -> None:
    found = 0
    for file in sorted((ROOT / "bot").rglob("*.py")):
        for key in SAID.findall(file.read_text("utf-8")):
            found += 1
            assert texts.has(key), f"{file.name}: {key}"
    assert found > 50


hostile = st.lists(
    st.text(max_size=20)
    | st.sampled_from(
        ["--seed", "--\x1b[31m", "—\u202eno", "--no", "--ar \x00", "--z\x07z 1", "--model [b]{0}", "/\x1b"]
    ),
    max_size=6,
).map(" ".join)


@given(hostile, st.sampled_from(["", "/imagine ", "/queue ", "/cancel ", "/help "]))
@settings(max_examples=300, deadline=None)
def test_a_refusal_of_anything_is_printable(text: str, command: str) -> None:
    """No control character, no direction override of a person's text reaches a sentence to them."""
    said = []
    try:
        commands.read(command + text)
    except Refusal as refusal:
        keys = (f"refusal.{refusal.code}", f"refusal.{refusal.code}.next")
        said = [say(language, key, **refusal.values) for language in texts.LANGUAGES for key in keys]
    assert all(sentence.isprintable() for sentence in said)
