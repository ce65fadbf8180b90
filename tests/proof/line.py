"""R6, R7, R14: a whole bot on a bad line to a platform's fake, restarted at random moments.

After each round the line is healed, and everything that was heard must have been drawn once, charged once and
shown once, or stand among what its person is told of when they come back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from bot.app import App
from storage import ledger
from storage.database import Connection
from tests.fakes.proxy import SPOKEN, Fault, Proxy
from tests.proof.frame import Played, Proof, memory
from tests.proof.sides import HEALED, PEOPLE, SIDES, Side, known_bad, patience, quick

ALL: Mapping[Fault, float] = {
    Fault.DELAY: 0.05, Fault.DROP: 0.05, Fault.LOSE: 0.05, Fault.RESET: 0.03, Fault.TRUNCATE: 0.03,
    Fault.REFUSE: 0.04, Fault.BREAK: 0.04, Fault.FLOOD: 0.04, Fault.REPEAT: 0.05, Fault.REPLAY: 0.1,
    Fault.PORTAL: 0.02, Fault.GARBAGE: 0.02, Fault.HANG: 0.02,
}  # fmt: skip
WORST: Mapping[Fault, float] = {Fault.LOSE: 0.25, Fault.BREAK: 0.1, Fault.DROP: 0.1, Fault.REPLAY: 0.2}
GATEWAY = "gateway"
"""Discord's second line, on which it says what happens."""


@dataclass(frozen=True, slots=True)
class Round:
    """What was wrong at its end, the line, and how many asks were heard and served."""

    wrong: list[str]
    line: Proxy
    served: int


async def played(
    seed: int, side: str = "telegram", *, rates: Mapping[Fault, float] = ALL, restarts: int = 2,
    only: str = "", bad: AbstractContextManager[None] | None = None,
) -> Round:  # fmt: skip
    """One round: lives on a bad line, each ended at random, gently or at once; a last one that is healed.

    ``only`` such paths are bad; ``bad`` makes the bot one that is known to be wrong.
    """
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=memory()) as folder, quick():
        async with SIDES[side](Path(folder), rates, seed) as there:
            there.line.only = re.compile(only)
            with bad or nullcontext():
                for life in range(restarts):
                    async with there.bot(at_once=dice.random() < 0.5):
                        await _bad_times(there, f"{seed}.{life}", dice)
                async with there.bot() as app:
                    await _bad_times(there, f"{seed}.last", dice)
                    there.line.heal()
                    return Round(await healed(there, app, f"{seed}.healed"), there.line, _served(there))


async def _bad_times(there: Side, words: str, dice: random.Random) -> None:
    there.line.heal()
    await there.ready()
    there.line.bad = True
    await there.ask(words)
    await asyncio.sleep(dice.uniform(0.0, 0.6))
    there.spoil(dice.random)
    await asyncio.sleep(dice.uniform(0.0, 0.4))


def _served(there: Side) -> int:
    return sum(1 for prompt in there.asked() if there.shown(prompt))


async def healed(there: Side, app: App, words: str) -> list[str]:
    """The line is good: everybody asks once more and is heard; what is wrong when all is over."""
    try:
        async with patience(HEALED):
            await there.insist(words)
            while await _open(there, app):
                await asyncio.sleep(0.05)
    except TimeoutError:
        return [f"not healed: {await _open(there, app) or 'nobody is heard'}"]
    wrong = [f"ledger: {each}" for each in await app.database.read(ledger.audit)]
    for prompt in there.asked():
        wrong += await app.database.read(_judge, prompt, there.shown(prompt), there.heard(prompt))
    return wrong


async def _open(there: Side, app: App) -> str:
    """What is still to come, or nothing."""
    return await app.database.read(_owed, [prompt for prompt in there.asked() if there.heard(prompt)])


def _owed(tx: Connection, heard: list[str]) -> str:
    requests = "".join(request for (request,) in tx.execute("SELECT request FROM job"))
    if coming := [prompt for prompt in heard if f'"{prompt}"' not in requests]:
        return f"no jobs of {coming}"
    (known, over) = tx.execute(
        "SELECT count(*), total(status IN ('done', 'failed', 'cancelled')) FROM job"
    ).fetchone()
    (owed,) = tx.execute("SELECT count(*) FROM outbox WHERE over IS NULL").fetchone()
    (unanswered,) = tx.execute("SELECT count(*) FROM inbox WHERE done = 0").fetchone()
    if (over, owed, unanswered) == (known, 0, 0):
        return ""
    return f"{known} jobs, {over:.0f} over, {owed} owed, {unanswered} unanswered"


def _judge(tx: Connection, prompt: str, shown: int, heard: bool) -> list[str]:
    rows: list[Any] = tx.execute(
        "SELECT job.id, job.status, job.price, outbox.outcome FROM job "
        "JOIN outbox ON outbox.job = job.id WHERE job.request LIKE ?",
        (f'%"{prompt}"%',),
    ).fetchall()
    if not rows and not heard and not shown:  # its person saw that it was not taken
        return []
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


# --- full size


@contextmanager
def deaf() -> Iterator[None]:
    """Known to be bad: the silence of a connection that is half open is never noticed."""
    with mock.patch("bot.adapters.discord.client.SILENCE", 1e6), mock.patch("tests.proof.line.HEALED", 5.0):
        yield


def _run(seed: int, side: str, **how: Any) -> Round:
    """A round without all that a bad line gives everybody to log."""
    logging.disable()
    try:
        return asyncio.run(played(seed, side, **how))
    finally:
        logging.disable(logging.NOTSET)


def _play(side: str, seed: int, control: bool, rates: Mapping[Fault, float], restarts: int) -> Round:
    bad = known_bad() if control else None
    return _run(seed, side, rates=WORST if control else rates, restarts=restarts, bad=bad)


def _restarts(side: str) -> Proof:
    def play(seed: int, control: bool) -> Played:
        return Played(2, tuple(_play(side, seed, control, ALL, 2).wrong))

    claim = "0 lost, 0 doubled, 0 charged twice, however the bot and its line end"
    return Proof(f"R7-{side}", claim, 1_000, "restarts", play, 30)


def _deliveries(side: str) -> Proof:
    def play(seed: int, control: bool) -> Played:
        restarts = 2 if control else 0
        return Played(PEOPLE * (restarts + 2), tuple(_play(side, seed, control, WORST, restarts).wrong))

    return Proof(f"R6-{side}", "0 lost, 0.1 % doubled at most", 3_000, "deliveries", play, 60)


REST = [("telegram", "", fault) for fault in Fault]
NEWS = Fault.REPLAY  # Discord's come by its gateway
REST += [("discord", "/api/", fault) for fault in Fault if fault is not NEWS]
CELLS = [*REST, *(("discord", GATEWAY, fault) for fault in Fault if fault in SPOKEN)]
"""Side, part of the line, what goes wrong there."""


def _cell(seed: int, control: bool) -> Played:
    side, only, fault = CELLS[seed % len(CELLS)]
    if control:
        return Played(1, tuple(_control(seed)))
    wrong = _run(seed, side, rates={fault: 0.5}, restarts=0, only=only).wrong
    return Played(1, tuple(f"{side} {only} {fault}: {each}" for each in wrong))


def _control(seed: int) -> list[str]:
    """By turns: what is known to be bad on Telegram, on Discord, and at its gateway."""
    side = ("telegram", "discord", GATEWAY)[seed % 3]
    if side == GATEWAY:
        hangs = {Fault.HANG: 1.0}
        return _run(seed, "discord", rates=hangs, restarts=0, only=GATEWAY, bad=deaf()).wrong
    return _play(side, seed, True, WORST, 2).wrong


DELIVERIES = tuple(map(_deliveries, SIDES))
RESTARTS = tuple(map(_restarts, SIDES))
LINES = Proof("R14", "after healing all is delivered within 60 s, without a restart", 220, "cells", _cell, 12)
