"""A finished picture is never lost: restarts between two steps, old tokens, deleted places, closed doors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.texts import say
from storage import jobs
from storage.database import Connection
from storage.jobs import Status
from tests.bot.adapters.discord.server import Server, labels, media, said, server
from tests.bot.adapters.discord.test_private import draw
from tests.fakes.engine import FakeEngine


async def order(house: Server, **options: Any) -> Any:
    """Ask for pictures that nobody draws yet: the interaction."""
    result = await house.join("ana").slash(house.channel, "imagine", prompt="a red fox", **options)
    await house.answer(result)
    return result


def outcome(tx: Connection) -> list[str]:
    return [str(row[0]) for row in tx.execute("SELECT iif(over IS NULL, '', outcome) FROM outbox")]


async def over(house: Server) -> list[str]:
    """How every delivery ended."""

    async def ended() -> list[str]:
        found = await house.app.database.read(outcome)
        return found if all(found) else []

    while not (found := await ended()):
        await asyncio.sleep(0.02)  # or its clock runs so far ahead of the bot's work that tokens grow old
        await house.env.advance_time(1)
    return found


@pytest.mark.parametrize("when", ["ordered", "claimed", "drawn"])
async def test_a_restart_between_two_steps_loses_nothing_and_doubles_nothing(
    tmp_path: Path, when: str
) -> None:
    from inference import wire

    async with server(tmp_path, engine=FakeEngine()) as house:
        result = await order(house)
        if when != "ordered":
            await house.engine.hello(credits=1)
            await house.engine.wait_for(wire.Draw)
        if when == "drawn":
            house.env.inject_error("PATCH", "/webhooks/*", status=500, times=None)
            await house.engine.say(_drawn(house))
            await house.until_job(lambda job: job.status is Status.DONE)
            house.env.backend.faults.clear()
        await house.restart()
        if when == "drawn":  # a delivery that failed before is tried again when its time has come
            assert await over(house) == ["delivered"]
        message = await house.pictures(result)
        assert len(house.channel.history()) == 1
        assert "`a red fox`" in said(message)
        assert await over(house) == ["delivered"]


def _drawn(house: Server) -> Any:
    from inference import wire
    from tests.fakes.engine import drawn

    return drawn(house.engine.got(wire.Draw)[0])


async def test_an_old_token_means_a_new_message_that_tells_the_person_and_nobody_else(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house)
        await house.env.advance_time(16 * 60)
        await draw(house)
        await house.until(lambda: media(house.channel.last_message))
        (message,) = house.channel.history()
        ana = house.join("ana")
        assert [each.id for each in message.mentions] == [ana.id]
        assert said(message).startswith(f"<@{ana.id}>")
        assert "🔄" in labels(message)[8]
        (posted,) = house.requests("POST", f"/channels/{house.channel.id}/messages")
        assert posted.json["nonce"] == "job1"
        assert posted.json["enforce_nonce"] is True
        assert await over(house) == ["delivered"]


async def test_a_late_post_whose_answer_was_lost_is_found_again_and_not_repeated(tmp_path: Path) -> None:
    """Discord remembers a nonce for minutes; the channel remembers the message."""
    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house)
        await house.env.advance_time(16 * 60)
        await draw(house)
        await house.until(lambda: media(house.channel.last_message))
        await house.app.database.write(_forget)
        await house.env.advance_time(3_600)
        await house.restart()
        assert await over(house) == ["delivered"]
        assert len(house.channel.history()) == 1
        assert len(house.requests("POST", "/messages")) == 1


def _forget(tx: Connection) -> None:
    """As if the bot had died between the post and its record."""
    (place,) = tx.execute("SELECT place FROM job").fetchone()
    channel, _, rest = place.partition("/")
    user, flags, limit, _, _, _ = rest.split(".", 5)
    tx.execute("UPDATE job SET place = ?", (f"{channel}/{user}.{flags}.{limit}.0.4096.old",))
    tx.execute("UPDATE outbox SET over = NULL, outcome = ''")


async def test_a_message_that_a_moderator_deleted_is_not_posted_again_but_sent(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        result = await order(house)
        house.env.backend.delete_message(house.channel.id, result.response.id)
        await draw(house)
        inbox = house.join("ana").user.dm_channel
        await house.until(lambda: inbox.last_message)
        assert media(inbox.last_message)
        assert house.channel.history() == []


async def test_progress_of_a_deleted_message_stops(tmp_path: Path) -> None:
    from inference import wire

    async with server(tmp_path, engine=FakeEngine()) as house:
        result = await order(house)
        house.env.backend.delete_message(house.channel.id, result.response.id)
        await house.engine.hello(credits=1)
        (sent,) = await house.engine.wait_for(wire.Draw)
        before = len(house.requests())
        for done in range(6):
            await house.env.advance_time(45)
            await house.engine.say(wire.Progress(job=sent.job, attempt=sent.attempt, done=done, total=16))
            await house.env.settle()
        assert len(house.requests()) - before <= 1


@pytest.mark.parametrize("age", [0, 16 * 60])
async def test_a_deleted_channel_or_a_server_that_threw_the_bot_out_means_the_person_s_inbox(
    tmp_path: Path, age: int
) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house)
        await house.env.advance_time(age)
        house.env.inject_error("*", "/webhooks/*", status=404, code=10_015, times=None)
        for status, code in ((404, 10_003), (403, 50_001)):
            house.env.inject_error(
                "*", f"/channels/{house.channel.id}/*", status=status, code=code, times=None
            )
        await draw(house)
        inbox = house.join("ana").user.dm_channel
        await house.until(lambda: inbox.last_message)
        assert media(inbox.last_message)
        assert await over(house) == ["delivered"]


async def test_who_closed_every_door_finds_the_picture_in_the_gallery(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house, private=True)
        await house.env.advance_time(16 * 60)
        house.env.inject_error("POST", "/channels/*/messages", status=403, code=50_007, times=None)
        await draw(house)
        assert await over(house) == ["gone"]
        house.env.backend.faults.clear()
        page = await house.answer(await house.join("ana").slash(house.channel, "gallery"))
        assert media(page)


async def test_who_comes_back_is_told_what_they_missed(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house, private=True)
        await house.env.advance_time(16 * 60)
        house.env.inject_error("POST", "/channels/*/messages", status=403, code=50_007, times=None)
        await draw(house)
        assert await over(house) == ["gone"]
        house.env.backend.faults.clear()
        result = await house.join("ana").slash(house.channel, "quota")
        word = await house.until(lambda: result.followups and result.followups[0])
        assert word.ephemeral
        assert labels(word) == ["#1"]
        assert media(await house.answer(await house.press(word, "#1")))
        again = await house.join("ana").slash(house.channel, "quota")
        await house.answer(again)
        assert not again.followups, "once"


async def test_a_card_for_moderators_is_posted_where_nobody_asked_and_once(tmp_path: Path) -> None:
    from bot.commands.again import Again
    from bot.talk import Button, Reply

    async with server(tmp_path) as house:
        await house.answer(await house.join("ana").slash(house.channel, "quota"))
        card = Reply("Somebody appeals.", buttons=((Button("Allow", Again(1)),),))
        place = await house.app.outbox.post(f"discord:{house.channel.id}", card)
        assert await house.app.outbox.post(f"discord:{house.channel.id}", card) == place
        (message,) = [each for each in house.channel.history() if not each.flags.ephemeral]
        assert said(message) == "Somebody appeals."
        assert message.mentions == []
        await house.app.outbox.post(place, Reply("It is decided."))
        assert said(house.channel.last_message) == "It is decided."


async def test_a_late_enlargement_does_not_take_the_place_of_its_grid(tmp_path: Path) -> None:
    """Their buttons are partly the same."""
    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house, n=1)
        await house.env.advance_time(16 * 60)
        await draw(house)
        await house.until(lambda: media(house.channel.last_message))
        first = house.channel.last_message
        await house.answer(await house.press(first, "Enlarge"))
        await house.env.advance_time(16 * 60)
        await draw_another(house)
        await house.until(lambda: len([each for each in house.channel.history() if media(each)]) == 2)


async def draw_another(house: Server) -> None:
    from inference import wire
    from tests.fakes.engine import drawn

    await house.engine.say(wire.Ready(credits=1))
    orders = await house.engine.wait_for(wire.Draw, 2)
    await house.engine.say(drawn(orders[-1]))


async def test_in_a_conversation_an_old_token_is_no_obstacle(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        user = house.join("ana").user
        await house.answer(await user.slash("imagine", prompt="a red fox"))
        await house.env.advance_time(16 * 60)
        await draw(house)
        await house.until(lambda: media(user.dm_channel.last_message))


async def test_a_failure_that_comes_late_is_told_too(tmp_path: Path) -> None:
    from inference import wire

    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house)
        await house.env.advance_time(16 * 60)
        await house.engine.hello(credits=1)
        (sent,) = await house.engine.wait_for(wire.Draw)
        await house.engine.say(
            wire.Drawn(
                job=sent.job, attempt=sent.attempt, pictures=(), grid=b"", seconds=0.1,
                failures=(wire.Failure(index=0, code="out_of_memory"),),
            )
        )  # fmt: skip
        await house.until(lambda: "ran out of memory" in said(house.channel.last_message))
        assert "Nothing was charged" in said(house.channel.last_message)
        assert labels(house.channel.last_message) == ["Try again"]


@pytest.mark.parametrize("minutes", [0, 60])
async def test_what_a_moderator_covers_or_deletes_later_changes_in_its_message(
    tmp_path: Path, minutes: int
) -> None:
    """However old it is: by its token, or as the bot itself. Nothing new is said in the channel."""
    async with server(tmp_path) as house:
        message = await house.imagine()
        count = len(house.channel.history())
        await house.env.advance_time(60 * minutes)

        async def shown(way: str) -> Any:
            await house.app.database.write(jobs.show_as, 1, way)
            house.app.outbox.wake()
            assert await over(house) in (["delivered"], ["left"])
            return next(each for each in house.channel.history() if each.id == message.id)

        assert [each.get("spoiler") for each in media(await shown("spoiler"))] == [True]
        assert [each.get("spoiler", False) for each in media(await shown(""))] == [False]
        held = await shown("withheld")
        assert media(held) == []
        assert say("en", "finished.withheld") in said(held)
        assert len(house.channel.history()) == count
        assert await over(house) == ["delivered"]


async def test_a_message_that_is_gone_is_not_posted_again_to_cover_it(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine()
        await house.env.advance_time(3_600)
        house.env.inject_error("PATCH", "/channels/*", status=404, times=None)
        await house.app.database.write(jobs.show_as, 1, "spoiler")
        house.app.outbox.wake()
        assert await over(house) == ["left"]
        assert [each.id for each in house.channel.history()] == [message.id]
