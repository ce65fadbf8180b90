"""How long a picture takes here: measured by the engine, remembered across restarts, told as a range."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inference.request import Request

GUESS = 1.0
"""Seconds for one unit of ``Request.work`` before anything was measured: a small model on two CPU cores."""
SLOWEST = 100_000.0
"""Seconds a unit; what is above it was not measured but broken."""
KEPT, ENOUGH = 500, 30
"""Promises whose outcome is remembered, and how many make a range of their own."""
INSIDE = (0.1, 0.9)
"""Four of five waits shall end within what was told."""


@dataclass(frozen=True, slots=True)
class Range:
    """Seconds, from ``low`` to ``high``. ``measured`` is false while it is a guess."""

    low: float
    high: float
    measured: bool = True


class Pace:
    """How fast one job is really drawn, from what is heard of it meanwhile: in whatever company it is, and
    however wrong what was thought before."""

    def __init__(self) -> None:
        self.share = 0.0
        """How much of it is drawn, 0 to 1."""
        self._since = 0.0
        self._heard: deque[tuple[float, float]] = deque()
        """(when, share) in the later half of the time since it was heard of first: a neighbour who came or
        went counts soon, a short rest at its turn's end not too much."""

    def heard(self, share: float, now: float) -> None:
        """So much of it is drawn ``now`` (seconds of a clock that is never set)."""
        if share < self.share:  # it was begun again
            self._heard.clear()
        self._since = self._since if self._heard else now
        self.share = share
        self._heard.append((now, share))
        while len(self._heard) > 2 and self._heard[1][0] <= (self._since + now) / 2:
            self._heard.popleft()

    @property
    def left(self) -> Range | None:
        """Until all of it is drawn; None before it was seen to move."""
        if not self._heard:
            return None
        (before, less), (now, share) = self._heard[0], self._heard[-1]
        return _usual((now - before) * (1.0 - share) / (share - less)) if share > less else None


class Speed:
    """Seconds for one unit of ``Request.work``, by model; the last value is kept in ``speed.json``, how well
    promises were kept in ``promises.json``."""

    def __init__(self, home: Path | None = None) -> None:
        self._file = home / "speed.json" if home else None
        self._record = home / "promises.json" if home else None
        self.ratios = promises(home) if home else []
        """What a wait was of what had been promised, oldest first."""
        self._paces: dict[str, float] = {}
        self._seconds: dict[str, float] = self._load()
        self._saved = dict(self._seconds)

    def _load(self) -> dict[str, float]:
        if self._file is None:
            return {}
        try:
            known = msgspec.json.decode(self._file.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.DecodeError):
            return {}
        return {model: value for model, value in known.items() if 0 < value < SLOWEST}

    def learn(self, measured: Mapping[str, float], paces: Mapping[str, float] | None = None) -> None:
        """Take the engine's figures; written to disk when one moved by more than a tenth."""
        self._paces |= {model: value for model, value in (paces or {}).items() if 0 < value < SLOWEST}
        self._seconds |= {model: value for model, value in measured.items() if 0 < value < SLOWEST}
        if any(abs(value - self._saved.get(m, 0.0)) > value / 10 for m, value in self._seconds.items()):
            self._save()

    def _save(self) -> None:
        self._saved = dict(self._seconds)
        _write(self._file, self._seconds)

    def kept(self, promised: float, took: float) -> None:
        """A wait that had been told as ``promised`` seconds took so long."""
        if promised > 0.0 and 0.0 < took < SLOWEST:
            self.ratios = [*self.ratios, round(took / promised, 4)][-KEPT:]
            _write(self._record, self.ratios)

    def in_company(self, request: Request) -> float:
        """Seconds that the steps of one of its pictures take in the usual company; 0 when that is not
        known."""
        return request.steps_run * request.megapixels * self._paces.get(request.model, 0.0)

    @property
    def measured(self) -> bool:
        """Whether any model was ever measured here: before, what people are told is a guess."""
        return bool(self._seconds)

    def known(self, model: str) -> bool:
        """Whether this model was ever measured here."""
        return model in self._seconds

    def seconds(self, request: Request) -> float:
        """Device seconds of the whole request."""
        return request.work * self._seconds.get(request.model, GUESS)

    def range(self, seconds: float, *, measured: bool = True) -> Range:
        """``seconds`` as what a person is told: neighbours share steps, so it is never one figure.

        Once enough promises were kept or broken here, it is as wide as they were wrong.
        """
        if measured and len(self.ratios) >= ENOUGH:
            low, high = (part(self.ratios, share) for share in INSIDE)
            return Range(seconds * low, seconds * high + 1.0)
        if measured:
            return _usual(seconds)
        return Range(seconds * 0.3, seconds * 4.0 + 5.0, measured=False)


def _usual(seconds: float) -> Range:
    """A range about what was measured, where it is not known how wrong that is."""
    return Range(seconds * 0.7, seconds * 1.5 + 1.0)


def part(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` (at least one) are not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def promises(home: Path) -> list[float]:
    """How well promises were kept: what each wait was of what had been told, oldest first."""
    try:
        found = msgspec.json.decode((home / "promises.json").read_bytes(), type=list[float])
    except (OSError, msgspec.DecodeError):
        return []
    return [ratio for ratio in found if math.isfinite(ratio) and ratio > 0.0][-KEPT:]


def _write(file: Path | None, figures: object) -> None:
    """A figure less at the next start if the disk refuses; its trouble is told where it matters."""
    if file is None:
        return
    draft = file.with_suffix(".new")
    try:
        draft.write_bytes(msgspec.json.encode(figures))
        draft.replace(file)
    except OSError:
        return
