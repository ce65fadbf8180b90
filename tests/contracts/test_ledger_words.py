"""Every kind of ledger entry has its words wherever entries are shown: in chats, on both pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import storage
from bot.adapters.web.words import page_texts
from bot.texts import LANGUAGES, table
from bot.views import WHYS

SCHEMA = Path(storage.__file__).parent / "migrations" / "schema.sql"


def kinds() -> list[str]:
    """What the database allows an entry to be."""
    ledger = SCHEMA.read_text("utf-8").partition("CREATE TABLE ledger")[2]
    listed = re.search(r"why TEXT NOT NULL CHECK \(why IN \(([^)]*)\)", ledger)
    assert listed is not None
    return re.findall(r"'(\w+)'", listed[1])


def test_the_kinds_are_those_that_moderators_can_look_for() -> None:
    assert sorted(kinds()) == sorted(WHYS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("why", kinds())
def test_an_entry_has_its_words_in_chats_and_on_the_page(why: str, language: str) -> None:
    assert table(language)[f"quota.why.{why}"]
    assert page_texts(language)["quota"]["why"][why]
