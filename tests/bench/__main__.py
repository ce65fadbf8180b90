"""Every bench, one after the other: ``python -m tests.bench [--anyway] [--quick] [--json FILE]``.

One JSON line a figure as it comes, and at the end the table for the README. On two quiet cores it takes under
twelve minutes. A figure that was taken while others used the machine says ``void``. The GPU's figures are
``python -m tests.bench.gpu``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BENCHES = ("virtual", "engine", "lane", "c20", "c24", "start", "answers")
OLD = ("c20", "c24", "start")
"""These know no ``--rounds``."""


def main() -> int:
    """Run each bench in a process of its own; return how many failed or refused to report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--anyway", action="store_true", help="report although others use the machine")
    parser.add_argument("--quick", action="store_true", help="one round of each: is it all in order?")
    parser.add_argument("--json", type=Path, help="write every figure here too")
    given = parser.parse_args()
    began, bad, lines = time.monotonic(), 0, []
    for name in BENCHES:
        words = [sys.executable, "-m", f"tests.bench.{name}", *(["--anyway"] if given.anyway else [])]
        words += ["--rounds", "1"] if given.quick and name not in OLD else []
        done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
        bad += done.returncode != 0
        for line in done.stdout.splitlines():
            print(line, flush=True)
            if line.startswith("{"):
                lines.append(json.loads(line))
    if given.json:
        given.json.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")
    print("\n" + table(lines))
    print(f"\n{len(lines)} figures in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return bad


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: a row a figure that has a gate."""
    rows = ["| figure | measured | gate | |", "| --- | ---: | ---: | --- |"]
    for line in lines:
        for name, value, gate, good in _figures(line):
            mark = "void" if line.get("void") else "" if good is None else "✓" if good else "**missed**"
            rows.append(f"| {name} | {_number(value)} | {_number(gate)} | {mark} |")
    return "\n".join(rows)


def _figures(line: dict[str, Any]) -> list[tuple[str, Any, Any, bool | None]]:
    """(name, value, gate, reached) of a line; the older benches have forms of their own."""
    if line.get("bench") == "c20" and "c20" in line:
        rate, gain, claim = line["c20"]["jobs_per_second"], line["c20"]["ratio"], line["c21"]["p99_ms"]
        return [
            ("C20 durable jobs a second", rate, 1_500, rate >= 1_500),
            ("C20 over autocommit", gain, 20, gain >= 20),
            ("C21 claim among 10 000, p99 ms", claim, 2.0, claim <= 2.0),
        ]
    if "figure" not in line:
        return []
    name, value, gate = line["figure"], line["value"], line.get("gate")
    if line.get("bench") == "C24":
        reached = value >= gate if name == "throughput" else value <= gate
        return [(f"C24 {name.replace('_', ' ')}", value, gate, reached)]
    if line.get("bench") == "start":
        return [
            (f"bot start, {name.replace('_', ' ')}", value, gate, None if gate is None else value <= gate)
        ]
    return [(name, value, gate, line["good"])]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
