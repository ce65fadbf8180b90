"""The commands, over a real database and dispatcher: what each does, and what each refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest
import pytest_asyncio

from bot import commands, texts
from bot.commands.again import Again
from bot.commands.cancel import Cancel
from bot.commands.delete import Delete
from bot.commands.details import Details
from bot.commands.finished import finished
from bot.commands.gallery import Gallery
from bot.commands.imagine import Imagine
from bot.commands.original import Original
from bot.commands.remix import Remix
from bot.commands.settings import Settings
from bot.commands.show import Show
from bot.commands.star import Star
from bot.commands.upscale import Upscale
from bot.commands.vary import Vary
from bot.talk import Reply, Tone
from inference import wire
from storage import accounts, decisions, gallery, jobs, ledger
from storage.accounts import OWNER
from storage.jobs import Job, Status
from storage.refusal import Refusal
from tests.fakes.engine import FakeEngine
from tests.fakes.room import Room, button, room

BEN = "test:ben"


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[Room]:
    """A room whose engine draws at once."""
    async with room(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def still(tmp_path: Path) -> AsyncIterator[Room]:
    """A room whose engine draws nothing by itself."""
    async with room(tmp_path, engine=FakeEngine()) as made:
        yield made


async def refused(here: Room, ask: object, who: str = "test:ana") -> str:
    with pytest.raises(Refusal) as caught:
        await here.ask(ask, who)
    return caught.value.code


async def begin(
    here: Room, text: str = "a fox", who: str = "test:ana"
) -> tuple[int, asyncio.Task[list[object]]]:
    """Ask and leave it waiting: the job's number and the task that watches it."""
    before = {job.id for job in await waiting(here, who)}
    task = asyncio.create_task(here.ask(commands.read(text, "imagine"), who))
    async with asyncio.timeout(60):
        while not (new := {job.id for job in await waiting(here, who)} - before):
            await asyncio.sleep(0.005)
    return new.pop(), task  # type: ignore[return-value]


async def waiting(here: Room, who: str) -> Sequence[Job]:
    """Their jobs that are not over."""
    account = await here.app.database.read(accounts.find, who)
    return await here.app.database.read(jobs.unfinished, account) if account else ()


async def two_of(
    presses: list[asyncio.Task[list[Reply]]],
) -> tuple[set[asyncio.Task[list[Reply]]], set[asyncio.Task[list[Reply]]]]:
    """Which two of three are over, and who still watches."""
    async with asyncio.timeout(60):
        while len(done := {press for press in presses if press.done()}) < 2:
            await asyncio.wait(set(presses) - done, return_when=asyncio.FIRST_COMPLETED)
    return done, set(presses) - done


async def let_go(*tasks: asyncio.Task[list[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# --- imagine


async def test_before_drawing_cost_place_time_and_what_is_left_are_said(here: Room) -> None:
    first, *rest = await here.ask("a red fox --n 2")
    said = dict(first.fields)
    assert said["Cost"] == "2 credits"
    assert said["You have left"] == "98 credits"
    assert said["Ready in"].endswith("(a guess: nothing has been measured here yet)")
    assert said["Place"] == "you are next"
    assert "pictures are in the queue" in first.text or "loading" in first.text
    assert first.prompt == "a red fox"
    assert first.tone is Tone.WAITING
    assert not first.fleeting
    assert first.ends
    assert all(reply.fleeting and reply.job == first.job for reply in rest)


async def test_the_finished_grid_has_its_facts_and_buttons(here: Room) -> None:
    job, reply = await here.draw("a red fox --n 3 --seed 7")
    assert [[each.label for each in row] for row in reply.buttons] == [
        ["U1", "U2", "U3"],
        ["V1", "V2", "V3"],
        ["🔄 Again", "✏️ Edit", "🔎 Details", "⭐ Keep", "🗑️ Delete"],
    ]
    said = dict(reply.fields)
    assert (said["Model"], said["Seed"], said["Cost"], said["Drawn in"]) == (
        "builtin",
        "7–9",
        "3 credits",
        "0 s",
    )
    assert len(reply.images) == 1
    assert reply.images[0].alt == "a red fox"
    assert reply.job == job.id


async def test_one_picture_has_the_buttons_of_one(here: Room) -> None:
    _, reply = await here.draw("a red fox --n 1")
    assert [each.label for each in reply.buttons[0]] == [
        "Enlarge 4×", "Vary a little", "Vary a lot", "Original file"
    ]  # fmt: skip


async def test_flags_become_the_request(here: Room) -> None:
    text = "a fox --ar 3:2 --no red --seed 5 --s 9 --cfg 2.5 --n 2 --style ink --sampler Euler --m=builtin"
    job, _ = await here.draw(text)
    request = job.request
    assert request.prompt == "ink drawing of a fox"
    assert (request.width, request.height) == (96, 64)
    assert (request.negative, request.seed, request.steps, request.guidance) == ("red", 5, 9, 2.5)
    assert (request.count, request.sampler, request.model) == (2, "euler", "builtin")


async def test_a_seed_nobody_chose_differs_each_time(here: Room) -> None:
    one, _ = await here.draw("a fox --seed -1")
    two, _ = await here.draw("a fox")
    assert one.request.seed != two.request.seed


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a fox --model bultin", "unknown_model_near"),
        ("a fox --model zzz", "unknown_model"),
        ("a fox --style inc", "unknown_style_near"),
        ("a fox --sampler eular", "unknown_sampler_near"),
        ("a fox --size 65x65", "size_unavailable"),
        ("a fox --size 500x500 --model other", "size_steps"),
        ("a fox --size 1024x1024 --model other", "size_steps"),
        ("a fox --ar 16:9", "ratio_unavailable"),
        ("a fox --ar 9:1 --model other", "ratio_steep"),
        ("a fox --steps 51", "out_of_range"),
        ("a fox --seed 4294967295", "out_of_range"),
        ("a fox --strength 0.5", "strength_alone"),
        ("a fox --from 99.1", "no_job"),
        ("a fox of gore", "rule_words"),
        ("a fox of G\u200bÖre", "rule_words"),
        ("\x00\x01", "empty_prompt"),
        ("a" * 3_999 + " --style ink", "prompt_too_long"),
    ],
)
async def test_what_cannot_be_drawn_is_refused_and_free(here: Room, text: str, code: str) -> None:
    await here.ask("/quota")
    assert await refused(here, text) == code
    assert await here.balance() == 100_000
    assert not here.engine.got(wire.Draw)


async def test_only_emoji_right_to_left_and_open_brackets_are_drawn(here: Room) -> None:
    for text in ("🦊🌲", "ثعلب أحمر", "((a fox", "[[[", "a {b} fox --style ink"):
        job, _ = await here.draw(text)
        assert job.status is Status.DONE
    assert job.request.prompt == "ink drawing of a {b} fox"


async def test_invisible_characters_are_left_out_and_it_is_said(here: Room) -> None:
    replies = await here.ask("a \x00fox\u202e")
    assert replies[0].prompt == "a fox"
    assert "I left out 2 invisible characters." in replies[0].text


async def test_a_refusal_by_a_rule_is_recorded_without_the_words(here: Room) -> None:
    await refused(here, "much gore")
    account = await here.app.database.read(accounts.find, "test:ana")
    (decision,) = await here.app.database.read(decisions.of_account, account, 9)
    assert (decision.rule, decision.verdict) == ("words", "refused")
    assert len(decision.prompt) == 64


async def test_whoever_has_too_little_is_told_what_it_costs(here: Room) -> None:
    for _ in range(6):
        await here.draw("a fox --model other")
    with pytest.raises(Refusal) as caught:
        await here.ask("a fox --model other")
    assert caught.value.code == "over_quota"
    assert caught.value.values["price"] == 16_000
    assert caught.value.values["balance"] == 4_000


async def test_the_same_event_is_charged_once(here: Room) -> None:
    ask = commands.read("a fox --n 1", "imagine")
    from bot.talk import Call

    call = Call("test:ana", "test:room/1", "same", ask)
    for _ in range(2):
        async for _ in commands.answer(ask, call, here.app):
            pass
    assert await here.balance() == 99_000


async def test_a_picture_may_begin_with_another(here: Room) -> None:
    first, _ = await here.draw("a fox --n 2")
    job, _ = await here.draw(f"a wolf --from {first.id}.2 --strength 0.3")
    piece = await here.app.database.read(gallery.piece, first.id, 1)
    assert piece
    assert (job.request.source, job.request.strength) == (piece.digest, 0.3)
    assert (job.parent, job.parent_index) == (first.id, 1)
    assert await refused(here, f"a wolf --from {first.id}.1 --ar 3:2") == "source_size"


async def test_the_owner_has_no_limit(here: Room) -> None:
    first = (await here.ask("a fox", "terminal:owner"))[0]
    assert dict(first.fields)["You have left"] == "as much as you like"


async def test_pictures_that_did_not_come_are_paid_back_and_it_is_said(still: Room) -> None:
    from tests.fakes.engine import drawn

    await still.engine.hello(1)
    number, task = await begin(still, "a fox --n 4")
    (draw,) = await still.engine.wait_for(wire.Draw)
    await still.engine.say(drawn(draw, lack=(1,)))
    await task
    reply = await finished(await still.job(number), still.app)
    assert reply.text == "3 came out; 1 did not, and its price is back."
    assert [each.label for each in reply.buttons[0]] == ["U1", "U3", "U4"]
    assert await still.balance() == 97_000


@pytest.mark.parametrize("code", ["out_of_memory", "engine_died", "model_corrupt", "never heard of"])
@pytest.mark.parametrize("language", ["en", "es"])
async def test_a_failure_says_why_and_that_nothing_was_charged(still: Room, code: str, language: str) -> None:
    await still.engine.hello(1)
    ask = asyncio.create_task(still.ask("a fox", language=language))
    (draw,) = await still.engine.wait_for(wire.Draw)
    await still.engine.say(wire.Failed(job=draw.job, attempt=draw.attempt, code=code))
    await ask
    reply = await finished(await still.job(draw.job), still.app)
    assert (reply.tone, reply.code) == (Tone.BROKEN, code)
    assert ("Nothing was charged." if language == "en" else "No se ha cobrado nada.") in reply.text
    assert isinstance(reply.buttons[0][0].ask, Again)
    assert await still.balance() == 100_000


# --- buttons


async def test_again_draws_the_same_with_new_seeds(here: Room) -> None:
    job, reply = await here.draw("a fox --n 2 --steps 7")
    replies = await here.press(reply, "🔄")
    again = await here.job(replies[0].job or 0)
    assert again.request.seed != job.request.seed
    assert msgspec.structs.replace(again.request, seed=job.request.seed) == job.request
    assert (again.parent, again.parent_index) == (job.id, None)


@pytest.mark.parametrize(("label", "strength"), [("Vary a little", 0.45), ("V1", 0.6), ("Vary a lot", 0.75)])
async def test_vary_begins_with_the_picture(here: Room, label: str, strength: float) -> None:
    job, reply = await here.draw("a fox --n 2" if label == "V1" else "a fox --n 1")
    replies = await here.press(reply, label)
    varied = await here.job(replies[0].job or 0)
    piece = await here.app.database.read(gallery.piece, job.id, 0)
    assert piece
    assert (varied.request.source, varied.request.strength) == (piece.digest, strength)
    assert (varied.parent, varied.parent_index, varied.request.count) == (job.id, 0, 4)


async def test_a_small_picture_is_enlarged_and_then_varied_from_what_it_was(here: Room) -> None:
    job, reply = await here.draw("a fox --n 2 --seed 5")
    replies = await here.press(reply, "U2")
    large = await here.job(replies[0].job or 0)
    assert (large.request.enlarge, large.request.width, large.request.seed) == (4, 256, 6)
    shown = await finished(large, here.app)
    assert button(shown, "Vary a lot").ask == Vary(job.id, 1, strong=True)
    assert button(shown, "🔄").ask == Again(job.id)
    assert button(shown, "Original").ask == Original(large.id, 0)
    assert dict(shown.fields)["Size"] == "256×256"


async def test_an_enlarged_picture_is_edited_and_varied_at_the_size_it_was_drawn_at(here: Room) -> None:
    """Also by a message of before, whose buttons name the enlarged one; and when only that one is left."""
    job, _ = await here.draw("a fox --ar 3:2 --n 2 --no red")
    large = await here.job((await here.ask(Upscale(job.id, 1)))[0].job or 0)
    (asked,) = await here.ask(Remix(large.id))
    assert asked.buttons[0][0].value == "a fox --no red"
    edited = await here.job((await here.ask(Remix(large.id, "a wolf")))[0].job or 0)
    size = (job.request.width, job.request.height)
    assert (edited.request.width, edited.request.height) == size
    assert (edited.request.prompt, edited.request.count, edited.parent) == ("a wolf", 2, job.id)
    varied = await here.job((await here.ask(Vary(large.id)))[0].job or 0)
    piece = await here.app.database.read(gallery.piece, job.id, 1)
    assert piece
    assert (varied.request.width, varied.request.height, varied.request.source) == (*size, piece.digest)
    assert (varied.parent, varied.parent_index) == (job.id, 1)
    await here.ask(Delete(job.id, sure=True))
    alone = await here.job((await here.ask(Remix(large.id, "a hen")))[0].job or 0)
    assert (alone.request.width, alone.request.height, alone.request.source) == (*size, None)


async def test_a_large_picture_is_shown_for_nothing(here: Room) -> None:
    job, _ = await here.draw("a fox --model other --n 2")
    before = await here.balance()
    (reply,) = await here.ask(Upscale(job.id, 1))
    assert len(reply.images) == 1
    assert reply.job is None
    assert await here.balance() == before


async def test_the_original_is_the_file_byte_for_byte(here: Room) -> None:
    job, _ = await here.draw("a fox --n 2")
    (reply,) = await here.ask(Original(job.id, 1))
    piece = await here.app.database.read(gallery.piece, job.id, 1)
    assert piece
    assert reply.images[0].data == await here.app.files.load(piece.digest)
    assert reply.images[0].name == f"falopitas-{job.id}-2.png"


async def test_remix_asks_for_words_then_draws_with_what_was_there(here: Room) -> None:
    job, reply = await here.draw("a fox --no red --ar 3:2 --n 2 --steps 7 --style ink")
    edit = button(reply, "✏️")
    assert (edit.form, edit.value) == ("prompt", "ink drawing of a fox --no red")
    (asked,) = await here.ask(Remix(job.id))
    assert asked.buttons[0][0].value == edit.value
    packed = commands.pack(edit.ask)
    replies = await here.ask(commands.unpack(packed, "a wolf --steps 8"))
    new = await here.job(replies[0].job or 0)
    assert (new.request.prompt, new.request.negative, new.request.steps) == ("a wolf", "", 8)
    assert (new.request.width, new.request.count, new.parent) == (96, 2, job.id)
    assert await refused(here, Remix(job.id, "a wolf --stepz 8")) == "unknown_flag_near"


async def test_a_remix_begins_with_the_picture_that_its_job_began_with(here: Room) -> None:
    """Unless it says another one, or what is drawn has another shape."""
    job, _ = await here.draw("a fox --n 2")
    varied = await here.job((await here.ask(Vary(job.id, 1)))[0].job or 0)
    for words, source, strength in (
        ("a wolf", varied.request.source, 0.6),
        ("a wolf --strength 0.3", varied.request.source, 0.3),
        ("a wolf --ar 3:2", None, 1.0),
    ):
        new = await here.job((await here.ask(Remix(varied.id, words)))[0].job or 0)
        assert (new.request.source, new.request.strength) == (source, strength)
        assert new.parent == varied.id
    other = await here.job((await here.ask(Remix(varied.id, f"a wolf --from {job.id}.1")))[0].job or 0)
    assert other.request.source not in (None, varied.request.source)
    assert (other.parent, other.parent_index) == (job.id, 0)


async def test_details_has_a_line_that_draws_the_same(here: Room) -> None:
    for text in ("a --ar fox", "a \\--ar fox --no red --cfg 3.25 --n 2 --style flat", "a fox --no"):
        if text == "a --ar fox":
            continue
        job, reply = await here.draw(text)
        (details,) = await here.press(reply, "🔎")
        line = details.text.split("\n", 1)[1]
        same, _ = await here.draw(line)
        assert same.request == job.request
        assert details.private
        assert not line.endswith("--no"), "nobody usually leaves anything out here"


async def test_details_of_a_variation_redraw_it_too(here: Room) -> None:
    job, _ = await here.draw("a fox --n 2")
    replies = await here.ask(Vary(job.id, 1, strong=True))
    (details,) = await here.ask(Details(replies[0].job or 0))
    same, _ = await here.draw(details.text.split("\n", 1)[1])
    assert same.request == (await here.job(replies[0].job or 0)).request


async def test_details_of_an_enlarged_picture_draw_what_it_was_enlarged_from(here: Room) -> None:
    job, _ = await here.draw("a fox --n 2 --seed 4")
    replies = await here.ask(Upscale(job.id, 1))
    (details,) = await here.ask(Details(replies[0].job or 0))
    assert f"--size {job.request.width}x{job.request.height}" in details.text
    assert f"picture 2 of #{job.id}" in details.text
    assert dict(details.fields)["Enlarged"] == "4×"


async def test_a_star_can_be_taken_back(here: Room) -> None:
    _, reply = await here.draw("a fox --n 2")
    (on,) = await here.press(reply, "⭐")
    assert on.text == "Kept: all 2 have a star now."
    assert len((await here.ask(Gallery(starred=True)))[0].images) == 2
    await here.press(on, "Take the star back")
    assert not (await here.ask(Gallery(starred=True)))[0].images


async def test_deleting_asks_once_and_then_rows_and_files_are_gone(here: Room) -> None:
    job, reply = await here.draw("a fox --n 2")
    digests = await here.app.database.read(gallery.digests)
    here.app.files.settled(digests)
    (asked,) = await here.press(reply, "🗑️")
    assert await here.app.database.read(gallery.of_job, job.id)
    assert asked.text == f"Delete the 2 pictures of #{job.id} for good?"
    await here.press(asked, "Yes")
    assert not await here.app.database.read(gallery.of_job, job.id)
    assert not any(here.app.files.path(digest).exists() for digest in digests)
    assert await refused(here, Delete(job.id, sure=True)) == "no_job"
    assert (await finished(job, here.app)).text == "These pictures were deleted."


# --- authority


async def test_not_yours_and_not_there_read_the_same(here: Room) -> None:
    job, _ = await here.draw("a fox --n 2")
    for ask in (Delete(job.id), Delete(job.id, sure=True), Cancel(job.id), Star(job.id)):
        assert await refused(here, ask, BEN) == "no_job"
        assert await refused(here, type(ask)(10**9), BEN) == "no_job"
    assert await here.app.database.read(gallery.of_job, job.id)


async def test_somebodys_public_picture_may_be_drawn_again_by_who_pays(here: Room) -> None:
    job, reply = await here.draw("a fox --n 2")
    await here.press(reply, "🔄", BEN)
    await here.ask(Vary(job.id, 1), BEN)
    assert await here.balance() == 98_000
    assert await here.balance(BEN) < 98_000


async def test_somebodys_private_picture_is_there_for_nobody_else(here: Room) -> None:
    job, _ = await here.draw("a fox --n 2")
    await here.app.database.write(lambda tx: tx.execute("UPDATE job SET private = 1").rowcount)
    every = (
        Again(job.id),
        Vary(job.id),
        Upscale(job.id),
        Original(job.id),
        Remix(job.id),
        Details(job.id),
        Show(job.id),
    )
    for ask in every:
        assert await refused(here, ask, BEN) == "no_job"
        await here.ask(ask)
    assert await refused(here, f"a wolf --from {job.id}.1", BEN) == "no_job"


async def test_buttons_of_a_deleted_job_are_refused(here: Room) -> None:
    job, reply = await here.draw("a fox --n 2")
    await here.ask(Delete(job.id, sure=True))
    for each in (each for row in reply.buttons for each in row):
        assert await refused(here, each.ask) == "no_job"


async def test_a_picture_that_is_not_there_is_refused(here: Room) -> None:
    job, _ = await here.draw("a fox --n 2")
    for ask in (Vary(job.id, 3), Upscale(job.id, 3), Original(job.id, 3), Show(job.id, 3), Star(job.id, 3)):
        assert await refused(here, ask) == "no_job"


@pytest.mark.parametrize("ask", [Again, Vary, Upscale, lambda job: Remix(job, "a wolf")])
async def test_a_button_pressed_twice_draws_once(still: Room, ask: Callable[[int], object]) -> None:
    from tests.fakes.engine import drawn

    await still.engine.hello(1)
    number, task = await begin(still)
    (draw,) = await still.engine.wait_for(wire.Draw)
    await still.engine.say(drawn(draw))
    await task
    presses = [asyncio.create_task(still.ask(ask(number))) for _ in range(3)]
    done, waiting = await two_of(presses)
    assert {task.exception().code for task in done} == {"already_asked"}  # type: ignore[union-attr]
    assert await refused(still, ask(number)) == "already_asked"
    account = await still.app.database.read(accounts.find, "test:ana")
    assert len(await still.app.database.read(jobs.unfinished, account)) == 1
    await let_go(*waiting)  # type: ignore[arg-type]


async def test_cancelled_twice_is_refused_and_refunded_once(still: Room) -> None:
    number, task = await begin(still)
    await still.ask(Cancel(number))
    replies = await task
    assert replies[-1].text == f"#{number} is cancelled. Nothing was charged."  # type: ignore[attr-defined]
    assert await refused(still, Cancel(number)) == "already_over"
    assert await still.balance() == 100_000


async def test_cancel_without_a_number_takes_the_newest(still: Room) -> None:
    _, one = await begin(still, "a fox")
    assert await refused(still, "/cancel", BEN) == "nothing_to_cancel"
    _, two = await begin(still, "a wolf")
    await still.ask("/cancel")
    assert (await two)[-1].prompt == "a wolf"  # type: ignore[attr-defined]
    await let_go(one)


async def test_a_queue_that_is_full_says_so(still: Room) -> None:
    tasks = [(await begin(still, f"a fox {number}"))[1] for number in range(3)]
    assert await refused(still, "a wolf") == "queue_full"
    await let_go(*tasks)


# --- the rest


async def test_the_queue_shows_mine_with_place_and_stop(still: Room) -> None:
    (empty,) = await still.ask("/queue")
    assert empty.text == "Nothing of yours is waiting, and nothing of anybody else's."
    number, task = await begin(still)
    (reply,) = await still.ask("/queue")
    assert reply.fields[0][0] == f"#{number} a fox"
    assert reply.buttons[0][0].ask == Cancel(number)
    (other,) = await still.ask("/queue", BEN)
    assert other.text == "Nothing of yours is waiting. One job of somebody else's is in the queue."
    await let_go(task)


async def test_the_queue_counts_all_and_looks_up_the_place_of_what_it_shows(
    still: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Mock(side_effect=jobs.ahead)
    monkeypatch.setattr(jobs, "ahead", look)
    tasks = [(await begin(still, f"a fox {number}"))[1] for number in range(3)]
    monkeypatch.setattr("bot.commands.queue.SHOWN", 2)
    look.reset_mock()
    (reply,) = await still.ask("/queue")
    assert (len(reply.fields), len(reply.buttons[0]), look.call_count) == (2, 2, 2)
    assert reply.text == "3 jobs of yours are in the queue."
    await let_go(*tasks)


async def test_the_quota_shows_the_last_entries(here: Room) -> None:
    job, _ = await here.draw("a fox --n 2")
    (reply,) = await here.ask("/quota")
    assert reply.fields[0] == ("You have left", "98 credits")
    assert reply.fields[1][1].endswith("up to 100")
    assert [value for _, value in reply.fields[2:]] == [f"−2 · drawing · #{job.id}", "+100 · welcome"]


async def test_the_gallery_goes_page_by_page(here: Room) -> None:
    assert (await here.ask("/gallery"))[0].text.startswith("Nothing here yet.")
    for _ in range(3):
        await here.draw("a fox --n 2")
    (page,) = await here.ask("/gallery")
    assert len(page.images) == 4
    (second,) = await here.press(page, "Older")
    assert len(second.images) == 2
    assert not any(each.label == "Older" for row in second.buttons for each in row)
    (shown,) = await here.press(second, second.buttons[0][0].label)
    assert len(shown.images) == 1
    assert not (await here.ask("/gallery", BEN))[0].images


async def test_settings_are_used_and_forgotten(here: Room) -> None:
    (reply,) = await here.ask(
        "/settings --n 1 --style flat --ar 3:2 --steps 40 --no red --cfg 2 --sampler ddim"
    )
    assert reply.text == "Saved."
    job, _ = await here.draw("a fox")
    assert job.request.prompt == "a fox, flat"
    assert (job.request.count, job.request.width, job.request.negative) == (1, 96, "red")
    plain, _ = await here.draw("a fox --style none --no --n 2 --ar 1:1")
    assert (plain.request.prompt, plain.request.negative, plain.request.width) == ("a fox", "", 64)
    await here.ask("/settings --style none --no")
    job, _ = await here.draw("a fox")
    assert (job.request.prompt, job.request.negative) == ("a fox", "")
    await here.press(reply, "Forget")
    job, _ = await here.draw("a fox")
    assert (job.request.count, job.request.steps) == (4, 4)
    assert await refused(here, "/settings --model bultin") == "unknown_model_near"
    assert await refused(here, "/settings --language fr") == "unknown_language"


async def test_the_language_can_be_chosen(here: Room) -> None:
    (reply,) = await here.ask("/settings")
    (spanish,) = await here.press(reply, "Español")
    assert spanish.title == "Tus ajustes"
    account = await here.app.database.read(accounts.find, "test:ana")
    assert (await here.app.database.read(accounts.get, account)).language == "es"


async def test_styles_and_models_are_listed(here: Room) -> None:
    (styles,) = await here.ask("/styles")
    assert dict(styles.fields) == {"3d": "…, 3d", "flat": "…, flat", "ink": "ink drawing of …"}
    (models,) = await here.ask("/models")
    assert [name for name, _ in models.fields] == ["builtin", "other"]
    assert "1 credit a picture" in models.fields[0][1]


async def test_the_owner_is_told_what_a_model_would_cost_by_its_measured_time(here: Room) -> None:
    """The price itself stays what the configuration says; others are told nothing of it."""
    usual, other = here.app.config.models
    work = usual.standard.work / other.standard.work
    here.app.dispatch.speed.learn({usual.name: 0.1})
    assert not [line for _, line in (await here.ask("/models", OWNER))[0].fields if "price =" in line]
    here.app.dispatch.speed.learn({other.name: 0.1 * work * 6.0 * other.price / usual.price})
    (said,) = await here.ask("/models", OWNER)
    wanted = texts.number("en", round(6.0 * other.price, 1))
    assert [f"by the time it takes here: price = {wanted}" in line for _, line in said.fields] == [
        False,
        True,
    ]
    here.app.dispatch.speed.learn({other.name: 0.1 * work * 1.1 * other.price / usual.price})
    for who in (OWNER, "test:ana"):
        assert not [line for _, line in (await here.ask("/models", who))[0].fields if "price =" in line]


async def test_one_person_in_two_chats(here: Room) -> None:
    (reply,) = await here.ask("/link")
    code = dict(reply.fields)["Code"]
    await here.draw("a fox --n 2")
    await here.ask(f"/link {code.lower()}", BEN)
    (quota,) = await here.ask("/quota", BEN)
    assert quota.fields[0][1] == "98 credits"
    assert await refused(here, f"/link {code}", "test:eve") == "link_expired"


async def test_help_explains_one_or_all(here: Room) -> None:
    (everything,) = await here.ask("/help")
    assert "/imagine" in dict(everything.fields)
    (one,) = await here.ask("/help imagina")
    assert dict(one.fields)["--steps, --s, --pasos"]
    assert await refused(here, "/help imgine") == "unknown_command_near"


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("/configuracio", "configuracion"), ("/ajuste", "ajustes"), ("/quue", "queue"), ("/regla", "regala"),
        ("/mod_setup", "mod setup"),
    ],
)  # fmt: skip
def test_a_slip_is_taken_for_what_everybody_may_ask(line: str, near: str) -> None:
    """A moderator's command is suggested only where no other is near."""
    with pytest.raises(Refusal, match="unknown_command_near") as caught:
        commands.read(line)
    assert caught.value.values["near"] == near


def test_settings_are_found_by_what_people_call_them() -> None:
    for line in ("/settings", "/ajustes", "/configuración", "/configuracion", "/config"):
        assert commands.read(f"{line} --n 2") == Settings(count=2)


async def test_a_job_of_a_withdrawn_model_cannot_be_drawn_again(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        job, _ = await here.draw("a fox --model other")
    from tests.fakes.room import BUILTIN

    async with room(tmp_path, models=(BUILTIN,)) as later:
        assert await refused(later, Again(job.id)) == "model_withdrawn"
        assert await refused(later, Vary(job.id)) == "model_withdrawn"


async def test_the_books_are_sound_after_all_of_it(here: Room) -> None:
    job, reply = await here.draw("a fox --n 2")
    for label in ("U1", "V2", "🔄"):
        await here.press(reply, label)
    await here.ask(Delete(job.id, sure=True))
    assert await here.app.database.read(ledger.audit) == ()


def test_a_packed_button_survives_anything() -> None:
    for packed in (
        "",
        ":",
        "vary",
        "vary:",
        "vary:x",
        "vary:1:9",
        "vary:-1",
        "vary:1:2:3:4",
        "again:" + "9" * 80,
        "nope:1",
        "vary:99999999999999999999",
        "é:1",
        "vary:%ff",
    ):
        with pytest.raises(Refusal) as caught:
            commands.unpack(packed)
        assert caught.value.code == "bad_button"
    assert commands.unpack("vary:7:2:yes") == Vary(7, 2, strong=True)
    assert commands.pack(Vary(2**53, 3, strong=True)) == "vary:9007199254740992:3:yes"
    assert commands.line(Imagine("a fox", seed=4)) == "/imagine a fox --seed 4"


async def test_a_code_can_be_taken_back_and_a_chat_can_leave(here: Room) -> None:
    """The chats of the account are named; the last one cannot leave, and neither can the owner."""
    (offer,) = await here.ask("/link")
    code = dict(offer.fields)["Code"]
    assert dict(offer.fields)["I know you on"] == "test"
    (taken,) = await here.press(offer, "Take the code back")
    assert "nothing" in taken.text
    with pytest.raises(Refusal, match="link_expired"):
        await here.ask(f"/link {code}", who="other:bob")
    (offer,) = await here.ask("/link")
    await here.ask(f"/link {dict(offer.fields)['Code']}", who="other:bob")
    (offer,) = await here.ask("/link")
    assert dict(offer.fields)["I know you on"] == "other, test"
    (left,) = await here.ask("/link --leave", who="other:bob")
    assert left.private
    for who, code in (("test:ana", "link_last"), ("terminal:owner", "link_owner")):
        with pytest.raises(Refusal, match=code):
            await here.ask("/link --leave", who=who)
