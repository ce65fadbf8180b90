"""Two chats with the promises that matter: one knows keys (a send repeated is made once), one does not.

As everywhere, an event is sent again until the bot asks for the next, a message is made by a send and
changed by an edit, and an answer may be lost on its way in either direction.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bot import commands
from bot.talk import Button, Call, Gone, Later, Place, Reply, Tone, Unsure
from tests.fakes.chat import Message
from tests.sim.world import BugError, World

TITLES = (("role:7", "Supporters"), ("keyed:art", "art"), ("plain:art", "art"))
WAY = (0.02, 0.4)
"""Seconds that a request takes to the platform, and its answer back."""
LOST, PUT_OFF, GONE, BUG, TWICE = 0.02, 0.02, 0.004, 0.003, 0.03
"""Shares of requests (of events: said twice) that go wrong."""
OLD = 400
"""Messages that are remembered to be pressed."""


@dataclass
class Update:
    """Something a person did; ``confirmed`` when the platform will not send it again."""

    number: int
    who: str
    chat: str
    text: str
    packed: str
    facts: dict[str, Any]
    at: float
    confirmed: bool = False


@dataclass(eq=False)
class Platform:
    """The server of one chat. It outlives every bot."""

    world: World
    name: str
    keyed: bool
    updates: dict[int, Update] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    troubled: Counter[str] = field(default_factory=Counter)
    """Chat → requests there that went wrong for the bot."""
    finals: dict[int, set[int]] = field(default_factory=dict)
    """Job → messages that ever showed its end."""
    promised: dict[int, str] = field(default_factory=dict)
    """Job → the words of whom it was acknowledged to."""
    down: bool = False
    early: bool = False
    """The known-bad variant: an event is confirmed before the bot has written it down."""
    on_confirm: Callable[[str, int], None] = field(default=lambda name, number: None)
    _queue: deque[int] = field(default_factory=deque)
    _keys: dict[str, int] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _broken: int = 0

    # --- people

    def say(self, who: str, text: str = "", *, chat: str = "", packed: str = "", **facts: Any) -> Update:
        """Somebody types or presses, each time in a chat of its own unless it is named."""
        number = next(self._numbers)
        update = Update(number, who, chat or f"c{number}", text, packed, facts, self.world.loop.time())
        self.updates[number] = update
        self.world.note(self.name, "says", number, who, text, packed)
        self._send(number)
        return update

    def _send(self, number: int) -> None:
        self._queue.append(number)
        self._news.set()

    def break_line(self) -> None:
        """Whoever listens hears an error instead."""
        self._broken += 1
        self._news.set()

    # --- the bot's end: events

    async def next(self) -> Update:
        """The oldest that is not confirmed. Raises ConnectionError when the line breaks."""
        broken = self._broken
        while not self._queue:
            self._news.clear()
            await self._news.wait()
            if self._broken != broken:
                raise ConnectionError("simulated")
        return self.updates[self._queue[0]]

    def confirm(self, update: Update) -> None:
        """The bot asked for the next one."""
        self.on_confirm(self.name, update.number)
        if self._queue and self._queue[0] == update.number:
            self._queue.popleft()
        update.confirmed = True
        if self.world.chance(TWICE):
            self.world.fault("said twice", self.name, update.number)
            self.world.later(self.world.dice.expovariate(1 / 60), self._send, update.number)

    # --- the bot's end: messages

    async def request(self, place: Place, reply: Reply) -> Place:
        """Send or edit, with all that a line can do to it."""
        world, dice = self.world, self.world.dice
        chat, _, number = place.partition(":")[2].partition("/")
        safe = bool(number) or (self.keyed and reply.job is not None)
        answer: asyncio.Future[Place] = world.loop.create_future()
        if world.chance(BUG):
            self._trouble("bug", chat)
            raise BugError("simulated")
        if self.down or world.chance(PUT_OFF):
            self._trouble("outage" if self.down else "put off", chat)
            self._answer(answer, Later(round(dice.uniform(0.5, 20.0), 3)), dice.uniform(*WAY))
        elif number and world.chance(GONE):
            self.deleted.add(int(number))
            self._trouble("gone", chat)
            self._answer(answer, Gone(), dice.uniform(*WAY))
        elif world.chance(LOST):
            self._trouble("lost before", chat)
            self._answer(answer, Unsure(repeatable=safe), dice.uniform(2.0, 20.0))
        else:
            lost = world.chance(LOST)
            work = partial(self._arrive, answer, chat, int(number or 0), reply, Unsure(repeatable=safe), lost)
            world.later(dice.uniform(*WAY), work)
        return await answer

    def _trouble(self, kind: str, chat: str) -> None:
        self.troubled[chat] += 1
        self.world.fault(kind, self.name, chat)

    def _answer(self, answer: asyncio.Future[Place], what: Place | Exception, seconds: float) -> None:
        self.world.later(seconds, partial(_settle, answer, what))

    def _arrive(
        self, answer: asyncio.Future[Place], chat: str, number: int, reply: Reply, unsure: Unsure, lost: bool
    ) -> None:
        dice = self.world.dice
        if number and (number in self.deleted or number not in self.messages):
            self.troubled[chat] += 1
            self._answer(answer, Gone(), dice.uniform(*WAY))
            return
        number = self._show(chat, number, reply)
        if lost:
            self._trouble("lost after", chat)
            self._answer(answer, unsure, dice.uniform(2.0, 20.0))
        else:
            self._answer(answer, f"{self.name}:{chat}/{number}", dice.uniform(*WAY))

    def _show(self, chat: str, number: int, reply: Reply) -> int:
        key = f"job{reply.job}" if self.keyed and reply.job is not None and not number else ""
        number = number or self._keys.get(key, 0) or next(self._numbers)
        if key:
            self._keys[key] = number
        final = not reply.fleeting and reply.tone not in (Tone.WAITING, Tone.REFUSED)
        message = self.messages.setdefault(number, Message(chat))
        message.history.append({
            "final": final, "job": reply.job, "fleeting": reply.fleeting, "text": reply.text,
            "images": [image.digest for image in reply.images], "fields": dict(reply.fields),
            "buttons": [(each.label, _packed(each)) for row in reply.buttons for each in row],
        })  # fmt: skip
        if reply.job is not None:
            self.promised[reply.job] = reply.prompt
            if final:
                self.finals.setdefault(reply.job, set()).add(number)
        images = len(reply.images)
        self.world.note(self.name, "shows", chat, number, reply.job, final, images, reply.tone, reply.text)
        return number

    def recent(self) -> list[Message]:
        """Messages with buttons that somebody may press."""
        newest = list(itertools.islice(reversed(self.messages.items()), OLD))
        return [m for n, m in newest if n not in self.deleted and m.history and m.now["buttons"]]

    def answered(self, update: Update) -> bool:
        """Somebody was told something that counts in this update's own chat."""
        found = (each for each in self.messages.values() if each.chat == update.chat)
        return any(not shown["fleeting"] for each in found for shown in each.history)


def _settle(answer: asyncio.Future[Place], what: Place | Exception) -> None:
    if answer.done():
        return
    if isinstance(what, Exception):
        answer.set_exception(what)
    else:
        answer.set_result(what)


def _packed(button: Button) -> str:
    return commands.pack(button.ask)


class Chat:
    """The bot's adapter, made anew for each of its lives."""

    def __init__(self, platform: Platform) -> None:
        self.name = platform.name
        self._platform = platform

    async def listen(self) -> AsyncIterator[Call]:
        while True:
            update = await self._platform.next()
            if self._platform.early:
                self._platform.confirm(update)
            yield self._call(update)
            if not self._platform.early:
                self._platform.confirm(update)  # asked for the next one: it is in the inbox

    def _call(self, update: Update) -> Call:
        ask = commands.unpack(update.packed) if update.packed else None
        place = f"{self.name}:{update.chat}"
        who = f"{self.name}:{update.who}"
        return Call(who, place, str(update.number), ask, update.text, titles=TITLES, **update.facts)

    async def show(self, place: Place, reply: Reply) -> Place:
        return await self._platform.request(place, reply)

    def beside(self, place: Place) -> Place:
        """A new message in the same chat."""
        return place.partition("/")[0]

    async def close(self) -> None:
        return None
