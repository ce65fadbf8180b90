"""Latents and their histories, and the one linear update that serves every sampler.

A slot holds, in float32, what a run's sampler will look at again: its last one to three latents and none to
three of its last model outputs, as two rings, so that a step moves no data but the newest output. What lives
for one step only (that output, its noise) lies in cells that all share: a parked run holds no more than it
needs. The update is made of single multiplications and additions (never fused, never reduced by a kernel of
its own choice), so that a picture is bitwise the same whatever shares the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from inference.batch import MAX_ROWS
from inference.runs import Run
from inference.samplers import COLUMNS, LATENTS, NOISE, OUTPUTS

SHARED = MAX_ROWS
"""Cells of nobody: the noise of a step's runs."""
FIRST = 4
"""Slots that are made at once of a width that was not there."""
_WIDTH = len(COLUMNS)
_NEWEST = LATENTS
"""The column of the newest output, which comes from the model and not from a cell."""
_CYCLE = LATENTS * OUTPUTS
"""After so many steps every ring is where it was."""
AHEAD = _CYCLE
"""Steps whose numbers are made at once, as mostly the same runs go on together; at most a cycle."""


def _rings() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(rings, columns + 3): which cell of a slot each column means, where the latent is, where the next one
    goes, and where the newest output is kept; for each kind of slot and cursor, as ``_ring`` counts them.

    A column that a slot has not (its factor is 0) means some cell of its own. Where no output is kept it goes
    where the next latent will be written over it.
    """
    made = []
    for outputs in range(OUTPUTS):
        for latents in range(1, LATENTS + 1):
            for cursor in range(2 * _CYCLE):
                after = (cursor + 1) % latents
                seen = [(cursor - back) % latents for back in range(LATENTS)]
                said = [latents + (cursor - back) % outputs if outputs else after for back in range(OUTPUTS)]
                made.append((*seen, *said, 0, seen[0], after, said[0]))
    return np.array(made)


def _ring(run: Run) -> int:
    """The ring of its next step; those of the ``AHEAD`` steps from there follow it."""
    kind = run.table.outputs * LATENTS + run.table.latents - 1
    return kind * 2 * _CYCLE + run.cursor % _CYCLE


_RINGS = _rings()
_PLACES = np.arange(MAX_ROWS)
_COLUMNS_OF = [
    np.array([column for column in range(_WIDTH) if bits >> column & 1 and column != _NEWEST], dtype=np.int64)
    for bits in range(1 << _WIDTH)
]
"""Bits of ``Table.uses`` → columns that are read from cells."""


class _Denoise(Protocol):
    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor: ...


class Numbers(NamedTuple):
    """What a step multiplies and where it lies. A tuple, as that is made the quickest."""

    early: int
    """How many of the used columns come before the newest output's."""
    keeps: bool
    """Whether some sampler here looks at an output again."""
    factors: torch.Tensor
    """(3, runs, 1) float32: input scale, model time, guidance."""
    now: torch.Tensor
    """(runs,) cells of the latents."""
    next: torch.Tensor
    """(runs,) cells for the next latents."""
    kept: torch.Tensor
    """(runs,) cells where the outputs are kept."""
    terms: torch.Tensor
    """(used · runs,) cells of the columns that some sampler here uses, but for the newest output's."""
    weights: torch.Tensor
    """(used, runs, 1) what those cells are multiplied with."""
    newest: torch.Tensor
    """(runs, 1) what the newest output is multiplied with."""


@dataclass(slots=True)
class Company:
    """What stays the same while the same runs go on together, and the numbers of their next steps."""

    key: tuple[int, ...]
    row: torch.Tensor
    """(rows,) which run a row belongs to."""
    other: torch.Tensor
    """(runs,) row of each run's unguided half; its own for an unguided run."""
    guided: bool
    cond: torch.Tensor
    """(rows, tokens, dim)."""
    ahead: list[Numbers] = field(default_factory=list)
    since: int = 0
    """Cursor of the first run at the first step of ``ahead``."""


class Arena:
    """Slots for latents of one shape (c, h, w) on one device."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self.shape = shape
        self.size = int(np.prod(shape))
        self.device = device
        self._here = device.type == "cpu"
        self.cells = torch.zeros(SHARED, self.size, device=device)
        self._free: dict[int, list[int]] = {}
        """Cells a slot has → first cells of free ones."""
        self._made: dict[int, int] = {}
        self._company: Company | None = None

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
        # kept only where it is needed: its state is as large as a small latent
        run.generator = generator if run.table.draws.any() else None

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
        company = self.together(runs, rows)
        numbers = self.numbers(company, runs)
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
        self.update(runs, numbers, output)

    def numbers(self, company: Company, runs: Sequence[Run]) -> Numbers:
        """The numbers of the next step of ``runs``, who are this company."""
        gone = runs[0].cursor - company.since
        if not 0 <= gone < len(company.ahead):
            company.ahead, company.since, gone = self._ahead(runs), runs[0].cursor, 0
        return company.ahead[gone]

    def _ahead(self, runs: Sequence[Run]) -> list[Numbers]:
        """The numbers of the next steps, from their tables, as long as none of ``runs`` is done."""
        steps, count = min(AHEAD, *(len(run.table) - run.cursor for run in runs)), len(runs)
        factors = np.empty((steps, _WIDTH + 3, count, 1), dtype=np.float32)
        cells = np.empty((steps, _WIDTH + 3, count), dtype=np.int64)
        bits, keeps = 1, False
        for place, run in enumerate(runs):
            factors[:, :-1, place, 0] = run.table.lines[run.cursor : run.cursor + steps]
            factors[:, -1, place] = run.guidance
            ring = _ring(run)
            np.add(_RINGS[ring : ring + steps], run.slot, out=cells[:, :, place])
            bits |= run.table.uses
            keeps |= run.table.outputs > 0
        cells[:, NOISE] = _PLACES[:count]
        used = _COLUMNS_OF[bits]
        by_step = (
            factors[:, _WIDTH:], cells[:, -3], cells[:, -2], cells[:, -1],
            cells.take(used, axis=1).reshape(steps, -1), factors.take(used, axis=1), factors[:, _NEWEST],
        )  # fmt: skip
        early, there = int(np.searchsorted(used, _NEWEST)), [self._there(each).unbind() for each in by_step]
        return [Numbers(early, keeps, *numbers) for numbers in zip(*there, strict=True)]

    def _there(self, array: np.ndarray[Any, Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        return tensor if self._here else tensor.to(self.device, non_blocking=True)

    def update(self, runs: Sequence[Run], numbers: Numbers, output: torch.Tensor) -> None:
        """x' = Σ coefficient · column over the used columns in their order, for every run; their cursors move
        on. ``output`` (runs, d) is the model's."""
        for place, run in enumerate(runs):
            if run.generator is not None and run.table.draws[run.cursor]:
                self._draw(place, run.generator)
        terms = self.cells.index_select(0, numbers.terms).view(-1, len(runs), self.size)
        terms *= numbers.weights
        total, *others = terms.unbind()
        others.insert(numbers.early - 1, output * numbers.newest)
        for term in others:
            total += term
        if numbers.keeps:
            self.cells.index_copy_(0, numbers.kept, output)
        self.cells.index_copy_(0, numbers.next, total)
        for run in runs:
            run.cursor += 1

    def together(self, runs: Sequence[Run], rows: int) -> Company:
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
            self._company = Company(
                key=key,
                row=torch.tensor(order + [0] * spare).to(self.device),
                other=torch.tensor(other).to(self.device),
                guided=bool(guided),
                cond=torch.stack(cond + cond[:1] * spare),
            )
        return self._company

    def _draw(self, place: int, generator: torch.Generator) -> None:
        """The next noise of the run at ``place`` in this step."""
        cell = self.cells[place]
        if self._here:
            cell.view(1, *self.shape).normal_(generator=generator)  # what randn does, in place
        else:
            cell.copy_(self._noise(generator))

    def _noise(self, generator: torch.Generator) -> torch.Tensor:
        """The next noise (d,): float32 from a run's CPU generator, wherever the model runs."""
        return torch.randn((1, *self.shape), generator=generator).view(-1).to(self.device)
