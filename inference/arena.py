"""Latents and their histories, and the one linear update that serves every sampler.

A slot holds, in float32, what a run's sampler will look at again: its last one to three latents and none to
three of its last model outputs, as two rings, so that a step moves no data but the newest output. What lives
for one step only (that output, its noise) lies in cells that all share: a parked run holds no more than it
needs. The update is made of single multiplications and additions (never fused, never reduced by a kernel of
its own choice), so that a picture is bitwise the same whatever shares the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch

from inference.batch import MAX_ROWS
from inference.runs import Run
from inference.samplers import COLUMNS, LATENTS, NOISE, OUTPUTS

SHARED = 2 * MAX_ROWS
"""Cells of nobody: the outputs of a step's runs, then their noise."""
FIRST = 4
"""Slots that are made at once of a width that was not there."""
_WIDTH = len(COLUMNS)


@cache
def _rings(latents: int, outputs: int) -> tuple[tuple[int, ...], ...]:
    """Of a slot with so many, by cursor: which cell each column means, where the next latent goes, and where
    the newest output is kept. A column that it has not (its factor is 0) means some cell of its own.
    """
    kept = max(outputs, 1)
    rows = []
    for cursor in range(np.lcm(latents, kept)):
        seen = [(cursor - back) % latents for back in range(LATENTS)]
        said = [latents + (cursor - back) % kept if outputs else 0 for back in range(OUTPUTS)]
        rows.append((*seen, *said, 0, (cursor + 1) % latents, said[0]))
    return tuple(rows)


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
    next: torch.Tensor
    """(runs,) cells for the next latents."""
    kept: torch.Tensor | None
    """(runs,) cells where the outputs are kept, or None: no sampler here looks at one again."""
    terms: torch.Tensor
    """(used · runs,) cells of the columns that are not all zero."""
    weights: torch.Tensor
    """(used, runs, 1) what those cells are multiplied with."""


class Arena:
    """Slots for latents of one shape (c, h, w) on one device."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self.shape = shape
        self.size = int(np.prod(shape))
        self.device = device
        self.cells = torch.zeros(SHARED, self.size, device=device)
        self._free: dict[int, list[int]] = {}
        """Cells a slot has → first cells of free ones."""
        self._made: dict[int, int] = {}
        self._company: _Company | None = None

    @property
    def free(self) -> int:
        """Cells of free slots."""
        return sum(width * len(slots) for width, slots in self._free.items())

    def begin(self, run: Run) -> None:
        """Give ``run`` a slot and its first latent; noise is drawn in the order of a diffusers pipeline.

        Raises what torch raises, and then it has no slot.
        """
        free = self._room(run.table.cells)
        generator = torch.Generator().manual_seed(run.seed)
        keep, sigma = run.table.start
        latent = self._noise(generator) * sigma
        if run.source is not None:
            latent += run.source.reshape(-1) * keep
        self.cells[free[-1]] = latent
        run.slot = free.pop()
        run.generator = (
            generator if run.table.draws.any() else None
        )  # its state is as large as a small latent

    def _room(self, width: int) -> list[int]:
        """The free slots of so many cells, at least one."""
        free = self._free.setdefault(width, [])
        if not free:
            made, at = max(FIRST, self._made.get(width, 0)), len(self.cells)
            more = torch.zeros(made * width, self.size, device=self.device)
            self.cells = torch.cat([self.cells, more])
            self._made[width] = self._made.get(width, 0) + made
            free += [at + place * width for place in range(made)]
        return free

    def end(self, run: Run) -> None:
        """The slot of ``run`` is free and clean again."""
        self.cells[run.slot : run.slot + run.table.cells] = 0.0
        self._free[run.table.cells].append(run.slot)
        run.slot, run.generator = -1, None

    def latent(self, run: Run) -> torch.Tensor:
        """The present latent (c, h, w) of ``run``, as it lies there."""
        return self.cells[run.slot + run.cursor % run.table.latents].view(self.shape)

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
        self.cells[:count] = output
        self.update(runs, numbers)

    def numbers(self, runs: Sequence[Run]) -> Numbers:
        """The numbers of the next step of ``runs``, from their tables."""
        count = len(runs)
        factors, places, bits, keep = np.empty((count, _WIDTH + 3), dtype=np.float32), [], 1, False
        for place, run in enumerate(runs):
            table, cursor = run.table, run.cursor
            factors[place, :-1] = table.packed[cursor]
            factors[place, -1] = run.guidance
            rings = _rings(table.latents, table.outputs)
            places.append(rings[cursor % len(rings)])
            bits |= table.uses[cursor]
            keep = keep or table.outputs > 0
        cells = np.array(places).T + np.array([run.slot for run in runs])
        shared = np.arange(count)
        cells[LATENTS], cells[NOISE] = shared, MAX_ROWS + shared
        cells[-1] = np.where([run.table.outputs > 0 for run in runs], cells[-1], shared)
        factors = np.ascontiguousarray(factors.T)[..., None]
        used = _COLUMNS_OF[bits]
        now, after, kept = self._there(cells[[0, -2, -1]]).unbind()
        return Numbers(
            factors=self._there(factors[_WIDTH:]),
            now=now,
            next=after,
            kept=kept if keep else None,
            terms=self._there(cells[used].ravel()),
            weights=self._there(factors[used]),
        )

    def _there(self, array: np.ndarray[Any, Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.to(self.device, non_blocking=True)

    def update(self, runs: Sequence[Run], numbers: Numbers) -> None:
        """x' = Σ coefficient · cell over the used columns, for every run; their cursors move on."""
        for place, run in enumerate(runs):
            if run.generator is not None and run.table.draws[run.cursor]:
                self._draw(place, run.generator)
        terms = self.cells.index_select(0, numbers.terms).view(-1, len(runs), self.size)
        terms *= numbers.weights
        total, *others = terms.unbind()
        for term in others:
            total += term
        self.cells.index_copy_(0, numbers.next, total)
        if numbers.kept is not None:
            self.cells.index_copy_(0, numbers.kept, self.cells[: len(runs)].clone())
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

    def _draw(self, place: int, generator: torch.Generator) -> None:
        """The next noise of the run at ``place`` in this step."""
        cell = self.cells[MAX_ROWS + place]
        if self.device.type == "cpu":
            cell.view(1, *self.shape).normal_(generator=generator)  # what randn does, in place
        else:
            cell.copy_(self._noise(generator))

    def _noise(self, generator: torch.Generator) -> torch.Tensor:
        """The next noise (d,): float32 from a run's CPU generator, wherever the model runs."""
        return torch.randn((1, *self.shape), generator=generator).view(-1).to(self.device)
