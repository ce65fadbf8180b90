"""Asks as a filled form, and how a command is written on one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.options.chat import unknown_flag
from bot.options.declare import (
    Field,
    Ratio,
    Size,
    Spot,
    fields_of,
    flagged,
    flags_of,
    single_words_of,
    words_of,
)
from bot.options.value import build, written
from storage.refusal import Refusal


def form(values: Mapping[str, object], ask: type) -> Any:
    """The ask that a filled form says; keys are flags or field names; what is empty stays the default."""
    known = {
        **flags_of(ask),
        **{name: field for field in fields_of(ask) for name in (field.flag, field.name)},
    }
    said: dict[str, str] = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_flag(key, ask)
        if value is None or value == "":
            continue
        if not isinstance(value, str | int | float) or (isinstance(value, int) and value.bit_length() > 80):
            raise Refusal("bad_value", flag=known[key].flag)
        whole = isinstance(value, float) and value.is_integer()
        said[known[key].name] = str(int(value)) if whole else written(value)
    return build(ask, said)


_JSON: dict[type, str] = {int: "integer", float: "number", bool: "boolean"}
_PATTERNS: dict[type, str] = {Ratio: r"^\d+:\d+$", Size: r"^\d+x\d+$", Spot: r"^\d+\.\d$"}


def schema(ask: type, say: Callable[[str], str], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A JSON schema of the form, in order; ``say(flag)`` is a field's help, ``choices`` fill its lists."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.flag: _schema(field, say, choices) for field in fields_of(ask)},
        "required": [field.flag for field in fields_of(ask) if field.required],
    }


def _schema(field: Field, say: Callable[[str], str], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": _JSON.get(field.type, "string"),
        "description": say(field.flag),
        "minimum": field.option.low,
        "maximum": field.option.high,
        "maxLength": field.option.longest if field.type is str else None,
        "enum": list(choices[field.option.choices]) if field.option.choices in choices else None,
        "pattern": _PATTERNS.get(field.type),
        "words": True if field.option.words else None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def usage(name: str, ask: type, called: Callable[[str], str] = str) -> str:
    """How a command is written, on one line; ``called`` is what its words are called to a person."""
    parts = [f"/{name}"]
    for field in (*single_words_of(ask), *filter(None, [words_of(ask)])):
        word = called(field.flag).upper()
        parts.append(word if field.required else f"[{word}]")
    hints = {bool: "", Ratio: " W:H", Size: " WxH", Spot: " JOB.N", int: " N", float: " X", str: " …"}
    parts += [f"[--{field.flag}{hints[field.type]}]" for field in flagged(ask) if not field.option.word]
    return " ".join(parts)
