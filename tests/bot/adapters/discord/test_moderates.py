"""Discord is asked whether somebody who sits at the moderators' page may still manage the server."""

from __future__ import annotations

from pathlib import Path

import discord

from tests.bot.adapters.discord.server import server


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
