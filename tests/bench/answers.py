"""How soon a person sees an answer while two hundred jobs wait, and how little is asked of the platform.

    python -m tests.bench.answers [telegram] [discord] [--rounds N] [--anyway]

The whole bot in this process on each platform's fake, over real sockets, at the platform's real pace. One
job is drawn for thirty seconds meanwhile and shows its progress: the requests that it takes are counted.
``value`` is the 99th percentile in milliseconds, ``by_cpu`` the same of this process's CPU time, the fake's
part included. Without FALOPITAS_API_SPECS Discord's fake does not check each request, which costs most of it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from inference import wire
from tests.bench import frame
from tests.bench.frame import Figure
from tests.bot.adapters.discord import house as discord
from tests.bot.telegram import house as telegram
from tests.bot.telegram.house import Painter
from tests.fakes.engine import drawn
from tests.fakes.room import CONFIG
from tests.fakes.telegram import Person

WAITING = 200
"""Jobs in the queue."""
ASKS = 20
"""Newcomers of a round."""
GATE = 300.0
"""Milliseconds at most."""
SECONDS = 30
"""That the one job is drawn."""
APART = 0.05
"""Seconds between two people of the crowd: Telegram takes thirty messages a second from us."""
PATIENCE = 300.0
MOST = {"telegram": 6, "discord": 8}
"""Requests that a job of thirty seconds may take."""


class Slow(Painter):
    """Draws the first job only, and says how far it is twice a second."""

    def __init__(self) -> None:
        super().__init__(credits=1)
        self.over = asyncio.Event()

    async def _draw(self, draw: wire.Draw) -> None:
        for half in range(2 * SECONDS):
            progress = wire.Progress(job=draw.job, attempt=draw.attempt, done=half, total=2 * SECONDS)
            await self.say(progress)
            await asyncio.sleep(0.5)
        await self.say(drawn(draw))
        self.over.set()


class Chat(Protocol):
    """A platform: somebody asks, and sees something or not yet."""

    async def ask(self, number: int) -> Callable[[], object]:
        """Somebody new asks for a picture; true once they see an answer."""

    def finished(self) -> bool:
        """Whether the first who asked has the picture."""

    def requests(self) -> int:
        """How many the first one's job took."""


@dataclass(frozen=True, slots=True)
class Answers(Figure):
    """The time to the first answer, and ``requests`` of one job, of which ``most`` are allowed."""

    requests: int = 0
    most: int = 0

    @property
    def good(self) -> bool:
        """Soon enough, with little enough."""
        return self.value <= self.gate and self.requests <= self.most


class _Telegram:
    def __init__(self, here: telegram.House) -> None:
        self._tele = here.tele
        self._people: list[Person] = []

    async def ask(self, number: int) -> Callable[[], object]:
        person = self._tele.world.person(f"P{number}")
        self._people.append(person)
        person.say("a red fox --n 1")
        return partial(getattr, person.private, "ours")

    def finished(self) -> bool:
        return any(message.file for message in self._people[0].private.ours)

    def requests(self) -> int:
        first = self._people[0].id
        return sum(1 for call in self._tele.made() if call.values.get("chat_id") == first)


class _Discord:
    def __init__(self, here: discord.House) -> None:
        self._wire = here.wire
        self._first = ("", 0, 0)

    async def ask(self, number: int) -> Callable[[], object]:
        made = await self._wire.slash("imagine", 80_000 + number, 90_000 + number, prompt="a red fox", n=1)
        if not number:
            self._first = (made.token, made.id, made.channel)
            self._made = made

        def seen() -> bool:
            return made.answered and bool(self._wire.messages[made.message].text)

        return seen

    def finished(self) -> bool:
        return bool(self._wire.messages[self._made.message].files)

    def requests(self) -> int:
        marks = {str(mark) for mark in self._first}
        return sum(1 for _, path in self._wire.asked if marks & set(path.split("/")))


@asynccontextmanager
async def on_telegram(folder: Path, engine: Slow) -> AsyncIterator[Chat]:
    """Telegram, at its real pace."""
    async with telegram.house(folder, 1.0) as here, here.bot(engine):
        yield _Telegram(here)
        assert here.tele.flood.refused == 0


@asynccontextmanager
async def on_discord(folder: Path, engine: Slow) -> AsyncIterator[Chat]:
    """Discord, with the real client on its gateway."""
    async with discord.house(folder) as here:
        here.config = replace(CONFIG, queue_limit=1_000)
        async with here.bot(engine):
            async with asyncio.timeout(PATIENCE):
                while not (here.adapter and here.adapter.client.is_ready()):
                    await asyncio.sleep(0.01)
            yield _Discord(here)


CHATS = {"telegram": on_telegram, "discord": on_discord}


async def _until(seen: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not seen():
            await asyncio.sleep(0.001)


async def measured(name: str, asks: int, waiting: int = WAITING) -> Answers:
    """So many newcomers, one after the other, while so many jobs wait."""
    walls, processors, engine = list[float](), list[float](), Slow()
    with tempfile.TemporaryDirectory() as folder:
        async with CHATS[name](Path(folder), engine) as chat:
            for number in range(waiting + 1):
                seen = await chat.ask(number)
                await asyncio.sleep(APART)
            await _until(seen)
            for number in range(waiting + 1, waiting + 1 + asks):
                wall, processor = time.perf_counter(), time.process_time()
                await _until(await chat.ask(number))
                walls.append(1_000 * (time.perf_counter() - wall))
                processors.append(1_000 * (time.process_time() - processor))
                await asyncio.sleep(0.1)
            await engine.over.wait()
            await _until(chat.finished)
            more = {
                "p50": round(percentile(walls, 0.5), 1), "asks": asks, "waiting": waiting, "unit": "ms",
                "requests": chat.requests(), "requests_gate": MOST[name],
            }  # fmt: skip
            return Answers(
                f"first answer on {name}, p99", percentile(walls, 0.99), GATE, False,
                percentile(processors, 0.99), more, chat.requests(), MOST[name],
            )  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _bench(name: str) -> Callable[[int], Figure]:
    return lambda rounds: asyncio.run(measured(name, ASKS * rounds))


if __name__ == "__main__":
    sys.exit(frame.main({name: _bench(name) for name in CHATS}))
