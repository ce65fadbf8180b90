"""A chat in memory: a list in and a list out, with faults a test asks for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from bot.talk import Call, Place, Reply


@dataclass(frozen=True)
class Shown:
    place: Place
    reply: Reply = field(repr=False)
    edit: bool


class FakeAdapter:
    """``fault`` is asked before each show and may raise; ``after`` when it was shown (the answer is lost)."""

    def __init__(self, name: str = "test", pace: float = 0.0) -> None:
        self.name = name
        self.pace = pace
        self.echo = 0.0
        self.shown: list[Shown] = []
        self.messages: dict[Place, Reply] = {}
        self.fault: Callable[[Place, Reply], None] = lambda place, reply: None
        self.after: Callable[[Place, Reply], None] = lambda place, reply: None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self._calls: asyncio.Queue[Call | None] = asyncio.Queue()
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    def say(self, text: str = "", *, event: str = "", who: str = "", place: str = "", **more: object) -> Call:
        event = event or f"e{next(self._numbers)}"
        call = Call(who or f"{self.name}:ana", place or f"{self.name}:chat", event, text=text, **more)  # type: ignore[arg-type]
        self._calls.put_nowait(call)
        return call

    async def listen(self) -> AsyncIterator[Call]:
        while (call := await self._calls.get()) is not None:
            yield call

    async def show(self, place: Place, reply: Reply) -> Place:
        self.entered.set()
        if self.gate:
            await self.gate.wait()
        self.fault(place, reply)
        edit = "/" in place
        place = place if edit else f"{place}/{next(self._numbers)}"
        self.messages[place] = reply
        self.shown.append(Shown(place, reply, edit))
        self._news.set()
        self.after(place, reply)
        return place

    async def close(self) -> None:
        self._calls.put_nowait(None)

    async def until(self, wanted: Callable[[Reply], bool], seconds: float = 60.0) -> Shown:
        async with asyncio.timeout(seconds):
            while True:
                for shown in self.shown:
                    if wanted(shown.reply):
                        return shown
                self._news.clear()
                await self._news.wait()
