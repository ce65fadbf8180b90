"""The bot is killed at random: every wish is one picture, charged once, and no token is in a log."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from inference.lock import living
from storage import ledger
from storage.opening import connect_reader
from tests.bot.telegram.house import UNIT
from tests.fakes.telegram import TOKEN, Person, Server, server

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


async def start(tele: Server, data: Path) -> asyncio.subprocess.Process:
    words = (sys.executable, "-m", "tests.bot.telegram.process", tele.root, str(data))
    return await asyncio.create_subprocess_exec(
        *words, cwd=ROOT, env=ENVIRONMENT, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


def pictures(person: Person) -> int:
    return sum(1 for message in person.private.ours if message.file)


def wrongs(data: Path, people: list[Person]) -> list[str]:
    wrong = [f"{who.name} got {pictures(who)} pictures" for who in people if pictures(who) != 1]
    reader = connect_reader(data / "falopitas.sqlite3")
    try:
        wrong += ledger.audit(reader)
        (jobs,) = reader.execute("SELECT count(*) FROM job").fetchone()
    finally:
        reader.close()
    if jobs != len(people):
        wrong.append(f"{jobs} jobs for {len(people)} wishes")
    log = "".join(file.read_text("utf-8") for file in (data / "logs").glob("*"))
    return wrong + (["the token is in a log"] if TOKEN in log or TOKEN.partition(":")[2] in log else [])


async def rounds(kills: int, seed: int) -> list[str]:
    """So many kills, a new wish in each life; what is wrong at the end."""
    dice = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="falo-"))  # short: sockets lie in it
    data, people = folder / "data", list[Person]()
    async with server(UNIT) as tele:
        try:
            for number in range(kills):
                people.append(tele.world.person(f"P{number}"))
                people[-1].say("a red fox --n 1")
                bot = await start(tele, data)
                if dice.random() < 0.7:  # else it is killed while it starts
                    await tele.until(lambda: not tele.world.updates, 120)
                await asyncio.sleep(dice.random() * 0.5)
                bot.send_signal(signal.SIGKILL)
                await bot.wait()
            bot = await start(tele, data)
            await tele.until(lambda: all(pictures(person) for person in people), 300)
            await asyncio.sleep(1.0)
            bot.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                code = await bot.wait()
            # On a busy machine it may be told to stop before it can listen for that.
            return wrongs(data, people) + ([f"exit code {code}"] if code not in (0, -signal.SIGTERM) else [])
        finally:
            note = living(data / "engine.lock") if data.exists() else None
            if note and note.pid:
                with suppress(ProcessLookupError):
                    os.kill(note.pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(600)
async def test_killed_a_few_times_nothing_is_lost_or_doubled() -> None:
    assert await rounds(3, seed=3) == []


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(3))
async def test_killed_many_times_nothing_is_lost_or_doubled(seed: int) -> None:
    assert await rounds(25, seed=seed) == []
