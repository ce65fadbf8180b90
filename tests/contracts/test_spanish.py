"""Whoever speaks Spanish may write all of it in Spanish: commands, flags, parts to take back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from bot import commands, texts
from bot.commands import COMMANDS, MODERATION, Command
from bot.commands.mod import community, limits
from bot.options import Field, fields_of, flags_of
from storage import policy
from storage.calendar import TARIFFS
from storage.refusal import Refusal
from tests.fakes.engine import FakeEngine
from tests.fakes.town import HERE, Town, town

ALL = COMMANDS + MODERATION
FLAGS = [
    pytest.param(command, field, id=f"{command.name} --{field.flag}")
    for command in ALL
    for field in fields_of(command.ask)
    if not field.option.word and texts.has(f"discord.option.{field.flag}")
    if not field.option.words
]
SAID: dict[str, str] = {
    "language": "es", "zone": "Madrid", "free": "22-8", "half": "8-9", "closed": "9-10", "only": "art",
    "who": "supporters", "nsfw": "retener", "adult": "permitir", "retention": "30", "gifts": "5", "desk": "",
    "steps": "9", "side": "64", "count": "2", "at_once": "2", "burst": "3", "models": "builtin",
    "crowd": "60", "newcomers": "0.5", "raid": "60",
}  # fmt: skip
"""A value of each part that can be decided."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, engine=FakeEngine()) as made:
        yield made


@pytest.mark.parametrize(("command", "field"), FLAGS)
def test_the_name_that_discord_shows_is_understood_everywhere(command: Command, field: Field) -> None:
    """A flag's Spanish name, as Discord's picker writes it, is read from typed text too."""
    name = texts.say("es", f"discord.option.{field.flag}")
    assert flags_of(command.ask).get(name) is field, f"/{command.name} does not know --{name}"


@pytest.mark.parametrize("command", MODERATION, ids=lambda command: command.name)
def test_every_path_is_understood_in_spanish(command: Command) -> None:
    """With its accents and without, and with both languages mixed."""
    shown = [
        texts.say("es", key) if texts.has(key := f"discord.command.{word}") else word
        for word in command.name.split()
    ]
    mixed = [" ".join([*shown[:cut], *command.name.split()[cut:]]) for cut in range(len(shown) + 1)]
    for path in (*mixed, " ".join(shown).replace("í", "i").replace("á", "a")):
        assert commands._TYPED.get(path) is command.ask, path


def _parts(ask: type, names: tuple[str, ...]) -> list[tuple[str, Field]]:
    """Every name of every flag that decides a part of a policy."""
    own = {*names, *TARIFFS}
    return [(flag, field) for flag, field in flags_of(ask).items() if field.name in own]


LIFTS = [
    pytest.param(command, flag, field, id=f"{command} --lift {flag}")
    for command, ask, names in (
        ("limits", limits.Limits, limits.NAMES), ("community", community.Community, community.NAMES),
    )
    for flag, field in _parts(ask, names)
]  # fmt: skip


@pytest.mark.parametrize(("command", "flag", "field"), LIFTS)
async def test_whatever_was_decided_with_a_flag_is_taken_back_by_its_name(
    here: Town, command: str, flag: str, field: Field
) -> None:
    """In either language; nothing else goes with it."""
    titled = {"titles": (("role:7", "supporters"), ("test:art", "art"))}
    await here.mod("limits --minute 7 --channel #art", **titled)
    await here.mod(f"{command} --{flag} {SAID[field.name]}", **titled)
    before = await here.app.database.read(policy.said, HERE)
    assert before != policy.NOTHING
    await here.mod(f"{command} --quitar {flag}")
    assert await here.app.database.read(policy.said, HERE) == policy.NOTHING


async def test_one_tariff_is_taken_back_without_the_others(here: Town) -> None:
    await here.mod("comunidad --gratis 22-8 --mitad 8-9 --cerrado 9-10")
    await here.mod("comunidad --levantar gratis")
    hours = (await here.app.database.read(policy.said, HERE)).hours or ()
    assert [each.tariff for each in hours] == ["half", "closed"]


async def test_a_role_s_share_is_taken_back_by_either_of_its_flags(here: Town) -> None:
    for word in ("peso", "rol", "weight", "role"):
        await here.mod("límites --rol @supporters --peso 2", titles=(("role:7", "supporters"),))
        await here.mod(f"límites --quitar {word}")
        assert (await here.app.database.read(policy.said, HERE)).weights is None


@pytest.mark.parametrize("command", ["limits", "community"])
async def test_a_name_that_is_no_part_is_answered_with_those_that_are(here: Town, command: str) -> None:
    with pytest.raises(Refusal, match="bad_choice") as caught:
        await here.mod(f"{command} --lift nonsense")
    known = str(caught.value.values["known"]).split(", ")
    assert "all" in known
    for word in known:
        with pytest.raises(Refusal, match="nothing_changed"):
            await here.mod(f"{command} --lift {word}")


@pytest.mark.parametrize(
    ("word", "means"), [("retener", "withhold"), ("cubrir", "spoiler"), ("permitir", "allow")]
)
async def test_what_becomes_of_flagged_pictures_is_said_in_spanish(here: Town, word: str, means: str) -> None:
    await here.mod(f"comunidad --nsfw {word}")
    assert (await here.app.database.read(policy.said, HERE)).nsfw == means


def test_the_spanish_names_of_a_command_s_flags_are_all_different() -> None:
    """Two flags of one name would be one."""
    for command in ALL:
        names = sorted(
            texts.say("es", f"discord.option.{field.flag}") for field in fields_of(command.ask)
            if not field.option.words and texts.has(f"discord.option.{field.flag}")
        )  # fmt: skip
        assert all(one != other for one, other in pairwise(names)), command.name


def test_what_is_typed_is_called_an_order_everywhere() -> None:
    for key, sentence in texts.table("es").items():
        said = " ".join(sentence.values()) if isinstance(sentence, dict) else sentence
        assert "comando" not in said.casefold(), key
