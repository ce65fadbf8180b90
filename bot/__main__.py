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
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from bot import logs
from bot.config import BadConfig, Config, load, spoken_here
from bot.texts import has, say, why_not
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

app = typer.Typer(
    name="falopitas", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="A bot with which a community makes pictures together.",
)  # fmt: skip
config_app = typer.Typer(no_args_is_help=True, help="The configuration file.")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Configuration file (falopitas.toml beside the checkout).")
]


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


def quit_with(text: str, code: int) -> NoReturn:
    """Say it on standard error and leave."""
    sys.stderr.write(text.rstrip() + "\n")
    raise typer.Exit(code)


def configured(file: Path | None) -> Config:
    """The configuration, or every problem of it and exit code 2."""
    try:
        return load(file, os.environ)
    except BadConfig as bad:
        from bot.texts import problems

        quit_with("\n".join(problems(language(), bad)), USAGE)


def carry_out(work: Callable[[str], Coroutine[Any, Any, int]], tongue: str) -> NoReturn:
    """Run to the end and leave with its code; a refusal is a sentence, Ctrl-C is no traceback.

    ``work`` is told the language.
    """
    try:
        code = asyncio.run(work(tongue))
    except Refusal as refusal:
        quit_with(sentence(refusal, tongue), REFUSED)
    except KeyboardInterrupt:
        quit_with("", INTERRUPTED)
    raise typer.Exit(code)


@app.command()
def run(
    config: ConfigFile = None,
    terminal: Annotated[
        bool | None, typer.Option("--terminal/--no-terminal", help="Chat here too (default: if it can).")
    ] = None,
    browser: Annotated[
        bool | None, typer.Option("--browser/--no-browser", help="Open the page (default: on a desktop).")
    ] = None,
) -> None:
    """Start the bot and the page; stop it with Ctrl-C."""
    from bot import run as running

    settings = configured(config)
    carry_out(
        lambda tongue: running.run(settings, tongue, terminal=terminal, browser=browser), settings.language
    )


class _WithFlags(TyperCommand):
    """Its help ends with the flags that every chat has."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The options of the command line, then the flags."""
        super().format_help(ctx, formatter)
        from bot.commands.help import one

        flags = "".join(f"  {name}\n      {words}\n" for name, words in one("imagine", language()).fields)
        sys.stdout.write(flags)


@app.command(cls=_WithFlags, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def imagine(
    context: typer.Context,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the grid goes.")] = Path("falopitas.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Say what was drawn as JSON.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="Begin from this picture.")] = None,
    config: ConfigFile = None,
) -> None:
    """Draw PROMPT [FLAGS of /imagine]: the grid goes to OUT, the single pictures beside it."""
    from bot import draw

    settings = configured(config)
    carry_out(
        lambda tongue: draw.draw(settings, context.args, out, tongue, as_json=as_json, picture=picture),
        language(settings),
    )


@app.command()
def models(config: ConfigFile = None) -> None:
    """The models on offer and how they are."""
    from bot import draw

    settings = configured(config)
    carry_out(lambda tongue: draw.ask(settings, "/models", tongue), language(settings))


@app.command()
def doctor(config: ConfigFile = None) -> None:
    """Check everything the bot needs, a line each: ok, or what to do."""
    from bot import doctor as checks

    raise typer.Exit(checks.examine(config, os.environ, language(), sys.stdout.write))


@app.command()
def simulate(
    mix: Annotated[Mix, typer.Option(help="Who asks for what.")] = Mix.FLOOD,
    engines: Annotated[int, typer.Option(min=1, max=64, help="Machines like this one.")] = 1,
    members: Annotated[int, typer.Option(min=1, max=10_000, help="People of the mix 'evening'.")] = 50,
    machine: Annotated[str, typer.Option(help="A known one; without, what was measured here.")] = "",
    seed: Annotated[int, typer.Option(help="Another seed is another evening.")] = 1,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the plots go.")] = Path("simulation.png"),
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
        quit_with(sentence(refusal, language(settings)), REFUSED)
    raise typer.Exit(code)


@app.command()
def stats(config: ConfigFile = None) -> None:
    """How well the times that people were told were kept."""
    from bot import rehearse

    settings = configured(config)
    raise typer.Exit(rehearse.stats(settings, language(settings), sys.stdout.write))


@config_app.command("check")
def config_check(config: ConfigFile = None) -> None:
    """Everything that is wrong with the configuration and the models' files, with suggestions."""
    from bot.doctor import bad_models
    from bot.texts import problems

    try:
        settings = load(config, os.environ)
    except BadConfig as bad:
        quit_with("\n".join((*problems(language(), bad), bad_models(bad.models, language()))), USAGE)
    tongue = language(settings)
    if wrong := bad_models(settings.models, tongue):
        quit_with(wrong, USAGE)
    where = str(settings.path) if settings.path else say(tongue, "cli.no_file")
    sys.stdout.write(say(tongue, "cli.config_ok", file=where) + "\n")


@app.command()
def backup(
    folder: Annotated[Path | None, typer.Argument(help="Where to (data/backups), with the pictures.")] = None,
    config: ConfigFile = None,
) -> None:
    """Copy the database, in use or not, and prove the copy; into a FOLDER of yours with the pictures."""
    from bot import copies

    settings = configured(config)
    carry_out(lambda tongue: copies.back_up(settings, folder, tongue, sys.stdout.write), language(settings))


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A backup, or a folder of them.")], config: ConfigFile = None
) -> None:
    """Put a backup in the place of the database, if it is sound; the bot must not run."""
    from bot import copies

    settings = configured(config)
    carry_out(lambda tongue: copies.restore(settings, source, tongue, sys.stdout.write), language(settings))


@app.command()
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
    sys.stderr.write(say(language(), "cli.broken", ref=ref, folder=logs.where()) + "\n")


def main() -> None:
    """The entry point: whatever happens is a sentence and an exit code."""
    sys.excepthook = _broke  # not `app()`: typer would put its own there
    typer.main.get_command(app)(prog_name="falopitas")


if __name__ == "__main__":
    main()
