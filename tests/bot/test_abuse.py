"""R35: raids and sock puppets: who is new waits, or has a smaller share; a community asks at its own pace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import jobs, ledger
from storage.database import Connection
from storage.jobs import Status
from tests.bot.test_mod import first, refused
from tests.fakes.engine import FakeEngine
from tests.fakes.town import ANA, BEN, Town, town

DAY = 86_400.0


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, engine=FakeEngine()) as made:
        yield made
        assert await made.app.database.read(ledger.audit) == ()


async def statuses(here: Town) -> list[Status]:
    def look(tx: Connection) -> list[Status]:
        return [Status(status) for (status,) in tx.execute("SELECT status FROM job ORDER BY id").fetchall()]

    return await here.app.database.read(look)


async def test_in_a_raid_newcomers_wait_and_those_who_are_known_do_not(still: Town) -> None:
    """What newcomers had waiting is taken back; it ends by itself, and by a role that a moderator gives."""
    await first(still, ANA, "a fox")
    still.clock[0] += 4 * DAY
    for number in range(3):
        await first(still, f"test:puppet{number}", "spam")
    said = await still.mod("limits --raid 60")
    assert dict(said.fields)["Jobs of newcomers taken back"] == "3"
    assert await statuses(still) == [Status.QUEUED, *[Status.CANCELLED] * 3]
    refusal = await refused(still, "test:puppet0", "spam")
    assert (refusal.code, refusal.values["until"]) == ("raid", still.clock[0] + 3_600)
    await first(still, ANA, "a wolf")
    await still.mod("role friends test:puppet1")
    await first(still, "test:puppet1", "a bear")
    still.clock[0] += 3_601
    await first(still, "test:puppet0", "a cat")


async def test_a_raid_is_ended_by_hand_and_undone(still: Town) -> None:
    await still.mod("limits --raid 60")
    await still.mod("limits --lift raid")
    await first(still, BEN, "a fox")
    undone = await still.mod("limits --raid 60")
    await still.press(undone, "Undo")
    await first(still, BEN, "a wolf")


async def test_everybody_together_asks_at_the_pace_of_the_place(still: Town) -> None:
    """Ten puppets are no faster than one, and nobody elsewhere waits for them."""
    await still.mod("limits --all-minute 3")
    for number in range(3):
        await first(still, f"test:puppet{number}", "spam")
    refusal = await refused(still, "test:puppet3", "spam")
    assert (refusal.code, refusal.values["limit"]) == ("crowded", 3)
    await first(still, ANA, "a fox", community="", channel="")
    still.clock[0] += 61
    await first(still, ANA, "a fox")


@pytest.mark.parametrize(("share", "winner"), [("0.25", "ana"), ("1", "puppet")])
async def test_a_newcomer_has_the_share_of_a_busy_machine_that_the_place_gives(
    still: Town, share: str, winner: str
) -> None:
    """With a full share, the control, the newcomer's jobs come as early as anybody's."""
    await still.say(ANA, "/quota")
    still.clock[0] += 4 * DAY
    await still.mod(f"limits --newcomers {share}")
    for who in ("test:puppet", ANA):
        for number in range(3):
            await first(still, who, f"fox {number}")
    order = await still.app.database.read(lambda tx: [job.account for job in jobs.waiting(tx, 9)])
    ana = min(order)
    second = {account: [at for at, each in enumerate(order) if each == account][1] for account in order}
    assert (second.pop(ana) < min(second.values())) is (winner == "ana")


async def test_links_made_and_left_in_a_loop_give_neither_credits_nor_turns(still: Town) -> None:
    """Cancels and gifts neither."""
    await still.say(BEN, "/quota")
    code = dict((await still.say(ANA, "/link"))[-1].fields)["Code"]
    for _ in range(4):
        await still.say(BEN, f"/link {code}")
        await still.say(BEN, "/link --leave")
        still.clock[0] += 700
        code = dict((await still.say(ANA, "/link"))[-1].fields)["Code"]
    for _ in range(4):
        await first(still, ANA, "a fox --n 1")
        await still.say(ANA, "/cancel")

    def money(tx: Connection) -> list[int]:
        return [units for (units,) in tx.execute("SELECT units FROM ledger WHERE why = 'grant'").fetchall()]

    daily = still.app.config.daily_credits * 1_000
    assert sorted(await still.app.database.read(money)) == [daily, daily]
    owed = await still.app.database.read(lambda tx: tx.execute("SELECT max(finish) FROM account").fetchone())
    assert owed == (0.0,)


async def test_a_block_and_the_empty_queue_are_one_change(
    still: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a bot that dies at once after it."""
    for number in range(3):
        await first(still, ANA, f"fox {number}")
    monkeypatch.setattr(still.app.dispatch, "_end", lambda job: pytest.fail("it is gone"))
    with pytest.raises(pytest.fail.Exception, match="it is gone"):
        await still.mod("block test:ana floods")
    assert await statuses(still) == [Status.CANCELLED] * 3
