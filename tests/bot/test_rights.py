"""What people may ask about themselves: appeals, their data, forgetting, gifts, and what is counted."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import backups, commands, converse, housekeeping
from bot.commands import mydata
from bot.commands.details import Details
from bot.home import Home
from bot.talk import Call
from bot.texts import why_not
from inference import wire
from inference.request import Request
from storage import accounts, forget, jobs, ledger, matters, rulebook
from storage.accounts import OWNER
from storage.allowances import Scene
from storage.database import Connection
from storage.jobs import Job, NewJob, Status
from storage.refusal import Refusal
from tests.bot.test_mod import first, refused
from tests.fakes.adapter import FakeAdapter
from tests.fakes.engine import FakeEngine
from tests.fakes.room import button
from tests.fakes.town import ANA, BEN, ELSEWHERE, HERE, MODERATOR, Town, town


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as made:
        made.app = replace(made.app, config=replace(made.app.config, data_dir=tmp_path))
        yield made
        assert await made.app.database.read(ledger.audit) == ()


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, engine=FakeEngine()) as made:
        yield made
        assert await made.app.database.read(ledger.audit) == ()


async def number_of(here: Town, who: str) -> int:
    account = await here.app.database.read(accounts.find, who)
    assert account
    return account


# --- appeals


async def test_a_refusal_shows_rule_words_next_step_and_a_way_to_appeal(here: Town) -> None:
    refusal = await refused(here, ANA, "a gore scene")
    shown = converse.refused("en", refusal)
    assert '"gore" (rule: words)' in shown.text
    assert "Say it without that word" in shown.text
    assert button(shown, "Appeal")


async def test_an_approved_appeal_is_drawn_at_its_old_place_and_leaves_no_mark(still: Town) -> None:
    await first(still, BEN, "a fox")
    shown = converse.refused("en", await refused(still, ANA, "much gore"))
    for text in ("a wolf", "a bear"):
        await first(still, BEN, text)
    await still.press(shown, "Appeal", ANA)
    listed = await still.mod("cases")
    assert "much gore" in listed.fields[0][1]
    assert {each.label.partition(" (")[2] for row in listed.buttons for each in row} == {"case 1)"}
    await still.press(listed, "Draw it once")
    ana = await number_of(still, ANA)
    (job,) = await still.app.database.read(jobs.mine, ana, 9)
    assert (job.request.prompt, job.turn, job.status) == ("much gore", 0.0, Status.QUEUED)
    assert (await still.app.database.read(jobs.ahead, job.id)).jobs == 1
    assert (await refused(still, ANA, "much gore")).code == "rule_words"
    with pytest.raises(Refusal, match="already_decided"):
        await still.press(listed, "It stays refused")


async def test_an_appeal_may_change_the_rule_with_a_way_back(here: Town) -> None:
    """It is drawn, its words are allowed here and nowhere else, and undoing that forbids them again."""
    shown = converse.refused("en", await refused(here, ANA, "much gore"))
    await here.press(shown, "Appeal", ANA)
    await here.press(await here.mod("cases"), "Allow these words from now on")
    ana = await number_of(here, ANA)
    (job,) = await here.app.database.read(jobs.mine, ana, 9)
    assert job.request.prompt == "much gore"
    await first(here, BEN, "gore and more")
    assert (await here.app.database.read(rulebook.of_community, HERE))[0].text == "gore"
    assert await here.app.database.read(rulebook.of_community, "test:other") == ()
    await here.mod("undo")
    assert (await refused(here, ANA, "a little gore")).code == "rule_words"


async def test_an_exception_that_would_not_help_decides_nothing(here: Town) -> None:
    """The pattern finds a part of a word, and exceptions are whole words."""
    await here.mod("rules add pattern blo+d")
    shown = converse.refused("en", await refused(here, ANA, "a bloody moon"))
    await here.press(shown, "Appeal", ANA)
    listed = await here.mod("cases")
    with pytest.raises(Refusal, match="exception_useless"):
        await here.press(listed, "Allow these words from now on")
    await here.press(listed, "Draw it once")


async def test_of_two_moderators_who_except_at_once_none_passes_the_most_rules(
    here: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's rule came between the look and the write: nothing is decided, and one way is left."""
    monkeypatch.setattr(rulebook, "MOST", 1)
    submit = here.app.dispatch.submit

    async def meanwhile(new: NewJob) -> Job:
        await here.app.database.write(rulebook.put, HERE, "word", "slime")
        return await submit(new)

    monkeypatch.setattr(here.app.dispatch, "submit", meanwhile)
    shown = converse.refused("en", await refused(here, ANA, "much gore"))
    await here.press(shown, "Appeal", ANA)
    listed = await here.mod("cases")
    with pytest.raises(Refusal, match="too_many_rules"):
        await here.press(listed, "Allow these words from now on")
    assert [each.text for each in await here.app.database.read(rulebook.of_community, HERE)] == ["slime"]
    await here.press(listed, "Draw it once")
    assert len(await here.app.database.read(jobs.mine, await number_of(here, ANA), 9)) == 1


async def test_an_upheld_appeal_is_told_where_it_was_asked_and_cards_come_to_the_desk(here: Town) -> None:
    adapter = FakeAdapter("test")
    here.app.outbox._adapters = {"test": adapter}
    await here.mod("community --desk")
    shown = converse.refused("en", await refused(here, ANA, "much gore"))
    await housekeeping.cases(here.app)
    assert adapter.shown == []  # nobody appealed yet
    await here.press(shown, "Appeal", ANA)
    for _ in range(3):
        await housekeeping.cases(here.app)
    (card,) = [each.reply for each in adapter.shown]
    assert card.prompt == "much gore"
    await here.press(card, "It stays refused")
    for _ in range(3):
        await housekeeping.cases(here.app)
    assert "the refusal stays" in adapter.shown[-1].reply.text
    assert len(adapter.shown) == 2


@pytest.mark.parametrize("community", ["test:other", HERE])
async def test_cases_that_nobody_decides_hold_up_no_others(here: Town, community: str) -> None:
    """Neither where there is no desk, nor those that have their card and wait."""
    adapter = FakeAdapter("test")
    here.app.outbox._adapters = {"test": adapter}
    await here.mod("community --desk")
    mia = await number_of(here, MODERATOR)
    waiting = matters.New(mia, Scene(community), Request(prompt="a fox"), "words", "", "test:1", "en")

    def appealed(tx: Connection) -> None:
        for _ in range(45):
            number = matters.offer(tx, waiting, here.clock[0])
            matters.appeal(tx, number, mia, here.clock[0])

    await here.app.database.write(appealed)
    await housekeeping.cases(here.app)
    shown = converse.refused("en", await refused(here, ANA, "much gore"))
    await here.press(shown, "Appeal", ANA)
    await housekeeping.cases(here.app)
    assert adapter.shown[-1].reply.prompt == "much gore"
    assert len(adapter.shown) == (46 if community == HERE else 1)


async def test_only_its_person_appeals_and_only_moderators_here_decide(here: Town) -> None:
    shown = converse.refused("en", await refused(here, ANA, "much gore"))
    with pytest.raises(Refusal, match="no_matter"):
        await here.press(shown, "Appeal", BEN)
    await here.press(shown, "Appeal", ANA)
    with pytest.raises(Refusal, match="already_appealed"):
        await here.press(shown, "Appeal", ANA)
    listed = await here.mod("cases")
    for who, code in ((ANA, "not_moderator"), (ELSEWHERE, "no_matter")):
        with pytest.raises(Refusal, match=code):
            await here.press(listed, "Draw it once", who)


async def test_a_refusal_nobody_appeals_is_forgotten_after_two_days(here: Town) -> None:
    shown = converse.refused("en", await refused(here, ANA, "much gore"))
    here.clock[0] += matters.KEPT + 1
    with pytest.raises(Refusal, match="no_matter"):
        await here.press(shown, "Appeal", ANA)
    await housekeeping.forget(here.app)
    assert await here.app.database.read(lambda tx: tx.execute("SELECT count(*) FROM matter").fetchone()) == (
        0,
    )


async def test_a_report_is_a_case_and_the_picture_may_be_covered_or_go(here: Town) -> None:
    from bot.commands.finished import finished

    await here.say(ANA, "a fox")
    (details,) = await here.say(BEN, Details(1))
    await here.press(details, "Report", BEN)
    await here.press(await here.mod("cases"), "Cover it")
    assert (await finished(await here.room.job(1), here.app)).images[0].spoiler
    await here.press(details, "Report", BEN)
    await here.press(await here.mod("cases"), "Remove it")
    assert not (await finished(await here.room.job(1), here.app)).images
    counts = dict((await here.say(BEN, "/transparency"))[0].fields)
    assert (counts["Pictures reported"], counts["Pictures removed"]) == ("2", "1")


# --- my data


async def test_my_data_are_a_zip_of_every_row_and_picture(here: Town) -> None:
    await here.say(ANA, "a fox --n 2")
    (reply,) = await here.say(ANA, "/mydata")
    (document,) = reply.images
    assert document.exact
    with zipfile.ZipFile(io.BytesIO(document.data)) as archive:
        assert sorted(archive.namelist()) == [
            "mydata.json", "pictures/1-1.png", "pictures/1-2.png", "pictures/1-grid.png",
        ]  # fmt: skip
        rows = json.loads(archive.read("mydata.json"))
        assert archive.read("pictures/1-1.png").startswith(b"\x89PNG")
    assert rows["jobs"][0]["request"]["prompt"] == "a fox"
    assert reply.private


async def test_more_pictures_than_a_message_carries_come_in_parts(
    here: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, the newest first; the rows in the first part alone, also where they leave no room."""
    for text in ("a fox --n 2", "a wolf --n 1"):
        await here.say(ANA, text)
    monkeypatch.setattr(mydata, "LARGEST", 1)
    (reply,) = await here.say(ANA, "/mydata")
    names, parts = [], iter([0, 1, 1, 1, 1])
    while True:
        assert f"{next(parts)} " in reply.text
        with zipfile.ZipFile(io.BytesIO(reply.images[0].data)) as archive:
            names.append(sorted(archive.namelist()))
        if not reply.buttons:
            break
        reply = await here.press(reply, "The next pictures", ANA)
    assert names[0] == ["mydata.json"]
    assert sorted(name for part in names for name in part if name != "mydata.json") == [
        "pictures/1-1.png", "pictures/1-2.png", "pictures/1-grid.png", "pictures/2-1.png",
    ]  # fmt: skip
    assert len(names) == 5


async def test_forgetting_asks_once_and_leaves_no_byte_on_the_disk(here: Town, tmp_path: Path) -> None:
    """R34: rows, log, pictures and backups."""
    await here.say(ANA, "a mauve axolotl --n 2")
    await here.say(BEN, "a fox")
    await here.app.database.checkpoint()
    await backups.make(here.app)
    secrets = (b"mauve axolotl", ANA.encode())
    assert all(secret in everything(tmp_path) for secret in secrets)
    pictures = set(tmp_path.rglob("*.png"))
    (asked,) = await here.say(ANA, "/forgetme")
    here.clock[0] += 1
    done = await here.press(asked, "Yes, forget me", ANA)
    assert "forgotten" in done.text
    assert not any(secret in everything(tmp_path) for secret in secrets)
    assert len(pictures) > len(set(tmp_path.rglob("*.png"))) > 0
    assert len(backups.all_in(Home(tmp_path).backups)) == 1
    assert (await refused(here, ANA, "a fox")).code == "over_quota"  # no second first grant
    with pytest.raises(Refusal, match="forget_again"):
        await here.press(asked, "Yes, forget me", ANA)


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


async def test_a_bot_that_dies_while_it_forgets_leaves_no_backup_that_knows_them(
    here: Town, tmp_path: Path
) -> None:
    """R34: rows are gone with the commit; log, files and backups when it runs again."""
    await here.say(ANA, "a mauve axolotl --n 2")
    await backups.make(here.app)
    here.clock[0] += 1
    await here.app.database.write(forget.forget, await number_of(here, ANA), here.clock[0], durable=True)
    secrets = (b"mauve axolotl", ANA.encode())
    assert all(secret in everything(tmp_path) for secret in secrets)
    here.clock[0] += 5
    await housekeeping.checkpoint(here.app)
    await housekeeping.backup(here.app)
    assert not any(secret in everything(tmp_path) for secret in secrets)
    (kept,) = backups.all_in(Home(tmp_path).backups)
    await housekeeping.backup(here.app)
    assert backups.all_in(Home(tmp_path).backups) == [kept]


async def test_somebody_forgotten_while_the_clock_was_ahead_costs_no_later_backup(
    here: Town, tmp_path: Path
) -> None:
    await here.say(ANA, "a fox")
    ahead = here.clock[0] + 90 * 86_400.0
    await here.app.database.write(forget.forget, await number_of(here, ANA), ahead, durable=True)
    for _ in range(3):
        here.clock[0] += 86_400.0
        await housekeeping.backup(here.app)
    assert len(backups.all_in(Home(tmp_path).backups)) == 3


async def test_who_is_drawn_for_is_told_to_wait(still: Town) -> None:
    await still.room.engine.hello(1)
    await first(still, ANA, "a fox")
    await still.room.engine.wait_for(wire.Draw)
    (asked,) = await still.say(ANA, "/forgetme")
    with pytest.raises(Refusal, match="forget_running"):
        await still.press(asked, "Yes, forget me", ANA)


async def test_the_owner_is_told_at_once_that_they_cannot_be_forgotten(here: Town) -> None:
    """Nothing is asked first; somebody else is asked, the control."""
    for said in ("/forgetme", "/olvidame --seguro"):
        with pytest.raises(Refusal, match="forget_owner") as caught:
            await here.say(OWNER, said)
        assert "data" in why_not("es", caught.value).splitlines()[1]
    (asked,) = await here.say(ANA, "/forgetme")
    assert asked.buttons


# --- gifts


async def test_a_gift_that_may_be_read_in_two_ways_is_none(here: Town) -> None:
    for said in ("/gift test:ben 1.500", "/regalar test:ben 1,500"):
        assert (await refused(here, ANA, said)).code == "unclear_amount"
    (given,) = await here.say(ANA, "/gift test:ben 1,5")
    assert "1.5" in given.text


async def test_gifts_move_credits_once_and_no_more_than_the_cap(here: Town) -> None:
    await here.mod("quota set everybody 10")
    await here.say(BEN, "/quota")
    await here.say(ANA, "/gift test:ben 6")
    assert (await refused(here, ANA, "a fox --n 4 --steps 8")).values["left"] == 4_000
    for _ in range(4):
        await here.say(BEN, "a fox")
    assert (await refused(here, BEN, "a fox --n 1")).values["left"] == 0
    await here.mod("community --gifts 7")
    assert (await refused(here, ANA, "/gift test:ben 2")).values["left"] == 1_000
    assert (await refused(here, ANA, "/gift test:ana 1")).code == "gift_self"
    assert (await refused(here, BEN, "/gift test:ana 1")).code == "over_everybody"
    assert (await refused(here, ANA, "/gift everybody 1")).code == "person_needed"
    for community in ("telegram:-5", HERE):
        unknown = await refused(here, ANA, "/gift @lucia 1", community=community)
        assert "/mod" not in converse.refused("en", unknown).text
        assert unknown.code == "unknown_person"


async def test_a_gift_to_an_id_that_was_never_met_is_refused_and_makes_no_account(here: Town) -> None:
    """Unless the chat itself says who that is: they were picked, mentioned or answered."""
    for typed in ("discord:5", "test:nobody"):
        call = here.call(ANA, None, text=f"/gift {typed} 3")
        with pytest.raises(Refusal, match="unknown_person"):
            await _given(here, call)
        assert await here.app.database.read(accounts.find, typed) is None
    answered = here.call(ANA, None, text="/gift test:answered 3", about="test:answered")
    await _given(here, answered)
    titles = (("person:test:mentioned", "New"),)
    await _given(here, here.call(ANA, None, text="/gift test:mentioned 3", titles=titles))
    await _given(here, here.call(ANA, commands.read("/gift test:picked 3")))
    for name in ("answered", "mentioned", "picked"):
        assert await number_of(here, f"test:{name}")


@pytest.mark.parametrize(("many", "code"), [("0", "too_little"), ("-1", "too_little"), ("1e9", "too_much")])
async def test_how_much_a_gift_may_be_is_said_without_a_flag_that_nobody_typed(
    here: Town, many: str, code: str
) -> None:
    refusal = await refused(here, ANA, f"/gift test:ben {many}")
    assert refusal.code == code
    assert "--" not in why_not("en", refusal)
    assert (await refused(here, ANA, "/gift test:ben 500000")).code == "gift_cap"


async def _given(here: Town, call: Call) -> None:
    said = call.ask if call.ask is not None else commands.read(call.text)
    async for _ in commands.answer(said, call, here.app):
        pass


async def test_my_quota_says_every_allowance_that_counts_and_what_is_held_against_me(here: Town) -> None:
    await here.mod("quota set everybody 10")
    await here.mod("quota set pool 30")
    await here.mod("warn test:ana mind the topic")
    await here.say(ANA, "a fox")
    fields = dict((await here.say(ANA, "/quota"))[0].fields)
    assert fields["You have left"] == "6 credits"
    assert fields["Of everybody's here"].startswith("6 left of 10 a day")
    assert fields["Of the community, together"].startswith("26 left of 30 a day")
    assert fields["Warning"].endswith("mind the topic")
