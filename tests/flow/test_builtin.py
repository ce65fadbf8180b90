"""The whole path with the built-in model, drawn by the real engine: slow, and few."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.flow.house import whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def test_the_built_in_model_draws_varies_and_enlarges() -> None:
    async with whole("--real") as house:
        await house.start()
        first = await house.chat.final_of(house.chat.say("a red fox --steps 4 --seed 3"), 300)
        assert first.now["images"][0] > 2_000, "a picture, not a flat colour"
        labels = [label for label, _ in first.now["buttons"]]
        vary = next(label for label in labels if "V1" in label)
        varied = await house.chat.final_of(house.chat.press(first, vary), 300)
        assert varied.now["images"]
        single = next(label for label in labels if "U2" in label)
        alone = await house.chat.final_of(house.chat.press(first, single), 300)
        assert alone.now["images"] or alone.now["buttons"]
        await house.quiet(60)
        assert house.wrongs() == []


async def test_kills_with_the_built_in_model() -> None:
    dice = random.Random(5)
    async with whole("--real") as house:
        await house.start()
        for _ in range(4):
            await house.chat.until_listening()
            house.chat.say(f"a red fox {dice.randrange(1_000)} --steps 4 --n 2")
            await house.until_engine()
            await asyncio.sleep(dice.uniform(0.5, 6.0))
            if dice.random() < 0.5:
                house.kill_engine()
            else:
                await house.kill_bot()
                await house.start()
        await house.quiet(300)
        assert house.wrongs() == []
