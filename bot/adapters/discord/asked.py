"""One interaction from its arrival until it is answered.

Discord waits three seconds for the first answer. The bot's answer is the first one, when it is there at once
(a refusal is then seen by nobody else); otherwise Discord is told to wait, and who will see what comes is
decided.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from bot.adapters.discord.place import Address
from bot.adapters.discord.render import TEXT, Message
from bot.adapters.discord.rest import NEW, SILENT, THINKING, UPDATE, Answered, NoAccess, NoMessage, Rest
from bot.talk import Later, Unsure

GRACE = 0.6
"""Seconds until Discord is told to wait: far from its three, longer than an answer usually takes."""
_NOTHING = Message([{"type": TEXT, "content": "…"}])


class State(Enum):
    """How far an interaction is."""

    OPEN = auto()
    WAITING = auto()
    ANSWERED = auto()


@dataclass
class Asked:
    """``address`` says where the answer is to be. ``replaces``: it takes the place of the message
    pressed. ``form``: label and packed ask of a button that goes with the answer, if any.
    """

    rest: Rest
    address: Address
    replaces: bool = False
    form: tuple[str, str] = ("", "")
    state: State = State.OPEN
    waiting: asyncio.Task[None] | None = None
    """Runs ``wait``."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def wait(self, seconds: float = GRACE) -> None:
        """Tell Discord to wait, unless it has its answer in ``seconds``."""
        await asyncio.sleep(seconds)
        async with self._lock:
            if self.state is State.OPEN:
                await self._defer()

    async def _defer(self) -> None:
        kind = SILENT if self.replaces else THINKING
        try:
            message = await self._first(kind, None, private=self.address.private)
        except Answered:
            message = 0
        self.address = self.address.at(message or self.address.message)
        self.state = State.WAITING

    def close(self) -> None:
        """It is answered, or never will be."""
        self.state = State.ANSWERED
        if self.waiting is not None:
            self.waiting.cancel()

    async def answer(self, message: Message) -> Address:
        """Show it; where it is now. Raises what ``Rest`` does; after NoToken it is for others to show."""
        async with self._lock:
            if self.state is State.OPEN:
                shown = await self._at_once(message)
                if shown is not None:
                    return shown
            shown = await self._late(message)
            self.close()
            return shown

    async def _at_once(self, message: Message) -> Address | None:
        private = self.address.private or message.private
        try:
            number = await self._first(UPDATE if self.replaces else NEW, message, private=private)
        except Answered:  # its answer was lost, or an earlier life of ours gave it
            self.state = State.WAITING
            return None
        self.address = replace(self.address.at(number or self.address.message), private=private)
        self.close()
        return self.address

    async def _late(self, message: Message) -> Address:
        if message.private and not self.address.private:
            return await self._aside(message)
        number = await self.rest.edit(self.address, message)
        self.address = self.address.at(number)
        return self.address

    async def _aside(self, message: Message) -> Address:
        """Everybody sees that we think, and what came is for one person: our thinking is taken back.

        While Discord waits, a second answer would become the first, for all to see: so it is ended before.
        """
        await self.rest.edit(self.address, _NOTHING)
        number = await self.rest.follow(self.address, message)
        with suppress(NoMessage, NoAccess, Later, Unsure):
            await self.rest.withdraw(self.address)
        self.address = replace(self.address.at(number), private=True, second=True)
        return self.address

    async def _first(self, kind: int, message: Message | None, *, private: bool) -> int:
        return await self.rest.answer(
            self.address.interaction, self.address.token, kind, message, private=private
        )
