"""Groups, topics, and everybody asking at once."""

from __future__ import annotations

import asyncio

import pytest

from bot.texts import say
from storage import accounts
from tests.bot.telegram.house import House, Painter
from tests.bot.telegram.house import house as a_house
from tests.fakes.telegram import BOT_NAME, Message


async def test_a_group_is_answered_where_it_asked_and_to_whom(here: House) -> None:
    ana, group = here.tele.world.person("Ana"), here.tele.world.group("Friends")
    async with here.bot():
        asked = ana.say(f"/imagine@{BOT_NAME} a red fox", group)
        drawn = await here.tele.picture(group)
    assert drawn.to is asked
    assert drawn.styled("text_mention") == ["Ana"]
    assert drawn.styled("code") == ["a red fox"]


@pytest.mark.parametrize("text", ["a red fox", "/imagine@somebody_else a fox", "/roll 20", "@somebody fox"])
async def test_what_is_not_said_to_us_is_not_answered(here: House, text: str) -> None:
    ana, group = here.tele.world.person("Ana"), here.tele.world.group("Friends")
    here.tele.world.privacy = False
    async with here.bot():
        ana.say(text, group)
        await here.tele.until(lambda: not here.tele.world.updates)
        await asyncio.sleep(0.1)
    assert not group.ours
    assert not ana.private.ours


async def test_a_word_to_us_by_name_is_a_wish(here: House) -> None:
    ana, group = here.tele.world.person("Ana"), here.tele.world.group("Friends")
    here.tele.world.privacy = False
    async with here.bot():
        ana.say(f"@{BOT_NAME} a red fox", group)
        drawn = await here.tele.picture(group)
    assert drawn.styled("code") == ["a red fox"]


async def test_thanks_in_reply_to_a_picture_is_no_wish(here: House) -> None:
    ana, group = here.tele.world.person("Ana"), here.tele.world.group("Friends")
    async with here.bot():
        ana.say("/imagine a red fox", group)
        drawn = await here.tele.picture(group)
        ana.say("thank you!", group, to=drawn)
        await here.tele.until(lambda: not here.tele.world.updates)
        await asyncio.sleep(0.1)
    assert len(group.ours) == 1


async def test_a_topic_is_always_passed_back(here: House) -> None:
    world = here.tele.world
    ana, group = world.person("Ana"), world.group("Friends", forum=True)
    topic = world.topic(group)
    async with here.bot():
        ana.say("/imagine a red fox", group, topic=topic)
        drawn = await here.tele.picture(group)
        ana.press(drawn, "V1")
        again = await here.tele.picture(group, 2)
    assert (drawn.topic, again.topic) == (topic, topic)
    assert again.to is drawn, "who presses is answered under what they pressed"


async def test_somebody_else_presses_and_gets_what_is_theirs(here: House) -> None:
    """A public picture may be varied by anybody; only its owner deletes it."""
    world = here.tele.world
    ana, beto, group = world.person("Ana"), world.person("Beto", "es"), world.group("Friends")
    async with here.bot() as app:
        ana.say("/imagine a red fox", group)
        drawn = await here.tele.picture(group)
        query = beto.press(drawn, "🗑")
        await here.tele.until(lambda: query in world.answers)
        assert world.answers[query]["text"].startswith(say("es", "refusal.no_job", job=1))
        assert world.answers[query]["show_alert"]
        beto.press(drawn, "V1")
        varied = await here.tele.picture(group, 2)
        assert varied.styled("text_mention") == ["Beto"]
        assert say("es", "fact.seed") in varied.caption
        jobs = [await here.job(1), await here.job(2)]
        assert jobs[0].account != jobs[1].account
        assert app


async def test_who_writes_as_the_group_is_told_why_nothing_happens(here: House) -> None:
    """An anonymous administrator; what is not for us stays unanswered."""
    world = here.tele.world
    ana, group = world.person("Ana"), world.group("Friends", forum=True)
    topic = world.topic(group)
    async with here.bot():
        ana.say("/weather", group, topic=topic, anonymous=True)
        asked = ana.say("/mod setup members 20 a day", group, topic=topic, anonymous=True)
        await here.tele.until(lambda: group.ours)
        ana.say("/quota", group)
        await here.tele.until(lambda: ana.private.ours)
    (told,) = group.ours
    assert told.said == say("en", "telegram.anonymous")
    assert (told.to, told.topic) == (asked, topic)


async def test_a_press_of_no_message_is_answered_too(here: House) -> None:
    """Nothing to do about it, but the button stops turning."""
    world = here.tele.world
    ana = world.person("Ana")
    async with here.bot():
        world.update(callback_query={
            "id": "77", "from": ana.json(), "chat_instance": "1", "data": "x", "inline_message_id": "i",
        })  # fmt: skip
        world.pressed_at["77"] = world.clock()
        await here.tele.until(lambda: "77" in world.answers)


async def test_what_is_private_goes_to_the_private_chat(here: House) -> None:
    world = here.tele.world
    ana, group = world.person("Ana"), world.group("Friends")
    async with here.bot():
        ana.say("/quota", group)
        await here.tele.until(lambda: ana.private.ours)
        ana.say("/imagine a red fox --private", group)
        await here.tele.picture(ana.private)
    assert not group.ours


async def test_who_has_no_private_chat_is_asked_to_open_one_and_gets_the_word_there(here: House) -> None:
    world = here.tele.world
    hugo, group = world.person("Hugo", started=False), world.group("Friends")
    async with here.bot():
        hugo.say("/imagine fox --stepz 3", group)
        asked = (await here.tele.until(lambda: group.ours))[0]
        assert "stepz" not in asked.text
        assert asked.buttons[0]["url"] == f"https://t.me/{BOT_NAME}?start=open"
        hugo.say("/start open")
        await here.tele.until(lambda: [m for m in hugo.private.ours if "stepz" in m.text])
        await here.tele.until(lambda: len(hugo.private.ours) == 2)


async def test_a_group_that_moved_gets_its_picture_where_it_is_now(here: House) -> None:
    world = here.tele.world
    ana, group = world.person("Ana"), world.group("Friends", old=True)
    async with here.bot(Painter(seconds=0.4)):
        ana.say("/imagine a red fox", group)
        await here.tele.until(lambda: group.ours)
        new = world.migrate(group)
        drawn = await here.tele.picture(new)
    assert drawn.styled("code") == ["a red fox"]
    assert not [each for each in group.ours if each.file]


@pytest.mark.parametrize("how", ["closed", "muted", "kicked"])
async def test_a_group_that_takes_nothing_more_loses_no_picture(here: House, how: str) -> None:
    """A finished public picture goes to who asked for it."""
    world = here.tele.world
    ana, group = world.person("Ana"), world.group("Friends", forum=True)
    topic = world.topic(group)
    async with here.bot(Painter(seconds=0.4)):
        ana.say("/imagine a red fox", group, topic=topic)
        placeholder = (await here.tele.until(lambda: group.ours))[0]
        if how == "closed":
            group.topics[topic] = "closed"
        group.muted, group.member = how == "muted", how != "kicked"
        if how == "muted":
            placeholder.delete()
        await here.tele.picture(ana.private)
    assert not [each for each in group.ours if each.file]


async def test_an_administrator_is_known_as_one(here: House) -> None:
    world = here.tele.world
    ana, group = world.person("Ana"), world.group("Friends")
    group.admins = {ana.id}
    async with here.bot():
        ana.say("/imagine a red fox", group)
        await here.tele.picture(group)
    assert [call for call in here.tele.calls if call.method == "getChatAdministrators"]


async def test_a_moderator_names_people_by_mention(here: House) -> None:
    world = here.tele.world
    ana, beto, group = world.person("Ana"), world.person("Beto"), world.group("Friends")
    group.admins = {ana.id}
    async with here.bot() as app:
        ana.say("/mod quota give [Beto] 20", group)
        await here.tele.until(lambda: ana.private.ours)
        assert f"telegram:{beto.id}" in ana.private.ours[0].text, ana.private.ours[0].text
        assert await app.database.read(accounts.find, f"telegram:{beto.id}")
        beto.say("/mod quota give [Ana] 20", group)
        refused = await here.tele.until(lambda: beto.private.ours)
        assert refused[0].text.startswith("✋")


# --- many at once


def board(chat_messages: list[Message]) -> list[Message]:
    return [each for each in chat_messages if each.text.startswith(say("en", "telegram.waiting"))]


async def test_in_a_crowd_those_who_wait_stand_on_one_message(here: House) -> None:
    world = here.tele.world
    group, people = world.group("Friends"), [world.person(f"P{number}") for number in range(12)]
    async with here.bot(Painter(credits=1, seconds=0.2)):
        for person in people:
            person.say("/imagine a red fox", group)
        status = (await here.tele.until(lambda: board(group.ours)))[0]
        assert not status.buttons
        assert status.silent
        await here.tele.until(lambda: len([m for m in group.ours if m.file]) == 12, 30)
        await here.tele.until(lambda: not board(group.ours), 10)
    assert here.tele.flood.refused == 0


async def test_a_status_message_survives_a_restart(here: House) -> None:
    """It is the same message, not a second one: nobody reads two truths."""
    world = here.tele.world
    group, people = world.group("Friends"), [world.person(f"P{number}") for number in range(10)]
    async with here.bot(Painter(credits=1, seconds=60)):
        for person in people:
            person.say("/imagine a red fox", group)
        await here.tele.until(lambda: [m for m in board(group.ours) if m.text.count("•") > 2])
        await asyncio.sleep(0.5)
    async with here.bot(Painter(credits=2, seconds=0.1)):
        await here.tele.until(lambda: len([m for m in group.ours if m.file]) == 10, 40)
        await here.tele.until(lambda: not board(group.ours), 10)
    assert here.tele.flood.refused == 0


async def crowd(folder: object, unit: float, people: int) -> House:
    """Everybody in one group asks at once; the house afterwards."""
    async with a_house(folder, unit) as here:  # type: ignore[arg-type]
        world = here.tele.world
        group = world.group("Friends")
        wishers = [world.person(f"P{number}") for number in range(people)]
        async with here.bot(Painter(credits=2, seconds=0.1 * unit)):
            for person in wishers:
                person.say("/imagine a red fox --n 1", group)

            def served() -> bool:
                shown = [m for m in group.ours if m.file]
                return {name for m in shown for name in m.styled("text_mention")} == {p.name for p in wishers}

            await here.tele.until(served, max(600 * unit, 120))
            assert len([m for m in group.ours if m.file]) == people
            assert not [m for m in group.ours if m.text and not board([m])], "no placeholder is left over"
        assert here.tele.flood.refused == 0
        assert here.tele.flood.most(group.id) <= 20
        return here


async def test_thirty_people_at_once_are_all_served_within_the_groups_pace(tmp_path: object) -> None:
    """A minute is three seconds here; the fake counts, and refuses the 21st."""
    await crowd(tmp_path, 0.05, 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_thirty_people_at_once_at_a_quarter_of_the_time(tmp_path: object) -> None:
    """A minute is fifteen seconds: what the machine itself takes weighs little, as in real time."""
    await crowd(tmp_path, 0.25, 30)


async def test_without_its_own_pace_the_crowd_would_be_refused(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same crowd, a bot that counts nothing."""
    from bot.adapters.telegram.pace import Pacer

    monkeypatch.setattr(Pacer, "_start", lambda self, *rest: self._clock())
    with pytest.raises(AssertionError):
        await crowd(tmp_path, 0.05, 30)


async def test_nobody_makes_the_bot_mention_somebody(here: House) -> None:
    """What a refusal says back are its reader's own words, whatever they look like."""
    ana, beto = here.tele.world.person("Ana"), here.tele.world.person("Beto")
    async with here.bot():
        ana.say(f"/imagine a cat --size telegram:{beto.id}")
        refused = await here.tele.until(lambda: ana.private.ours and ana.private.ours[-1])
        assert f"telegram:{beto.id}" in refused.said
        assert refused.styled("text_mention") == []


async def test_a_moderators_reason_calls_nobody_in_the_group(here: House) -> None:
    """It is shown under the picture that was held back; to the moderator alone a person can be tapped."""
    world = here.tele.world
    ana, beto, group = world.person("Ana"), world.person("Beto"), world.group("Friends")
    group.admins = {ana.id}
    async with here.bot():
        ana.say("/imagine a red fox --n 1", group)
        drawn = await here.tele.picture(group)
        ana.say(f"/mod picture 1 hold ask telegram:{beto.id} why", group)
        await here.until(lambda: f"telegram:{beto.id}" in drawn.said)
        assert drawn.styled("text_mention") == ["Ana"]
        told = await here.tele.until(
            lambda: next((each for each in ana.private.ours if "held back" in each.said), None)
        )
        assert f"telegram:{ana.id}" in told.styled("text_mention")


async def test_a_topic_is_known_by_its_name_and_a_person_by_none(here: House) -> None:
    """A moderator names the topic, and mentions somebody, whose name is nowhere kept."""
    world = here.tele.world
    ana, beto, group = world.person("Ana"), world.person("Bartolomeo"), world.group("Friends", forum=True)
    group.admins, topic = {ana.id}, world.topic(group, "Art room")
    async with here.bot() as app:
        ana.say("/mod setup only here, supporters 9", group, topic=topic)
        await here.tele.until(lambda: any("Only in: #Art room" in each.said for each in ana.private.ours))
        ana.say(f"/mod warn [{beto.name}] please be kind", group, topic=topic)
        warned = await here.tele.until(
            lambda: next((each for each in ana.private.ours if "is warned" in each.said), None)
        )
        assert warned.styled("text_mention") == [f"telegram:{beto.id}"], "a tap shows who it is"
        kept = await app.database.read(lambda tx: tx.execute("SELECT name FROM title").fetchall())
        assert kept == [("Art room",)]
        hello = beto.say("hello", group, topic=topic)
        ana.say("/mod role supporters", group, topic=topic, to=hello)
        await here.tele.until(
            lambda: any("has the role @supporters" in each.said for each in ana.private.ours)
        )
