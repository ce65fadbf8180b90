"""Who sees what: decided before Discord is told to wait, and never widened afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.discord import asked
from storage import gallery
from storage.database import Database
from storage.jobs import Status
from tests.bot.adapters.discord.server import Server, buttons, media, said, server
from tests.fakes.engine import FakeEngine

PRIVATE = ("queue", "cancel", "gallery", "quota", "settings", "styles", "models", "link", "help")


@pytest.mark.parametrize("command", PRIVATE)
async def test_what_concerns_one_person_is_seen_by_one_person(tmp_path: Path, command: str) -> None:
    async with server(tmp_path) as house:
        answer = await house.answer(await house.join("ana").slash(house.channel, command))
        assert answer.ephemeral
        assert house.channel.history(viewer=house.join("bea")) == []


@pytest.mark.parametrize("prompt", ["gore", "fox --ar 9", "fox --sampel x", "fox --model nothere", "--n 4"])
async def test_a_refusal_is_seen_by_nobody_else_and_costs_nothing(tmp_path: Path, prompt: str) -> None:
    async with server(tmp_path) as house:
        result = await house.join("ana").slash(house.channel, "imagine", prompt=prompt)
        answer = await house.answer(result)
        assert answer.ephemeral
        assert "\n" in said(answer), "it has a next step"
        assert house.channel.history(viewer=house.join("bea")) == []
        assert not result.followups


def stall(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """What the bot writes into its database takes so long."""
    write = Database.write

    async def slow(*args: Any, **more: Any) -> Any:
        await asyncio.sleep(seconds)
        return await write(*args, **more)

    patch.setattr(Database, "write", slow)


async def test_who_is_slow_tells_discord_to_wait_before_it_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(tmp_path) as house:
        stall(monkeypatch, asked.GRACE + 0.4)
        result = await house.join("ana").slash(house.channel, "quota")
        assert result.deferred
        assert result.ephemeral
        assert "Your credits" in said(await house.answer(result))


async def test_a_late_refusal_takes_the_public_wait_back_and_is_seen_by_one_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(tmp_path) as house:
        stall(monkeypatch, asked.GRACE + 0.4)
        result = await house.join("ana").slash(house.channel, "imagine", prompt="gore")
        assert result.deferred
        assert not result.ephemeral
        await house.until(lambda: result.followups)
        assert "do not draw" in said(result.followups[0])
        assert result.followups[0].ephemeral
        assert house.channel.history(viewer=house.join("bea")) == []


async def test_private_pictures_are_seen_by_one_person_and_stay_so(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(private=True)
        assert message.ephemeral
        again = await house.pictures(await house.press(message, "🔄"))
        assert again.ephemeral
        assert house.channel.history(viewer=house.join("bea")) == []


async def test_private_pictures_that_come_late_go_to_the_person_never_to_the_channel(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        await house.answer(
            await house.join("ana").slash(house.channel, "imagine", prompt="a fox", private=True)
        )
        await house.env.advance_time(16 * 60)
        await draw(house)
        inbox = house.join("ana").user.dm_channel
        await house.until(lambda: inbox.last_message)
        assert media(inbox.last_message)
        assert house.channel.history(viewer=house.join("bea")) == []


async def test_a_private_result_after_a_crash_in_the_public_wait_is_not_published(tmp_path: Path) -> None:
    """The place in the row is older than the answer: it does not know yet that it is private."""
    async with server(tmp_path, engine=FakeEngine()) as house:
        result = await house.join("ana").slash(house.channel, "imagine", prompt="a fox", private=True)
        await house.answer(result)
        await house.app.database.write(_publish)
        await draw(house)
        inbox = house.join("ana").user.dm_channel
        await house.until(lambda: inbox.last_message)
        assert not media(result.response)


def _publish(tx: Any) -> None:
    (place,) = tx.execute("SELECT place FROM job").fetchone()
    user, flags, *rest = place.split(".")
    tx.execute("UPDATE job SET place = ?", (".".join([user, flags.replace("p", ""), *rest]),))


async def draw(house: Server) -> None:
    """The engine draws what waits."""
    from inference import wire
    from tests.fakes.engine import drawn

    engine = house.engine
    await engine.hello(credits=1)
    (order,) = await engine.wait_for(wire.Draw)
    await engine.say(drawn(order))
    await house.until_job(lambda job: job.status is Status.DONE, order.job)


async def test_a_form_that_cannot_be_opened_says_why_in_private(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=1)
        await house.app.database.write(gallery.delete, 1)  # its days are over: the message stays as it is
        result = await house.press(message, "✏️")
        assert result.modal is None
        assert "is not there" in said(await house.answer(result))
        assert result.response.ephemeral
        assert buttons(message)
