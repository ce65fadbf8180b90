"""R4 and R5: one /imagine in which a system call of the bot fails once (strace), or files run out."""

from __future__ import annotations

import asyncio
import json
import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.home import Home
from storage import opening
from tests.flow.house import Whole, whole

FILES = "files"
"""In place of a system call: no file can be opened for ``HELD`` seconds, after ``number`` hundredths."""
HELD = 0.4
LIMIT = 1_024


@dataclass(frozen=True)
class Fault:
    """Call number ``number`` (of a thread) of ``call`` fails with ``error``."""

    call: str
    number: int
    error: str
    used: bool = False
    """In a folder whose database is there already: what fails is what a bot does, not what it begins with."""


def strace(fault: Fault) -> tuple[str, ...]:
    """The words in front of a command in which it fails."""
    if fault.call == FILES:
        return ()
    inject = f"inject={fault.call}:error={fault.error}:when={fault.number}"
    return (
        "strace",
        "-f",
        "-qq",
        "-b",
        "execve",
        "-o",
        "/dev/null",
        "-e",
        f"trace={fault.call}",
        "-e",
        inject,
    )


async def fail(fault: Fault, *arguments: str) -> list[str]:
    """One ask with the fault in it, one after it: what was wrong."""
    async with whole(*arguments) as house:
        house.data.mkdir()
        if fault.used:
            Home(house.data).make()
            opening.connect(Home(house.data).database).close()
        await house.start(wrap=strace(fault))
        first = house.chat.say("a red fox --n 2")
        limited = asyncio.create_task(_limited(house, fault)) if fault.call == FILES else None
        wrongs = await _answered(house, first)
        if limited:
            await limited
        wrongs += await _drawn(house, 1 if limited else 2)
        try:
            await house.quiet(60)
        except TimeoutError:
            wrongs.append("not quiet after 60 s")
        wrongs += [each for each in house.wrongs() if "was lost" not in each]
        await _end(house)
        return wrongs + _tracebacks(house)


async def _drawn(house: Whole, asks: int) -> list[str]:
    """One of so many asks is drawn: a call that fails may be the first one's, which is then refused."""
    wrongs = list[str]()
    for _ in range(asks):
        ask = house.chat.say("a blue fox --n 2")
        wrongs += await _answered(house, ask)
        if wrongs or any(m.now["images"] for m in house.chat.in_chat(f"c{ask}")):
            return wrongs
    return ["the disk is back and nothing is drawn"]


async def _answered(house: Whole, ask: int) -> list[str]:
    """A bot that was refused its start is started again, as a service is; everybody gets an answer."""
    chat = f"c{ask}"

    def ended() -> bool:
        return any(m.history and m.now["final"] for m in house.chat.in_chat(chat))

    deadline = asyncio.get_running_loop().time() + 60
    wrongs = []
    while not ended() and asyncio.get_running_loop().time() < deadline:
        if house.bot and house.bot.returncode is not None:
            assert house.bot.stderr
            said = (await house.bot.stderr.read()).decode(errors="replace").strip()
            if "Refusal" not in said.rpartition("\n")[2]:
                wrongs.append(f"the bot died: {said[-200:]}")
            await house.start()
        await asyncio.sleep(0.02)
    if not ended():
        wrongs.append(f"update {ask} was never answered")
    return wrongs


def _pid(house: Whole) -> int:
    with suppress(OSError, ValueError):
        return int((house.data / "bot.lock").read_text())
    return 0


async def _limited(house: Whole, fault: Fault) -> None:
    """For a moment the bot has no descriptor left."""
    await house.chat.until_listening()
    await asyncio.sleep(fault.number / 100)
    pid = _pid(house)
    with suppress(ProcessLookupError, FileNotFoundError):
        used = max((int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()), default=0) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, LIMIT))
        await asyncio.sleep(HELD)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


async def _end(house: Whole) -> None:
    """Let it end as a service does: strace passes no signal on."""
    pid = _pid(house)
    if pid and house.bot and house.bot.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(pid, 15)
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                await house.bot.wait()
    await house.kill_bot()


def _tracebacks(house: Whole) -> list[str]:
    """What was logged as a bug; a refusal is a warning, which says where it was raised, too."""
    log = house.data / "logs" / "falopitas.log"
    lines = [json.loads(each) for each in log.read_text().splitlines()] if log.exists() else []
    found = [line for line in lines if line["level"] == "error" and isinstance(line.get("error"), list)]
    return [f"a traceback: {line['says']} {line['error'][0]} {line['error'][-1]}" for line in found]
