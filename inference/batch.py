"""Which runs may share a model call, how many rows fit, and what a call costs. Pure: no tensors, no clock.

Runs share a call when their bucket is equal. A call's rows are padded to one of ``ROW_BUCKETS``, because a
row is bitwise independent of its neighbours only at a fixed number of rows. How many rows are worth it is
learned: an average of measured step times, for each bucket and number of rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

ROW_BUCKETS = (1, 2, 4, 8, 16)
"""Numbers of rows a model is called with."""
MAX_ROWS = ROW_BUCKETS[-1]
WORTH = 0.95
"""The smallest number of rows with this share of the best throughput is used: more only makes everybody
wait."""
MEMORY = 0.1
"""Weight of a new measurement in the average."""
WARM = 2
"""Calls of one shape that are not believed: the first ones allocate and compile."""
DOUBT = 1.2
"""A size whose average is so many times the best it ever had may have been measured while something else used
the machine: it is tried again ..."""
AGAIN = 32
"""... once this many calls have passed without it."""
RISING = 1.1
"""By how much the best is given up at each new try: a machine that became slower for good is believed."""


class Bucket(NamedTuple):
    """What runs must have in common to share a call: model, latent height and width, tokens, precision.

    A key that every step looks up for every run, which a tuple is six times quicker at than a dataclass.
    """

    model: str
    height: int
    width: int
    tokens: int
    exact: bool = False
    """In float32 whatever the model usually runs in (a picture that broke is tried once more)."""


def padded(rows: int) -> int:
    """The row bucket that holds ``rows`` rows (1 ≤ rows ≤ MAX_ROWS)."""
    return next(size for size in ROW_BUCKETS if size >= rows)


@dataclass(slots=True)
class _Seen:
    """What was seen of one size of one bucket: how often, the least that its average ever was, and when (in
    calls of the bucket) it was measured last."""

    calls: int = 0
    best: float = 0.0
    last: int = 0


class Costs:
    """Measured seconds T(rows) of a step, for each bucket, and the number of rows that is worth using."""

    def __init__(self) -> None:
        self._seconds: dict[Hashable, dict[int, float]] = {}
        self._seen: dict[tuple[Hashable, int], _Seen] = {}
        self._calls: dict[Hashable, int] = {}
        self._limit: dict[Hashable, int] = {}

    def measured(self, bucket: Hashable, rows: int, seconds: float) -> None:
        """A step with ``rows`` (padded) rows took ``seconds``.

        The longer a size was not measured, the less its average counts.
        """
        now = self._calls[bucket] = self._calls.get(bucket, 0) + 1
        seen = self._seen.setdefault((bucket, rows), _Seen())
        seen.calls += 1
        if seen.calls <= WARM:
            return
        known = self._seconds.setdefault(bucket, {})
        before, since = known.get(rows, seconds), now - seen.last
        weight = MEMORY if since < AGAIN else 1.0 - (1.0 - MEMORY) ** since
        known[rows] = before + weight * (seconds - before)
        rising = RISING if since >= AGAIN else 1.0
        seen.best, seen.last = min(known[rows], (seen.best or before) * rising), now

    def believe(self, bucket: Hashable, table: Mapping[int, float]) -> None:
        """``table`` (rows → seconds) was measured in a former life; what was measured since stays."""
        if table:
            self._seconds[bucket] = dict(table) | self._seconds.get(bucket, {})
            for rows in table:
                self._seen.setdefault((bucket, rows), _Seen(WARM, self._seconds[bucket][rows]))

    def known(self, bucket: Hashable) -> dict[int, float]:
        """Every T(rows) of ``bucket`` that is known."""
        return dict(self._seconds.get(bucket, {}))

    def seconds(self, bucket: Hashable, rows: int) -> float | None:
        """T(rows), or None before it was measured."""
        return self._seconds.get(bucket, {}).get(rows)

    def row_seconds(self, bucket: Hashable) -> float | None:
        """Seconds for one row of one step at the best number of rows known, or None."""
        return min((time / rows for rows, time in self._seconds.get(bucket, {}).items()), default=None)

    def limit(self, bucket: Hashable) -> int:
        """The most rows this bucket may use: MAX_ROWS until memory said otherwise."""
        return self._limit.get(bucket, MAX_ROWS)

    def too_big(self, bucket: Hashable, rows: int) -> int:
        """``rows`` (padded) rows did not fit in memory: halve the limit. Returns the new one, 0 if none is
        left."""
        self._limit[bucket] = rows // 2
        return rows // 2

    def unknown(self, bucket: Hashable, most: int = MAX_ROWS, least: int = 1) -> int | None:
        """The next size from ``least`` to ``most`` to measure; None when nothing more is worth it.

        From the bottom upwards, and no further than doubling the rows still pays: on a slow machine sixteen
        rows are never tried at somebody's expense.
        """
        known, best = self._seconds.get(bucket, {}), 0.0
        for size in (size for size in ROW_BUCKETS if least <= size <= min(most, self.limit(bucket))):
            if size not in known:
                return size
            if size / known[size] <= best:
                return None
            best = size / known[size]
        return None

    def cap(self, bucket: Hashable, wanted: int, least: int = 1) -> int:
        """Rows for the next call when ``wanted`` rows could be used and a run may need ``least`` at once.

        The smallest row bucket with ``WORTH`` of the best measured throughput of useful rows. A size that was
        never measured is tried when there is work for it, so the table fills by itself.
        """
        wanted, limit = max(least, wanted), max(least, self.limit(bucket))
        untried = self.unknown(bucket, wanted, least)
        if untried is not None:
            return untried
        sizes = [size for size in ROW_BUCKETS if least <= size <= padded(min(wanted, limit))]
        known = self._seconds.get(bucket, {})
        gain = {size: min(size, wanted) / known[size] for size in sizes if size in known}
        best = max(gain.values(), default=0.0)
        worth = (size for size in sizes if size in gain and gain[size] >= WORTH * best)
        return next((size for size in gain if self._doubtful(bucket, size)), next(worth, sizes[0]))

    def _doubtful(self, bucket: Hashable, rows: int) -> bool:
        """Whether T(rows) is far from its best and old: a hiccup must not cost throughput for good."""
        seen = self._seen.get((bucket, rows))
        if seen is None or self._calls.get(bucket, 0) - seen.last < AGAIN:
            return False
        return self._seconds[bucket][rows] > DOUBT * seen.best > 0.0


Name = TypeVar("Name", bound=Hashable)

QUANTUM = 0.5
"""Seconds of device time for each unit of weight in a bucket and round."""
LIGHTEST = 0.01
"""A bucket counts at least this much: its turn must come."""


class Turns(Generic[Name]):
    """Whose step is it: deficit round robin between buckets, by measured seconds (Shreedhar & Varghese 1995).

    A bucket goes on until its allowance is used, so that latents are not parked after every step; its
    allowance grows with the weight of the people in it. No bucket waits longer than the others' allowances
    and one step. What is left of an allowance is never more than the whole of today's: it was perhaps given
    when nobody knew yet what a picture costs, or to people who have left.
    """

    def __init__(self, quantum: float = QUANTUM) -> None:
        self.quantum = quantum
        self._left: dict[Name, float] = {}

    def choose(self, waiting: Mapping[Name, float]) -> Name:
        """The bucket of the next step, of ``waiting`` (bucket → weight of its flows; not empty)."""
        for bucket in [name for name in self._left if name not in waiting]:
            del self._left[bucket]  # idle buckets bank nothing
        for bucket in waiting:
            self._left.setdefault(bucket, 0.0)
        if len(self._left) == 1:
            self._left = dict.fromkeys(waiting, 0.0)  # nobody to owe anything to
            return next(iter(waiting))
        while True:
            bucket = next(iter(self._left))
            whole = self.quantum * max(waiting[bucket], LIGHTEST)
            left = self._left[bucket] = min(self._left[bucket], whole)
            if left > 0.0:
                return bucket
            del self._left[bucket]
            self._left[bucket] = left + whole  # it goes to the end of the round

    def spent(self, bucket: Name, seconds: float) -> None:
        """The step of ``bucket`` took ``seconds``."""
        if bucket in self._left:
            self._left[bucket] -= seconds
