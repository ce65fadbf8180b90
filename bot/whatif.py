"""What if there were two of these GPUs, or five thousand members? Asked on the moderators' page.

The answer is played by ``inference.simulate`` in a process that gives way to everything else: one at a time,
no longer than ``SECONDS``, and kept for a while, so that the same question costs nothing twice.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
import tempfile
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bot.config import ROOT
from bot.texts import say
from inference.beside import heard
from storage.refusal import Refusal

log = logging.getLogger(__name__)

SECONDS = 120.0
"""What takes longer is given up: five thousand members take 6 s of one core."""
FRESH = 600.0
"""Seconds for which an answer is kept; the engine measures itself meanwhile."""
KEPT = 8
MEASURED = "measured"
"""What the simulation calls a machine whose step times were measured here."""
MIXES = ("evening", "flood", "newcomers", "roles", "models")
WORDS = (
    "title", "subtitle", "waits", "waits_note", "jain", "jain_note", "work", "work_note", "service",
    "service_note", "load", "load_note", "falopitas", "fifo", "round_robin", "vtc", "batches", "flood",
    "steady", "light", "member", "helper", "patron", "point",
)  # fmt: skip
"""What stands on the plots; the simulation knows none of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """So many machines like this one, and so many people of a mix (``inference/simulate/mixes.py``)."""

    mix: str = "evening"
    engines: int = 1
    members: int = 50
    language: str = "en"


@dataclass(slots=True)
class _Answer:
    """What became of a question; ``code``: why there is no answer."""

    since: float
    report: dict[str, Any] | None = None
    sheet: bytes = b""
    code: str = ""

    @property
    def over(self) -> bool:
        return self.report is not None or bool(self.code)


@dataclass(slots=True)
class WhatIf:
    """Every question that was asked lately. ``home`` is the data folder with the measured step times."""

    home: Path
    _known: OrderedDict[Question, _Answer] = field(default_factory=OrderedDict)
    _task: asyncio.Task[None] | None = None

    def ask(self, question: Question) -> None:
        """Begin to answer, unless that is done or under way. Raises Refusal simulation_busy."""
        known = self._fresh(question)
        if known is not None and not known.code:
            return
        if self._task is not None and not self._task.done():
            raise Refusal("simulation_busy")
        answer = self._known[question] = _Answer(time.monotonic())
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        self._task = asyncio.get_running_loop().create_task(self._play(question, answer))

    def look(self, question: Question) -> dict[str, Any]:
        """``state``: none, running, ready or failed; how long it runs; the table's rows and the plots."""
        known = self._fresh(question)
        if known is None:
            return {"state": "none"}
        if known.code:
            return {"state": "failed", "code": known.code}
        if known.report is None:
            return {"state": "running", "seconds": round(time.monotonic() - known.since)}
        return {
            "state": "ready", "machine": known.report["machine"],
            "rows": rows(known.report, question.language),
            "sheet": "data:image/png;base64," + base64.b64encode(known.sheet).decode(),
        }  # fmt: skip

    def _fresh(self, question: Question) -> _Answer | None:
        known = self._known.get(question)
        old = known is not None and known.over and time.monotonic() - known.since > FRESH
        return None if old else known

    async def _play(self, question: Question, answer: _Answer) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="falopitas-") as folder:
                sheet = Path(folder) / "plots.png"
                report = await _simulated(question, self.home, sheet)
                answer.sheet = await asyncio.to_thread(sheet.read_bytes)
                answer.report = report  # last: whoever looks meanwhile would be shown half of it
        except TimeoutError:
            answer.code = "simulation_slow"
        except (OSError, msgspec.DecodeError, _Broken) as error:
            log.warning("no simulation", extra={"action": "simulate", "error": type(error).__name__})
        finally:
            if not answer.over:
                answer.code = "simulation_failed"


class _Broken(Exception):  # noqa: N818 - it names what the process is
    """The process ended without an answer."""


async def _simulated(question: Question, home: Path, sheet: Path) -> dict[str, Any]:
    """The report of one simulation. Its process ends with this, however this ends, and with the bot."""
    command = [sys.executable, "-m", "inference.simulate", "--beside", *asked(question, home, sheet)]
    extra = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    async with asyncio.timeout(SECONDS):
        said, code = await heard(command, msgspec.json.encode(words(question.language)) + b"\n", extra)
    if code:
        raise _Broken
    return msgspec.json.decode(said, type=dict[str, Any])


def asked(question: Question, home: Path, sheet: Path) -> list[str]:
    """The question as words of ``inference.simulate``."""
    return [
        "--mix", question.mix, "--engines", str(question.engines), "--members", str(question.members),
        "--home", str(home), "--png", str(sheet),
    ]  # fmt: skip


def words(language: str) -> dict[str, str]:
    """What stands on the plots."""
    said = {key: say(language, f"simulate.{key}") for key in WORDS}
    return said | {"time": say(language, "simulate.time", seconds="{seconds}")}


def rows(report: dict[str, Any], language: str) -> list[dict[str, Any]]:
    """A row for each policy and group of people, ours and who asks little first; named in words."""
    named = words(language)
    return [
        {
            "policy": named.get(policy, policy), "ours": policy == "falopitas",
            "group": named.get(group, group),
            "median": found["median"], "slowest": found["p95"], "equal": figures["jain"],
            "drawn": figures["rate"],
        }
        for policy, figures in report["policies"].items()
        for group, found in sorted(figures["groups"].items(), key=lambda each: (each[0] != "light", each))
    ]  # fmt: skip
