"""`falopitas simulate` and `stats`: what would happen if, and how well promises were kept.

The simulation runs the engine's scheduling code in a process of its own; this end gives it the words and
reads its figures.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from bot import whatif
from bot.config import ROOT, Config
from bot.speed import INSIDE, part, promises
from bot.texts import say
from storage.refusal import Refusal

SECONDS = 600.0
"""A simulation of thousands of people may take minutes."""
MACHINES = ("sd15-512", "sd15-768", "sdxl-512", "sdxl-1024")
"""One H100 with that model at that size (``inference/simulate/__main__.py``)."""
COLUMNS = ("policy", "wait", "p95", "equal", "drawn")

Write = Callable[[str], object]


def simulate(
    config: Config, language: str, write: Write, *, mix: str, engines: int, members: int, machine: str,
    seed: int, out: Path,
) -> int:  # fmt: skip
    """Play it, write the plots to ``out`` and a table to ``write``; 0. Raises Refusal."""
    if machine and machine not in MACHINES:
        raise Refusal("bad_machine", machine=machine, choices=", ".join(MACHINES))
    words = whatif.words(language)
    asked = whatif.asked(whatif.Question(mix, engines, members, language), config.data_dir, out)
    report = _run([*asked, "--machine", machine, "--seed", str(seed)], msgspec.json.encode(words))
    write(say(language, "simulate.head", machine=report["machine"], engines=engines) + "\n\n")
    for line in _table(report["policies"], words, language):
        write(line + "\n")
    write("\n" + say(language, "simulate.saved", path=str(out)) + "\n")
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


def _table(policies: Mapping[str, Any], words: Mapping[str, str], language: str) -> list[str]:
    """A line for each policy and group of people."""
    heads = [say(language, f"simulate.column.{name}") for name in COLUMNS]
    lines = [f"{heads[0]:34}{heads[1]:>12}{heads[2]:>12}{heads[3]:>10}{heads[4]:>10}"]
    for policy, found in policies.items():
        for name, group in sorted(found["groups"].items()):
            who = f"{words.get(policy, policy)}, {words.get(name, name)}"
            waits = f"{who:34}{group['median']:>11.1f}×{group['p95']:>11.1f}×"
            lines.append(f"{waits}{found['jain']:>10.2f}{found['rate']:>9.0%}")
    return lines


def stats(config: Config, language: str, write: Write) -> int:
    """How well the times that people were told were kept; 0."""
    ratios = promises(config.data_dir)
    if not ratios:
        write(say(language, "stats.none") + "\n")
        return 0
    wrong = statistics.median(abs(ratio - 1.0) for ratio in ratios)
    low, high = (part(ratios, share) for share in INSIDE)
    write(say(language, "stats.promises", n=len(ratios)) + "\n")
    write(say(language, "stats.wrong", percent=f"{wrong:.0%}") + "\n")
    write(say(language, "stats.range", low=f"{low:.2f}", high=f"{high:.2f}") + "\n")
    for line in _bars(ratios):
        write(line + "\n")
    return 0


EDGES = (0.25, 0.5, 0.7, 0.9, 1.1, 1.5, 2.0, 4.0)
"""Of what was promised: where one bar ends and the next begins."""


def _bars(ratios: list[float]) -> list[str]:
    edges = (0.0, *EDGES, float("inf"))
    counts = [sum(low < ratio <= high for ratio in ratios) for low, high in pairwise(edges)]
    labels = [f"≤ {high:g}" for high in EDGES] + [f"> {EDGES[-1]:g}"]
    most = max(counts)
    return [
        f"  {label:>7}  {'█' * round(40 * n / most)} {n}" for label, n in zip(labels, counts, strict=True)
    ]
