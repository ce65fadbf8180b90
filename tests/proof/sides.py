"""A platform on a bad line, as the proofs see it: who asks there, what was heard, what is shown.

Each side is a whole bot with its real adapter and storage, in this process; ``end`` is how it dies.
"""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import aiohttp
from discord.http import HTTPClient

from bot import life
from bot.adapters.discord.deliver import Delivery
from bot.adapters.discord.rest import Rest
from bot.app import App
from bot.kiosk import Kiosk
from tests.bot.adapters.discord import house as discord
from tests.bot.telegram import house as telegram
from tests.fakes.discord import Interaction
from tests.fakes.proxy import DISCORD, TELEGRAM, Fault, Proxy
from tests.fakes.telegram.world import Person

PEOPLE = 3
HEALED = 60.0
"""Seconds after which everything must have arrived, those not counted in which others had the processor."""
BEAT, SILENCE, SIGNING = 0.5, 2.5, 5.0
"""Seconds between two beats of Discord's gateway here, until its silence is noticed, and for signing in."""
INSISTENT = 1.0
"""Seconds that somebody on Discord waits for a sign of life before they ask again."""


SCHEDULED = Path("/proc/self/schedstat")
"""Linux: nanoseconds that this thread ran, and waited for a processor."""


def awake() -> float:
    """A clock that stands still while this process waits for a processor: on a busy machine a minute of the
    wall's may be a second of ours."""
    waited = int(SCHEDULED.read_text("ascii").split()[1]) / 1e9 if SCHEDULED.exists() else 0.0
    return time.monotonic() - waited


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError in the block that goes on for longer, by the clock of ``awake``."""
    end = awake() + seconds
    async with asyncio.timeout(None) as limit:

        async def until_the_end() -> None:
            while (left := end - awake()) > 0:
                await asyncio.sleep(min(0.5, left))
            limit.reschedule(asyncio.get_running_loop().time())

        watch = asyncio.ensure_future(until_the_end())
        try:
            yield
        finally:
            watch.cancel()


class Side(Protocol):
    """One platform, the people on it, and the bot's lives."""

    line: Proxy

    def bot(self, *, at_once: bool = False) -> AbstractAsyncContextManager[App]:
        """A bot while the block runs; ``at_once``: nothing of it says good-bye, as when it is killed."""

    async def ready(self) -> None:
        """Wait until the bot can hear; raises TimeoutError if it never can."""

    async def ask(self, words: str) -> None:
        """Everybody asks for one picture, each with words of their own; it may not be heard."""

    async def insist(self, words: str) -> None:
        """The same, and again until they are heard."""

    def asked(self) -> list[str]:
        """Every prompt that was asked for."""

    def heard(self, prompt: str) -> bool:
        """Whether its person saw that the bot took it. If not, they may get it or not, but never twice."""

    def shown(self, prompt: str) -> int:
        """Messages in which its picture is."""

    def spoil(self, dice: Callable[[], float]) -> None:
        """What time would do in a quarter of an hour."""


async def _connect(self: HTTPClient, url: str, **more: Any) -> Any:
    """A connection that is half open is not waited for when it is closed."""
    socket = await _connects(self, url, **more)
    socket._timeout = aiohttp.ClientWSTimeout(ws_close=0.2)
    return socket


_connects = HTTPClient.ws_connect


async def _quick(pause: float, result: Any = None) -> Any:
    return await asyncio.sleep(min(pause, 0.05), result)


@contextmanager
def quick() -> Iterator[None]:
    """The pauses and patience of the bot and its libraries, a twentieth as long."""
    sooner = types.SimpleNamespace(**{**vars(asyncio), "sleep": _quick})
    with (
        mock.patch("bot.outbox.backoff", lambda tries: min(2.0, 0.05 * 2.0**tries)),
        mock.patch("bot.adapters.telegram.client.AWAY", 0.15),
        mock.patch("bot.adapters.telegram.client.LONG", 1),
        mock.patch("bot.adapters.telegram.client.READ", 1.5),
        mock.patch("bot.adapters.telegram.poll.LONG", 1),
        mock.patch("bot.adapters.discord.rest.PAUSE", 0.15),
        mock.patch("bot.adapters.discord.rest.PATIENCE", 1.5),
        mock.patch("bot.adapters.discord.asked.GRACE", 0.05),
        mock.patch("bot.adapters.discord.deliver.FIRST", 1.0),
        mock.patch("bot.adapters.discord.adapter.ECHO", 1.0),
        mock.patch("bot.adapters.discord.client.AGAIN", (0.1, 0.2)),
        mock.patch("bot.adapters.discord.client.SILENCE", SILENCE),
        mock.patch("bot.adapters.discord.client.SIGNING", SIGNING),
        mock.patch("discord.http.asyncio", sooner),
        mock.patch("discord.shard.asyncio", sooner),
        mock.patch(
            "discord.client.asyncio", sooner
        ),  # five seconds before a second IDENTIFY: longer than SILENCE
        mock.patch.object(HTTPClient, "ws_connect", _connect),
        mock.patch("bot.adapters.discord.client.Pauses.delay", return_value=0.1),
    ):
        yield


@contextmanager
def cut_off() -> Iterator[None]:
    """A life that ends here ends like a killed one: no chat and no engine is told."""
    usual = life._within

    async def within(seconds: float, *ends: Any) -> None:
        if seconds != life.LETTING_GO:
            await usual(seconds, *ends)
            return
        for end in ends:
            end.close()

    with mock.patch.object(life, "_within", within):
        yield


@asynccontextmanager
async def _life(
    bot: Callable[[telegram.Painter], AbstractAsyncContextManager[App]],
    bury: Callable[[telegram.Painter], Awaitable[None]],
    at_once: bool,
) -> AsyncIterator[App]:
    """One life of a bot with an engine of its own, that ends gently or ``at_once``."""
    engine = telegram.Painter()
    with cut_off() if at_once else nullcontext():
        async with bot(engine) as app:
            yield app
    if at_once:
        await bury(engine)


# --- Telegram


@dataclass
class OnTelegram:
    """Everybody writes to the bot in private; what they write waits for it."""

    house: telegram.House
    line: Proxy
    people: list[Person] = field(default_factory=list)
    wishes: dict[str, Person] = field(default_factory=dict)

    def bot(self, *, at_once: bool = False) -> AbstractAsyncContextManager[App]:
        return _life(self.house.bot, self._bury, at_once)

    async def _bury(self, engine: telegram.Painter) -> None:
        """What a killed process would not leave running."""
        adapter = self.house.adapter
        assert adapter
        for task in [*engine._tasks, *adapter._speaker._tasks]:
            task.cancel()
        for way in adapter._line._ways:
            await way.shutdown()

    async def ready(self) -> None:
        return

    async def ask(self, words: str) -> None:
        for person in self.people:
            prompt = f"a fox {words} {person.name}"
            self.wishes[prompt] = person
            person.say(f"/imagine {prompt} --n 1")

    insist = ask

    def asked(self) -> list[str]:
        return list(self.wishes)

    def heard(self, prompt: str) -> bool:
        return True

    def shown(self, prompt: str) -> int:
        messages = self.wishes[prompt].private.ours
        return sum(1 for message in messages if message.file and prompt in message.said)

    def spoil(self, dice: Callable[[], float]) -> None:
        return


# --- Discord


@dataclass
class OnDiscord:
    """Everybody types in a channel of their own; what they type while the bot is away is lost to it."""

    house: discord.House
    line: Proxy
    made: dict[str, Interaction] = field(default_factory=dict)

    def bot(self, *, at_once: bool = False) -> AbstractAsyncContextManager[App]:
        return _life(self.house.bot, self._bury, at_once)

    async def _bury(self, engine: telegram.Painter) -> None:
        adapter = self.house.adapter
        assert adapter
        for task in [*engine._tasks, *adapter._tasks]:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await adapter.client.leave()

    async def ready(self) -> None:
        adapter = self.house.adapter
        assert adapter
        async with patience(HEALED):
            while not adapter.client.is_ready():
                await asyncio.sleep(0.01)

    async def _type(self, person: int, prompt: str) -> Interaction:
        made = await self.house.wire.slash("imagine", 8_000 + person, 9_000 + person, prompt=prompt, n=1)
        self.made[prompt] = made
        return made

    async def ask(self, words: str) -> None:
        for person in range(PEOPLE):
            await self._type(person, f"a fox {words} p{person}")

    async def insist(self, words: str) -> None:
        await asyncio.gather(*(self._insist(person, words) for person in range(PEOPLE)))

    async def _insist(self, person: int, words: str) -> None:
        async with patience(HEALED):
            for number in range(1_000):
                made = await self._type(person, f"a fox {words} again{number} p{person}")
                for _ in range(100):
                    if made.answered:
                        return
                    await asyncio.sleep(INSISTENT / 100)

    def asked(self) -> list[str]:
        return list(self.made)

    def heard(self, prompt: str) -> bool:
        return self.made[prompt].answered

    def shown(self, prompt: str) -> int:
        messages = self.house.wire.messages.values()
        return sum(1 for message in messages if message.files and f"`{prompt}`" in message.text)

    def spoil(self, dice: Callable[[], float]) -> None:
        """Tokens grow old before their time."""
        for made in self.made.values():
            made.expired = made.expired or dice() < 0.5


# --- a line to either


Opened = AbstractAsyncContextManager[Side]


@asynccontextmanager
async def on_telegram(folder: Path, rates: Mapping[Fault, float], seed: int) -> AsyncIterator[Side]:
    async with telegram.house(folder) as here, Proxy(here.tele.root, TELEGRAM, rates, seed) as line:
        here.tele.root = line.root
        people = [here.tele.world.person(f"p{number}") for number in range(PEOPLE)]
        yield OnTelegram(here, line, people)


@asynccontextmanager
async def on_discord(folder: Path, rates: Mapping[Fault, float], seed: int) -> AsyncIterator[Side]:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(discord.house(folder, heartbeat=BEAT))
        upstream = f"http://127.0.0.1:{here.wire.port}"
        line = await stack.enter_async_context(Proxy(upstream, DISCORD, rates, seed))
        here.wire.front, here.root = line.root, f"{line.root}/api/v10"
        yield OnDiscord(here, line)


SIDES: Mapping[str, Callable[[Path, Mapping[Fault, float], int], Opened]] = {
    "telegram": on_telegram, "discord": on_discord,
}  # fmt: skip


# --- known to be bad


@contextmanager
def known_bad() -> Iterator[None]:
    """Telegram: a message made for a picture is not written down before the picture is in it. Discord: a post
    is neither looked for nor known by a nonce, so it is made again.
    """
    posted = Rest.post
    numbers = iter(range(10**9))

    async def forgets(self: Kiosk, job: int, place: str) -> None:
        return

    async def nothing(self: Delivery, channel: int, message: Any) -> int:
        return 0

    async def careless(self: Rest, channel: int, message: Any, nonce: str) -> int:
        return await posted(self, channel, message, f"n{next(numbers)}")

    with (
        mock.patch.object(Kiosk, "placed", forgets),
        mock.patch.object(Delivery, "_found", nothing),
        mock.patch.object(Rest, "post", careless),
    ):
        yield
