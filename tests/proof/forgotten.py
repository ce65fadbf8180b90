"""R34: who is forgotten is in no byte of the data folder: database, its log, pictures, logs, backups."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from bot import backups, converse, logs
from bot.commands.forgetme import ForgetMe
from bot.talk import Reply
from storage import ledger
from storage.database import Database
from storage.refusal import Refusal
from tests.fakes.town import BEN, Town, town
from tests.proof.frame import Played, Proof, memory
from tests.storage import people

STEPS = 14
"""Things that somebody did, or had done to them, before they are forgotten."""


@dataclass
class Person:
    """Somebody in a town, and every word of theirs that must not be left."""

    here: Town
    who: str
    rng: random.Random
    words: list[str] = field(default_factory=list)
    shown: list[Reply] = field(default_factory=list)

    def word(self) -> str:
        made = f"w{self.rng.randrange(10**12):012d}"
        self.words.append(made)
        return made

    async def _say(self, text: str, **facts: object) -> None:
        self.shown += await self.here.say(self.who, text, **facts)

    async def ask(self) -> None:
        await self._say(f"a {self.word()} fox --n {self.rng.randint(1, 4)} --negative {self.word()}")

    async def ask_in_private(self) -> None:
        await self._say(f"a {self.word()} fox --n 2", community="", channel="")

    async def press(self) -> None:
        kinds = ("🔄", "V1", "U1", "⭐", "Remix", "Details", "Original")
        offered = [
            each for reply in self.shown for row in reply.buttons for each in row
            if any(kind in each.label for kind in kinds) and not each.form
        ]  # fmt: skip
        if offered:
            self.shown += await self.here.say(self.who, self.rng.choice(offered).ask)

    async def settle_for(self) -> None:
        await self._say(f"/settings --negative {self.word()}")

    async def refused(self) -> None:
        try:
            await self._say(f"much {self.word()} gore")
        except Refusal as refusal:
            shown = converse.refused("en", refusal)
            asks = [each.ask for row in shown.buttons for each in row]
            for ask in asks:
                if self.rng.random() < 0.7:
                    await self.here.say(self.who, ask)

    async def give(self) -> None:
        await self._say(f"/gift {BEN} 1")

    async def link(self) -> None:
        reply = (await self.here.say(self.who, "/link"))[-1]
        code = dict(reply.fields)["Code"]
        second = f"test:second{self.word()}"
        await self.here.say(second, f"/link {code}")

    async def moderated(self) -> None:
        acts = (
            f"warn {self.who} {self.word()}", f"quota give {self.who} 3", f"quota set {self.who} 90",
            f"role friends {self.who}", f"quota freeze {self.who} {self.word()}",
            f"quota unfreeze {self.who}",
            f"block {self.who} {self.word()} --days 2", f"unblock {self.who}", f"quota history {self.who}",
        )  # fmt: skip
        await self.here.mod(self.rng.choice(acts))

    async def delete(self) -> None:
        await self._say("/gallery")

    async def somebody_else(self) -> None:
        await self.here.say(BEN, "a fox --n 2")


def found(folder: Path, words: list[str]) -> list[str]:
    """Which of the words stand in any file there, in the bytes as they are."""
    data = b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
    return [word for word in words if word.encode() in data]


async def _life(folder: Path, rng: random.Random) -> list[str]:
    async with town(folder) as here:
        here.app = replace(here.app, config=replace(here.app.config, data_dir=folder))
        person = Person(here, f"test:p{rng.randrange(10**12):012d}", rng)
        person.words.append(person.who.partition(":")[2])
        await here.say(BEN, "/quota")
        steps: list[Callable[[], Awaitable[None]]] = [
            person.ask, person.ask, person.ask, person.ask_in_private, person.press, person.press,
            person.settle_for, person.refused, person.give, person.link, person.moderated, person.moderated,
            person.delete, person.somebody_else,
        ]  # fmt: skip
        await person.ask()
        for number in range(STEPS):
            with suppress(Refusal):
                await rng.choice(steps)()
            here.clock[0] += rng.choice((1.0, 60.0, 3_600.0))
            if number in (4, 9):
                await backups.make(here.app)
            if rng.random() < 0.3:
                await here.app.database.checkpoint()
        if not found(folder, [person.words[0]]):
            return ["nothing was there to forget"]
        await here.say(person.who, ForgetMe(sure=True))
        logging.getLogger().handlers[0].flush()
        wrong = [f"{word} is left of {person.words.index(word)}" for word in found(folder, person.words)]
        wrong += await here.app.database.read(ledger.audit)
        return wrong + list(await here.app.database.read(people.audit))


async def _unscrubbed(self: Database) -> None:
    """The control: deleted, and left in the log of writes."""


def play(seed: int, control: bool) -> Played:
    """One person's life and its end."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    with (
        tempfile.TemporaryDirectory(prefix="falopitas-r34-", dir=memory()) as name,
        patch.object(Database, "scrub", _unscrubbed) if control else nullcontext(),
    ):
        root.handlers = []
        logs.start("debug", Path(name) / "logs")
        try:
            wrong = asyncio.run(_life(Path(name), random.Random(seed)))
        finally:
            for each in root.handlers:
                each.close()
            root.handlers, root.level = before, level
    return Played(1, tuple(wrong))


FORGOTTEN = Proof(
    "R34", "after forget-me no byte of the data folder knows the person's names, words or pictures", 1_000,
    "people", play, control_rounds=10, control_rate=0.9,
)  # fmt: skip
