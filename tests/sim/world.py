"""What everybody in a simulated day shares: the clock, the dice, the record, and what goes wrong when."""

from __future__ import annotations

import contextvars
import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field

from tests.sim.loop import Handle, Loop

BEGINS = 1_800_000_000.0
"""Unix seconds at which every day begins: 08:00 UTC, so that midnight comes in it."""
RECENT = 400
"""Lines of the record that are kept, to be looked at."""


class BugError(Exception):
    """A bug that the simulation put there: the bot must say so and go on."""


FAULTS = (
    "crash", "restart", "engine died", "engine hung", "poison", "line to engine broke", "late result",
    "drawing failed", "picture missing", "disk full", "disk error", "disk refuses once",
    "picture disk refuses",
    "clock forward", "clock back", "callers cancelled", "lost before", "lost after", "put off", "gone",
    "outage", "said twice", "pressed twice", "bug",
)  # fmt: skip
"""Every kind of fault; each is counted when it really happened to somebody."""


@dataclass
class World:
    """``healed``: nothing goes wrong any more."""

    loop: Loop
    seed: int
    dice: random.Random
    fired: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)
    impatient: bool = False
    """The first wrong is enough."""
    healed: bool = False
    shift: float = 0.0
    """Seconds that the bot's wall clock is ahead of the truth."""
    furthest: float = BEGINS
    """The latest that the bot's wall clock ever said."""
    refused: list[float] = field(default_factory=list)
    """When the disk refused."""
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    _said: set[str] = field(default_factory=set)
    _record: hashlib._Hash = field(default_factory=hashlib.sha256)
    _context: Context = field(default_factory=contextvars.copy_context)

    def clock(self) -> float:
        """The bot's wall clock (Unix s)."""
        now = BEGINS + self.loop.time() + self.shift
        self.furthest = max(self.furthest, now)
        return now

    def note(self, *facts: object) -> None:
        """Write down what happened: two replays of a seed must say the same."""
        line = f"{self.loop.time():.6f} {facts!r}"
        self._record.update(line.encode())
        self.recent.append(line)

    def wrong(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self.loop.enough = self.impatient
            self.note("WRONG", what)
            self.wrongs.append(f"{what} (at {self.loop.time():.1f} s)")

    def fault(self, kind: str, *facts: object) -> None:
        """It happened."""
        self.fired[kind] += 1
        if "disk" in kind:
            self.refused.append(self.loop.time())
        self.note("fault", kind, *facts)

    def chance(self, share: float) -> bool:
        """Does it go wrong this time?"""
        return not self.healed and self.dice.random() < share

    def later(self, seconds: float, call: Callable[..., object], *args: object) -> Handle:
        """Outside of the bot: it happens also if the bot dies meanwhile."""
        return self.loop.call_later(seconds, call, *args, context=self._context)

    @property
    def record(self) -> str:
        """The hash of everything that was noted."""
        return self._record.hexdigest()
