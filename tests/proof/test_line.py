"""R6, R7, R14 at the suite's size: a bad line, restarts, and the controls that must fail."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.bot.telegram.conftest import specification
from tests.bot.telegram.house import house
from tests.fakes.proxy import Fault
from tests.fakes.telegram.server import Fault as Broken
from tests.proof import line

__all__ = ["specification"]


async def test_on_a_line_with_every_fault_and_a_restart_nothing_is_lost_or_doubled() -> None:
    wrong, proxy = await line.played(1, restarts=1)
    assert wrong == []
    assert sum(proxy.fired.values()) > 0


@pytest.mark.parametrize("control", [False, True], ids=["recorded", "control"])
async def test_a_picture_whose_answer_was_lost_is_not_shown_twice_after_a_restart(
    control: bool, tmp_path: Path
) -> None:
    """Its message was made at the last moment. Control: what is not written down first is made again."""

    def lossy(method: str, values: dict[str, Any]) -> Broken | None:
        if method == "sendMessage" and "Got it" in values["text"]:
            return Broken(502)
        return Broken(0, done=True) if method == "editMessageMedia" else None

    with line.quick(), line.known_bad() if control else nullcontext():
        async with house(tmp_path) as here:
            ana = here.tele.world.person("ana")
            here.tele.fault = lossy
            async with here.bot():
                ana.say("/imagine a fox --n 1")
                await here.tele.picture(ana.private)
            here.tele.fault = lambda method, values: None
            wrong = await line.healed(here, [(ana, "a fox")])
    assert wrong == (["a fox: shown 2 times"] if control else [])


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
async def test_each_fault_alone_heals(fault: Fault) -> None:
    fired = 0
    for seed in range(3, 9):
        wrong, proxy = await line.played(seed, rates={fault: 0.6}, restarts=0)
        assert wrong == []
        fired += proxy.fired[fault]
        if fired:
            return
    pytest.fail(f"{fault} never happened")


@pytest.mark.slow
async def test_restarts_on_the_worst_line() -> None:
    for seed in range(20, 24):
        wrong, _ = await line.played(seed, rates=line.WORST)
        assert wrong == []
