"""The clock that is a number: time jumps, threads are timers, and what is killed runs not one line more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.sim.loop import Loop, StuckError, made


def _run(work: Any, *, shuffled: bool = False, seed: int = 1) -> tuple[Any, Loop]:
    loop = made(seed, shuffled=shuffled)
    try:
        return loop.run_until_complete(work), loop
    finally:
        loop.close()


def test_a_day_passes_at_once_and_timers_come_in_their_order() -> None:
    heard: list[str] = []

    async def later(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        heard.append(name)

    async def day() -> float:
        await asyncio.gather(later("noon", 43_200), later("midnight", 86_400), later("dawn", 21_600))
        return asyncio.get_running_loop().time()

    assert _run(day())[0] == 86_400
    assert heard == ["dawn", "noon", "midnight"]


def test_what_is_killed_does_not_run_another_line_not_even_its_clearing_up() -> None:
    heard: list[str] = []

    async def victim() -> None:
        try:
            await asyncio.sleep(10)
            heard.append("woke")
        finally:
            heard.append("cleared up")

    async def world() -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        task = loop.begin(1, victim())
        await asyncio.sleep(1)
        loop.kill(1)
        del task
        await asyncio.sleep(100)
        return list(heard)

    assert _run(world())[0] == []


def test_a_thread_s_work_is_done_whole_though_its_caller_is_cancelled() -> None:
    done: list[int] = []

    async def caller() -> None:
        await asyncio.to_thread(done.append, 1)

    async def world() -> None:
        task = asyncio.create_task(caller())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(1)

    _run(world())
    assert done == [1]


def test_nobody_waits_for_what_never_comes() -> None:
    async def world() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StuckError):
        _run(world())


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_order_of_what_is_ready_at_once_is_the_seed_s(shuffled: bool) -> None:
    def order(seed: int) -> list[int]:
        heard: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(1)
            heard.append(number)

        async def all_of_them() -> None:
            await asyncio.gather(*map(one, range(20)))

        _run(all_of_them(), shuffled=shuffled, seed=seed)
        return heard

    assert order(1) == order(1)
    assert (order(1) == list(range(20))) is not shuffled
    assert (order(1) == order(2)) is not shuffled
