"""Every sentence a person can see, by language: ``say("es", "queue.empty")``.

The sentences lie in ``<language>.toml`` and ``<language>.<area>.toml``, merged; nested tables join with dots.
A table of plural forms (``one``, ``many``, ``other``) is one sentence, chosen by the number ``n`` by CLDR's
rules (Spanish has *many*: 1 000 000 **de** imágenes). Values stand in braces: a number is written as the
language writes numbers, ``{job:plain}`` as it is, ``{high:typed}`` as a person types it, ``{price:credits}``
from ledger units, ``{left:time}`` as a duration from seconds, ``{at:clock}`` as a moment from Unix seconds
(in UTC, or a ``Moment``'s zone), ``{reason:why}`` as a moderator's reason, if they said one. A dictionary is
what it holds for the language.
A value is never read as a template, so a person's words stay words.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_decimal

from bot.config import BadConfig, Problem
from inference.request import UNITS
from storage.calendar import Moment, local
from storage.refusal import Refusal

LANGUAGES: tuple[str, ...] = ("en", "es")
"""Languages a person may choose; the first is spoken when theirs is not among them."""
FORMS = frozenset({"zero", "one", "two", "few", "many", "other"})
FOLDER = Path(__file__).parent

Sentence: TypeAlias = str | dict[str, str]


def spoken(language: str) -> str:
    """The language we answer in: ``es`` for ``es-419`` or ``es_MX``, English for what we do not speak."""
    base = language.replace("_", "-").split("-")[0].casefold()
    return base if base in LANGUAGES else LANGUAGES[0]


def say(language: str, key: str, **values: object) -> str:
    """The sentence ``key`` in a person's language. KeyError: there is no such sentence (a bug)."""
    tongue = spoken(language)
    sentence = table(tongue).get(key) or table(LANGUAGES[0])[key]
    if isinstance(sentence, dict):
        count = values.get("n", 0)
        sentence = _form(tongue, sentence, count if isinstance(count, int | float) else 0)
    return _WRITERS[tongue].vformat(sentence, (), values)


def has(key: str) -> bool:
    """Is there such a sentence?"""
    return key in table(LANGUAGES[0])


def why_not(language: str, refusal: Refusal) -> str:
    """A refusal as its person reads it: all that is wrong, a paragraph each, with its next step on a line of
    its own. KeyError: there is no sentence for one (a bug)."""
    paragraphs = (_paragraph(language, each) for each in (refusal, *refusal.also))
    return "\n\n".join(dict.fromkeys(paragraphs))


def _paragraph(language: str, refusal: Refusal) -> str:
    key = f"refusal.{refusal.code}"
    keys = (key, f"{key}.next") if has(f"{key}.next") else (key,)
    return "\n".join(say(language, each, **refusal.values).rstrip() for each in keys)


def problems(language: str, bad: BadConfig) -> tuple[str, ...]:
    """Everything that is wrong with a configuration, a sentence or two each, the key in front."""
    return tuple(_problem(language, each) for each in bad.problems)


def _problem(language: str, problem: Problem) -> str:
    values = {"suggestion": problem.suggestion, "braces": "{prompt}", **problem.values}
    sentences = [say(language, f"config.{problem.what}", **values)]
    if problem.suggestion and problem.what != "secret_in_file":
        sentences.append(say(language, "config.near", **values))
    return (f"{problem.key}: " if problem.key else "") + " ".join(sentences)


@cache
def table(language: str) -> dict[str, Sentence]:
    """Every sentence of a language, by its dotted key."""
    found: dict[str, Sentence] = {}
    for path in sorted(FOLDER.glob(f"{language}*.toml")):
        for key, sentence in _flat(tomllib.loads(path.read_text("utf-8"))):
            found[key] = sentence
    return found


def at_hand() -> None:
    """Read now what sentences need: later there may be no file left to open."""
    for language in LANGUAGES:
        table(language)
        _form(language, {"other": ""}, 2)
        number(language, 1_000)
        moment(language, 0.0)


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Sentence]]:
    for key, value in tables.items():
        if isinstance(value, dict) and not ("other" in value and FORMS.issuperset(value)):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _form(language: str, forms: Mapping[str, str], number: float) -> str:
    whole = isinstance(number, float) and number.is_integer()
    kind = Locale(language).plural_form(int(number) if whole else number)
    return forms.get(kind, forms["other"])


class _Writer(string.Formatter):
    """Writes values as one language does."""

    def __init__(self, language: str) -> None:
        self._language = language

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs[str(key)]

    def format_field(self, value: Any, spec: str) -> str:
        if spec in _WAYS:
            return _WAYS[spec](self._language, value)
        if isinstance(value, dict):
            value = value[self._language]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return number(self._language, value)
        return str(value)


_WRITERS = {language: _Writer(language) for language in LANGUAGES}


def number(language: str, value: float) -> str:
    """A number as the language writes it, at most two decimals."""
    return format_decimal(value, format="#,##0.##", locale=spoken(language))


def typed(language: str, value: float) -> str:
    """A number as a person types it, without thousands and so that it can be read in one way only."""
    text = format_decimal(value, format="0.######", locale=spoken(language))
    return f"{text}0" if 1 <= value < 1_000 and text[-4:-3] in (".", ",") else text


def in_credits(language: str, units: int) -> str:
    """Ledger units as credits, without the word."""
    return number(language, units / UNITS)


def duration(language: str, seconds: float) -> str:
    """``seconds`` as people say it: ``8 s``, ``2 min``, ``1 h 5 min``."""
    whole = max(0, round(seconds))
    minutes, hours = round(whole / 60), whole // 3600
    if whole < 60:
        return f"{whole} s"
    if not hours and minutes < 60:
        return f"{minutes} min"
    rest = round((whole - hours * 3600) / 60)
    hours, rest = (hours + 1, 0) if rest == 60 else (hours, rest)
    return f"{number(language, hours)} h {rest} min" if rest else f"{number(language, hours)} h"


def span(language: str, low: float, high: float) -> str:
    """A range of seconds: ``8-12 s`` with its unit once, one duration if both ends read the same."""
    first, last = duration(language, low), duration(language, high)
    if first == last:
        return last
    unit = last.split(" ")[-1]
    same = first.count(" ") == last.count(" ") == 1 and first.endswith(f" {unit}")
    return f"{first.split(' ')[0] if same else first}–{last}"


def moment(language: str, at: float) -> str:
    """Unix seconds as a day and an hour in UTC, or in its own zone if it is a ``Moment``."""
    zone = at.zone if isinstance(at, Moment) else "UTC"
    written = format_datetime(local(at, zone), "d MMM HH:mm", locale=spoken(language))
    return f"{written} {zone.rpartition('/')[2].replace('_', ' ')}"


_WAYS: dict[str, Callable[[str, Any], str]] = {
    "credits": in_credits, "time": duration, "clock": moment, "typed": typed,
    "plain": lambda _, value: str(value),
    "why": lambda language, value: say(language, "finished.reason", reason=value) if value else "",
}  # fmt: skip
"""How a value is written that says how behind a colon."""
