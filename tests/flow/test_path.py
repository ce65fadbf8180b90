"""The whole path through real processes, with a stub engine."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.flow.house import whole


async def test_imagine_again_vary_upscale_gallery() -> None:
    async with whole() as house:
        await house.start()
        first = await house.chat.final_of(house.chat.say("a red fox --seed 3"))
        assert first.now["images"]
        labels = dict(first.now["buttons"])
        again = await house.chat.final_of(house.chat.press(first, next(k for k in labels if "🔄" in k)))
        vary = await house.chat.final_of(house.chat.press(first, next(k for k in labels if "V2" in k)))
        assert again.now["images"]
        assert vary.now["images"]
        gallery = house.chat.say("/gallery")
        message = await house.chat.final_of(gallery)
        assert message.now["images"] or message.now["buttons"]
        await house.quiet()
        assert house.wrongs() == []


async def test_sigterm_ends_in_time_and_silently_and_the_busy_engine_draws_on() -> None:
    async with whole() as house:
        await house.start()
        slow = house.chat.say("fox [[slow 5]]")
        await house.chat.until(lambda: house.chat.in_chat(f"c{slow}"))
        await house.until_drawing()
        engine = house.engine()
        code, seconds, said = await house.stop_bot()
        assert (code, said) == (0, "")
        assert seconds < 60
        assert house.engine() == engine
        await house.start()
        await house.chat.final_of(slow)
        await house.quiet()
        assert house.look("SELECT attempt, deaths FROM job") == [(1, 0)], "adopted, not drawn twice"
        assert house.wrongs() == []


async def test_an_idle_engine_leaves_with_its_bot() -> None:
    async with whole() as house:
        await house.start()
        await house.chat.final_of(house.chat.say("fox"))
        await house.quiet()
        await house.stop_bot()
        async with asyncio.timeout(60):
            while house.engine():
                await asyncio.sleep(0.02)


async def test_a_second_bot_on_the_same_folder_is_refused_and_the_first_goes_on() -> None:
    async with whole() as house:
        first = await house.start()
        await house.chat.final_of(house.chat.say("fox"))
        second = await house.start()
        assert second.stderr
        said = (await second.stderr.read()).decode()
        assert await second.wait() != 0
        assert "already_running" in said
        house.bot = first
        await house.chat.final_of(house.chat.say("another fox"))


async def test_a_killed_engine_is_replaced_and_nobody_waits_forever() -> None:
    async with whole() as house:
        await house.start()
        asks = [house.chat.say(f"fox {n} [[slow 0.4]]") for n in range(4)]
        await house.chat.until(lambda: house.chat.in_chat(f"c{asks[3]}"))
        await house.until_drawing()
        house.kill_engine()
        for ask in asks:
            await house.chat.final_of(ask)
        await house.quiet()
        assert house.wrongs() == []


async def test_a_poison_job_fails_alone_at_its_third_death() -> None:
    async with whole() as house:
        await house.start()
        asks = [house.chat.say(f"fox {n} [[slow 0.1]]") for n in range(4)]
        poison = house.chat.say("poison [[die]]")
        asks += [house.chat.say(f"late fox {n}") for n in range(3)]
        message = await house.chat.final_of(poison, 60)
        assert not message.now["images"]
        for ask in asks:
            assert (await house.chat.final_of(ask)).now["images"]
        await house.quiet()
        rows = house.look("SELECT code, deaths FROM job WHERE status = 'failed'")
        assert rows == [("engine_died", 3)]
        assert house.wrongs() == []


async def test_a_hung_engine_is_killed_and_its_job_redone() -> None:
    async with whole("--silent", "5") as house:
        await house.start()
        ask = house.chat.say("fox [[slow 0.5]]")
        await house.chat.until(lambda: house.chat.in_chat(f"c{ask}"))
        pid = await house.until_engine()
        await house.until_drawing()
        os.kill(pid, signal.SIGSTOP)
        await house.chat.final_of(ask)
        await house.until_engine(other_than=pid)
        await house.quiet()
        assert house.wrongs() == []
