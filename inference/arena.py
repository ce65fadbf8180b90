"""Latents and their histories, and the one linear update that serves every sampler.

A slot holds a run's last three latents, last four model outputs and one noise tensor, float32, as two rings:
a step moves no data, it only reads and writes other cells. The update is made of single multiplications and
additions (never fused, never reduced by a kernel of its own choice), so that a picture is bitwise the same
whatever shares the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from inference.runs import Run
from inference.samplers import COLUMNS, LATENTS, NOISE, OUTPUTS

CELLS = LATENTS + OUTPUTS + 1
"""Tensors a slot holds."""
_WIDTH = len(COLUMNS)


def _rings() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(columns + 1, cycle): which cell of a slot each column means at a cursor, and where the next latent
    goes."""
    cursor = np.arange(LATENTS * OUTPUTS)
    latents = [(cursor - back) % LATENTS for back in range(LATENTS)]
    outputs = [LATENTS + (cursor - back) % OUTPUTS for back in range(OUTPUTS)]
    return np.array([*latents, *outputs, np.full_like(cursor, NOISE), (cursor + 1) % LATENTS])


_RINGS = _rings()
_CYCLE = _RINGS.shape[1]
_COLUMNS_OF = [[column for column in range(8) if bits >> column & 1] for bits in range(256)]
"""Bits of ``Table.uses`` → columns."""


class _Denoise(Protocol):
    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class _Company:
    """What stays the same while the same runs go on together."""

    key: tuple[int, ...]
    row: torch.Tensor
    """(rows,) which run a row belongs to."""
    other: torch.Tensor
    """(runs,) row of each run's unguided half; its own for an unguided run."""
    guided: bool
    cond: torch.Tensor
    """(rows, tokens, dim)."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a step multiplies and where it lies."""

    factors: torch.Tensor
    """(3, runs, 1) float32: input scale, model time, guidance."""
    now: torch.Tensor
    """(runs,) cells of the latents."""
    output: torch.Tensor
    """(runs,) cells for the model's outputs."""
    next: torch.Tensor
    """(runs,) cells for the next latents."""
    terms: torch.Tensor
    """(used · runs,) cells of the columns that are not all zero."""
    weights: torch.Tensor
    """(used, runs, 1) what those cells are multiplied with."""


class Arena:
    """Slots for latents of one shape (c, h, w) on one device."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device, slots: int = 8) -> None:
        self.shape = shape
        self.size = int(np.prod(shape))
        self.device = device
        self.cells = torch.zeros(slots * CELLS, self.size, device=device)
        self._free = list(range(slots))
        self._company: _Company | None = None

    def begin(self, run: Run) -> None:
        """Give ``run`` a slot and its first latent; noise is drawn in the order of a diffusers pipeline.

        Raises what torch raises, and then it has no slot.
        """
        if not self._free:
            slots = len(self.cells) // CELLS
            self.cells = torch.cat([self.cells, torch.zeros_like(self.cells)])
            self._free = list(range(slots, 2 * slots))
        run.generator.manual_seed(run.seed)
        keep, sigma = run.table.start
        latent = self._noise(run) * sigma
        if run.source is not None:
            latent += run.source.reshape(-1) * keep
        self.cells[self._free[-1] * CELLS] = latent
        run.slot = self._free.pop()

    def end(self, run: Run) -> None:
        """The slot of ``run`` is free and clean again."""
        first = run.slot * CELLS
        self.cells[first : first + CELLS] = 0.0
        self._free.append(run.slot)
        run.slot = -1

    def latent(self, run: Run) -> torch.Tensor:
        """The present latent (c, h, w) of ``run``, as it lies there."""
        return self.cells[run.slot * CELLS + run.cursor % LATENTS].view(self.shape)

    def step(self, model: _Denoise, runs: Sequence[Run], rows: int) -> None:
        """One step of every run in one model call of ``rows`` rows (at least the sum of theirs).

        The rows are the runs in order, then the unguided halves of the guided ones, then repeats of row 0.
        Raises what the model raises, and then nothing has changed.
        """
        company, numbers = self._together(runs, rows), self.numbers(runs)
        factors, count = numbers.factors, len(runs)
        scale, time, guidance = factors.unbind()
        x = self.cells.index_select(0, numbers.now) * scale  # runs x d
        t = time.view(-1).index_select(0, company.row)
        scaled = x.index_select(0, company.row).view(rows, *self.shape)
        flat = model.denoise(scaled, t, company.cond).float().reshape(rows, self.size)
        output = flat[:count]
        if company.guided:
            without = flat.index_select(0, company.other)
            output = without + (output - without) * guidance
        self.cells.index_copy_(0, numbers.output, output)
        self.update(runs, numbers)

    def numbers(self, runs: Sequence[Run]) -> Numbers:
        """The numbers of the next step of ``runs``, from their tables."""
        factors, places, bits = np.empty((len(runs), _WIDTH + 3), dtype=np.float32), [], 1
        for place, run in enumerate(runs):
            table, cursor = run.table, run.cursor
            factors[place, :-1] = table.packed[cursor]
            factors[place, -1] = run.guidance
            places.append((cursor % _CYCLE, run.slot * CELLS))
            bits |= table.uses[cursor]
        ring, first = np.array(places).T
        cells = _RINGS[:, ring] + first
        factors = np.ascontiguousarray(factors.T)[..., None]
        used = _COLUMNS_OF[bits]
        now, output, after = self._there(cells[[0, LATENTS, -1]]).unbind()
        return Numbers(
            factors=self._there(factors[_WIDTH:]),
            now=now,
            output=output,
            next=after,
            terms=self._there(cells[used].ravel()),
            weights=self._there(factors[used]),
        )

    def _there(self, array: np.ndarray[Any, Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.to(self.device, non_blocking=True)

    def update(self, runs: Sequence[Run], numbers: Numbers) -> None:
        """x' = Σ coefficient · cell over the used columns, for every run; their cursors move on."""
        for run in runs:
            if run.table.draws[run.cursor]:
                self._draw(run)
        terms = self.cells.index_select(0, numbers.terms).view(-1, len(runs), self.size)
        terms *= numbers.weights
        total, *others = terms.unbind()
        for term in others:
            total += term
        self.cells.index_copy_(0, numbers.next, total)
        for run in runs:
            run.cursor += 1

    def _together(self, runs: Sequence[Run], rows: int) -> _Company:
        """Rows and conditioning of these runs; kept while they go on together."""
        key = (*(2 * run.order + (run.rows > 1) for run in runs), -rows)
        if self._company is None or self._company.key != key:
            count, guided = len(runs), [place for place, run in enumerate(runs) if run.rows > 1]
            order = [*range(count), *guided]
            cond = [run.cond for run in runs] + [runs[place].uncond for place in guided]
            other = list(range(count))
            for row, place in enumerate(guided):
                other[place] = count + row
            spare = rows - len(order)
            self._company = _Company(
                key=key,
                row=torch.tensor(order + [0] * spare).to(self.device),
                other=torch.tensor(other).to(self.device),
                guided=bool(guided),
                cond=torch.stack(cond + cond[:1] * spare),
            )
        return self._company

    def _draw(self, run: Run) -> None:
        cell = self.cells[run.slot * CELLS + NOISE]
        if self.device.type == "cpu":
            cell.view(1, *self.shape).normal_(generator=run.generator)  # what randn does, in place
        else:
            cell.copy_(self._noise(run))

    def _noise(self, run: Run) -> torch.Tensor:
        """The next noise (d,) of ``run``: float32 from its CPU generator, wherever the model runs."""
        return torch.randn((1, *self.shape), generator=run.generator).view(-1).to(self.device)
