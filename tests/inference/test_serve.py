"""What the inference process does between its engine and its bot, with an engine that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference import serve as module
from inference import wire
from inference.door import LONGEST, folder, socket_path
from inference.lock import Lock, Note, Taken, living
from inference.request import Picture, Request
from inference.serve import ROOM, Serve
from tests.inference.frames import corpus

TOKEN = "secret"


class Obedient:
    """An engine that remembers what it was asked, and answers when the test says so."""

    device, dtype, torch, alive = "none", "none", "none", True

    def __init__(self) -> None:
        self.asked: list[wire.Draw] = []
        self.cancelled: list[tuple[int, int]] = []
        self.state = "ready"

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def submit(self, draw: wire.Draw) -> None:
        self.asked.append(draw)

    def cancel(self, job: int, attempt: int) -> None:
        self.cancelled.append((job, attempt))

    def states(self) -> tuple[wire.ModelState, ...]:
        return (wire.ModelState(name="builtin", state=self.state),)

    def stalled(self) -> float:
        return 0.25

    def speeds(self) -> dict[str, float]:
        return {"builtin": 2.0}

    def paces(self) -> dict[str, float]:
        return {"builtin": 3.0}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Bot:
    """A bot's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, message: wire.Message) -> None:
        self.writer.write(wire.frame(message))
        await self.writer.drain()

    async def hear(self) -> wire.ToBot | None:
        return await asyncio.wait_for(wire.read_by_bot(self.reader), 60.0)

    async def until(self, kind: type[wire.Message]) -> wire.ToBot:
        while not isinstance(message := await self.hear(), kind):
            assert message is not None
        return message


class House:
    """A Serve on a socket in a temporary folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.serve = Serve(TOKEN, self.clock)
        self.engine = self.serve.engine = Obedient()
        self.bots: list[Bot] = []

    async def bot(self, *, token: str = TOKEN, protocol: int = wire.PROTOCOL) -> Bot:
        bot = await self.stranger()
        await bot.say(wire.Open(token=token, protocol=protocol))
        return bot

    async def stranger(self) -> Bot:
        """A connection that has said nothing yet."""
        bot = Bot(*await asyncio.open_unix_connection(self.path))
        self.bots.append(bot)
        return bot

    async def close(self) -> None:
        await self.serve.close()
        for bot in self.bots:
            bot.writer.close()
            with contextlib.suppress(ConnectionError):
                await bot.writer.wait_closed()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0.001)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "s")
    server = await asyncio.start_unix_server(house.serve.accept, house.path)
    yield house
    server.close()
    await house.close()


def draw(job: int = 1, attempt: int = 1, **request: object) -> wire.Draw:
    return wire.Draw(job=job, attempt=attempt, request=Request(prompt="fox", **request))  # type: ignore[arg-type]


def drawn(job: int = 1, attempt: int = 1, size: int = 10) -> wire.Drawn:
    picture = Picture(index=0, seed=0, width=16, height=16, data=b"x" * size)
    return wire.Drawn(job=job, attempt=attempt, pictures=(picture,))


async def test_hello_comes_first_and_then_credits(house: House) -> None:
    bot = await house.bot()
    hello = await bot.hear()
    assert isinstance(hello, wire.Hello)
    assert (hello.pid, hello.drawing, hello.finished) == (os.getpid(), (), ())
    assert await bot.hear() == wire.Ready(credits=3)


async def test_credits_wait_for_the_first_model(house: House) -> None:
    house.engine.state = "loading"
    bot = await house.bot()
    await bot.hear()
    house.engine.state = "ready"
    house.serve.tell(wire.Models(models=house.engine.states()))
    assert isinstance(await bot.hear(), wire.Models)
    assert await bot.hear() == wire.Ready(credits=3)


async def test_credits_fill_a_batch_and_no_more(house: House) -> None:
    """Every credit that comes is used at once: the rows in flight stay between one batch and a little
    more."""
    bot, credit, job = await house.bot(), 0, 0
    with contextlib.suppress(TimeoutError):
        while True:
            message = await asyncio.wait_for(bot.until(wire.Ready), 60.0 if job < 8 else 0.5)  # two rows each
            assert isinstance(message, wire.Ready)
            credit += message.credits
            while credit:
                credit, job = credit - 1, job + 1
                await bot.say(draw(job, count=1, guidance=4.0))
    async with asyncio.timeout(60):
        while len(house.engine.asked) < job:
            await asyncio.sleep(0.01)
    assert 16 <= sum(asked.request.rows for asked in house.engine.asked) <= ROOM + 4
    for done in range(1, job + 1):
        house.serve.tell(drawn(done))
    assert isinstance(await bot.until(wire.Ready), wire.Ready)


async def test_a_result_is_kept_until_it_is_settled(house: House) -> None:
    bot = await house.bot()
    await bot.say(draw())
    await house.settle()
    house.serve.tell(drawn())
    assert await bot.until(wire.Drawn) == drawn()
    again = await house.bot()
    hello = await again.hear()
    assert isinstance(hello, wire.Hello)
    assert hello.finished == ((1, 1),)
    assert await again.hear() == drawn()
    await again.say(wire.Settled(job=1, attempt=1))
    await house.settle()
    third = await house.bot()
    hello = await third.hear()
    assert isinstance(hello, wire.Hello)
    assert hello.finished == ()


async def test_results_are_forgotten_after_ten_minutes(house: House) -> None:
    bot = await house.bot()
    await bot.say(draw())
    await house.settle()
    house.serve.tell(drawn())
    house.clock.now = module.KEEP_RESULTS + 1
    life = asyncio.create_task(house.serve.live())
    await house.settle()
    assert not house.serve._finished
    house.serve.done.set()
    await life


async def test_what_is_being_drawn_is_named_to_a_bot_that_comes_back(house: House) -> None:
    bot = await house.bot()
    await bot.say(draw(7, 2))
    await house.settle()
    bot.writer.close()
    hello = await (await house.bot()).hear()
    assert isinstance(hello, wire.Hello)
    assert hello.drawing == ((7, 2),)


async def test_a_draw_that_comes_twice_is_drawn_once(house: House) -> None:
    bot = await house.bot()
    await bot.say(draw())
    await bot.say(draw())
    await house.settle()
    assert len(house.engine.asked) == 1
    house.serve.tell(drawn())
    await bot.until(wire.Drawn)
    await bot.say(draw())
    assert await bot.until(wire.Drawn) == drawn()
    assert len(house.engine.asked) == 1


async def test_a_newer_attempt_replaces_the_older(house: House) -> None:
    """The attempt is the fencing token: what an old one still brings is dropped."""
    bot = await house.bot()
    await bot.say(draw(1, 1))
    await bot.say(draw(1, 2))
    await house.settle()
    assert house.engine.cancelled == [(1, 1)]
    house.serve.tell(wire.Cancelled(job=1, attempt=1))
    house.serve.tell(drawn(1, 1))
    house.serve.tell(drawn(1, 2))
    assert await bot.until(wire.Drawn) == drawn(1, 2)


async def test_cancel_of_what_is_unknown_is_answered(house: House) -> None:
    bot = await house.bot()
    await bot.say(wire.Cancel(job=9, attempt=1))
    assert await bot.until(wire.Cancelled) == wire.Cancelled(job=9, attempt=1)


async def test_a_result_that_crosses_its_cancel_comes_once(house: House) -> None:
    bot = await house.bot()
    await bot.say(draw())
    await bot.say(wire.Cancel(job=1, attempt=1))
    await house.settle()
    house.serve.tell(wire.Cancelled(job=1, attempt=1))
    house.serve.tell(drawn())
    await bot.until(wire.Cancelled)
    await bot.say(wire.Cancel(job=5, attempt=1))
    assert await bot.until(wire.Cancelled) == wire.Cancelled(job=5, attempt=1)


async def test_a_newer_bot_replaces_the_older(house: House) -> None:
    old = await house.bot()
    await old.until(wire.Ready)
    new = await house.bot()
    await new.until(wire.Ready)
    assert await old.hear() is None
    await house.settle()
    house.serve.tell(wire.Ready(credits=9))
    assert await new.hear() == wire.Ready(credits=9)


async def test_a_wrong_token_hears_nothing(house: House) -> None:
    bot = await house.bot(token="guess")
    assert await bot.hear() is None
    assert not house.serve.done.is_set()


async def test_a_wrong_token_cannot_end_the_engine_by_its_protocol(house: House) -> None:
    bot = await house.bot(token="guess", protocol=99)
    assert await bot.hear() is None
    assert not house.serve.done.is_set()


async def test_another_protocol_makes_it_leave(house: House) -> None:
    bot = await house.bot(protocol=wire.PROTOCOL + 1)
    assert await bot.hear() is None
    assert house.serve.done.is_set()


@pytest.mark.parametrize("first", [wire.Quit(), wire.Cancel(job=1, attempt=1), draw()])
async def test_nothing_is_heard_before_open(house: House, first: wire.Message) -> None:
    bot = await house.stranger()
    await bot.say(first)
    assert await bot.hear() is None
    assert not house.serve.done.is_set()
    assert not house.engine.asked


async def test_quit_makes_it_leave(house: House) -> None:
    bot = await house.bot()
    await bot.say(wire.Quit())
    await asyncio.wait_for(house.serve.done.wait(), 60.0)


async def test_it_leaves_after_ten_minutes_alone_but_not_before(house: House) -> None:
    life = asyncio.create_task(house.serve.live())
    bot = await house.bot()
    house.clock.now = module.LIVE_ALONE * 3
    await house.settle()
    assert not life.done()
    bot.writer.close()
    await house.settle()
    house.clock.now += module.LIVE_ALONE + 1
    await asyncio.wait_for(life, 60.0)
    assert house.serve.code == 0


async def test_it_leaves_with_a_code_when_its_engine_died(house: House) -> None:
    house.engine.alive = False
    await asyncio.wait_for(house.serve.live(), 60.0)
    assert house.serve.code == module.EXIT_LOST


async def test_it_beats(house: House) -> None:
    life = asyncio.create_task(house.serve.live())
    bot = await house.bot()
    await bot.say(draw())
    beat = await bot.until(wire.Beat)
    assert beat == wire.Beat(stalled=0.25, speed={"builtin": 2.0}, pace={"builtin": 3.0}, jobs=1)
    house.serve.done.set()
    await life


async def test_a_bot_that_does_not_read_is_hung_up_on_and_its_results_stay(house: House) -> None:
    """Progress is dropped first; results wait for the next connection."""
    bot = await house.bot()
    await bot.until(wire.Ready)
    for job in range(60):
        await bot.say(draw(job))
    await house.settle()
    for job in range(60):
        house.serve.tell(drawn(job, size=2_000_000))
    for _ in range(module.BACKLOG * 3):
        house.serve.tell(wire.Ready(credits=1))
    await house.settle()
    hello = await (await house.bot()).hear()
    assert isinstance(hello, wire.Hello)
    assert len(hello.finished) == 60


async def test_a_result_too_big_for_a_frame_comes_without_its_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FRAME", 5_000)
    big = wire.Drawn(job=1, attempt=1, pictures=drawn().pictures, grid=b"g" * 5_000)
    reader = asyncio.StreamReader()
    reader.feed_data(module._framed(big) + module._framed(drawn(size=9_000)))
    reader.feed_eof()
    assert await wire.read_by_bot(reader) == drawn()
    failed = await wire.read_by_bot(reader)
    assert isinstance(failed, wire.Failed)
    assert failed.code == "too_big"


async def test_broken_frames_close_their_connection_only(house: House) -> None:
    """R30 through real sockets: 400 connections that send rubbish, and a bot that notices nothing."""
    bot = await house.bot()
    await bot.until(wire.Ready)
    for number, (_, data) in enumerate(corpus(7, 400)):
        reader, writer = await asyncio.open_unix_connection(house.path)
        if number % 2:
            writer.write(wire.frame(wire.Open(token="guess")))
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 60.0)
        writer.close()
    await bot.say(draw(77))
    await house.settle()
    assert [asked.job for asked in house.engine.asked] == [77]
    assert not house.serve.done.is_set()


async def test_broken_frames_after_a_good_open_close_that_connection(house: House) -> None:
    """Even the bot's own connection is only closed: what was being drawn goes on."""
    bot = await house.bot()
    await bot.say(draw(5))
    await bot.until(wire.Ready)
    bot.writer.write(b"\0\0\0\x05rubbish")
    while await bot.hear() is not None:
        pass
    hello = await (await house.bot()).hear()
    assert isinstance(hello, wire.Hello)
    assert hello.drawing == ((5, 1),)


# --- the lock


def test_one_engine_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    assert living(path) is None
    lock = Lock(path)
    with pytest.raises(Taken):
        Lock(path)
    assert living(path) == Note(pid=os.getpid())
    lock.write(Note(pid=5, address="unix:/x", token="t"))
    assert living(path) == Note(pid=5, address="unix:/x", token="t")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.release()
    assert living(path) is None
    Lock(path).release()


def test_a_note_that_is_not_written_yet_is_a_living_engine(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "engine.lock")
    os.ftruncate(lock._file, 0)
    assert living(lock.path) == Note(pid=0)
    lock.release()


def test_socket_paths_are_short_private_and_differ_by_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 200)
    deep.mkdir()
    one, two = socket_path(deep, "engine"), socket_path(deep, "engine2")
    assert one != two
    assert folder(deep) != folder(tmp_path)
    assert len(os.fsencode(one)) <= LONGEST
    assert stat.S_IMODE(folder(deep).stat().st_mode) == 0o700
