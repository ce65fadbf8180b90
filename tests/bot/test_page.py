"""The page's house on real commands, storage and dispatcher: everybody sees what is theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.commands.delete import Delete
from bot.commands.imagine import Imagine
from bot.commands.star import Star
from bot.commands.vary import Vary
from bot.options import Ratio
from bot.page import Page
from storage import accounts, jobs
from storage.accounts import OWNER
from storage.refusal import Refusal
from tests.fakes.room import Room, room

OWN, OTHER = "web:" + "a" * 24, "web:" + "b" * 24
PLACE = f"{OWN}/key-00001"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as made:
        yield made


async def link(here: Room, page: Page, who: str) -> None:
    """Somebody from another chat comes to the page with a code."""
    await here.ask("/help", "test:ana")
    await here.draw("a fox", "test:ana")
    account = await here.app.database.read(accounts.find, "test:ana")
    assert account
    code = await here.app.database.write(accounts.link_code, account, here.app.clock())
    await page.redeem(code, who, "en")


async def test_the_owner_is_let_in_as_the_owner(here: Room) -> None:
    page = Page(here.app)
    assert not await page.member(OWN)
    await page.admit_owner(OWN, "es")
    await page.admit_owner(OTHER, "es")
    assert await page.member(OWN)
    assert (await page.quota(OWN)).unlimited
    assert await page.language(OWN) == "es"
    owner = await here.app.database.read(accounts.find, OWNER)
    assert await here.app.database.read(accounts.find, OWN) == owner
    await page.leave(OWN)
    assert not await page.member(OWN)
    assert await page.member(OTHER)


async def test_the_owner_may_come_again_and_again(here: Room) -> None:
    """Launch addresses are no link codes: nothing limits how often the owner starts the bot."""
    page = Page(here.app)
    for number in range(12):
        await page.admit_owner(f"web:{number:024x}", "en")


async def test_somebody_with_a_code_sees_their_pictures_and_nobody_elses(here: Room) -> None:
    page = Page(here.app)
    await page.admit_owner(OWN, "en")
    job, _ = await here.draw("an owner's fox", OWN)
    await link(here, page, OTHER)
    mine = await page.gallery(OTHER, "en", before=None, starred=False)
    assert {piece.prompt for piece in mine} == {"a fox"}
    theirs = await page.gallery(OWN, "en", before=None, starred=False)
    assert {piece.prompt for piece in theirs} == {"an owner's fox"}
    for piece in theirs:
        assert await page.may_see(OWN, piece.digest)
        assert not await page.may_see(OTHER, piece.digest)
        assert not await page.may_see("web:" + "c" * 24, piece.digest)
    assert await page.card(OTHER, job.id) is None
    assert [reply async for reply in page.follow(OTHER, job.id)] == []
    for ask in (Star(job.id), Delete(job.id), Delete(job.id, sure=True)):
        with pytest.raises(Refusal, match="no_job"):
            await here.ask(ask, OTHER)
    assert len(await page.pieces(OWN, job.id)) == 4


async def test_mod_is_offered_to_the_owner_and_is_a_command_for_everybody(here: Room) -> None:
    page = Page(here.app)
    await page.admit_owner(OWN, "en")
    await here.ask(Imagine("a fox"), OTHER)
    assert await page.owner(OWN)
    assert not await page.owner(OTHER)
    for owner in (True, False):
        offered = {each["name"]: each["offered"] for each in page.about("en", owner=owner)["commands"]}
        assert offered.pop("mod") is owner
        assert all(offered.values())


async def test_a_wrong_code_lets_nobody_in(here: Room) -> None:
    page = Page(here.app)
    with pytest.raises(Refusal, match="link_expired"):
        await page.redeem("ABCD2345", OTHER, "en")
    assert not await page.member(OTHER)


async def test_the_options_fill_what_the_words_do_not_say(here: Room) -> None:
    page = Page(here.app)
    ask = page.read("a fox --steps 9", "", {"steps": 4, "ar": "3:2", "n": 2, "cfg": 7.5, "no": "trees"})
    assert ask == Imagine("a fox", aspect=Ratio(3, 2), negative="trees", steps=9, guidance=7.5, count=2)
    assert page.read("a fox", "", {}) is None
    assert page.read("", "vary:7:1::1"[:8], {}) == Vary(7, 1)
    for fields in ({"steps": 9_999}, {"nonsense": 1}, {"ar": "x"}):
        with pytest.raises(Refusal):
            page.read("a fox", "", fields)
    for press in ("", "x", "reboot:1", "vary", "vary:-1", "vary:1:9", "vary:" + "9" * 80):
        with pytest.raises(Refusal):
            page.read("", press or "x", {})


async def test_buttons_come_back_as_they_went(here: Room) -> None:
    page = Page(here.app)
    job, reply = await here.draw("a fox")
    for button in (each for row in reply.buttons for each in row):
        assert page.read("", page.pack(button.ask), {}) == button.ask
        assert page.job_of(button.ask) == job.id
    assert page.changes(Star(3)) == 3
    assert page.changes(Vary(3)) is None


async def test_the_forms_are_the_commands_own(here: Room) -> None:
    page = Page(here.app)
    for language in ("en", "es"):
        about = page.about(language, owner=False)
        assert {command["name"] for command in about["commands"]} >= {"imagine", "queue", "help"}
        assert all(command["help"] for command in about["commands"])
        assert set(about["form"]["properties"]) >= {
            "prompt",
            "ar",
            "style",
            "n",
            "steps",
            "cfg",
            "seed",
            "sampler",
            "no",
        }
        assert about["form"]["properties"]["style"]["enum"] == ["3d", "flat", "ink"]
    assert "1:1" in about["shapes"]


async def test_settings_are_kept_and_bad_ones_refused(here: Room) -> None:
    page = Page(here.app)
    await page.admit_owner(OWN, "en")
    await page.save(OWN, {"style": "flat", "steps": 7})
    assert await page.defaults(OWN) == {"style": "flat", "steps": 7}
    await page.speak(OWN, "es")
    assert await page.language(OWN) == "es"
    assert await page.defaults(OWN) == {"style": "flat", "steps": 7}
    with pytest.raises(Refusal):
        await page.save(OWN, {"style": "nonsense"})
    await page.save(OWN, {})
    assert await page.defaults(OWN) == {}
    assert await page.language(OWN) == "es"


async def test_credits_tell_what_was_spent(here: Room) -> None:
    page = Page(here.app)
    await link(here, page, OTHER)
    quota = await page.quota(OTHER)
    assert not quota.unlimited
    assert quota.balance == await here.balance("test:ana")
    assert {entry.why for entry in quota.entries} == {"grant", "reserve"}
    assert next(entry for entry in quota.entries if entry.why == "reserve").prompt == "a fox"
    assert await page.queue(OTHER, "en") == ()


async def test_the_past_is_this_sessions_own(here: Room) -> None:
    page = Page(here.app)
    await page.admit_owner(OWN, "en")
    job, _ = await here.draw("a fox", OWN)
    from storage import jobs

    assert await page.past(OWN, "a" * 24) == ()
    await here.app.database.write(jobs.set_place, job.id, PLACE)
    (past,) = await page.past(OWN, "a" * 24)
    assert (past.name, past.said) == ("key-00001", "a fox")
    assert past.reply
    assert past.reply.images
    assert await page.past(OTHER, "b" * 24) == ()


async def test_every_preview_can_be_loaded(here: Room) -> None:
    page = Page(here.app)
    await page.admit_owner(OWN, "en")
    await here.draw("a fox", OWN)
    for piece in await page.gallery(OWN, "en", before=None, starred=False):
        assert await page.picture(piece.digest, small=True)
        assert (await page.picture(piece.digest, small=False)).startswith(b"\x89PNG")
        assert piece.buttons
    with pytest.raises(Refusal):
        await page.picture("0" * 64, small=False)


async def test_what_is_held_back_is_there_for_nobody(here: Room) -> None:
    """Also for a browser that was shown it before."""
    page = Page(here.app)
    await page.admit_owner(OWN, "en")
    job, _ = await here.draw("an owner's fox", OWN)
    (piece, *_) = await page.gallery(OWN, "en", before=None, starred=False)
    for shown, there in (("withheld", False), ("spoiler", True)):
        await here.app.database.write(jobs.show_as, job.id, shown)
        for small in (True, False):
            if there:
                assert await page.picture(piece.digest, small=small)
            else:
                with pytest.raises(Refusal, match="picture_gone"):
                    await page.picture(piece.digest, small=small)
