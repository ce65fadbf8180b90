"""The README's table of commands, asserted there; printed by ``python -m bot.commands.listing es``."""

from __future__ import annotations

import sys

from bot.commands import COMMANDS
from bot.commands.help import written
from bot.texts import say, spoken


def table(language: str) -> str:
    """Every command, what it does and an example, in Markdown."""
    head = (
        ("Command", "What it does", "Example")
        if spoken(language) == "en"
        else ("Orden", "Qué hace", "Ejemplo")
    )
    rows = [head, ("---", "---", "---")]
    for command in COMMANDS:
        usage = written(command, language)
        summary, example = (
            say(language, f"command.{command.name}.{what}") for what in ("summary", "example")
        )
        rows.append((f"`{usage}`", summary, f"`{example}`"))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


if __name__ == "__main__":
    sys.stdout.write(table(sys.argv[1] if len(sys.argv) > 1 else "en") + "\n")
