"""Buttons as Telegram shows them: rows that a phone can read, 64 bytes behind each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from telegram import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup

from bot.adapters.telegram.rich import COPY, units
from bot.talk import Ask, Button
from bot.texts import say

WIDE = 34
"""Letters that one row has room for on a phone, where all its buttons are as wide as each other."""
_STYLES = {"main": "primary", "danger": "danger"}

Pack = Callable[[Ask], str]


def keyboard(rows: Sequence[Sequence[Button]], pack: Pack, prompt: str = "") -> InlineKeyboardMarkup | None:
    """The buttons, and one that copies ``prompt`` if that is short enough; None if there are none."""
    made = [[_button(button, pack) for button in row] for row in rows]
    if made and prompt and units(prompt) <= COPY:
        copy = InlineKeyboardButton(say("", "telegram.copy"), copy_text=CopyTextButton(prompt))
        made[-1].append(copy)
    flat = [part for row in made for part in _broken(row)]
    return InlineKeyboardMarkup(flat) if flat else None


def _button(button: Button, pack: Pack) -> InlineKeyboardButton:
    style = _STYLES.get(button.style)
    return InlineKeyboardButton(button.label, callback_data=pack(button.ask), style=style)


def _broken(row: list[InlineKeyboardButton]) -> list[list[InlineKeyboardButton]]:
    """A row in as few rows as can be read, as even as they can be."""
    for count in range(1, len(row) + 1):
        each = -(-len(row) // count)
        parts = [row[i : i + each] for i in range(0, len(row), each)]
        if all(len(part) == 1 or len(part) * max(units(b.text) for b in part) <= WIDE for part in parts):
            return parts
    return []
