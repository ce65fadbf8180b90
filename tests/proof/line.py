"""R6, R7, R14: a whole bot on a bad line to Telegram's fake, restarted at random moments.

After each round the line is healed, and everything that was asked for must have been drawn once, charged once
and shown once, or stand among what its person is told of when they come back.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from bot.kiosk import Kiosk
from storage import ledger
from storage.database import Connection
from tests.bot.telegram.house import House, house
from tests.fakes.proxy import TELEGRAM, Fault, Proxy
from tests.fakes.telegram.world import Person
from tests.proof.frame import Played, Proof, memory

PEOPLE = 3
HEALED = 60.0
"""Seconds after which everything must have arrived."""
ALL: Mapping[Fault, float] = {
    Fault.DELAY: 0.05, Fault.DROP: 0.06, Fault.LOSE: 0.06, Fault.RESET: 0.03, Fault.TRUNCATE: 0.03,
    Fault.REFUSE: 0.04, Fault.BREAK: 0.04, Fault.FLOOD: 0.04, Fault.REPEAT: 0.05, Fault.REPLAY: 0.2,
}  # fmt: skip


WORST: Mapping[Fault, float] = {Fault.LOSE: 0.25, Fault.BREAK: 0.1, Fault.DROP: 0.1, Fault.REPLAY: 0.2}


@contextmanager
def quick() -> Iterator[None]:
    """The bot's own pauses, a twentieth as long."""
    with (
        mock.patch("bot.outbox.backoff", lambda tries: min(2.0, 0.05 * 2.0**tries)),
        mock.patch("bot.adapters.telegram.client.AWAY", 0.15),
    ):
        yield


@contextmanager
def known_bad() -> Iterator[None]:
    """A message that was made for a picture is written down when the picture is in it, not before."""

    async def forgets(self: Kiosk, job: int, place: str) -> None:
        return

    with mock.patch.object(Kiosk, "placed", forgets):
        yield


async def played(
    seed: int, *, rates: Mapping[Fault, float] = ALL, restarts: int = 2, control: bool = False
) -> tuple[list[str], Proxy]:
    """One round: everything that went wrong in it, and the line."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=memory()) as folder, quick():
        async with house(Path(folder)) as here, Proxy(here.tele.root, TELEGRAM, rates, seed) as line:
            here.tele.root = line.root
            people = [here.tele.world.person(f"p{number}") for number in range(PEOPLE)]
            asked: list[tuple[Person, str]] = []
            with known_bad() if control else quick():
                for life in range(restarts + 1):
                    async with here.bot():
                        line.bad = True
                        asked += _ask(people, seed, life)
                        await asyncio.sleep(dice.uniform(0.05, 1.0))
                line.heal()
                wrong = await healed(here, asked)
            return wrong, line


def _ask(people: list[Person], seed: int, life: int) -> list[tuple[Person, str]]:
    asked = [(person, f"a fox {seed}.{life}.{person.name}") for person in people]
    for person, prompt in asked:
        person.say(f"/imagine {prompt} --n 1")
    return asked


async def healed(here: House, asked: list[tuple[Person, str]]) -> list[str]:
    """A last life on a good line: what is wrong at its end."""
    async with here.bot() as app:
        try:
            async with asyncio.timeout(HEALED):
                while await app.database.read(_open, len(asked)):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return [f"not healed: {await app.database.read(_open, len(asked))}"]
        wrong = [f"ledger: {each}" for each in await app.database.read(ledger.audit)]
        for person, prompt in asked:
            wrong += await app.database.read(_judge, prompt, _shown(person, prompt))
        return wrong


def _shown(person: Person, prompt: str) -> int:
    """Messages with a picture that this prompt stands under."""
    return sum(1 for message in person.private.ours if message.file and prompt in message.said)


def _open(tx: Connection, wanted: int) -> str:
    """What is still to come, or nothing."""
    (known, over) = tx.execute(
        "SELECT count(*), total(status IN ('done', 'failed', 'cancelled')) FROM job"
    ).fetchone()
    (owed,) = tx.execute("SELECT count(*) FROM outbox WHERE over IS NULL").fetchone()
    (unanswered,) = tx.execute("SELECT count(*) FROM inbox WHERE done = 0").fetchone()
    if (known, over, owed, unanswered) == (wanted, wanted, 0, 0):
        return ""
    return f"{known} jobs of {wanted}, {over:.0f} over, {owed} owed, {unanswered} unanswered"


def _judge(tx: Connection, prompt: str, shown: int) -> list[str]:
    rows: list[Any] = tx.execute(
        "SELECT job.id, job.status, job.price, outbox.outcome FROM job "
        "JOIN outbox ON outbox.job = job.id WHERE job.request LIKE ?",
        (f'%"{prompt}"%',),
    ).fetchall()
    if len(rows) != 1:
        return [f"{prompt}: {len(rows)} jobs"]
    job, status, price, outcome = rows[0]
    (units,) = tx.execute("SELECT total(units) FROM ledger WHERE job = ?", (job,)).fetchone()
    wrong = [] if units == -price else [f"{prompt}: {units:.0f} charged of {price}"]
    if status != "done":
        wrong.append(f"{prompt}: {status}")
    if shown > 1:
        wrong.append(f"{prompt}: shown {shown} times")
    if not shown and outcome not in {"gone", "unsure", "told"}:
        wrong.append(f"{prompt}: lost ({outcome})")
    return wrong


def play(seed: int, control: bool) -> Played:
    """One round on a line with every fault, and two restarts."""
    wrong, _ = asyncio.run(played(seed, rates=WORST if control else ALL, control=control))
    return Played(2, tuple(wrong))


def cell(seed: int, control: bool) -> Played:
    """One fault alone, often; the control needs a restart to be found out."""
    faults = list(Fault)
    fault = Fault.LOSE if control else faults[seed % len(faults)]
    wrong, _ = asyncio.run(played(seed, rates={fault: 0.5}, restarts=2 if control else 0, control=control))
    return Played(1, tuple(f"{fault}: {each}" for each in wrong))


def deliveries(seed: int, control: bool) -> Played:
    """A line that mostly loses, without a restart: what is counted are the deliveries."""
    restarts = 2 if control else 0
    wrong, _ = asyncio.run(played(seed, rates=WORST, restarts=restarts, control=control))
    return Played(PEOPLE * (restarts + 1), tuple(wrong))


DELIVERIES = Proof("R6", "Telegram: 0 lost, 0.1 % doubled at most", 3_000, "deliveries", deliveries, 60)
RESTARTS = Proof("R7", "0 lost, 0 doubled, 0 charged twice", 1_000, "restarts", play, 30)
CELLS = Proof("R14", "after healing all is delivered within 60 s", 220, "cells", cell, 12)
