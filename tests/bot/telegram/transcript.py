"""How a conversation reads on Telegram: ``python -m tests.bot.telegram.transcript es``.

A member asks, waits, presses every button, is refused, edits, a group does the same, and a moderator sets one
up; printed as a phone shows it, with what is set in code, bold or as a link marked.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tests.bot.telegram.house import House, Painter, house
from tests.fakes.telegram import Chat, Message, Person

MARKS = {"code": "`", "bold": "*", "text_link": "_", "text_mention": "@"}
WORDS = {
    "en": ("a red fox 🦊 in the snow", "now with a hat", "/imagine gore", "/imagine fox --stepz 3", "/queue"),
    "es": ("un zorro rojo 🦊 en la nieve", "ahora con sombrero", "/imagine gore", "/imagine zorro --pazos 3",
           "/cola"),
}  # fmt: skip
BUTTONS = ("U1", "V2", "🔎", "⭐", "🗑")


def marked(message: Message) -> str:
    """The text with its styles visible."""
    data = message.said.encode("utf-16-le")
    edges: dict[int, str] = {}
    for entity in message.entities:
        mark = MARKS.get(entity["type"], "")
        begin, end = entity["offset"], entity["offset"] + entity["length"]
        edges[begin] = edges.get(begin, "") + mark
        edges[end] = mark + edges.get(end, "")
    cuts = sorted({0, len(data) // 2, *edges})
    parts = [
        edges.get(begin, "") + data[2 * begin : 2 * end].decode("utf-16-le") for begin, end in pairwise(cuts)
    ]
    return "".join(parts) + edges.get(cuts[-1], "")


def bubble(message: Message) -> Iterable[str]:
    """One message, as lines."""
    who = message.sender.name if message.sender else "BOT"
    head = f"[{who}]" + (f" ↪ {message.to.said[:30]!r}" if message.to else "")
    yield head + (f" <{message.file.kind} {message.file.name}>" if message.file else "")
    text = marked(message) if message.sender is None else message.said
    yield from (f"  {line}" for line in text.split("\n"))
    for row in (message.markup or {}).get("inline_keyboard", []):
        yield "  " + " ".join(f"[ {button['text']} ]" for button in row)
    if "force_reply" in (message.markup or {}):
        yield f"  (reply: {(message.markup or {}).get('input_field_placeholder', '')})"


class Tape:
    """Prints what is new in a chat."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.seen: dict[int, tuple[object, ...]] = {}
        self.answered: set[str] = set()

    async def play(self, chat: Chat, what: str = "", seconds: float = 0.7) -> None:
        await asyncio.sleep(seconds)
        if what:
            print(f"\n──── {what}")
        for message in list(chat.messages):
            content = message.content()
            if self.seen.get(message.id) != content:
                edited = message.id in self.seen
                self.seen[message.id] = content
                print("\n".join(bubble(message)) + ("   (edited)" if edited else ""))
        for query, answer in self.house.tele.world.answers.items():
            if answer.get("text") and query not in self.answered:
                print(f"  (pop-up{' !' if answer.get('show_alert') else ''}) {answer['text']}")
            self.answered.add(query)


async def private(tape: Tape, who: Person, words: tuple[str, ...]) -> None:
    chat = who.private
    who.say("/start")
    await tape.play(chat, "/start")
    who.say(words[0])
    await tape.play(chat, "asks", 0.1)
    message = await tape.house.tele.picture(chat)
    await tape.play(chat, "drawn")
    for label in BUTTONS:
        who.press(message, label)
        await tape.play(chat, label, 0.9)
    who.press(chat.ours[-1], chat.ours[-1].labels[0])
    await tape.play(chat, "sure")
    picture = [each for each in chat.ours if each.file][-1]
    who.press(picture, "✏️")
    await tape.play(chat, "✏️")
    who.say(words[1], to=chat.ours[-1])
    await tape.play(chat, "replies", 1.2)
    for text in (*words[2:], "/gallery", "/quota", "/settings", "/help", "/help imagine", "/link", "/models"):
        who.say(text)
        await tape.play(chat, text, 0.8)


async def crowd(tape: Tape, who: Person, words: tuple[str, ...]) -> None:
    world = tape.house.tele.world
    group = world.group("Friends")
    others = [world.person(name, who.language) for name in ("Beto", "Cora", "Dana", "Eli", "Fran", "Gabi")]
    who.say(f"/imagine {words[0]}", group)
    await tape.play(group, "in a group", 1.5)
    for each in (*others, *others):
        each.say(f"/imagine {words[0]}", group)
    await tape.play(group, "all at once", 1.2)
    await tape.play(group, "a little later", 2.5)
    await tape.play(group, "later", 5)
    stranger = world.person("Hugo", who.language, started=False)
    stranger.say("/quota", group)
    await tape.play(group, "somebody without a private chat", 2.5)


SETS_UP = {
    "en": (
        "/help", "/mod", "/mod setup members 20 a day, supporters 100, #art only, 4 at a time, nights free",
        "/mod setup members 20 a day, supporters 100, only here, 4 at a time, nights free, Madrid time",
        "/mod setup", "/mod undo", "/mod quota set @lucia 30", "/mod role supporters",
    ),
    "es": (
        "/help", "/mod", "/mod miembros 20 por día, amigos 100, solo #arte, 4 a la vez, noches gratis",
        "/mod miembros 20 por día, amigos 100, solo aquí, 4 a la vez, noches gratis, hora de Madrid",
        "/mod configurar", "/mod deshacer", "/mod cuota fijar @lucia 30", "/mod rol amigos",
    ),
}  # fmt: skip
"""What a moderator says who never saw the bot; the last in answer to somebody."""


async def moderator(tape: Tape, who: Person) -> None:
    world = tape.house.tele.world
    group = world.group("Friends", forum=True)
    group.admins, topic = {who.id}, world.topic(group, "art")
    hello = world.person("Beto", who.language).say("hello", group, topic=topic)
    for text in SETS_UP[who.language]:
        about = hello if text == SETS_UP[who.language][-1] else None
        who.say(text, group, topic=topic, to=about)
        await tape.play(who.private, text, 1.2)


async def main(language: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with house(Path(folder)) as made:
            who = made.tele.world.person("Ana", language)
            tape = Tape(made)
            async with made.bot(Painter(credits=1, seconds=0.5)):
                await private(tape, who, WORDS[language])
                await crowd(tape, who, WORDS[language])
                await moderator(tape, who)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "en"))
