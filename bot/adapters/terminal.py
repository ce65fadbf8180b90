"""The terminal: type what you want to see. Pictures are drawn in half blocks and saved as files.

Plain text is /imagine; a button is its name (``u1``), its command (``again``) or its number. On a dumb
terminal or with NO_COLOR there are words and files only.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import re
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from bot.app import App
from bot.bar import LineBar
from bot.ink import Ink
from bot.plain import visible
from bot.talk import Button, Call, Gone, Image, Place, Reply, Tone
from bot.texts import say
from storage import accounts
from storage.accounts import OWNER
from storage.database import Connection

if TYPE_CHECKING:
    from rich.console import Console

WIDEST = 72
"""Columns that a picture may take."""
_SAFE = re.compile(r"[^\w.-]+")
_BUTTON = re.compile(r"[uv][1-9]|\d{1,2}", re.IGNORECASE)
"""What nobody means as a prompt: the name or the number of a button."""
_STYLES = {Tone.GOOD: "green", Tone.REFUSED: "yellow", Tone.BROKEN: "red", Tone.WAITING: "dim"}


class Terminal:
    """One person, in front of the machine: the owner."""

    name = "terminal"

    def __init__(
        self, read: Callable[[], str], console: Console, folder: Path, language: str = "en",
        speaks: Callable[[], Awaitable[str]] | None = None,
    ) -> None:  # fmt: skip
        """``read`` blocks until a line was typed; it returns nothing at the end. ``speaks`` is what the owner
        is answered in, asked anew for every answer."""
        self._read = read
        self._console = console
        self._folder = folder
        self._language = language
        self._speaks = speaks
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._numbers = itertools.count(1)
        self._buttons: dict[str, Button] = {}
        self._bar = LineBar(console)

    @classmethod
    def of_this_process(cls, ink: Ink, folder: Path, app: App) -> Terminal:
        """The terminal that the bot was started in, which ``ink`` writes to."""
        from rich.console import Console

        dumb = os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))
        console = Console(file=cast("IO[str]", ink), highlight=False, no_color=dumb or None)
        usual = app.config.language
        speaks = partial(app.database.read, _language, usual)
        return cls(sys.stdin.readline, console, folder, usual, speaks)

    async def listen(self) -> AsyncIterator[Call]:
        """Every line, as a call, until the end of the input."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._pump, args=(loop,), name="terminal", daemon=True).start()
        self._print(say(self._language, "terminal.hello"), style="dim")
        self._prompt()
        while line := await self._lines.get():
            word = line.strip()
            if word and self._missing(word):
                self._print(say(self._language, "terminal.no_button", word=word), _STYLES[Tone.REFUSED])
                self._prompt()
            elif call := self._call(word):
                yield call
            else:
                self._prompt()

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read on a thread of its own: a blocking read would stall every chat."""
        line = "begin"
        while line:
            line = self._read()
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(self._lines.put_nowait, line)

    def _missing(self, word: str) -> bool:
        """Whether this names a button that is not there: drawing it would be charged and surprise."""
        return bool(_BUTTON.fullmatch(word)) and word.casefold() not in self._buttons

    def _call(self, line: str) -> Call | None:
        if not line:
            return None
        place = f"{self.name}:owner/{next(self._numbers)}"
        call = Call(OWNER, place, secrets.token_hex(16), None, line, self._language)
        word, _, rest = line.partition(" ")
        button = self._buttons.get(word.casefold())
        if button is None or (rest and not button.form):
            return call
        ask = button.ask
        if button.form and rest:
            ask = replace(cast("Any", ask), **{button.form: rest.strip()})
        return replace(call, ask=ask, text="")

    async def show(self, place: Place, reply: Reply) -> Place:
        """Progress as a bar in place of the prompt, everything else as lines; pictures drawn and saved."""
        ink = self._console.file if isinstance(self._console.file, Ink) else None
        if reply.redraws:  # what is printed stays
            raise Gone(place)
        if reply.fleeting:
            if self._moves and not (ink and ink.wet):
                self._bar.show(visible(reply.text), reply.progress)
            return place
        self._language = await self._speaks() if self._speaks else self._language
        self._wipe()
        self._words(reply)
        for image in reply.images:
            await self._picture(image)
        self._offer(reply)
        self._prompt()
        if ink:
            await ink.dry()
        return place

    async def close(self) -> None:
        """Stop listening."""
        self._wipe()
        self._lines.put_nowait("")

    @property
    def _moves(self) -> bool:
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def _wipe(self) -> None:
        """Take away what stands in the last line: the bar, or the prompt."""
        if self._moves:
            self._bar.close()

    # --- words

    def _print(self, text: str, style: str = "", *, wrap: bool = True) -> None:
        """A person's text is never markup, and never obeyed."""
        self._console.print(visible(text), markup=False, emoji=False, style=style or None, soft_wrap=not wrap)

    def _prompt(self) -> None:
        self._console.print(f"{say(self._language, 'terminal.prompt')}> ", end="", markup=False)
        self._console.file.flush()

    def _words(self, reply: Reply) -> None:
        self._print("")
        if reply.title:
            self._print(reply.title, "bold")
        if reply.prompt:
            self._print(f"“{reply.prompt}”", "italic")
        if reply.text:
            self._print(reply.text, _STYLES.get(reply.tone, ""))
        for label, value in reply.fields:
            self._print(f"  {label}: {value}", "dim" if reply.tone is Tone.WAITING else "")
        if reply.link:
            self._print(f"  {reply.link}")

    def _offer(self, reply: Reply) -> None:
        """Numbers press the newest message's buttons; a word presses the newest button of that name."""
        buttons = [button for row in reply.buttons for button in row]
        if not buttons:
            return
        newest: dict[str, Button] = {}
        for number, button in enumerate(buttons, 1):
            for name in (str(number), button.label.casefold(), type(button.ask).__name__.casefold()):
                newest.setdefault(name, button)
        older = {name: button for name, button in self._buttons.items() if not name.isdecimal()}
        self._buttons = older | newest
        names = "  ".join(f"{number} {button.label}" for number, button in enumerate(buttons, 1))
        self._print(say(self._language, "terminal.buttons", names=names), "dim")
        edits = [type(button.ask).__name__.casefold() for button in buttons if button.form]
        if edits:
            self._print(say(self._language, "terminal.edit", name=edits[0]), "dim")

    # --- pictures

    async def _picture(self, image: Image) -> None:
        picture = image.data.startswith((b"\x89PNG", b"RIFF"))
        lines = await asyncio.to_thread(self._drawn, image.data) if picture else ""
        if lines:
            self._console.file.write(lines)
        path = await asyncio.to_thread(self._saved, image)
        self._print(say(self._language, "terminal.saved", path=path), "dim", wrap=False)

    def _saved(self, image: Image) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / _SAFE.sub("-", Path(image.name).name)
        path.write_bytes(image.data)
        return path

    def _drawn(self, data: bytes) -> str:
        """The picture as true-colour half blocks; nothing where the terminal cannot."""
        if self._console.color_system != "truecolor" or not self._console.is_terminal:
            return ""
        return blocks(data, min(WIDEST, self._console.width), max(8, self._console.height - 6))


def _language(tx: Connection, usual: str) -> str:
    """What the owner chose to be answered in, in any chat."""
    owner = accounts.find(tx, OWNER)
    return (accounts.get(tx, owner).defaults.language if owner is not None else None) or usual


def blocks(data: bytes, columns: int, rows: int) -> str:
    """One of our own pictures as lines of ``▀``: two pixels a character, in 24-bit colour."""
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    scale = min(columns / picture.width, 2 * rows / picture.height, 1.0)
    width, height = max(1, int(picture.width * scale)), max(2, int(picture.height * scale) // 2 * 2)
    pixels = picture.resize((width, height)).tobytes()
    lines = []
    for y in range(0, height, 2):
        cells = [_cell(pixels, width, x, y) for x in range(width)]
        lines.append("".join(cells) + "\x1b[0m\n")
    return "".join(lines)


def _cell(pixels: bytes, width: int, x: int, y: int) -> str:
    upper, lower = 3 * (y * width + x), 3 * ((y + 1) * width + x)
    front = ";".join(map(str, pixels[upper : upper + 3]))
    back = ";".join(map(str, pixels[lower : lower + 3]))
    return f"\x1b[38;2;{front};48;2;{back}m▀"
