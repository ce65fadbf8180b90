"""R2: one /imagine, killed at its N-th write-class system call, for every N, in either process (strace)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from bot.config import load
from inference.door import socket_path
from tests.flow.house import ENVIRONMENT, ROOT, Whole, whole

BOT = ("pwrite64", "fdatasync", "fsync", "rename", "ftruncate", "unlink", "write", "sendto")
"""What changes something outside of the bot: database, files, logs and wake-ups, sockets."""
ENGINE = ("write", "sendto")
LAST = 2_000


@dataclass(frozen=True)
class Point:
    """Kill ``who`` ("bot" or "engine") at call number ``number`` of ``call`` (counted by thread)."""

    who: str
    call: str
    number: int


@dataclass(frozen=True)
class Crash:
    """What became of it: whether the point was reached, and what was wrong in the end."""

    point: Point
    reached: bool
    wrongs: tuple[str, ...]


def strace(point: Point) -> tuple[str, ...]:
    """The words in front of a command that kill it there."""
    inject = f"inject={point.call}:signal=KILL:when={point.number}"
    quiet = ("-f", "-qq", "-b", "execve", "-o", "/dev/null")
    return ("strace", *quiet, "-e", f"trace={point.call}", "-e", inject)


async def crash(point: Point, *arguments: str) -> Crash:
    """One ask, killed at the point; a new bot; then everything must be as if nothing had happened."""
    async with whole(*arguments) as house:
        house.data.mkdir()
        helper = await _engine(house, point) if point.who == "engine" else None
        await house.start(wrap=strace(point) if point.who == "bot" else ())
        house.chat.say("a red fox --n 2")
        reached = await _died_or_quiet(house, point, helper)
        if point.who == "bot":
            await _end(house)
            await house.start()
        wrongs = []
        try:
            await house.quiet(120)
        except TimeoutError:
            wrongs.append("not quiet after 120 s")
        ((jobs,),) = house.look("SELECT count(*) FROM job")
        if jobs != 1:
            wrongs.append(f"{jobs} jobs of one ask")
        found = (*wrongs, *house.wrongs())
        await _end(house)
        return Crash(point, reached, found)


async def _engine(house: Whole, point: Point) -> asyncio.subprocess.Process:
    """An engine under strace, which the bot then adopts."""
    models = house.data / "engine.models.json"
    models.write_bytes(msgspec.json.encode(replace(load(None, {}), data_dir=house.data).models))
    words = (
        *strace(point), sys.executable, "-m", "inference.serve", "--stub", "--name", "engine",
        "--home", str(house.data), "--models", str(models),
        "--socket", str(socket_path(house.data, "engine")),
    )  # fmt: skip
    helper = await asyncio.create_subprocess_exec(
        *words, cwd=ROOT, env=ENVIRONMENT, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(60):
        while not house.engine() and helper.returncode is None:
            await asyncio.sleep(0.02)
    return helper


async def _died_or_quiet(house: Whole, point: Point, helper: asyncio.subprocess.Process | None) -> bool:
    victim = helper or house.bot
    assert victim
    quiet = asyncio.create_task(house.quiet(300))
    died = asyncio.create_task(victim.wait())
    await asyncio.wait({quiet, died}, return_when=asyncio.FIRST_COMPLETED)
    reached = died.done()
    for task in (quiet, died):
        task.cancel()
        with suppress(asyncio.CancelledError, TimeoutError):
            await task
    return reached


async def _end(house: Whole) -> None:
    """Kill the bot itself: strace, killed, would let it live."""
    with suppress(OSError, ValueError):
        os.kill(int((house.data / "bot.lock").read_text()), signal.SIGKILL)
    await house.kill_bot()


def points(who: str, call: str, step: int = 1, first: int = 1) -> list[Point]:
    """The points of one call, to be taken in order until one is not reached."""
    return [Point(who, call, number) for number in range(first, LAST, step)]


async def sweep(who: str, call: str, step: int = 1, first: int = 1) -> list[Crash]:
    """Every ``step``-th point of one call, until the ask is through before the point comes."""
    found = []
    for point in points(who, call, step, first):
        outcome = await crash(point)
        found.append(outcome)
        if not outcome.reached:
            break
    return found
