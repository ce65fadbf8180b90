"""The declaration of a command: its fields, and what a chat needs to know of each."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin

LONGEST_LINE = 12_000
"""Characters of one chat message that are looked at; two full prompts and every flag fit."""
LONGEST_PACK = 64
"""Bytes of a packed ask: what Telegram lets a button carry."""


class Ratio(NamedTuple):
    """Width to height, as in ``--ar 16:9``."""

    wide: int
    high: int


class Size(NamedTuple):
    """Pixels, as in ``--size 512x768``."""

    width: int
    height: int


class Spot(NamedTuple):
    """One picture of a job, as in ``--from 12.3``: the third of job 12 (``picture`` counts from 0)."""

    job: int
    picture: int


@dataclass(frozen=True, slots=True)
class Option:
    """What a chat needs to know of a field, beside its type.

    ``words``: the text that stands outside of all flags. ``word``: one word of that text, before ``words``,
    in the order of the fields (``/mod quota set @ana 20``); written with its flag, it takes none.
    ``rest``: takes text up to the next flag.
    ``typed``: filled in a text box, never carried by a button. ``choices`` names a list that only a running
    bot knows (``models``, ``styles``) or a fixed one (``samplers``, ``languages``, or one of ``CHOICES``).
    ``names`` says what the text names: ``person``, ``role``, ``channel``, or ``subject`` for any of them. A
    chat with pickers offers one, and every chat writes what was picked or mentioned in one way: a person as
    their Who (``discord:5``), a role as ``@`` and its text in ``Call.roles`` (``@role:55``), a channel as
    ``#`` and its text in ``Call.channel`` (``#discord:9``); the picked one's name goes into ``Call.titles``.
    """

    flag: str = ""
    aliases: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    longest: int = 200
    choices: str = ""
    words: bool = False
    rest: bool = False
    typed: bool = False
    word: bool = False
    names: str = ""


CHOICES: dict[str, tuple[str, ...]] = {
    "periods": ("day", "week", "month"),
    "rules": ("word", "pattern", "allow"),
    "tariffs": ("free", "half", "closed"),
    "nsfw": ("withhold", "spoiler", "allow"),
    "ways": ("show", "spoiler", "hold", "delete"),
}
"""Fixed lists that ``Option.choices`` may name."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an ask: its name, its type without None, and its ``Option``."""

    name: str
    type: type
    option: Option
    required: bool
    default: object

    @property
    def flag(self) -> str:
        """What stands after the two dashes."""
        return self.option.flag or self.name


@cache
def fields_of(ask: type[Any]) -> tuple[Field, ...]:
    """Every field of an ask, in the order of its declaration."""
    hints = typing.get_type_hints(ask, include_extras=True)
    return tuple(_field(each, hints[each.name]) for each in dataclasses.fields(ask))


def _field(each: dataclasses.Field[Any], hint: Any) -> Field:
    option = Option()
    if get_origin(hint) is Annotated:
        hint, option = get_args(hint)
    if get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in get_args(hint) if part is not type(None))
    required = each.default is dataclasses.MISSING
    return Field(each.name, hint, option, required, None if required else each.default)


def class_of(ask: object) -> Any:
    """Its class, which no type checker takes for a command's."""
    return type(ask)


@cache
def flags_of(ask: type) -> dict[str, Field]:
    """Flag or alias → field, for everything that can be written as a flag."""
    return {
        name: field
        for field in fields_of(ask)
        if not field.option.words
        for name in (field.flag, *field.option.aliases)
    }


def words_of(ask: type) -> Field | None:
    """The field that takes the words outside of all flags."""
    return next((field for field in fields_of(ask) if field.option.words), None)


def single_words_of(ask: type) -> list[Field]:
    """The fields that take one word each of what stands outside of all flags."""
    return [field for field in fields_of(ask) if field.option.word]


def flagged(ask: type) -> list[Field]:
    """The fields that can be written as a flag, in order."""
    return [field for field in fields_of(ask) if not field.option.words]
