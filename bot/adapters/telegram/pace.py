"""When something may be sent: a second between two messages in a chat, twenty a minute in a group, thirty a
second in all. Telegram's 429 puts off its own chat and nobody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

GROUP = 20
"""Messages and edits that a group takes in a minute."""
SPARE = 8
"""Of these, what courtesies (progress, moved places) leave to what must be said; all there is in the first
minute after a start."""
RATE, BURST = 24.0, 4.0
"""Requests a second in all, and how many may come at once: never more than 28 in any second."""
COURTESIES = 8.0
"""Of these, how many a second may be courtesies: an answer never queues behind them."""
GAP = 1.05
"""Seconds between two messages in a chat."""
BACKOFF = (5.0, 10.0, 20.0, 40.0)
"""Seconds between the edits that show progress; the last one repeats."""
REMEMBERED = 4_096


@dataclass(slots=True)
class _Chat:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One request at a time; whoever waits is served in order."""
    waiting: int = 0
    done: deque[float] = field(default_factory=lambda: deque(maxlen=GROUP))
    """When the last ones were over: Telegram counted each before that."""
    closed: float = 0.0
    """Telegram said: not before this."""


class Pacer:
    """``unit`` is how long a second is: tests live faster."""

    def __init__(self, unit: float = 1.0, clock: Callable[[], float] | None = None) -> None:
        self._unit = unit
        self._clock = clock or asyncio.get_running_loop().time
        self._began = self._clock()
        self._chats: OrderedDict[int, _Chat] = OrderedDict()
        self._full = 0.0
        """Time at which all that was sent so far would have been sent at ``RATE``."""
        self._courteous = 0.0
        """Time before which there is no courtesy."""

    def _chat(self, number: int) -> _Chat:
        if number not in self._chats:
            self._chats[number] = self._unknown(number)
        self._chats.move_to_end(number)
        if len(self._chats) > REMEMBERED:
            self._chats.popitem(last=False)
        return self._chats[number]

    def _unknown(self, number: int) -> _Chat:
        """What a group got before a restart counts for a minute, and we forgot it: all but the spare, say."""
        chat = _Chat()
        if number < 0:
            chat.done.extend([self._began] * (GROUP - SPARE))
        return chat

    def _start(self, number: int, chat: _Chat, limit: int, ahead: int = 0) -> float:
        """When this chat has room for one more of ``limit`` a minute, after those ``ahead``."""
        done = chat.done
        start = max(chat.closed, done[-1] + GAP * self._unit if done else 0.0) + ahead * GAP * self._unit
        if number < 0 and len(done) + ahead >= limit:
            blocking = min(len(done) + ahead - limit, len(done) - 1)
            start = max(start, done[blocking] + 60.0 * self._unit)
        return start

    def wait(self, number: int) -> float:
        """Seconds until something more could be sent in this chat."""
        chat = self._chat(number)
        return self._start(number, chat, GROUP, chat.waiting) - self._clock()

    def recent(self, number: int) -> int:
        """How much we know was sent in this chat within the last minute, or is about to be."""
        chat, since = self._chat(number), max(self._began, self._clock() - 60.0 * self._unit)
        return chat.waiting + sum(1 for done in chat.done if done > since)

    def free(self, number: int) -> bool:
        """Is there a turn to spare for a courtesy, right now? Yes takes one of the courtesies' own."""
        chat, now = self._chat(number), self._clock()
        busy = chat.waiting or self._start(number, chat, GROUP - SPARE) > now
        if busy or max(self._full, self._courteous) > now:
            return False
        self._courteous = now + self._unit / COURTESIES
        return True

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """This chat's turn, first come first served, when there is room in it and in all."""
        chat = self._chat(number)
        chat.waiting += 1
        try:
            async with chat.lock:
                await self._until_room(number, chat)
                try:
                    yield
                finally:
                    chat.done.append(self._clock())
        finally:
            chat.waiting -= 1

    async def _until_room(self, number: int, chat: _Chat) -> None:
        pause = self._start(number, chat, GROUP) - self._clock()
        await asyncio.sleep(pause)
        if self._start(number, chat, GROUP) > self._clock():  # put off meanwhile
            return await self._until_room(number, chat)
        return await asyncio.sleep(self._take())

    def _take(self) -> float:
        now = self._clock()
        self._full = max(self._full, now) + self._unit / RATE
        return max(0.0, self._full - now - BURST * self._unit / RATE)

    def put_off(self, number: int, seconds: float) -> None:
        """Telegram takes nothing more in this chat for ``seconds``."""
        self._chat(number).closed = self._clock() + seconds


class Backoff:
    """Which message may show progress again: ever more rarely."""

    def __init__(self, unit: float = 1.0, clock: Callable[[], float] | None = None) -> None:
        self._unit = unit
        self._clock = clock or asyncio.get_running_loop().time
        self._next: OrderedDict[tuple[int, int], tuple[float, int]] = OrderedDict()

    def begin(self, chat: int, message: int) -> None:
        """A message was made."""
        self._put(chat, message, 0)

    def due(self, chat: int, message: int) -> bool:
        """May it be edited now? One that is not known is as good as new."""
        known = self._next.get((chat, message))
        if known is None:
            self._put(chat, message, 0)
            return False
        return self._clock() >= known[0]

    def edited(self, chat: int, message: int) -> None:
        """It was edited."""
        _, times = self._next.get((chat, message), (0.0, 0))
        self._put(chat, message, times + 1)

    def end(self, chat: int, message: int) -> None:
        """No more progress there: it was its last word, or it is gone."""
        self._next[chat, message] = (float("inf"), 0)
        self._next.move_to_end((chat, message))

    def _put(self, chat: int, message: int, times: int) -> None:
        pause = BACKOFF[min(times, len(BACKOFF) - 1)] * self._unit
        self._next[chat, message] = (self._clock() + pause, times)
        self._next.move_to_end((chat, message))
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
