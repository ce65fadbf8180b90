"""R6, R7, R14 at the suite's size: a bad line, restarts, and the controls that must fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot import desk, kiosk, life
from bot.adapters.discord.adapter import Discord
from bot.adapters.telegram import Telegram
from bot.app import App
from bot.config import Discord as DiscordSection
from bot.config import Telegram as TelegramSection
from bot.home import Home
from bot.secret import Secret
from bot.talk import Adapter
from tests.bot.adapters.discord.house import official
from tests.bot.telegram.conftest import specification
from tests.bot.telegram.house import UNIT, Painter, house
from tests.fakes import discord as wire
from tests.fakes.proxy import DISCORD, Fault, Proxy
from tests.fakes.room import CONFIG
from tests.fakes.telegram import TOKEN
from tests.fakes.telegram.server import Fault as Broken
from tests.proof import line, sides

__all__ = ["specification"]


@pytest.mark.parametrize("side", sides.SIDES)
async def test_on_a_line_with_every_fault_and_restarts_nothing_is_lost_or_doubled(side: str) -> None:
    played = await line.played(2, side, restarts=2)
    assert played.wrong == []
    assert sum(played.line.fired.values()) > 0
    assert played.served >= sides.PEOPLE


async def test_a_post_that_is_neither_looked_for_nor_known_comes_twice() -> None:
    """The control on Discord: lost answers, old tokens, and a bot that forgets what it posted."""
    for seed in range(1, 6):
        played = await line.played(seed, "discord", rates=line.WORST, bad=sides.known_bad())
        if any("shown" in wrong for wrong in played.wrong):
            return
    pytest.fail("it never came twice")


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.GARBAGE, Fault.TRUNCATE], ids=str)
async def test_what_breaks_at_the_gateway_heals_without_a_restart(fault: Fault) -> None:
    played = await line.played(1, "discord", rates={fault: 0.4}, restarts=0, only=line.GATEWAY)
    assert played.wrong == []
    assert played.line.fired[fault] > 0


async def test_a_bot_that_does_not_notice_silence_is_heard_no_more() -> None:
    """The control of the test above: half-open for ever."""
    bad, rates = line.deaf(), {Fault.HANG: 1.0}
    played = await line.played(1, "discord", rates=rates, restarts=0, only=line.GATEWAY, bad=bad)
    assert played.wrong == ["not healed: nobody is heard"]


async def test_a_judge_does_not_count_the_time_in_which_others_had_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As long as our clock stands still there is time; when it has run out, there is none."""
    ours = [0.0]
    waited: list[float] = []
    monkeypatch.setattr(sides, "awake", lambda: ours[0])

    async def judged() -> None:
        async with sides.patience(0.2):
            await asyncio.sleep(1.0)  # five times as long, by the wall
            waited.append(1.0)
            ours[0] = 0.3
            await asyncio.sleep(600.0)

    with pytest.raises(TimeoutError):
        await judged()
    assert waited


@pytest.mark.parametrize("control", [False, True], ids=["recorded", "control"])
async def test_a_picture_whose_answer_was_lost_is_not_shown_twice_after_a_restart(
    control: bool, tmp_path: Path
) -> None:
    """Its message was made at the last moment. Control: what is not written down first is made again."""

    def lossy(method: str, values: dict[str, Any]) -> Broken | None:
        if method == "sendMessage" and "Got it" in values["text"]:
            return Broken(502)
        return Broken(0, done=True) if method == "editMessageMedia" else None

    with sides.quick(), sides.known_bad() if control else nullcontext():
        async with house(tmp_path) as here:
            ana = here.tele.world.person("ana")
            here.tele.fault = lossy
            async with here.bot():
                ana.say("/imagine a fox --n 1")
                await here.tele.picture(ana.private)
            here.tele.fault = lambda method, values: None
            async with here.bot() as app:
                await here.until(lambda: app.outbox._messages and app.outbox._messages[1].over, 60)
    assert sum(1 for message in ana.private.ours if message.file) == (2 if control else 1)


async def test_one_platform_that_answers_nothing_does_not_slow_the_other(tmp_path: Path) -> None:
    """One bot on both: every request to Discord hangs from the middle of a job on; Telegram is served."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(house(tmp_path))
        server = await stack.enter_async_context(wire.wire())
        upstream = f"http://127.0.0.1:{server.port}"
        there = await stack.enter_async_context(Proxy(upstream, DISCORD, {Fault.HANG: 1.0}))
        server.front = there.root
        stack.enter_context(official())
        await stack.enter_async_context(_both(here.tele.root, f"{there.root}/api/v10", tmp_path))
        await here.until(lambda: server.presence, 30)
        asked = await server.slash("imagine", prompt="a red fox", n=1)
        await here.until(lambda: asked.answered, 30)
        there.bad = True
        people = [here.tele.world.person(f"P{number}") for number in range(8)]
        for number, person in enumerate(people):
            await server.slash("imagine", user=7_100 + number, prompt="a red fox", n=1)
            person.say("/imagine a fox --n 1")
        for person in people:
            await here.tele.picture(person.private)
        assert there.fired[Fault.HANG] > 0
        assert not any(message.files for message in server.messages.values()), "Discord is still away"


@asynccontextmanager
async def _both(telegram: str, discord: str, folder: Path) -> AsyncIterator[App]:
    ours = TelegramSection(api_root=telegram, token=Secret(TOKEN))
    theirs = DiscordSection(api_root=discord, token=Secret(wire.TOKEN))
    config = replace(CONFIG, data_dir=folder / "data", telegram=ours, discord=theirs, queue_limit=100)

    def adapters(app: App, home: Home) -> list[Adapter]:
        return [
            Telegram(ours, kiosk.Kiosk(app), unit=UNIT),
            Discord.enter(desk.Desk(app), theirs, home.data, app.clock, lambda text: None),
        ]

    engine = Painter(seconds=0.5, credits=8)
    async with life.live(config, adapters, lambda config, home: [engine]) as alive:
        yield alive.app


@pytest.mark.slow
@pytest.mark.parametrize(("side", "only", "fault"), line.CELLS, ids=str)
async def test_each_fault_alone_heals(side: str, only: str, fault: Fault) -> None:
    for seed in range(3, 9):
        played = await line.played(seed, side, rates={fault: 0.6}, restarts=0, only=only)
        assert played.wrong == []
        if played.line.fired[fault]:
            return
    pytest.fail(f"{fault} never happened")


@pytest.mark.slow
@pytest.mark.parametrize("side", sides.SIDES)
async def test_restarts_on_the_worst_line(side: str) -> None:
    for seed in range(20, 24):
        assert (await line.played(seed, side, rates=line.WORST)).wrong == []
