"""Pictures in, files out, inline, by webhook."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pillow

from bot.adapters.telegram import Telegram
from bot.adapters.telegram.house import House as Rest
from bot.config import Telegram as Settings
from bot.talk import Attachment, Image, Reply
from bot.texts import say
from storage import gallery, jobs, outbox
from storage.database import Connection
from storage.refusal import Refusal
from tests.bot.telegram.house import House
from tests.fakes.engine import png
from tests.fakes.telegram import BOT_NAME, File, Person


def photo(here: House, claims: int = 0) -> File:
    file = io.BytesIO()
    Pillow.new("RGB", (200, 200), (200, 60, 20)).save(file, "JPEG")
    number = next(here.tele.world.numbers)
    return here.tele.world.keep(File(f"photo{number}", "photo", file.getvalue(), 200, 200, claims=claims))


async def begun(here: House) -> None:
    """The first job began with the picture that came."""
    request = (await here.job(1)).request
    assert request.source
    assert 0 < request.strength < 1


async def test_a_photo_with_a_caption_is_what_it_begins_with(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot():
        ana.say("/imagine a red fox --strength 0.5", photo=photo(here))
        await here.tele.picture(ana.private)
        await begun(here)


async def test_in_a_group_a_caption_may_be_a_command(here: House) -> None:
    ana, group = here.tele.world.person("Ana"), here.tele.world.group("Friends")
    async with here.bot():
        ana.say(f"/imagine@{BOT_NAME} a red fox", group, photo=photo(here))
        await here.tele.picture(group)
        await begun(here)


async def test_words_in_reply_to_a_picture_begin_with_it(here: House) -> None:
    ana, beto, group = *(here.tele.world.person(n) for n in ("Ana", "Beto")), here.tele.world.group("Friends")
    async with here.bot():
        shown = beto.say("look!", group, photo=photo(here))
        ana.say("/imagine a red fox", group, to=shown)
        await here.tele.picture(group)
        await begun(here)


async def test_a_picture_without_words_is_told_what_to_do(here: House) -> None:
    ana = here.tele.world.person("Ana", "es")
    async with here.bot():
        ana.say("", photo=photo(here))
        answer = (await here.tele.until(lambda: ana.private.ours))[0]
    assert answer.text == say("es", "telegram.wordless")


@pytest.mark.parametrize("claims", [20_000_001, 30_000_000])
async def test_a_picture_over_the_limit_is_refused_and_costs_nothing(here: House, claims: int) -> None:
    ana = here.tele.world.person("Ana")
    file = photo(here, claims)
    async with here.bot():
        ana.say("/imagine a red fox", photo=file)
        answer = (await here.tele.until(lambda: [m for m in ana.private.ours if m.text.startswith("✋")]))[0]
    assert "MiB" in answer.text
    assert not [each for each in ana.private.ours if each.file]


async def test_a_file_that_telegram_does_not_give_is_a_sentence(here: House) -> None:
    async with here.bot():
        assert here.adapter
        with pytest.raises(Refusal, match="picture_unreachable"):
            await here.adapter.fetch(Attachment("nothing"), 1_000_000)
        too_large = photo(here, 25_000_000)
        with pytest.raises(Refusal, match="picture_too_large"):
            await here.adapter.fetch(Attachment(too_large.id), 100_000_000)


async def show(here: House, who: Person, reply: Reply) -> None:
    assert here.adapter
    await here.adapter.show(f"telegram:{who.id}", reply)


async def test_an_album_of_ten_and_its_buttons(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot():
        images = tuple(Image(png(16, 16, number), f"{number}.png") for number in range(10))
        await show(here, ana, Reply(title="Ten", images=images))
    assert len([m for m in ana.private.ours if m.album]) == 10
    assert ana.private.ours[-1].text == "Ten"


async def test_a_picture_too_steep_or_large_for_a_photo_comes_as_a_file(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot():
        await show(here, ana, Reply(images=(Image(png(420, 20, 1), "steep.png"),)))
        await show(here, ana, Reply(images=(Image(png(9_990, 600, 1), "wide.png"),)))
        heavy = png(64, 64, 1) + b"\0" * 10_500_000
        await show(here, ana, Reply(images=(Image(heavy, "heavy.png"),)))
        await show(here, ana, Reply("here", images=(Image(png(64, 64, 1), "x.png", spoiler=True),)))
    kinds = [each.file.kind for each in ana.private.ours if each.file]
    assert kinds == ["document", "document", "document", "photo"]
    assert ana.private.ours[-1].spoiler


async def test_a_file_too_large_for_telegram_is_said_to_be(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot():
        huge = Image(b"\x89PNG\r\n\x1a\n" + b"\0" * 50_000_001, "huge.png", exact=True)
        await show(here, ana, Reply("The file", images=(huge,)))
    assert not ana.private.ours[0].file
    assert "50 MB" in ana.private.ours[0].text


# --- inline


async def test_inline_offers_a_person_their_own_pictures(here: House) -> None:
    ana, beto = here.tele.world.person("Ana"), here.tele.world.person("Beto")
    queries = here.tele.world.queries
    async with here.bot():
        ana.say("a red fox --n 1")
        await here.tele.picture(ana.private)
        ana.say("a blue whale --n 1")
        await here.tele.picture(ana.private, 2)

        async def offered(who: Person, words: str) -> list[str]:
            query = who.inline(words)
            answer = await here.tele.until(lambda: queries[query])
            assert answer["is_personal"]
            assert ("button" in answer) == (not answer["results"])
            return [each["caption"] for each in answer["results"]]

        async with asyncio.timeout(60):  # what Telegram calls a picture is noted after it is shown
            while await offered(ana, "") != ["a blue whale", "a red fox"]:
                await asyncio.sleep(0.05)
        assert await offered(ana, "RED") == ["a red fox"]
        assert await offered(beto, "") == []
        ana.say("/imagine", photo=here.tele.world.files[next(iter(here.tele.world.files))], via=True)
        await here.tele.until(lambda: not here.tele.world.updates)
    jobs = [call for call in here.tele.made() if call.method == "sendMessage"]
    assert len(jobs) == 2, "what somebody shares through us is no wish"


async def test_what_was_deleted_is_not_offered(here: House) -> None:
    ana, queries = here.tele.world.person("Ana"), here.tele.world.queries
    async with here.bot():
        ana.say("a red fox --n 1")
        drawn = await here.tele.picture(ana.private)
        ana.press(drawn, "🗑")
        question = (await here.tele.until(lambda: ana.private.ours[1:]))[0]
        ana.press(question, say("en", "button.delete_sure"))
        await here.tele.until(lambda: not question.buttons)
        query = ana.inline("")
        assert (await here.tele.until(lambda: queries[query]))["results"] == []


# --- webhook


async def test_by_webhook_an_update_is_taken_when_it_is_safe(here: House) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here.settings = {"webhook": "https://pictures.example.org/hook", "webhook_port": port}
    to = f"http://127.0.0.1:{port}/hook"
    ana = here.tele.world.person("Ana")
    async with here.bot():
        await here.tele.until(lambda: here.tele.methods.webhook)
        ana.say("a red fox")
        assert await here.tele.push(to, secret="forged") == [401]
        assert await here.tele.push(to) == [200]
        await here.tele.picture(ana.private)
        assert await here.tele.push(to) == []
    async with here.bot():
        await here.tele.until(lambda: len([c for c in here.tele.calls if c.method == "setWebhook"]) == 2)
    here.settings = {}
    async with here.bot():
        ana.say("a blue fox")
        await here.tele.picture(ana.private, 2)
    assert not here.tele.methods.webhook, "polling takes it away"


async def test_a_taken_port_is_said_and_stops_nothing(here: House, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        here.settings = {"webhook": "https://pictures.example.org/hook", "webhook_port": port}
        async with here.bot() as app:
            await here.until(lambda: here.told)
            assert app.dispatch
    assert str(port) in here.told[0]


def test_without_a_token_there_is_no_telegram(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no token"):
        Telegram(Settings(), Rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("private", outbox.redraw),
        ("group", outbox.redraw),
        ("private", lambda tx, job: outbox.again(tx, job, 0.0)),
    ],
)
async def test_what_is_covered_or_deleted_later_changes_in_its_message(
    here: House, where: str, change: Callable[[Connection, int], None]
) -> None:
    """A picture never becomes a text: an empty one stands there, with a sentence."""
    ana = here.tele.world.person("Ana")
    chat = here.tele.world.group("Friends") if where == "group" else ana.private
    async with here.bot() as app:
        ana.say(f"/imagine@{BOT_NAME} a red fox" if where == "group" else "/imagine a red fox", chat)
        message = await here.tele.picture(chat)
        count, file = len(chat.ours), message.file
        assert not message.spoiler
        for shown, spoiler in (("spoiler", True), ("", False)):
            await app.database.write(jobs.show_as, 1, shown)
            app.outbox.wake()
            while message.spoiler is not spoiler:
                await asyncio.sleep(0.005)
        await app.database.write(jobs.show_as, 1, "withheld")
        app.outbox.wake()
        await here.until(lambda: say("en", "finished.withheld") in message.said)
        assert message.file
        assert message.file != file
        await app.database.write(gallery.delete, 1)
        await app.database.write(change, 1)
        app.outbox.wake()
        await here.until(lambda: say("en", "finished.deleted") in message.said)
        assert len(chat.ours) == count


@pytest.mark.parametrize("change", [outbox.redraw, lambda tx, job: outbox.again(tx, job, 0.0)])
async def test_a_long_prompt_fits_under_what_takes_a_pictures_place(
    here: House, change: Callable[[Connection, int], None]
) -> None:
    """A caption has a quarter of a message's room: Telegram refused it, and the picture stayed there."""
    ana = here.tele.world.person("Ana")
    async with here.bot() as app:
        ana.say(f"/imagine {'a red fox ' * 300} --n 1")
        message = await here.tele.picture(ana.private)
        count, file = len(ana.private.ours), message.file
        async with asyncio.timeout(60):
            while await app.database.read(outbox.next_due) is not None:
                await asyncio.sleep(0.01)
        (piece,) = await app.database.read(gallery.of_job, 1)
        app.files.path(piece.digest).unlink()
        await app.database.write(change, 1)
        app.outbox.wake()
        await here.until(lambda: say("en", "refusal.picture_gone") in message.said)
        assert message.file != file
        assert message.styled("code")[0].startswith("a red fox a red fox")
        assert len(ana.private.ours) == count


async def test_a_message_that_is_gone_is_not_sent_again_to_cover_it(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot() as app:
        ana.say("/imagine a red fox")
        message = await here.tele.picture(ana.private)
        message.delete()
        count = len(ana.private.ours)
        await app.database.write(jobs.show_as, 1, "spoiler")
        app.outbox.wake()
        async with asyncio.timeout(60):
            while await app.database.read(outbox.next_due) is not None:
                await asyncio.sleep(0.01)
        assert len(ana.private.ours) == count
        assert await app.database.read(outbox.missed, (await here.job(1)).account) == ()
