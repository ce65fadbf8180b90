"""Discord as an adapter: interactions become Calls, Replies become messages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord

from bot.adapters.discord import files, hear, render
from bot.adapters.discord.asked import Asked, State
from bot.adapters.discord.client import AWAY, Client, Connect, connect
from bot.adapters.discord.declare import commands, names
from bot.adapters.discord.deliver import Delivery
from bot.adapters.discord.house import House
from bot.adapters.discord.pace import Pace
from bot.adapters.discord.place import MIB, PLATFORM, TOKEN_SECONDS, Address, made_at, parse
from bot.adapters.discord.render import Message, Style
from bot.adapters.discord.rest import MODAL, SUGGEST, Answered, NoAccess, NoMessage, NoToken, Rest, TooLarge
from bot.config import Discord as Config
from bot.talk import Attachment, Call, Gone, Later, Place, Reply, Tone, Unsure, Who
from bot.texts import LANGUAGES, say
from storage.refusal import Refusal

log = logging.getLogger(__name__)

ENTRANCE = 10.0
"""Seconds that an answer waits for the bot to be signed in."""
ANSWERS = 3.0
"""Seconds that Discord has to say who may manage a server."""
CLOSING = 3.0
"""Seconds for a good-bye."""
PARTING = 0.3
"""Seconds of them until the connection is closed under what has not ended by itself."""
STALE = 2.5
"""Seconds on its way after which Discord is asked first whether it still waits for an answer."""
ECHO = 15.0
"""Seconds in which an edit may still come about that nobody heard of: given up, or sent by a life before."""
PRESENCE = 20.0
"""Seconds between two looks at how busy the house is."""


class Discord:
    """One bot user, in every server and conversation it is in."""

    name = PLATFORM
    pace = 0.0

    def __init__(
        self, house: House, client: Client, *, clock: Callable[[], float] = time.time,
        connect: Connect = connect, tell: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.client = client
        self.house = house
        self.rest = Rest(client)
        client.heard = self.heard
        self._clock = clock
        self._connect = connect
        self._tell = tell
        self._pace = Pace(clock)
        self._asked: OrderedDict[int, Asked] = OrderedDict()
        self._calls: asyncio.Queue[Call | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._parts: list[asyncio.Task[None]] = []
        """What listens: the connection, and what the bot says about itself."""
        self._lag: float | None = None
        """The smallest time that an interaction took to us, as the two clocks tell it (s)."""
        self._closed = False
        self._names = {language: names(house.commands(), language) for language in LANGUAGES}

    @classmethod
    def enter(
        cls, house: House, config: Config, data: Path, clock: Callable[[], float], tell: Callable[[str], None]
    ) -> Discord:
        """The real one. ``data`` is the folder that remembers which commands were declared."""
        assert config.token is not None  # noqa: S101 - without a token nobody asks for Discord
        table, memo = commands(house.commands()), data / "discord.commands"
        client = Client(config.token, table, memo, api_root=config.api_root)
        return cls(house, client, clock=clock, tell=tell)

    @property
    def echo(self) -> float:
        """Seconds after which a picture is shown once more that an older edit may stand over."""
        return ECHO

    # --- life

    async def listen(self) -> AsyncIterator[Call]:
        """Every call that people make, until the adapter is closed."""
        self._parts = [asyncio.create_task(part) for part in (self._connected(), self._tend())]
        for part in self._parts:
            part.add_done_callback(self._ended)
        try:
            while (call := await self._calls.get()) is not None:
                yield call
            for part in self._parts:
                if part.done() and not part.cancelled():
                    part.result()
        finally:
            for part in self._parts:
                part.cancel()

    def _ended(self, part: asyncio.Task[None]) -> None:
        """What broke ends the listening, so that all of it is started again."""
        if not part.cancelled() and part.exception():
            self._calls.put_nowait(None)

    async def _connected(self) -> None:
        await self._connect(self.client, lambda key: self._tell(say(self.house.language, key)))

    async def _tend(self) -> None:
        """What the bot says about itself is true: how busy it is, which commands it has."""
        while True:
            await self.client.entered.wait()
            if ready := self.client.is_ready():
                await self._present()
            await asyncio.sleep(PRESENCE if ready else 1.0)

    async def _present(self) -> None:
        try:
            await self.client.declare()
            text = await self._busy()
        except (Refusal, Later, Unsure, OSError, discord.DiscordException) as error:
            log.info("not presented", extra={"action": "presence", "error": type(error).__name__})
            return
        await self.client.present(text)

    async def _busy(self) -> str:
        load = await self.house.load()
        if not (load.drawing or load.waiting):
            return say(self.house.language, "discord.idle")
        return say(self.house.language, "discord.presence", n=load.drawing, waiting=load.waiting)

    async def close(self) -> None:
        """Tell Discord to wait for what is not answered, and leave."""
        if self._closed:
            return
        self._closed = True
        self._calls.put_nowait(None)
        for part in self._parts:  # or it would connect anew what is closed here
            part.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                waiting = [each.wait(0) for each in self._asked.values() if each.state is State.OPEN]
                await asyncio.gather(*waiting, return_exceptions=True)
                if self._parts:  # the library ends only with its connection while it makes a new one
                    await asyncio.wait(self._parts, timeout=PARTING)
                await self.client.leave()
                await asyncio.gather(*self._parts, return_exceptions=True)
        for task in self._tasks:
            task.cancel()

    # --- in

    async def heard(self, interaction: discord.Interaction[Any]) -> None:
        """One interaction: what could be typed next, a form, or a call."""
        data = hear.Heard(interaction)
        try:
            if data.typing:
                choices = hear.suggestions(data, self.house)
                await self.rest.reply_with(data.id, data.token, SUGGEST, {"choices": choices})
            elif data.opens_form:
                await self._form(data)
            else:
                await self._ask(data)
        except (NoToken, NoAccess, Answered, Later, Unsure) as lost:
            self._asked.pop(data.id, None)
            log.info("not answered", extra={"action": "unanswered", "error": type(lost).__name__})

    def _stale(self, data: hear.Heard) -> bool:
        """Whether Discord may wait for it no more. Clocks differ: the quickest one so far is the measure."""
        lag = self._clock() - made_at(data.id)
        self._lag = lag if self._lag is None else min(self._lag, lag)
        return lag - self._lag > STALE

    async def _form(self, data: hear.Heard) -> None:
        asked = self._arrived(data, private=True)
        call = hear.call(data, None, asked.address)
        try:
            form = await self.house.form(data.packed, call)
        except Refusal as refusal:
            await self._refuse(asked, data, refusal)
            return
        self._asked.pop(data.id, None)
        await self.rest.reply_with(data.id, data.token, MODAL, hear.modal(data.packed, form))

    async def _ask(self, data: hear.Heard) -> None:
        try:
            ask = await hear.ask(data, self.house)
        except Refusal as refusal:
            await self._refuse(self._arrived(data, private=True), data, refusal)
            return
        private = data.in_private or self.house.private(ask, alone=data.alone)
        replaces = data.in_private and self.house.replaces(ask, pictures=data.has_pictures)
        asked = self._arrived(data, private=private, replaces=replaces)
        asked.form = self.house.change(ask, data.language)
        if self._stale(data):
            await asked.wait(0)  # NoToken: the person saw that it failed, and asks again
        self._calls.put_nowait(hear.call(data, ask, asked.address))
        asked.waiting = self._begin(asked.wait())

    def _arrived(self, data: hear.Heard, *, private: bool, replaces: bool = False) -> Asked:
        address = Address(
            data.channel, data.user, data.message if replaces else 0, data.id, data.token, private,
            pressed=data.pressed, alone=data.alone, limit=max(1, data.limit // MIB),
            language=data.language,
        )  # fmt: skip
        asked = self._asked[data.id] = Asked(self.rest, address, replaces)
        while self._asked and made_at(next(iter(self._asked))) < self._clock() - TOKEN_SECONDS:
            self._asked.popitem(last=False)
        return asked

    async def _refuse(self, asked: Asked, data: hear.Heard, refusal: Refusal) -> None:
        reply = self.house.refused(data.language, refusal)
        await asked.answer(self._message(reply, asked.address))
        self._asked.pop(data.id, None)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (NoToken, NoAccess, Later, Unsure) as lost:
            log.info("not told to wait", extra={"action": "unanswered", "error": type(lost).__name__})

    async def moderates(self, who: Who, community: str) -> bool | None:
        """May this person manage that server now? None: Discord does not say."""
        person, server = (each.partition(":")[2] for each in (who, community))
        if not (person.isdecimal() and server.isdecimal() and self.client.is_ready()):
            return None
        guild = self.client.get_guild(int(server))
        if guild is None:
            return False  # we were sent away from there
        try:
            async with asyncio.timeout(ANSWERS):
                member = await guild.fetch_member(int(person))
        except discord.NotFound:
            return False
        except AWAY:
            return None
        return member.guild_permissions.manage_guild

    async def fetch(self, picture: Attachment, limit: int) -> bytes:
        """The bytes of an attached picture. Raises Refusal picture_too_large, picture_unreachable."""
        if picture.size > limit:
            raise Refusal("picture_too_large", limit=limit // MIB)
        try:
            data = await self.rest.attachment(picture.ref)
        except (discord.DiscordException, OSError, TimeoutError) as error:
            raise Refusal("picture_unreachable") from error
        if len(data) > limit:
            raise Refusal("picture_too_large", limit=limit // MIB)
        return data

    # --- out

    def beside(self, place: Place) -> Place:
        """Where a word more than the answer is shown: to the person alone."""
        return replace(parse(place), beside=True, private=True).place

    async def show(self, place: Place, reply: Reply) -> Place:
        """Send or edit; return where the message is now. Raises Gone, Later or Unsure."""
        address = parse(place)
        key = address.interaction or address.message
        asked = self._asked.get(address.interaction)
        if reply.fleeting and (asked is not None or not self._pace.ready(key)):
            return place
        await self._entered(fleeting=reply.fleeting)
        if address.beside:
            return (await self._said_beside(address, reply)).place
        shown = await self._shown(address, reply, asked)
        if reply.fleeting or reply.tone is Tone.WAITING:
            self._pace.note(key)
        else:
            self._pace.forget(key)
        return shown.place

    async def _said_beside(self, address: Address, reply: Reply) -> Address:
        try:
            return address.at(await self.rest.follow(address, self._message(reply, address)))
        except (NoToken, NoAccess):
            raise Gone(address.place) from None

    async def _entered(self, *, fleeting: bool) -> None:
        """The bot is signed in, now or in a moment."""
        if self._closed or (fleeting and not self.client.entered.is_set()):
            raise Later(ENTRANCE)
        try:
            async with asyncio.timeout(ENTRANCE):
                await self.client.entered.wait()
        except TimeoutError as away:
            raise Later(ENTRANCE) from away

    async def _shown(self, address: Address, reply: Reply, asked: Asked | None) -> Address:
        limit = address.limit * MIB
        for _ in range(3):
            try:
                return await self._tried(address, reply, asked, limit)
            except TooLarge:
                limit //= 2
        raise Gone(address.place)

    async def _tried(self, address: Address, reply: Reply, asked: Asked | None, limit: int) -> Address:
        fitted = await files.fit(reply, limit)
        reply = fitted.reply
        if fitted.note:
            reply = replace(reply, text=f"{reply.text}\n{say(address.language, fitted.note)}".strip())
        if asked is not None and asked.state is not State.ANSWERED:
            with suppress(NoToken, NoMessage, NoAccess):
                shown = await asked.answer(self._message(reply, asked.address, form=asked.form))
                self._asked.pop(address.interaction, None)
                return shown
            asked.close()
            self._asked.pop(address.interaction, None)

        def message(own: bool) -> Message:
            return self._message(reply, address, own=own)

        return await Delivery(self.rest, address, reply, message, self._clock(), self.client.me).deliver()

    def _message(
        self, reply: Reply, address: Address, *, own: bool = False, form: tuple[str, str] = ("", "")
    ) -> Message:
        mention = address.user if own or (address.pressed and not (address.private or address.alone)) else 0
        style = Style(self.house.pack, mention, own, form, self._names[address.language])
        message = render.message(reply, style)
        return replace(message, private=message.private and not address.alone)
