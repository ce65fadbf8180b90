"""R23: forged buttons: whatever one names, nothing of anybody else's changes, nor of the community's."""

from __future__ import annotations

import asyncio
import random
import string
import tempfile
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, suppress
from pathlib import Path
from typing import cast
from unittest.mock import patch

from bot import commands
from bot.commands import BUTTONS, COMMANDS, MODERATION, cancel, delete, star
from bot.talk import Ask, Reply
from storage import jobs
from storage.database import Connection
from storage.jobs import Job
from storage.refusal import Refusal
from tests.fakes.town import ANA, BEN, ELSEWHERE, MODERATOR, Town, town
from tests.proof.frame import Played, Proof, memory

BATCH = 500
"""Buttons of one seed, pressed in one town."""
NAMES = [each.name for each in (*COMMANDS, *BUTTONS, *MODERATION)]
FORGERS: tuple[tuple[str, dict[str, object]], ...] = (
    (BEN, {}), (BEN, {"roles": ("administrator", "owner", "role:7")}), (ELSEWHERE, {}),
    (BEN, {"community": "", "channel": ""}), (MODERATOR, {"entitled": False}),
)  # fmt: skip
"""A member, one with forged roles, another place's moderator, somebody in private, who moderates no more."""


def forge(rng: random.Random, honest: list[str]) -> str:
    """A packed ask as an attacker would write one."""
    match rng.randrange(4):
        case 0:
            return "".join(rng.choice(string.printable) for _ in range(rng.randrange(80)))
        case 1:
            values = (0, 1, 2, 3, 5, 7, -1, 10**9, "", "1", "y")
            parts = [str(rng.choice(values)) for _ in range(rng.randrange(5))]
            return ":".join([rng.choice(NAMES), *parts])
        case 2:
            letters = list(rng.choice(honest))
            for _ in range(rng.randint(1, 3)):
                letters[rng.randrange(len(letters))] = rng.choice("0123456789:abcdeyn")
            return "".join(letters)
    return rng.choice(honest)


TABLES = (
    "SELECT * FROM job WHERE account = 1 ORDER BY id",
    "SELECT * FROM piece WHERE account = 1 ORDER BY id",
    "SELECT * FROM ledger WHERE account = 1 AND why <> 'gift' ORDER BY id",
    "SELECT id, language, settings, unlimited, weight FROM account WHERE id = 1",
    "SELECT * FROM identity WHERE account = 1",
    "SELECT id, state FROM matter WHERE account = 1 AND (kind = 'refusal' OR state <> 'open')",
    *(
        f"SELECT * FROM {table} WHERE community <> 'test:other'"  # noqa: S608 - names of ours
        for table in ("policy", "allowance", "rule", "sanction", "act", "membership")
    ),
)
"""Everything of Ana's and of the town's. (Others may give to her, and report what they see.)"""


def everything(tx: Connection) -> list[object]:
    return [tx.execute(sql).fetchall() for sql in TABLES]


async def _press(here: Town, packed: str, who: str, facts: dict[str, object]) -> str:
    """Press; what broke, if it was no refusal. Only the first answer is waited for."""
    try:
        ask: Ask = commands.unpack(packed)
    except Refusal:
        return ""
    replies = cast("AsyncGenerator[Reply]", commands.answer(ask, here.call(who, ask, **facts), here.app))
    try:
        async with aclosing(replies) as answers, asyncio.timeout(60):
            with suppress(StopAsyncIteration):
                await anext(answers)
    except Refusal:
        return ""
    except Exception as error:  # noqa: BLE001 - whatever a forged button breaks
        return f"{packed!r} breaks: {type(error).__name__}: {error}"
    return ""


def _honest(replies: list[Reply]) -> list[str]:
    return [commands.pack(each.ask) for reply in replies for row in reply.buttons for each in row]


async def _town(folder: Path, rng: random.Random) -> list[str]:
    async with town(folder) as here:
        shown = await here.say(ANA, "a red fox --n 2")
        honest = _honest(shown)
        for text in ("a blue fox --n 1 --private", "a wolf", "/gallery", "/settings", "/forgetme", "/link"):
            honest += _honest(await here.say(ANA, text))
        for text in (
            "quota set everybody 500",
            "warn test:ana mind it",
            "rules add ugly",
            "limits --minute 900",
        ):
            with suppress(Refusal):
                honest += _honest([await here.mod(text)])
        for number in range(1, 9):
            honest += [
                f"{name}:{number}" for name in ("cancel", "star", "mod undo", "mod cancel", "mod hold")
            ]
            honest += [commands.pack(delete.Delete(number, sure=True)), f"decide:{number}:approved"]
        before = await here.app.database.read(everything)
        wrong: list[str] = []
        for _ in range(BATCH):
            who, facts = rng.choice(FORGERS)
            packed = forge(rng, honest)
            if broken := await _press(here, packed, who, facts):
                wrong.append(broken)
            after = await here.app.database.read(everything)
            if after != before:
                wrong.append(f"{packed!r} by {who} {facts} changed something")
                before = after
        return wrong


def _anybodys(tx: Connection, account: int, job_id: int) -> Job:
    """The control's look at whose a job is: there is none."""
    job = jobs.get(tx, job_id)
    if job is None:
        raise Refusal("no_job", job=job_id)
    return job


def play(seed: int, control: bool) -> Played:
    """``BATCH`` forged buttons; as the control, pressed where a job is whoever's who names it."""
    with tempfile.TemporaryDirectory(prefix="falopitas-r23-", dir=memory()) as folder, ExitStack() as stack:
        for module in (star, delete, cancel) if control else ():
            stack.enter_context(patch.object(module, "find_mine", _anybodys))
        wrong = asyncio.run(_town(Path(folder), random.Random(seed)))
    return Played(BATCH, tuple(wrong))


FORGED = Proof(
    "R23", "forged buttons: 0 effects on anybody else's things, and none breaks", 100_000, "buttons", play,
    control_rounds=BATCH,
)  # fmt: skip
