"""Somebody at the page: what they see and do, in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from bot.adapters.web import Web
from tests.browser.house import FakeHouse, Talk

CHROMIUM = "/usr/bin/chromium"
EXPECTED = ("401 (Unauthorized)", "net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE_CHUNKED_ENCODING")
"""What the console may say: a door that is shut, a server that was stopped on purpose."""
expect.set_options(timeout=60_000)


@dataclass
class Desk:
    """A browser page, the server behind it and the script of the bot."""

    browser: Browser
    context: BrowserContext
    page: Page
    folder: Path
    house: FakeHouse
    web: Web
    talk: Talk
    console: list[str] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    async def serve(self, port: int = 0) -> None:
        """Start the bot (again)."""
        self.web = Web(self.house, self.folder, port=port)
        await self.web.start()
        self.talk = Talk(self.web, self.house, pace=0.02)
        self._task = asyncio.create_task(self.talk.run())

    async def stop(self) -> None:
        """Stop the bot."""
        await self.web.close()
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def sign_in(self) -> None:
        await self.page.goto(self.web.launch_address())
        await expect(self.page.locator("#prompt")).to_be_visible()

    async def ask(self, text: str, *, pictures: int = 4) -> Locator:
        """Type it, send it, wait for its pictures; the card."""
        await self.page.fill("#prompt", text)
        await self.page.keyboard.press("Enter")
        await expect(self.last.locator("button.tile")).to_have_count(pictures)
        return self.last

    @property
    def last(self) -> Locator:
        return self.page.locator(".exchange").last

    @property
    def toast(self) -> Locator:
        return self.page.locator(".toast")

    async def view(self, name: str) -> None:
        await self.page.click(f"[data-view={name}]")

    async def fits(self) -> bool:
        """Nothing is wider than the screen."""
        return bool(
            await self.page.evaluate(
                "() => [document.documentElement, ...document.querySelectorAll('.view')]"
                ".every((box) => box.scrollWidth <= box.clientWidth + 1)"
            )
        )

    def check_console(self) -> None:
        """No error, and nothing the policy had to stop."""
        bad = [line for line in self.console if not any(known in line for known in EXPECTED)]
        assert not bad, bad


@asynccontextmanager
async def desk(browser: Browser, folder: Path, **context: Any) -> AsyncIterator[Desk]:
    """A desk while the block runs; ``context`` is the browser's (viewport, locale, color_scheme …)."""
    context = {"viewport": {"width": 1200, "height": 820}} | context
    opened = await browser.new_context(**context)
    await opened.grant_permissions(["clipboard-read", "clipboard-write"])
    page = await opened.new_page()
    house = FakeHouse(draw=_small)
    made = Desk(browser, opened, page, folder, house, Web(house, folder), None)  # type: ignore[arg-type]
    page.on("console", lambda line: made.console.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: made.console.append(str(error)))
    await made.serve()
    try:
        yield made
    finally:
        await opened.close()
        await made.stop()


def _small(seed: int) -> bytes:
    from tests.browser.house import sticker

    return sticker(seed, 64)
