"""The process of a *What if?*: it gives way, and it is not there any more when its bot is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from inference import beside
from inference.client import ROOT

BOT = """
import asyncio, sys
from pathlib import Path
from bot import whatif

async def unaware(command, said, extra):
    return await heard([word for word in command if word != "--beside"], said, extra)

heard, folder = whatif.heard, Path(sys.argv[2])
if sys.argv[1] == "control":
    whatif.heard = unaware
asyncio.run(whatif._simulated(whatif.Question(members=20_000), folder, folder / "plots.png"))
"""
"""A bot that asks what takes half a minute."""


@asynccontextmanager
async def asking(folder: Path, kind: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, psutil.Process]]:
    """A bot and the process that plays for it."""
    bot = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BOT, kind, str(folder), cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    found: list[psutil.Process] = []
    try:
        async with asyncio.timeout(60):
            while not found:
                assert bot.returncode is None
                found = psutil.Process(bot.pid).children()
                await asyncio.sleep(0.01)
        yield bot, found[0]
    finally:
        for each in (bot, *found):
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                each.kill()
        await bot.wait()


def lives(process: psutil.Process) -> bool:
    """Is it still at work?"""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="it is killed by a signal")
@pytest.mark.parametrize("kind", ["ours", "control"])
async def test_a_simulation_ends_with_a_bot_that_is_killed(tmp_path: Path, kind: str) -> None:
    """The control does not look for its bot, and goes on playing for nobody."""
    async with asking(tmp_path, kind) as (bot, child):
        if kind == "ours":
            async with asyncio.timeout(60):
                while child.nice() != min(19, psutil.Process().nice() + beside.NICE):
                    await asyncio.sleep(0.01)
        bot.kill()
        await bot.wait()
        async with asyncio.timeout(60):
            if kind == "ours":
                while lives(child):
                    await asyncio.sleep(0.01)
                return
            used = child.cpu_times().user
            while child.cpu_times().user < used + 0.3:
                await asyncio.sleep(0.01)
        assert lives(child)
