"""The page with the whole bot behind it: only the engine is one in memory."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from bot.adapters.web import Web
from bot.app import App
from bot.home import Home
from bot.life import live
from bot.page import Page
from bot.talk import Adapter
from tests.fakes.engine import DrawingEngine
from tests.fakes.room import CONFIG

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def bot(folder: Path, port: int = 0) -> AsyncIterator[Web]:
    """A bot with a page, as `falopitas run` starts it."""
    made: list[Web] = []

    def adapters(app: App, home: Home) -> Sequence[Adapter]:
        made.append(Web(Page(app), home.data, port=port))
        return made

    async with live(replace(CONFIG, data_dir=folder), adapters, lambda *_: [DrawingEngine()]):
        yield made[0]


async def test_the_main_job_and_a_restart(browser: Browser, tmp_path: Path) -> None:
    """Prompt, grid, star, details, one alone, gallery, credits; and all of it again after a restart."""
    context = await browser.new_context(viewport={"width": 1200, "height": 820})
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    async with bot(tmp_path) as web:
        port = web.port
        await page.goto(web.launch_address())
        await page.fill("#prompt", "a red fox --steps 3")
        await page.keyboard.press("Enter")
        card = page.locator(".exchange").first
        await expect(card.locator("button.tile")).to_have_count(4)
        await card.locator(".kind-star").click()
        await expect(card.locator(".starred")).to_have_count(4)
        await card.locator(".kind-details").click()
        await expect(page.locator(".line code")).to_contain_text("/imagine a red fox")
        await card.get_by_text("U1", exact=True).click()
        await expect(page.locator(".exchange").last.locator("button.tile")).to_have_count(1)
        await page.fill("#prompt", "gore everywhere")
        await page.keyboard.press("Enter")
        await expect(page.locator(".reply.refused")).to_be_visible()
        await page.click("[data-view=gallery]")
        await expect(page.locator(".piece")).to_have_count(5)
        await page.click("[data-view=quota]")
        await expect(page.locator(".entry").first).to_be_visible()
    async with bot(tmp_path, port) as web:
        await page.goto(web.address)
        await expect(page.locator(".exchange")).to_have_count(2)
        first = page.locator(".exchange").first
        await expect(first.locator("button.tile")).to_have_count(4)
        await expect(first.locator(".starred")).to_have_count(4)
        await first.locator(".kind-again").click()
        await expect(page.locator(".exchange").last.locator("button.tile")).to_have_count(4)
        await page.get_by_role("button", name="Español").click()
        await page.fill("#prompt", "/cola")
        await page.keyboard.press("Enter")
        await expect(page.locator(".exchange").last.locator(".text")).to_contain_text("espera")
    await context.close()
    assert not errors


async def test_another_language_reaches_what_is_on_the_page(browser: Browser, tmp_path: Path) -> None:
    """Facts, buttons and headings of cards that were made before; also after a restart."""
    context = await browser.new_context(viewport={"width": 1200, "height": 820})
    page = await context.new_page()
    card, details = page.locator(".exchange").first, page.locator(".exchange").nth(1)
    async with bot(tmp_path) as web:
        port = web.port
        await page.goto(web.launch_address())
        await page.fill("#prompt", "a red fox --steps 3")
        await page.keyboard.press("Enter")
        await expect(card.locator(".facts")).to_contain_text("Model")
        await card.locator(".kind-details").click()
        await expect(details.get_by_role("heading", name="How #1 was drawn")).to_be_visible()
        await page.get_by_role("button", name="Español").click()
        await expect(card.locator(".facts")).to_contain_text("Modelo")
        await expect(card.get_by_role("button", name="Otra vez")).to_be_visible()
        await expect(details.get_by_role("heading", name="Cómo se dibujó #1")).to_be_visible()
        await expect(details.get_by_role("button", name="Copiar la línea")).to_be_visible()
    async with bot(tmp_path, port) as web:
        await page.goto(web.address)
        await expect(card.locator(".facts")).to_contain_text("Modelo")
    await context.close()


async def test_everything_the_bot_knows_of_me_is_a_zip_to_save(browser: Browser, tmp_path: Path) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 780})
    page = await context.new_page()
    async with bot(tmp_path) as web:
        await page.goto(web.launch_address())
        await page.fill("#prompt", "/mydata")
        await page.keyboard.press("Enter")
        file = page.locator(".exchange").last.get_by_role("link", name="falopitas-mydata.zip")
        await expect(file).to_contain_text("kB")
        await expect(page.locator(".exchange .pictures img")).to_have_count(0)
        async with page.expect_download() as waiting:
            await file.click()
        saved = await waiting.value
        assert saved.suggested_filename == "falopitas-mydata.zip"
        with zipfile.ZipFile(await saved.path()) as archive:
            assert archive.testzip() is None
            assert "mydata.json" in archive.namelist()
    await context.close()
