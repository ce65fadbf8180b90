"""The methods of the Bot API that a bot like ours may call, as strict as Telegram is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from tests.fakes.telegram import files
from tests.fakes.telegram.files import File
from tests.fakes.telegram.flood import Flood
from tests.fakes.telegram.words import CAPTION, TEXT, Bad, formatted, keyboard, units
from tests.fakes.telegram.world import Chat, Message, World

Values = dict[str, Any]
Uploads = dict[str, bytes]
ANSWERS = 30.0
"""Seconds for which a callback query can be answered (minutes, really; never less)."""


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


class Methods:
    def __init__(self, world: World, flood: Flood) -> None:
        self.world = world
        self.flood = flood
        self.commands: dict[str, list[dict[str, Any]]] = {}
        self.webhook: Values = {}
        self.groups = True

    def find(self, name: str) -> Callable[[Values, Uploads], Any] | None:
        found: Callable[[Values, Uploads], Any] | None = getattr(self, f"do_{_snake(name)}", None)
        return found

    # --- the bot

    def do_get_me(self, values: Values, uploads: Uploads) -> Any:
        return self.world.me() | {
            "can_join_groups": self.groups, "can_read_all_group_messages": not self.world.privacy,
            "supports_inline_queries": self.world.inline, "can_connect_to_business": False,
            "has_main_web_app": False,
        }  # fmt: skip

    def do_set_my_commands(self, values: Values, uploads: Uploads) -> Any:
        for each in values["commands"]:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", each["command"]):
                raise Bad("Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= units(each["description"]) <= 256:
                raise Bad("Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        if len(values["commands"]) > 100:
            raise Bad("Bad Request: BOT_COMMANDS_TOO_MUCH")
        self.commands[self._scope(values)] = values["commands"]
        return True

    def do_get_my_commands(self, values: Values, uploads: Uploads) -> Any:
        return self.commands.get(self._scope(values), [])

    @staticmethod
    def _scope(values: Values) -> str:
        scope = values.get("scope", {"type": "default"})
        language = values.get("language_code", "")
        if language and not re.fullmatch("[a-z]{2}", language):
            raise Bad("Bad Request: LANG_CODE_INVALID")
        return f"{scope['type']}/{language}"

    def do_set_webhook(self, values: Values, uploads: Uploads) -> Any:
        if not values["url"].startswith("https://"):
            raise Bad("Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", values.get("secret_token", "x")):
            raise Bad("Bad Request: bad webhook: secret token contains unallowed characters")
        self.webhook = values
        return True

    def do_delete_webhook(self, values: Values, uploads: Uploads) -> Any:
        self.webhook = {}
        return True

    def do_get_webhook_info(self, values: Values, uploads: Uploads) -> Any:
        return {
            "url": self.webhook.get("url", ""), "has_custom_certificate": False,
            "pending_update_count": len(self.world.updates),
        }  # fmt: skip

    # --- where

    def _chat(self, values: Values) -> Chat:
        """The chat, if the bot may write there. Raises Bad."""
        chat = self.world.chats.get(values["chat_id"])
        if chat is None:
            raise Bad("Bad Request: chat not found")
        if chat.moved:
            raise Bad(
                "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved
            )
        if not chat.member:
            raise Bad("Forbidden: bot was kicked from the supergroup chat", 403)
        self._person(chat)
        return chat

    def _person(self, chat: Chat) -> None:
        person = self.world.people.get(chat.id)
        if person is None:
            return
        if person.gone:
            raise Bad("Forbidden: user is deactivated", 403)
        if person.blocked:
            raise Bad("Forbidden: bot was blocked by the user", 403)
        if not person.started:
            raise Bad("Forbidden: bot can't initiate conversation with a user", 403)

    def _open(self, values: Values) -> tuple[Chat, int, Message | None]:
        chat, topic = self._chat(values), values.get("message_thread_id", 0)
        if chat.muted:
            raise Bad("Bad Request: not enough rights to send text messages to the chat")
        if topic and topic not in chat.topics:
            raise Bad("Bad Request: message thread not found")
        if topic and chat.topics[topic] == "closed":
            raise Bad("Bad Request: TOPIC_CLOSED")
        return chat, topic, self._replied(chat, values)

    @staticmethod
    def _replied(chat: Chat, values: Values) -> Message | None:
        wanted = values.get("reply_parameters")
        if wanted is None:
            return None
        found = chat.find(wanted["message_id"])
        if found is None and not wanted.get("allow_sending_without_reply"):
            raise Bad("Bad Request: message to be replied not found")
        return found

    # --- send

    def do_send_message(self, values: Values, uploads: Uploads) -> Any:
        chat, topic, to = self._open(values)
        text, entities = formatted(values["text"], values.get("entities"), values.get("parse_mode"), TEXT)
        if not text:
            raise Bad("Bad Request: message text is empty")
        markup = keyboard(values.get("reply_markup"))
        self.flood.count(chat.id)
        message = self.world.post(chat, None, topic=topic, to=to)
        message.text, message.entities, message.markup = text, entities, markup
        message.silent = bool(values.get("disable_notification"))
        return message.json()

    def do_send_photo(self, values: Values, uploads: Uploads) -> Any:
        return self._media(values, uploads, "photo")

    def do_send_document(self, values: Values, uploads: Uploads) -> Any:
        return self._media(values, uploads, "document")

    def _media(self, values: Values, uploads: Uploads, kind: str) -> Any:
        chat, topic, to = self._open(values)
        caption, entities = self._caption(values)
        markup = keyboard(values.get("reply_markup"))
        file = self._file(kind, values[kind], uploads)
        self.flood.count(chat.id)
        message = self.world.post(chat, None, topic=topic, to=to)
        message.file, message.caption, message.entities, message.markup = file, caption, entities, markup
        message.spoiler = bool(values.get("has_spoiler"))
        return message.json()

    @staticmethod
    def _caption(values: Values) -> tuple[str, list[dict[str, Any]]]:
        return formatted(
            values.get("caption", ""), values.get("caption_entities"), values.get("parse_mode"), CAPTION
        )

    def _file(self, kind: str, wanted: str, uploads: Uploads) -> File:
        if not wanted.startswith("attach://"):
            known = self.world.files.get(wanted)
            if known is None or known.kind != kind:
                raise Bad("Bad Request: wrong file identifier/HTTP URL specified")
            return known
        name = wanted.removeprefix("attach://")
        if name not in uploads:
            raise Bad("Bad Request: wrong file identifier: no such upload")
        number = next(self.world.numbers)
        if kind == "photo":
            return self.world.keep(files.photo(number, uploads[name]))
        return self.world.keep(files.document(number, uploads[name], name))

    def do_send_media_group(self, values: Values, uploads: Uploads) -> Any:
        chat, topic, to = self._open(values)
        items = values["media"]
        if not 2 <= len(items) <= 10:
            raise Bad("Bad Request: an album has 2-10 items")
        kinds = {each["type"] for each in items}
        if len(kinds) > 1 and kinds & {"document", "audio"}:
            raise Bad("Bad Request: documents and audio cannot be mixed with other media")
        made = [(self._file(each["type"], each["media"], uploads), *self._caption(each)) for each in items]
        self.flood.count(chat.id)
        album = str(next(self.world.numbers))
        sent = []
        for (file, caption, entities), item in zip(made, items, strict=True):
            message = self.world.post(chat, None, topic=topic, to=to)
            message.file, message.caption, message.entities, message.album = file, caption, entities, album
            message.spoiler = bool(item.get("has_spoiler"))
            sent.append(message.json())
        return sent

    # --- edit

    def _ours(self, values: Values) -> Message:
        chat = self._chat(values)
        message = chat.find(values.get("message_id", 0))
        if message is None:
            raise Bad("Bad Request: message to edit not found")
        if message.sender is not None or "force_reply" in (message.markup or {}):
            raise Bad("Bad Request: message can't be edited")
        if message.topic and chat.topics[message.topic] == "closed":
            raise Bad("Bad Request: TOPIC_CLOSED")
        return message

    def _edited(self, message: Message, **now: Any) -> Any:
        before = message.content()
        kept = {name: getattr(message, name) for name in now}
        said = message.said
        for name, value in now.items():
            setattr(message, name, value)
        if message.content() == before:
            raise Bad(
                "Bad Request: message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message"
            )
        try:
            self.flood.count(message.chat.id)
        except Bad:
            for name, value in kept.items():
                setattr(message, name, value)
            raise
        message.history.append(said)
        return message.json() | {"edit_date": int(time.time())}

    def do_edit_message_text(self, values: Values, uploads: Uploads) -> Any:
        message = self._ours(values)
        if message.file:
            raise Bad("Bad Request: there is no text in the message to edit")
        text, entities = formatted(values["text"], values.get("entities"), values.get("parse_mode"), TEXT)
        if not text:
            raise Bad("Bad Request: message text is empty")
        markup = self._inline(values)
        return self._edited(message, text=text, entities=entities, markup=markup)

    def do_edit_message_caption(self, values: Values, uploads: Uploads) -> Any:
        message = self._ours(values)
        if not message.file:
            raise Bad("Bad Request: there is no caption in the message to edit")
        caption, entities = self._caption(values)
        return self._edited(message, caption=caption, entities=entities, markup=self._inline(values))

    def do_edit_message_media(self, values: Values, uploads: Uploads) -> Any:
        message, media = self._ours(values), values["media"]
        if message.album and media["type"] != (message.file and message.file.kind):
            raise Bad("Bad Request: an album takes only media of its own kind")
        caption, entities = self._caption(media)
        markup = self._inline(values)
        file = self._file(media["type"], media["media"], uploads)
        return self._edited(
            message, text="", caption=caption, entities=entities, markup=markup, file=file,
            spoiler=bool(media.get("has_spoiler")),
        )  # fmt: skip

    @staticmethod
    def _inline(values: Values) -> dict[str, Any] | None:
        markup = keyboard(values.get("reply_markup"))
        if markup and "inline_keyboard" not in markup:
            raise Bad("Bad Request: inline keyboard expected")
        return markup

    def do_delete_message(self, values: Values, uploads: Uploads) -> Any:
        chat = self._chat(values)
        message = chat.find(values["message_id"])
        if message is None:
            raise Bad("Bad Request: message to delete not found")
        message.delete()
        return True

    # --- files, presses, inline, people

    def do_get_file(self, values: Values, uploads: Uploads) -> Any:
        file = self.world.files.get(values["file_id"])
        if file is None:
            raise Bad("Bad Request: wrong file_id or the file is temporarily unavailable")
        if file.size > files.DOWNLOAD:
            raise Bad("Bad Request: file is too big")
        about = {"file_id": file.id, "file_unique_id": f"u{file.id}", "file_size": file.size}
        return about | {"file_path": f"files/{file.id}"}

    def do_answer_callback_query(self, values: Values, uploads: Uploads) -> Any:
        number = values["callback_query_id"]
        pressed = self.world.pressed_at.pop(number, None)
        if pressed is None or self.world.clock() - pressed > ANSWERS:
            raise Bad("Bad Request: query is too old and response timeout expired or query ID is invalid")
        if units(values.get("text", "")) > 200:
            self.world.pressed_at[number] = pressed
            raise Bad("Bad Request: MESSAGE_TOO_LONG")
        self.world.answers[number] = values
        return True

    def do_answer_inline_query(self, values: Values, uploads: Uploads) -> Any:
        results, number = values["results"], values["inline_query_id"]
        if self.world.queries.get(number, {}) is not None:
            raise Bad("Bad Request: query is too old and response timeout expired or query ID is invalid")
        if len(results) > 50 or len({each["id"] for each in results}) != len(results):
            raise Bad("Bad Request: RESULT_ID_DUPLICATE or too many results")
        for each in results:
            if not 1 <= len(each["id"].encode()) <= 64:
                raise Bad("Bad Request: RESULT_ID_INVALID")
            self._file("photo", each["photo_file_id"], {})
            self._caption(each)
        button = values.get("button")
        if button and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", button.get("start_parameter", "")):
            raise Bad("Bad Request: START_PARAM_INVALID")
        self.world.queries[number] = values
        return True

    def do_get_chat_administrators(self, values: Values, uploads: Uploads) -> Any:
        chat = self._chat(values)
        if chat.kind == "private":
            raise Bad("Bad Request: there are no administrators in the private chat")
        people = [self.world.people[each] for each in chat.admins]
        return [{"status": "creator", "user": each.json(), "is_anonymous": False} for each in people]

    def do_send_chat_action(self, values: Values, uploads: Uploads) -> Any:
        self._open(values)
        return True
