"""Prints how a conversation reads in two languages: `python -m tests.bot.adapters.discord.transcript`."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.bot.adapters.discord.server import BUTTON, GALLERY, TEXT, Server, parts, server
from tests.fakes.engine import FakeEngine

CARD, ROW = 17, 1
LOCALES = {"en": "en-US", "es": "es-419"}
NAMES = {
    "en": ("imagine", "queue", "gallery", "quota", "settings", "help"),
    "es": ("imagina", "cola", "galería", "cuota", "ajustes", "ayuda"),
}


def page(message: Any, indent: str = "    ") -> str:
    """One message as text: pictures, words, buttons in their order; a card has an edge."""
    if message is None:
        return f"{indent}(nothing)"
    lines, edge = [], ""
    for each in parts(message):
        match each["type"]:
            case kind if kind == CARD:
                edge = "┃ "
            case kind if kind == TEXT:
                lines += [f"{indent}{edge}{line}" for line in read(each["content"]).split("\n")]
            case kind if kind == GALLERY:
                alts = ", ".join(f"🖼 {item.get('description', '')!r}" for item in each["items"])
                lines.append(f"{indent}{edge}[{alts}]")
            case kind if kind == ROW:
                row = "  ".join(f"[{b['label']}]" for b in each["components"] if b["type"] == BUTTON)
                lines.append(f"{indent}{edge}{row}")
    seen = "only they see it" if message.flags.ephemeral else "everybody sees it"
    return "\n".join([f"{indent}({seen})", *lines])


def read(text: str) -> str:
    """Without the backslashes, which nobody sees."""
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", text)


def form(modal: dict[str, Any], indent: str = "    ") -> str:
    """A form as text."""
    lines = [f"{indent}╔ {modal['title']}"]
    for each in modal["components"]:
        inner = each["component"]
        chosen = next((o["label"] for o in inner.get("options", ()) if o.get("default")), "")
        lines.append(f"{indent}║ {each['label']}: {inner.get('value', chosen)}")
    return "\n".join(lines)


async def talk(house: Server, language: str) -> None:
    """A first conversation, from nothing to a gallery."""
    imagine, queue, gallery, quota, settings, about = NAMES[language]
    words = {"en": "a red fox in the snow", "es": "un zorro rojo en la nieve"}[language]
    ana = house.join("ana", LOCALES[language])
    engine = house.engine
    await engine.hello(credits=0)

    def heading(text: str) -> None:
        print(f"\n  {text}")

    heading(f"ana: /{imagine} {words}")
    result = await ana.slash(house.channel, "imagine", prompt=words, n=4, seed=7)
    print(page(await house.answer(result)))
    await house.env.advance_time(6)
    heading(f"ana: /{queue}")
    print(page(await house.answer(await ana.slash(house.channel, "queue"))))
    await drive(house, engine, result)
    message = await house.pictures(result)
    heading("… and when it is done")
    print(page(message))
    for label in ("🔎", "⭐", "🗑"):
        heading(f"ana presses {label}")
        print(page(await house.answer(await house.press(message, label))))
    heading("ana presses ✏️")
    print(form((await house.press(message, "✏️")).modal or {}))
    heading("bea presses 🗑️")
    house.join("bea", LOCALES[language])
    print(page(await house.answer(await house.press(message, "🗑", "bea"))))
    heading("bea presses 🔄")
    print(page(await house.answer(await house.press(message, "🔄", "bea"))))
    for name, command in ((gallery, "gallery"), (quota, "quota"), (settings, "settings"), (about, "help")):
        heading(f"ana: /{name}")
        print(page(await house.answer(await ana.slash(house.channel, command))))
    heading(f"ana: /{imagine} gore")
    print(page(await house.answer(await ana.slash(house.channel, "imagine", prompt="gore"))))
    heading(f"ana: /{imagine} fox --ar 9")
    print(page(await house.answer(await ana.slash(house.channel, "imagine", prompt="fox --ar 9"))))
    heading("ana: Image info")
    print(page(await house.answer(await ana.context_menu(house.channel, "Image info", message.message))))


SETS_UP = {
    "en": ("Supporters", "", "members 20 a day, supporters 100, #art only, 4 at a time, nights free",
           "Madrid time", "", "make it nice"),
    "es": ("Amigos", "", "miembros 20 por día, amigos 100, solo #art, 4 a la vez, noches gratis",
           "hora de Madrid", "", "que sea lindo"),
}  # fmt: skip
"""A role of the server, and what a moderator who never saw the bot writes into /mod setup."""


async def set_up(house: Server, language: str) -> None:
    """A moderator's first minute."""
    import discord

    role, *lines = SETS_UP[language]
    manages = discord.Permissions(manage_guild=True)
    mod = house.join("mod", LOCALES[language], roles=[house.guild.create_role("Boss", permissions=manages)])
    house.guild.create_role(role)
    print("\n  mod: /help mod")
    print(page(await house.answer(await mod.slash(house.channel, "help", topic="mod"))))
    for line in lines:
        print(f"\n  mod: /mod setup {line}")
        said = {"what": line} if line else {}
        print(page(await house.answer(await mod.slash(house.channel, "mod setup", **said))))


async def drive(house: Server, engine: FakeEngine, result: Any) -> None:
    """The engine draws it, and the message is looked at on the way."""
    from inference import wire
    from tests.fakes.engine import drawn, png

    await engine.say(wire.Ready(credits=1))
    (draw,) = await engine.wait_for(wire.Draw)
    preview = png(16, 16, 1)
    await house.until(lambda: "▱" in page(result.response))
    await house.env.advance_time(12)
    await engine.say(wire.Progress(job=draw.job, attempt=draw.attempt, done=6, total=16, previews=(preview,)))
    await house.until(lambda: "▰" in page(result.response))
    print("\n  … while it is drawn")
    print(page(result.response))
    await engine.say(drawn(draw))


async def main() -> None:
    for language in LOCALES:
        print(f"\n=== {language}")
        with tempfile.TemporaryDirectory() as folder:
            async with server(Path(folder), engine=FakeEngine()) as house:
                await talk(house, language)
                await set_up(house, language)


def without_ids(text: str) -> str:
    """The text without what differs from run to run."""
    return re.sub(r"\d{17,}", "…", text)


if __name__ == "__main__":
    asyncio.run(main())
