"""A community for a day: people who ask, cancel, press, link and give, and a moderator who steps in."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot import commands
from bot.commands.cancel import Cancel
from bot.commands.mod.queue import ModCancel
from storage.refusal import Refusal
from tests.fakes.chat import Message
from tests.sim.chats import Platform, Update
from tests.sim.engines import POISON
from tests.sim.world import World

MODERATOR = "mia"
PEOPLE = ("ana", "ben", "caro", "dan", "eva", "fito", "gil", MODERATOR)
POISONED, FORBIDDEN, DOUBLE = 0.012, 0.03, 0.15
"""Shares: of asks that kill their engine or break a rule, of presses that are two."""


@dataclass
class People:
    """``often``: seconds between two acts of anybody, on average; ``crowd``: the share that are many at
    once.
    """

    world: World
    platforms: Mapping[str, Platform]
    often: float
    crowd: float = 0.04
    asked: dict[str, Update] = field(default_factory=dict)
    """The words of an ask, each its own → its update."""
    cancels: dict[str, list[tuple[float, int | None]]] = field(default_factory=lambda: defaultdict(list))
    """Who asked to stop what (None: their newest), and when."""
    stopped: set[int] = field(default_factory=set)
    """Jobs that the moderator stopped."""
    blocked: set[str] = field(default_factory=set)
    """Whom the moderator ever blocked: what they had waiting is stopped."""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def live(self, seconds: float) -> None:
        """Act until the day is over: now and then, and sometimes all at once."""
        dice, ends = self.world.dice, self.world.loop.time() + seconds
        acts: tuple[tuple[Callable[[], None], int], ...] = (
            (self.imagine, 50), (self.press, 26), (self.cancel, 4), (self.meddle, 3), (self.look, 6),
            (self.gift, 4),
            (self.link, 2), (self.moderate, 9), (self.forbidden, 2), (self.nonsense, 1),
        )  # fmt: skip
        deeds, weights = zip(*acts, strict=True)
        while self.world.loop.time() < ends:
            crowded = dice.random() < self.crowd
            pause = dice.choice((0.01, 1.0)) if crowded else 0.0
            for _ in range(dice.randint(3, 12) if crowded else 1):
                dice.choices(deeds, weights)[0]()
                await asyncio.sleep(dice.random() * pause)
            await asyncio.sleep(dice.expovariate(1 / self.often))

    # --- people

    def _say(self, who: str, text: str = "", *, name: str = "", chat: str = "", packed: str = "") -> Update:
        dice = self.world.dice
        platform = self.platforms[name or dice.choice(tuple(self.platforms))]
        facts: dict[str, Any] = {"language": "es" if who in ("caro", "dan") else "en"}
        if dice.random() < 0.8 or who == MODERATOR:
            facts |= {"community": f"{platform.name}:town", "channel": f"{platform.name}:art"}
            facts |= {"roles": ("role:7",) if who in ("eva", "fito") else (), "entitled": who == MODERATOR}
        if not chat and dice.random() < 0.3:
            chat = "crowd"
        return platform.say(who, text, chat=chat, packed=packed, **facts)

    def _somebody(self) -> str:
        return self.world.dice.choice(PEOPLE)

    def imagine(self) -> None:
        dice, number = self.world.dice, next(self._numbers)
        words = f"fox {number}x" + (f" {POISON}" if self.world.chance(POISONED) else "")
        flags = f" --n {dice.randint(1, 4)}" + (" --private" if dice.random() < 0.1 else "")
        self.asked[words] = self._say(self._somebody(), words + flags)

    def forbidden(self) -> None:
        self._say(self._somebody(), f"gore {next(self._numbers)}x")

    def nonsense(self) -> None:
        text = self.world.dice.choice(("/imagine", "fox --n 99", "/cancel 99999", "/gift nobody 1", "/nope"))
        self._say(self._somebody(), text)

    def look(self) -> None:
        self._say(
            self._somebody(), self.world.dice.choice(("/quota", "/queue", "/gallery", "/help", "/models"))
        )

    def cancel(self) -> None:
        who = self._somebody()
        self.cancels[who].append((self.world.loop.time(), None))
        self._say(who, "/cancel")

    def gift(self) -> None:
        giver, taker = self.world.dice.sample(PEOPLE, 2)
        name = self.world.dice.choice(tuple(self.platforms))
        self._say(giver, f"/gift {name}:{taker} {self.world.dice.randint(1, 3)}", name=name)

    def press(self) -> None:
        """A button of a recent message, mostly by who asked; now and then twice at once."""
        dice = self.world.dice
        platform = self.platforms[dice.choice(tuple(self.platforms))]
        found = platform.recent()
        if not found:
            return
        message = dice.choice(found[:40])
        who = self._whose(platform, message) if dice.random() < 0.7 else self._somebody()
        _, packed = dice.choice(message.now["buttons"])
        self._press(who, platform.name, packed)
        if self.world.chance(DOUBLE):
            self.world.fault("pressed twice", packed)
            self._press(who, platform.name, packed)

    def meddle(self) -> None:
        """Somebody tries to stop what is not theirs."""
        platform = self.platforms[self.world.dice.choice(tuple(self.platforms))]
        for message in platform.recent()[:40]:
            packed = message.now["buttons"][0][1]
            if packed.startswith("cancel:"):
                whose = self._whose(platform, message)
                who = self.world.dice.choice([each for each in PEOPLE if each != whose])
                self._press(who, platform.name, packed)
                return

    def _whose(self, platform: Platform, message: Message) -> str:
        number = message.chat.removeprefix("c")
        update = platform.updates.get(int(number)) if number.isdecimal() else None
        return update.who if update else self._somebody()

    def _press(self, who: str, name: str, packed: str) -> None:
        try:
            ask = commands.unpack(packed)
        except Refusal:
            return
        if isinstance(ask, Cancel):
            self.cancels[who].append((self.world.loop.time(), ask.job))
        if isinstance(ask, ModCancel) and who == MODERATOR:
            self.stopped.add(ask.job)
        self._say(who, name=name, packed=packed)

    # --- one person, two chats

    def link(self) -> None:
        """A code in one chat, typed in the other a little later."""
        task = asyncio.get_running_loop().create_task(self._link(self._somebody()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _link(self, who: str) -> None:
        here, there = self.world.dice.sample(tuple(self.platforms), 2)
        number = next(self._numbers)
        self._say(who, "/link", name=here, chat=f"link{number}")
        await asyncio.sleep(self.world.dice.uniform(5, 60))
        shown = [m.now["fields"] for m in self.platforms[here].messages.values() if m.chat == f"link{number}"]
        code = next((value for fields in shown for value in fields.values()), "")
        if code:
            self._say(who, f"/link {code}", name=there)

    # --- the moderator

    def moderate(self) -> None:
        dice, name = self.world.dice, self.world.dice.choice(tuple(self.platforms))
        other, number = dice.choice(PEOPLE[:-1]), self._recent_job()
        text = dice.choice((
            f"quota give {name}:{other} {dice.randint(1, 9)}", f"quota take {name}:{other} 2",
            f"quota freeze {name}:{other}", *(f"quota unfreeze {name}:{other}",) * 2,
            f"quota set everybody {dice.randint(10, 60)}", "quota reset everybody", "quota set pool 200",
            "quota reset pool", f"hold {number}", f"hold {number}", f"release {number}", f"release {number}",
            f"cancel {number}", "queue", "log", "stats", "undo", "cases",
            f"limits --at-once {dice.randint(2, 6)}",
            f"block {name}:{other}", f"unblock {name}:{other}", "community --desk", "quota show",
        ))  # fmt: skip
        if text.startswith("cancel"):
            self.stopped.add(number)
        if text.startswith("block"):
            self.blocked.add(other)
        self._say(MODERATOR, f"/mod {text}", name=name)

    def _recent_job(self) -> int:
        newest = max((max(each.promised, default=1) for each in self.platforms.values()), default=1)
        return max(1, newest - self.world.dice.randrange(4))
