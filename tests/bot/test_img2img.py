"""/imagine with a picture: of the model's shape, priced by the steps really run, kept while it is needed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bot import commands
from bot.commands.choose import of_picture
from bot.commands.finished import finished
from bot.housekeeping import DAY, uploads
from bot.options import Ratio, Size
from bot.talk import Attachment, Call, Reply, Tone
from inference import wire
from inference.request import ModelSpec
from storage import gallery, jobs
from storage.jobs import Job
from storage.refusal import Refusal
from tests.bot.picture_corpus import saved, scene
from tests.fakes.room import BUILTIN, OTHER, Room, room

_events = itertools.count(1)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Room]:
    async with room(tmp_path) as made:
        yield made


async def send(
    here: Room, text: str, data: bytes | None = None, who: str = "test:ana", **more: Any
) -> list[Reply]:
    """Every reply to a line with a picture."""
    data = saved(scene(size=(90, 60)), "JPEG") if data is None else data

    async def fetch() -> bytes:
        return data

    ask = commands.read(text, "imagine")
    call = Call(who, "test:room", f"p{next(_events)}", ask, picture=Attachment("ref"), fetch=fetch, **more)
    async with asyncio.timeout(30):
        return [reply async for reply in commands.answer(ask, call, here.app)]


async def drawn(here: Room, text: str, data: bytes | None = None, who: str = "test:ana") -> Job:
    replies = await send(here, text, data, who)
    number = next(reply.job for reply in replies if reply.job)
    assert number
    return await here.job(number)


async def test_a_picture_is_what_the_drawing_begins_from(house: Room) -> None:
    """The engine gets a PNG of exactly the request's size, at strength 0.6."""
    job = await drawn(house, "a fox --n 1")
    assert job.request.source
    assert (job.request.width, job.request.height) == (96, 64)
    assert job.request.strength == 0.6
    (draw,) = house.engine.got(wire.Draw)
    assert draw.source == await house.app.files.load(job.request.source)
    assert draw.source[16:24] == (96).to_bytes(4, "big") + (64).to_bytes(4, "big")


async def test_the_first_word_comes_before_the_picture_is_opened(house: Room) -> None:
    replies = await send(house, "a fox --n 1")
    assert replies[0].fleeting
    assert replies[0].tone is Tone.WAITING
    assert "picture" in replies[0].text


@pytest.mark.parametrize(("strength", "steps"), [("0", 1), ("0.25", 1), ("0.5", 2), ("1", 4)])
async def test_the_price_is_of_the_steps_really_run(house: Room, strength: str, steps: int) -> None:
    """Of four steps; the whole way costs what drawing without a picture costs."""
    whole = await drawn(house, "a fox --n 1 --size 96x64 --strength 1")
    job = await drawn(house, f"a fox --n 1 --strength {strength}")
    assert job.request.steps_run == steps
    assert job.price == round(whole.price * steps / 4)


async def test_the_shape_that_is_asked_for_wins(house: Room) -> None:
    job = await drawn(house, "a fox --n 1 --ar 1:1")
    assert (job.request.width, job.request.height) == (64, 64)


SHAPES: list[tuple[ModelSpec, tuple[int, int], tuple[int, int]]] = [
    (BUILTIN, (4_000, 3_000), (96, 64)), (BUILTIN, (600, 620), (64, 64)), (BUILTIN, (500, 4_000), (64, 64)),
    (BUILTIN, (9_000, 16), (96, 64)), (OTHER, (512, 512), (512, 512)), (OTHER, (1_024, 1_024), (512, 512)),
    (OTHER, (3_000, 2_000), (576, 384)), (OTHER, (1_080, 1_920), (384, 704)),
    (OTHER, (10_000, 20), (1_024, 256)),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "came", "size"), SHAPES)
def test_every_picture_has_a_nearest_size(
    spec: ModelSpec, came: tuple[int, int], size: tuple[int, int]
) -> None:
    assert of_picture(spec, Size(*came), None, None) == size


def test_a_shape_that_the_model_does_not_have_is_refused_as_without_a_picture() -> None:
    with pytest.raises(Refusal, match="ratio_unavailable"):
        of_picture(BUILTIN, Size(640, 640), None, Ratio(1, 3))


@pytest.mark.parametrize(
    ("text", "data", "code"),
    [
        ("a fox", b"no picture", "picture_kind"), ("a fox --from 1.1", None, "two_sources"),
        ("a fox --model nope", None, "unknown_model"), ("a fox --ar 9:1", None, "ratio_unavailable"),
        ("gore", None, "rule_words"), ("a fox --seed 4294967295", None, "out_of_range"),
    ],
)  # fmt: skip
async def test_what_is_refused_costs_nothing(house: Room, text: str, data: bytes | None, code: str) -> None:
    with pytest.raises(Refusal, match=code):
        await send(house, text, data)
    assert await house.balance() == 100_000


async def test_strength_without_any_picture_is_refused(house: Room) -> None:
    with pytest.raises(Refusal, match="strength_alone"):
        await house.ask("a fox --strength 0.5")


# --- how long it is kept


async def _is_kept(here: Room, digest: str) -> bool:
    await here.app.files.sweep(await here.app.database.read(gallery.digests), float("inf"))
    return here.app.files.path(digest).exists()


async def test_it_is_kept_with_its_job_and_goes_with_it(house: Room) -> None:
    job = await drawn(house, "a fox --n 1")
    source = job.request.source or ""
    house.app.files.settled([source])
    assert await _is_kept(house, source)
    gone = await house.app.database.write(gallery.delete, job.id)
    assert source in gone
    await house.app.files.remove(gone)
    assert not await _is_kept(house, source)


async def test_drawing_it_again_keeps_it_and_so_do_two_jobs(house: Room) -> None:
    job = await drawn(house, "a fox --n 1")
    source = job.request.source or ""
    house.app.files.settled([source])
    again = (await house.ask(commands.unpack(f"again:{job.id}")))[0].job
    assert again
    await house.app.database.write(gallery.delete, job.id)
    assert await _is_kept(house, source)
    await house.app.database.write(gallery.delete, again)
    assert not await _is_kept(house, source)


async def test_nobody_elses_job_keeps_what_its_sender_deleted(house: Room) -> None:
    """Others may draw again from a public picture's beginning while it is there, no longer."""
    job = await drawn(house, "a fox --n 1")
    source = job.request.source or ""
    house.app.files.settled([source])
    await house.ask(commands.unpack(f"again:{job.id}"), who="test:bob")
    assert source in await house.app.database.write(gallery.delete, job.id)
    assert not await _is_kept(house, source)
    bobs = await house.app.database.read(jobs.mine, 2, 1)
    for press in (f"again:{bobs[0].id}", f"remix:{bobs[0].id}"):
        ask = commands.unpack(press, "a blue fox" if "remix" in press else "")
        with pytest.raises(Refusal, match="source_gone"):
            await house.ask(ask, who="test:bob")
    assert len(await house.app.database.read(jobs.mine, 2, 10)) == 1, "nothing that must fail was taken"


async def test_what_was_deleted_while_the_job_waited_is_a_sentence_without_a_button_in_vain(
    house: Room,
) -> None:
    job = await drawn(house, "a fox --n 1")
    source = job.request.source or ""
    house.app.files.settled([source])
    usual = house.app.files.load

    async def gone(digest: str) -> bytes:
        await house.app.files.remove([source])
        return await usual(digest)

    with mock.patch.object(type(house.app.files), "load", lambda self, digest: gone(digest)):
        replies = await house.ask(commands.unpack(f"again:{job.id}"))
        number = replies[0].job
        assert number
        failed = await house.job(number)
    assert (failed.code, failed.arrived) == ("source_gone", 0)
    reply = await finished(failed, house.app)
    assert "was deleted" in reply.text
    assert reply.buttons == ()


async def test_what_came_to_nothing_is_let_go_after_two_days(house: Room) -> None:
    """Until then *Try again* works; a queued job never loses it."""
    job = await drawn(house, "a fox --n 1")
    source = job.request.source or ""
    house.app.files.settled([source])
    await house.app.database.write(lambda tx: tx.execute("DELETE FROM piece WHERE job = ?", (job.id,)))
    await uploads(house.app)
    assert await _is_kept(house, source)
    later = replace(house.app, clock=lambda: time.time() + 3 * DAY)
    await uploads(later)
    assert not await _is_kept(house, source)


# --- private


async def test_a_private_job_is_private_all_the_way(house: Room) -> None:
    """Every reply says so, its pictures are marked, and nobody else can go on from them."""
    replies = await send(house, "a fox --n 1 --private")
    assert all(reply.private for reply in replies)
    number = next(reply.job for reply in replies if reply.job) or 0
    assert (await house.job(number)).private
    (page,) = await house.ask("/gallery")
    assert page.buttons[0][0].label == f"🔒 #{number}.1"
    presses = (
        f"again:{number}",
        f"vary:{number}",
        f"upscale:{number}",
        f"details:{number}",
        f"show:{number}",
    )
    asks = [*map(commands.unpack, presses), commands.unpack(f"remix:{number}", "a hen")]
    for ask in (f"a hen --from {number}.1", *asks):
        with pytest.raises(Refusal, match="no_job"):
            await house.ask(ask, who="test:bob")


async def test_what_is_made_from_a_private_picture_is_private(house: Room) -> None:
    number = (await house.ask("a fox --n 1 --private"))[0].job or 0
    presses = map(commands.unpack, (f"vary:{number}", f"again:{number}", f"upscale:{number}"))
    for ask in (f"a hen --n 1 --from {number}.1", *presses):
        replies = await house.ask(ask)
        assert (await house.job(replies[0].job or 0)).private


async def test_a_public_picture_may_be_gone_on_from_in_private(house: Room) -> None:
    number = (await house.ask("a fox --n 1"))[0].job or 0
    replies = await house.ask(f"a hen --n 1 --from {number}.1 --private", who="test:bob")
    assert (await house.job(replies[0].job or 0)).private
