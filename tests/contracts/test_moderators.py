"""Who may moderate: actor x command, from the registry. A command without a line fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import commands, texts
from bot.commands import MODERATION, Command
from storage.accounts import OWNER
from storage.database import Connection
from storage.refusal import Refusal
from tests.fakes.engine import FakeEngine
from tests.fakes.town import ANA, ELSEWHERE, MODERATOR, Town, town

FIRST = {
    "mod cancel": "no_job_here", "mod hold": "no_job_here", "mod release": "no_job_here",
    "mod undo": "nothing_to_undo",
    "mod unblock": "no_block", "mod quota unfreeze": "no_freeze", "mod rules remove": "no_rule",
    "mod quota history": "unknown_person", "mod picture": "no_job_here", "mod page": "no_page",
}  # fmt: skip
"""What there is nothing to do for in an empty town; everything else is answered."""

ACTORS: dict[str, tuple[str, dict[str, object], bool]] = {
    "moderator here": (MODERATOR, {}, True),
    "the owner here": (OWNER, {}, True),
    "the owner at home": (OWNER, {"community": "", "channel": ""}, True),
    "member": (ANA, {}, False),
    "moderator in private": (MODERATOR, {"community": "", "channel": ""}, False),
    "was a moderator": (MODERATOR, {"entitled": False}, False),
    "forged roles": (ANA, {"roles": ("administrator", "owner")}, False),
}
"""Who, what their chat says of them, and whether they may."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, engine=FakeEngine()) as made:
        await made.say(OWNER, "/quota", community="", channel="")
        yield made


@pytest.mark.parametrize("command", MODERATION, ids=lambda command: command.name)
@pytest.mark.parametrize("actor", ACTORS)
async def test_every_cell_of_the_matrix(here: Town, command: Command, actor: str) -> None:
    who, facts, may = ACTORS[actor]
    ask = texts.say("en", f"command.{command.key}.example")
    expected = FIRST.get(command.name, "") if may else "not_moderator"
    before = await here.app.database.read(everything)
    assert await outcome(here, who, ask, **facts) == expected
    if not may:
        assert await here.app.database.read(everything) == before


async def outcome(here: Town, who: str, ask: str, **facts: object) -> str:
    """The code of the refusal, or nothing."""
    try:
        await here.say(who, ask, **facts)
    except Refusal as refusal:
        return refusal.code
    return ""


def everything(tx: Connection) -> list[object]:
    """Every row that a moderator can change."""
    tables = ("allowance", "policy", "membership", "title", "sanction", "rule", "act", "purse", "meter")
    queries = [f"SELECT * FROM {table}" for table in (*tables, "ledger WHERE why = 'give'")]  # noqa: S608 - ours
    return [tx.execute(sql).fetchall() for sql in queries]


async def test_what_is_decided_in_one_place_counts_nowhere_else(here: Town) -> None:
    """Every change by another community's moderator leaves this one as it is."""
    for command in MODERATION:
        await outcome(here, ELSEWHERE, texts.say("en", f"command.{command.key}.example"))
    found = await here.app.database.read(communities)
    assert found == {"test:other"}


def communities(tx: Connection) -> set[str]:
    """Every community that anything was decided in."""
    tables = ("allowance", "policy", "membership", "sanction", "rule", "act")
    queries = [f"SELECT DISTINCT community FROM {table}" for table in tables]  # noqa: S608 - ours
    return {str(community) for sql in queries for (community,) in tx.execute(sql).fetchall()}


async def test_a_forged_undo_of_somebody_else_s_act_does_nothing(here: Town) -> None:
    await here.mod("quota set everybody 20")
    with pytest.raises(Refusal, match="nothing_to_undo"):
        await here.say(ELSEWHERE, commands.unpack("mod undo:1"))
    with pytest.raises(Refusal, match="not_moderator"):
        await here.say(ANA, commands.unpack("mod undo:1"))
    assert dict((await here.mod("quota show")).fields) == {"Everybody": "20 credits a day"}
