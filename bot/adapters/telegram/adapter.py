"""Telegram as an Adapter: updates become Calls, Replies become messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from itertools import chain, repeat

from telegram import Update
from telegram.error import BadRequest, InvalidToken, TelegramError

from bot.adapters.telegram import address, inline, menu, poll
from bot.adapters.telegram.address import NAME, Address
from bot.adapters.telegram.admins import Admins
from bot.adapters.telegram.client import Line
from bot.adapters.telegram.house import House
from bot.adapters.telegram.inbound import DOWNLOAD, Reader, wordless
from bot.adapters.telegram.speaker import Speaker
from bot.adapters.telegram.webhook import Webhook
from bot.config import Telegram as Settings
from bot.talk import Attachment, Call, Gone, Later, Place, Reply, Tone, Unsure, Who
from bot.texts import say, spoken
from storage.refusal import Refusal

log = logging.getLogger(__name__)


class Telegram:
    """One bot. ``unit`` is how long a second is for its pace: tests live faster."""

    name = NAME

    def __init__(
        self, settings: Settings, house: House, language: str = "en",
        tell: Callable[[str], None] = lambda text: None, unit: float = 1.0,
    ) -> None:  # fmt: skip
        """``tell`` says a sentence to who started the bot. Raises ValueError without a token."""
        if settings.token is None:
            raise ValueError("no token")
        self._settings = settings
        self._house = house
        self._language = language
        self._tell = tell
        self._unit = unit
        self._line = Line(settings.token, settings.api_root)
        self._speaker = Speaker(self._line, house, language, unit)
        self._admins = Admins(self._line)
        self._reader = Reader(house, "", language)
        self._closing = asyncio.Event()
        self._hook: Webhook | None = None

    # --- listen

    async def listen(self) -> AsyncIterator[Call]:
        """Every call, until closed or until Telegram does not take the token, which is said once."""
        try:
            if not await self._meet():
                return
            async with aclosing(self._updates()) as updates:
                async for update in updates:
                    call = await self._read(update)
                    if call is not None:
                        yield call
        except InvalidToken:
            log.error("wrong token", extra={"action": "token", "platform": NAME})
            self._tell(say(self._language, "telegram.wrong_token"))
        except Refusal as refusal:
            log.error("cannot listen", extra={"action": "listen", "code": refusal.code})
            self._tell(say(self._language, f"refusal.{refusal.code}", **refusal.values))

    async def _meet(self) -> bool:
        """Learn our own name, however long that takes; False when closed meanwhile. Raises InvalidToken."""
        for pause in chain(poll.PAUSES, repeat(poll.PAUSES[-1])):
            try:
                me = await self._line.bot.get_me()
            except InvalidToken:
                raise
            except TelegramError as error:
                log.warning("not there", extra={"action": "meet", "why": type(error).__name__})
                if await self._closed_within(pause * self._unit):
                    return False
                continue
            self._speaker.name = me.username or ""
            self._reader = Reader(self._house, me.username or "", self._language)
            self._speaker.aside(self._line.courtesy(lambda: menu.offer(self._line, self._house)))
            return not self._closing.is_set()
        return False

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True

    async def _updates(self) -> AsyncGenerator[Update]:
        """Every update until closed; the next is asked for when the one before is safe."""
        source = await self._source()
        closing = asyncio.ensure_future(self._closing.wait())
        coming: asyncio.Future[Update | None] = closing.get_loop().create_future()
        try:
            while not self._closing.is_set():
                coming = asyncio.ensure_future(anext(source, None))
                await asyncio.wait({coming, closing}, return_when=asyncio.FIRST_COMPLETED)
                update = coming.result() if coming.done() else None
                if update is None:
                    return
                yield update
        finally:
            closing.cancel()
            coming.cancel()  # what it was asking for is asked for again

    async def _source(self) -> AsyncGenerator[Update]:
        settings = self._settings
        if not settings.webhook:
            return poll.updates(self._line.bot, self._unit)
        self._hook = Webhook(
            self._line.bot, settings.webhook, settings.webhook_host, settings.webhook_port, self._unit
        )
        await self._hook.start()
        return self._hook.updates()

    async def _read(self, update: Update) -> Call | None:
        """The call in an update; what is none is seen to aside."""
        if update.inline_query is not None:
            self._speaker.aside(inline.answer(self._line, self._house, update.inline_query, self._language))
            return None
        message = update.message
        if message is not None and message.migrate_to_chat_id:
            self._speaker.moved(message.chat.id, message.migrate_to_chat_id)
            return None
        if (place := self._reader.nameless(update)) is not None:
            self._speaker.aside(self._say_at(place, say(self._language, "telegram.anonymous")))
            return None
        try:
            call = self._reader.call(update)
        except Refusal as refusal:
            self._refuse(update, refusal)
            return None
        if call is None and update.callback_query is not None:  # of no message: heard, and that is all
            self._speaker.presses.begin(update.callback_query.id)
            self._speaker.presses.release(update.callback_query.id)
        return await self._heard(call, update) if call is not None else None

    async def _heard(self, call: Call, update: Update) -> Call | None:
        at = address.parse(call.place)
        user = update.effective_user
        if user is not None:
            self._speaker.met(user.id, user.first_name)
        if at.press:
            self._speaker.presses.begin(at.press)
        if not at.is_group:
            self._speaker.aside(self._speaker.catch_up(at.chat))
        if wordless(call):
            self._speaker.aside(self._explain(at, call))
            return None
        if at.is_group and user is not None and await self._admins.has(at.chat, user.id):
            return replace(call, entitled=True, roles=("administrator",))
        return call

    def _refuse(self, update: Update, refusal: Refusal) -> None:
        """A button nobody can read: a forged one, or one of a newer program."""
        query = update.callback_query
        if query is None:
            return
        text = say(spoken(query.from_user.language_code or self._language), f"refusal.{refusal.code}")
        self._speaker.aside(self._speaker.presses.alert(query.id, text))

    async def _explain(self, at: Address, call: Call) -> None:
        """A picture without a word: say how to begin with one."""
        language = await self._house.language(call.who, call.language)
        await self._say_at(at, say(language, "telegram.wordless"))

    async def _say_at(self, at: Address, text: str) -> None:
        try:
            await self._speaker.show(at, Reply(text, tone=Tone.PLAIN))
        except (Gone, Later, Unsure):
            return

    # --- show

    async def show(self, place: Place, reply: Reply) -> Place:
        """Send or edit; return where the message is now. Raises Gone, Later, Unsure."""
        return str(await self._speaker.show(address.parse(place), reply))

    def beside(self, place: Place) -> Place:
        """Where something more can be said to who called: in their own chat."""
        at = address.parse(place)
        return str(Address(at.person or at.chat))

    async def moderates(self, who: Who, community: str) -> bool | None:
        """Is this person an administrator of that group now? None: Telegram does not say."""
        person, chat = (each.partition(":")[2] for each in (who, community))
        try:
            return await self._admins.says(int(chat), int(person))
        except ValueError:
            return None

    async def fetch(self, picture: Attachment, limit: int) -> bytes:
        """The bytes of a picture. Raises Refusal picture_too_large, picture_unreachable."""
        most = min(limit, DOWNLOAD)
        too_large = Refusal("picture_too_large", limit=most >> 20)
        if picture.size > most:
            raise too_large
        try:
            file = await self._line.ask(self._line.bot.get_file(picture.ref), repeatable=True)
            data = bytes(await self._line.ask(file.download_as_bytearray(), repeatable=True))
        except BadRequest as error:
            big = "too big" in error.message.casefold()
            raise (too_large if big else Refusal("picture_unreachable")) from error
        except (Gone, Later, Unsure, TelegramError) as error:
            raise Refusal("picture_unreachable") from error
        if len(data) > most:
            raise too_large
        return data

    async def close(self) -> None:
        """Stop listening; let what is being sent arrive, for a moment."""
        self._closing.set()
        self._speaker.close()
        if self._hook:
            await self._hook.close()
        await self._line.close()
