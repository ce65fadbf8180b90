"""The README's picture of the page: ``python -m tests.browser.picture``; the built-in model draws it anew."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from playwright.async_api import async_playwright, expect

from bot import logs
from bot.adapters.web import Web
from bot.app import App
from bot.bureau import Bureau
from bot.config import ROOT, load
from bot.home import Home
from bot.life import live
from bot.page import Page
from bot.talk import Adapter
from tests.browser.desk import CHROMIUM

OUT = ROOT / "deploy" / "readme" / "page.png"
PROMPT = "a red fox on a blue background --seed 7"
SIZE = 1100, 920
IN_TIME = 300_000.0
"""Milliseconds in which a busy machine has loaded the model and drawn."""


async def take(out: Path) -> None:
    """Start a bot, ask it on its page, take the page's picture."""
    made: list[Web] = []

    def adapters(app: App, home: Home) -> Sequence[Adapter]:
        made.append(Web(Page(app), home.data, port=0, bureau=Bureau(app)))
        return made

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        logs.start(folder=Path(folder))
        async with (
            live(replace(load(None, {}), data_dir=Path(folder)), adapters) as life,
            async_playwright() as play,
        ):
            life.leave = True
            browser = await play.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            page = await browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, locale="en-GB")
            await page.goto(made[0].launch_address())
            await page.fill("#prompt", PROMPT)
            await page.keyboard.press("Enter")
            await expect(page.locator("button.tile")).to_have_count(4, timeout=IN_TIME)
            await expect(page.locator(".kind-star")).to_be_visible()
            await page.wait_for_function(
                "[...document.images].every((each) => each.complete && each.naturalWidth)"
            )
            await page.screenshot(path=out, animations="disabled")
            await browser.close()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT))
