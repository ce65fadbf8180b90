"""What people do on Telegram, as Calls: messages, captions, replies, presses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from telegram import CallbackQuery, Chat, Message, MessageEntity, PhotoSize, Update, User

from bot.adapters.telegram.address import NAME, Address
from bot.adapters.telegram.house import House
from bot.adapters.telegram.render import LINK
from bot.talk import Attachment, Call

DOWNLOAD = 20_000_000
"""Bytes of the largest file that a bot may download."""
_COMMAND = re.compile(r"/(\w{1,64})(?:@(\w{1,64}))?(?!\S)")
_MODERATES = re.compile(r"/mod\b", re.IGNORECASE)
_START = re.compile(r"(/start(?:@\w+)?)(?:\s.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads updates for the bot called ``name``; ``language`` is spoken to who does not say theirs."""

    house: House
    name: str
    language: str

    def call(self, update: Update) -> Call | None:
        """What is asked, if anything is. Raises Refusal bad_button."""
        event = str(update.update_id)
        if update.callback_query is not None:
            return self._press(update.callback_query, event)
        if update.message is not None:
            return self._message(update.message, event)
        return None

    def nameless(self, update: Update) -> Address | None:
        """Where somebody asked in the name of the group itself: Telegram does not say who that is."""
        message = update.message
        if message is None or message.sender_chat is None or message.sender_chat.id != message.chat.id:
            return None
        if message.from_user is None or self._for_us(_said(message), private=False) is None:
            return None
        return replace(_here(message.chat, message.from_user, message), person=0)

    def _person(self, user: User, place: Address, event: str) -> Call:
        spoken = user.language_code or self.language
        call = Call(f"{NAME}:{user.id}", str(place), event, language=spoken, name=user.full_name)
        if not place.is_group:
            return call
        topic = f"{NAME}:{place.chat}/{place.topic}" if place.topic else ""
        return replace(call, community=f"{NAME}:{place.chat}", channel=topic)

    # --- presses

    def _press(self, query: CallbackQuery, event: str) -> Call | None:
        if query.message is None or query.data is None:
            return None
        chat, message = query.message.chat, query.message
        ask = self.house.unpack(query.data)
        place = replace(_here(chat, query.from_user, message), press=query.id)
        page = isinstance(message, Message) and bool(message.text) and chat.type == Chat.PRIVATE
        if page and self.house.replaces(ask):
            place = replace(place, message=message.message_id)
        return replace(self._person(query.from_user, place, event), ask=ask)

    # --- messages

    def _message(self, message: Message, event: str) -> Call | None:
        """Plain text is an ask in a private chat only; in a group it must be said to us."""
        user, text = message.from_user, _said(message)
        if user is None or user.is_bot or (message.via_bot and message.via_bot.username == self.name):
            return None
        private = message.chat.type == Chat.PRIVATE
        call = self._person(user, _here(message.chat, user, message), event)
        call = replace(call, picture=_picture(message), about=_about(message))
        form = self._form(message)
        if form and text and not _COMMAND.match(text):
            return replace(call, ask=self.house.unpack(form, text), picture=None)
        asked = self._for_us(text, private=private)
        if asked is None or not (asked or (call.picture and private and not message.media_group_id)):
            return None
        if private or not _MODERATES.match(asked):
            return replace(call, text=asked)
        named = self._for_us(_named(message), private=private)
        return replace(call, text=named or asked, titles=_place(message) + _mentioned(message))

    def _for_us(self, text: str, *, private: bool) -> str | None:
        """The text without our name, or None if it is not for us."""
        command = _COMMAND.match(text)
        if command is None:
            mention = f"@{self.name}".casefold()
            if text.casefold().startswith(mention + " "):
                return text[len(mention) :].strip()
            return text if private else None
        if command[2]:
            return _bare(text) if command[2].casefold() == self.name.casefold() else None
        return _bare(text) if private or self.house.knows(command[1]) else None

    def _form(self, message: Message) -> str:
        """The button behind the question that this message replies to, if it is one of ours."""
        asked = message.reply_to_message
        if asked is None or asked.from_user is None or asked.from_user.username != self.name:
            return ""
        for entity in asked.entities:
            if entity.type == MessageEntity.TEXT_LINK and (entity.url or "").startswith(LINK):
                return (entity.url or "").partition("#")[2]
        return ""


def _mentions(message: Message) -> Iterator[tuple[MessageEntity, User]]:
    """Who is named without a user name, the last first."""
    for entity in sorted(message.entities, key=lambda entity: entity.offset, reverse=True):
        if entity.type == MessageEntity.TEXT_MENTION and entity.user is not None:
            yield entity, entity.user


def _named(message: Message) -> str:
    """What was said, with people by their Who: only Telegram knows whom a mention means."""
    text = (message.text or "").encode("utf-16-le", "surrogatepass")
    for entity, user in _mentions(message):
        end = entity.offset + entity.length
        who = f"{NAME}:{user.id}".encode("utf-16-le")
        text = text[: 2 * entity.offset] + who + text[2 * end :]
    return text.decode("utf-16-le", "surrogatepass").strip() or _said(message)


def _mentioned(message: Message) -> tuple[tuple[str, str], ...]:
    """What they are called."""
    return tuple((f"person:{NAME}:{user.id}", user.full_name) for _, user in _mentions(message))


def _place(message: Message) -> tuple[tuple[str, str], ...]:
    """What the topic is called: Telegram says so with each message that answers nobody."""
    first = message.reply_to_message
    if not message.is_topic_message or first is None or first.forum_topic_created is None:
        return ()
    topic = f"{NAME}:{message.chat.id}/{message.message_thread_id or 0}"
    return ((topic, first.forum_topic_created.name),)


def wordless(call: Call) -> bool:
    """Only a picture: nobody said what to make of it."""
    return call.ask is None and not call.text and call.picture is not None


def _bare(text: str) -> str:
    """``/start`` comes with words that nobody typed."""
    start = _START.fullmatch(text)
    return start[1] if start else text


def _said(message: Message) -> str:
    return (message.text or message.caption or "").strip()


def _here(chat: Chat, user: User, message: object) -> Address:
    """Where to answer: in a group also whom, and which message."""
    topic, number = 0, getattr(message, "message_id", 0)
    if isinstance(message, Message) and message.is_topic_message:
        topic = message.message_thread_id or 0
    if chat.type == Chat.PRIVATE:
        return Address(chat.id, topic)
    return Address(chat.id, topic, user.id, number)


def _about(message: Message) -> str:
    """Whose message this one replies to."""
    asked = message.reply_to_message
    if asked is None or asked.from_user is None or asked.from_user.is_bot:
        return ""
    return f"{NAME}:{asked.from_user.id}"


def _picture(message: Message) -> Attachment | None:
    """What is attached, else what the message it replies to shows."""
    own = _attached(message)
    if own is None and message.reply_to_message is not None:
        return _attached(message.reply_to_message)
    return own


def _attached(message: Message) -> Attachment | None:
    if message.photo:
        best = max(message.photo, key=_pixels)
        return Attachment(best.file_id, best.file_size or 0, "image/jpeg")
    file = message.document
    if file is not None and (file.mime_type or "").startswith("image/"):
        return Attachment(file.file_id, file.file_size or 0, file.mime_type or "")
    return None


def _pixels(photo: PhotoSize) -> int:
    return photo.width * photo.height
