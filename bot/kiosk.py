"""What Telegram asks of the rest of the bot (``adapters.telegram.house.House``), answered by the App.

It stands outside of ``adapters`` because a chat may not know the commands.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bot import commands
from bot.adapters.telegram.house import Recent
from bot.app import App
from bot.commands.delete import Delete
from bot.commands.settings import Settings
from bot.commands.star import Star
from bot.talk import Ask, Place, Who, platform
from bot.texts import say
from storage import accounts, jobs, policy, refs
from storage.database import Connection
from storage.refusal import Refusal

log = logging.getLogger(__name__)

PAGES = frozenset({Settings, Star, Delete})
"""Their answers take the place of the private page, or question, that the button was under."""
SEARCHED = 200
"""Pictures that are looked through for words."""
_NAMES = frozenset(
    name.split()[0] for each in commands.COMMANDS + commands.MODERATION for name in (each.name, *each.aliases)
)


@dataclass(frozen=True, slots=True)
class Kiosk:
    """The House of Telegram."""

    app: App

    def pack(self, ask: Ask) -> str:
        """An ask as a button carries it."""
        return commands.pack(ask)

    def unpack(self, packed: str, typed: str | None = None) -> Ask:
        """The ask that a button carried, with what was typed for it."""
        return commands.unpack(packed, typed)

    def replaces(self, ask: Ask) -> bool:
        """Whether the answer takes the place of the page with the button."""
        return type(ask) in PAGES

    def knows(self, name: str) -> bool:
        """Is there a command (or an alias) of this name?"""
        return name.casefold() in _NAMES

    def menu(self, language: str, *, moderates: bool = False) -> Sequence[tuple[str, str]]:
        """Every command with its sentence."""
        offered = commands.COMMANDS + (commands.MODERATION if moderates else ())
        names = [each.name for each in offered if " " not in each.name]
        return [(name, say(language, f"command.{name}.summary")) for name in names]

    async def placed(self, job: int, place: Place) -> None:
        """Where a job's message is, before its picture is put there; a full disk holds no picture up."""
        try:
            await self.app.database.write(jobs.set_place, job, place)
        except Refusal as refusal:
            log.warning("place not recorded", extra={"action": "disk", "code": refusal.code, "job": job})

    async def language(self, who: Who, spoken: str, community: str = "") -> str:
        """What this person is answered in."""

        def chosen(tx: Connection) -> str | None:
            known = accounts.find(tx, who)
            own = None if known is None else accounts.get(tx, known).defaults.language
            return own or (policy.counts(tx, community).language if community else None)

        try:
            return await self.app.database.read(chosen) or spoken
        except Refusal:
            return spoken

    async def remember(self, digest: str, ref: str) -> None:
        """Telegram knows this picture of the gallery as ``ref``; a loss costs nothing."""
        try:
            await self.app.database.write(refs.put, "telegram", digest, ref)
        except Refusal:
            return

    async def recent(self, who: Who, words: str, limit: int) -> Sequence[Recent]:
        """The newest pictures of ``who`` that Telegram knows, with ``words`` in their prompt."""

        def mine(tx: Connection) -> tuple[refs.Known, ...]:
            known = accounts.find(tx, who)
            return () if known is None else refs.recent(tx, platform(who), known, SEARCHED)

        try:
            found = await self.app.database.read(mine)
        except Refusal:
            return ()
        wanted = words.casefold()
        fitting = [each for each in found if wanted in each.prompt.casefold()]
        return [Recent(each.job, each.index, each.prompt, each.ref) for each in fitting[:limit]]
