"""The terminal: words in, words and pictures out, and nobody's text is obeyed."""

from __future__ import annotations

import asyncio
import io
import queue
from pathlib import Path

import pytest
from rich.console import Console

from bot.adapters.terminal import Terminal, blocks
from bot.commands.again import Again
from bot.commands.remix import Remix
from bot.plain import visible
from bot.talk import Button, Call, Image, Reply, Tone
from tests.fakes.engine import png

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe [bold]x[/bold] [/b] \r \x00"


class Screen:
    """A terminal with a keyboard; ``kind`` is what it can."""

    def __init__(self, folder: Path, kind: str = "truecolor") -> None:
        self.typed: queue.Queue[str] = queue.Queue()
        self.out = io.StringIO()
        able = kind != "none"
        console = Console(
            file=self.out, force_terminal=able, color_system="truecolor" if kind == "truecolor" else None,
            width=80, height=40, highlight=False, legacy_windows=False,
        )  # fmt: skip
        self.terminal = Terminal(self.typed.get, console, folder)

    async def calls(self, *lines: str) -> list[Call]:
        for line in (*lines, ""):
            self.typed.put(f"{line}\n" if line else "")
        async with asyncio.timeout(60):
            return [call async for call in self.terminal.listen()]


def buttons() -> tuple[tuple[Button, ...], ...]:
    first = (Button("U1", Again(1)), Button("🔄", Again(7)))
    return (first, (Button("✏️", Remix(7), form="prompt", value="a fox"),))


async def test_a_line_is_a_call_of_the_owner_each_with_a_place_and_an_event(tmp_path: Path) -> None:
    one, two = await Screen(tmp_path).calls("a red fox", "  ", "/queue")
    assert (one.text, two.text) == ("a red fox", "/queue")
    assert one.who == "terminal:owner"
    assert one.place != two.place
    assert one.event != two.event


@pytest.mark.parametrize(
    ("typed", "ask"),
    [
        ("u1", Again(1)), ("U1", Again(1)), ("1", Again(1)), ("2", Again(7)), ("🔄", Again(7)),
        ("again", Again(1)), ("remix", Remix(7)), ("remix a blue fox", Remix(7, "a blue fox")),
    ],
)  # fmt: skip
async def test_a_button_is_its_name_its_command_or_its_number(
    tmp_path: Path, typed: str, ask: object
) -> None:
    screen = Screen(tmp_path)
    await screen.terminal.show("terminal:owner/1", Reply("done", buttons=buttons()))
    (call,) = await screen.calls(typed)
    assert call.ask == ask


async def test_words_that_only_begin_like_a_button_are_a_prompt(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    await screen.terminal.show("terminal:owner/1", Reply("done", buttons=buttons()))
    calls = await screen.calls("again and again", "1 fox", "u11")
    assert [call.ask for call in calls] == [None] * 3


async def test_a_word_presses_the_newest_button_of_that_name_even_below_other_messages(
    tmp_path: Path,
) -> None:
    screen = Screen(tmp_path)
    await screen.terminal.show("terminal:owner/1", Reply("done", buttons=buttons()))
    await screen.terminal.show("terminal:owner/2", Reply("kept", buttons=((Button("Undo", Again(9)),),)))
    first, second, third = await screen.calls("u1", "1", "undo")
    assert (first.ask, second.ask, third.ask) == (Again(1), Again(9), Again(9))


async def test_the_name_of_a_button_that_is_not_there_is_never_drawn(tmp_path: Path) -> None:
    """It would be charged."""
    screen = Screen(tmp_path)
    await screen.terminal.show("terminal:owner/1", Reply("done", buttons=buttons()))
    assert await screen.calls("v2", "U9", "17") == []
    assert "There is no button v2 here" in screen.out.getvalue()


async def test_nobodys_text_is_obeyed(tmp_path: Path) -> None:
    screen = Screen(tmp_path, "none")
    reply = Reply(
        HOSTILE, title=HOSTILE, prompt=HOSTILE, fields=((HOSTILE, HOSTILE),), tone=Tone.REFUSED,
        buttons=((Button(HOSTILE, Again(1)),),),
    )  # fmt: skip
    await screen.terminal.show("terminal:owner/1", reply)
    said = screen.out.getvalue()
    assert not {char for char in said if ord(char) < 32 or 0x7F <= ord(char) < 0xA0} - {"\n"}
    assert "\u202e" not in said
    assert "[bold]x[/bold] [/b]" in said


def test_visible_keeps_letters_emoji_and_lines() -> None:
    text = "señor 狐\n👩‍🎨 ❤️ שלום"
    assert visible(text) == text
    assert visible("a\x1b[31m\r") == "a\\u001b[31m\\u000d"


async def test_pictures_are_drawn_where_the_terminal_can_and_saved_everywhere(tmp_path: Path) -> None:
    picture = Image(png(64, 32, 7), "../../grid.png", alt="fox")
    for kind, drawn in (("truecolor", True), ("plain", False), ("none", False)):
        screen = Screen(tmp_path / kind, kind)
        await screen.terminal.show("terminal:owner/1", Reply("done", images=(picture,), job=5))
        assert ("▀" in screen.out.getvalue()) is drawn
        (saved,) = (tmp_path / kind).iterdir()
        assert saved.name == "grid.png"
        assert saved.read_bytes() == picture.data
        assert str(saved) in screen.out.getvalue().replace("\n", "")


def test_half_blocks_fit_and_keep_the_shape() -> None:
    lines = blocks(png(128, 128, 1), columns=40, rows=100).splitlines()
    assert len(lines) == 20
    assert lines[0].count("▀") == 40
    assert len(blocks(png(512, 16, 1), columns=72, rows=34).splitlines()) == 1


async def test_progress_is_a_bar_that_goes_away_and_nothing_on_a_dumb_terminal(tmp_path: Path) -> None:
    for kind in ("truecolor", "none"):
        screen = Screen(tmp_path / kind, kind)
        for share in (0.1, 0.5):
            await screen.terminal.show("terminal:owner/1", Reply("Drawing", fleeting=True, progress=share))
        assert bool(screen.out.getvalue()) is (kind == "truecolor")
        await screen.terminal.show("terminal:owner/1", Reply("done"))
        await screen.terminal.close()
        assert "done" in screen.out.getvalue()
