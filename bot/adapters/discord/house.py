"""What the Discord adapter asks of the rest of the bot; ``bot/desk.py`` answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.talk import Ask, Call, Reply, Who
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Declared:
    """One command. ``pictures``: a picture may come with it; ``moderates``: for those who run a community."""

    name: str
    ask: type
    pictures: bool = False
    moderates: bool = False


@dataclass(frozen=True, slots=True)
class Blank:
    """One thing to fill in: a text, or one of ``choices`` (pairs of value and label)."""

    flag: str
    label: str
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    long: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """What a person fills in before the ask behind a button is one."""

    title: str
    blanks: tuple[Blank, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the house is: people who are drawn for now, jobs that wait."""

    drawing: int
    waiting: int


class House(Protocol):
    """The rest of the bot, as far as a chat may know it."""

    @property
    def language(self) -> str:
        """What the operator speaks."""

    def commands(self) -> Sequence[Declared]:
        """Every command that can be typed."""

    def choices(self, kind: str) -> Sequence[str]:
        """The names behind a field's ``choices``, from memory."""

    def read(self, name: str, values: Mapping[str, object]) -> Ask:
        """The ask that a command's options say; flags in its words count too. Raises Refusal."""

    def pack(self, ask: Ask) -> str:
        """An ask as a button carries it, at most 64 bytes."""

    def unpack(self, packed: str) -> Ask:
        """The ask that a button carried. Raises Refusal."""

    def menu(self, entry: str, packed: Iterable[str]) -> Ask:
        """What an entry of a message's menu (``info``, ``report``) asks about a message with these buttons.
        Raises Refusal if it has no picture.
        """

    def private(self, ask: Ask, *, alone: bool) -> bool:
        """Whether only who asks may see the answer. ``alone``: nobody else is there."""

    def replaces(self, ask: Ask, *, pictures: bool) -> bool:
        """Whether the answer takes the place of its button's private message (with ``pictures`` or not)."""

    def change(self, ask: Ask, language: str) -> tuple[str, str]:
        """Label and packed ask of a button that opens a form and goes with this ask's answers; else empty."""

    async def form(self, packed: str, call: Call) -> Form:
        """What to fill in before this ask is complete. Raises Refusal."""

    async def filled(self, packed: str, values: Mapping[str, str], who: Who) -> Ask:
        """The ask that a filled form says. Raises Refusal."""

    async def load(self) -> Load:
        """How busy the house is now."""

    def refused(self, language: str, refusal: Refusal) -> Reply:
        """A refusal as its person reads it."""
