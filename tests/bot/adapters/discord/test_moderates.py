"""Discord is asked whether somebody who sits at the moderators' page may still manage the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord

from storage.jobs import Status
from tests.bot.adapters.discord.server import said, server
from tests.fakes.engine import FakeEngine


async def test_discord_says_who_may_manage_the_server(tmp_path: Path) -> None:
    """By their roles now: who lost the role, who left and who never had it may not."""
    async with server(tmp_path) as house:
        role = house.guild.create_role("Mods", permissions=discord.Permissions(manage_guild=True))
        ana, bea = house.join("ana", roles=[role]), house.join("bea")
        place = f"discord:{house.guild.id}"
        moderates = house.bot.adapter.moderates
        assert await moderates(f"discord:{ana.id}", place) is True
        assert await moderates(f"discord:{bea.id}", place) is False
        assert await moderates("discord:1", place) is False
        assert await moderates(f"discord:{ana.id}", "discord:1") is False
        for who, where in (("discord:x", place), (f"discord:{ana.id}", "discord:"), ("", "")):
            assert await moderates(who, where) is None
        house.guild.remove_member(ana)
        assert await moderates(f"discord:{ana.id}", place) is False


async def test_in_a_raid_those_who_manage_the_server_are_known_and_no_role_of_discords_own_is(
    tmp_path: Path,
) -> None:
    """``@everyone`` is everybody: it lets nobody in, and is given to nobody."""
    async with server(tmp_path, engine=FakeEngine()) as house:
        boss = house.guild.create_role("Boss", permissions=discord.Permissions(manage_guild=True))
        house.join("ana", roles=[boss])
        house.join("leo", roles=[boss])
        house.join("bea", roles=[house.guild.create_role("Green")])
        house.join("zoe")
        for number, name in enumerate(("leo", "bea", "zoe"), 1):
            await house.join(name).slash(house.channel, "imagine", prompt="a fox", n=1)
            await house.until_job(lambda _: True, number)

        async def moderate(command: str, **options: Any) -> str:
            answer = await house.answer(await house.join("ana").slash(house.channel, command, **options))
            return said(answer)

        everyone = house.guild.default_role
        given = await moderate("mod role", role=everyone, person=house.join("zoe"))
        assert "is everybody" in given
        await moderate("mod limits", raid=60)
        await house.until_job(lambda job: job.over, 3)
        codes = [(await house.job(number)).status for number in (1, 2, 3)]
        assert codes == [Status.QUEUED, Status.CANCELLED, Status.CANCELLED]
        for name, word in (("bea", "new here"), ("zoe", "new here")):
            again = await house.join(name).slash(house.channel, "imagine", prompt="a fox", n=1)
            assert word in said(await house.answer(again))


async def test_only_for_everyone_is_for_everybody_again(tmp_path: Path) -> None:
    """Nobody is told to have that role, so ``--who`` with it would shut the door."""
    async with server(tmp_path, engine=FakeEngine()) as house:
        boss = house.guild.create_role("Boss", permissions=discord.Permissions(manage_guild=True))
        ana, zoe = house.join("ana", roles=[boss]), house.join("zoe")

        async def asked() -> str:
            answer = await zoe.slash(house.channel, "imagine", prompt="a fox", n=1)
            return said(await house.answer(answer))

        await house.answer(await ana.slash(house.channel, "mod community", who=boss))
        assert "for Boss only" in await asked()
        await house.answer(await ana.slash(house.channel, "mod community", who=house.guild.default_role))
        assert "only" not in await asked()
        assert (await house.job(1)).status == Status.QUEUED
