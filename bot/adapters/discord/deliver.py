"""A reply whose interaction was answered before: by its token, else as the bot itself, else in private.

A private result never goes to the channel. What a moderator deleted is not posted there again: it goes to the
person who asked. What finds nobody stays in the gallery (Gone).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bot.adapters.discord.place import Address, made_at
from bot.adapters.discord.render import DELIVERED, PRESS, Message, packed
from bot.adapters.discord.rest import NoAccess, NoMessage, NoToken, Rest
from bot.talk import Gone, Later, Reply, Tone

FIRST = 5.0
"""Seconds in which a first answer may still come about that an earlier life of ours sent: Discord takes one
for three, clocks and lines have the others."""
Render = Callable[[bool], Message]
"""The message; True: as a post of the bot's own, which tells the person and is recognised later."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One reply on its way to ``address`` at ``now`` (Unix seconds); ``me`` is the bot user's id."""

    rest: Rest
    address: Address
    reply: Reply
    render: Render
    now: float
    me: int

    async def deliver(self) -> Address:
        """Show it; where it is now. Raises Gone, and what ``Rest`` does for a moment's trouble."""
        if self.reply.redraws:
            return await self._redrawn()
        try:
            shown = await self._edited()
        except NoMessage:
            self._patient()
            return await self._direct()
        except (NoToken, NoAccess):
            self._patient()
            shown = None
        if shown is not None:
            return shown
        if self.address.private or self._secret:
            return await self._direct()
        try:
            return await self._posted(self.address.channel)
        except NoAccess:
            return await self._direct()

    def _patient(self) -> None:
        """Another message is made only when no first answer can come beside it any more. Raises Later."""
        age = self.now - made_at(self.address.interaction)
        if not self.address.message and 0 <= age < FIRST:
            raise Later(FIRST - age)

    @property
    def _secret(self) -> bool:
        """Others would see it where it is not meant for them."""
        return self.reply.private and not self.address.alone

    @property
    def _news(self) -> bool:
        """Whether it is worth a message of its own: pictures, or the news that there are none."""
        reply = self.reply
        asked_for = bool(reply.images) and reply.tone is not Tone.WAITING
        ended = reply.tone is Tone.BROKEN or (reply.job is None and reply.tone is Tone.REFUSED)
        return asked_for or ended or not self.address.user

    async def _edited(self) -> Address | None:
        """In the message there is; None: there must be another one."""
        rest, address = self.rest, self.address
        if self._secret and not address.private:
            return None
        if address.fresh(self.now):
            return address.at(await rest.edit(address, self.render(False)))
        if not address.message or address.private:
            return None
        if self._news and address.token:  # too old to be noticed
            return None
        await rest.revise(address.channel, address.message, self.render(False))
        return address

    async def _redrawn(self) -> Address:
        """In the message that there is, however old; nobody is told, and what only one person saw stays."""
        rest, address = self.rest, self.address
        try:
            if address.fresh(self.now):
                with suppress(NoToken):
                    return address.at(await rest.edit(address, self.render(False)))
            if address.message and not address.private:
                await rest.revise(address.channel, address.message, self.render(not address.token))
                return address
        except (NoMessage, NoAccess):
            pass
        raise Gone(address.place)

    async def _direct(self) -> Address:
        if not self._news or not self.address.user:
            raise Gone(self.address.place)
        try:
            return await self._posted(await self.rest.direct(self.address.user))
        except NoAccess:
            raise Gone(self.address.place) from None

    async def _posted(self, channel: int) -> Address:
        if not self._news:
            raise Gone(self.address.place)
        message = self.render(True)
        number = await self._found(channel, message)
        if number:
            await self.rest.revise(channel, number, message)
        else:
            number = await self.rest.post(channel, message, self._nonce(message))
        await self._tidy(number)
        return self.address.moved(channel, number)

    def _nonce(self, message: Message) -> str:
        """The same for the same news: a job ends once, and what is no job is known by what it says."""
        if self.reply.job:
            return f"job{self.reply.job}"
        text = json.dumps([self.address.interaction, message.components])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    async def _found(self, channel: int, message: Message) -> int:
        """The id of the post if an earlier life made it: Discord remembers a nonce for minutes only.

        Or of the first answer, if an edit of it came about unheard.
        """
        wanted = _asks({"components": message.components}, DELIVERED)
        with suppress(NoAccess):
            for each in await self.rest.recent(channel):
                if int(each["author"]["id"]) != self.me:
                    continue
                if not wanted:
                    continue
                edited = message.images and each.get("attachments") and _asks(each, PRESS) == wanted
                if edited or _asks(each, DELIVERED) == wanted:
                    return int(each["id"])
        return 0

    async def _tidy(self, kept: int) -> None:
        """The old message would say for ever that something is on its way, or show the picture a second time:
        an edit whose answer was lost may have come about. So what hinders us now is tried again.
        """
        if self.address.message not in {0, kept} and not self.address.private:
            with suppress(NoAccess, NoMessage):
                await self.rest.remove(self.address.channel, self.address.message)


def _asks(message: Mapping[str, Any], wanted: str) -> frozenset[str]:
    """The asks by which a result is recognised: all of them, for some are shared by others."""
    return frozenset(ask for kind, ask in packed(message.get("components")) if kind == wanted)
