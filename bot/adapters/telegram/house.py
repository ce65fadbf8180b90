"""What Telegram asks of the rest of the bot. A chat may not know the commands; who builds it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.talk import Ask, Place, Who


@dataclass(frozen=True, slots=True)
class Recent:
    """One of a person's own pictures that Telegram knows already; ``prompt`` is their own text."""

    job: int
    index: int
    prompt: str
    ref: str
    """Telegram's ``file_id``."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of the token found: ``mark`` is ok, note or bad, ``what`` a key of ``telegram.check``."""

    mark: str
    what: str
    values: tuple[tuple[str, object], ...] = ()


class House(Protocol):
    """The rest of the bot."""

    def pack(self, ask: Ask) -> str:
        """An ask as a button carries it, in at most 64 bytes."""

    def unpack(self, packed: str, typed: str | None = None) -> Ask:
        """The ask that a button carried, with what was typed for it. Raises Refusal bad_button."""

    def knows(self, name: str) -> bool:
        """Is there a command (or an alias) of this name?"""

    def replaces(self, ask: Ask) -> bool:
        """Whether the answer takes the place of the private page with the button."""

    def menu(self, language: str, *, moderates: bool = False) -> Sequence[tuple[str, str]]:
        """Every command with its sentence, in the order of /help; also those for who ``moderates``."""

    async def language(self, who: Who, spoken: str, community: str = "") -> str:
        """What this person is answered in; ``spoken`` if neither they nor their community chose."""

    async def placed(self, job: int, place: Place) -> None:
        """A message was made for this job, there: its picture is shown in it, also after a crash."""

    async def remember(self, digest: str, ref: str) -> None:
        """Telegram knows this picture of the gallery as ``ref``."""

    async def recent(self, who: Who, words: str, limit: int) -> Sequence[Recent]:
        """The newest pictures of ``who`` that Telegram knows, with ``words`` in their prompt."""
