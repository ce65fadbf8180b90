"""Asks as a button carries them: the fields in order, in at most ``LONGEST_PACK`` bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote

from bot.options.declare import class_of, fields_of
from bot.options.value import build, written
from storage.refusal import Refusal


def squeeze(ask: Any) -> list[str]:
    """The fields a button carries, in order; empty where a field has its default, none at the end."""
    parts = [
        "" if (value := getattr(ask, field.name)) == field.default else quote(written(value), safe="")
        for field in fields_of(class_of(ask))
        if not field.option.typed
    ]
    while parts and not parts[-1]:
        parts.pop()
    return parts


def unsqueeze(parts: Sequence[str], ask: type) -> Any:
    """The ask that a button carried. Anybody can send anything: whatever is no ask is the same Refusal."""
    carried = [field for field in fields_of(ask) if not field.option.typed]
    if len(parts) > len(carried):
        raise Refusal("bad_button")
    try:
        return build(
            ask, {field.name: unquote(part) for field, part in zip(carried, parts, strict=False) if part}
        )
    except Refusal:
        raise Refusal("bad_button") from None
