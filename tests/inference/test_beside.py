"""Processes beside the work: none is left behind, nor its pipe."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest

from inference import beside
from inference.client import ROOT

FLOOD = "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"


async def flooding() -> Any:
    """A process that has said more than asyncio takes unread, and goes on."""
    process: Any = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLOOD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        while not process.stdout._paused:
            await asyncio.sleep(0.01)
    return process


async def test_one_that_never_stops_talking_is_ended_with_its_pipe() -> None:
    process = await flooding()
    async with asyncio.timeout(60):
        await beside.ended(process)
    assert process.returncode
    del process
    gc.collect()  # what is still open warns now, and that fails


async def test_the_control_waits_for_a_process_whose_pipe_nobody_reads() -> None:
    """Killing it is not enough: its pipe is open, and on most versions the waiting has no end."""
    process = await flooding()
    process.kill()
    try:
        async with asyncio.timeout(0.5):
            await process.wait()
    except TimeoutError:
        pass
    assert not process._transport.is_closing()
    await beside.ended(process)
    assert process._transport.is_closing()


async def test_what_it_says_is_heard_and_it_is_told() -> None:
    words = [sys.executable, "-c", "import sys; print(sys.stdin.readline()[::-1]); sys.exit(3)"]
    said, code = await beside.heard(words, b"abc\n")
    assert (said.strip(), code) == (b"cba", 3)


async def test_one_that_is_waited_for_no_more_is_ended() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await beside.heard([sys.executable, "-c", FLOOD.replace("sys.stdout", "sys.stderr")])
    gc.collect()


async def test_one_whose_parent_is_gone_ends_even_if_it_cannot_tidy_up() -> None:
    script = (
        "import time\nfrom inference import beside\nbeside.end_with_parent(lambda: 1 / 0)\n"
        "print('ready', flush=True)\ntime.sleep(600)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=ROOT, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        await process.stdout.readline()
        await beside.ended(process, 60.0)
    assert process.returncode == 1
