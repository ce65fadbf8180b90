"""What can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from bot import options
from bot.app import App
from bot.options import Option
from bot.talk import Call, Reply
from bot.texts import LANGUAGES, has, say, spoken
from storage.accounts import OWNER

if TYPE_CHECKING:
    from bot.commands import Command


@dataclass(frozen=True, slots=True)
class Help:
    """Every command, or one of them."""

    topic: Annotated[str, Option(words=True, longest=60)] = ""


async def answer(ask: Help, call: Call, app: App) -> AsyncIterator[Reply]:
    """The list, or one command with its flags and an example; those of moderators are explained to them."""
    from bot.commands import COMMANDS, MODERATION, canonical
    from bot.commands.mod.common import moderator
    from bot.commands.mod.log import Mod, mod

    topic = " ".join(ask.topic.split()).removeprefix("/").casefold()
    if topic.partition(" ")[0] == "mod":
        await moderator(call, app)
        if topic != "mod":
            yield one(canonical(topic), call.language, MODERATION)
            return
        async for reply in mod(Mod(), call, app):
            yield reply
        return
    moderates = (call.entitled and call.community) or call.who == OWNER
    offered = COMMANDS + (MODERATION[:1] if moderates else ())
    yield one(topic, call.language) if topic else everything(call.language, offered)


def everything(language: str, offered: Sequence[Command]) -> Reply:
    """Every command with its sentence."""
    fields = [(f"/{each.name}", say(language, f"command.{each.key}.summary")) for each in offered]
    buttons = (say(language, "help.buttons"), say(language, "help.buttons_text"))
    return Reply(
        say(language, "help.text", example=say(language, "command.imagine.example")),
        title=say(language, "help.title"),
        fields=(*fields, buttons),
        private=True,
    )


def one(name: str, language: str, offered: Sequence[Command] = ()) -> Reply:
    """One command: how it is written, what its flags do, an example. Raises Refusal for another one."""
    from bot.commands import COMMANDS

    names = {alias: each for each in offered or COMMANDS for alias in (each.name, *each.aliases)}
    if name not in names:
        raise options.unknown_command(f"/{name}", names)
    command = names[name]
    flags = [
        (_flag(field), say(language, f"command.{command.key}.flag.{field.flag}"))
        for field in options.fields_of(command.ask)
        if not field.option.words
    ]
    example = (say(language, "help.example"), say(language, f"command.{command.key}.example"))
    return Reply(
        say(language, f"command.{command.key}.summary"),
        title=written(command, language),
        fields=(*flags, example),
        private=True,
    )


def written(command: Command, language: str) -> str:
    """How a command is written, without its flags: ``/gift PERSON CREDITS``."""
    from bot.commands import spelled

    def called(flag: str) -> str:
        key = f"discord.option.{flag}"
        return say(language, key) if spoken(language) != LANGUAGES[0] and has(key) else flag

    name = spelled(command.name, language) if command.name.startswith("mod") else command.name
    return options.usage(name, command.ask, called).split(" [--")[0]


def _flag(field: options.Field) -> str:
    return ", ".join(f"--{name}" for name in (field.flag, *field.option.aliases))
