"""Conversations in memory: what each session was shown, and who watches it now.

An event is the newest state of one message, so that a reconnecting page gets what it missed by asking for
everything after the last number it saw: nothing is logged, nothing grows. A number from before a restart
has another epoch and gets the whole conversation.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MAX_MESSAGES = 120
MAX_SESSIONS = 500
MAX_SHOWN = 1_000
MAX_LOOSE = 24
"""Pictures outside the gallery that a session keeps for its page (previews too big to inline)."""
MAX_OFFERED = 3
"""Files to take along that a session keeps: one is up to 9 MB."""


@dataclass(slots=True)
class Message:
    """One call and its answer: ``said`` is the person's, ``reply`` the bot's, both ready as JSON."""

    name: str
    at: float
    said: dict[str, Any] | None = None
    reply: dict[str, Any] | None = None
    changes: int | None = None
    """The job whose finished pictures look different once this is answered."""
    ask: Any = None
    """What was pressed."""
    language: str = ""
    """What it was asked in; "": in no session of ours."""
    number: int = 0

    def event(self) -> dict[str, Any]:
        """As the page receives it."""
        return {"id": self.name, "at": self.at, "said": self.said, "reply": self.reply}


@dataclass(slots=True)
class Session:
    """One person's page, in any number of tabs."""

    name: str
    epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    language: str = "en"
    closed: bool = False
    restored: bool = False
    messages: OrderedDict[str, Message] = field(default_factory=OrderedDict)
    loose: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    offered: OrderedDict[str, tuple[str, bytes]] = field(default_factory=OrderedDict)
    """Files that replies to this session offered, by digest: name and bytes."""
    shown: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Digests of pictures in replies to this session: whoever was shown one may load it."""
    _number: int = 0
    _watchers: set[asyncio.Event] = field(default_factory=set)

    def put(self, message: Message) -> None:
        """Add or replace a message and wake whoever watches."""
        self._number += 1
        message.number = self._number
        self.messages[message.name] = message
        while len(self.messages) > MAX_MESSAGES:
            self.messages.popitem(last=False)
        self.wake()

    def drop(self, name: str) -> None:
        """Forget a message that never became one."""
        self.messages.pop(name, None)

    def keep(self, digest: str, data: bytes) -> None:
        """Remember a picture that is in no gallery."""
        self.loose[digest] = data
        self.loose.move_to_end(digest)
        while len(self.loose) > MAX_LOOSE:
            self.loose.popitem(last=False)

    def offer(self, digest: str, name: str, data: bytes) -> None:
        """Remember a file that this session may take along."""
        self.offered[digest] = (name, data)
        self.offered.move_to_end(digest)
        while len(self.offered) > MAX_OFFERED:
            self.offered.popitem(last=False)

    def saw(self, digest: str) -> None:
        """A reply to this session shows this picture."""
        self.shown[digest] = None
        self.shown.move_to_end(digest)
        while len(self.shown) > MAX_SHOWN:
            self.shown.popitem(last=False)

    def since(self, number: int) -> list[Message]:
        """Messages that changed after ``number``, oldest change first."""
        return sorted((m for m in self.messages.values() if m.number > number), key=lambda m: m.number)

    def after(self, last_event: str) -> int | None:
        """The number in a Last-Event-ID of this epoch; None: start over."""
        epoch, _, number = last_event.partition("-")
        if epoch != self.epoch or not number.isdecimal() or len(number) > 12:
            return None
        return int(number)

    def wake(self) -> None:
        """Let every stream look."""
        for watcher in self._watchers:
            watcher.set()

    def close(self) -> None:
        """End every stream of this session."""
        self.closed = True
        self.wake()

    @property
    def watchers(self) -> int:
        """Streams open now."""
        return len(self._watchers)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """A flag that is set whenever something changed."""
        flag = asyncio.Event()
        flag.set()
        self._watchers.add(flag)
        try:
            yield flag
        finally:
            self._watchers.discard(flag)


@dataclass(slots=True)
class Sessions:
    """The sessions in memory; the least used one without a page open is forgotten first."""

    _all: OrderedDict[str, Session] = field(default_factory=OrderedDict)

    def get(self, name: str) -> Session:
        """The session of that name, made when it is not in memory."""
        session = self._all.get(name)
        if session is None or session.closed:
            session = self._all[name] = Session(name)
        self._all.move_to_end(name)
        self._shrink()
        return session

    def _shrink(self) -> None:
        over = len(self._all) - MAX_SESSIONS
        for name in [n for n, s in self._all.items() if not s.watchers][: max(0, over)]:
            del self._all[name]

    def close(self, name: str) -> None:
        """Forget a session and end its streams."""
        if session := self._all.pop(name, None):
            session.close()

    def close_all(self) -> None:
        """End every stream."""
        for session in self._all.values():
            session.close()
