"""What moderators say, and what it does to what people may: real commands, storage and dispatcher."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot import commands, texts
from bot.commands.mod.common import change
from bot.commands.mod.log import Undo
from bot.commands.mod.parts import in_words
from inference import wire
from storage import acts, allowances, ledger
from storage.accounts import OWNER, Account, find
from storage.acts import Change
from storage.allowances import Allowance
from storage.calendar import Hours
from storage.database import Connection
from storage.policy import Policy, differing
from storage.refusal import Refusal
from tests.fakes.engine import FakeEngine
from tests.fakes.town import ANA, BEN, HERE, MODERATOR, NOON, Town, town

DAY = 86_400.0


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as made:
        yield made
        assert await made.app.database.read(ledger.audit) == ()


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[Town]:
    """A town whose engine draws nothing by itself."""
    async with town(tmp_path, engine=FakeEngine()) as made:
        yield made
        assert await made.app.database.read(ledger.audit) == ()


async def refused(here: Town, who: str, text: str, **more: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await here.say(who, text, **more)
    return caught.value


# --- the sentence of the issue: "members 20 a day, supporters 100, #art only, 4 at a time, nights free"


SETUPS = {
    "one line": ["setup members 20 a day, supporters 100, #art only, 4 at a time, nights free, "
                 "Buenos Aires time"],
    "without setup": ["members 20 a day, @supporters 100", "only #art", "4 at a time. Nights are free.",
                      "Buenos Aires time"],
    "in Spanish": ["configurar miembros 20 por día y supporters 100; solo #art, 4 a la vez, noches gratis, "
                   "hora de Buenos Aires"],
    "part by part": ["quota set members 20", "quota set @supporters 100", "limits --at-once 4",
                     "community --only art --free 22-8 --zone Buenos Aires"],
}  # fmt: skip


@pytest.mark.parametrize("lines", SETUPS.values(), ids=SETUPS)
async def test_a_community_is_set_up_in_whichever_way_its_moderator_says_it(
    here: Town, lines: list[str]
) -> None:
    for line in lines:
        await here.mod(line)
    assert dict((await here.mod("setup")).fields) == {
        "Everybody": "20 credits a day", "@Supporters": "100 credits a day", "Only in": "#art",
        "Jobs at a time": "4", "Time zone": "America/Buenos_Aires", "Free": "22:00–08:00",
    }  # fmt: skip
    for _ in range(5):
        await here.say(ANA, "a fox")
    over = await refused(here, ANA, "a fox")
    assert (over.code, over.values["left"], over.values["of"]) == ("over_everybody", 0, 20_000)
    assert over.values["refills_at"].zone == "America/Buenos_Aires"  # type: ignore[attr-defined]
    assert (await refused(here, BEN, "a fox", channel="test:chat")).code == "not_here"
    for _ in range(6):
        await here.say(BEN, "a fox", roles=("role:7",))
    here.clock[0] = NOON + 13 * 3_600  # 23:00 there
    (reply, *_) = await here.say(ANA, "a fox")
    assert dict(reply.fields)["Cost"] == "0 credits"


async def test_a_setup_is_all_or_nothing_said_back_and_undone_as_one(here: Town) -> None:
    said = await here.mod("setup members 20 a day, 4 at a time, nights free")
    assert said.text == "It is set. Everybody: 20 credits a day. Free: 22:00–08:00. Jobs at a time: 4."
    assert dict(said.fields) == {"Time zone": "UTC, until you say yours: /mod setup Madrid time"}
    with pytest.raises(Refusal) as caught:
        await here.mod("setup members 5 a day, make it nice, quickly")
    found = [caught.value, *caught.value.also]
    assert [(each.code, each.values["text"]) for each in found] == [
        ("unclear_wish", "make it nice"), ("unclear_wish", "quickly"),
    ]  # fmt: skip
    for line, code in (
        ("members 5 a day, nobodies 9", "unknown_subject"),
        ("members 5 a day, only #nowhere", "unknown_channel"),
        ("members 5000 a day", "too_generous"), ("members 5 a day, 0 at a time", "out_of_range"),
        ("members 5 a day, Atlantis time", "unknown_zone"), ("test:ana 5 a day", "not_for_one"),
        ("members 5 a day, free 8-8", "bad_hours"), ("pool 2000000", "out_of_range"),
    ):  # fmt: skip
        assert (await refused(here, MODERATOR, f"/mod setup {line}")).code == code, line
    assert dict((await here.mod("quota show")).fields) == {"Everybody": "20 credits a day"}
    undone = await here.press(said, "Undo")
    assert dict(undone.fields)["It said"] == said.text
    assert (await here.mod("setup")).fields == ()
    assert "100 credits a day of the house" in (await here.mod("setup")).text


async def test_in_the_house_there_are_no_roles_and_no_channels(here: Town) -> None:
    """The owner at their own page: nobody can be mentioned there."""
    line = "/mod setup members 20 a day, supporters 100, #art only, 4 at a time"
    refusal = await refused(here, OWNER, line, community="", channel="", titles=())
    found = [refusal, *refusal.also]
    assert [(each.code, each.values["name"]) for each in found] == [
        ("no_roles_here", "supporters"), ("no_roles_here", "#art"),
    ]  # fmt: skip


async def test_two_amounts_for_the_same_are_refused(here: Town) -> None:
    await here.mod("setup members 7 a day")
    for line in (
        "everybody 20 a day, everybody 100 a month",
        "members 20, todos 30",
        "@role:7 5, supporters 6",
    ):
        refusal = await refused(here, MODERATOR, f"/mod setup {line}")
        assert refusal.code == "said_twice", line
    assert refusal.values["name"] == "@Supporters"
    assert dict((await here.mod("quota show")).fields) == {"Everybody": "7 credits a day"}


async def test_what_one_act_changed_twice_is_as_it_was_before_when_it_is_undone(here: Town) -> None:
    """Also of an act that was written down when a setup could say two amounts for the same."""
    await here.mod("setup members 7 a day")

    def work(tx: Connection, who: Account) -> Change:
        back = []
        for units in (20_000, 100_000):
            back.append(acts.allowance_back(tx, HERE, "everybody", ""))
            allowances.decide(tx, Allowance(HERE, "everybody", "", "day", units))
        return Change({"allowances": [], "parts": {}}, back)

    call = here.call(MODERATOR, Undo())
    await change(call, here.app, "setup", work)
    await here.mod("undo")
    assert dict((await here.mod("quota show")).fields) == {"Everybody": "7 credits a day"}


async def test_a_role_and_a_channel_of_one_name_are_told_apart(here: Town) -> None:
    titles = (("role:33", "Art"), ("discord:44", "art"), ("role:55", "supporters"))
    there = {"community": "discord:1", "channel": "discord:44", "titles": titles}
    await here.mod("quota set @art 5", **there)
    await here.mod("quota set #ART 6", **there)

    def decided(tx: Connection) -> list[tuple[str, str, int]]:
        found = allowances.of_community(tx, "discord:1")
        return [(each.kind, each.key, each.units) for each in found]

    assert await here.app.database.read(decided) == [
        ("channel", "discord:44", 6_000), ("role", "role:33", 5_000),
    ]  # fmt: skip
    for line in (
        "setup only #supporters",
        "community --only supporters",
        "limits --channel supporters --steps 9",
    ):
        refusal = await refused(here, MODERATOR, f"/mod {line}", **there)
        assert refusal.code == "unknown_channel", line


async def test_a_job_s_number_is_no_channel(here: Town) -> None:
    await here.say(ANA, "a fox")
    for line in ("setup only #1", "community --only #1", "limits --channel #1 --steps 9"):
        assert (await refused(here, MODERATOR, f"/mod {line}")).code == "unknown_channel", line
    await here.say(BEN, "a fox")


async def test_a_mentioned_person_s_name_is_no_role(here: Town) -> None:
    there = {**TELEGRAM, "titles": (("person:test:ana", "Ana"),)}
    await here.mod("setup ana 5 a day", **there)
    found = await here.app.database.read(allowances.of_community, "telegram:-5")
    assert [(each.kind, each.key) for each in found] == [("role", "ana")]


async def test_hours_and_shares_are_undone_each_for_itself(here: Town) -> None:
    await here.mod("setup nights free")
    await here.mod("setup closed 2-6, half price 13-15")
    await here.mod("limits --role @supporters --weight 2")
    await here.mod("setup free from 23 to 7")
    await here.mod("undo 1")
    assert dict((await here.mod("setup")).fields)["Closed"] == "02:00–06:00"
    assert "Free" not in dict((await here.mod("setup")).fields)
    await here.mod("undo 2")
    assert "Closed" not in dict((await here.mod("setup")).fields)
    assert dict((await here.mod("setup")).fields)["Share of a busy machine"] == "@Supporters × 2"
    await here.mod("undo 3")
    assert "Share of a busy machine" not in dict((await here.mod("setup")).fields)


TELEGRAM = {"community": "telegram:-5", "channel": "telegram:-5/9", "titles": (("telegram:-5/9", "art"),)}


async def test_where_a_chat_knows_no_roles_a_new_one_is_the_community_s_own(here: Town) -> None:
    said = await here.mod("setup supporters 8, members 4, only #art", **TELEGRAM)
    assert dict(said.fields) == {
        "@supporters": "Nobody has this role yet. Give it in answer to a message of theirs: "
        "/mod role supporters"
    }
    await here.say(ANA, "a fox", **TELEGRAM)
    assert (await refused(here, ANA, "a fox", **TELEGRAM)).code == "over_everybody"
    await here.mod("role supporters", about=ANA, **TELEGRAM)
    await here.say(ANA, "a fox", **TELEGRAM)
    assert (await refused(here, ANA, "a fox", **TELEGRAM)).code == "over_role"
    assert (await here.mod("quota set supporters 12", **TELEGRAM)).fields == ()
    assert (await refused(here, MODERATOR, "/mod quota set @lucia 9", **TELEGRAM)).code == "unknown_mention"
    assert (await refused(here, MODERATOR, "/mod setup only #other", **TELEGRAM)).code == "unknown_topic"
    assert (await refused(here, MODERATOR, "/mod mute lucia 3", **TELEGRAM)).code == "unknown_part"
    assert (await refused(here, MODERATOR, "/mod setup mute lucia 3", **TELEGRAM)).code == "unknown_subject"
    nowhere = {**TELEGRAM, "channel": ""}
    assert (await refused(here, MODERATOR, "/mod setup only here", **nowhere)).code == "no_topic"
    assert (await refused(here, MODERATOR, "/mod quota set supporter 9")).code == "unknown_subject", "Discord"


async def test_in_answer_to_somebody_it_is_about_them(here: Town) -> None:
    for line in ("quota give 5", "quota set 30", "quota take 2", "role friends", "warn please be kind"):
        ask = commands.read(f"/mod {line}", about=ANA)
        call = here.call(MODERATOR, ask, about=ANA)
        said = [reply async for reply in commands.answer(ask, call, here.app)][-1]
        assert ANA in said.text, line
    fields = (await here.mod("quota show", about=ANA)).fields
    assert dict(fields)[ANA].startswith("30 left")
    with pytest.raises(Refusal, match="missing_value"):
        commands.read("/mod quota give 5")


async def test_a_refusal_says_which_how_much_is_left_and_when_it_refills_in_local_time(here: Town) -> None:
    from bot.converse import refused as sentence_of

    await here.mod("community --zone Madrid")
    await here.mod("quota set everybody 5 --per week")
    await here.say(ANA, "a fox")
    over = await refused(here, ANA, "a fox")
    assert sentence_of("en", over).text.split("\n") == [
        "This costs 4 credits; of the 5 that everybody has here you have 1 left.",
        "New ones on 18 Jan 00:00 Madrid. Fewer pictures (--n 1) or steps cost less.",
    ]
    assert "Se renuevan el 18 ene 00:00 Madrid" in sentence_of("es", over).text


async def test_the_tightest_of_all_applies(here: Town) -> None:
    await here.mod("quota set everybody 20")
    await here.mod("quota set #art 12")
    await here.mod("quota set pool 8")
    await here.say(OWNER, "/mod quota set pool 16", community="")
    await here.say(ANA, "a fox")
    await here.say(BEN, "a fox")
    assert (await refused(here, ANA, "a fox")).code == "over_pool"
    await here.mod("quota reset pool")
    await here.say(ANA, "a fox")
    assert (await refused(here, BEN, "a fox")).code == "over_channel"
    await here.say(BEN, "a fox", channel="test:chat")
    assert (await refused(here, BEN, "a fox", channel="test:chat")).code == "over_house"


async def test_a_person_s_own_allowance_wins_over_their_roles_and_the_largest_role_over_everybody_s(
    here: Town,
) -> None:
    await here.mod("quota set everybody 4")
    await here.mod("quota set @supporters 8")
    await here.say(ANA, "a fox")
    await here.say(ANA, "a fox", roles=("role:7",))
    assert (await refused(here, ANA, "a fox", roles=("role:7",))).code == "over_role"
    await here.mod("quota set test:ana 12")
    await here.say(ANA, "a fox")
    assert (await refused(here, ANA, "a fox", roles=("role:7",))).code == "over_person"


async def test_a_new_day_there_is_a_new_allowance_and_a_clock_that_jumps_gives_none(here: Town) -> None:
    await here.mod("community --zone Montevideo")
    await here.mod("quota set everybody 4")
    tomorrow = NOON + 14 * 3_600
    await here.say(ANA, "a fox")
    for moment in (NOON + 60, NOON - 1, tomorrow - 1):
        here.clock[0] = moment
        assert (await refused(here, ANA, "a fox")).code == "over_everybody"
    here.clock[0] = tomorrow
    await here.say(ANA, "a fox")
    for moment in (tomorrow + 60, NOON, NOON - 11 * 3_600, tomorrow + DAY - 1):
        here.clock[0] = moment
        assert (await refused(here, ANA, "a fox")).code == "over_everybody"
    here.clock[0] = tomorrow + DAY
    await here.say(ANA, "a fox")


async def test_a_clock_that_was_years_ahead_takes_nobody_s_days_away(here: Town) -> None:
    await here.mod("quota set everybody 4")
    here.clock[0] = NOON + 3_000 * DAY
    await here.say(ANA, "a fox")
    here.clock[0] = NOON
    await here.say(ANA, "a fox")
    assert (await refused(here, ANA, "a fox")).code == "over_everybody"


async def test_failures_and_cancels_give_everything_back_to_where_it_came_from(still: Town) -> None:
    await still.mod("quota set everybody 5")
    await still.mod("quota give test:ana 3")
    await first(still, ANA, "a fox --n 4")
    assert (await refused(still, ANA, "a fox --n 4 --steps 5")).values["left"] == 4_000
    await first(still, ANA, "a wolf --n 4")
    assert (await refused(still, ANA, "a fox --n 1")).values["left"] == 0
    for number in (1, 2):
        await still.app.dispatch.cancel(number)
    assert dict((await still.mod("quota show test:ana")).fields)["Everybody"].startswith("8 left (3 of them")


async def first(here: Town, who: str, text: str, **more: object) -> object:
    """The first answer; the job is left waiting."""
    ask = commands.read(text, "imagine")
    replies = commands.answer(ask, here.call(who, ask, **more), here.app)
    reply = await anext(replies)
    await replies.aclose()  # type: ignore[attr-defined]
    return reply


async def test_limits_refuse_what_is_too_much_and_say_what_fits(here: Town) -> None:
    await here.mod("limits --steps 10 --n 2 --side 64 --models builtin --minute 3")
    for text, code in (
        ("a fox --steps 11 --n 1", "limit_steps"), ("a fox --n 3", "limit_count"),
        ("a fox --n 1 --size 96x64", "limit_side"), ("a fox --n 1 --model other --steps 5", "limit_side"),
    ):  # fmt: skip
        assert (await refused(here, ANA, text)).code == code
    for _ in range(3):
        await here.say(ANA, "a fox --n 1 --steps 5")
    assert (await refused(here, ANA, "a fox --n 1")).code == "too_fast"
    here.clock[0] += 61
    await here.say(ANA, "a fox --n 1")
    await here.mod("limits --lift steps")
    await here.say(ANA, "a fox --n 1 --steps 11")


async def test_a_channel_may_have_limits_of_its_own(here: Town) -> None:
    await here.mod("limits --n 1 --channel chat")
    assert (await refused(here, ANA, "a fox", channel="test:chat")).code == "limit_count"
    await here.say(ANA, "a fox")


async def test_closed_hours_say_when_it_opens(here: Town) -> None:
    await here.mod("community --closed 12-15")
    closed = await refused(here, ANA, "a fox")
    assert (closed.code, closed.values["opens"]) == ("closed", NOON + 2 * 3_600)
    here.clock[0] += 2 * 3_600
    await here.say(ANA, "a fox")


async def test_only_as_many_at_once_as_the_place_allows(still: Town) -> None:
    await still.mod("limits --at-once 2")
    await first(still, ANA, "a fox")
    await first(still, ANA, "a wolf")
    assert (await refused(still, ANA, "a bear")).code == "at_once"
    await first(still, BEN, "a fox")
    await still.app.dispatch.cancel(1)
    await first(still, ANA, "a bear")


async def test_a_role_may_have_a_larger_share_of_a_busy_machine(still: Town) -> None:
    await still.mod("limits --role @supporters --weight 2")
    for _ in range(2):
        await first(still, ANA, "a fox")
        await first(still, BEN, "a fox", roles=("role:7",))
    turns = await still.app.database.read(
        lambda tx: tx.execute("SELECT turn FROM job ORDER BY id").fetchall()
    )
    assert turns[2][0] == 2 * turns[3][0] > 0
    engine = still.room.engine
    await engine.hello(credits=4)
    weights = {draw.job: draw.weight for draw in await engine.wait_for(wire.Draw, 4)}
    assert weights == pytest.approx({1: 1.0, 2: 2.0, 3: 1.0, 4: 2.0}), "inside the engine, step by step, too"


# --- stepping in


async def test_frozen_and_blocked_people_are_told_why_and_it_ends(still: Town) -> None:
    await first(still, ANA, "a fox")
    said = await still.mod("block test:ana floods the channel --days 2")
    assert "1 job" in said.text
    assert (await still.room.job(1)).status.value == "cancelled"
    blocked = await refused(still, ANA, "a fox")
    assert (blocked.code, blocked.values["reason"]) == ("blocked", "floods the channel")
    await first(still, ANA, "a fox", community="test:other", channel="test:x")
    still.clock[0] += 2 * DAY + 1
    await first(still, ANA, "a fox")
    await still.mod("quota freeze test:ana exams")
    assert (await refused(still, ANA, "a fox")).code == "frozen"
    await still.mod("quota unfreeze test:ana")
    await first(still, ANA, "a fox")


async def test_a_held_job_keeps_its_place_and_costs_nothing_while_it_waits(still: Town) -> None:
    await first(still, ANA, "a fox")
    await first(still, BEN, "a wolf")
    held = await still.mod("hold 1")
    engine = still.room.engine
    await engine.hello(1)
    from inference import wire

    (draw,) = await engine.wait_for(wire.Draw)
    assert draw.job == 2
    await still.press(held, "Undo")
    await engine.say(wire.Ready(credits=1))
    assert [each.job for each in await engine.wait_for(wire.Draw, 2)] == [2, 1]


async def test_a_person_is_named_by_a_job_of_theirs_or_by_answering_them(here: Town) -> None:
    await here.say(ANA, "a fox")
    assert "test:ana" in (await here.mod("warn #1 mind the topic")).text
    assert "one of 2" in (await here.mod("warn once again", about=ANA)).text
    assert "test:ana" in (await here.mod("quota give #1 5")).text


async def test_roles_of_its_own_are_for_chats_without_any(here: Town) -> None:
    await here.mod("role friends test:ben")
    await here.mod("quota set @friends 8")
    await here.mod("quota set everybody 4")
    await here.say(BEN, "a fox")
    await here.say(BEN, "a fox")
    assert (await refused(here, BEN, "a fox")).code == "over_role"
    await here.mod("role friends test:ben --leave")
    assert (await refused(here, BEN, "a fox")).code == "over_everybody"


# --- rules


async def test_rules_are_tried_before_they_hurt_and_taken_back(here: Town) -> None:
    await here.mod("rules add word dragon")
    await here.mod(r"rules add pattern \bsword(s|fish)?\b")
    await here.mod("rules add allow dragon fruit")
    said = await here.mod("rules test a DRAGÓN in the snow")
    assert 'rule "words" found "dragon"' in said.text
    assert (await refused(here, ANA, "two swords")).code == "rule_patterns"
    await here.say(ANA, "a dragon fruit on a plate")
    assert (await refused(here, ANA, "a dragon and a dragon fruit")).code == "rule_words"
    await here.say(ANA, "a dragon", community="test:other")
    await here.press(said, "Remove this rule")
    await here.say(ANA, "a dragon")
    await here.mod("undo")
    assert (await refused(here, ANA, "a dragon")).code == "rule_words"


@pytest.mark.parametrize("text", ["(", "a{1000}{1000}", "(?=x)", r"(a)\1"])
async def test_a_pattern_that_is_none_or_not_linear_is_refused(here: Town, text: str) -> None:
    assert (await refused(here, MODERATOR, f"/mod rules add pattern {text}")).code == "bad_pattern"


# --- written down, undone


async def test_every_change_is_written_down_and_undone_once(here: Town) -> None:
    await here.mod("quota set everybody 20")
    said = await here.mod("quota set everybody 5")
    await here.press(said, "Undo")
    fields = dict((await here.mod("quota show")).fields)
    assert fields == {"Everybody": "20 credits a day"}
    with pytest.raises(Refusal, match="nothing_to_undo"):
        await here.press(said, "Undo")
    log = await here.mod("log")
    assert [line for _, line in log.fields] == [
        "Change 2 is undone.",
        "Everybody: 5 credits a day from now on. (undone)",
        "Everybody: 20 credits a day from now on.",
    ]
    await here.mod("undo")
    assert (await here.mod("quota show")).fields == ()


async def test_the_record_says_what_became_of_each_part(here: Town) -> None:
    said = await here.mod("community --free 22-8")
    assert said.text == "Changed. Free: 22:00–08:00."
    assert [label for label, _ in said.fields] == ["Time zone"], "whose night it is, and nothing more"
    await here.mod("community --zone Madrid --retention 30")
    said = await here.mod("limits --at-once 4")
    assert said.text == "Limits changed for: The whole community. Jobs at a time: 4."
    await here.mod("community --lift free")
    log = await here.mod("log")
    assert [line for _, line in log.fields][:3] == [
        "Changed. Free: no longer.",
        "Limits changed for: The whole community. Jobs at a time: 4.",
        "Changed. Time zone: Europe/Madrid. Pictures without a star go 30 days after they were made, from "
        "gallery and disk; stars keep them.",
    ]


async def test_an_older_change_is_undone_alone(here: Town) -> None:
    await here.mod("limits --steps 30")
    await here.mod("limits --steps 20 --at-once 4")
    await here.mod("community --zone Madrid")
    await here.mod("undo 2")
    assert dict((await here.mod("limits")).fields) == {"Steps": "30"}
    assert dict((await here.mod("community")).fields)["Time zone"] == "Europe/Madrid"


async def test_hours_that_are_taken_back_are_named_and_the_others_stay(here: Town) -> None:
    await here.mod("community --free 22-8 --closed 2-6")
    assert (await here.mod("community --lift free")).text == "Changed. Free: no longer."
    assert (await here.mod("community --half 13-15 --lift closed")).text == (
        "Changed. Half price: 13:00–15:00. Closed: no longer."
    )


async def test_what_is_so_already_is_said_and_written_nowhere(here: Town) -> None:
    await here.mod("limits --at-once 4")
    for text in ("limits --at-once 4", "limits --lift steps", "community --lift only"):
        assert (await refused(here, MODERATOR, f"/mod {text}")).code == "nothing_changed", text
    assert len((await here.mod("log")).fields) == 1


async def test_a_change_of_limits_says_it_once_and_what_counts_beside_it(here: Town) -> None:
    await here.mod("limits --at-once 4")
    said = await here.mod("limits --steps 20")
    assert (said.text, said.fields) == (
        "Limits changed for: The whole community. Steps: 20.", (("Jobs at a time", "4"),)
    )  # fmt: skip


async def test_roles_rules_and_reasons_are_said_in_words(here: Town) -> None:
    await here.mod("quota set @role:7 30")
    given = await here.mod("role @role:7 test:ana")
    assert given.text == "test:ana has the role @Supporters here."
    assert "(palabra)" in (await here.mod("rules add word gore", language="es")).text
    blocked = await here.mod("block test:ben floods the channel --days 3")
    assert "taken back" not in blocked.text
    assert blocked.text.endswith(" The reason: floods the channel")
    refusal = await refused(here, BEN, "a fox")
    assert texts.why_not("en", refusal).split("\n")[0].endswith(" The reason: floods the channel")
    await here.mod("quota freeze test:ana")
    assert texts.why_not("en", await refused(here, ANA, "a fox")).startswith(
        "Your credits are frozen here.\n"
    )


async def test_a_job_of_elsewhere_names_nobody_and_a_ledger_shows_what_is_from_here(here: Town) -> None:
    """A moderator of one place learns nothing of another; the owner of the machine does."""
    await here.say(BEN, "a wolf --n 1", community="test:other", channel="test:x")
    await here.say(BEN, "a fox --n 1")
    for text in ("block #1 floods", "quota show #1", "quota history #1", "picture 1 hold"):
        assert (await refused(here, MODERATOR, f"/mod {text}")).code == "no_job_here", text
    shown = " ".join(value for _, value in (await here.mod("quota history test:ben")).fields)
    assert "#2" in shown
    assert "#1" not in shown
    (everything,) = await here.say(OWNER, "/mod quota history #1")
    assert "#1" in " ".join(value for _, value in everything.fields)


@pytest.mark.parametrize("language", texts.LANGUAGES)
async def test_every_part_of_a_policy_has_words(here: Town, language: str) -> None:
    """Set, and taken back."""
    hours = (Hours(1320, 480, "free"), Hours(120, 360, "closed"))
    parts = differing(Policy(), Policy(
        language="es", zone="UTC", hours=hours, steps=30, side=512, count=4, at_once=4, burst=2,
        models=("a",), only=("test:art",), who=("role:7",), nsfw="allow", adult="allow", retention=0,
        gifts=1_000, weights={"role:7": 2.0}, desk="test:town/1",
        crowd=60, newcomers=0.5, raid=1_800_000_000.0,
    ))  # fmt: skip
    assert set(parts) == set(Policy.__struct_fields__)
    for said in (parts, dict.fromkeys(parts)):
        words = await here.app.database.read(in_words, said, language, "UTC")
        labels = set(parts) - ({"hours", "retention"} if said is parts else set())
        assert all(texts.say(language, f"mod.policy.{each}") in words for each in labels)
        assert "None" not in words
        assert "test:town" not in words


async def test_help_explains_what_moderators_say_to_them_alone(here: Town) -> None:
    (listed,) = await here.say(MODERATOR, "/help mod")
    assert listed == await here.mod("")
    (help_,) = await here.say(MODERATOR, "/help mod quota set")
    assert help_.title == "/mod quota set WHO CREDITS"
    assert dict(help_.fields)["Example"] == "/mod quota set everybody 20 --per day"
    assert "/mod" in dict((await here.say(MODERATOR, "/help"))[0].fields)
    assert "/mod" not in dict((await here.say(ANA, "/help"))[0].fields)
    assert (await refused(here, ANA, "/help mod")).code == "not_moderator"
    assert (await refused(here, MODERATOR, "/help mod nothing")).code == "unknown_command_near"


async def test_what_was_given_is_taken_back_by_undo_as_far_as_it_is_there(here: Town) -> None:
    await here.mod("quota set everybody 4")
    said = await here.mod("quota give test:ana 6")
    await here.say(ANA, "a fox")
    await here.say(ANA, "a fox")
    await here.press(said, "Undo")
    assert (await refused(here, ANA, "a fox --n 1")).values["left"] == 0


async def test_the_same_event_twice_is_one_act(here: Town) -> None:
    ask = commands.read("/mod quota give test:ana 5")
    call = here.call(MODERATOR, ask)
    for _ in range(2):
        async for _ in commands.answer(ask, call, here.app):
            pass
    account = await here.app.database.read(find, ANA)
    assert account
    assert await here.app.database.read(ledger.balance, account) == 105_000


async def test_a_moderator_is_no_owner(here: Town) -> None:
    assert (await refused(here, MODERATOR, "/mod quota set everybody 5000")).code == "too_generous"
    await here.say(OWNER, "/mod quota set everybody 5000")
    assert (await refused(here, MODERATOR, "/mod block terminal:owner no")).code == "block_owner"
    assert (await refused(here, MODERATOR, "/mod log", community="", channel="")).code == "not_moderator"


async def test_mod_alone_says_everything_that_there_is(here: Town) -> None:
    said = await here.mod("")
    assert [label for label, _ in said.fields] == [f"/{each.name}" for each in commands.MODERATION[1:]]
    assert commands.MODERATION[1].name == "mod setup", "the quickest way comes first"
    spanish = await here.mod("", language="es-MX")
    assert "/mod cuota fijar" in dict(spanish.fields)
    assert (await refused(here, MODERATOR, "/mod quota")).code == "unknown_part"
    unknown = await refused(here, MODERATOR, "/mod cuota amigos")
    assert unknown.values["known"]["es"].startswith("ver, fijar, dar")  # type: ignore[index]
    assert (await refused(here, MODERATOR, "/mod nonsense")).code == "unknown_part"


async def test_spanish_words_work_and_are_answered_in_spanish(here: Town) -> None:
    said = await here.mod("cuota fijar todos 20 --por semana", language="es")
    assert said.text == "Todo el mundo: 20 créditos por semana desde ahora."


async def test_queue_log_and_stats_show_what_happens_here_only(still: Town) -> None:
    await first(still, ANA, "a fox")
    await first(still, BEN, "a wolf", community="test:other", channel="test:x")
    queue = await still.mod("queue")
    assert [label for label, _ in queue.fields] == ["#1 · test:ana"]
    assert (await still.mod("stats")).text.startswith("Days: 7 · pictures: 0 · people: 1")
    assert (await refused(still, MODERATOR, "/mod cancel 2")).code == "no_job_here"
    assert "it cost nothing" in (await still.mod("cancel 1")).text
