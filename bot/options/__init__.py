"""One declaration of a command, read as chat text with --flags, as a form, on a command line, in a button.

A command's ask is a frozen dataclass; what a chat needs to know of a field stands in its annotation::

    @dataclass(frozen=True, slots=True)
    class Imagine:
        prompt: Annotated[str, Option(words=True)]
        steps: Annotated[int | None, Option("steps", ("s", "pasos"), low=1, high=150)] = None

Prompts are prose: an apostrophe is an apostrophe, a quote groups only the value of a flag, a long dash from a
phone is two dashes unless it encloses words (—like this—). ``\\--word`` is the word, not a flag. Every reader
is linear in its input and raises nothing but ``Refusal``.
"""

from __future__ import annotations

from bot.options.button import squeeze, unsqueeze
from bot.options.chat import arguments, line, parse, read, spoken, unknown_command, unknown_flag
from bot.options.declare import (
    CHOICES,
    LONGEST_LINE,
    LONGEST_PACK,
    Field,
    Option,
    Ratio,
    Size,
    Spot,
    fields_of,
    flags_of,
    single_words_of,
    words_of,
)
from bot.options.forms import form, schema, usage
from bot.options.value import amount, build
from bot.options.words import nearest, plain, shown, without_controls

__all__ = [
    "CHOICES", "LONGEST_LINE", "LONGEST_PACK", "Field", "Option", "Ratio", "Size", "Spot", "amount",
    "arguments", "build", "fields_of", "flags_of", "form", "line", "nearest", "parse", "plain", "read",
    "schema", "shown", "single_words_of", "spoken", "squeeze", "unknown_command", "unknown_flag", "unsqueeze",
    "usage", "without_controls", "words_of",
]  # fmt: skip
