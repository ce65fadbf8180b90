"""A Telegram and an empty data folder for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.telegram.house import House, house
from tests.fakes.telegram import spec


@pytest.fixture(autouse=True)
def specification() -> None:
    try:
        spec.load()
    except LookupError as missing:
        pytest.skip(str(missing))


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made
