"""A Reply as Telegram shows it: text with entities, cut to what fits; a form as a question to reply to.

A person's words stand in ``code``: Telegram finds no mention, link, hashtag or command in it, and a tap
copies it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telegram import ForceReply, InlineKeyboardMarkup, MessageEntity, User

from bot.adapters.telegram.keyboard import Pack, keyboard
from bot.adapters.telegram.rich import CAPTION, TEXT, Rich, cut, units
from bot.talk import Button, Image, Reply, Tone

HINT = 64
"""Letters of an input field's placeholder."""
CELLS = 10
"""Of a progress bar."""
LINK = "https://t.me/"
_PERSON = re.compile(r"(?<![\w:])telegram:(\d{1,18})\b")
_ICONS = {Tone.WAITING: "⏳ ", Tone.REFUSED: "✋ ", Tone.BROKEN: "⚠️ "}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is sent: a text (the caption, if there is one picture) with what stands under it."""

    text: str
    entities: tuple[MessageEntity, ...]
    markup: InlineKeyboardMarkup | ForceReply | None
    images: tuple[Image, ...] = ()
    more: tuple[str, ...] = ()
    """What did not fit, for messages of its own."""


def render(
    reply: Reply, pack: Pack, name: str, *, person: tuple[int, str] | None = None, brief: bool = False,
    instead: Image | None = None,
) -> Shown:  # fmt: skip
    """What to send for ``reply``. ``name`` is the bot's; ``person`` is mentioned in front; ``brief`` takes
    fewer lines; ``instead`` of its own pictures this one is shown, with its words as the caption.
    """
    images = () if reply.fleeting or reply.tone is Tone.WAITING else reply.images
    images = (instead,) if instead else images
    caption = len(images) == 1
    form = _form(reply)
    rich = Rich()
    if person:
        rich.add(person[1], "text_mention", user=person[0]).add(" ").begun = True
    if form:
        rich.add("✏️", "text_link", url=f"{LINK}{name}#{pack(form.ask)}").add(" ").begun = True
    limit = CAPTION if caption else TEXT - min(units(form.value) + 8, TEXT // 2) if form else TEXT
    more = _compose(rich, reply, limit, brief=brief or bool(images))
    if form:
        rich.space().line(cut(form.value, TEXT - rich.size - 2), "code")
        markup: InlineKeyboardMarkup | ForceReply | None = ForceReply(
            selective=True, input_field_placeholder=cut(form.value.replace("\n", " "), HINT) or None
        )
    else:
        markup = keyboard(reply.buttons, pack, reply.prompt if reply.tone is Tone.GOOD else "")
    if reply.private and reply.tone is not Tone.REFUSED:  # a refusal says its reader's words back
        _tappable(rich)
    return Shown(*rich.trimmed(), markup, images, more)


def _tappable(rich: Rich) -> None:
    """A person named by their number can be tapped, to see who that is: where one person alone reads it, for
    in a group that would call them, and the words around may be anybody's.
    """
    taken = [(each.offset, each.offset + each.length) for each in rich.entities]
    for match in _PERSON.finditer(rich.text):
        begin = units(rich.text[: match.start()])
        end = begin + units(match[0])
        if all(end <= first or last <= begin for first, last in taken):
            user = User(int(match[1]), match[0], is_bot=False)
            rich.entities.append(MessageEntity(MessageEntity.TEXT_MENTION, begin, end - begin, user=user))


def _form(reply: Reply) -> Button | None:
    """The button whose text box this reply is: it offers nothing else."""
    buttons = [button for row in reply.buttons for button in row]
    return buttons[0] if len(buttons) == 1 and buttons[0].form else None


def _compose(rich: Rich, reply: Reply, limit: int, *, brief: bool) -> tuple[str, ...]:
    """Everything in its order; returns what did not fit. The prompt gives way first."""
    rest = Rich()
    _head(rest, reply)
    _body(rest, reply, brief=brief)
    if reply.title:
        rich.line(cut(reply.title, CAPTION // 4), "bold")
    _prompt(rich, reply.prompt, limit - rich.size - min(rest.size, limit // 2) - 4)
    return _append(rich, rest, limit)


def _prompt(rich: Rich, prompt: str, room: int) -> None:
    if prompt:
        rich.line(cut(" ".join(prompt.split()), max(16, room)), "code")


def _head(rich: Rich, reply: Reply) -> None:
    if reply.text:
        _paragraph(rich, _icon(reply) + reply.text)
    if reply.progress:
        done = round(CELLS * reply.progress)
        rich.line("▰" * done + "▱" * (CELLS - done))


def _icon(reply: Reply) -> str:
    return "🎨 " if reply.progress is not None else _ICONS.get(reply.tone, "")


def _paragraph(rich: Rich, text: str) -> None:
    """Lines of text; one that is a command to copy is code."""
    for line in text.split("\n"):
        rich.line(line, "code" if line.startswith("/") and " " in line else "")


def _body(rich: Rich, reply: Reply, *, brief: bool) -> None:
    """Label and value: under a picture all on one line, else one a line."""
    if reply.link:
        rich.line(reply.link)
    if brief:
        facts = " · ".join(f"{label}: {value}" for label, value in reply.fields)
        if facts:
            rich.line(facts)
        return
    for label, value in reply.fields:
        command = label.startswith("/")
        rich.line(label, "" if command else "bold").add(" — " if command else ": ").add(value)


def _append(rich: Rich, rest: Rich, limit: int) -> tuple[str, ...]:
    """``rest`` after what there is, cut where it must be; returns the part that was cut away."""
    if not rest.text:
        return ()
    rich.line()
    room = limit - rich.size
    kept = rest.text if rest.size <= room else cut(rest.text, room)
    offset, end = rich.size, rest.size if rest.size <= room else room - 1
    rich.add(kept)
    for entity in rest.entities:
        length = min(entity.length, end - entity.offset)
        if length > 0:
            moved = MessageEntity(entity.type, offset + entity.offset, length)
            rich.entities.append(moved)
    return () if kept == rest.text else _pages(rest.text[len(kept) - 1 :])


def _pages(text: str) -> tuple[str, ...]:
    """What did not fit, in messages of their own, broken between words where there are any."""
    found = []
    while text := text.strip():
        page = cut(text, TEXT)
        if page != text:
            page = page[:-1]
            page = page[: max(page.rfind(" "), len(page) // 2)]
        found.append(page)
        text = text[len(page) :]
    return tuple(found)
