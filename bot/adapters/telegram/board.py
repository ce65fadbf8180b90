"""The one status message of a crowded group: who waits stands in it until their picture has its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bot.talk import Later

EVERY = 6.0
"""Seconds between two edits."""
LINES = 40
"""People shown; of the others it says how many they are."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One job that waits: whose it is, the beginning of its prompt, and where it stands."""

    person: int
    prompt: str
    text: str


Post = Callable[[int, tuple[Standing, ...], int], Awaitable[int]]
"""Send or edit (message, who, how many more): the message's id, 0 if there is nobody left and it went."""


@dataclass(slots=True)
class Board:
    """``post`` shows it: if somebody joined in its turn, else only while the chat is ``free``."""

    post: Post
    free: Callable[[], bool]
    unit: float = 1.0
    message: int = 0
    standing: dict[int, Standing] = field(default_factory=dict)
    _new: bool = False
    _dirty: bool = False
    _shown: asyncio.Future[int] | None = None
    _task: asyncio.Task[None] | None = None
    _last: float = float("-inf")

    async def join(self, job: int, standing: Standing) -> int:
        """Stand on it; returns the message once it says so. Raises what ``post`` raises."""
        self.standing[job] = standing
        self._new = True
        if self._shown is None or self._shown.done():
            self._shown = asyncio.get_running_loop().create_future()
            self._shown.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._wake()
        return await asyncio.shield(self._shown)

    def update(self, job: int, standing: Standing) -> None:
        """The place moved; told when there is a turn to spare."""
        if job in self.standing and self.standing[job] != standing:
            self.standing[job] = standing
            self._wake()

    def leave(self, job: int) -> None:
        """They have a message of their own now, or need none."""
        if self.standing.pop(job, None) or (self.message and not self.standing):
            self._wake()

    def _wake(self) -> None:
        self._dirty = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        """Show what changed, now and then; end when nothing does."""
        loop = asyncio.get_running_loop()
        while self._dirty:
            await asyncio.sleep(self._last + EVERY * self.unit - loop.time())
            if not self._new and not self.free():
                await asyncio.sleep(self.unit)
                continue
            await self._show()
            self._last = loop.time()

    async def _show(self) -> None:
        waiting, self._shown, self._new, self._dirty = self._shown, None, False, False
        standing = tuple(self.standing.values())
        try:
            self.message = await self.post(self.message, standing[:LINES], max(0, len(standing) - LINES))
        except Exception as error:  # noqa: BLE001 - whoever joined gets it, and says so in converse
            self._dirty = isinstance(error, Later)
            if waiting:
                waiting.set_exception(error)
            return
        if waiting:
            waiting.set_result(self.message)

    def close(self) -> None:
        """Leave it as it is."""
        if self._task:
            self._task.cancel()
