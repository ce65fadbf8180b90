"""The command line: `falopitas run | imagine | doctor | models | simulate | stats | config check …`."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, NoReturn

import typer

from bot import logs, usage
from bot.config import BadConfig, Config, load, spoken_here
from bot.texts import has, say, why_not
from bot.usage import Command, Group
from storage.refusal import Refusal


class Mix(StrEnum):
    """People of a simulation (``inference/simulate/mixes.py``)."""

    FLOOD = "flood"
    EVENING = "evening"
    ROLES = "roles"
    NEWCOMERS = "newcomers"
    MODELS = "models"


OK, REFUSED, USAGE, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: done; a sentence said why not; it was asked wrongly; something broke; Ctrl-C."""

app = typer.Typer(name="falopitas", cls=Group, add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(cls=Group)
app.add_typer(config_app, name="config")
command = partial(app.command, cls=Command)
"""What its options do stands in ``bot/texts`` under ``shell.<command>``, by the names of its parameters."""

ConfigFile = Annotated[Path | None, typer.Option("--config")]


def language(settings: Config | None = None) -> str:
    """What the person at this terminal speaks: as their environment says, else as the operator does."""
    return spoken_here(os.environ) or (settings.language if settings else "en")


def sentence(refusal: Refusal, tongue: str) -> str:
    """A refusal and its next step; of a port in use, which one is free; of a bot that runs, its page."""
    if not has(f"refusal.{refusal.code}"):
        return say(tongue, "cli.refused", code=refusal.code)
    lines = [why_not(tongue, refusal)]
    if refusal.code == "port_in_use":
        from bot.run import free_port

        lines.append(say(tongue, "cli.next_port", port=free_port(refusal.values["port"])))
    if refusal.code == "already_running" and (page := _page(refusal)):
        lines.append(say(tongue, "cli.its_page", address=page))
    return "\n".join(lines)


def _page(refusal: Refusal) -> str:
    """Where the page of the bot is that already runs; "" if that cannot be known."""
    from bot.adapters.control import page_of
    from bot.home import Home

    try:
        return page_of(Home(Path(str(refusal.values["folder"]))).runtime())
    except Refusal:
        return ""


def quit_with(text: str, code: int, error: str, **more: object) -> NoReturn:
    """Say it on standard error, or to a program as JSON on standard output, and leave."""
    complain(text, error, **more)
    raise typer.Exit(code)


def complain(text: str, error: str, **more: object) -> None:
    """What is wrong, for people or (``--json``) as an object of its code, its sentence and ``more``."""
    if usage.wants_json(sys.argv[1:]):
        sys.stdout.write(usage.error(error, text.strip(), **more))
    else:
        sys.stderr.write(text.rstrip() + "\n")


def refuse(refusal: Refusal, tongue: str, code: int) -> NoReturn:
    """Say a refusal and leave."""
    more = {"also": [each.code for each in refusal.also]} if refusal.also else {}
    quit_with(sentence(refusal, tongue), code, refusal.code, **more)


def configured(file: Path | None) -> Config:
    """The configuration, or every problem of it and exit code 2."""
    try:
        return load(file, os.environ)
    except BadConfig as bad:
        from bot.texts import problems

        quit_with("\n".join(problems(language(), bad)), USAGE, "configuration")


def carry_out(work: Callable[[str], Coroutine[Any, Any, int]], tongue: str) -> NoReturn:
    """Run to the end and leave with its code; a refusal is a sentence, Ctrl-C is no traceback.

    ``work`` is told the language.
    """
    try:
        code = asyncio.run(work(tongue))
    except Refusal as refusal:
        refuse(refusal, tongue, REFUSED)
    except KeyboardInterrupt:
        quit_with(f"\n{say(tongue, 'shell.interrupted')}", INTERRUPTED, "interrupted")
    raise typer.Exit(code)


@command()
def run(
    config: ConfigFile = None,
    terminal: Annotated[bool | None, typer.Option("--terminal/--no-terminal")] = None,
    browser: Annotated[bool | None, typer.Option("--browser/--no-browser")] = None,
) -> None:
    """Start the bot and the page; stop it with Ctrl-C."""
    from bot import run as running

    settings = configured(config)
    carry_out(
        lambda tongue: running.run(settings, tongue, terminal=terminal, browser=browser), settings.language
    )


@command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def imagine(
    context: typer.Context,
    out: Annotated[Path, typer.Option("-o", "--out")] = Path("falopitas.png"),
    as_json: Annotated[bool, typer.Option("--json")] = False,
    picture: Annotated[Path | None, typer.Option("--picture")] = None,
    config: ConfigFile = None,
) -> None:
    """Draw PROMPT [FLAGS of /imagine]: the grid goes to OUT, the single pictures beside it."""
    from bot import draw

    settings = configured(config)
    carry_out(
        lambda tongue: draw.draw(settings, context.args, out, tongue, as_json=as_json, picture=picture),
        language(settings),
    )


@command()
def models(config: ConfigFile = None) -> None:
    """The models on offer and how they are."""
    from bot import draw

    settings = configured(config)
    carry_out(lambda tongue: draw.ask(settings, "/models", tongue), language(settings))


@command()
def doctor(config: ConfigFile = None) -> None:
    """Check everything the bot needs, a line each: ok, or what to do."""
    from bot import doctor as checks

    raise typer.Exit(checks.examine(config, os.environ, usage.tongue(os.environ, config), sys.stdout.write))


@command()
def simulate(
    mix: Annotated[Mix, typer.Option()] = Mix.FLOOD,
    engines: Annotated[int, typer.Option(min=1, max=64)] = 1,
    members: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    machine: Annotated[str, typer.Option()] = "",
    seed: Annotated[int, typer.Option()] = 1,
    out: Annotated[Path, typer.Option("-o", "--out")] = Path("simulation.png"),
    config: ConfigFile = None,
) -> None:
    """What would happen if: the real scheduling code on a virtual clock, against how others share."""
    from bot import draw, rehearse

    settings = configured(config)
    try:
        draw.writable(out)
        code = rehearse.simulate(
            settings, language(settings), sys.stdout.write, mix=mix.value, engines=engines, members=members,
            machine=machine, seed=seed, out=out.absolute(),
        )  # fmt: skip
    except Refusal as refusal:
        refuse(refusal, language(settings), REFUSED)
    raise typer.Exit(code)


@command()
def stats(config: ConfigFile = None) -> None:
    """How well the times that people were told were kept."""
    from bot import rehearse

    settings = configured(config)
    raise typer.Exit(rehearse.stats(settings, language(settings), sys.stdout.write))


@config_app.command("check", cls=Command)
def config_check(config: ConfigFile = None) -> None:
    """Everything that is wrong with the configuration and the models' files, with suggestions."""
    from bot.doctor import bad_models
    from bot.texts import problems

    try:
        settings = load(config, os.environ)
    except BadConfig as bad:
        quit_with(
            "\n".join((*problems(language(), bad), bad_models(bad.models, language()))),
            USAGE,
            "configuration",
        )
    tongue = language(settings)
    if wrong := bad_models(settings.models, tongue):
        quit_with(wrong, USAGE, "configuration")
    where = str(settings.path) if settings.path else say(tongue, "cli.no_file")
    sys.stdout.write(say(tongue, "cli.config_ok", file=where) + "\n")


@command()
def backup(
    folder: Annotated[Path | None, typer.Argument()] = None,
    config: ConfigFile = None,
) -> None:
    """Copy the database, in use or not, and prove the copy; into a FOLDER of yours with the pictures."""
    from bot import copies

    settings = configured(config)
    carry_out(lambda tongue: copies.back_up(settings, folder, tongue, sys.stdout.write), language(settings))


@command()
def restore(source: Annotated[Path, typer.Argument()], config: ConfigFile = None) -> None:
    """Put a backup in the place of the database, if it is sound; the bot must not run."""
    from bot import copies

    settings = configured(config)
    carry_out(lambda tongue: copies.restore(settings, source, tongue, sys.stdout.write), language(settings))


@command()
def version() -> None:
    """Version of Falopitas and of Python."""
    from bot.doctor import versions

    sys.stdout.write(versions() + "\n")


def _broke(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The last word about a bug: a sentence here, its places in the log."""
    ref = secrets.token_hex(2)
    if not logs.where():
        logs.start(folder=Path(tempfile.mkdtemp(prefix="falopitas-")))
    logging.getLogger("bot").error("broke", exc_info=(kind, error, trace), extra={"ref": ref})
    complain(say(language(), "cli.broken", ref=ref, folder=logs.where()), "broken", ref=ref)
    raise SystemExit(BROKEN)  # for Python's own end of an exception is exit code 1, which is a refusal's


def main() -> None:
    """The entry point: whatever happens is a sentence and an exit code."""
    sys.excepthook = _broke  # not `app()`: typer would put its own there
    try:
        typer.main.get_command(app)(prog_name="falopitas")
    except Refusal as refusal:  # of the words themselves
        complain(sentence(refusal, usage.tongue(os.environ)), refusal.code)
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
