"""What the moderators' page needs from the rest of the bot; ``bot/bureau.py`` answers it from the App."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bot.talk import Button, Reply, Who
from storage.refusal import Refusal

Record = dict[str, Any]
"""As the page receives it: JSON."""


@dataclass(frozen=True, slots=True)
class Chair:
    """Who asks, as what and in which language: decided anew for each request.

    ``name`` is the browser's; the ``owner`` may look at and decide in every community.
    """

    name: str
    who: Who
    community: str
    owner: bool = False
    language: str = "en"


class Bureau(Protocol):
    """Entitlements, books and commands behind the moderators' page. Whatever reads gets a Chair and answers
    for its community alone."""

    def opened(self, address: str) -> None:
        """The page is here now."""

    def enter(self, token: str, name: str) -> bool:
        """A link's token is used, once: its person sits in this browser now."""

    async def chair(self, name: str) -> Chair | None:
        """Whoever sits in this browser, if they moderate at this moment; None: nobody does."""

    def taken(self, name: str) -> bool:
        """Whether somebody took a seat in this browser, and it lasts: then None above means "no longer"."""

    async def owner(self, who: Who) -> bool:
        """Is this the owner of the machine, signed in on the people's page?"""

    def leave(self, name: str) -> None:
        """Nobody sits in this browser any more."""

    async def me(self, chair: Chair) -> Record:
        """Who I am here, and which communities I may choose."""

    async def known(self, community: str) -> bool:
        """Is there such a community?"""

    async def view(self, chair: Chair, name: str, query: dict[str, str]) -> Record:
        """One of ``VIEWS``. Raises Refusal for what is asked wrongly."""

    async def rows(
        self, chair: Chair, name: str, query: dict[str, str]
    ) -> tuple[Sequence[str], list[list[Any]]]:
        """One of ``EXPORTS`` as a table: its columns and rows."""

    async def what_if(self, chair: Chair, mix: str, engines: int, members: int) -> Record:
        """Begin to play how so many machines and people would fare; the view ``whatif`` as it is now. Raises
        Refusal while another question is played."""

    async def may_look(self, chair: Chair, digest: str) -> bool:
        """Whether this moderator may see that picture."""

    async def picture(self, digest: str, *, small: bool) -> bytes:
        """The file, or its preview; Refusal when it is gone."""

    async def do(self, chair: Chair, command: str, fields: Record, key: str) -> list[Reply]:
        """Say one of the moderators' commands, as in a chat. The same ``key`` again does it once. Raises
        Refusal."""

    def pressable(self, button: Button) -> Record | None:
        """A button as the page says it back: its label, command and fields; None for one it may not say."""

    def refused(self, language: str, refusal: Refusal) -> str:
        """A refusal as its person reads it."""

    def texts(self, language: str) -> Record:
        """The page's own sentences."""


VIEWS = ("queue", "usage", "ledger", "gallery", "cases", "rules", "audit", "engine", "whatif")
EXPORTS = ("ledger", "usage", "audit")
