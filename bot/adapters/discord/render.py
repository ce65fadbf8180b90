"""A Reply as a Discord message: components (version 2) and the files they show. Pure data, no network.

Results stand by themselves, as large as Discord shows pictures; everything else is a card whose edge has the
colour of its tone. All text together has at most 4 000 characters, all components are at most 40.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bot.adapters.discord.declare import Names
from bot.adapters.discord.escape import block, plain, short, span
from bot.talk import Ask, Button, Image, Reply, Tone
from bot.texts import LANGUAGES, say

Component: TypeAlias = dict[str, Any]

MOST_TEXT = 3_900
"""Characters of one message; Discord takes 4 000."""
PROMPT = 300
"""Characters of a prompt under its pictures; Details has all of it."""
WHOLE_PROMPT = 2_400
MOST_ALT = 1_024
MOST_LABEL = 80
PICTURES = 10
WIDEST = 5
"""Buttons of a row."""
BLOCKS = 12
"""Of a progress bar."""
ROW, BUTTON, TEXT, GALLERY, FILE, CONTAINER = 1, 2, 10, 12, 13, 17
"""Discord's numbers of components."""
STYLES = {"main": 1, "plain": 2, "danger": 4}
COLOURS = {Tone.GOOD: 0x3BA55D, Tone.WAITING: 0x5865F2, Tone.REFUSED: 0xF0B232, Tone.BROKEN: 0xDA373C}
PRESS, FORM, DELIVERED = "f", "m", "d"
"""What a custom id begins with: an ask; an ask whose form comes first; an ask under a result that the bot
posted by itself, so that it finds its own post again."""
_PERSON = re.compile(r"\bdiscord:(\d{15,20})\b")
"""A person of this platform, whom Discord shows by their present name; nobody is told of it."""
_ETA = {say(language, "drawing.eta"): language for language in LANGUAGES}


@dataclass(frozen=True, slots=True)
class Style:
    """How one reply is shown. ``mention``: the person, when Discord does not say whose it is; ``own``: it is
    a post of the bot's own, so they are told. ``form``: label and packed ask of a button that opens a form.
    """

    pack: Callable[[Ask], str]
    mention: int = 0
    own: bool = False
    form: tuple[str, str] = ("", "")
    names: Names = field(default_factory=Names)
    """How the person's Discord calls what a text names."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: components, the pictures they name, whom it may ping, whether others may see it."""

    components: list[Component]
    images: tuple[Image, ...] = ()
    ping: tuple[int, ...] = ()
    private: bool = False


def message(reply: Reply, style: Style) -> Message:
    """Everything a person sees of this reply."""
    images = reply.images[:PICTURES]
    rows = _rows(reply, style)
    result = bool(images) and reply.tone is not Tone.WAITING
    texts = _texts(reply, style, result=result)
    head = 1 if reply.title else 0
    parts = [*texts[:head], *_gallery(images), *texts[head:], *_files(images)]
    if result and not reply.title:
        shown = [*parts, *rows]
    else:
        card: Component = {"type": CONTAINER, "components": [*parts, *rows]}
        if reply.tone in COLOURS:
            card["accent_color"] = COLOURS[reply.tone]
        shown = [card]
    ping = (style.mention,) if style.own and style.mention else ()
    if ping:
        shown = [{"type": TEXT, "content": f"<@{style.mention}>"}, *shown]
    return Message(shown, images, ping, reply.private)


def _gallery(images: Sequence[Image]) -> list[Component]:
    items = [
        {
            "media": {"url": f"attachment://{image.name}"},
            **({"description": short(image.alt, MOST_ALT)} if image.alt else {}),
            **({"spoiler": True} if image.spoiler else {}),
        }
        for image in images
        if not image.exact
    ]
    return [{"type": GALLERY, "items": items}] if items else []


def _files(images: Sequence[Image]) -> list[Component]:
    """What was asked for as a file: to keep, not to look at."""
    return [
        {
            "type": FILE,
            "file": {"url": f"attachment://{image.name}"},
            **({"spoiler": True} if image.spoiler else {}),
        }
        for image in images
        if image.exact
    ]


# --- words


def _texts(reply: Reply, style: Style, *, result: bool) -> list[Component]:
    """The texts in order, cut where Discord would not take more."""
    left, shown = MOST_TEXT, []
    for text in _paragraphs(reply, style, result=result):
        if text and left > 0:
            shown.append(_cut(text, left))
            left -= len(shown[-1])
    return [{"type": TEXT, "content": text} for text in shown]


def _cut(text: str, limit: int) -> str:
    """Whole lines only: half an escape or half a code span would let the rest loose."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 2].rpartition("\n")[0]
    return f"{kept}\n…" if kept else "…"


def _paragraphs(reply: Reply, style: Style, *, result: bool) -> list[str]:
    bar = _bar(reply.progress) if reply.progress is not None else ""
    return [
        f"### {plain(style.names.local(reply.title))}" if reply.title else "",
        _prompt(reply),
        "\n".join(filter(None, [_body(reply.text, style), bar])),
        _line(reply, style) if result or reply.tone is Tone.WAITING else _list(reply.fields, style),
        f"<{reply.link}>" if reply.link else "",  # ours: nobody's words stand in it
    ]


def _prompt(reply: Reply) -> str:
    """Short under pictures; on a page about the picture the whole of it, to copy."""
    if reply.title and reply.prompt:
        return block(short(reply.prompt, WHOLE_PROMPT))
    return span(short(reply.prompt, PROMPT))


def _body(text: str, style: Style) -> str:
    return "\n".join(_typed(style.names.local(line)) for line in text.split("\n"))


def _typed(line: str) -> str:
    """A line that begins with a slash is something to type: it is shown as such."""
    return span(line) if line.startswith("/") else _named(line)


def _named(text: str) -> str:
    """Whom we know by a number has a name on Discord."""
    return _PERSON.sub(r"<@\1>", plain(text))


def _bar(share: float) -> str:
    done = round(max(0.0, min(1.0, share)) * BLOCKS)
    return "▰" * done + "▱" * (BLOCKS - done)


def _line(reply: Reply, style: Style) -> str:
    """Facts in small print on one line; the time left counts down by itself."""
    facts = [_fact(label, value, reply) for label, value in reply.fields]
    who = [f"<@{style.mention}>"] if style.mention and not style.own else []
    return "-# " + " · ".join([*who, *facts]) if who or facts else ""


def _fact(label: str, value: str, reply: Reply) -> str:
    if label in _ETA and reply.ends is not None and reply.tone is Tone.WAITING:
        return say(_ETA[label], "discord.ready", when=f"<t:{round(reply.ends)}:R>")
    return f"{plain(label)}: {plain(value)}"


def _list(fields: Sequence[tuple[str, str]], style: Style) -> str:
    shown = ((style.names.local(label), style.names.local(value)) for label, value in fields)
    return "\n".join(f"**{_named(label)}**  {_typed(value.replace(chr(10), ' '))}" for label, value in shown)


# --- buttons


def _rows(reply: Reply, style: Style) -> list[Component]:
    whole = [[_button(button, style) for button in row] for row in reply.buttons]
    rows = [row[at : at + WIDEST] for row in whole for at in range(0, len(row), WIDEST)]
    label, ask = style.form
    if label:
        change = _component(label, f"{FORM}:{ask}", "main")
        rows = [[change, *rows[0]], *rows[1:]] if rows and len(rows[0]) < WIDEST else [[change], *rows]
    return [{"type": ROW, "components": row} for row in rows if row]


def _button(button: Button, style: Style) -> Component:
    usual = DELIVERED if style.own else PRESS
    return _component(
        button.label, f"{FORM if button.form else usual}:{style.pack(button.ask)}", button.style
    )


def _component(label: str, custom_id: str, style: str) -> Component:
    return {
        "type": BUTTON, "style": STYLES.get(style, STYLES["plain"]), "label": short(label, MOST_LABEL),
        "custom_id": custom_id,
    }  # fmt: skip


def packed(components: object) -> list[tuple[str, str]]:
    """Every ask in a message of ours, as it came back from Discord: (what its id begins with, ask)."""
    found: list[tuple[str, str]] = []
    if isinstance(components, list):
        for each in components:
            if not isinstance(each, dict):
                continue
            kind, _, ask = str(each.get("custom_id", "")).partition(":")
            if kind in {PRESS, FORM, DELIVERED} and ask:
                found.append((kind, ask))
            found += packed(each.get("components"))
    return found
