"""A flagged picture, from the engine's verdict to what its person and the moderators see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bot import commands, converse, housekeeping
from bot.commands.finished import finished
from bot.commands.mod.cases import Report
from bot.dispatch import Safety
from bot.talk import Image, Reply
from inference import wire
from storage import accounts, gallery, jobs, ledger, outbox, refs
from storage.jobs import Job
from storage.refusal import Refusal
from tests.fakes import engine as fake
from tests.fakes.engine import DrawingEngine
from tests.fakes.room import button, fitting
from tests.fakes.town import ANA, BEN, MODERATOR, Town, town

SOURCE = "nsfw"


class Checking(DrawingEngine):
    """Draws everything, and says of each picture what the test wants."""

    def __init__(self, *said: float | None) -> None:
        super().__init__()
        self.said = said

    async def hello(self, credits: int = 0, **more: object) -> None:  # noqa: A002 - the wire's word
        state = wire.ModelState(name="builtin", state="ready")
        await self.say(
            wire.Hello(pid=1, device="cpu", dtype="float32", torch="0", models=(state,), safety=SOURCE)
        )
        await self.say(wire.Ready(credits=credits))

    async def _draw(self, draw: wire.Draw) -> None:
        drawn = fake.drawn(draw)
        judged = tuple(
            msgspec.structs.replace(each, unsafe=self.said[each.index % len(self.said)])
            for each in drawn.pictures
        )
        await self.say(msgspec.structs.replace(drawn, pictures=judged))
        await self.say(wire.Ready(credits=1))


@asynccontextmanager
async def checked(folder: Path, *said: float | None) -> AsyncIterator[Town]:
    """A town whose engine says so of its pictures."""
    async with town(folder, engine=Checking(*said)) as made:
        made.app.dispatch._safety = Safety(SOURCE, 0.7)
        yield made
        assert await made.app.database.read(ledger.audit) == ()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with checked(tmp_path, 0.1, 0.9) as made:
        yield made


async def _drawn(here: Town, **more: object) -> tuple[Job, Reply]:
    replies = await here.say(ANA, "/imagine fox --n 2", **more)
    assert replies[0].job
    job = await here.room.job(replies[0].job)
    return job, fitting(await finished(job, here.app))


async def test_flagged_pictures_are_not_shown_nor_charged_and_can_be_appealed(here: Town) -> None:
    """The whole way: a sentence and a button, a card, a moderator's word, and the pictures for nothing."""
    await here.say(ANA, "/quota")
    before = await here.room.balance(ANA)
    job, reply = await _drawn(here)
    assert reply.images == ()
    assert "safety check" in reply.text
    assert "othing" in reply.text, "it says that it cost nothing"
    assert await here.room.balance(ANA) == before
    said = await here.press(reply, "Appeal", ANA)
    assert said.private
    with pytest.raises(Refusal, match="already_appealed"):
        await here.press(reply, "Appeal", ANA)
    cases = await here.mod("cases")
    assert "safety check withheld #1" in dict(cases.fields)["1"]
    await here.press(cases, "It is fine")
    shown = await finished(await here.room.job(job.id), here.app)
    assert len(shown.images) == 1
    assert dict(shown.fields)["Cost"] == "0 credits"
    assert await here.room.balance(ANA) == before
    assert [each.job for each in await here.app.database.read(outbox.due, here.clock[0] + 1, 9)] == [job.id]


async def test_what_a_moderator_holds_back_after_the_check_is_told_as_theirs(here: Town) -> None:
    """With their reason, and no second look at what the check said; the check's again when it is undone."""
    job, reply = await _drawn(here)
    contested = commands.pack(button(reply, "Appeal").ask)
    await here.mod("picture 1 show")
    held = await here.mod("picture 1 hold too crude")
    said = await finished(await here.room.job(job.id), here.app)
    assert "too crude" in said.text
    assert "safety check" not in said.text
    assert not said.buttons
    for ask, code in ((contested, "no_matter"), ("original:1:0", "held_back")):
        with pytest.raises(Refusal) as caught:
            await here.say(ANA, commands.unpack(ask))
        assert caught.value.code == code
    await here.press(held, "Undo")
    await here.mod("undo")
    again = await finished(await here.room.job(job.id), here.app)
    assert "safety check" in again.text
    await here.press(again, "Appeal", ANA)


@pytest.mark.parametrize(("way", "spoiler"), [("Cover it", True), ("Remove it", False)])
async def test_moderators_may_cover_or_remove_what_was_withheld(here: Town, way: str, spoiler: bool) -> None:
    job, reply = await _drawn(here)
    await here.press(reply, "Appeal", ANA)
    await here.press(await here.mod("cases"), way)
    shown = await finished(await here.room.job(job.id), here.app)
    assert [each.spoiler for each in shown.images] == ([True] if spoiler else [])


@pytest.mark.parametrize("text", ["/original 1.1", "/upscale 1.1", "/vary 1.1", "/imagine fox --from 1.1"])
async def test_nothing_gets_at_what_is_withheld(here: Town, text: str) -> None:
    """Not even its own person, by any button that they could forge."""
    await _drawn(here)
    name, _, spot = text.removeprefix("/").partition(" ")
    ask = text if spot.startswith("fox") else commands.unpack(f"{name}:1:0")
    for who in (ANA, BEN):
        with pytest.raises(Refusal) as caught:
            await here.say(who, ask)
        assert caught.value.code == ("withheld" if who == ANA else "no_job")
    assert (await here.say(ANA, "/gallery"))[-1].images == ()


async def test_a_community_covers_them_or_lets_them_be(here: Town) -> None:
    await here.mod("community --nsfw spoiler")
    job, reply = await _drawn(here)
    assert [each.spoiler for each in reply.images] == [True]
    assert job.charged > 0
    await here.mod("community --nsfw allow")
    assert not (await _drawn(here))[1].images[0].spoiler


async def test_channels_for_adults_have_a_rule_of_their_own(here: Town) -> None:
    """Covered unless the community says otherwise."""
    assert (await _drawn(here, adult=True))[1].images[0].spoiler
    await here.mod("comunidad --adultos permitir")
    assert not (await _drawn(here, adult=True))[1].images[0].spoiler
    assert (await _drawn(here))[1].images == (), "elsewhere as before"


async def test_an_approved_appeal_is_drawn_for_the_channel_it_was_asked_in(here: Town) -> None:
    """What was refused in a channel for adults is shown by that channel's rule, not withheld."""
    await here.mod("rules add word gore")
    with pytest.raises(Refusal) as caught:
        await here.say(ANA, "/imagine gore --n 2", adult=True)
    await here.press(converse.refused("en", caught.value), "Appeal", ANA)
    await here.press(await here.mod("cases"), "Draw it once")
    ana = await here.app.database.read(accounts.find, ANA)
    assert ana is not None
    (job,) = await here.app.database.read(jobs.mine, ana, 9)
    assert job.adult
    async with asyncio.timeout(60):
        while not job.over:
            await asyncio.sleep(0.01)
            job = await here.room.job(job.id)
    assert (job.shown, job.free) == ("spoiler", False)


async def test_nobody_watches_what_may_be_withheld(here: Town) -> None:
    """Previews would show it before anybody looked."""
    await _drawn(here)
    await here.mod("community --nsfw allow")
    await _drawn(here)
    assert [draw.watch for draw in here.room.engine.got(wire.Draw)] == [False, True]


async def test_without_a_check_everything_is_watched_and_shown(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        _, reply = await _drawn(here)
        assert reply.images
        assert [draw.watch for draw in here.room.engine.got(wire.Draw)] == [True]


async def test_stickers_drawn_from_words_are_watched_and_not_checked(here: Town) -> None:
    """As long as the operator did not say otherwise; what was begun with a picture that was sent is checked,
    and so is what another model draws."""
    here.app.dispatch._safety = Safety(SOURCE, 0.7, stickers=False)
    job, _ = await _drawn(here)
    (piece, *_) = await here.app.database.read(gallery.of_job, job.id)
    account = job.account
    for number, (model, sent) in enumerate((("builtin", False), ("builtin", True), ("other", False))):
        request = msgspec.structs.replace(
            job.request, model=model, source=piece.digest if sent else None, count=1
        )
        await here.app.dispatch.submit(
            jobs.NewJob(account, f"k{number}", request, 1_000, 1.0, "test:1", "en", sent=sent)
        )
    draws = await here.room.engine.wait_for(wire.Draw, 4)
    assert [(draw.check, draw.watch) for draw in draws] == [(False, True)] * 2 + [(True, False)] * 2


async def test_an_engine_with_another_check_must_leave(tmp_path: Path) -> None:
    """It was begun by a bot of another configuration: nothing is drawn unchecked."""
    async with town(tmp_path, engine=Checking(0.1)) as here:
        await here.room.engine.wait_for(wire.Quit)
        assert here.room.engine.got(wire.Draw) == []


async def test_only_what_the_check_withheld_can_be_contested(here: Town) -> None:
    await here.mod("community --nsfw allow")
    job, _ = await _drawn(here)
    with pytest.raises(Refusal, match="no_matter"):
        await here.say(ANA, commands.unpack(f"contest:{job.id}"))
    with pytest.raises(Refusal, match="no_job"):
        await here.say(BEN, commands.unpack(f"contest:{job.id}"))


async def test_what_a_moderator_holds_back_says_so_with_the_reason(tmp_path: Path) -> None:
    """Where the pictures were, and to whoever asks for them; shown again, it is delivered once more."""
    async with town(tmp_path) as here:
        job, _ = await _drawn(here)
        await here.mod(f"picture {job.id} hold too crude")
        shown = await finished(await here.room.job(job.id), here.app)
        assert shown.images == ()
        assert "The reason: too crude" in shown.text
        with pytest.raises(Refusal, match="held_back"):
            await here.say(ANA, f"/imagine fox --from {job.id}.1")
        await here.mod(f"picture {job.id} show")
        (owed,) = await here.app.database.read(outbox.due, here.clock[0] + 1, 9)
        assert (owed.job, owed.redraw) == (job.id, False)
        shown = await finished(await here.room.job(job.id), here.app)
        assert len(shown.images) == 1
        await here.mod(f"picture {job.id} delete")
        shown = await finished(await here.room.job(job.id), here.app)
        assert shown.text == "These pictures were deleted.", (
            "the reason for holding them is no reason for this"
        )


@pytest.mark.parametrize("way", ["It is fine", "Cover it"])
async def test_a_report_never_shows_more_than_was_shown(here: Town, way: str) -> None:
    """Its card says nothing of a check, so its answer overrules none; the second look is still there."""
    job, reply = await _drawn(here)
    await here.say(ANA, Report(job.id))
    await here.press(await here.mod("cases"), way)
    assert (await here.room.job(job.id)).shown == "withheld"
    await here.press(reply, "Appeal", ANA)
    await here.press(await here.mod("cases"), "It is fine")
    assert (await here.room.job(job.id)).shown == ""


async def test_what_a_report_found_fine_stays_covered(here: Town) -> None:
    job, _ = await _drawn(here, adult=True)
    await here.say(BEN, Report(job.id))
    await here.press(await here.mod("cases"), "It is fine")
    assert (await here.room.job(job.id)).shown == "spoiler"


async def test_what_is_covered_stays_so_as_a_file_and_elsewhere(here: Town) -> None:
    """A file has no cover on every platform, nor has a picture that is offered in other chats."""
    database = here.app.database
    job, reply = await _drawn(here, adult=True)
    assert reply.images[0].digest
    await database.write(refs.put, "test", reply.images[0].digest, "known")
    said = await here.say(BEN, commands.unpack(f"original:{job.id}:0"))
    assert said[-1].private
    assert said[-1].images[0].spoiler
    for shown, offered in (("spoiler", 0), ("withheld", 0), ("", 1)):
        await database.write(jobs.show_as, job.id, shown)
        assert len(await database.read(refs.recent, "test", job.account, 9)) == offered


async def test_the_card_reaches_the_moderators_channel(here: Town) -> None:
    await here.mod("community --desk")
    _, reply = await _drawn(here)
    await here.press(reply, "Appeal", ANA)
    posted: list[Reply] = []

    async def post(place: str, reply: Reply) -> str:
        posted.append(reply)
        return place

    app = replace(here.app)
    app.outbox.post = post  # type: ignore[method-assign]
    await housekeeping.cases(app)
    assert [each.text for each in posted if "withheld" in each.text]
    assert MODERATOR not in posted[0].text


def test_the_page_covers_a_covered_picture_and_each_of_a_covered_grid() -> None:
    """Its script blurs what has this mark until it is pressed."""
    from bot.adapters.web import render
    from bot.adapters.web.house import Kept

    png = fake.png(16, 16, 1)
    for spoiler in (True, False):
        image = render._image(Image(png, "x.png", spoiler=spoiler), False, lambda *_: None)
        pieces = tuple(
            Kept(
                id=n, job=1, digest=f"{n:064x}", prompt="fox", width=16, height=16, starred=False,
                created=0.0, model="builtin", seed=n,
            )
            for n in (1, 2)
        )  # fmt: skip
        for each in (image, *render.tiles([image], pieces)):
            assert each.get("spoiler", False) is spoiler
