"""The wire: every message comes out as it went in, and nothing else comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from inference import wire
from inference.request import Request
from tests.inference.frames import KINDS, TO_BOT, TO_ENGINE, corpus

Read = Callable[[asyncio.StreamReader], Awaitable[object]]


async def _reader(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def judged(read: Read, data: bytes) -> str:
    """What is wrong with how ``read`` took ``data`` ("" if nothing): it may give messages, an end, or
    BadFrame."""
    reader = await _reader(data)
    try:
        while (message := await read(reader)) is not None:
            if not isinstance(message, wire.Message):
                return f"let in a {type(message).__name__}"
            wire.frame(message)
    except wire.BadFrame:
        return ""
    except Exception as error:  # noqa: BLE001 - any other error is what is looked for
        return f"raised {type(error).__name__}"
    return ""


async def trusting(reader: asyncio.StreamReader) -> object:
    """The control: a reader that takes whatever decodes."""
    head = await reader.read(4)
    if not head:
        return None
    body = await reader.readexactly(int.from_bytes(head, "big"))
    return msgspec.msgpack.decode(body)


@pytest.mark.parametrize("message", TO_ENGINE, ids=lambda m: type(m).__name__)
async def test_a_message_to_the_engine_arrives(message: wire.Message) -> None:
    assert await wire.read_by_engine(await _reader(wire.frame(message))) == message


@pytest.mark.parametrize("message", TO_BOT, ids=lambda m: type(m).__name__)
async def test_a_message_to_the_bot_arrives(message: wire.Message) -> None:
    assert await wire.read_by_bot(await _reader(wire.frame(message))) == message


def test_the_corpus_mutates_every_message() -> None:
    """A message that is added to the wire must be added to the corpus."""
    assert {type(message) for message in TO_ENGINE} == set(wire.ToEngine.__args__)
    assert {type(message) for message in TO_BOT} == set(wire.ToBot.__args__)


async def test_the_end_of_the_stream_is_no_message() -> None:
    assert await wire.read_by_engine(await _reader(b"")) is None


async def test_messages_come_one_after_the_other_however_they_are_cut() -> None:
    reader = asyncio.StreamReader()
    data = b"".join(wire.frame(message) for message in TO_BOT)
    task = asyncio.create_task(_all(reader))
    for byte in data:
        reader.feed_data(bytes([byte]))
        await asyncio.sleep(0)
    reader.feed_eof()
    assert await task == list(TO_BOT)


async def _all(reader: asyncio.StreamReader) -> list[wire.Message]:
    found: list[wire.Message] = []
    while (message := await wire.read_by_bot(reader)) is not None:
        found.append(message)
    return found


async def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data((wire.MAX_FRAME + 1).to_bytes(4, "big"))
    with pytest.raises(wire.BadFrame):
        await asyncio.wait_for(wire.read_by_engine(reader), 60.0)


def test_a_message_that_is_too_big_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FRAME", 100)
    with pytest.raises(wire.BadFrame):
        wire.frame(wire.Draw(job=1, attempt=1, request=Request(prompt="x" * 200)))


@pytest.mark.parametrize("words", [{"count": 5}, {"steps": 0}, {"width": 9_000}, {"source": "../etc/passwd"}])
async def test_a_request_outside_its_bounds_does_not_come_in(words: dict[str, object]) -> None:
    good = msgspec.to_builtins(wire.Draw(job=1, attempt=1, request=Request(prompt="x")))
    body = msgspec.msgpack.encode(good | {"request": good["request"] | words})
    with pytest.raises(wire.BadFrame):
        await wire.read_by_engine(await _reader(len(body).to_bytes(4, "big") + body))


@pytest.mark.parametrize("seed", range(4))
async def test_broken_frames_are_refused_and_nothing_else_happens(seed: int) -> None:
    """R30 at suite size: 4 000 broken frames to either end."""
    seen = set()
    for kind, data in corpus(seed, 500):
        seen.add(kind)
        assert not await judged(wire.read_by_engine, data), (seed, kind, data[:80])
    for kind, data in corpus(seed, 500, TO_BOT):
        assert not await judged(wire.read_by_bot, data), (seed, kind, data[:80])
    assert seen == set(KINDS)


async def test_a_reader_that_trusts_lets_them_in() -> None:
    """The control: the corpus finds the fault in a reader without types and bounds."""
    wrong = [kind for kind, data in corpus(1, 300) if await judged(trusting, data)]
    assert len(wrong) > 100
