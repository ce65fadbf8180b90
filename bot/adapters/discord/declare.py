"""The table of commands as Discord wants to know it: each command, option and menu in English and Spanish."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot import options
from bot.adapters.discord.house import Declared
from bot.options import Field
from bot.texts import has, say

SPANISH = ("es-ES", "es-419")
"""Discord has two; both get the same."""
CONTEXTS = [0, 1, 2]
"""Servers, the conversation with the bot, conversations and groups without it."""
INSTALLS = [0, 1]
"""Servers and people."""
MANAGE_GUILD = 1 << 5
"""Who sees the moderators' commands, unless a server says otherwise; checked again at each call."""
SUBCOMMAND, GROUP = 1, 2
STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, NUMBER, ATTACHMENT = 3, 4, 5, 6, 7, 8, 10, 11
CHAT, ON_MESSAGE = 1, 3
PICKERS = {"person": USER, "role": ROLE, "channel": CHANNEL}
"""What may name any of them is a text with a mention in it: Discord has no picker for all three."""
KINDS = {int: INTEGER, bool: BOOLEAN, float: NUMBER}
PICTURE = "picture"
"""The option in which a picture comes."""
LONGEST_OPTION = 6_000
LARGEST = 2**53 - 1
"""What Discord takes for a number."""
MENU = {"Image info": "info", "Report": "report"}
"""The entries in a message's menu: their English name, and what we call them."""
_COMMAND = re.compile(r"(?<![\w/])/([a-z0-9_]+)\b")
_FLAG = re.compile(r"(?<!\S)--([^\s:]+)( |$)")
DEEPEST = 3
"""Words of a command's name at most: ``mod quota set``."""
ELSEWHERE = frozenset({"link"})
"""Commands whose lines are for the other chat, where there are no options."""


def commands(table: Sequence[Declared]) -> list[dict[str, Any]]:
    """Everything there is to declare. ``mod quota set`` is ``set`` in the group ``quota`` of ``mod``."""
    roots = dict.fromkeys(each.name.split()[0] for each in table)
    return [*(_root(name, table) for name in roots), *map(_entry, MENU)]


def _root(name: str, table: Sequence[Declared]) -> dict[str, Any]:
    below = [each for each in table if each.name.startswith(f"{name} ")]
    whole = next(each for each in table if each.name == name)
    if not below:
        return _command(whole)
    heads = dict.fromkeys(" ".join(each.name.split()[:2]) for each in below)
    return {**_command(whole), "options": [_part(head, below) for head in heads]}


def _part(head: str, below: Sequence[Declared]) -> dict[str, Any]:
    """A subcommand, or a group of them."""
    found = [each for each in below if each.name.startswith(f"{head} ")]
    if not found:
        return _subcommand(next(each for each in below if each.name == head))
    word = head.rsplit(maxsplit=1)[-1]
    return {
        "type": GROUP,
        **_named(word, f"discord.command.{word}"),
        **_described(f"discord.group.{word}"),
        "options": [_subcommand(each) for each in found],
    }


def _subcommand(command: Declared) -> dict[str, Any]:
    word = command.name.rsplit(maxsplit=1)[-1]
    about = f"command.{command.name.replace(' ', '.')}"
    return {
        "type": SUBCOMMAND,
        **_named(word, f"discord.command.{word}"),
        **_described(f"{about}.summary"),
        "options": _options(command, about),
    }


@dataclass(frozen=True, slots=True)
class Names:
    """What a person's Discord calls things: command → name, flag → name of its option; ``words``: command →
    flags of the options in which its words stand, one each, the last one takes the rest, in those of
    ``prose`` also flags. ``switches``: flags without a value.
    """

    commands: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()
    prose: frozenset[str] = frozenset()

    def local(self, text: str) -> str:
        """``text`` with the commands in it as the person sees them in their menu.

        A line to type can be copied: Discord takes what stands after ``option:`` for its value. In it the
        first words alone are a command: the others are what somebody said.
        """
        if not text.startswith("/"):
            return _COMMAND.sub(self._name, text)
        words = text[1:].split(" ")
        paths = (" ".join(words[:depth]) for depth in range(DEEPEST, 0, -1))
        command = next((path for path in paths if path in self.words), words[0])
        head, rest = f"/{command}", text[len(command) + 2 :]
        return " ".join(filter(None, [_COMMAND.sub(self._name, head, count=1), self._filled(command, rest)]))

    def _name(self, found: re.Match[str]) -> str:
        return "/" + self.commands.get(found[1], found[1])

    def _filled(self, command: str, rest: str) -> str:
        if rest.startswith("--"):
            return _FLAG.sub(self._flag, rest)
        flags = self.words.get(command)
        if not flags:
            return rest
        end = -1 if command in self.prose else rest.find(" --")
        said, flagged = (rest, "") if end < 0 else (rest[:end], rest[end + 1 :])
        values = said.split(maxsplit=len(flags) - 1)
        named = [f"{self._option(flag)}:{value}" for flag, value in zip(flags, values, strict=False)]
        return " ".join([*named, _FLAG.sub(self._flag, flagged)]).rstrip()

    def _flag(self, found: re.Match[str]) -> str:
        return f"{self._option(found[1])}:" + (f"True{found[2]}" if found[1] in self.switches else "")

    def _option(self, flag: str) -> str:
        return self.options.get(flag, flag)


def names(table: Sequence[Declared], language: str) -> Names:
    """What everything in ``table`` is called in ``language``."""

    def called(kind: str, name: str) -> str:
        return say(language, key) if has(key := f"discord.{kind}.{name}") else name

    def paths(command: Declared) -> tuple[str, str]:
        return command.name, " ".join(called("command", word) for word in command.name.split())

    fields = [(each.name, field) for each in table for field in options.fields_of(each.ask)]
    return Names(
        {each.name: called("command", each.name) for each in table if " " not in each.name},
        {field.flag: called("option", field.flag) for _, field in fields},
        {name: _words(each) for each in table for name in paths(each) if each.name not in ELSEWHERE},
        frozenset(field.flag for _, field in fields if field.type is bool),
        frozenset(name for each in table if options.words_of(each.ask) for name in paths(each)),
    )


def _words(command: Declared) -> list[str]:
    """The flags of what is said without a flag, in the order in which it is said."""
    found = options.fields_of(command.ask)
    return [each.flag for each in found if each.option.word] + [
        each.flag for each in found if each.option.words
    ]


def fingerprint(payload: object, application: int) -> str:
    """Changes whenever something would have to be declared anew."""
    text = json.dumps([application, payload], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _command(command: Declared) -> dict[str, Any]:
    about = f"command.{command.name}"
    payload = {
        "type": CHAT,
        **_named(command.name, f"discord.command.{command.name}"),
        **_described(f"{about}.summary"),
        "options": _options(command, about),
        "contexts": [0] if command.moderates else CONTEXTS,
        "integration_types": [0] if command.moderates else INSTALLS,
    }
    return payload | ({"default_member_permissions": MANAGE_GUILD} if command.moderates else {})


def _entry(name: str) -> dict[str, Any]:
    """Something that can be asked about a message of ours."""
    return {
        "type": ON_MESSAGE,
        **_named(name, f"discord.menu.{MENU[name]}"),
        "contexts": CONTEXTS,
        "integration_types": INSTALLS,
    }


def _named(name: str, key: str) -> dict[str, Any]:
    local = say("es", key) if has(key) else name
    return {"name": name, "name_localizations": dict.fromkeys(SPANISH, local)}


def _described(key: str) -> dict[str, Any]:
    return {
        "description": say("en", key),
        "description_localizations": dict.fromkeys(SPANISH, say("es", key)),
    }


def _options(command: Declared, about: str) -> list[dict[str, Any]]:
    listed = [_option(field, about) for field in options.fields_of(command.ask)]
    if command.pictures:
        listed.insert(sum(1 for each in listed if each["required"]), _picture())
    return listed


def _option(field: Field, about: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": PICKERS.get(field.option.names) or KINDS.get(field.type, STRING),
        **_named(field.flag, f"discord.option.{field.flag}"),
        **_described(f"{about}.flag.{field.flag}"),
        "required": field.required,
        "min_value": field.option.low if field.type in {int, float} else None,
        "max_value": _highest(field),
        "max_length": _longest(field),
        "autocomplete": True if field.option.choices else None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _highest(field: Field) -> float | None:
    high = field.option.high
    return min(high, LARGEST) if high is not None and field.type in {int, float} else None


def _longest(field: Field) -> int | None:
    """Words may be followed by flags, so they may be as long as Discord lets them."""
    if field.type is not str or field.option.words or field.option.names:
        return None
    return min(field.option.longest, LONGEST_OPTION)


def _picture() -> dict[str, Any]:
    return {
        "type": ATTACHMENT,
        **_named(PICTURE, f"discord.option.{PICTURE}"),
        **_described(f"discord.{PICTURE}"),
        "required": False,
    }
