"""Sends and edits, at each chat's pace. A picture is delivered by editing a message that is there already,
for an edit may be repeated when its answer was lost, and a send may not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from telegram import (
    ForceReply,
    InputMediaDocument,
    InputMediaPhoto,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)

from bot.adapters.telegram.address import Address
from bot.adapters.telegram.client import AWAY, Line, Lost, Unchanged
from bot.adapters.telegram.files import file, is_photo, media
from bot.adapters.telegram.pace import Backoff, Pacer
from bot.adapters.telegram.render import Shown
from bot.talk import Image, Later, Place, Unsure

T = TypeVar("T")
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
REMEMBERED = 4_096

Keep = Callable[[Image, Message], None]
"""Remembers under which id Telegram knows a picture."""
Placed = Callable[[int, Place], Awaitable[None]]
"""Writes down where a job's message is."""


class Sender:
    """What is shown becomes messages. Every method returns where the message is now."""

    def __init__(self, line: Line, pacer: Pacer, backoff: Backoff, keep: Keep, placed: Placed) -> None:
        self._line = line
        self._bot = line.bot
        self._pacer = pacer
        self._backoff = backoff
        self._keep = keep
        self._placed = placed
        self._made: OrderedDict[int, Address] = OrderedDict()
        """Job → its message, though its row may not know yet."""

    async def _ask(self, chat: int, call: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        """One request, when it is the chat's turn. Raises what ``client.request`` raises."""
        async with self._pacer.turn(chat):
            try:
                return await self._line.ask(call(), repeatable=repeatable)
            except Later as later:
                self._pacer.put_off(chat, later.seconds)
                raise

    def known(self, at: Address, job: int | None) -> Address:
        """Where the job's message is, if one was made that its row does not know of."""
        return at if at.message or job is None else self._made.get(job, at)

    def forget(self, job: int | None) -> None:
        """Its message is of no use any more."""
        self._made.pop(job or 0, None)

    def _remember(self, at: Address, job: int | None) -> None:
        if job is not None:
            self._made[job] = at
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)

    # --- text

    async def text(self, at: Address, shown: Shown, job: int | None = None) -> Address:
        """Edit the message, or send one if there is none (any more). Raises Pictured."""
        if at.message and not isinstance(shown.markup, ForceReply):
            try:
                return await self.edit(at, shown)
            except Lost:
                self.forget(job)
        made = await self._send_text(at, shown)
        self._remember(made, job)
        for more in shown.more:
            await self._send_text(replace(at, asked=0), Shown(more, (), None))
        return made

    async def edit(self, at: Address, shown: Shown) -> Address:
        """Edit the message's text; a keyboard that is not sent again disappears. Raises Lost,
        Pictured."""
        call = partial(
            self._bot.edit_message_text,
            shown.text, at.chat, at.message, entities=shown.entities, link_preview_options=NO_PREVIEW,
            reply_markup=shown.markup,  # type: ignore[arg-type]  # a form is never edited
        )  # fmt: skip
        with suppress(Unchanged):
            await self._ask(at.chat, call, repeatable=True)
        return at

    async def _send_text(self, at: Address, shown: Shown) -> Address:
        """A text whose answer was lost is said again: twice is better than not at all."""
        call = partial(
            self._bot.send_message, at.chat, shown.text, entities=shown.entities,
            link_preview_options=NO_PREVIEW, reply_markup=shown.markup, **_where(at),
        )  # fmt: skip
        try:
            sent = await self._ask(at.chat, call, repeatable=True)
        except Unsure as unsure:
            raise Later(AWAY) from unsure
        made = at.at(sent.message_id, sent.chat.id)
        self._backoff.begin(made.chat, made.message)
        return made

    async def board(self, at: Address, shown: Shown) -> int:
        """The status message, edited, or made if it is not there. Returns its number."""
        if at.message:
            try:
                return (await self.edit(at, shown)).message
            except Lost:
                return await self.board(replace(at, message=0), shown)
        send = partial(
            self._bot.send_message, at.chat, shown.text, entities=shown.entities,
            disable_notification=True, link_preview_options=NO_PREVIEW, **_where(at),
        )  # fmt: skip
        sent = await self._ask(at.chat, send, repeatable=False)
        return sent.message_id

    # --- pictures

    async def redraw(self, at: Address, shown: Shown) -> Address:
        """Change what the message shows. Raises Lost, and Pictured for a text where a picture is."""
        return await (self._turn(at, shown) if shown.images else self.edit(at, shown))

    async def deliver(self, at: Address, shown: Shown, placeholder: Shown, job: int) -> Address:
        """Turn the job's message into its picture; without one, make one first."""
        if not at.message:
            at = await self._begun(at, placeholder, job)
        try:
            return await self._turn(at, shown)
        except Lost:
            self.forget(job)
            return await self._turn(await self._begun(replace(at, message=0), placeholder, job), shown)

    async def _begun(self, at: Address, placeholder: Shown, job: int) -> Address:
        """A message for the job, written down before it becomes the picture: whatever happens to the line or
        to the bot in between, the same message is edited again."""
        at = await self.text(at, placeholder, job)
        await self._placed(job, str(at))
        return at

    async def _turn(self, at: Address, shown: Shown) -> Address:
        self._backoff.end(at.chat, at.message)
        image = shown.images[0]
        call = partial(
            self._bot.edit_message_media, media(image, shown), at.chat, at.message,
            reply_markup=shown.markup,  # type: ignore[arg-type]  # no form carries a picture
        )  # fmt: skip
        try:
            edited = await self._ask(at.chat, call, repeatable=True)
        except Unchanged:
            return at
        if isinstance(edited, Message):
            self._keep(image, edited)
        return at

    async def picture(self, at: Address, shown: Shown) -> Address:
        """A picture in a message of its own; if its answer is lost it is not sent again."""
        image = shown.images[0]
        words: dict[str, Any] = {"caption": shown.text, "caption_entities": shown.entities}
        words |= {"reply_markup": shown.markup} | _where(at)
        if is_photo(image):
            call = partial(
                self._bot.send_photo, at.chat, file(image), has_spoiler=image.spoiler or None, **words
            )
        else:
            call = partial(
                self._bot.send_document, at.chat, file(image), disable_content_type_detection=True, **words
            )
        sent = await self._ask(at.chat, call, repeatable=False)
        self._keep(image, sent)
        return at.at(sent.message_id, sent.chat.id)

    async def album(self, at: Address, shown: Shown) -> Address:
        """Several pictures together, then one message with the words and buttons, for albums have none."""
        images = shown.images[:10]
        photos = all(is_photo(image) for image in images)
        items: list[InputMediaPhoto | InputMediaDocument] = [
            media(image if photos else replace(image, exact=True)) for image in images
        ]
        call = partial(self._bot.send_media_group, at.chat, items, **_where(at))
        sent = await self._ask(at.chat, call, repeatable=False)
        for image, message in zip(images, sent, strict=True):
            self._keep(image, message)
        if not shown.text:
            return at.at(sent[-1].message_id, sent[-1].chat.id)
        return await self.text(replace(at, asked=0), replace(shown, images=()))


def _where(at: Address) -> dict[str, Any]:
    """The topic, always passed back, and the message that asked."""
    asked = ReplyParameters(at.asked, allow_sending_without_reply=True) if at.asked else None
    return {"message_thread_id": at.topic or None, "reply_parameters": asked}
