"""A terminal that stands still holds nobody up."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import IO, cast

import pytest
from rich.console import Console

from bot.adapters.terminal import Terminal
from bot.ink import Ink
from bot.talk import Image, Reply
from tests.fakes.engine import png

MORE = "✏️ more than a pipe holds\n" * 20_000


@pytest.fixture
def pipe() -> tuple[int, io.TextIOWrapper]:
    reading, writing = os.pipe()
    return reading, os.fdopen(writing, "w", encoding="utf-8")


async def test_nothing_waits_for_whoever_does_not_read_and_nothing_is_lost(
    pipe: tuple[int, io.TextIOWrapper],
) -> None:
    reading, stream = pipe
    ink = Ink(stream)
    ink.write(MORE)  # more than a pipe takes: whoever waited here would wait forever
    ink.write("the end")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ink.dry()
    said, sought = b"", (MORE + "the end").encode()
    while len(said) < len(sought):
        said += await asyncio.to_thread(os.read, reading, 65_536)
    assert said == sought
    async with asyncio.timeout(60):
        await ink.dry()


async def test_a_stream_that_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    ink = Ink(os.fdopen(writing, "w"))
    os.close(reading)
    ink.write(MORE)
    async with asyncio.timeout(60):
        await ink.dry()


async def test_a_picture_waits_for_the_terminal_and_progress_does_not(
    pipe: tuple[int, io.TextIOWrapper], tmp_path: Path
) -> None:
    """The picture is delivered when it can be seen; a bar is for those who look."""
    reading, stream = pipe
    ink = cast("IO[str]", Ink(stream))
    console = Console(file=ink, force_terminal=True, color_system="truecolor", width=80, height=40)
    terminal = Terminal(str, console, tmp_path)
    big = Image(png(256, 256, 7), "fox.png")
    shown = asyncio.create_task(terminal.show("terminal:owner/1", Reply("done", images=(big, big, big))))
    while not list(tmp_path.glob("*.png")):
        await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        await terminal.show("terminal:owner/2", Reply("Drawing… 5%", fleeting=True, progress=0.05))
    await asyncio.sleep(0.2)
    assert not shown.done()
    said = b""
    while not shown.done():
        said += await asyncio.to_thread(os.read, reading, 65_536)
        await asyncio.sleep(0.01)
    assert b"done" in said
    assert b"5%" not in said
