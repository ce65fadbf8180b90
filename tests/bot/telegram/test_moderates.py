"""Telegram is asked whether somebody who sits at the moderators' page is still an administrator."""

from __future__ import annotations

import pytest

from bot.adapters.telegram import admins
from storage import acts
from tests.bot.telegram.house import House
from tests.fakes.telegram import Fault


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


@pytest.mark.parametrize("forgets", [True, False])
async def test_one_unanswered_question_makes_nobody_a_stranger_for_a_minute(
    here: House, monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    """The control remembers that no answer came for as long as it does an answer."""
    monkeypatch.setattr(admins, "UNKNOWN", 0.0 if forgets else admins.FRESH)
    ana, group = here.tele.world.person("Ana"), here.tele.world.group("Friends")
    group.admins = {ana.id}
    asked = []

    def goes_wrong(method: str, values: object) -> Fault | None:
        if method == "getChatAdministrators":
            asked.append(method)
            return Fault(502) if len(asked) == 1 else None
        return None

    here.tele.fault = goes_wrong
    async with here.bot():
        assert here.adapter is not None
        who = (f"telegram:{ana.id}", f"telegram:{group.id}")
        assert await here.adapter.moderates(*who) is None
        assert await here.adapter.moderates(*who) is (True if forgets else None)
        assert await here.adapter.moderates(*who) is (True if forgets else None)
    assert len(asked) == 1 + forgets


@pytest.mark.parametrize("name", ["mod", "warn", "reason", "🦊 n", "a"])
async def test_a_mention_is_no_other_word_of_the_command(here: House, name: str) -> None:
    """Somebody may be called like a word that stands before them, or after a symbol of two units."""
    world = here.tele.world
    ana, beto, group = world.person("Ana"), world.person(name), world.group("Friends")
    group.admins = {ana.id}
    async with here.bot() as app:
        ana.say(f"/mod warn [{name}] 🦊 a reason, [{name}]", group)
        warned = await here.tele.until(
            lambda: next((each for each in ana.private.ours if "is warned" in each.said), None)
        )
        assert warned.said.startswith(f"telegram:{beto.id} is warned")
        (act,) = await app.database.read(acts.newest, f"telegram:{group.id}", 9)
        assert act.facts["reason"] == f"🦊 a reason, telegram:{beto.id}"
