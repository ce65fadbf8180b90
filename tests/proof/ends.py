"""R11 to R13 and R18, through real processes: ready soon, no job without an owner, and an end in time."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import closing, suppress
from pathlib import Path

from bot.home import Home
from storage import jobs, opening
from tests.flow.house import Whole, whole
from tests.proof.frame import Played, Proof
from tests.storage import people

QUEUED, UNDELIVERED, READY = 10_000, 1_000, 2.0
OWNED = 60.0
"""Seconds within which a job whose engine is gone has another."""
NEIGHBOURS = 7
BESIDE = 0.3
"""Seconds that a poison lives: time for others to come beside it, if they are let."""
WAYS: tuple[int, ...] = (signal.SIGKILL, signal.SIGSTOP)
"""An engine is killed, or stands still."""
ENDS, STOPS = 10.0, 10
"""Seconds from SIGTERM to the end; moments of one folder."""


# --- R11: ready soon, however much waits


def fill(data: Path, queued: int, undelivered: int) -> None:
    """A folder as a bot left it: held jobs (so that the picture of the queue stays), and deliveries owed."""
    Home(data).make()
    with closing(opening.connect(Home(data).database)) as tx:
        tx.execute("BEGIN IMMEDIATE")
        me = people.meet(tx, "chat:ana", grant=10**9)
        for number in range(undelivered + queued):
            jobs.submit(tx, people.ask(me, f"k{number}", place=f"chat:c{number}/1"), time.time(), limit=10**6)
        for _ in range(undelivered):
            claimed = people.claim(tx)
            jobs.fail(tx, claimed.id, claimed.attempt, "draw_failed", time.time())
        tx.execute("COMMIT")


async def ready(*arguments: str, queued: int = QUEUED, undelivered: int = UNDELIVERED) -> list[str]:
    """How long a start with all that takes, until the bot listens."""
    async with whole(*arguments) as house:
        fill(house.data, queued, undelivered)
        began = time.monotonic()
        await house.start()
        await house.chat.until_listening()
        took = time.monotonic() - began
        ((waits, owed),) = house.look(
            "SELECT (SELECT count(*) FROM job WHERE status IN ('queued', 'running', 'done')), "
            "(SELECT count(*) FROM outbox)"
        )
        wrong = [f"ready after {took:.1f} s"] if took > READY else []
        if waits != queued or owed < undelivered:
            wrong.append(f"{waits} jobs wait and {owed} are owed")
        return wrong


# --- R12, R13: engines that die, hang, and are poisoned


async def owned(
    seed: int, *arguments: str, poisoned: bool, at: int | None = None, patience: float = OWNED,
    ways: tuple[int, ...] = WAYS, seconds: float = 1.0,
) -> list[str]:  # fmt: skip
    """Eight jobs of so many ``seconds``, perhaps a poison one among them (number ``at``, or any); an engine
    is killed or hangs on the way.
    """
    rng = random.Random(seed)
    async with whole("--silent", "3", *arguments) as house:
        await house.start()
        poison = -1 if not poisoned else rng.randrange(NEIGHBOURS + 1) if at is None else at
        words = [f"fox {number} [[slow {seconds}]]" for number in range(NEIGHBOURS + 1)]
        words[poison] = f"poison [[die {BESIDE}]]" if poisoned else words[poison]
        asks = [house.chat.say(each) for each in words]
        trouble = asyncio.create_task(_trouble(house, rng, ways))
        wrong = await _each_answered(house, asks, poison, patience)
        trouble.cancel()
        if not wrong:
            await house.quiet()
            wrong = house.wrongs()
        return wrong


async def _each_answered(house: Whole, asks: list[int], poison: int, patience: float) -> list[str]:
    """Who waited for longer than ``patience`` seconds, and who got what they should not."""
    wrong = list[str]()
    for number, ask in enumerate(asks):
        try:
            message = await house.chat.final_of(ask, patience)
        except TimeoutError:
            return [*wrong, f"job {number} had nobody for {patience:.0f} s"]
        if bool(message.now["images"]) is (number == poison):
            whose = "the poison" if number == poison else f"neighbour {number}"
            wrong.append(f"{whose}: {message.now['text']}")
    return wrong


async def _trouble(house: Whole, rng: random.Random, ways: tuple[int, ...]) -> None:
    """At some moment the engine is killed, or stands still."""
    pid = await house.until_engine()
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    with suppress(ProcessLookupError):
        os.kill(pid, rng.choice(ways))


# --- R18: told to stop


async def stops(seed: int, count: int, *arguments: str) -> list[str]:
    """SIGTERM at ``count`` random moments of one folder's life."""
    rng, wrong = random.Random(seed), list[str]()
    async with whole(*arguments) as house:
        for _ in range(count):
            await _up(house)
            for _ in range(rng.randint(0, 3)):
                slow = f" [[slow {rng.choice((0.05, 0.3, 1.0))}]]" if rng.random() < 0.6 else ""
                house.chat.say(f"fox {rng.randrange(10**6)} --n {rng.randint(1, 4)}{slow}")
            await asyncio.sleep(rng.uniform(0.0, 0.6))
            code, seconds, said = await house.stop_bot()
            if (code, said) != (0, "") or seconds > ENDS:
                wrong.append(f"exit {code} after {seconds:.1f} s: {said[-120:]}")
        await house.start()
        try:
            await house.quiet()
        except TimeoutError:
            wrong.append("somebody waits for ever")
        return wrong + house.wrongs()


async def _up(house: Whole) -> None:
    """It runs: before it has its folder, no handler of ours can have been there for sure."""
    bot = await house.start()
    note = house.data / "bot.lock"
    async with asyncio.timeout(60):
        while not (note.exists() and note.read_text().strip() == str(bot.pid)):
            await asyncio.sleep(0.01)


def _ready(seed: int, control: bool) -> Played:
    return Played(1, tuple(asyncio.run(ready(*(("--bad", "eager") if control else ())))))


def _owned(seed: int, control: bool) -> Played:
    """The control: an engine that is silent is never noticed (for ten seconds)."""
    if not control:
        return Played(1, tuple(asyncio.run(owned(seed, poisoned=False))))
    bad = owned(seed, "--silent", "1000", poisoned=False, patience=10.0, ways=(signal.SIGSTOP,))
    return Played(1, tuple(asyncio.run(bad)))


def _poisoned(seed: int, control: bool) -> Played:
    """The control: suspects are drawn beside others again, and the poison is ahead of all of them."""
    if not control:
        return Played(1, tuple(asyncio.run(owned(seed, poisoned=True))))
    return Played(1, tuple(asyncio.run(owned(seed, "--bad", "together", poisoned=True, at=0))))


def _stops(seed: int, control: bool) -> Played:
    return Played(STOPS, tuple(asyncio.run(stops(seed, STOPS, *(("--bad", "rude") if control else ())))))


RESTART = Proof(
    "R11", "with 10,000 queued and 1,000 undelivered it is ready within 2 s", 20, "starts", _ready,
    control_rounds=1,
)  # fmt: skip
OWNERS = Proof(
    "R12", "an engine is killed or hangs: no job without an owner for 60 s", 100, "engines", _owned,
    control_rounds=4,
)  # fmt: skip
POISON = Proof(
    "R13", "a poison job among 7, an engine killed or hung beside it: all 7 are delivered", 100, "poisons",
    _poisoned, control_rounds=4, control_rate=0.9,
)  # fmt: skip
STOPPED = Proof(
    "R18", "SIGTERM at any moment: within 10 s, exit 0, nothing lost", 500, "stops", _stops,
    control_rounds=STOPS, control_rate=0.5,
)  # fmt: skip
