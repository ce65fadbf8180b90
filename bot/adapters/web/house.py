"""What the page needs from the rest of the bot, in its own words. ``bot/page.py`` answers it from the App."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from bot.talk import Ask, Attachment, Button, Reply, Who
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Past:
    """A message of an earlier run of the bot: what was asked and what it came to.

    Without a reply its ``job`` is still under way, and can be followed.
    """

    name: str
    at: float
    said: str
    reply: Reply | None
    job: int | None = None
    picture: bool = False
    """A picture was sent with it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One picture in somebody's gallery; ``buttons`` are what can be done with it."""

    id: int
    job: int
    digest: str
    prompt: str
    width: int
    height: int
    starred: bool
    created: float
    seed: int
    model: str
    private: bool = False
    buttons: tuple[tuple[Button, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """One of my jobs that is not over; ``ahead`` jobs come before it."""

    job: int
    prompt: str
    running: bool
    ahead: int
    low: float
    high: float
    created: float
    buttons: tuple[tuple[Button, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger, in units."""

    why: str
    units: int
    at: float
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """What I may still spend, in units; ``refills`` is the Unix time of the next refill to ``daily``."""

    balance: int
    daily: int
    unlimited: bool
    refills: float
    entries: tuple[Entry, ...] = ()


class House(Protocol):
    """Accounts, pictures and commands behind the page."""

    async def member(self, who: Who) -> bool:
        """Whether this session belongs to an account."""

    async def admit_owner(self, who: Who, language: str) -> None:
        """The session now belongs to the owner's account."""

    async def owner(self, who: Who) -> bool:
        """Whether this session is the owner's, who moderates everywhere."""

    async def redeem(self, code: str, who: Who, language: str) -> None:
        """The session now belongs to the account that made the code; Refusal when it does not."""

    async def leave(self, who: Who) -> None:
        """The session belongs to nobody any more."""

    async def language(self, who: Who) -> str:
        """What the bot answers this person in."""

    async def speak(self, who: Who, language: str) -> None:
        """Answer them in this language from now on, in every chat."""

    async def may_see(self, who: Who, digest: str) -> bool:
        """Whether that picture is in this person's own gallery."""

    async def upload(self, data: bytes) -> str:
        """Keep a picture that somebody sends, as it is, for a while; return its digest."""

    async def uploaded(self, picture: Attachment) -> bytes:
        """It again; Refusal when it is gone."""

    async def picture(self, digest: str, *, small: bool) -> bytes:
        """The file, or its preview; Refusal when it is gone."""

    def about(self, language: str, *, owner: bool) -> dict[str, Any]:
        """Commands for the autocomplete and the form behind "Options", in that language.

        A command that is not ``offered`` to them is one all the same when they type it.
        """

    def pack(self, ask: Ask) -> str:
        """A button's ask as short text."""

    def read(self, text: str, press: str, fields: dict[str, Any]) -> Ask | None:
        """The ask of a pressed button or a typed line, with what a form beside it says.

        None: the conversation parses the text itself. Refusal: it is no ask.
        """

    def changes(self, ask: Ask) -> int | None:
        """The job whose finished pictures this ask may change (a star, a deletion)."""

    def job_of(self, ask: Ask) -> int | None:
        """The job that a button is about."""

    def refused(self, language: str, refusal: Refusal) -> Reply:
        """A refusal as its person reads it."""

    async def past(self, who: Who, session: str) -> tuple[Past, ...]:
        """What this session was shown in earlier runs, oldest first."""

    def follow(self, who: Who, job: int) -> AsyncIterator[Reply]:
        """A job of mine that is still under way, from now on; its pictures come from elsewhere."""

    async def pieces(self, who: Who, job: int) -> tuple[Kept, ...]:
        """The single pictures of a job of mine, in order; empty when it is not mine or gone."""

    async def card(self, who: Who, job: int) -> Reply | None:
        """A finished job of mine as it looks now (stars, deletions), in my language; None: it is not mine."""

    async def retold(self, who: Who, ask: Ask, language: str) -> Reply | None:
        """What an ask that only looks (details) shows in another language; None: it does more, or is none of
        those. Refusal: it shows nothing any more.
        """

    async def gallery(
        self, who: Who, language: str, *, before: int | None, starred: bool
    ) -> tuple[Kept, ...]:
        """A page of my pictures, newest first, at most ``PAGE``."""

    async def queue(self, who: Who, language: str) -> tuple[Waiting, ...]:
        """My jobs that wait or run."""

    async def quota(self, who: Who) -> Quota:
        """What I may still spend, and the last entries."""

    async def defaults(self, who: Who) -> dict[str, Any]:
        """What I chose under settings: option names and values."""

    async def save(self, who: Who, fields: dict[str, Any]) -> None:
        """These are my settings now; Refusal for what there is not."""


PAGE = 24
"""Pictures on one page of the gallery."""
