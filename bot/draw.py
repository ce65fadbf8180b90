"""`falopitas imagine` and `models`: a line to the bot that runs, else to one started for the call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from bot import logs, options, usage
from bot.adapters.control import Control, Fetch, Files, Line, Say, Show
from bot.commands.imagine import Imagine
from bot.config import Config
from bot.home import Home
from bot.life import Engines, Life, live, real_engines
from bot.sent import MAX_BYTES
from bot.texts import say
from inference.request import UNITS
from storage.refusal import Refusal

OK, REFUSED, BROKEN = 0, 1, 3
WARM = 60.0
"""Seconds that an engine may take to load its models before they are listed as they are."""


class Bar(Protocol):
    """Where the progress of one drawing is seen."""

    def show(self, text: str, share: float | None) -> None:
        """What is going on, and how far it is (0 to 1)."""

    def close(self) -> None:
        """Take it away."""


@dataclass(frozen=True, slots=True)
class Output:
    """Two streams: ``out`` is for what was asked for, ``err`` for people."""

    out: IO[str]
    err: IO[str]

    @classmethod
    def of_this_process(cls) -> Output:
        """The standard streams."""
        return cls(sys.stdout, sys.stderr)

    def bar(self) -> Bar:
        """A progress bar if somebody watches, else nothing."""
        if self.err.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console

            from bot.bar import LineBar

            return LineBar(Console(file=self.err, highlight=False))
        return _NoBar()


class _NoBar:
    def show(self, text: str, share: float | None) -> None:
        """Nobody watches."""

    def close(self) -> None:
        """Nothing was shown."""


@asynccontextmanager
async def line_to(config: Config, engines: Engines = real_engines) -> AsyncIterator[tuple[Line, Life | None]]:
    """A line to the bot of this data folder; one is started for as long as the block runs if none does."""
    home = Home(config.data_dir)
    home.make()
    async with AsyncExitStack() as stack:
        line, life = await Line.open(home.runtime()), None
        if line is None:
            logs.start(config.log_level, home.logs)
            started = live(config, lambda app, home: [Control(app, home.runtime())], engines)
            life = await stack.enter_async_context(started)
            life.leave = True
            line = await Line.open(home.runtime())
        if line is None:
            raise Refusal("no_line")
        stack.push_async_callback(line.close)
        yield line, life


async def draw(
    config: Config, words: Sequence[str], out: Path, language: str, *, as_json: bool = False,
    picture: Path | None = None, output: Output | None = None, engines: Engines = real_engines,
) -> int:  # fmt: skip
    """Draw what ``words`` (a command line) say, from ``picture`` if one is given; the grid goes to ``out``,
    the pictures beside it. The bot reads them: it knows all that may be wrong."""
    output = output or Output.of_this_process()
    text = f"/imagine {options.spoken(words, Imagine)}"
    writable(out)
    given = readable(picture) if picture else b""
    async with line_to(config, engines) as (line, _):
        last = await _answered(line, Say(text, language, secrets.token_hex(16), given), output)
        if last is None:
            raise Refusal("line_lost")
        if last.tone in {"refused", "broken"} or last.job is None or not last.images:
            text = _plain(last.text).strip()
            if as_json:
                output.out.write(usage.error(last.code or "no_picture", text))
            else:
                output.err.write(text + "\n")
            return BROKEN if last.tone == "broken" else REFUSED
        files = await _fetched(line, last.job)
    paths = save(files, out)
    if as_json:
        output.out.write(json.dumps(described(files, paths), ensure_ascii=False) + "\n")
    else:
        output.out.write("".join(f"{path}\n" for path in paths))
    return OK


async def _answered(line: Line, question: Say, output: Output) -> Show | None:
    """The last message that answers; progress goes to the bar. On Ctrl-C the job is cancelled."""
    await line.send(question)
    bar, job = output.bar(), 0
    try:
        while (message := await line.next()) is not None:
            if not isinstance(message, Show):
                continue
            job = message.job or job
            if is_last(message):
                return message
            bar.show(_plain(message.text), message.progress)
    except asyncio.CancelledError:
        if job:
            with contextlib.suppress(OSError):
                await line.send(Say(f"/cancel {job}", question.language))
                await asyncio.sleep(0.2)
        raise
    finally:
        bar.close()
    return None


def is_last(message: Show) -> bool:
    """Is this the end of an answer: pictures, or a word why there are none?"""
    return not message.fleeting and (bool(message.images) or message.tone != "waiting")


async def _fetched(line: Line, job: int) -> Files:
    await line.send(Fetch(job))
    while (message := await line.next()) is not None:
        if isinstance(message, Files):
            return message
    raise Refusal("line_lost")


async def ask(
    config: Config, text: str, language: str, *, output: Output | None = None, engines: Engines = real_engines
) -> int:
    """Say one command and print the answer."""
    output = output or Output.of_this_process()
    async with line_to(config, engines) as (line, life):
        if life:
            await _warm(life, output, language)
        last = await _answered(line, Say(text, language), output)
    if last is None:
        raise Refusal("line_lost")
    lines = [last.title, last.text, *(f"{name}: {value}" for name, value in last.fields)]
    output.out.write("".join(f"{_plain(each)}\n" for each in lines if each))
    return REFUSED if last.tone in {"refused", "broken"} else OK


async def _warm(life: Life, output: Output, language: str) -> None:
    """Wait until the engine that was just started has loaded what it loads by itself, or ``WARM`` seconds."""
    bar, catalog = output.bar(), life.app.catalog
    bar.show(say(language, "cli.warming"), None)
    try:
        async with asyncio.timeout(WARM):
            while not _is_warm({catalog.state(name).state for name in catalog.specs}):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        return
    finally:
        bar.close()


def _is_warm(states: set[str]) -> bool:
    """One model is there or broken, and none is on its way: the others load when somebody wants them."""
    return "loading" not in states and states != {"waiting"}


# --- files


def writable(out: Path) -> None:
    """Refuse a place where nothing can be written, and a name of what is no PNG, before anything is drawn."""
    if out.is_dir():
        raise Refusal("out_is_folder", path=str(out))
    if out.suffix and out.suffix.casefold() != ".png":
        raise Refusal("out_not_png", path=str(out), suffix=out.suffix, png=str(out.with_suffix(".png")))
    if not out.parent.is_dir():
        raise Refusal("out_no_folder", path=str(out.parent))
    if not os.access(out.parent, os.W_OK) or (out.exists() and not os.access(out, os.W_OK)):
        raise Refusal("out_not_writable", path=str(out))


def readable(picture: Path) -> bytes:
    """The bytes of a picture file. Raises Refusal no_picture_file, picture_too_large."""
    try:
        with picture.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Refusal("no_picture_file", path=str(picture)) from error
    if len(data) > MAX_BYTES:
        raise Refusal("picture_too_large", limit=MAX_BYTES // 2**20)
    return data


def save(files: Files, out: Path) -> list[Path]:
    """Write the grid to ``out`` and each picture beside it, ``fox-1.png`` …; one picture goes to ``out``."""
    out = out if out.suffix else out.with_suffix(".png")
    written = {out: files.grid or files.pictures[0].data}
    if files.grid:
        written |= {out.with_name(f"{out.stem}-{p.index + 1}{out.suffix}"): p.data for p in files.pictures}
    for path, data in written.items():
        try:
            draft = path.with_name(f".{path.name}.part")
            draft.write_bytes(data)
            draft.replace(path)
        except OSError as error:
            raise Refusal("out_not_writable", path=str(path)) from error
    return list(written)


def described(files: Files, paths: Sequence[Path]) -> dict[str, Any]:
    """What was drawn, for a program."""
    return {
        "job": files.job,
        "status": files.status,
        "files": [str(path) for path in paths],
        "pictures": [
            {"index": p.index, "seed": p.seed, "width": p.width, "height": p.height, "sha256": p.digest}
            for p in files.pictures
        ],
        "request": msgspec.msgpack.decode(files.request),
        "credits": files.price / UNITS,
        "seconds": round(files.seconds, 3),
    }


def _plain(text: str) -> str:
    from bot.plain import visible

    return visible(text)
