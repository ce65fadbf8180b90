"""One loop for every chat: into the inbox first, an answer whatever happens, nothing twice."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot import commands, converse
from bot.app import App
from bot.commands.again import Again
from bot.commands.finished import finished
from bot.commands.imagine import Imagine
from bot.commands.remix import Remix
from bot.config import load
from bot.dispatch import Catalog, Dispatch
from bot.outbox import Outbox
from bot.sent import MAX_BYTES
from bot.talk import Attachment, Call, Gone, Later, Reply, Tone
from storage import inbox, jobs, ledger, policy
from storage.database import Database
from storage.gallery import Files
from storage.jobs import Status
from storage.policy import Policy
from storage.refusal import Refusal
from tests.bot.picture_corpus import saved, scene
from tests.fakes.adapter import FakeAdapter
from tests.fakes.engine import DrawingEngine


@dataclass
class House:
    app: App
    adapter: FakeAdapter
    engine: DrawingEngine

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Dispatch, outbox and the loop of the chat."""
        parts = (
            self.app.dispatch.run(),
            self.app.outbox.run({"test": self.adapter}, lambda job: finished(job, self.app)),
            converse.serve(self.adapter, self.app),
        )
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def pending(self) -> tuple[inbox.Event, ...]:
        return await self.app.database.read(inbox.pending)

    async def quiet(self) -> None:
        async with asyncio.timeout(60):
            while await self.pending():
                await asyncio.sleep(0.005)


async def _house(folder: Path, clock: Callable[[], float] = time.time) -> House:
    config = replace(load(None, {"FALOPITAS_DATA": str(folder)}), data_dir=folder)
    database = await Database.open(folder / "data.sqlite3")
    files, catalog, engine = Files(folder / "pictures"), Catalog(config.models, "builtin"), DrawingEngine()
    dispatch = Dispatch(database, files, catalog, [engine], clock=clock, home=folder)
    outbox = Outbox(database, clock)
    dispatch.on_over = lambda _: outbox.wake()
    return House(App(config, database, files, catalog, dispatch, outbox, clock), FakeAdapter(), engine)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = await _house(tmp_path)
    yield made
    assert await made.app.database.read(ledger.audit) == ()
    await made.app.database.close()


async def test_an_imagine_is_answered_and_its_pictures_delivered_in_one_message(house: House) -> None:
    async with house.serving():
        house.adapter.say("/imagine a red fox --n 2")
        first = await house.adapter.until(lambda reply: reply.job is not None)
        last = await house.adapter.until(lambda reply: bool(reply.images) and not reply.fleeting)
    assert first.place == last.place
    assert house.adapter.shown[0].edit is False
    assert all(shown.edit for shown in house.adapter.shown[1:])
    assert await house.pending() == ()


async def test_plain_text_is_a_prompt(house: House) -> None:
    async with house.serving():
        house.adapter.say("it's a fox -- isn't it")
        shown = await house.adapter.until(lambda reply: bool(reply.images) and not reply.fleeting)
        assert shown.reply.job
        job = await house.app.database.read(jobs.get, shown.reply.job)
    assert job
    assert "it's a fox" in job.request.prompt


async def test_the_same_event_twice_is_one_job(house: House) -> None:
    async with house.serving():
        house.adapter.say("/imagine fox", event="e")
        house.adapter.say("/imagine fox", event="e")
        await house.adapter.until(lambda reply: bool(reply.images) and not reply.fleeting)
        house.adapter.say("/help")
        await house.adapter.until(lambda reply: bool(reply.fields) and reply.job is None)
        await house.quiet()
    mine = await house.app.database.read(jobs.mine, 1, 9)
    assert len(mine) == 1


async def test_when_the_next_call_is_asked_for_the_one_before_is_in_the_inbox(house: House) -> None:
    seen: list[int] = []

    class Careful(FakeAdapter):
        async def listen(self) -> AsyncIterator[Call]:
            yield Call("test:ana", "test:chat", "careful", text="/help")
            rows = await house.app.database.read(
                lambda tx: tx.execute("SELECT count(*) FROM inbox WHERE event = 'careful'").fetchone()
            )
            seen.append(rows[0])

    await converse.serve(Careful(), house.app)
    assert seen == [1]


async def test_a_refusal_is_a_sentence_and_a_next_step_in_the_persons_language(house: House) -> None:
    async with house.serving():
        house.adapter.say("/imagine fox --stpes 3", language="es")
        shown = await house.adapter.until(lambda reply: reply.tone is Tone.REFUSED)
        await house.quiet()
    assert shown.reply.private
    assert "--stpes" in shown.reply.text
    assert "--steps" in shown.reply.text


async def test_a_community_s_language_is_spoken_there_to_whoever_chose_none(house: House) -> None:
    """In private, elsewhere, and to who chose another one it is not."""
    english, spanish = "Say what you want", "Di lo que quieres"
    await house.app.database.write(policy.save, "test:town", "", Policy(language="es"))
    async with house.serving():
        house.adapter.say("/settings --language en", who="test:ben", community="test:town")
        await house.adapter.until(lambda reply: True)
        await house.quiet()
        for who, community, wanted in (
            ("test:ana", "test:town", spanish), ("test:ana", "", english),
            ("test:ana", "test:other", english), ("test:ben", "test:town", english),
        ):  # fmt: skip
            house.adapter.shown.clear()
            house.adapter.say("/help", who=who, community=community)
            shown = await house.adapter.until(lambda reply: bool(reply.fields))
            assert shown.reply.text.startswith(wanted), (who, community)
            await house.quiet()


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError("a red fox"), KeyError("x"), Refusal("no_such_code_at_all")]
)
async def test_a_bug_is_said_logged_once_without_the_prompt_and_ends_alone(
    house: House, bug: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(ask: object, call: Call, app: App) -> AsyncIterator[Reply]:
        async def replies() -> AsyncIterator[Reply]:
            for each in [bug]:
                raise each
            yield Reply()

        return replies()

    original = commands.answer
    monkeypatch.setattr(commands, "answer", breaks)
    async with house.serving():
        house.adapter.say("/imagine a red fox")
        shown = await house.adapter.until(lambda reply: reply.tone is Tone.BROKEN)
        monkeypatch.setattr(commands, "answer", original)
        house.adapter.say("/help")
        await house.adapter.until(lambda reply: reply.tone is not Tone.BROKEN)
        await house.quiet()
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].__dict__["ref"] in shown.reply.text


async def test_an_answer_of_which_not_even_the_bug_can_be_said_is_over(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Else its event would stay open, and nobody would answer it before a restart."""

    def breaks(place: str, reply: Reply) -> None:
        raise ZeroDivisionError

    house.adapter.fault = breaks
    async with house.serving():
        house.adapter.say("/help")
        async with asyncio.timeout(60):
            while len([each for each in caplog.records if each.levelno >= logging.ERROR]) < 2:
                await asyncio.sleep(0.01)
        await house.quiet()
        house.adapter.fault = lambda place, reply: None
        house.adapter.say("/help")
        await house.adapter.until(lambda reply: bool(reply.fields))
        await house.quiet()
    assert await house.pending() == ()


async def test_gone_in_the_middle_ends_the_answer_and_the_job_goes_on(house: House) -> None:
    def gone(place: str, reply: Reply) -> None:
        raise Gone

    house.adapter.fault = gone
    async with house.serving():
        house.adapter.say("/imagine fox")
        await house.quiet()
        async with asyncio.timeout(60):
            while not (mine := await house.app.database.read(jobs.mine, 1, 1)) or not mine[0].over:
                await asyncio.sleep(0.01)
    assert mine[0].status is Status.DONE


async def test_a_chat_that_puts_off_gets_the_answer_later(house: House) -> None:
    times = [2]

    def later(place: str, reply: Reply) -> None:
        if times[0]:
            times[0] -= 1
            raise Later(0.01)

    house.adapter.fault = later
    async with house.serving():
        house.adapter.say("/help")
        await house.adapter.until(lambda reply: True)


async def test_a_full_disk_is_a_sentence_and_the_loop_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = inbox.accept

    def full(*_: object) -> bool:
        raise Refusal("disk_full", detail="")

    monkeypatch.setattr(inbox, "accept", full)
    async with house.serving():
        house.adapter.say("/imagine fox")
        await house.adapter.until(lambda reply: reply.tone is Tone.REFUSED)
        monkeypatch.setattr(inbox, "accept", accept)
        house.adapter.say("/help")
        await house.adapter.until(lambda reply: reply.tone is not Tone.REFUSED)


# --- what a crash left over


async def test_a_fresh_ask_is_answered_after_a_restart(house: House) -> None:
    call = Call("test:ana", "test:chat", "left", text="/imagine fox")
    row = ("test", "left", "test:chat", converse.write(call), time.time() - 60)
    await house.app.database.write(inbox.accept, *row)
    async with house.serving():
        await house.adapter.until(lambda reply: bool(reply.images) and not reply.fleeting)
        house.adapter.say("/imagine fox", event="left")  # the platform sends it again
        house.adapter.say("/help")
        await house.adapter.until(lambda reply: bool(reply.fields) and reply.job is None)
        await house.quiet()
    assert len(await house.app.database.read(jobs.mine, 1, 9)) == 1


async def test_an_old_ask_gets_an_apology_and_a_button(house: House) -> None:
    call = Call("test:ana", "test:chat", "old", text="/imagine fox --n 2")
    row = ("test", "old", "test:chat", converse.write(call), time.time() - 180)
    await house.app.database.write(inbox.accept, *row)
    async with house.serving():
        shown = await house.adapter.until(lambda reply: True)
        await house.quiet()
    assert "restart" in shown.reply.text.casefold()
    ((button,),) = shown.reply.buttons
    assert button.ask == Imagine("fox", count=2)


async def test_an_event_that_cannot_be_read_is_not_read_forever(house: House) -> None:
    for number, payload in enumerate((b"", b"\xff", b"{}")):
        await house.app.database.write(inbox.accept, "test", f"x{number}", "test:chat", payload, time.time())
    async with house.serving():
        await house.quiet()
    assert house.adapter.shown == []


@pytest.mark.parametrize(
    "call",
    [
        Call("test:ana", "test:chat", "e", text="a fox — --n 2", language="es", name="Ana"),
        Call("test:ana", "test:chat", "e", ask=Imagine("it's /a fox --really", count=2, seed=7)),
        Call("test:ana", "test:chat", "e", ask=Again(7)),
        Call("test:ana", "test:chat", "e", ask=Remix(7, "a " + "very " * 300 + "long prompt")),
    ],
)
def test_a_call_survives_the_inbox(call: Call) -> None:
    event = inbox.Event("test", call.event, call.place, converse.write(call), 0.0)
    back = converse.reread(event)
    ask = back.ask if back.ask is not None else commands.read(back.text, converse.PLAINLY)
    wanted = call.ask if call.ask is not None else commands.read(call.text, converse.PLAINLY)
    assert ask == wanted
    assert (back.who, back.place, back.language, back.name) == (
        call.who,
        call.place,
        call.language,
        call.name,
    )


async def test_whoever_was_charged_but_not_told_is_told_after_the_crash(house: House) -> None:
    call = Call("test:ana", "test:chat", "untold", ask=Imagine("fox"))
    row = ("test", "untold", "test:chat", converse.write(call), time.time())
    await house.app.database.write(inbox.accept, *row)
    replies = commands.answer(Imagine("fox"), call, house.app)
    first = await anext(replies)
    await replies.aclose()  # type: ignore[attr-defined]
    assert await house.pending() == ()
    async with house.serving():
        await house.adapter.until(lambda reply: reply.job == first.job and not reply.images)
        await house.adapter.until(lambda reply: bool(reply.images) and not reply.fleeting)
    assert len(house.adapter.messages) == 1


# --- a picture that came with a call


class _Album(FakeAdapter):
    """A chat that gives out its pictures again and again."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self.asked: list[tuple[Attachment, int]] = []

    async def fetch(self, picture: Attachment, limit: int) -> bytes:
        self.asked.append((picture, limit))
        return self.data


PICTURE = Attachment("file-77", 1_234, "image/jpeg")


def test_a_picture_survives_the_inbox() -> None:
    call = Call("test:ana", "test:chat", "e1", Imagine("a fox"), picture=PICTURE)
    letter = converse.write(call)
    assert converse.reread(inbox.Event("test", "e1", "test:chat", letter, 0.0)).picture == PICTURE


async def test_the_loop_gets_the_picture_from_the_chat_that_it_came_from(house: House) -> None:
    house.adapter = _Album(saved(scene(), "PNG"))
    async with house.serving():
        house.adapter.say("a fox --n 1", picture=PICTURE)
        shown = await house.adapter.until(lambda reply: bool(reply.images))
    assert house.adapter.asked == [(PICTURE, MAX_BYTES)]
    job = await house.app.database.read(jobs.get, shown.reply.job)
    assert job
    assert job.request.source


async def test_a_crash_before_the_answer_fetches_the_picture_again(house: House) -> None:
    """Fresh: drawn from the picture. Old: an apology, without a button that would forget the picture."""
    house.adapter = _Album(saved(scene(), "PNG"))
    call = Call("test:ana", "test:chat", "e1", text="a fox --n 1", picture=PICTURE)
    old = replace(call, event="e2", place="test:other")
    for each, at in ((call, time.time()), (old, time.time() - converse.FRESH - 9)):
        row = ("test", each.event, each.place, converse.write(each), at)
        await house.app.database.write(inbox.accept, *row)
    async with house.serving():
        await house.adapter.until(lambda reply: bool(reply.images))
        await house.quiet()
    assert len(house.adapter.asked) == 1
    (sorry,) = [shown.reply for shown in house.adapter.shown if shown.place.startswith("test:other")]
    assert not sorry.buttons
