"""How often a message shows progress: 5, 10, 20, then every 40 seconds; what comes between is dropped."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

PAUSES = (5.0, 10.0, 20.0, 40.0)
"""Seconds after the first, second, third … showing of a message until its progress is shown again."""
COURTESIES = 10.0
"""How many messages show progress in a second, of all that do: when two hundred people move up at once, who
asks now does not wait behind that. Discord takes fifty requests a second."""
REMEMBERED = 4_096
"""Messages."""


class Pace:
    """Remembers when each message was last shown; ``clock`` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shown: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self._courteous = float("-inf")
        """Time before which no progress is shown anywhere."""

    def ready(self, key: int) -> bool:
        """Whether progress of this message may be shown now; yes takes one of the turns that there are.

        A message not known yet begins its pace now.
        """
        if key not in self._shown:
            self.note(key)
            return False
        times, at = self._shown[key]
        now = self._clock()
        if now < self._courteous or now - at < PAUSES[min(times, len(PAUSES)) - 1]:
            return False
        self._courteous = now + 1 / COURTESIES
        return True

    def note(self, key: int) -> None:
        """It was shown now."""
        times, _ = self._shown.pop(key, (0, 0.0))
        self._shown[key] = (times + 1, self._clock())
        if len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)

    def forget(self, key: int) -> None:
        """Nothing more will be shown of it."""
        self._shown.pop(key, None)
