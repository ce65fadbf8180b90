"""Step times that a machine has learnt, and where a recording of the step is quicker (``replay.py``), kept
between starts: ``steps.json`` in the data folder.

A figure belongs to a model, a device, a number format and a version of torch; with another of these it is
measured again.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import msgspec
import torch

from inference.batch import ROW_BUCKETS, Bucket, Costs
from inference.models import Denoiser

FILE = "steps.json"
EVERY = 30.0
"""Seconds between two writings."""
SLOWEST = 3_600.0
"""Seconds of a step; what is above was not measured but broken."""

RECORDED = " recorded"
"""What follows a shape in whose table are gains instead of seconds."""

Table = dict[str, dict[int, float]]
"""Shape → rows → seconds, or gain."""


class Known:
    """What was learnt here. Without a ``folder`` nothing is kept."""

    def __init__(self, folder: Path | None, device: str) -> None:
        self._file = folder / FILE if folder else None
        self._device = device
        self._tables = self._load()
        self._saved = 0.0

    def recall(self, costs: Costs, bucket: Bucket, model: Denoiser) -> None:
        """Tell ``costs`` what is known of ``bucket``, unless it has measured something itself."""
        if not costs.known(bucket):
            table = self._tables.get(self._key(model), {}).get(_shape(bucket), {})
            costs.believe(bucket, table)

    def note(self, costs: Costs, bucket: Bucket, model: Denoiser) -> None:
        """Remember what ``costs`` knows of ``bucket``; written now and then."""
        if known := costs.known(bucket):
            self._tables.setdefault(self._key(model), {})[_shape(bucket)] = known
            self._now_and_then()

    def gain(self, bucket: Bucket, model: Denoiser, rows: int) -> float | None:
        """How many times as fast the recorded step was, 0 where that cannot be used; None: never measured."""
        return self._tables.get(self._key(model), {}).get(_shape(bucket) + RECORDED, {}).get(rows)

    def note_gain(self, bucket: Bucket, model: Denoiser, rows: int, gain: float) -> None:
        """Remember that; written now and then."""
        shapes = self._tables.setdefault(self._key(model), {})
        shapes.setdefault(_shape(bucket) + RECORDED, {})[rows] = gain
        self._now_and_then()

    def _now_and_then(self) -> None:
        if time.monotonic() - self._saved > EVERY:
            self.save()

    def save(self) -> None:
        """Write it down; a disk that refuses costs a measurement at the next start and nothing else."""
        self._saved = time.monotonic()
        if self._file is None or not self._tables:
            return
        draft = self._file.with_suffix(f".{os.getpid()}")  # another engine may write too
        try:
            draft.write_bytes(msgspec.json.encode(self._tables))
            draft.replace(self._file)
        except OSError:
            return

    def _key(self, model: Denoiser) -> str:
        dtype = str(model.dtype).removeprefix("torch.")
        threads = f" x{torch.get_num_threads()}" if model.device.type == "cpu" else ""
        return f"{model.fingerprint} {self._device}{threads} {dtype} torch-{torch.__version__}"

    def _load(self) -> dict[str, Table]:
        if self._file is None:
            return {}
        try:
            found = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Table])
        except (OSError, msgspec.DecodeError):
            return {}
        return {
            key: {shape: _sane(table, shape.endswith(RECORDED)) for shape, table in shapes.items()}
            for key, shapes in found.items()
        }


def _sane(table: dict[int, float], zero: bool) -> dict[int, float]:
    """``zero``: nothing is a figure too."""
    good = {rows: value for rows, value in table.items() if rows in ROW_BUCKETS and math.isfinite(value)}
    return {rows: value for rows, value in good.items() if 0 < value < SLOWEST or (zero and value == 0)}


def _shape(bucket: Bucket) -> str:
    return f"{bucket.height}x{bucket.width}x{bucket.tokens}{' exact' if bucket.exact else ''}"
