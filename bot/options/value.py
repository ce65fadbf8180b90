"""One written value, read and written, and an ask made of all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from bot.options.declare import CHOICES, Field, Ratio, Size, Spot, fields_of
from bot.options.words import plain, shown
from storage.refusal import Mistakes, Refusal

_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:\.\d{3}){2,})", re.ASCII)
_DECIMALS = re.compile(r"[+-]?\d{1,20}[.,]\d{0,20}", re.ASCII)
_UNCLEAR = re.compile(r"\+?(?!0)(\d{1,3})[.,](\d{3})")


def amount(text: str) -> float:
    """``2,5`` and ``0.125`` have decimals, ``1.000.000`` has thousands.

    Raises ValueError for what is no number, Refusal for ``1.500`` and ``1,500``: people read it in two ways.
    """
    if unclear := _UNCLEAR.fullmatch(text):
        whole, three = unclear.groups()
        readings = {"large": int(whole + three), "small": float(f"{whole}.{three}")}
        raise Refusal("unclear_amount", value=text, **readings)
    if _THOUSANDS.fullmatch(text):
        return float(re.sub(r"[.,]", "", text))
    return float(text.replace(",", "."))


def _number(field: Field, text: str) -> float:
    cleaned = text.strip().lstrip("#").replace("−", "-").replace("–", "-")
    large = field.type is float and (field.option.high or 0) >= 1_000
    try:
        value = amount(cleaned) if large else _small(field, cleaned.replace(",", "."))
    except ValueError:
        code = "not_whole" if field.type is int and _DECIMALS.fullmatch(cleaned) else "not_a_number"
        raise Refusal(code, flag=field.flag, value=shown(text), example=_example(field)) from None
    low, high = field.option.low, field.option.high
    if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        raise _outside(field, value, shown(text))
    return value


def _outside(field: Field, value: float, text: str) -> Refusal:
    """What stands without its flag (``/gift @ana 0``) is not told of one that nobody typed."""
    low, high = field.option.low or 0, field.option.high or 0
    if not field.option.word:
        return Refusal("out_of_range", flag=field.flag, value=text, low=low, high=high)
    if value < low:
        return Refusal("too_little", value=text, low=low)
    return Refusal("too_much", value=text, high=high)


def _example(field: Field) -> float:
    """A number that the field takes."""
    low, high = field.option.low, field.option.high
    return max(low or 0, 12 if high is None else min(12, high))


def _small(field: Field, text: str) -> float:
    return float(text) if field.type is float else int(text)


_RATIO = re.compile(r"([0-9]{1,4})\s*[:/x×]\s*([0-9]{1,4})")
_SIZE = re.compile(r"([0-9]{1,5})(?:\s*[x×*:,]\s*([0-9]{1,5}))?")
_SPOT = re.compile(r"#?([0-9]{1,15})[.:/]([1-9])")


def _ratio(field: Field, text: str) -> Ratio:
    match = _RATIO.fullmatch(text.strip().casefold())
    if match is None or not int(match[1]) or not int(match[2]):
        raise Refusal("bad_ratio", flag=field.flag, value=shown(text))
    return Ratio(int(match[1]), int(match[2]))


def _size(field: Field, text: str) -> Size:
    match = _SIZE.fullmatch(text.strip().casefold())
    if match is None:
        raise Refusal("bad_sides", flag=field.flag, value=shown(text))
    return Size(int(match[1]), int(match[2] or match[1]))


def _spot(field: Field, text: str) -> Spot:
    match = _SPOT.fullmatch(text.strip())
    if match is None:
        raise Refusal("bad_spot", flag=field.flag, value=shown(text))
    return Spot(int(match[1]), int(match[2]) - 1)


_YES = frozenset({"", "1", "yes", "true", "on", "y", "si", "sí", "s"})
_NO = frozenset({"0", "no", "false", "off", "n"})


def _switch(field: Field, text: str) -> bool:
    word = text.strip().casefold()
    if word not in _YES | _NO:
        raise Refusal("bad_switch", flag=field.flag, value=shown(text))
    return word in _YES


def _text(field: Field, text: str) -> str:
    value = plain(text)
    if len(value) > field.option.longest:
        code = "prompt_too_long" if field.option.words else "text_too_long"
        raise Refusal(code, flag=field.flag, length=len(value), limit=field.option.longest)
    return value


_READ: dict[type, Callable[[Field, str], object]] = {
    int: _number,
    float: _number,
    str: _text,
    bool: _switch,
    Ratio: _ratio,
    Size: _size,
    Spot: _spot,
}


def written(value: object) -> str:
    """A value as a person writes it: ``build`` reads it again."""
    match value:
        case Ratio():
            return f"{value.wide}:{value.high}"
        case Size():
            return f"{value.width}x{value.height}"
        case Spot():
            return f"{value.job}.{value.picture + 1}"
        case bool():
            return "yes" if value else "no"
        case float():
            text = repr(value).removesuffix(".0")
            return f"{text}0" if _UNCLEAR.fullmatch(text) else text  # 1.1250 is no thousand
        case _:
            return str(value)


def build(ask: type, values: Mapping[str, str], wrong: Mistakes | None = None) -> Any:
    """The ask made of written values, by field name. Raises Refusal for all that is missing or out of bounds.

    ``wrong`` is what was wrong before.
    """
    known, wrong = {field.name: field for field in fields_of(ask)}, wrong or Mistakes()
    read: dict[str, object] = {}
    for name, text in values.items():
        with wrong.noted():
            read[name] = _READ[known[name].type](known[name], text)
    for field in known.values():
        if field.required and (read if field.name in read else values).get(field.name, "") == "":
            wrong.found.append(
                Refusal("empty_prompt", flag=field.flag) if field.name == "prompt" else lacking(field)
            )
    if wrong.found:
        wrong.draft = _draft(ask, read)
    wrong.say()
    return ask(**read)


def lacking(field: Field) -> Refusal:
    """The refusal of a field without a value, with what it may be where that is a fixed list."""
    if known := CHOICES.get(field.option.choices):
        return Refusal("missing_choice", flag=field.flag, known=", ".join(known))
    return Refusal("missing_value", flag=field.flag)


def _draft(ask: type, read: Mapping[str, object]) -> object:
    """The ask of what could be read, so that the rest of it can be judged too; None if too little could."""
    missing = [field for field in fields_of(ask) if field.required and read.get(field.name, "") == ""]
    if any(field.type is not str for field in missing):
        return None
    return ask(**{**read, **{field.name: "?" for field in missing}})
