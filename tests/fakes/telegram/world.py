"""People, chats and messages: what Telegram remembers, and what people do in it."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.telegram.files import File
from tests.fakes.telegram.words import units

BOT_ID, BOT_NAME = 7_000_000_001, "falopitas_bot"
TOKEN = f"{BOT_ID}:AAtestTESTtestTESTtestTESTtestTEST123"


ANONYMOUS = {
    "id": 1_087_968_824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot",
}  # fmt: skip
"""Whom Telegram names for who writes as their group."""


@dataclass(eq=False)
class Person:
    id: int
    name: str
    language: str
    world: World = field(repr=False)
    started: bool = True
    blocked: bool = False
    gone: bool = False

    @property
    def private(self) -> Chat:
        return self.world.chats[self.id]

    def json(self) -> dict[str, Any]:
        known = {"id": self.id, "is_bot": False, "first_name": self.name}
        return known | ({"language_code": self.language} if self.language else {})

    # --- what they do

    def say(
        self, text: str, chat: Chat | None = None, *, topic: int = 0, to: Message | None = None,
        photo: File | None = None, document: File | None = None, album: str = "", via: bool = False,
        anonymous: bool = False,
    ) -> Message:  # fmt: skip
        """Write (with a picture: as its caption); into the private chat unless another is named."""
        chat = chat or self.private
        self.started = self.started or chat is self.private
        message = self.world.post(chat, self, topic=topic, to=to)
        text, mentions = _mentioned(text, self.world.people.values())
        if photo or document:
            message.caption, message.file, message.album = text, photo or document, album
        else:
            message.text = text
        message.via, message.anonymous = via, anonymous
        message.entities = _commands(text) + mentions
        if self.world.hears(message):
            self.world.update(message=message.json())
        return message

    def press(self, message: Message, label: str) -> str:
        """Press the button with this label, which is there; returns the query's id."""
        found = [b for b in message.buttons if label in b["text"]]
        assert found, f"no button {label!r} in {[b['text'] for b in message.buttons]}"
        assert "callback_data" in found[0], f"{label!r} asks nobody"
        return self.world.pressed(self, message, found[0]["callback_data"])

    def inline(self, words: str) -> str:
        """Write the bot's name and some words, anywhere."""
        number = str(next(self.world.numbers))
        self.world.queries[number] = None
        self.world.update(inline_query={"id": number, "from": self.json(), "query": words, "offset": ""})
        return number

    def block(self) -> None:
        self.blocked = True
        self._member("member", "kicked")

    def unblock(self) -> None:
        self.blocked = False
        self._member("kicked", "member")

    def _member(self, before: str, now: str) -> None:
        def how(status: str) -> dict[str, Any]:
            known: dict[str, Any] = {"status": status, "user": self.world.me()}
            return known | ({"until_date": 0} if status == "kicked" else {})

        self.world.update(
            my_chat_member={
                "chat": self.private.json(), "from": self.json(), "date": int(time.time()),
                "old_chat_member": how(before), "new_chat_member": how(now),
            }
        )  # fmt: skip


def _mentioned(text: str, people: Iterable[Person]) -> tuple[str, list[dict[str, Any]]]:
    """The text, and who is named in it as people without a user name are: by choosing them from a list, which
    is written as [their name]."""
    known, found = {each.name: each for each in people}, []
    before, *rest = re.split(r"\[([^]]+)\]", text)
    for name, after in zip(rest[::2], rest[1::2], strict=True):
        if name in known:
            place = {"offset": units(before), "length": units(name)}
            found.append({"type": "text_mention", "user": known[name].json(), **place})
        before += (name if name in known else f"[{name}]") + after
    return before, found


def _commands(text: str) -> list[dict[str, Any]]:
    if not text.startswith("/"):
        return []
    return [{"type": "bot_command", "offset": 0, "length": units(text.split(maxsplit=1)[0])}]


@dataclass(eq=False)
class Chat:
    id: int
    title: str
    kind: str
    messages: list[Message] = field(default_factory=list)
    topics: dict[int, str] = field(default_factory=dict)
    """Topic → open, closed."""
    named: dict[int, str] = field(default_factory=dict)
    """Topic → what it is called."""
    forum: bool = False
    member: bool = True
    """Is the bot in it?"""
    muted: bool = False
    moved: int = 0
    admins: set[int] = field(default_factory=set)

    def json(self) -> dict[str, Any]:
        known: dict[str, Any] = {"id": self.id, "type": self.kind}
        known["first_name" if self.kind == "private" else "title"] = self.title
        return known | ({"is_forum": True} if self.forum else {})

    def find(self, number: int) -> Message | None:
        return next((each for each in self.messages if each.id == number), None)

    @property
    def ours(self) -> list[Message]:
        """What the bot said here and is still there."""
        return [each for each in self.messages if each.sender is None]


@dataclass(eq=False)
class Message:
    id: int
    chat: Chat
    sender: Person | None
    """None: the bot."""
    date: int
    world: World = field(repr=False)
    text: str = ""
    caption: str = ""
    entities: list[dict[str, Any]] = field(default_factory=list)
    file: File | None = None
    spoiler: bool = False
    markup: dict[str, Any] | None = None
    to: Message | None = None
    topic: int = 0
    album: str = ""
    via: bool = False
    anonymous: bool = False
    """Said in the name of the group, as administrators may."""
    silent: bool = False
    history: list[str] = field(default_factory=list)
    """What it said before, each time it was edited."""

    @property
    def said(self) -> str:
        return self.text or self.caption

    @property
    def buttons(self) -> list[dict[str, Any]]:
        return [button for row in (self.markup or {}).get("inline_keyboard", []) for button in row]

    @property
    def labels(self) -> list[str]:
        return [button["text"] for button in self.buttons]

    def styled(self, kind: str) -> list[str]:
        """The pieces of the text with this style."""
        data = self.said.encode("utf-16-le")
        return [
            data[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")
            for e in self.entities
            if e["type"] == kind
        ]

    def content(self) -> tuple[object, ...]:
        return (self.said, self.entities, self.file.id if self.file else "", self.markup, self.spoiler)

    def delete(self) -> None:
        """Somebody deletes it."""
        self.chat.messages.remove(self)

    def json(self, *, deep: bool = True) -> dict[str, Any]:
        sender = ANONYMOUS if self.anonymous else self.sender.json() if self.sender else self.world.me()
        known: dict[str, Any] = {
            "message_id": self.id, "date": self.date, "chat": self.chat.json(), "from": sender
        }  # fmt: skip
        if self.file:
            known |= self._file(self.file)
            if self.caption:
                known |= {"caption": self.caption, "caption_entities": self.entities}
            known |= {"has_media_spoiler": True} if self.spoiler else {}
        else:
            known |= {"text": self.text, "entities": self.entities}
        if self.topic:
            known |= {"message_thread_id": self.topic, "is_topic_message": True}
        if self.to and deep:
            known["reply_to_message"] = self.to.json(deep=False)
        elif self.topic in self.chat.named and deep:
            made = {"name": self.chat.named[self.topic], "icon_color": 7_322_096}
            known["reply_to_message"] = {
                "message_id": self.topic, "date": self.date, "chat": self.chat.json(),
                "message_thread_id": self.topic, "is_topic_message": True, "forum_topic_created": made,
            }  # fmt: skip
        if self.markup and "inline_keyboard" in self.markup:
            known["reply_markup"] = self.markup
        known |= {"media_group_id": self.album} if self.album else {}
        known |= {"sender_chat": self.chat.json()} if self.anonymous else {}
        return known | ({"via_bot": self.world.me()} if self.via else {})

    def _file(self, file: File) -> dict[str, Any]:
        about = {"file_id": file.id, "file_unique_id": f"u{file.id}", "file_size": file.size}
        if file.kind == "photo":
            small = about | {"file_id": f"{file.id}s", "width": min(90, file.width), "height": 90}
            return {"photo": [small, about | {"width": file.width, "height": file.height}]}
        mime = "image/png" if file.name.endswith(".png") else "application/octet-stream"
        return {"document": about | {"file_name": file.name, "mime_type": mime}}


class World:
    """One bot, and everybody who knows it."""

    def __init__(self, clock: Callable[[], float], unit: float) -> None:
        self.clock = clock
        self.unit = unit
        self.numbers = itertools.count(1_000)
        self.people: dict[int, Person] = {}
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, File] = {}
        self.updates: dict[int, dict[str, Any]] = {}
        self.pressed_at: dict[str, float] = {}
        """Callback query → when, until it is answered."""
        self.answers: dict[str, dict[str, Any]] = {}
        """Callback query → its answer."""
        self.queries: dict[str, dict[str, Any] | None] = {}
        """Inline query → its answer."""
        self.inline = True
        self.privacy = True
        self.news: Callable[[], None] = lambda: None
        self.check: Callable[[dict[str, Any]], None] = lambda update: None

    def me(self) -> dict[str, Any]:
        return {"id": BOT_ID, "is_bot": True, "first_name": "Falopitas", "username": BOT_NAME}

    # --- who and where

    def person(self, name: str, language: str = "en", *, started: bool = True) -> Person:
        person = Person(1_000_000_000_000 + next(self.numbers), name, language, self, started)
        self.people[person.id] = person
        self.chats[person.id] = Chat(person.id, name, "private")
        return person

    def group(self, title: str, *, forum: bool = False, old: bool = False) -> Chat:
        """A supergroup, or an ``old`` group that may become one."""
        number = next(self.numbers)
        chat = Chat(-number if old else -1_000_000_000_000 - number, title, "group" if old else "supergroup")
        chat.forum = forum
        self.chats[chat.id] = chat
        return chat

    def topic(self, chat: Chat, name: str = "") -> int:
        """A topic; what answers nobody in one with a name answers its beginning."""
        number = next(self.numbers)
        chat.topics[number] = "open"
        if name:
            chat.named[number] = name
        return number

    def migrate(self, chat: Chat, *, tell: bool = False) -> Chat:
        """The group becomes a supergroup: another id, and none of its messages."""
        new = self.group(chat.title)
        chat.moved = new.id
        if tell:
            message = {"message_id": 1, "date": int(time.time()), "chat": chat.json()}
            self.update(message=message | {"migrate_to_chat_id": new.id})
        return new

    # --- what happens

    def post(
        self, chat: Chat, sender: Person | None, *, topic: int = 0, to: Message | None = None
    ) -> Message:  # fmt: skip
        message = Message(
            next(self.numbers), chat, sender, int(time.time()), self, topic=topic, to=to
        )  # fmt: skip
        chat.messages.append(message)
        return message

    def hears(self, message: Message) -> bool:
        """Is the bot told? In groups with privacy mode: commands, and replies to it."""
        if message.chat.kind == "private" or not self.privacy:
            return True
        return message.said.startswith("/") or (message.to is not None and message.to.sender is None)

    def pressed(self, person: Person, message: Message, data: str) -> str:
        """A callback query; its data may be anything, for a client may send anything."""
        number = str(next(self.numbers))
        self.pressed_at[number] = self.clock()
        self.update(
            callback_query={
                "id": number, "from": person.json(), "chat_instance": str(message.chat.id), "data": data,
                "message": message.json(),
            }
        )  # fmt: skip
        return number

    def update(self, **event: Any) -> int:
        number = next(self.numbers)
        self.updates[number] = {"update_id": number, **event}
        self.check(self.updates[number])
        self.news()
        return number

    def keep(self, file: File) -> File:
        self.files[file.id] = file
        return file
