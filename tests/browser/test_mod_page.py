"""The moderators' page in a real browser, over the whole bot: only the engine is one in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.async_api import Browser, Page, expect

from bot.adapters.web.bureau import VIEWS
from bot.commands.mod.cases import Report
from bot.talk import Reply
from tests.bot.test_mod import first
from tests.browser.hostile import ACTIVE, QUIET
from tests.fakes.engine import FakeEngine
from tests.fakes.office import Office, office
from tests.fakes.town import ANA, BEN, MODERATOR

pytestmark = pytest.mark.asyncio(loop_scope="session")
EXPECTED = ("401 (Unauthorized)", "403 (Forbidden)", "400 (Bad Request)", "ERR_CONNECTION_REFUSED")
"""What the console may say: a door that is shut, a refusal, a bot that was stopped on purpose."""
RAN = "() => window.__ran || 0"
WIDTHS = """() => [document.documentElement, document.querySelector('.view')]
    .every((box) => box.scrollWidth <= box.clientWidth + 1)"""
NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, textarea')]
    .filter((each) => each.offsetParent && !each.textContent.trim() && !each.labels?.length
        && !each.getAttribute('aria-label')).map((each) => each.outerHTML)"""


@asynccontextmanager
async def at_the_page(browser: Browser, here: Office, address: str, **context: Any) -> AsyncIterator[Page]:
    """A browser of its own at this address; its console must stay clean."""
    opened = await browser.new_context(**{"viewport": {"width": 1200, "height": 820}, **context})
    page = await opened.new_page()
    wrong: list[str] = []
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    await page.goto(address)
    yield page
    await opened.close()
    bad = [line for line in wrong if not any(known in line for known in EXPECTED)]
    assert not bad, bad


async def go(page: Page, view: str) -> None:
    await page.click(f"[data-view={view}]")
    await expect(page.locator(f"[data-view={view}]")).to_have_attribute("aria-current", "page")
    await expect(page.locator(".page > .stack:not([aria-busy])")).to_have_count(1)


async def test_a_link_opens_the_page_once_and_leaves_no_trace(browser: Browser, tmp_path: Path) -> None:
    async with office(tmp_path) as here:
        link = await here.link()
        async with at_the_page(browser, here, link) as page:
            await expect(page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()
            await expect(page.get_by_text("Nothing under way")).to_be_visible()
            assert "seat" not in page.url
            await page.reload()
            await expect(page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()
            async with at_the_page(browser, here, link) as other:
                await expect(other.get_by_role("alert")).to_contain_text("used already")
                await expect(other.locator(".address")).to_have_text("/mod page")
            await page.get_by_role("button", name="Leave").click()
            await expect(page.locator(".door")).to_be_visible()
            await page.reload()
            await expect(page.locator(".door")).to_be_visible()


async def test_the_main_work_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    """Try a rule, add it, undo it; hold a picture with a reason; decide a report. All of it is recorded."""
    async with office(tmp_path) as here:
        replies = await here.town.say(ANA, "a red fox")
        await here.town.say(BEN, Report(replies[0].job))  # type: ignore[arg-type]
        async with at_the_page(browser, here, await here.link()) as page:
            await expect(page.locator(".count")).to_have_text("1")
            await go(page, "rules")
            await page.get_by_label("Prompt").fill("a blood moon")
            await page.get_by_role("button", name="Try").press("Enter")
            await expect(page.locator(".verdict.good")).to_be_visible()
            await page.get_by_label("Text").fill("blood")
            await page.keyboard.press("Enter")
            await expect(page.locator(".rule code")).to_have_text("blood")
            await page.get_by_role("button", name="Try").press("Enter")
            await expect(page.locator(".verdict.refused")).to_contain_text("blood")
            await page.locator(".toast").get_by_role("button", name="Undo").first.click()
            await expect(page.locator(".rule")).to_have_count(0)
            await go(page, "gallery")
            await page.get_by_role("button", name="Hold back").press("Enter")
            await expect(page.get_by_role("dialog")).to_be_visible()
            await page.keyboard.press("Escape")
            await expect(page.get_by_role("dialog")).to_have_count(0)
            await page.get_by_role("button", name="Hold back").press("Enter")
            await page.get_by_label("Reason").fill("too <b>crude</b>")
            await page.get_by_role("dialog").get_by_role("button", name="Hold back").press("Enter")
            await expect(page.locator(".review .mark")).to_have_text("held back")
            await go(page, "cases")
            await page.get_by_role("button", name="It is fine").press("Enter")
            await expect(page.locator(".case")).to_have_count(0)
            await expect(page.locator(".count")).to_be_hidden()
            await go(page, "audit")
            await expect(page.locator(".done")).to_have_count(4)
            await expect(page.locator(".done.undone")).to_contain_text("blood")
            await expect(page.locator(".done").nth(1)).to_contain_text("too <b>crude</b>")
            async with page.expect_download() as coming:
                await page.get_by_role("link", name="CSV").click()
            file = await (await coming.value).path()
            assert "picture.hold" in Path(file).read_text("utf-8")


async def test_a_queue_that_moves_takes_the_focus_from_nobody(browser: Browser, tmp_path: Path) -> None:
    """By keyboard: hold a job and let it go again on the same spot, while others come and are stopped."""
    async with office(tmp_path, engine=FakeEngine()) as here:
        await first(here.town, ANA, "a fox")
        second = cast("Reply", await first(here.town, BEN, "a cat"))
        assert second.job
        async with at_the_page(browser, here, await here.link()) as page:
            job = page.get_by_role("article", name=f"#{second.job}", exact=True)
            await job.get_by_role("button", name="Hold").press("Enter")
            await expect(job.get_by_role("button", name="Release")).to_be_focused()
            await here.town.mod(f"cancel {second.job - 1}")
            await expect(page.locator(".job")).to_have_count(1)
            await expect(job.get_by_role("button", name="Release")).to_be_focused()
            await job.get_by_role("button", name="Stop").press("Enter")
            await page.get_by_role("dialog").get_by_role("button", name="Stop").press("Enter")
            await expect(page.get_by_text("Nothing under way")).to_be_visible()
            await expect(page.locator(".page > .stack")).to_be_focused()
            await page.get_by_role("button", name="Dark").press("Enter")
            await expect(page.get_by_role("button", name="Light")).to_be_focused()


async def test_a_question_is_played_and_is_still_there_later(browser: Browser, tmp_path: Path) -> None:
    """By keyboard: the sentence, the table, the plots; and the form says what it cannot ask."""
    async with office(tmp_path) as here, at_the_page(browser, here, await here.link()) as page:
        await page.wait_for_selector(".rail")
        await go(page, "whatif")
        await expect(page.get_by_text("Nothing was asked yet")).to_be_visible()
        await page.get_by_label("Machines like this one").fill("99")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Nothing was asked yet")).to_be_visible()
        await page.get_by_label("Who asks").select_option("newcomers")
        await expect(page.get_by_label("Members")).to_be_disabled()
        await page.get_by_label("Machines like this one").fill("2")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="With 2 machines")).to_be_visible(timeout=120_000)
        await expect(page.locator(".plots img")).to_be_visible()
        await expect(page.get_by_role("cell", name="Falopitas").first).to_be_visible()
        await go(page, "queue")
        await go(page, "whatif")
        await expect(page.locator(".big-words").first).to_be_visible()
        await expect(page.get_by_label("Machines like this one")).to_have_value("2")


@pytest.mark.parametrize(("language", "look", "width"), [("en", "light", 360), ("es", "dark", 768)])
async def test_every_view_fits_and_has_names(
    browser: Browser, tmp_path: Path, language: str, look: Any, width: int
) -> None:
    """Nothing wider than the screen, no sentence missing, nothing to press without a name."""
    async with office(tmp_path) as here:
        await here.town.say(ANA, "a fox with " + "a very long name " * 9)
        await here.town.mod("warn test:ana " + "x" * 150)
        sizes = {"viewport": {"width": width, "height": 720}, "color_scheme": look, "locale": language}
        async with at_the_page(browser, here, await here.link(), **sizes) as page:
            await page.wait_for_selector(".rail")
            if language == "es":
                await page.get_by_role("button", name="Español").click()
                await expect(page.get_by_role("heading", name="Cola", exact=True)).to_be_visible()
            for view in VIEWS:
                await go(page, view)
                assert await page.evaluate(WIDTHS), view
                assert await page.evaluate(NAMELESS) == [], view
                assert "review." not in await page.inner_text("body"), view
                if view == "engine":
                    called = {"en": "Engine", "es": "Motor"}[language]
                    await expect(page.locator(".engines h2 bdi")).to_have_text(called)
            assert await page.get_attribute("html", "data-look") == look


async def test_a_row_of_the_ledger_is_read_on_a_phone_without_scrolling(
    browser: Browser, tmp_path: Path
) -> None:
    """It is folded, and still a table; every cell of it is in sight."""
    async with office(tmp_path) as here:
        await here.town.say(ANA, "a fox")
        sizes = {"viewport": {"width": 390, "height": 820}}
        async with at_the_page(browser, here, await here.link(), **sizes) as page:
            await page.wait_for_selector(".rail")
            await go(page, "ledger")
            table = page.get_by_role("table")
            await expect(table.get_by_role("cell", name="test:ana").first).to_be_visible()
            outside = """() => [...document.querySelectorAll('.foldable td')].filter((each) => {
                const box = each.closest('.scroll').getBoundingClientRect();
                const cell = each.getBoundingClientRect();
                return cell.width && (cell.left < box.left || cell.right > box.right + 1);
            }).length"""
            assert await page.evaluate(outside) == 0


async def test_it_speaks_the_language_of_who_sits_there(browser: Browser, tmp_path: Path) -> None:
    """Not the browser's, nor what was last chosen in it; what is chosen here stays until they say another."""
    async with office(tmp_path) as here:
        await here.town.say(MODERATOR, "/settings --language es", community="", channel="")
        async with at_the_page(browser, here, await here.link(), locale="en-US") as page:
            await expect(page.get_by_role("heading", name="Cola", exact=True)).to_be_visible()
            await page.evaluate("localStorage.setItem('falopitas.language', 'en')")
            await page.reload()
            await expect(page.get_by_role("heading", name="Cola", exact=True)).to_be_visible()
            await page.get_by_role("button", name="English").click()
            await page.reload()
            await expect(page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()
        async with at_the_page(browser, here, here.web.launch_address(), locale="en-US") as page:
            await page.get_by_role("button", name="Español").click()
            await expect(page.get_by_role("heading", name="¿Qué dibujamos?")).to_be_visible()
            await page.evaluate("localStorage.clear()")
            await page.goto(f"{here.web.address}mod")
            await expect(page.get_by_role("heading", name="Cola", exact=True)).to_be_visible()


async def test_hostile_words_are_only_words(browser: Browser, tmp_path: Path) -> None:
    """Prompts, rules, reasons and reports of every kind of markup stand there as text, in every view."""
    texts = (*ACTIVE, *QUIET[:8])
    async with office(tmp_path) as here:
        for text in texts[:3]:
            await here.town.say(ANA, f"/imagine {text}")
        await here.town.app.database.write(_plant, texts)
        async with at_the_page(browser, here, await here.link()) as page:
            for view in VIEWS:
                await go(page, view)
            await go(page, "rules")
            assert await page.locator(".rule code").all_text_contents() == list(texts)
            await go(page, "gallery")
            assert ACTIVE[0] in await page.locator(".reviews").inner_text()
            foreign = "main :is(script, iframe, object, embed, style, base, meta, [onerror], [onload])"
            assert await page.locator(foreign).count() == 0
            assert await page.evaluate(RAN) == 0


def _plant(tx: Any, texts: tuple[str, ...]) -> None:
    """These words wherever a moderator or a member can leave words."""
    rows = [("test:town", "word", text) for text in texts]
    tx.executemany("INSERT INTO rule (community, kind, text) VALUES (?, ?, ?)", rows)
    facts = [("test:town", 1, "warn", text) for text in texts]
    tx.executemany(
        "INSERT INTO sanction (community, account, kind, reason, at) VALUES (?, ?, ?, ?, 1.8e9)", facts
    )


async def test_the_owner_comes_by_their_own_door_and_an_outage_is_said(
    browser: Browser, tmp_path: Path
) -> None:
    async with office(tmp_path) as here:
        await here.town.say(ANA, "a fox")
        async with at_the_page(browser, here, here.web.launch_address()) as page:
            await expect(page.locator("#prompt")).to_be_visible()
            await page.goto(f"{here.web.address}mod#usage")
            await expect(page.get_by_role("heading", name="By community")).to_be_visible()
            plot = page.get_by_role("img", name="Pictures a day: 4 from")
            await expect(plot).to_be_visible()
            await page.get_by_label("Community").select_option("test:town")
            await go(page, "gallery")
            await expect(page.locator(".review")).to_have_count(1)
            await here.web.close()
            await page.get_by_role("button", name="Covered or held").click()
            await expect(page.get_by_role("alert")).to_contain_text("No connection")
            await expect(page.get_by_role("button", name="Try again")).to_be_visible()
