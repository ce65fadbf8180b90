"""Chromium, and the page with a bot from a script behind it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.desk import CHROMIUM, Desk, desk


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's chromium; without it these tests skip, and fail where CI promises one."""
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI without {CHROMIUM}: apt-get install chromium")
        pytest.skip(
            f"no {CHROMIUM}: the page is tested only where Debian's chromium is (apt-get install chromium)"
        )
    async with async_playwright() as play:
        found = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def here(browser: Browser, tmp_path: Path) -> AsyncIterator[Desk]:
    """The owner at their desk: a page signed in, nothing asked yet."""
    async with desk(browser, tmp_path) as made:
        await made.sign_in()
        yield made
        made.check_console()
