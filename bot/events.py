"""What happens to a job, and who waits for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from bot.speed import Range
from storage.jobs import Ahead, Job

REMEMBERED = 1_024
"""Jobs whose end is remembered for somebody who subscribes a moment too late."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The job waits: this is before it."""

    ahead: Ahead
    eta: Range


@dataclass(frozen=True, slots=True)
class Stuck:
    """The job waits, and no engine can start; it is drawn when one does."""


@dataclass(frozen=True, slots=True)
class Started:
    """An engine has it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` steps; ``previews`` are small WebPs, one a picture (empty: none so far)."""

    done: int
    total: int
    previews: tuple[bytes, ...]
    left: Range


@dataclass(frozen=True, slots=True)
class Over:
    """Done, failed or cancelled: the last event of a job. Its pictures are in the gallery."""

    job: Job


Event: TypeAlias = Moved | Stuck | Started | Progress | Over


class Subscription:
    """What happens to one job. It holds one event, the newest: a slow reader holds nothing up."""

    def __init__(self) -> None:
        self._newest: Event | None = None
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, event: Event) -> None:
        """Replace what was not read yet."""
        if isinstance(self._newest, Over):
            return
        self._newest = event
        self._arrived.set()

    async def get(self) -> Event:
        """The next event; after ``Over`` there is none."""
        while self._newest is None:
            self._arrived.clear()
            await self._arrived.wait()
        event, self._newest = self._newest, None
        self._ended = isinstance(event, Over)
        return event

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        """``async for event in subscription`` ends after ``Over``."""
        if self._ended:
            raise StopAsyncIteration
        return await self.get()


class Watchers:
    """Who waits for which job. A new subscription begins with the newest that is known of its job."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Subscription]] = {}
        self._newest: dict[int, Event] = {}
        self._over: OrderedDict[int, Over] = OrderedDict()

    @contextmanager
    def subscribe(self, job: int) -> Iterator[Subscription]:
        """What happens to this job while the block runs."""
        subscription = Subscription()
        self._waiting.setdefault(job, []).append(subscription)
        known = self.newest(job)
        if known:
            subscription.put(known)
        try:
            yield subscription
        finally:
            self._waiting[job].remove(subscription)
            if not self._waiting[job]:
                del self._waiting[job]

    def publish(self, job: int, event: Event) -> None:
        """Tell everybody who waits for it. Nothing comes after ``Over``."""
        if job in self._over:
            return
        before = self._newest.get(job)
        if isinstance(event, Progress) and not event.previews and isinstance(before, Progress):
            event = replace(event, previews=before.previews)
        if isinstance(event, Over):
            self._newest.pop(job, None)
            self._over[job] = event
            if len(self._over) > REMEMBERED:
                self._over.popitem(last=False)
        else:
            self._newest[job] = event
        for subscription in self._waiting.get(job, ()):
            subscription.put(event)

    def newest(self, job: int) -> Event | None:
        """The last that is known of it."""
        return self._over.get(job) or self._newest.get(job)

    def waiting(self) -> list[int]:
        """Jobs that somebody waits for and that are not being drawn."""
        return [job for job in self._waiting if not isinstance(self._newest.get(job), Progress | Started)]
