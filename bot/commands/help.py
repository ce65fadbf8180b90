"""What can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot import options
from bot.app import App
from bot.options import Option
from bot.talk import Call, Reply
from bot.texts import say


@dataclass(frozen=True, slots=True)
class Help:
    """Every command, or one of them."""

    topic: Annotated[str, Option(words=True, longest=60)] = ""


async def answer(ask: Help, call: Call, app: App) -> AsyncIterator[Reply]:
    """The list, or one command with its flags and an example."""
    yield one(ask.topic, call.language) if ask.topic else everything(call.language)


def everything(language: str) -> Reply:
    """Every command with its sentence."""
    from bot.commands import COMMANDS

    fields = [(f"/{each.name}", say(language, f"command.{each.name}.summary")) for each in COMMANDS]
    buttons = (say(language, "help.buttons"), say(language, "help.buttons_text"))
    return Reply(
        say(language, "help.text", example=say(language, "command.imagine.example")),
        title=say(language, "help.title"),
        fields=(*fields, buttons),
        private=True,
    )


def one(topic: str, language: str) -> Reply:
    """One command: how it is written, what its flags do, an example. Raises Refusal for another one."""
    from bot.commands import COMMANDS

    name = topic.removeprefix("/").strip().casefold()
    names = {alias: each for each in COMMANDS for alias in (each.name, *each.aliases)}
    if name not in names:
        raise options.unknown_command(f"/{name}", names)
    command = names[name]
    flags = [
        (_flag(field), say(language, f"command.{command.name}.flag.{field.flag}"))
        for field in options.fields_of(command.ask)
        if not field.option.words
    ]
    example = (say(language, "help.example"), say(language, f"command.{command.name}.example"))
    return Reply(
        say(language, f"command.{command.name}.summary"),
        title=options.usage(command.name, command.ask).split(" [--")[0],
        fields=(*flags, example),
        private=True,
    )


def _flag(field: options.Field) -> str:
    return ", ".join(f"--{name}" for name in (field.flag, *field.option.aliases))
