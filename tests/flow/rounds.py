"""R1: kill -9 of bot and engine at random moments of real work. One round is one kill and a restart."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from tests.flow.house import Whole, whole


@dataclass(frozen=True)
class Outcome:
    """What ``rounds`` found: kills by victim, jobs made, everything that was wrong."""

    rounds: int
    kills: dict[str, int]
    jobs: int
    wrongs: list[str]


async def rounds(
    seed: int, count: int, *arguments: str, restless: float = 0.6, patience: float = 120.0
) -> Outcome:
    """``count`` rounds in one data folder; a kill comes up to ``restless`` seconds after the asks."""
    dice = random.Random(seed)
    kills = {"bot": 0, "engine": 0, "both": 0}
    async with whole(*arguments) as house:
        await house.start()
        for _ in range(count):
            if dice.random() < 0.8:  # else a kill in the middle of the start
                await house.chat.until_listening()
            for _ in range(dice.randint(1, 3)):
                slow = f" [[slow {dice.choice((0.05, 0.2, 0.6))}]]" if dice.random() < 0.7 else ""
                house.chat.say(f"fox {dice.randrange(10**6)} --n {dice.randint(1, 4)}{slow}")
            await asyncio.sleep(dice.uniform(0.0, restless))
            victim = dice.choice(("bot", "bot", "engine", "both"))
            kills[victim] += 1
            await _kill(house, victim)
        wrongs = []
        try:
            await house.quiet(patience)
        except TimeoutError:
            wrongs.append(f"not quiet after {patience} s: somebody waits for ever")
        ((jobs,),) = house.look("SELECT count(*) FROM job")
        return Outcome(count, kills, jobs, wrongs + house.wrongs())


async def _kill(house: Whole, victim: str) -> None:
    if victim in {"engine", "both"}:
        house.kill_engine()
    if victim in {"bot", "both"}:
        await house.kill_bot()
        await house.start()
