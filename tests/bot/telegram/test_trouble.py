"""Telegram refuses, breaks, answers late or not at all: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from bot.adapters.telegram import client, poll, sender
from bot.talk import Later, Unsure
from bot.texts import say
from storage import outbox
from tests.bot.telegram.house import House, Painter
from tests.fakes.telegram import Chat, Fault, Message
from tests.fakes.telegram.words import Bad
from tests.fakes.telegram.world import BOT_ID

Faulty = Callable[[str, dict[str, Any]], Fault | None]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits three seconds for a connection here."""
    monkeypatch.setattr(client, "AWAY", 0.05)
    monkeypatch.setattr(sender, "AWAY", 0.05)


def pictures(chat: Chat) -> list[Message]:
    return [each for each in chat.ours if each.file]


def times(how: int, method: str, fault: Fault) -> Faulty:
    """The first ``how`` requests of this method go wrong."""
    left = [how]

    def goes_wrong(name: str, values: dict[str, Any]) -> Fault | None:
        if name != method or not left[0]:
            return None
        left[0] -= 1
        return fault

    return goes_wrong


FAULTS = {
    "502": Fault(502), "500 but done": Fault(500, done=True), "connection lost": Fault(0),
    "answer lost": Fault(0, done=True), "429": Fault(429, retry_after=1),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["sendMessage", "editMessageMedia"])
async def test_whatever_happens_to_a_request_one_picture_comes(here: House, method: str, fault: str) -> None:
    ana = here.tele.world.person("Ana")
    here.tele.fault = times(2, method, FAULTS[fault])
    async with here.bot():
        ana.say("a red fox")
        await here.tele.picture(ana.private)
        await asyncio.sleep(0.3)
    assert len(pictures(ana.private)) == 1


async def test_a_picture_that_is_sent_instead_of_edited_comes_twice(
    here: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a send whose answer is lost, and that is tried again."""

    async def send(self: Any, at: Any, shown: Any, placeholder: Any, job: int) -> Any:
        try:
            return await self.picture(at, shown)
        except Unsure as unsure:
            raise Later(0.05) from unsure

    monkeypatch.setattr(sender.Sender, "deliver", send)
    ana = here.tele.world.person("Ana")
    here.tele.fault = times(1, "sendPhoto", FAULTS["answer lost"])
    async with here.bot():
        ana.say("a red fox")
        await here.tele.until(lambda: len(pictures(ana.private)) == 2)


async def test_a_429_in_one_chat_stops_no_other(here: House) -> None:
    ana, beto = here.tele.world.person("Ana"), here.tele.world.person("Beto")

    def ana_is_flooded(method: str, values: dict[str, Any]) -> Fault | None:
        return Fault(429, retry_after=60) if values.get("chat_id") == ana.id else None

    here.tele.fault = ana_is_flooded
    async with here.bot():
        ana.say("a red fox")
        await here.tele.until(lambda: [call for call in here.tele.calls if call.error == 429])
        began = time.monotonic()
        beto.say("a red fox")
        await here.tele.picture(beto.private)
        assert time.monotonic() - began < 30, "not the minute that she waits"
        await asyncio.sleep(0.3)
    refused = [call for call in here.tele.calls if call.error == 429]
    assert len(refused) <= 2, "who was told to wait does not ask again and again"


async def test_a_second_poller_is_waited_out_and_nothing_is_lost(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot():
        await here.tele.until(lambda: [c for c in here.tele.calls if c.method == "deleteWebhook"])
        other = asyncio.create_task(here.tele._updates({"timeout": 1}))
        await here.tele.until(lambda: here.tele.conflicts)
        ana.say("a red fox")
        await asyncio.wait({other})
        assert isinstance(other.exception(), Bad | type(None)), "we came back, and it was told so"
        await here.tele.picture(ana.private)
    assert len(pictures(ana.private)) == 1


async def test_a_wrong_token_is_said_once_and_stops_nothing(here: House) -> None:
    here.token = f"{BOT_ID}:wrong"
    async with here.bot() as app:
        await here.until(lambda: here.told)
        await asyncio.sleep(0.1)
        assert app.dispatch
    assert here.told == [say("en", "telegram.wrong_token")]


async def test_telegram_may_come_later_than_the_bot(here: House) -> None:
    """No connection at the start: it comes when it comes."""
    ana = here.tele.world.person("Ana")
    port = int(here.tele.root.rpartition(":")[2])
    await here.tele.close()
    async with here.bot():
        await asyncio.sleep(0.2)
        await here.tele.start(port)
        ana.say("a red fox")
        await here.tele.picture(ana.private)


async def test_telegram_goes_away_and_comes_back(here: House) -> None:
    ana = here.tele.world.person("Ana")
    port = int(here.tele.root.rpartition(":")[2])
    async with here.bot(Painter(seconds=0.3)):
        ana.say("a red fox")
        await here.tele.until(lambda: ana.private.ours)
        await here.tele.close()
        await asyncio.sleep(0.6)
        await here.tele.start(port)
        await here.tele.picture(ana.private)
        ana.say("a blue fox")
        await here.tele.picture(ana.private, 2)
    assert len(pictures(ana.private)) == 2


async def test_who_blocked_the_bot_finds_it_all_when_they_come_back(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot(Painter(seconds=0.3)) as app:
        ana.say("a red fox")
        await here.tele.until(lambda: ana.private.ours)
        ana.block()
        await here.until(lambda: app.outbox._messages[1].over)
        assert not pictures(ana.private)
        ana.unblock()
        ana.say("/start")
        word = say("en", "missed.text", n=1)
        told = (await here.tele.until(lambda: [m for m in ana.private.ours if m.text == word]))[0]
        ana.press(told, "#1")
        await here.tele.picture(ana.private)
        ana.say("/queue")
        await here.tele.until(lambda: say("en", "queue.nobody") in [m.text for m in ana.private.ours])
        await asyncio.sleep(0.2)
    assert len([m for m in ana.private.ours if m.text == word]) == 1, "said once"


async def test_a_placeholder_that_was_deleted_is_no_loss(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot(Painter(seconds=0.3)):
        ana.say("a red fox")
        (await here.tele.until(lambda: ana.private.ours))[0].delete()
        await here.tele.picture(ana.private)
        await asyncio.sleep(0.2)
    assert len(ana.private.ours) == 1


async def test_a_person_who_is_gone_keeps_nobody_waiting(here: House) -> None:
    ana, beto = here.tele.world.person("Ana"), here.tele.world.person("Beto")
    async with here.bot(Painter(seconds=0.2)) as app:
        ana.say("a red fox")
        await here.tele.until(lambda: ana.private.ours)
        ana.gone = True
        beto.say("a red fox")
        await here.tele.picture(beto.private)
        await here.until(lambda: all(app.outbox._messages[job].over for job in (1, 2)))
        await asyncio.sleep(0.2)
        assert await app.database.read(outbox.due, time.time() + 1e6, 10) == ()


# --- restarts


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15, 0.3, 0.5])
async def test_a_restart_between_any_two_steps_delivers_once(here: House, seconds: float) -> None:
    """The bot is stopped after so long, and started again: one message, one picture, one charge."""
    ana = here.tele.world.person("Ana")
    async with here.bot(Painter(seconds=0.2)):
        ana.say("a red fox")
        await asyncio.sleep(seconds)
    async with here.bot(Painter(seconds=0.05)) as app:
        await here.tele.picture(ana.private, seconds=45)
        await asyncio.sleep(0.3)
        assert await app.database.read(outbox.due, time.time() + 1e6, 10) == ()
    assert len(pictures(ana.private)) == 1
    assert len(ana.private.ours) <= 2


async def test_an_update_is_confirmed_only_when_it_is_safe(
    here: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot dies before its inbox has the row: Telegram still has the update."""
    from storage import inbox

    def dies(*values: object) -> bool:
        raise MemoryError

    ana = here.tele.world.person("Ana")
    with monkeypatch.context() as patch:
        patch.setattr(inbox, "accept", dies)
        async with here.bot():
            ana.say("a red fox")
            await asyncio.sleep(0.5)
    assert here.tele.world.updates, "it was not confirmed"
    async with here.bot():
        await here.tele.picture(ana.private)
    assert not here.tele.world.updates


async def test_an_update_that_comes_twice_is_one_wish(here: House) -> None:
    ana = here.tele.world.person("Ana")
    async with here.bot():
        ana.say("a red fox")
        again = dict(here.tele.world.updates)
        await here.tele.picture(ana.private)
        here.tele.world.updates |= again
        here.tele.world.news()
        await here.tele.until(lambda: not here.tele.world.updates)
        await asyncio.sleep(0.3)
    assert len(ana.private.ours) == 1


async def test_being_told_to_stop_takes_no_long_poll(here: House) -> None:
    async with here.bot():
        await here.tele.until(lambda: here.tele.calls)
        await asyncio.sleep(0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 3


async def test_poll_pauses_grow(here: House) -> None:
    """A Telegram that answers 502 is not hammered."""
    here.tele.fault = lambda method, values: Fault(502) if method == "getUpdates" else None
    async with here.bot():
        await asyncio.sleep(1.0)
    failed = [call.at for call in here.tele.calls if call.method == "getUpdates"]
    assert 2 <= len(failed) <= 8
    assert poll.PAUSES[0] < poll.PAUSES[-1]


# --- a storm (R6, R7 in small)


async def storm(here: House, wishes: int, seed: int, lost: float) -> dict[str, int]:
    """Every kind of fault at once, in as many chats as wishes: how many were lost, how many came twice."""
    dice = random.Random(seed)

    def weather(method: str, values: dict[str, Any]) -> Fault | None:
        if method in {"getMe", "setMyCommands", "getMyCommands", "deleteWebhook"} or dice.random() > lost:
            return None
        return dice.choice([*FAULTS.values()])

    people = [here.tele.world.person(f"P{number}") for number in range(wishes)]
    here.tele.fault = weather
    async with here.bot(Painter(credits=8)):
        for person in people:
            person.say("a red fox --n 1")
        await here.tele.until(lambda: all(pictures(p.private) for p in people), 90)
        await asyncio.sleep(0.5)
    shown = [len(pictures(person.private)) for person in people]
    return {"lost": shown.count(0), "doubled": sum(1 for each in shown if each > 1)}


async def test_a_storm_loses_nothing_and_doubles_nothing(here: House) -> None:
    assert await storm(here, 30, seed=7, lost=0.15) == {"lost": 0, "doubled": 0}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
async def test_a_long_storm_loses_nothing_and_doubles_nothing(here: House, seed: int) -> None:
    assert await storm(here, 200, seed=seed, lost=0.1) == {"lost": 0, "doubled": 0}
