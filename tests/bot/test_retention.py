"""How long pictures stay: each community says so itself, in files and rows; a star keeps one for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import housekeeping
from bot.housekeeping import DAY
from storage import gallery, jobs, policy
from storage.gallery import Piece
from storage.policy import Policy
from tests.fakes.town import ANA, BEN, ELSEWHERE, Town, town


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as made:
        yield made


async def _drawn(here: Town, who: str, **more: object) -> int:
    """A job of two pictures, finished."""
    replies = await here.say(who, "/imagine fox --n 2", **more)
    assert replies[0].job
    return replies[0].job


async def _left(here: Town, job: int) -> tuple[Piece, ...]:
    """What still hangs, each with its file; what does not has none."""
    hung = await here.app.database.read(gallery.of_job, job)
    for each in hung:
        assert await here.app.files.load(each.digest)
    return hung


async def _on_disk(here: Town) -> int:
    return len(list(here.app.files.folder.rglob("*.png")))


async def _later(here: Town, days: float) -> None:
    here.clock[0] += days * DAY
    await housekeeping.expire(here.app)


async def test_nothing_goes_where_nobody_said_so(here: Town) -> None:
    job = await _drawn(here, ANA)
    await _later(here, 10_000)
    assert len(await _left(here, job)) == 2


async def test_a_communitys_pictures_go_when_it_said_and_nobody_elses(here: Town) -> None:
    """Rows, files and the grid; what has a star stays, and so do the neighbours', who never said anything."""
    mine, theirs = await _drawn(here, ANA), await _drawn(here, ELSEWHERE)
    alone = await _drawn(here, BEN, community="", channel="")
    star = (await _left(here, mine))[1]
    await here.app.database.write(gallery.star, star.id, True)
    before = await _on_disk(here)
    await here.mod("community --retention 30")
    await _later(here, 29.9)
    assert len(await _left(here, mine)) == 2
    await _later(here, 0.2)
    assert [each.id for each in await _left(here, mine)] == [star.id]
    assert [len(await _left(here, each)) for each in (theirs, alone)] == [2, 2]
    assert await _on_disk(here) == before - 2, "one picture and the grid"
    assert (await here.app.database.read(jobs.get, mine)) is not None, "what was paid stays in the books"


async def test_the_houses_rule_stands_under_those_of_communities_and_channels(here: Town) -> None:
    """Operator 10 days; here 30, its #art for ever; elsewhere nothing of their own."""
    here.app = replace(here.app, config=replace(here.app.config, retention_days=10))
    await here.mod("community --retention 30")
    await here.mod("community --retention 0 --channel #art")
    art, chat = await _drawn(here, ANA), await _drawn(here, ANA, channel="test:chat")
    elsewhere, alone = await _drawn(here, ELSEWHERE), await _drawn(here, BEN, community="", channel="")
    await _later(here, 11)
    assert [len(await _left(here, each)) for each in (art, chat, elsewhere, alone)] == [2, 2, 0, 0]
    await _later(here, 20)
    assert [len(await _left(here, each)) for each in (art, chat)] == [2, 0]


async def test_the_policy_of_the_house_counts_before_its_configuration(here: Town) -> None:
    here.app = replace(here.app, config=replace(here.app.config, retention_days=10))
    await here.app.database.write(policy.save, policy.HOUSE, "", Policy(retention=0))
    job = await _drawn(here, ELSEWHERE)
    await _later(here, 100)
    assert len(await _left(here, job)) == 2


async def test_more_than_a_slice_goes_in_one_round(here: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when those that stay come first."""
    monkeypatch.setattr(housekeeping, "SLICE", 2)
    theirs = await _drawn(here, ELSEWHERE)
    mine = [await _drawn(here, ANA) for _ in range(3)]
    await here.mod("community --retention 1")
    await _later(here, 2)
    assert [len(await _left(here, each)) for each in mine] == [0, 0, 0]
    assert len(await _left(here, theirs)) == 2
    assert await _on_disk(here) == 3


async def test_one_that_got_its_star_meanwhile_stays(here: Town) -> None:
    """Between looking and deleting somebody may press ⭐."""
    job = await _drawn(here, ANA)
    ids = [each.id for each in await here.app.database.read(gallery.old, here.clock[0] + 1, 99)]
    star = (await _left(here, job))[0]
    await here.app.database.write(gallery.star, star.id, True)
    gone = await here.app.database.write(gallery.expire, ids)
    assert star.digest not in gone
    assert [each.id for each in await _left(here, job)] == [star.id]


async def test_moderators_are_told_what_it_does(here: Town) -> None:
    """Before, after, and where the house's own rule counts."""

    async def told() -> str:
        return dict((await here.mod("community")).fields)["How long pictures stay"]

    assert (await told()).startswith("Pictures stay until the person who asked deletes them.")
    here.app = replace(here.app, config=replace(here.app.config, retention_days=7))
    assert "7 days after" in await told()
    said = (await here.mod("community --retention 1")).text
    assert "Pictures without a star go 1 day after they were made, from gallery and disk" in said
    assert "1 day after" in await told()
    assert "30 días" in (await here.mod("comunidad --guardar 30", language="es")).text
