"""What ``falopitas doctor`` is told of a token, and how soon somebody is answered."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from bot.adapters.telegram import check
from bot.secret import Secret
from bot.texts import LANGUAGES, say
from tests.bot.telegram.house import House, Painter, house
from tests.fakes.proxy import TELEGRAM, Fault, Proxy
from tests.fakes.telegram.world import BOT_ID


async def found(here: House, token: str = "", webhook: str = "") -> dict[str, str]:
    findings = await check(Secret(token or here.token), here.tele.root, webhook)
    for finding in findings:
        for language in LANGUAGES:
            assert say(language, f"telegram.check.{finding.what}", **dict(finding.values))
    return {finding.what: finding.mark for finding in findings}


async def test_a_bot_that_is_set_up_well_is_only_named(here: House) -> None:
    assert await found(here) == {"name": "ok"}


async def test_what_is_missing_is_named(here: House) -> None:
    here.tele.world.privacy, here.tele.world.inline, here.tele.methods.groups = False, False, False
    assert await found(here) == {"name": "ok", "privacy": "note", "inline": "note", "groups": "note"}


async def test_somebody_elses_webhook_is_named_and_our_own_is_not(here: House) -> None:
    here.tele.methods.webhook = {"url": "https://x.example/hook"}
    assert await found(here) == {"name": "ok", "webhook": "bad"}
    assert await found(here, webhook="https://x.example/hook") == {"name": "ok"}
    assert here.tele.methods.webhook, "it changes nothing"


@pytest.mark.parametrize("token", [f"{BOT_ID}:wrong", "nonsense"])
async def test_a_wrong_token_is_told_from_no_network(here: House, token: str) -> None:
    assert await found(here, token) == {"token": "bad"}
    await here.tele.close()
    assert await found(here) == {"network": "bad"}


async def test_somebody_else_s_page_is_no_network_and_no_trace(here: House) -> None:
    """The page of a wireless network, as ``doctor`` sees it: a process that keeps no log."""
    asks = (
        "import asyncio, sys; from bot.adapters.telegram import check; from bot.secret import Secret; "
        "print([each.what for each in asyncio.run(check(Secret(sys.argv[1]), sys.argv[2]))])"
    )
    async with Proxy(here.tele.root, TELEGRAM, {Fault.PORTAL: 1.0}) as line:
        line.bad = True
        words = (sys.executable, "-W", "ignore", "-c", asks, here.token, line.root)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
    assert (out.decode().strip(), err.decode()) == ("['network']", "")


async def first_answers(folder: Path, waiting: int, asks: int) -> list[float]:
    """Processor seconds to the first visible answer while so many jobs wait, the fake's included.

    What a clock on the wall says of a quiet machine is ``python -m tests.bench.answers``.
    """
    clock = time.process_time
    async with house(folder, 1.0) as here:
        world = here.tele.world
        crowd = [world.person(f"P{number}") for number in range(waiting)]
        newcomers = [world.person(f"N{number}") for number in range(asks)]
        async with here.bot(Painter(credits=1, seconds=600)):
            for person in crowd:
                person.say("a red fox --n 1")
                await asyncio.sleep(0.045)
            await here.tele.until(lambda: all(person.private.ours for person in crowd), 120)
            taken = []
            for person in newcomers:
                began = clock()
                person.say("a red fox --n 1")
                await here.tele.until(partial(getattr, person.private, "ours"))
                taken.append(clock() - began)
                await asyncio.sleep(0.2)
        assert here.tele.flood.refused == 0
        return sorted(taken)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_first_answer_comes_at_once_with_two_hundred_waiting(tmp_path: Path) -> None:
    taken = await first_answers(tmp_path, 200, 100)
    print(f"p50 {statistics.median(taken):.3f} s, p99 {taken[98]:.3f} s, most {taken[-1]:.3f} s")
    assert taken[98] <= 0.3


async def test_the_first_answer_comes_at_once_with_twenty_waiting(tmp_path: Path) -> None:
    assert statistics.median(await first_answers(tmp_path, 20, 10)) <= 0.3
