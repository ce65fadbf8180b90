"""The page's own sentences: ``texts/<language>.web.toml``, sent to the page as they are."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = ("en", "es")


@cache
def page_texts(language: str) -> dict[str, Any]:
    """Key → sentence, or a table of plural forms; ``{name}`` is filled in by the page."""
    data = (resources.files("bot.texts") / f"{language}.web.toml").read_text("utf-8")
    texts: dict[str, Any] = tomllib.loads(data)["web"]
    return texts


def prefer(accept: str) -> str:
    """The language of ours that an Accept-Language header likes best; English when it likes none."""
    best, quality = "en", 0.0
    for part in accept[:500].split(",")[:20]:
        tag, _, weight = part.strip().partition(";q=")
        language = tag.strip().lower().partition("-")[0]
        try:
            value = float(weight or 1)
        except ValueError:
            continue
        if language in LANGUAGES and value > quality:
            best, quality = language, value
    return best
