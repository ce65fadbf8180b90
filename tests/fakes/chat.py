"""A chat platform in the test's own process, and the adapter with which a bot talks to it.

It behaves as the real ones do: an update is sent again until it is confirmed by asking for the next, a
message is made by a send and changed by an edit, and a send with a key is made once. It outlives every bot.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bot.talk import Button, Call, Gone, Place, Reply, Unsure


@dataclass
class Message:
    """One message, and everything it ever showed: (final, job, text, digest of the images)."""

    chat: str
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def now(self) -> dict[str, Any]:
        return self.history[-1]


@dataclass
class Platform:
    """The server: updates go out, messages come in."""

    path: Path
    updates: dict[int, dict[str, Any]] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    confirmed: int = 0
    """Updates up to this one are never sent again."""
    first_word: dict[int, float] = field(default_factory=dict)
    """Update → loop time of the first message in its chat."""
    _keys: dict[str, int] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _said: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _closed: bool = False

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def close(self) -> None:
        self._closed = True
        self._said.set()
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            writer.close()
        await asyncio.sleep(0.01)

    def say(self, text: str, who: str = "ana", chat: str = "", button: str = "") -> int:
        """Somebody types, each time in a chat of its own unless it is named; returns the update's number."""
        number = next(self._ids)
        chat = chat or f"c{number}"
        self.updates[number] = {
            "id": number, "text": text, "who": who, "chat": chat, "button": button, "at": self._now()
        }  # fmt: skip
        self._said.set()
        return number

    def press(self, message: Message, label: str, who: str = "ana") -> int:
        """Somebody presses the button with this label."""
        packed = dict(message.now["buttons"])[label]
        return self.say("", who, button=packed)

    async def until_listening(self, seconds: float = 120.0) -> None:
        """A bot asks for updates."""
        async with asyncio.timeout(seconds):
            while not self._writers:
                await asyncio.sleep(0.01)

    def in_chat(self, chat: str) -> list[Message]:
        return [message for message in self.messages.values() if message.chat == chat]

    def finals(self, job: int) -> list[Message]:
        """Messages that ever showed the end of this job."""
        return [m for m in self.messages.values() if any(h["final"] and h["job"] == job for h in m.history)]

    def jobs(self) -> set[int]:
        return {h["job"] for m in self.messages.values() for h in m.history if h["job"] is not None}

    async def until(self, wanted: Any, seconds: float = 120.0) -> Any:
        """The first true answer of ``wanted()``, asked again whenever something was shown."""
        async with asyncio.timeout(seconds):
            while not (found := wanted()):
                self._news.clear()
                await self._news.wait()
        return found

    async def final_of(self, update: int, seconds: float = 120.0) -> Message:
        """The message that ended the answer to an update."""
        chat = self.updates[update]["chat"]

        def found() -> Message | None:
            return next((m for m in self.in_chat(chat) if m.history and m.now["final"]), None)

        message: Message = await self.until(found, seconds)
        return message

    # --- the wire

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not self._closed:
                asked = await _read(reader)
                answer = await self._get(asked) if asked["op"] == "get" else self._show(asked)
                _write(writer, answer)
        self._writers.discard(writer)
        writer.close()

    async def _get(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.confirmed = max(self.confirmed, asked["after"])
        waited = 0.0
        while not self._closed:
            for number in sorted(self.updates):
                if number > self.confirmed:
                    return self.updates[number]
            self._said.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._said.wait()
            waited += 0.5
            if waited > 5:
                break
        return {"id": 0}

    def _show(self, asked: dict[str, Any]) -> dict[str, Any]:
        number = asked["message"] or self._keys.get(asked["key"]) or next(self._numbers)
        if asked["message"] and number not in self.messages:
            return {"gone": True}
        if asked["key"]:
            self._keys[asked["key"]] = number
        message = self.messages.setdefault(number, Message(asked["chat"]))
        message.history.append(asked["reply"])
        for update in self.updates.values():
            if update["chat"] == asked["chat"]:
                self.first_word.setdefault(update["id"], self._now())
        self._news.set()
        return {"message": number}


async def _read(reader: asyncio.StreamReader) -> dict[str, Any]:
    size = int.from_bytes(await reader.readexactly(4), "big")
    found: dict[str, Any] = msgspec.msgpack.decode(await reader.readexactly(size))
    return found


def _write(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    body = msgspec.msgpack.encode(message)
    writer.write(len(body).to_bytes(4, "big") + body)


class Chat:
    """The bot's end. ``early`` confirms an update before it is in the inbox: the known-bad variant."""

    name = "chat"

    def __init__(self, path: Path, *, early: bool = False) -> None:
        self._path = path
        self._early = early
        self._closed = False
        self._lines: list[asyncio.StreamWriter] = []
        self._sending: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._one = asyncio.Lock()

    async def _line(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self._path)
        self._lines.append(writer)
        return reader, writer

    async def listen(self) -> AsyncIterator[Call]:
        reader, writer = await self._line()
        after = 0
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not self._closed:
                _write(writer, {"op": "get", "after": after})
                update = await _read(reader)
                if not update["id"]:
                    continue
                after = update["id"]
                if self._early:
                    _write(writer, {"op": "get", "after": after})
                    await asyncio.sleep(0.05)
                yield self._call(update)
                if self._early:
                    await _read(reader)

    def _call(self, update: dict[str, Any]) -> Call:
        from bot import commands

        ask = commands.unpack(update["button"]) if update["button"] else None
        place = f"chat:{update['chat']}"
        return Call(f"chat:{update['who']}", place, str(update["id"]), ask, update["text"])

    async def show(self, place: Place, reply: Reply) -> Place:
        chat, _, message = place.removeprefix("chat:").partition("/")
        final = not reply.fleeting and reply.tone.value != "waiting"
        key = "" if message or reply.job is None else f"job{reply.job}"
        shown = {
            "final": final, "job": reply.job, "text": reply.text, "fleeting": reply.fleeting,
            "images": [len(image.data) for image in reply.images], "tone": reply.tone.value,
            "buttons": [(b.label, _packed(b)) for row in reply.buttons for b in row],
        }  # fmt: skip
        asked = {"op": "show", "chat": chat, "message": int(message or 0), "key": key, "reply": shown}
        async with self._one:
            try:
                self._sending = self._sending or await self._line()
                _write(self._sending[1], asked)
                answer = await _read(self._sending[0])
            except (asyncio.IncompleteReadError, OSError) as error:
                raise Unsure(repeatable=bool(key or message)) from error
        if "gone" in answer:
            raise Gone
        return f"chat:{chat}/{answer['message']}"

    async def close(self) -> None:
        self._closed = True
        for writer in self._lines:
            writer.close()


def _packed(button: Button) -> str:
    from bot import commands

    return commands.pack(button.ask)
