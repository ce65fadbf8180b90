"""Telegram is asked whether somebody who sits at the moderators' page is still an administrator."""

from __future__ import annotations

from bot.adapters.telegram import admins
from tests.bot.telegram.house import House


async def test_telegram_says_who_is_an_administrator(here: House) -> None:
    world = here.tele.world
    ana, beto, group = world.person("Ana"), world.person("Beto"), world.group("Friends")
    group.admins = {ana.id}
    async with here.bot():
        assert here.adapter is not None
        moderates, place = here.adapter.moderates, f"telegram:{group.id}"
        assert await moderates(f"telegram:{ana.id}", place) is True
        assert await moderates(f"telegram:{beto.id}", place) is False
        assert await moderates("telegram:x", place) is None
        assert await moderates(f"telegram:{ana.id}", f"telegram:{beto.id}") is None
        group.admins = {beto.id}
        here.adapter._admins = admins.Admins(here.adapter._line)  # a minute later
        assert await moderates(f"telegram:{ana.id}", place) is False
