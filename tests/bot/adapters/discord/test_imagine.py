"""From /imagine to the pictures and everything one does with them, in a server in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.adapters.discord import files
from bot.adapters.discord.place import MIB, Address
from bot.commands.again import Again
from bot.talk import Button, Image, Reply
from inference.request import MAX_COUNT
from storage import matters
from storage.jobs import Status
from storage.refusal import Refusal
from tests.bot.adapters.discord.server import buttons, labels, media, parts, said, server
from tests.fakes.engine import FakeEngine, png


async def test_an_ask_is_answered_and_its_pictures_come_into_the_same_message(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(prompt="a red fox", n=4)
        assert len(house.channel.history()) == 1
        assert "`a red fox`" in said(message)
        assert [each["description"] for each in media(message)] == ["a red fox"]
        assert labels(message)[:8] == ["U1", "U2", "U3", "U4", "V1", "V2", "V3", "V4"]
        assert all(len(each["custom_id"]) <= 100 for each in buttons(message))
        for fact in ("Model: builtin", "Seed:", "Cost: 4 credits", "Drawn in:"):
            assert fact in said(message)


async def test_the_first_answer_says_cost_place_and_a_time_that_counts_down_by_itself(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        result = await house.join("ana").slash(house.channel, "imagine", prompt="a red fox")
        answer = await house.answer(result)
        assert not result.deferred
        assert "Cost: 4 credits" in said(answer)
        assert "Ready <t:" in said(answer)
        assert ":R>" in said(answer)
        assert labels(answer) == ["Cancel"]


async def test_the_file_that_arrives_is_the_one_that_was_drawn(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=1, seed=5)
        assert await message.attachments[0].read() == png(64, 64, 5)


@pytest.mark.parametrize(("label", "shows"), [("U2", 1), ("V3", 1), ("🔄", 1)])
async def test_a_button_draws_for_whoever_presses_it_in_a_message_of_its_own(
    tmp_path: Path, label: str, shows: int
) -> None:
    async with server(tmp_path) as house:
        first = await house.imagine(n=4)
        drawn = await house.pictures(await house.press(first, label, "bea"))
        assert drawn.id != first.id
        assert len(media(drawn)) == shows
        assert f"<@{house.join('bea').id}>" in said(drawn), "Discord does not say who pressed"
        assert not drawn.message.mentions_everyone if hasattr(drawn.message, "mentions_everyone") else True
        assert (await house.job(2)).parent == 1


async def test_details_star_and_delete_are_for_those_who_press_alone(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=4)
        details = await house.answer(await house.press(message, "🔎"))
        assert details.ephemeral
        assert "`/imagine prompt:a red fox --seed " in said(details), "a line to copy, as Discord reads it"
        star = await house.answer(await house.press(message, "⭐"))
        assert star.ephemeral
        gone = await house.press(star, "Take the star back")
        assert "The 4 stars are gone." in said(await house.answer(gone))
        assert gone.response.id == star.id, "the answer takes the place of its question"
        sure = await house.answer(await house.press(message, "🗑"))
        done = await house.press(sure, "Yes")
        assert "gone" in said(await house.answer(done))
        await house.until(lambda: "These pictures were deleted" in said(house.channel.history()[0]))
        assert labels(house.channel.history()[0]) == [], "its message says so, to everybody"


async def test_somebody_else_may_draw_from_it_but_not_delete_it(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=4)
        for label in ("⭐", "🗑"):
            refused = await house.answer(await house.press(message, label, "bea"))
            assert refused.ephemeral
            assert "it is not yours" in said(refused)
        await house.pictures(await house.press(message, "V1", "bea"))
        assert media(message)


async def test_edit_opens_a_form_with_the_words_and_draws_what_is_sent(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        first = await house.imagine(prompt="a red fox", no="trees", n=1)
        shown = await house.press(first, "✏️", "bea")
        (blank,) = shown.modal["components"]
        assert blank["component"]["value"] == "a red fox --no trees"
        sent = await house.join("bea").submit_modal(shown, {"prompt": "a blue fox --n 2"})
        drawn = await house.pictures(sent)
        assert "`a blue fox`" in said(drawn)
        assert (await house.job(2)).request.count == 2


async def test_a_form_that_was_opened_before_a_restart_can_still_be_sent(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        shown = await house.press(await house.imagine(n=1), "✏️")
        await house.restart()
        drawn = await house.pictures(await house.join("ana").submit_modal(shown, {"prompt": "a blue fox"}))
        assert "`a blue fox`" in said(drawn)


async def test_buttons_work_next_month(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=4)
        await house.env.advance_time(31 * 86_400)
        await house.restart()
        for label in ("V1", "🔄"):
            assert media(await house.pictures(await house.press(message, label)))


async def test_cancel_stops_it_and_says_so_where_it_was(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        result = await house.join("ana").slash(house.channel, "imagine", prompt="a red fox")
        message = await house.answer(result)
        stopped = await house.answer(await house.press(message, "Cancel"))
        assert stopped.ephemeral
        await house.until(lambda: "#1 is cancelled" in said(result.response) and not buttons(result.response))
        assert (await house.job(1)).status is Status.CANCELLED


async def test_the_gallery_turns_its_pages_in_place(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        await house.imagine(prompt="a fox", n=4)
        await house.imagine(prompt="an owl", n=4)
        result = await house.join("ana").slash(house.channel, "gallery")
        page = await house.answer(result)
        assert page.ephemeral
        assert [each["description"] for each in media(page)] == ["an owl"] * 4
        await house.press(page, "Older")
        await house.until(lambda: media(result.response)[0]["description"] == "a fox")
        assert len(house.channel.history(viewer=house.join("ana"))) == 3
        one = await house.pictures(await house.press(result.response, "#1.2"))
        assert one.ephemeral, "what begins in private stays there"


async def test_image_info_in_a_message_s_menu_says_how_it_was_drawn(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=1)
        bea = house.join("bea")
        info = await house.answer(await bea.context_menu(house.channel, "Image info", message.message))
        assert info.ephemeral
        assert "How #1 was drawn" in said(info)
        other = await bea.send(house.channel, "hello")
        none = await house.answer(await bea.context_menu(house.channel, "Image info", other))
        assert "no picture of mine" in said(none)


async def test_report_in_a_message_s_menu_asks_a_moderator_to_look(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=1)
        bea = house.join("bea", "es-ES")
        told = await house.answer(await bea.context_menu(house.channel, "Report", message.message))
        assert told.ephemeral
        assert "Gracias. Lo verá quien modera." in said(told)
        opened = await house.app.database.read(matters.opened, f"discord:{house.guild.id}", 5)
        assert [(each.kind, each.job) for each in opened] == [("report", 1)]
        other = await bea.send(house.channel, "hello")
        none = await house.answer(await bea.context_menu(house.channel, "Report", other))
        assert "no hay ninguna imagen mía" in said(none)
        assert len(await house.app.database.read(matters.opened, f"discord:{house.guild.id}", 5)) == 1


async def test_an_entry_of_a_menu_that_is_not_ours_any_more_says_so(tmp_path: Path) -> None:
    """Discord shows an old menu for a while after another version of the bot was started."""
    async with server(tmp_path) as house:
        with pytest.raises(Refusal, match="bad_button"):
            house.bot.adapter.house.menu("", ["details:1"])


async def test_two_people_in_two_languages_at_once(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        ana, eva = house.join("ana"), house.join("eva", "es-419")
        english = await house.answer(await ana.slash(house.channel, "imagine", prompt="a fox"))
        spanish = await house.answer(await eva.slash(house.channel, "imagine", prompt="un zorro"))
        assert "Got it" in said(english)
        assert labels(english) == ["Cancel"]
        assert "¡Marchando!" in said(spanish)
        assert "Lista <t:" in said(spanish)
        assert labels(spanish) == ["Cancelar"]
        about = said(await house.answer(await eva.slash(house.channel, "help")))
        assert "**/galería**" in about, "as their menu calls it"
        assert "/gallery" not in about


async def test_in_the_conversation_with_the_bot_pictures_stay(tmp_path: Path) -> None:
    """What only one person sees vanishes with their Discord; there, nobody else is."""
    async with server(tmp_path) as house:
        house.join("ana")
        user = house.people["ana"].user
        message = await house.pictures(await user.slash("imagine", prompt="a red fox", private=True))
        assert not message.ephemeral
        assert media(message)


async def test_the_original_is_a_file_to_keep_byte_for_byte(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(n=1, seed=5)
        file = await house.answer(await house.press(message, "Original"))
        assert [each["type"] for each in parts(file)].count(13) == 1
        assert media(file) == []
        assert await file.attachments[0].read() == png(64, 64, 5)


@pytest.mark.parametrize("room", [10 * MIB, 100], ids=["room", "tight"])
async def test_an_album_of_ten_is_one_message_with_its_words_and_buttons(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord shows ten; an eleventh is left out, and what is too large together comes smaller."""
    async with server(tmp_path) as house:
        ana = house.join("ana")
        monkeypatch.setattr(files, "REQUEST", 10 * room)
        images = tuple(
            Image(png(64, 64, number), f"{number}.png", alt=f"fox {number}") for number in range(11)
        )
        reply = Reply("Ten of them", title="Album", images=images, buttons=((Button("🔄", Again(1)),),))
        await house.bot.adapter.show(Address(house.channel.id, ana.id).place, reply)
        (message,) = house.channel.history()
        assert [each["description"] for each in media(message)] == [f"fox {number}" for number in range(10)]
        assert labels(message) == ["🔄"]
        assert "Ten of them" in said(message)
        sent = [await each.read() for each in message.attachments]
        assert (sent == [image.data for image in images[:10]]) is (room == 10 * MIB)
        assert all(len(each) <= room for each in sent)


async def test_the_most_of_one_ask_comes_as_its_grid_and_each_picture_alone(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        grid = await house.imagine(n=MAX_COUNT)
        assert len(media(grid)) == 1
        assert [label for label in labels(grid) if label[0] in "UV"] == [
            "U1",
            "U2",
            "U3",
            "U4",
            "V1",
            "V2",
            "V3",
            "V4",
        ]
        page = await house.answer(await house.join("ana").slash(house.channel, "gallery"))
        assert len(media(page)) == MAX_COUNT


async def test_settings_are_changed_in_a_form(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        ana = house.join("ana")
        page = await house.answer(await ana.slash(house.channel, "settings", steps=3, n=2))
        shown = await house.press(page, "✏️")
        blanks = {each["component"]["custom_id"]: each["component"] for each in shown.modal["components"]}
        assert list(blanks) == ["model", "style", "n", "ar", "no"]
        assert next(o["value"] for o in blanks["n"]["options"] if o["default"]) == "2"
        values = {"model": ["builtin"], "style": ["flat"], "n": ["-"], "ar": "3:2", "no": "trees"}
        saved = await ana.submit_modal(shown, values)
        text = said(await house.answer(saved))
        assert "Saved." in text
        for line in ("**Style**  flat", "**Width : height**  3:2", "**Without**  trees", "**Steps**  3"):
            assert line in text
        assert "**Pictures**  as usual" in text
