"""A private chat: ask, watch, press, browse, in two languages."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from bot.texts import say
from inference import wire
from tests.bot.telegram.house import UNIT, House, Painter
from tests.fakes.engine import drawn
from tests.fakes.telegram import Message


async def asked(here: House, text: str = "/imagine a red fox --n 4 --seed 7") -> Message:
    """What Ana gets for it."""
    ana = here.tele.world.person("Ana")
    ana.say(text)
    return await here.tele.picture(ana.private)


async def test_a_wish_becomes_one_message_that_turns_into_its_picture(here: House) -> None:
    """The placeholder is edited: whatever is lost on the way, there is one message."""
    async with here.bot(Painter(seconds=0.1)):
        message = await asked(here)
    assert message.chat.ours == [message]
    assert message.styled("code") == ["a red fox"]
    assert "builtin" in message.caption
    assert "7–10" in message.caption
    assert message.history, "there was a placeholder"
    methods = [call.method for call in here.tele.made()]
    assert methods[0] == "sendMessage"
    assert methods[-1] == "editMessageMedia"
    assert set(methods[1:-1]) <= {"editMessageText"}, "progress, on a slow machine"


@pytest.mark.parametrize(("language", "word"), [("en", "Cancel"), ("es", "Cancelar"), ("pt-br", "Cancel")])
async def test_everybody_is_answered_in_their_language(here: House, language: str, word: str) -> None:
    ana = here.tele.world.person("Ana", language)
    async with here.bot(Painter(seconds=0.5)):
        ana.say("a red fox")
        await here.tele.until(lambda: ana.private.ours)
        assert word in ana.private.ours[0].labels
        message = await here.tele.picture(ana.private)
    assert say(language, "fact.seed") in message.caption


async def test_every_button_of_a_grid_answers(here: House) -> None:
    async with here.bot():
        message = await asked(here)
        chat, world = message.chat, here.tele.world
        ana = world.people[chat.id]
        for number, label in enumerate(("U1", "V2", "🔄"), 2):
            query = ana.press(message, label)
            picture = await here.tele.picture(chat, number)
            assert picture.labels[-2:] == message.labels[-2:]
            await here.tele.until(partial(world.answers.get, query))
        before = len(chat.ours)
        ana.press(message, "🔎")
        details = await here.tele.until(lambda: chat.ours[before:])
        assert details[0].styled("bold")[0] == say("en", "details.title", job=1)
        assert any(line.startswith("/imagine a red fox") for line in details[0].styled("code"))


async def test_a_star_can_be_taken_back_where_it_was_given(here: House) -> None:
    async with here.bot():
        message = await asked(here)
        ana = here.tele.world.people[message.chat.id]
        ana.press(message, "⭐")
        answer = await here.tele.until(lambda: message.chat.ours[1:])
        ana.press(answer[0], say("en", "button.unstar"))
        await here.tele.until(lambda: answer[0].history)
        assert answer[0].text == say("en", "star.off", n=4)
        assert len(message.chat.ours) == 2


async def test_deleting_asks_once_and_the_question_becomes_the_answer(here: House) -> None:
    async with here.bot():
        message = await asked(here)
        ana = here.tele.world.people[message.chat.id]
        ana.press(message, "🗑")
        question = (await here.tele.until(lambda: message.chat.ours[1:]))[0]
        assert question.buttons[0]["style"] == "danger"
        ana.press(question, say("en", "button.delete_sure"))
        await here.tele.until(lambda: question.text == say("en", "delete.done", n=4))
        assert not question.buttons
        query = ana.press(message, "U1")
        await here.tele.until(lambda: query in here.tele.world.answers)
        assert here.tele.world.answers[query]["show_alert"], "a refusal is an alert"


async def test_the_prompt_is_edited_by_replying(here: House) -> None:
    """There is no text box on Telegram: the question is replied to, also after a restart."""
    async with here.bot():
        message = await asked(here)
        ana = here.tele.world.people[message.chat.id]
        ana.press(message, "✏️")
        question = (await here.tele.until(lambda: message.chat.ours[1:]))[0]
        assert question.markup
        assert question.markup["force_reply"]
        assert question.styled("code") == ["a red fox"]
    async with here.bot():
        ana.say("a blue fox", to=question)
        remixed = await here.tele.picture(message.chat, 2)
    assert remixed.styled("code") == ["a blue fox"]


async def test_buttons_work_after_a_restart(here: House) -> None:
    """A button is an ask not yet pressed: it needs nobody's memory."""
    async with here.bot():
        message = await asked(here)
    async with here.bot():
        here.tele.world.people[message.chat.id].press(message, "V1")
        await here.tele.picture(message.chat, 2)


async def test_the_gallery_is_an_album_and_one_message_with_its_buttons(here: House) -> None:
    async with here.bot():
        message = await asked(here)
        ana = here.tele.world.people[message.chat.id]
        ana.say("/gallery")
        page = await here.tele.until(lambda: [m for m in message.chat.ours if "#1.1" in " ".join(m.labels)])
        album = [each for each in message.chat.ours if each.album]
        assert len(album) == 4
        assert all(not each.buttons for each in album)
        ana.press(page[0], "#1.3")
        alone = await here.tele.picture(message.chat, 6)
    assert "9" in alone.caption, "the third picture has the third seed"


async def test_the_original_comes_as_a_file_byte_for_byte(here: House) -> None:
    async with here.bot() as app:
        ana = here.tele.world.person("Ana")
        ana.say("a red fox --n 1")
        message = await here.tele.picture(ana.private)
        ana.press(message, say("en", "button.original"))
        sent = await here.tele.picture(ana.private, 2)
        assert sent.file
        assert sent.file.kind == "document"
        kept = [path.read_bytes() for path in app.files.folder.glob("??/*.png")]
        assert sent.file.data in kept


async def test_a_word_that_is_refused_says_what_to_do_and_costs_nothing(here: House) -> None:
    ana = here.tele.world.person("Ana", "es")
    async with here.bot():
        ana.say("/imagine fox --stepz 3")
        answer = (await here.tele.until(lambda: ana.private.ours))[0]
    assert answer.text.startswith("✋ ")
    assert "\n" in answer.text
    assert len(ana.private.ours) == 1


async def test_a_cancelled_wish_says_so_where_it_stood(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot(Painter(seconds=30)):
        ana.say("a red fox")
        waiting = (await here.tele.until(lambda: ana.private.ours))[0]
        query = ana.press(waiting, "Cancel")
        await here.tele.until(lambda: not waiting.buttons)
        await here.tele.until(lambda: query in here.tele.world.answers)
    assert say("en", "cancel.done", job=1) in waiting.text
    assert here.tele.world.answers[query]["text"] == say("en", "cancel.done", job=1)
    assert ana.private.ours == [waiting]


async def test_nothing_is_said_at_the_start(here: House) -> None:
    here.tele.world.person("Ana")
    here.tele.world.group("Friends")
    async with here.bot():
        await asyncio.sleep(0.3)
    assert here.tele.made() == []


async def test_progress_is_shown_ever_more_rarely(here: House) -> None:
    """A job of 30 s takes at most six requests, its picture included; the bar moves meanwhile."""

    class Slow(Painter):
        async def _draw(self, draw: wire.Draw) -> None:
            for done in range(1, 100):
                await self.say(wire.Progress(job=draw.job, attempt=draw.attempt, done=done, total=100))
                await asyncio.sleep(0.3 * UNIT)
            await self.say(drawn(draw))

    ana = here.tele.world.person("Ana")
    async with here.bot(Slow()):
        ana.say("a red fox")
        message = await here.tele.picture(ana.private)
    bars = [text for text in message.history if "▰" in text]
    assert 2 <= len(bars) <= 3, "after 5, 15 (and 35) seconds"
    assert bars[0].count("▰") < bars[1].count("▰")
    assert len(here.tele.made()) <= 6


async def test_commands_are_offered_by_scope_and_language_and_only_when_they_changed(here: House) -> None:
    def menus() -> int:
        return len([call for call in here.tele.calls if call.method == "setMyCommands"])

    async with here.bot():
        await here.tele.until(lambda: menus() == 6)
    async with here.bot():
        await here.tele.until(lambda: len([c for c in here.tele.calls if c.method == "getMyCommands"]) == 12)
    assert menus() == 6
    known = here.tele.methods.commands
    assert set(known) == {
        f"{scope}/{language}"
        for scope in ("all_private_chats", "all_group_chats", "all_chat_administrators")
        for language in ("", "es")
    }
    assert known["all_private_chats/es"][0]["description"] == say("es", "command.imagine.summary")
    assert "link" not in {each["command"] for each in known["all_group_chats/"]}
