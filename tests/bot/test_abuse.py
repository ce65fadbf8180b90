"""R35: raids and sock puppets: who is new waits, or has a smaller share; a community asks at its own pace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.commands.cancel import cancelled
from bot.commands.mod import limits
from bot.commands.mod.cases import Appeal
from storage import jobs, ledger, policy
from storage.accounts import OWNER
from storage.database import Connection
from storage.jobs import Status
from storage.refusal import Refusal
from tests.bot.test_mod import first, refused
from tests.fakes.engine import FakeEngine
from tests.fakes.town import ANA, BEN, MODERATOR, Town, town

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


async def test_a_raid_that_is_over_hides_no_other_and_is_not_shown(still: Town) -> None:
    """Neither the community's that of the house, nor a channel's that of its community."""
    await still.mod("limits --raid 60")
    await still.mod("limits --channel art --raid 60")
    still.clock[0] += 2 * 3_600
    assert "Newcomers wait until" not in dict((await still.mod("limits")).fields)
    await first(still, BEN, "a fox")
    await still.mod("limits --raid 60")
    assert (await refused(still, BEN, "a wolf")).code == "raid"
    still.clock[0] += 2 * 3_600
    house = policy.Policy(raid=still.clock[0] + 60)
    await still.app.database.write(policy.save, "", "", house)
    assert (await refused(still, BEN, "a wolf")).code == "raid"


async def test_a_raid_takes_back_what_waits_where_it_counts(still: Town) -> None:
    """A channel's own in that channel alone; the house's in every community."""
    await first(still, BEN, "a fox")
    await first(still, BEN, "a wolf", channel="test:other")
    await first(still, BEN, "a bear", community="test:third", channel="test:there")
    await still.mod("limits --channel art --raid 60")
    assert await statuses(still) == [Status.CANCELLED, Status.QUEUED, Status.QUEUED]
    await still.say(OWNER, "/mod limits --raid 60", community="", channel="")
    assert await statuses(still) == [Status.CANCELLED] * 3


async def test_a_moderator_is_no_newcomer(still: Town) -> None:
    """However young the bot is: their ask is not refused, nor does their raid take back what is theirs."""
    await first(still, MODERATOR, "a fox")
    await still.mod("limits --raid 60")
    await first(still, MODERATOR, "a wolf")
    assert await statuses(still) == [Status.QUEUED] * 2


async def test_a_raid_takes_back_nothing_of_who_moderates_or_has_a_role_there(still: Town) -> None:
    """Also of moderators who are as new as the raiders; of the same people elsewhere it does."""
    other = "test:leo"
    await first(still, other, "a fox", entitled=True)
    await still.mod("role friends test:ana")
    await first(still, ANA, "a wolf")
    await first(still, BEN, "a bear")
    await first(still, other, "a cat", community="test:third", channel="test:there")
    await still.mod("limits --raid 60")
    assert await statuses(still) == [Status.QUEUED, Status.QUEUED, Status.CANCELLED, Status.QUEUED]
    await still.say(OWNER, "/mod limits --raid 60", community="", channel="")
    assert await statuses(still) == [Status.QUEUED, Status.QUEUED, Status.CANCELLED, Status.CANCELLED]


async def test_a_role_that_is_everybody_is_given_to_nobody(still: Town) -> None:
    """It would be a way past a raid that nobody meant."""
    for text in ("role @everyone test:ben", "role todos test:ben", "limits --role everybody --weight 2"):
        assert (await refused(still, MODERATOR, f"/mod {text}")).code == "role_of_all"
    await still.mod("limits --raid 60")
    assert (await refused(still, BEN, "a fox")).code == "raid"


async def test_a_real_role_by_the_name_of_everybody_opens_no_door_and_can_be_left(still: Town) -> None:
    """*Members* is a role on many servers, and was given as one before."""
    titles = (("role:9", "Members"),)
    who = await still.say(MODERATOR, "/mod community --who members", titles=titles)
    assert "Members" in who[-1].text
    assert (await refused(still, BEN, "a fox")).code == "not_you"
    await still.mod("community --who everybody")
    await first(still, BEN, "a fox")
    assert (await still.mod("role members test:ben --leave")).text


async def test_who_is_taken_back_in_a_raid_reads_why_also_if_the_answer_fails(
    still: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    over: list[jobs.Job] = []
    still.app.dispatch.on_over = over.append
    await first(still, BEN, "a fox")

    def broken(*_: object) -> None:
        raise Refusal("database_locked")

    monkeypatch.setattr(limits, "shown", broken)
    with pytest.raises(Refusal, match="database_locked"):
        await still.mod("limits --raid 60")
    assert [job.status for job in over] == [Status.CANCELLED]
    text = cancelled(over[0], "en").text
    assert "#1 is cancelled" in text
    assert "too many came at once" in text


async def test_moderators_read_the_hour_of_a_raid_as_newcomers_do(still: Town) -> None:
    """In the zone of the community, in the answer, in what counts and in the record."""
    await still.mod("community --zone Madrid")
    said = await still.mod("limits --raid 60")
    assert "Newcomers wait until" in said.text
    assert " Madrid" in said.text
    assert " Madrid" in dict((await still.mod("limits")).fields)["Newcomers wait until"]


async def test_what_a_moderator_approves_comes_in_at_any_pace_and_in_a_raid(still: Town) -> None:
    """Whoever decides reads no refusal that is meant for somebody else."""
    await still.mod("rules add word forbidden")
    refusal = await refused(still, BEN, "a forbidden fox")
    await still.say(BEN, Appeal(int(str(refusal.values["matter"]))))
    await first(still, ANA, "a fox")
    await still.mod("limits --raid 60 --all-minute 1 --minute 1 --at-once 1")
    await still.press(await still.mod("cases"), "Draw it once")
    assert await statuses(still) == [Status.CANCELLED, Status.QUEUED]
    await still.mod("limits --raid 120")  # it goes on, and takes nothing back that was approved
    assert await statuses(still) == [Status.CANCELLED, Status.QUEUED]


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
