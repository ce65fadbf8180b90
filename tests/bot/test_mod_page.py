"""The moderators' page: who gets in, what each may see there; what is done there is what chats do."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import itertools
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot import texts, views, whatif
from bot.adapters.web.bureau import EXPORTS, VIEWS
from bot.adapters.web.mod import cell
from bot.bureau import SAYABLE, Bureau
from bot.commands import MODERATION
from bot.commands.mod.cases import Report
from bot.config import ROOT, Web
from bot.options import CHOICES
from bot.seats import LINK, SITTING, TRUSTED
from bot.talk import Reply
from storage import accounts, forget, ledger, review, stats
from storage.accounts import OWNER
from storage.database import Connection
from storage.refusal import Refusal
from tests.bot.test_mod import first
from tests.bot.web_server import Answer
from tests.browser.hostile import ACTIVE, QUIET
from tests.contracts.test_moderators import everything
from tests.fakes.engine import FakeEngine
from tests.fakes.office import Office, office
from tests.fakes.town import ANA, BEN, ELSEWHERE, HERE, MODERATOR, NOON

PROMPT = "a fox that only this town knows"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as made:
        yield made
        assert await made.town.app.database.read(ledger.audit) == ()


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[Office]:
    """An office whose engine draws nothing by itself."""
    async with office(tmp_path, engine=FakeEngine()) as made:
        yield made


async def picture_of(here: Office, prompt: str = PROMPT) -> tuple[int, str]:
    """A job of Ana's, drawn here, and the digest of its first picture."""
    replies = await here.town.say(ANA, prompt)
    assert replies[0].job
    _, view = replies, await here.view(await here.sit(), "gallery")
    job = next(each for each in view["jobs"] if each["id"] == replies[0].job)
    return job["id"], job["pictures"][0]["digest"]


# --- who gets in


ACTORS: dict[str, tuple[int, int]] = {
    "stranger": (401, 401),
    "forged cookie": (401, 401),
    "member": (403, 403),
    "moderator of another community": (403, 403),
    "moderator": (200, 200),
    "owner by their ordinary sign-in": (200, 200),
    "owner by a link": (200, 200),
    "expired link": (401, 401),
    "used link": (401, 401),
    "other browser": (401, 401),
    "seat too old": (401, 401),
    "got up": (401, 401),
    "no longer a moderator": (401, 401),
    "their chat says no": (403, 403),
}
"""Who, and what they get when they look and when they do something."""


async def browsers(here: Office) -> dict[str, str]:
    """Everybody's cookie. The clock moves meanwhile; whoever may come in sits down last."""
    await here.town.say(BEN, "/quota")
    found = {"stranger": "", "forged cookie": f"falopitas_mod_{here.web.port}={'a' * 24}.0.{'b' * 64}"}
    clock = here.town.clock
    late, old = await here.link(), await here.sit()
    clock[0] += LINK + 1
    found["expired link"] = cookie_of(await here.enter(late))
    clock[0] += SITTING
    found["seat too old"] = old
    found["got up"] = await here.sit()
    await here.post("/mod/api/leave", {}, found["got up"])
    found["no longer a moderator"] = await here.sit("test:max", entitled=True)
    with pytest.raises(Refusal, match="not_moderator"):
        await here.town.say("test:max", "/mod queue")
    found["their chat says no"] = await here.sit("gone:kim", entitled=True, channel="gone:x")
    clock[0] += TRUSTED + 1
    found["member"] = await here.member(BEN)
    found["moderator of another community"] = await here.sit(ELSEWHERE)
    found["owner by their ordinary sign-in"] = await here.owner()
    found["owner by a link"] = await here.sit(OWNER)
    link = await here.link()
    found["moderator"] = cookie_of(await here.enter(link))
    found["used link"] = cookie_of(await here.enter(link))
    found["other browser"] = ""
    assert set(found) == set(ACTORS)
    return found


def cookie_of(answer: Answer) -> str:
    return answer.headers.get("set-cookie", "").partition(";")[0]


async def requests(here: Office, cookie: str, digest: str, number: int) -> dict[str, int]:
    """Every route of the page as this browser asks for it: its address and the status of the answer."""
    found: dict[str, int] = {}
    for path, route in sorted(here.web._routes.items(), key=lambda each: each[0].endswith("/leave")):
        if not path.startswith("/mod/"):
            continue
        for address in filled(path, digest):
            if route.method == "GET":
                answer = await here.get(address, cookie, c=HERE)
            elif path.endswith("/do"):
                answer = await here.do(cookie, "mod rules add", kind="word", text=f"word{number}")
            else:
                body = {"token": "x"} if path.endswith("enter") else {}
                body |= {"community": HERE} if path.endswith("whatif") else {}
                answer = await here.post(address, body, cookie)
            found[address] = answer.status
    return found


def filled(path: str, digest: str) -> list[str]:
    if path.endswith("/view/{name}"):
        return [path.replace("{name}", name) for name in VIEWS]
    if path.endswith("/export/{name}"):
        return [path.replace("{name}", f"{name}.{form}") for name in EXPORTS for form in ("csv", "json")]
    return [path.replace("{digest}", digest)]


async def test_every_route_for_everybody(here: Office) -> None:
    """The matrix, from the server's own routes: who may not look gets nothing, and changes nothing."""
    _, digest = await picture_of(here)
    cookies = await browsers(here)
    wrong: list[str] = []
    for number, (actor, (looks, does)) in enumerate(ACTORS.items()):
        before = await here.town.app.database.read(everything)
        here.town.clock[0] += 20
        found = await requests(here, cookies[actor], digest, number)
        assert len(found) >= 8 + 6 + 6
        for address, status in found.items():
            expected = does if address.endswith("/do") else looks
            if address == "/mod/api/texts":
                expected = 200
            elif address == "/mod/api/enter":
                expected = 403
            elif address == "/mod/api/leave":
                expected = 200 if "falopitas_mod" in cookies[actor] and "forged" not in actor else 401
            if status != expected:
                wrong.append(f"{actor} {address}: {status}, not {expected}")
        changed = await here.town.app.database.read(everything) != before
        if changed != (does == 200):
            wrong.append(f"{actor}: changed {changed}")
    assert not wrong, "\n".join(wrong)


async def test_a_moderator_sees_nothing_of_another_community(here: Office) -> None:
    """Their own views, without naming a community: no word, name or picture of this town."""
    job, digest = await picture_of(here)
    await here.town.mod("rules add word secretword")
    await here.town.mod("block test:ana secretreason")
    await here.town.say(BEN, Report(job))
    theirs, ours = await here.sit(ELSEWHERE), await here.sit()
    for name in VIEWS:
        text = json.dumps(await here.view(theirs, name))
        assert not [word for word in (PROMPT, ANA, "secret", digest) if word in text], name
    for name in EXPORTS:
        text = (await here.get(f"/mod/api/export/{name}.csv", theirs)).body.decode()
        assert not [word for word in (ANA, "secret") if word in text], name
    assert (await here.get(f"/mod/api/picture/{digest}", theirs)).status == 404
    assert (await here.get(f"/mod/api/picture/{digest}", ours)).status == 200
    assert (await here.view(theirs, "ledger", who=f"#{job}"))["entries"] == []
    for command, fields in (
        ("mod cancel", {"job": job}), ("mod picture", {"job": job, "way": "delete"}),
        ("mod undo", {"act": 1}), ("decide", {"matter": 1, "way": "remove"}),
    ):  # fmt: skip
        answer = await here.do(theirs, command, None, **fields)
        assert (answer.status, answer.json["error"]) == (400, "refused"), command


async def test_private_pictures_are_for_nobody_else(here: Office) -> None:
    await here.town.say(ANA, "/imagine my own fox --private")
    owner = await here.owner()
    for cookie in (await here.sit(), owner):
        assert (await here.view(cookie, "gallery", c=HERE))["jobs"] == []
    kept = await here.town.app.database.read(digests)
    assert kept
    for digest, size in itertools.product(kept, ("small", "picture")):
        assert (await here.get(f"/mod/api/{size}/{digest}", owner)).status == 404


def digests(tx: Connection) -> list[str]:
    return [str(each) for (each,) in tx.execute("SELECT digest FROM piece").fetchall()]


async def test_the_newest_link_alone_is_good_and_only_for_ten_minutes(here: Office) -> None:
    first, second = await here.link(), await here.link()
    assert first.startswith(f"{here.web.address}mod#seat=")
    assert (await here.enter(first)).error == "link"
    here.town.clock[0] += LINK - 40
    answer = await here.enter(second)
    assert answer.status == 200
    for word in ("HttpOnly", "SameSite=Strict", "Path=/mod"):
        assert word in answer.headers["set-cookie"]


async def test_the_link_is_sent_to_who_asks_alone(here: Office) -> None:
    reply = await here.town.mod("page")
    assert reply.private
    assert "10 min" in reply.text
    for who in (ANA, "test:max"):
        with pytest.raises(Refusal, match="not_moderator"):
            await here.town.say(who, "/mod page")


async def test_a_chat_is_asked_again_and_believed_only_so_long(here: Office) -> None:
    """Yes is good for a minute; silence for an hour since the last yes; no at once."""
    said: list[bool | None] = [True]

    async def moderates(who: str, community: str) -> bool | None:
        assert (who, community) == (MODERATOR, HERE)
        return said[0]

    here.town.app.seats.chats = {"test": moderates}
    cookie, clock = await here.sit(), here.town.clock
    for answer, later, status in (
        (True, 3_000.0, 200), (None, TRUSTED - 1, 200), (None, 2.0, 403), (True, 1.0, 200),
        (False, 30.0, 200), (False, 31.0, 403), (True, 1.0, 200),
    ):  # fmt: skip
        said[0], clock[0] = answer, clock[0] + later
        assert (await here.get("/mod/api/me", cookie)).status == status, (answer, later)


async def test_what_the_page_says_is_no_word_of_the_chat(here: Office) -> None:
    """Working at the page does not make a seat last: only the chat says who moderates."""
    cookie = await here.sit()
    for _ in range(4):
        here.town.clock[0] += TRUSTED / 4 - 10
        assert (await here.do(cookie, "mod quota set", subject="everybody", credits=20)).status == 200
    here.town.clock[0] += 41
    assert (await here.get("/mod/api/me", cookie)).error == "not_moderator"


async def test_a_forgotten_person_sits_nowhere(here: Office) -> None:
    cookie = await here.sit()
    database = here.town.app.database
    account = await database.read(accounts.find, MODERATOR)
    assert account
    await database.write(forget.forget, account, NOON)
    assert (await here.get("/mod/api/me", cookie)).error == "seat"


async def test_no_other_site_says_a_command(here: Office) -> None:
    cookie = await here.sit()
    body = {"command": "mod rules add", "fields": {"kind": "word", "text": "x"}}
    before = await here.town.app.database.read(everything)
    for headers, error in (
        ({"Origin": "http://evil.example"}, "origin"), ({"Origin": "null"}, "origin"),
        ({"Host": "evil.example"}, "host"), ({"Sec_Fetch_Site": "cross-site"}, "site"),
        ({"Sec_Fetch_Site": "same-site"}, "site"), ({"Content_Type": "text/plain"}, "json"),
        ({"Idempotency_Key": "short"}, "key"),
    ):  # fmt: skip
        answer = await here.post("/mod/api/do", body, cookie, **headers)
        assert answer.error == error, headers
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert (await here.get("/mod/api/do", cookie)).status == 405
    assert await here.town.app.database.read(everything) == before


async def test_the_page_says_moderators_commands_and_no_others(here: Office) -> None:
    cookie = await here.sit()
    assert set(SAYABLE) == {each.name for each in MODERATION} - {"mod page"} | {"decide"}
    for command in ("imagine", "mod page", "forgetme", "link", "", "mod  queue"):
        assert (await here.do(cookie, command)).json["code"] == "bad_button"
    for fields in ({"nonsense": 1}, {"job": "x"}, {"job": 2**90}, {}):
        assert (await here.do(cookie, "mod hold", **fields)).status == 400


# --- what is done there


async def test_what_is_done_here_is_what_chats_do(still: Office) -> None:
    """Held, released and undone by the page: the chat's record says so, in the moderator's name."""
    reply = cast("Reply", await first(still.town, ANA, "a fox"))
    job, cookie = reply.job, await still.sit()
    held = await still.do(cookie, "mod hold", job=job)
    undo = held.json["buttons"][0]
    assert undo["command"] == "mod undo"
    assert (await still.view(cookie, "queue"))["jobs"][0]["state"] == "held"
    log = await still.town.mod("log")
    assert log.fields[0][0].endswith(MODERATOR)
    assert log.fields[0][1] == held.json["text"]
    assert (await still.do(cookie, "mod undo", **undo["fields"])).status == 200
    assert (await still.view(cookie, "queue"))["jobs"][0]["state"] == "queued"
    acts = (await still.view(cookie, "audit"))["acts"]
    assert [(each["undone"], each["undoable"]) for each in acts] == [(False, False), (True, False)]


async def test_the_same_key_does_it_once(here: Office) -> None:
    cookie = await here.sit()
    body = {"command": "mod quota give", "fields": {"subject": ANA, "credits": 3}, "community": HERE}
    first = await here.post("/mod/api/do", body, cookie, Idempotency_Key="the-same-key")
    again = await here.post("/mod/api/do", body, cookie, Idempotency_Key="the-same-key")
    assert first.json["text"] == again.json["text"]
    account = await here.town.app.database.read(accounts.find, ANA)
    assert account
    assert await here.town.app.database.read(ledger.balance, account) == 103_000


async def test_pictures_are_held_covered_shown_and_deleted_with_the_reason(here: Office) -> None:
    job, digest = await picture_of(here)
    cookie = await here.sit()

    async def shown() -> str:
        return str((await here.view(cookie, "gallery"))["jobs"][0]["shown"])

    held = await here.do(cookie, "mod picture", job=job, way="hold", reason="too crude for here")
    assert "too crude for here" in held.json["text"]
    assert await shown() == "withheld"
    with pytest.raises(Refusal, match="no_job"):
        await here.town.say(BEN, Report(job))
    await here.do(cookie, "mod picture", job=job, way="spoiler")
    assert await shown() == "spoiler"
    await here.do(cookie, "mod undo")
    assert await shown() == "withheld"
    await here.do(cookie, "mod picture", job=job, way="show")
    assert await shown() == ""
    await here.town.say(BEN, Report(job))
    gone = await here.do(cookie, "mod picture", job=job, way="delete", reason="asked for by its person")
    assert gone.json["buttons"] == []
    assert (await here.view(cookie, "gallery"))["jobs"] == []
    assert (await here.get(f"/mod/api/picture/{digest}", cookie)).status == 404
    assert not here.town.app.files.path(digest).exists()
    assert (await here.do(cookie, "mod picture", job=job, way="melt")).json["code"] == "bad_choice"


async def test_reports_are_decided_once_and_the_count_says_what_waits(here: Office) -> None:
    job, _ = await picture_of(here)
    await here.town.say(BEN, Report(job))
    cookie = await here.sit()
    (case,) = (await here.view(cookie, "cases"))["cases"]
    assert (case["kind"], case["prompt"], len(case["pictures"])) == ("report", PROMPT, 4)
    assert (await here.get("/mod/api/me", cookie)).json["communities"][0]["open"] == 1
    assert (await here.do(cookie, "decide", matter=case["id"], way="spoiler")).status == 200
    assert (await here.do(cookie, "decide", matter=case["id"], way="keep")).json["code"] == "already_decided"
    assert (await here.view(cookie, "cases"))["cases"] == []


async def test_the_owner_chooses_a_community_and_sees_all_at_home(here: Office) -> None:
    await picture_of(here)
    cookie = await here.owner()
    me = (await here.get("/mod/api/me", cookie)).json
    assert [each["id"] for each in me["communities"]] == ["", HERE]
    assert [each["id"] for each in (await here.view(cookie, "usage"))["communities"]] == [HERE]
    assert (await here.view(cookie, "gallery"))["jobs"] == []
    assert len((await here.view(cookie, "gallery", c=HERE))["jobs"]) == 1
    assert (await here.get("/mod/api/me", cookie, c="test:nowhere")).status == 403
    assert (await here.do(cookie, "mod quota set", subject="everybody", credits=7)).status == 200
    assert dict((await here.town.mod("quota show")).fields) == {"Everybody": "7 credits a day"}


# --- what is shown there


async def test_use_adds_up_and_every_day_has_its_place(here: Office) -> None:
    for who, days in ((ANA, 0), (BEN, 1), (ANA, 3)):
        here.town.clock[0] = NOON + days * 86_400
        await here.town.say(who, "a fox")
    view = await here.view(await here.sit(), "usage", days="7")
    assert [each["pictures"] for each in view["days"]] == [0, 0, 0, 4, 4, 0, 4]
    assert [(each["who"], each["units"]) for each in view["people"]] == [(ANA, 8_000), (BEN, 4_000)]
    totals, _ = await here.town.app.database.read(stats.since, HERE, NOON - 86_400, 9)
    assert view["totals"]["pictures"] == totals.pictures == 12
    cookie = await here.sit()
    for wrong in ("0", "x", "367", "-1", "1e3"):
        assert (await here.get("/mod/api/view/usage", cookie, days=wrong)).status == 400


async def test_the_ledger_is_searched(here: Office) -> None:
    replies = await here.town.say(ANA, "a fox")
    await here.town.say(BEN, "a wolf")
    cookie, job = await here.sit(), replies[0].job

    async def found(**query: str) -> list[tuple[str, int, Any]]:
        view = await here.view(cookie, "ledger", **query)
        return [(each["who"], each["units"], each["job"]) for each in view["entries"]]

    everything = await found()
    assert len(everything) == 4
    assert await found(who=ANA) == await found(who="@ana") == await found(who=f"#{job}") == everything[2:]
    assert await found(job=f"#{job}", why="reserve") == [(ANA, -4_000, job)]
    assert await found(since="2027-01-15", until="2027-01-15") == everything
    assert await found(since="2027-01-16") == await found(who="test:nobody") == []
    for wrong in ({"why": "theft"}, {"since": "yesterday"}, {"job": "1;--"}, {"who": "x" * 500}):
        assert (await here.get("/mod/api/view/ledger", cookie, **wrong)).status == 400


async def test_exports_are_whole_and_no_cell_is_a_formula(here: Office) -> None:
    await here.town.say(ANA, "a fox")
    await here.town.mod("warn test:ana =HYPERLINK(1)")
    cookie = await here.sit()
    for name, form in itertools.product(EXPORTS, ("csv", "json")):
        answer = await here.get(f"/mod/api/export/{name}.{form}", cookie)
        assert f'filename="falopitas-{name}.{form}"' in answer.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.body.decode()))) if form == "csv" else answer.json
        assert rows, (name, form)
    (usage,) = (await here.get("/mod/api/export/usage.json", cookie)).json
    assert (usage["person"], usage["pictures"], usage["units"]) == (ANA, 4, 4_000)
    for text in ("=1+1", "+1", "-1", "@x", "\t=1", "  =1", "\r=1"):
        assert str(cell(text)).startswith("'")
    assert [cell(each) for each in (-4_000, None, "fox")] == [-4_000, "", "fox"]
    for name in ("ledger.xml", "job.csv", "..%2fweb.key", "ledger"):
        assert (await here.get(f"/mod/api/export/{name}", cookie)).status == 404


async def test_the_queue_says_who_waits_how_long_and_keeps_private_words(still: Office) -> None:
    await first(still.town, ANA, "a fox")
    await first(still.town, BEN, "/imagine my secret --private")
    cookie = await still.sit()
    still.town.clock[0] += 70
    view = await still.view(cookie, "queue")
    assert [(each["who"], each["prompt"], each["waited"]) for each in view["jobs"]] == [
        (ANA, "a fox", 90.0), (BEN, None, 90.0),
    ]  # fmt: skip
    assert (view["waiting"], view["longest"]) == (2, 90.0)
    assert view["jobs"][1]["ahead"] == 1


async def test_a_full_house_hides_no_community_s_queue(
    still: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than so many are listed: of those that the moderator may see."""
    monkeypatch.setattr(views, "MOST_JOBS", 1)
    for prompt in ("a wolf", "a bear", "an owl"):
        await first(still.town, ELSEWHERE, prompt)
    await first(still.town, ANA, PROMPT)
    view = await still.view(await still.sit(), "queue")
    assert [each["prompt"] for each in view["jobs"]] == [PROMPT]


async def test_the_engine_says_how_it_is(here: Office) -> None:
    here.town.app.dispatch.speed.ratios = [0.4, 0.95, 1.0, 1.05, 3.0]
    view = await here.view(await here.sit(), "engine")
    assert [each["name"] for each in view["models"]] == ["builtin", "other"]
    assert view["engines"][0]["device"]
    assert (view["calibration"]["count"], view["calibration"]["middle"]) == (5, 1.0)
    assert [n for _, n in view["calibration"]["bins"]] == [1, 0, 0, 3, 0, 0, 0, 1]


async def test_hostile_words_travel_as_words(here: Office) -> None:
    """Whatever a rule, a reason or a prompt says comes back as the same text, never as markup."""
    cookie = await here.sit()
    for text in (*ACTIVE[:8], *QUIET[:12]):
        answer = await here.do(cookie, "mod rules test", prompt=text)
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.status == 200


async def test_what_moderators_look_through_is_found_by_index(here: Office) -> None:
    database = here.town.app.database

    def plans(tx: Connection) -> list[str]:
        queries = {
            review.PICTURES_SQL.format(shown="1"): (HERE, 1e12, 24), review.COMMUNITIES_SQL: (),
            review.DRAWN_SQL.format(where="1"): (review.RECENT, 0.0, 50),
        }  # fmt: skip
        explained = [tx.execute(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in queries.items()]
        return [str(row[3]) for rows in explained for row in rows]

    found = await database.read(plans)
    assert any("job_community" in each for each in found)
    assert not [each for each in found if each in {"SCAN job", "SCAN usage"}], found


async def test_a_small_community_s_ledger_is_found_without_passing_by_all_others(
    here: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is the same as by the way of a large one: entries of its jobs, and gifts to its purses."""
    await here.town.mod("quota set everybody 50")
    await here.town.say(ANA, "a fox")
    await here.town.mod(f"quota give {ANA} 5")
    await here.town.say(ELSEWHERE, "a wolf")

    def look(tx: Connection, wanted: review.Wanted) -> tuple[list[Any], str]:
        seen: list[str] = []
        tx.set_trace_callback(seen.append)
        found = [each.id for each in review.entries(tx, HERE, wanted, 9)]
        tx.set_trace_callback(None)
        plan = tx.execute(f"EXPLAIN QUERY PLAN {seen[-1]}").fetchall()
        return found, str(plan[0][-1])

    database, wanted = here.town.app.database, (review.Wanted(), review.Wanted(why="give"))
    small = [await database.read(look, each) for each in wanted]
    assert [plan.partition(" (")[0] for _, plan in small] == [
        "SEARCH ledger USING INTEGER PRIMARY KEY", "SEARCH ledger USING INDEX ledger_rare"
    ]  # fmt: skip
    assert [len(found) for found, _ in small] == [3, 1]
    monkeypatch.setattr(review, "SMALL", -1)
    large = [await database.read(look, each) for each in wanted]
    assert [found for found, _ in large] == [found for found, _ in small]
    assert large[0][1] == "SCAN ledger"


async def test_rare_entries_and_old_moments_are_found_without_passing_by_the_rest(here: Office) -> None:
    """The same entries as by looking at each, page by page, in the order of their moments."""
    mod, clock = here.town.mod, here.town.clock
    await mod("quota set everybody 50")
    for number in range(6):
        clock[0] = NOON + 86_400.0 * (number if number < 4 else 1)  # it jumps back
        await here.town.say(ANA, "a fox --n 1")
        await mod(f"quota give {ANA} {number + 1}")

    def look(tx: Connection, wanted: review.Wanted) -> tuple[list[int], list[int], str]:
        seen: list[str] = []
        tx.set_trace_callback(seen.append)
        paged: list[int] = []
        while found := review.entries(tx, None, replace(wanted, before=paged[-1] if paged else None), 2):
            paged += [each.id for each in found]
        tx.set_trace_callback(None)
        every = sorted(review.entries(tx, None, review.Wanted(), 99), key=lambda e: (-e.at, -e.id))
        fit = [
            each.id for each in every
            if wanted.why in ("", each.why)
            and (wanted.since or 0) <= each.at < (wanted.until or 2.0**40)
        ]  # fmt: skip
        plans = [tx.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()[0][-1] for sql in seen if "LIMIT" in sql]
        return paged, fit, {str(each).partition(" (")[0] for each in plans}.pop()

    day = 86_400.0
    for wanted, index in (
        (review.Wanted(why="give"), "ledger_rare"),
        (review.Wanted(why="give", until=NOON + 2 * day), "ledger_rare"),
        (review.Wanted(since=NOON + day, until=NOON + 2 * day), "ledger_at"),
        (review.Wanted(until=NOON + 1), "ledger_at"),
    ):
        paged, fit, plan = await here.town.app.database.read(look, wanted)
        assert paged == fit != []
        assert plan == f"SEARCH ledger USING INDEX {index}"


async def test_the_rare_entries_of_one_person_are_looked_for_among_theirs(here: Office) -> None:
    """A house has a refill for everybody and every day: the index of rare entries would pass by them all."""
    await here.town.say(ANA, "a fox")

    def look(tx: Connection) -> tuple[int, str]:
        seen: list[str] = []
        (me,) = tx.execute("SELECT min(account) FROM ledger").fetchone()
        tx.set_trace_callback(seen.append)
        found = review.entries(tx, None, review.Wanted(account=me, why="grant"), 9)
        tx.set_trace_callback(None)
        return len(found), str(tx.execute(f"EXPLAIN QUERY PLAN {seen[-1]}").fetchall()[0][-1])

    by_person = "SEARCH ledger USING INDEX ledger_account (account=?)"
    assert await here.town.app.database.read(look) == (1, by_person)


async def test_without_a_page_there_is_no_link(here: Office) -> None:
    here.town.app.seats.address = ""
    with pytest.raises(Refusal, match="no_page"):
        await here.town.mod("page")


async def test_a_public_page_is_named_as_people_reach_it(here: Office) -> None:
    public = replace(here.town.app.config, web=Web(public=True, names=("bot.example.org",)))
    app = replace(here.town.app, config=public)
    Bureau(app).opened("http://127.0.0.1:8427/")
    assert app.seats.invite(MODERATOR, HERE, NOON).startswith("https://bot.example.org/mod#seat=")


SAID = re.compile(r'change\(call, app, f?"([a-z._{}]+)"')


def test_every_act_has_its_sentence() -> None:
    """Whatever a command writes down can be read in the record, in every language."""
    sources = [file.read_text("utf-8") for file in (ROOT / "bot" / "commands" / "mod").glob("*.py")]
    found = {name for source in sources for name in SAID.findall(source)}
    assert {"decide", "hold", "rules.add", "picture.{way}"} <= found
    ways = {f"picture.{way}" for way in CHOICES["ways"]}
    for name in (found - {"picture.{way}"}) | ways:
        assert texts.has(f"mod.did.{name}"), name


async def test_a_decision_stands_in_the_record(here: Office) -> None:
    job, _ = await picture_of(here)
    await here.town.say(BEN, Report(job))
    cookie = await here.sit()
    await here.do(cookie, "decide", matter=1, way="keep")
    (act,) = (await here.view(cookie, "audit"))["acts"]
    assert act["text"] == f"What was asked about {ANA} (case 1) is decided: It is fine."
    assert (await here.town.mod("log")).fields[0][1] == act["text"]


async def test_the_record_can_be_read_when_its_person_is_forgotten(here: Office) -> None:
    """Neither the chat nor the page breaks over what nobody may know any more."""
    job, _ = await picture_of(here)
    await here.town.mod(f"picture {job} hold rude")
    await here.town.mod(f"quota freeze {ANA} rude")
    database = here.town.app.database
    person = await database.read(accounts.find, ANA)
    assert person is not None
    await database.write(forget.forget, person, here.town.clock[0])
    lines = [line for _, line in (await here.town.mod("log")).fields]
    assert lines == ["It was about somebody whose data are deleted."] * 2
    cookie = await here.sit()
    assert [each["text"] for each in (await here.view(cookie, "audit"))["acts"]] == lines
    assert (await here.get("/mod/api/export/audit.csv", cookie)).status == 200


# --- what if


async def played(here: Office, cookie: str, **question: object) -> Any:
    """The answer to a question, once it is there."""
    query = {name: str(value) for name, value in question.items()}
    async with asyncio.timeout(120):
        while (found := await here.view(cookie, "whatif", **query))["state"] == "running":
            await asyncio.sleep(0.05)
    return found


async def test_a_question_is_played_beside_the_bot_and_answered_from_memory(here: Office) -> None:
    """A table whose first rows are ours, and the plots; the same question again begins nothing."""
    cookie, question = await here.sit(), {"mix": "newcomers", "engines": 2, "members": 5}
    assert await played(here, cookie, **question) == {"state": "none"}
    begun = await here.post("/mod/api/whatif", question, cookie)
    assert begun.json["state"] == "running"
    other = await here.post("/mod/api/whatif", question | {"engines": 3}, cookie)
    assert (other.status, other.json["code"]) == (400, "simulation_busy")
    answer = await played(here, cookie, **question)
    assert answer["state"] == "ready"
    assert answer["rows"][0]["ours"]
    assert {"Falopitas", "VTC"} <= {each["policy"] for each in answer["rows"]}
    assert all(each["slowest"] >= each["median"] > 0 for each in answer["rows"])
    assert base64.b64decode(answer["sheet"].partition(",")[2]).startswith(b"\x89PNG")
    again = await here.post("/mod/api/whatif", question, cookie)
    assert again.json == answer


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ({"engines": 17}, "out_of_range"), ({"members": 10_001}, "out_of_range"),
        ({"mix": "a b"}, "bad_question"), ({"engines": 0}, "shape"),
        ({"machine": "x"}, "shape"), ({"members": "many"}, "shape"),
    ],
)  # fmt: skip
async def test_what_the_form_cannot_say_is_refused(here: Office, question: object, error: str) -> None:
    answer = await here.post("/mod/api/whatif", question, await here.sit())
    assert answer.status == 400
    assert error in (answer.json.get("code"), answer.json["error"])


@pytest.mark.parametrize("how", ["slow", "broken"])
async def test_a_simulation_that_does_not_come_to_an_end_says_so(
    here: Office, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its process is gone, and the next question may be asked."""
    if how == "slow":
        monkeypatch.setattr(whatif, "SECONDS", 0.01)
    else:
        monkeypatch.setattr(whatif, "asked", lambda *_: ["--nonsense"])
    cookie = await here.sit()
    await here.post("/mod/api/whatif", {}, cookie)
    found = await played(here, cookie)
    assert (found["state"], bool(found["text"])) == ("failed", True)
    assert (await here.post("/mod/api/whatif", {}, cookie)).json["state"] == "running"
