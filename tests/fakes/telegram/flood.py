"""How much Telegram takes: a second, a minute, in all. ``unit`` is how long a second is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

from tests.fakes.telegram.words import Bad

BURST = 3
"""Messages that a chat takes at once, now and then; after that it is one a second."""


class Flood:
    def __init__(self, clock: Callable[[], float], unit: float = 1.0) -> None:
        self.clock = clock
        self.unit = unit
        self.times: dict[int, list[float]] = defaultdict(list)
        self.all: list[float] = []
        self.refused = 0

    def count(self, chat: int) -> None:
        """One message or edit more. Raises Bad 429."""
        now = self.clock()
        times = self.times[chat]
        waits = [self._wait(times, now, BURST, BURST), self._wait(self.all, now, 30, 1)]
        if chat < 0:
            waits.append(self._wait(times, now, 20, 60))
        if max(waits) > 0:
            self.refused += 1
            after = math.ceil(max(waits))
            raise Bad(f"Too Many Requests: retry after {after}", 429, retry_after=after)
        times.append(now)
        self.all.append(now)

    def _wait(self, times: list[float], now: float, most: int, seconds: float) -> float:
        """Seconds until one more fits into ``most`` in ``seconds``."""
        if len(times) < most:
            return 0.0
        return times[-most] + seconds * self.unit - now

    def most(self, chat: int, seconds: float = 60.0) -> int:
        """The most that this chat ever got within ``seconds``."""
        times = self.times[chat]
        span = seconds * self.unit
        return max((sum(1 for t in times if 0 <= t - first < span) for first in times), default=0)
