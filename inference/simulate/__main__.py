"""``python -m inference.simulate``: play a mix of people against every policy; figures as JSON, plots as PNG.

Standard input may hold a JSON object with the words for the plots (the command line gives them in the
person's language).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from inference import beside
from inference.batch import ROW_BUCKETS
from inference.simulate import sheet
from inference.simulate.clock import Machine, play
from inference.simulate.mixes import MIXES
from inference.simulate.policies import POLICIES
from inference.simulate.story import Story, tell

PRESETS = {
    "sd15-512": (0.0060, 2.9),
    "sd15-768": (0.0140, 1.3),
    "sdxl-512": (0.0130, 2.6),
    "sdxl-1024": (0.0250, 0.94),
}
"""One H100: seconds of a row alone, and what batching eight gains (published; design notes of the engine)."""
STEPS_FILE = "steps.json"
RECORDED = " recorded"
"""What follows a shape in that file whose figures are no seconds; as in ``known.py``."""
WORDS = {
    "title": "Who waits, and for whom",
    "subtitle": "The same people and the same machine, shared in five ways.",
    "waits": "How long people wait",
    "waits_note": "×1: what the picture takes with nobody else there. Half are there at the dot, 19 of 20 "
    "at the end",
    "jain": "How equal it is",
    "jain_note": "Jain's index of those who waited throughout: 1 is equal",
    "work": "How much gets drawn",
    "work_note": "of the most that the machine can; less where less is asked for",
    "service": "Who has the machine",
    "service_note": "each person's part of everything that is drawn, over time",
    "load": "How full the machine is",
    "load_note": "how much is drawn over time, of the best that it can do; it goes on until all is drawn",
    "time": "{seconds} s", "point": ".",
    "falopitas": "Falopitas", "fifo": "first come", "round_robin": "round robin", "vtc": "VTC",
    "batches": "batches",
    "flood": "asks for 300", "steady": "always asking", "light": "now and then",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, draw, print; 0."""
    parser = argparse.ArgumentParser(prog="python -m inference.simulate", description=__doc__)
    parser.add_argument("--mix", choices=MIXES, default="flood")
    parser.add_argument("--engines", type=int, default=1, help="machines like this one")
    parser.add_argument("--members", type=int, default=50, help="people of the mix 'evening'")
    parser.add_argument("--machine", default="", help=f"{', '.join(PRESETS)}; else what was measured here")
    parser.add_argument("--home", type=Path, help="data folder with measured step times")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--png", type=Path, help="where the plots go")
    parser.add_argument("--beside", action="store_true", help="give way, and end when standard input does")
    given = parser.parse_args(arguments)
    words = WORDS | _told(given.beside)
    name, table = speeds(given.machine, given.home)
    machine = Machine({"first": table, "second": table})
    stories = compare(machine, given.mix, given.engines, given.members, given.seed)
    if given.png:
        sheet.draw(stories, words, given.png)
    report = {"machine": name, "table": machine.tables["first"], "mix": given.mix, "engines": given.engines}
    policies = {policy: _figures(story) for policy, story in stories.items()}
    sys.stdout.write(msgspec.json.encode(report | {"policies": policies}).decode() + "\n")
    return 0


def _told(beside_others: bool) -> dict[str, str]:
    """The words for the plots: one line of standard input, which stays open, or all of it."""
    if beside_others:
        text = sys.stdin.buffer.readline()
        beside.give_way()
        beside.end_with_parent()
    else:
        text = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    return msgspec.json.decode(text, type=dict[str, str]) if text.strip() else {}


def compare(
    machine: Machine, mix: str, engines: int = 1, members: int = 50, seed: int = 1
) -> dict[str, Story]:
    """Every policy's story of the same asks."""
    asks = MIXES[mix](machine, random.Random(seed), members)  # noqa: S311 - reproducible, not secret
    return {
        name: tell(play(asks, policy(machine, engines), machine, engines), machine)
        for name, policy in POLICIES.items()
    }


def _figures(story: Story) -> dict[str, Any]:
    groups = {
        name: {"asks": group.asks, "median": round(group.median, 2), "p95": round(group.p95, 2),
               "seconds": round(group.seconds, 3)}
        for name, group in story.groups.items()
    }  # fmt: skip
    jain = sum(story.jain) / len(story.jain)
    return {
        "groups": groups, "gap": round(story.gap, 4), "jain": round(jain, 3), "busy": round(story.busy, 3),
        "rate": round(story.rate, 6), "seconds": round(story.end, 2),
    }  # fmt: skip


def speeds(preset: str, home: Path | None) -> tuple[str, Mapping[int, float]]:
    """What the machine is called, and its rows → seconds: measured here unless a preset is named."""
    measured = _measured(home / STEPS_FILE) if home and not preset else {}
    if measured:
        return "measured", measured
    name = preset if preset in PRESETS else next(iter(PRESETS))
    one, gain = PRESETS[name]
    return name, {rows: one * (1 + (8 / gain - 1) * (rows - 1) / 7) for rows in ROW_BUCKETS}


def _measured(file: Path) -> dict[int, float]:
    """The most complete table of step times that was kept."""
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, dict[int, float]]])
    except (OSError, msgspec.DecodeError):
        return {}
    tables = [
        table
        for shapes in kept.values()
        for shape, table in shapes.items()
        if len(table) > 1 and not shape.endswith(RECORDED)
    ]
    good = [table for table in tables if all(value > 0.0 for value in table.values())]
    return max(good, key=len, default={})


if __name__ == "__main__":
    sys.exit(main())
