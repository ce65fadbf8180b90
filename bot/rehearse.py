"""`falopitas simulate` and `stats`: what would happen if, and how well promises were kept.

The simulation runs the engine's scheduling code in a process of its own; this end gives it the words and
reads its figures.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from bot import whatif
from bot.config import ROOT, Config
from bot.speed import INSIDE, Speed, part, promises
from bot.texts import number, say
from storage.refusal import Refusal

SECONDS = 600.0
"""A simulation of thousands of people may take minutes."""
MACHINES = ("sd15-512", "sd15-768", "sdxl-512", "sdxl-1024")
"""One H100 with that model at that size (``inference/simulate/__main__.py``)."""
COLUMNS = ("median", "slowest", "equal", "speed")
EXPLAINED = ("waits", "equal", "speed", "vtc", "batches", "round_robin", "fifo")
"""What an operator is told below the table."""

Write = Callable[[str], object]


def simulate(
    config: Config, language: str, write: Write, *, mix: str, engines: int, members: int, machine: str,
    seed: int, out: Path,
) -> int:  # fmt: skip
    """Play it, write the plots to ``out`` and a table to ``write``; 0. Raises Refusal."""
    if machine and machine not in MACHINES:
        raise Refusal("bad_machine", machine=machine, choices=", ".join(MACHINES))
    words = msgspec.json.encode(whatif.words(language))
    asked = whatif.asked(whatif.Question(mix, engines, members, language), config.data_dir, out)
    report = _run([*asked, "--machine", machine, "--seed", str(seed)], words)
    kind = "named" if machine else "measured" if report["machine"] == whatif.MEASURED else "guessed"
    head = (
        say(language, f"simulate.mix.{mix}", n=members),
        say(language, f"simulate.machine.{kind}", n=engines, machine=report["machine"]),
    )
    below = [say(language, f"simulate.explained.{name}") for name in EXPLAINED]
    saved = say(language, "simulate.saved", path=str(out))
    for line in (*head, "", *_table(whatif.rows(report, language), language), "", *below, "", saved):
        write(line + "\n")
    return 0


def _run(asked: list[str], words: bytes) -> dict[str, Any]:
    command = [sys.executable, "-m", "inference.simulate", *asked]
    try:
        done = subprocess.run(  # noqa: S603 - our own module, no shell
            command, input=words, capture_output=True, cwd=ROOT, timeout=SECONDS, check=True
        )
        return msgspec.json.decode(done.stdout, type=dict[str, Any])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        raise Refusal("simulation_failed") from error


def _table(rows: Sequence[dict[str, Any]], language: str) -> Iterator[str]:
    """A line for each policy with what is true of it for everybody, below it one for each group of people."""
    median, slowest, equal, speed = (say(language, f"simulate.column.{name}") for name in COLUMNS)
    yield f"{'':18}{median:>17}{slowest:>17}{equal:>12}{speed:>12}"
    for policy, groups in groupby(rows, itemgetter("policy")):
        found = list(groups)
        fair = number(language, round(found[0]["equal"], 2))
        yield f"{policy:52}{fair:>12}{_percent(found[0]['drawn']):>12}"
        for row in found:
            waits = (_times(language, row[part]) for part in ("median", "slowest"))
            yield f"  {row['group']:16}" + "".join(f"{each:>17}" for each in waits)


def _times(language: str, value: float) -> str:
    return f"{number(language, round(value, 1 if value < 10 else None))}×"


def _percent(share: float) -> str:
    """Little is not nothing."""
    return "<1%" if 0.0 < share < 0.01 else f"{share:.0%}"


def stats(config: Config, language: str, write: Write) -> int:
    """How well the times that people were told were kept; 0."""
    ratios = promises(config.data_dir)
    if not ratios:
        write(say(language, "stats.guesses" if Speed(config.data_dir).measured else "stats.none") + "\n")
        return 0
    wrong = statistics.median(abs(ratio - 1.0) for ratio in ratios)
    low, high = (part(ratios, share) for share in INSIDE)
    write(say(language, "stats.promises", n=len(ratios)) + "\n")
    write(say(language, "stats.wrong", percent=round(100 * wrong)) + "\n")
    write(say(language, "stats.range", low=round(low, 2), high=round(high, 2)) + "\n")
    for line in _bars(ratios, language):
        write(line + "\n")
    return 0


EDGES = (0.25, 0.5, 0.7, 0.9, 1.1, 1.5, 2.0, 4.0)
"""Of what was promised: where one bar ends and the next begins."""


def _bars(ratios: list[float], language: str) -> list[str]:
    edges = (0.0, *EDGES, float("inf"))
    counts = [sum(low < ratio <= high for ratio in ratios) for low, high in pairwise(edges)]
    labels = [f"≤ {number(language, high)}" for high in EDGES] + [f"> {number(language, EDGES[-1])}"]
    most = max(counts)
    return [
        f"  {label:>7}  {'█' * round(40 * n / most)} {n}" for label, n in zip(labels, counts, strict=True)
    ]
