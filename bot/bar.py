"""A progress bar on a terminal: one line, written over itself, that leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 24
"""Columns of the bar itself."""


class LineBar:
    """The line below the conversation. The words say how far it is, the bar shows it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, text: str, share: float | None) -> None:
        """What is going on, and how far it is (0 to 1; None: nobody knows)."""
        from rich.cells import set_cell_size
        from rich.text import Text

        full = round(WIDTH * min(1.0, share or 0.0))
        words = set_cell_size(text.split("\n", 1)[0], max(0, self._console.width - WIDTH - 2))
        line = Text.assemble(("━" * full, "green"), ("━" * (WIDTH - full), "bright_black"), " ", words)
        self._console.file.write("\r")
        self._console.print(line, end="", soft_wrap=True)

    def close(self) -> None:
        """Take it away."""
        self._console.file.write("\r" + " " * (self._console.width - 1) + "\r")
        self._console.file.flush()
