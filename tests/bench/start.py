"""The bot process: seconds from its start to "ready for asks", and its resident memory.

    python -m tests.bench.start [--anyway] [--house FILE]

The real command line with a stub engine beside it; the median of five. Prints a JSON line a figure.
``--house`` begins with a copy of that database, such as the large one that ``tests.bench.accounts`` leaves.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bot.home import Home
from tests.flow.house import ROOT

BUSY = 25.0
"""Per cent of the machine that others may use before no figure is reported."""


def once(folder: Path) -> tuple[float, float, float]:
    """Seconds to the ready line, processor seconds of it, resident megabytes."""
    (folder / "falopitas.toml").write_text("[web]\nport = 0\n")
    words = [sys.executable, "-m", "tests.flow.cli", "run", "--no-browser", "--config", "falopitas.toml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FALOPITAS_DATA": str(folder / "data")}
    began = time.monotonic()
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        seconds = time.monotonic() - began
        bot = psutil.Process(process.pid)
        used = bot.cpu_times()
        found = (seconds, used.user + used.system, bot.memory_info().rss / 1e6)
        process.send_signal(signal.SIGTERM)
    return found


def main(anyway: bool, house: Path | None) -> int:
    others = psutil.cpu_percent(interval=2.0)
    if others > BUSY and not anyway:
        print(f"the machine is busy ({others:.0f} %): no figure", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        if house is not None:
            (Path(folder) / "data").mkdir(mode=0o700)
            shutil.copyfile(house, Home(Path(folder) / "data").database)
        once(Path(folder))  # the disk's cache, the database's first migration
        runs = [once(Path(folder)) for _ in range(5)]
    for name, gate, values in zip(
        ("ready_s", "processor_s", "resident_mb"), (1.5, None, 120), zip(*runs, strict=True), strict=True
    ):
        value = round(statistics.median(values), 2)
        print(json.dumps({"bench": "start", "figure": name, "value": value, "gate": gate, "others": others}))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anyway", action="store_true", help="report although the machine is busy")
    parser.add_argument("--house", type=Path, help="a database to begin with")
    given = parser.parse_args()
    sys.exit(main(given.anyway, given.house))
