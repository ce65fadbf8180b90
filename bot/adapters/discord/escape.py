"""People's text in a Discord message stays text: no markup, no mention, no link, no timestamp of theirs."""

from __future__ import annotations

import re

from bot.plain import visible

_MARKUP = re.compile(r"([\\*_~|`<\[\]@]|:(?=//)|^\s*[#>+-])", re.MULTILINE)
"""What Discord obeys anywhere, and what it obeys at the beginning of a line. After a backslash it is just
that sign; a mention, a link or a heading so broken is none."""
GRAVE = "\N{MODIFIER LETTER GRAVE ACCENT}"
"""Looks like a back-tick and ends no code span."""


def plain(text: str) -> str:
    """``text`` as it is, whatever it holds."""
    return _MARKUP.sub(lambda found: f"{found[1][:-1]}\\{found[1][-1]}", visible(text))


def span(text: str) -> str:
    """``text`` as code within a line; nothing inside it is markup."""
    return f"`{visible(text).replace('`', GRAVE)}`" if text else ""


def block(text: str) -> str:
    """``text`` as a block of code, which people copy with one tap."""
    return f"```\n{visible(text).replace('`', GRAVE)}\n```"


def short(text: str, limit: int) -> str:
    """The beginning of it, at most ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
