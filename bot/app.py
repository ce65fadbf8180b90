"""App: what a command may reach."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.config import Config
from bot.dispatch import Catalog, Dispatch
from bot.outbox import Outbox
from bot.seats import Seats
from bot.sent import Sent
from bot.texts import say
from storage.database import Database
from storage.gallery import Files


@dataclass(frozen=True, slots=True)
class App:
    """Everything real, chosen in ``__main__`` only; a test chooses fakes."""

    config: Config
    database: Database
    files: Files
    catalog: Catalog
    dispatch: Dispatch
    outbox: Outbox
    clock: Callable[[], float] = time.time
    """Unix seconds; the only clock a command reads."""
    say: Callable[..., str] = field(default=say, repr=False)
    """``say(language, key, **values)``: every sentence a person sees."""
    sent: Sent = field(init=False, repr=False)
    """Pictures that people send."""
    seats: Seats = field(default_factory=Seats, repr=False)
    """Who sits at the moderators' page."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sent", Sent(self.files))
