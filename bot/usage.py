"""What the command line says of itself, in the person's language: its help, and what was typed wrongly.

Typer reads the words; its own sentences are English, so none of them is shown. What is wrong with the words
is a Refusal, raised while they are read: ``bot/__main__.py`` says it and leaves with ``USAGE``.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import typer
from typer.core import TyperCommand, TyperGroup

from bot import options
from bot.config import BadConfig, load, spoken_here
from bot.texts import LANGUAGES, has, number, say
from storage.refusal import Refusal

LEFT = 26
"""Columns for the names of options; a longer one has what it does on the next line."""
WIDEST = 100


def tongue(environment: Mapping[str, str], file: Path | None = None) -> str:
    """What the person at this terminal speaks: as their environment says, else as the configuration does."""
    if said := spoken_here(environment):
        return said
    try:
        return load(file, environment).language
    except BadConfig:
        return "en"


def wants_json(argv: Sequence[str]) -> bool:
    """Whether what is said is for a program."""
    return "--json" in argv


def error(code: str, text: str, **more: object) -> str:
    """An error as a program reads it: one line of JSON."""
    return msgspec.json.encode({"error": code, "text": text, **more}).decode() + "\n"


class Command(TyperCommand):
    """One command of the command line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words. Raises Refusal."""
        takes_more, ctx.allow_extra_args = ctx.allow_extra_args, True
        try:
            rest = super().parse_args(ctx, args)
        except typer.TyperException as wrong:
            raise mistake(wrong, self, ctx.command_path) from None
        if rest and not takes_more:
            raise Refusal("more_words", path=ctx.command_path, words=options.shown(" ".join(rest)))
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write its help."""
        formatter.write(help_of(self, ctx.command_path, tongue(os.environ)))


class Group(TyperGroup):
    """Commands under one name. Without a word behind it, it shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words up to the command's name. Raises Refusal."""
        try:
            return super().parse_args(ctx, args or ["--help"])
        except typer.TyperException as wrong:
            raise mistake(wrong, self, ctx.command_path) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names. Raises Refusal."""
        if args[0] not in self.commands:
            near = options.nearest(args[0], self.commands)
            code = "no_subcommand_near" if near else "no_subcommand"
            raise Refusal(code, name=options.shown(args[0]), near=near, path=ctx.command_path)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write its help."""
        formatter.write(help_of(self, ctx.command_path, tongue(os.environ)))


# --- what was typed wrongly


def mistake(wrong: typer.TyperException, command: Any, path: str) -> Refusal:
    """What Typer found wrong with the words of ``command``, as a Refusal of ours."""
    option, parameter = getattr(wrong, "option_name", ""), getattr(wrong, "param", None)
    if hasattr(wrong, "possibilities"):
        near = next(iter(wrong.possibilities or ()), "")
        code = "no_option_near" if near else "no_option"
        return Refusal(code, name=options.shown(option), near=near, path=path)
    if option:
        takes_none = any(option in each.opts and each.is_flag for each in command.params)
        return Refusal("option_takes_none" if takes_none else "option_needs_one", name=option, path=path)
    if parameter is None:
        return Refusal("more_words", path=path, words="")
    if hasattr(wrong, "param_type"):
        name = {language: _argument(parameter, language) for language in LANGUAGES}
        return Refusal("no_argument", name=name, path=path)
    return _bad_value(parameter, path)


def _bad_value(parameter: Any, path: str) -> Refusal:
    name = max(parameter.opts, key=len)
    if choices := _choices(parameter):
        return Refusal("option_choice", name=name, choices=", ".join(choices))
    if parameter.type_descriptor.annotation is int:
        if parameter.min is None or parameter.max is None:
            return Refusal("option_number", name=name)
        return Refusal("option_range", name=name, low=parameter.min, high=parameter.max)
    return Refusal("option_value", name=name, path=path)


def _choices(parameter: Any) -> tuple[str, ...]:
    return tuple(each.value for each in parameter.type_descriptor.choices or ())


# --- help


def help_of(command: Any, path: str, language: str) -> str:
    """How a command is written, what it does, its options or its commands."""
    key = ".".join(path.split()[1:]) or "falopitas"
    group = getattr(command, "commands", None)
    words = [path, *_arguments(command, language), _own(key, "words", language, group)]
    parts = [
        say(language, "shell.usage", line=" ".join(words)),
        say(language, f"shell.{key}.summary"),
        _table(say(language, "shell.options"), _options(command, key, language)),
    ]
    if group:
        rows = ((name, say(language, f"shell.{_below(key, name)}.summary")) for name in group)
        parts.append(_table(say(language, "shell.commands"), rows))
    if key == "imagine":
        parts.append(_table(say(language, "shell.flags"), _flags(language)))
    if has(f"shell.{key}.more"):
        more = say(language, f"shell.{key}.more", path=path)
        parts.append("\n".join(textwrap.fill(line, _width()) for line in more.splitlines()))
    return "\n\n".join(parts) + "\n"


def _below(key: str, name: str) -> str:
    return name if key == "falopitas" else f"{key}.{name}"


def _own(key: str, what: str, language: str, group: object) -> str:
    if has(f"shell.{key}.{what}"):
        return say(language, f"shell.{key}.{what}")
    return say(language, "shell.command" if group else "shell.words")


def _arguments(command: Any, language: str) -> Iterator[str]:
    for each in command.params:
        if each.param_type_name == "argument":
            name = _argument(each, language)
            yield name if each.required else f"[{name}]"


def _argument(argument: Any, language: str) -> str:
    return say(language, f"shell.argument.{argument.name}")


def _options(command: Any, key: str, language: str) -> Iterator[tuple[str, str]]:
    """The names of each option (or the argument), and what it does."""
    for each in command.params:
        own = f"shell.{key}.{each.name}"
        text = say(language, own if has(own) else f"shell.option.{each.name}")
        if each.param_type_name == "argument":
            yield _argument(each, language), text
            continue
        names = ", ".join(sorted(each.opts, key=len))
        names += (
            f" / {each.secondary_opts[0]}" if each.secondary_opts else f" {_kind(each, language)}".rstrip()
        )
        facts = "; ".join(_facts(each, language))
        yield names, f"{text} ({facts})" if facts else text
    yield "--help", say(language, "shell.option.help")


def _kind(option: Any, language: str) -> str:
    """What stands behind an option's name."""
    annotation = option.type_descriptor.annotation
    if option.is_flag:
        return ""
    kind = "number" if annotation is int else "file" if option.type_descriptor.is_path else "name"
    return say(language, f"shell.kind.{kind}")


def _facts(option: Any, language: str) -> Iterator[str]:
    """What it may be, and what it is where nobody says."""
    if choices := _choices(option):
        yield say(language, "shell.choices", choices=", ".join(choices))
    if option.min is not None and option.max is not None:
        yield say(language, "shell.range", low=option.min, high=option.max)
    value = option.default.value if isinstance(option.default, Enum) else option.default
    if isinstance(value, str | int | Path) and value not in (None, "", False):
        shown = number(language, value) if isinstance(value, int) else str(value)
        yield say(language, "shell.usual", value=shown)


def _flags(language: str) -> Iterator[tuple[str, str]]:
    """The flags that every chat has."""
    from bot.commands.help import one

    yield from one("imagine", language).fields[:-1]  # the last is an example for a chat


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    left = max(len(name) for name, _ in rows if len(name) <= LEFT)
    wide = textwrap.TextWrapper(_width(), initial_indent=" " * (left + 4), subsequent_indent=" " * (left + 4))
    lines = [title]
    for name, text in rows:
        filled = wide.fill(text)
        lines.append(f"  {name:{left}}  {filled.lstrip()}" if len(name) <= left else f"  {name}\n{filled}")
    return "\n".join(lines)


def _width() -> int:
    return max(60, min(WIDEST, shutil.get_terminal_size().columns))
