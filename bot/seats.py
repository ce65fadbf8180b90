"""Who may sit at the moderators' page: links that open it once, and the seats that they gave.

All of it is in memory: a restart empties every seat, and a new link is one command away. A seat is no right
by itself: whether its person still moderates is asked of their chat again and again (``Seats.check``).
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

LINK = 600.0
"""Seconds for which a link waits for its one use."""
SITTING = 12 * 3_600.0
"""Seconds after which a seat is empty, used or not."""
FRESH = 60.0
"""Seconds for which a chat's word is good."""
TRUSTED = 3_600.0
"""Seconds for which it must do while the chat does not answer."""
MOST_LINKS, MOST_SEATS = 256, 1_024

Moderates: TypeAlias = Callable[[str, str], Awaitable[bool | None]]
"""(who, community) → may they moderate there now? None: the chat does not say."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One person at the page, for one community. ``until`` it is theirs; ``heard`` when their chat last said
    that they moderate (Unix s)."""

    who: str
    community: str
    until: float
    heard: float


@dataclass(slots=True)
class Seats:
    """The links that wait and the seats that are taken."""

    address: str = ""
    """Where the page is, once there is one."""
    chats: Mapping[str, Moderates] = field(default_factory=dict)
    """Platform → whom to ask."""
    _links: OrderedDict[str, Seat] = field(default_factory=OrderedDict)
    _taken: OrderedDict[str, Seat] = field(default_factory=OrderedDict)

    def invite(self, who: str, community: str, now: float) -> str:
        """The address that opens the page once for this person; an older one of theirs is worth nothing now.

        The token stands behind the ``#``: it is in no request line, so no log, proxy or preview uses it up.
        """
        for token in [t for t, link in self._links.items() if (link.who, link.community) == (who, community)]:
            del self._links[token]
        token = secrets.token_hex(20)
        self._links[_hidden(token)] = Seat(who, community, now + LINK, now)
        while len(self._links) > MOST_LINKS:
            self._links.popitem(last=False)
        return f"{self.address}mod#seat={token}"

    def take(self, token: str, name: str, now: float) -> Seat | None:
        """The seat that a link gives to the browser that is ``name`` from now on; None: no such link."""
        link = self._links.pop(_hidden(token), None)
        if link is None or not link.until - LINK <= now <= link.until:
            return None
        seat = replace(link, until=now + SITTING)
        self._taken[name] = seat
        while len(self._taken) > MOST_SEATS:
            self._taken.popitem(last=False)
        return seat

    def find(self, name: str, now: float) -> Seat | None:
        """The seat of this browser, while it lasts."""
        seat = self._taken.get(name)
        if seat is None or not seat.until - SITTING <= now <= seat.until:
            self._taken.pop(name, None)
            return None
        return seat

    async def check(self, name: str, now: float) -> bool:
        """Does the person of this seat moderate there now? Their chat is asked where its word is old."""
        seat = self.find(name, now)
        if seat is None:
            return False
        if 0 <= now - seat.heard <= FRESH:
            return True
        ask = self.chats.get(seat.who.partition(":")[0])
        said = await ask(seat.who, seat.community) if ask else None
        if said and name in self._taken:
            self._taken[name] = replace(seat, heard=now)
        return 0 <= now - seat.heard <= TRUSTED if said is None else said

    def hear(self, who: str, community: str, *, entitled: bool, now: float) -> None:
        """A chat said, with something that this person asked for there, whether they moderate."""
        for name, seat in list(self._taken.items()):
            if (seat.who, seat.community) == (who, community):
                if entitled:
                    self._taken[name] = replace(seat, heard=now)
                else:
                    del self._taken[name]

    def leave(self, name: str) -> None:
        """This browser's seat is empty."""
        self._taken.pop(name, None)


def _hidden(token: str) -> str:
    """Links are kept as hashes: nobody who reads memory or a crash report can use one."""
    return hashlib.sha256(token.encode()).hexdigest()
