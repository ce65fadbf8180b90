"""How long a picture takes here: measured by the engine, remembered across restarts, told as a range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inference.request import ModelSpec, Request

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
            if len(self.ratios) % 10 == 0 or len(self.ratios) == KEPT:
                _write(self._record, self.ratios)

    def in_company(self, request: Request) -> float:
        """Seconds that the steps of one of its pictures take in the usual company; 0 when that is not
        known."""
        return request.steps_run * request.megapixels * self._paces.get(request.model, 0.0)

    def known(self, model: str) -> bool:
        """Whether this model was ever measured here."""
        return model in self._seconds

    def seconds(self, request: Request) -> float:
        """Device seconds of the whole request."""
        return request.work * self._seconds.get(request.model, GUESS)

    def standard(self, spec: ModelSpec) -> float:
        """Device seconds of one picture of a model as it is usually asked for."""
        usual = Request(
            prompt="", model=spec.name, width=spec.width, height=spec.height, steps=spec.steps,
            guidance=spec.guidance, count=1,
        )  # fmt: skip
        return self.seconds(usual)

    def range(self, seconds: float, *, measured: bool = True) -> Range:
        """``seconds`` as what a person is told: neighbours share steps, so it is never one figure.

        Once enough promises were kept or broken here, it is as wide as they were wrong.
        """
        if measured and len(self.ratios) >= ENOUGH:
            low, high = (part(self.ratios, share) for share in INSIDE)
            return Range(seconds * low, seconds * high + 1.0)
        if measured:
            return Range(seconds * 0.7, seconds * 1.5 + 1.0)
        return Range(seconds * 0.3, seconds * 4.0 + 5.0, measured=False)


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
