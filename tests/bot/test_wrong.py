"""Everything that is wrong with one ask is said at once: what cannot be read, and what is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import commands, converse
from bot.commands.imagine import Imagine
from bot.commands.remix import Remix
from bot.commands.settings import Settings
from bot.commands.wrong import JUDGES, named_at_once
from bot.desk import Desk
from bot.page import Page
from bot.texts import LANGUAGES
from inference import wire
from storage.accounts import OWNER
from storage.refusal import MOST_WRONG, Mistakes, Refusal
from tests.fakes.room import Room, room

NAMES = "a fox --model bultin --style inc --sampler eular"
THREE = ["unknown_model_near", "unknown_style_near", "unknown_sampler_near"]
WHO = "web:" + "a" * 24


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as made:
        yield made


def codes(refusal: Refusal) -> list[str]:
    return [refusal.code, *(each.code for each in refusal.also)]


async def wrong(here: Room, ask: object) -> list[str]:
    with pytest.raises(Refusal) as caught:
        await here.ask(ask)
    assert not here.engine.got(wire.Draw)
    return codes(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (NAMES, THREE),
        (
            "a fox --size 65x65 --steps 51 --seed 4294967295 --style inc",
            ["size_unavailable", "unknown_style_near", "out_of_range", "out_of_range"],
        ),
        ("a fox --strength 0.5 --ar 16:9", ["strength_alone", "ratio_unavailable"]),
        ("a fox --from 99.1 --model bultin", ["no_job", "unknown_model_near"]),
        ("\x00 --sampler eular", ["empty_prompt", "unknown_sampler_near"]),
        (f"{NAMES} --from 99.1 --seed 4294967295 --steps 150", ["no_job", *THREE, "out_of_range"]),
    ],
)
async def test_what_the_bot_cannot_draw_is_named_at_once(here: Room, text: str, found: list[str]) -> None:
    assert await wrong(here, text) == found
    await here.ask("/quota")
    assert await here.balance() == 100_000


async def test_a_size_is_not_judged_by_a_model_that_nobody_asked_for(here: Room) -> None:
    """Only the model's name is wrong: what it could draw is not known."""
    assert await wrong(here, "a fox --model bultin --size 999x999 --steps 150") == ["unknown_model_near"]


async def test_settings_are_judged_at_once(here: Room) -> None:
    words = "/settings --model bultin --style inc --sampler eular --language xx"
    assert await wrong(here, words) == [*THREE, "unknown_language"]


async def test_other_words_for_a_job_are_judged_at_once(here: Room) -> None:
    job, _ = await here.draw("a fox --n 1")
    here.engine.sent.clear()
    assert await wrong(here, Remix(job.id, NAMES)) == THREE
    assert await wrong(here, Remix(job.id, f"{NAMES} --cfg x")) == ["not_a_number", *THREE]


BOTH = "a fox --cfg x --model bultin --style inc"
TOGETHER = ["not_a_number", "unknown_model_near", "unknown_style_near"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (BOTH, TOGETHER),
        ("a fox --cfg x --model other --size 500x500", ["not_a_number", "size_steps"]),
        ("a fox --cfg x --size 65x65", ["not_a_number"]),  # with whose usual model? they may have another
        ("--cfg x --style inc", ["not_a_number", "empty_prompt", "unknown_style_near"]),
        ("/settings --cfg x --sampler eular", ["not_a_number", "unknown_sampler_near"]),
        ("/queue --zzz 4", ["unknown_flag_none", "needless_words"]),
    ],
)
async def test_what_cannot_be_read_and_what_is_not_there_are_named_together(
    here: Room, text: str, found: list[str]
) -> None:
    with pytest.raises(Refusal) as caught, named_at_once(here.app):
        commands.read(text, "imagine")
    assert codes(caught.value) == found


async def test_a_form_beside_the_words_is_judged_with_them(here: Room) -> None:
    """The page's options and Discord's."""
    page, desk = Page(here.app), Desk(here.app)
    with pytest.raises(Refusal) as caught:
        page.read("a fox --cfg x", "", {"model": "bultin", "style": "inc"})
    assert codes(caught.value) == TOGETHER
    with pytest.raises(Refusal) as caught:
        desk.read("imagine", {"prompt": "a fox --cfg x", "model": "bultin", "style": "inc"})
    assert codes(caught.value) == TOGETHER
    with pytest.raises(Refusal) as caught:
        desk.read("settings", {"model": "bultin", "ar": "1:0"})
    assert codes(caught.value) == ["bad_ratio", "unknown_model_near"]
    await page.admit_owner(WHO, "en")
    with pytest.raises(Refusal) as caught:
        await page.save(WHO, {"model": "bultin", "ar": "1:0"})
    assert codes(caught.value) == ["bad_ratio", "unknown_model_near"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_mistake_is_a_sentence_with_its_next_step(here: Room, language: str) -> None:
    with pytest.raises(Refusal) as caught:
        await here.ask(NAMES, OWNER, language)
    said = converse.refused(language, caught.value).text
    for word in ("bultin", "builtin", "inc", "ink", "eular", "euler"):
        assert word in said
    assert len(said.splitlines()) >= 2 * len(THREE)


def test_no_more_are_named_than_somebody_reads() -> None:
    mistakes = Mistakes(*(Refusal(f"r{number}") for number in range(9)))
    with pytest.raises(Refusal) as caught:
        mistakes.say()
    assert codes(caught.value) == [f"r{number}" for number in range(MOST_WRONG)]


def test_whoever_reads_names_has_a_judge() -> None:
    """An ask whose names are looked up late is judged also when the rest of it cannot be read."""
    assert set(JUDGES) == {Imagine, Settings}


@pytest.mark.parametrize(("said", "most"), [("9999", 50), ("51", 50)])
async def test_too_many_steps_are_told_the_bound_of_the_model_at_once(
    here: Room, said: str, most: int
) -> None:
    with pytest.raises(Refusal) as caught, named_at_once(here.app):
        await here.ask(f"a fox --steps {said}")
    assert caught.value.code == "out_of_range"
    assert caught.value.values["high"] == most
