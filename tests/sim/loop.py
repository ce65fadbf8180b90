"""An event loop whose clock is a number: nobody sleeps, and when nobody is ready time goes to the next timer.

Everything runs on one thread in an order that follows from the seed. What belongs to one *life* of the bot
(everything that its first task begat: the context tells) can be killed at once, as ``kill -9`` would: not one
line of it runs any more. Threads are timers: their work is done whole, a little later.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

LIFE: ContextVar[int] = ContextVar("life", default=0)
"""Which life of the bot something belongs to; 0 is the world around it."""
THREAD = (0.0005, 0.03)
"""Seconds that a thread's work takes."""
_numbers = itertools.count(1)


def _context(given: Context | None) -> Context:
    """An empty one is false, and yet the one that was meant."""
    return contextvars.copy_context() if given is None else given


class StuckError(RuntimeError):
    """Nobody is ready and nothing will ever happen."""


class Handle(asyncio.TimerHandle):
    """Something to call; cheaper than asyncio's, whose C code only ever cancels it."""

    __slots__ = ("args", "call", "context", "life", "off", "time")

    def __init__(self, time: float, call: Callable[..., object], args: tuple[Any, ...], context: Context):
        self.time, self.call, self.args, self.context = time, call, args, context
        self.life = context.get(LIFE) or 0
        self.off = False

    def cancel(self) -> None:
        self.off = True

    def cancelled(self) -> bool:
        return self.off

    def when(self) -> float:
        return self.time


class Task(asyncio.Task[T]):
    """A task that hashes by its number, so that a set of tasks has the same order in every replay."""

    def __init__(
        self, work: Generator[Any, None, T] | Coroutine[Any, Any, T], loop: Loop, name: str | None,
        context: Context,
    ) -> None:  # fmt: skip
        self.number = next(_numbers)
        self.life = context.get(LIFE) or 0
        super().__init__(work, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class Loop(asyncio.AbstractEventLoop):
    """``shuffled``: what is ready at the same moment runs in an order of the seed's, not of asking."""

    def __init__(self, seed: int, *, shuffled: bool = False) -> None:
        self.errors: list[str] = []
        """What nobody caught."""
        self.steps = 0
        self.enough = False
        """Somebody has seen all they wanted to see."""
        self._dice = random.Random(f"loop {seed}")
        self._shuffled = shuffled
        self._now = 0.0
        self._order = itertools.count()
        self._ready: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._dead: set[int] = set()
        self._buried: list[Handle] = []
        self._graves: list[Task[Any]] = []
        self._closed = False

    # --- what asyncio calls

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]  # typeshed's have type variables of their own
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(self._now, callback, args, _context(context))
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(when, callback, args, _context(context))
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: str | None = None,
        context: Context | None = None,
    ) -> Task[T]:  # fmt: skip
        return Task(coro, self, name, _context(context))

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Later, whole, and also when nobody waits for it any more, as on a thread."""
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            try:
                value = func(*args)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it, whatever it is
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(value)

        self.call_later(self._dice.uniform(*THREAD), work)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._closed

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._closed:
            return
        error = context.get("exception")
        self.errors.append(f"{context['message']}: {type(error).__name__}: {error}")

    # --- the clock

    def run_until_complete(self, future: Any) -> Any:
        """Run until it is done, or there is ``enough``; nothing real is waited for."""
        task = asyncio.ensure_future(future, loop=self)
        asyncio._set_running_loop(self)
        try:
            while not task.done() and not self.enough:
                self._turn()
        finally:
            asyncio._set_running_loop(None)
        return task.result() if task.done() else None

    def _turn(self) -> None:
        timers = self._timers
        if not self._ready:
            while timers and timers[0][2].off:
                heapq.heappop(timers)
            if not timers:
                raise StuckError
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])
        batch, self._ready = self._ready, []
        if self._shuffled and len(batch) > 1:
            self._dice.shuffle(batch)
        for handle in batch:
            self._run(handle)

    def _run(self, handle: Handle) -> None:
        if handle.off:
            return
        if handle.life in self._dead:
            self._buried.append(handle)
            return
        self.steps += 1
        try:
            handle.context.run(handle.call, *handle.args)
        except Exception as error:  # noqa: BLE001 - as every loop does: said, and on with the next
            self.errors.append(f"a callback broke: {type(error).__name__}: {error}")

    # --- lives

    def begin(self, life: int, work: Coroutine[Any, Any, T]) -> Task[T]:
        """The first task of a life; everything it begins belongs to that life."""
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        return self.create_task(work, context=context)

    def kill(self, life: int) -> None:
        """Nothing of this life runs any more, nor does Python clear it up before the end."""
        self._graves += self.tasks(life)
        self._dead.add(life)

    def tasks(self, life: int) -> list[Task[Any]]:
        """What this life has under way, in the order in which it was begun."""
        found = [t for t in asyncio.all_tasks(self) if isinstance(t, Task) and t.life == life]
        return sorted(found, key=lambda task: task.number)

    def close(self) -> None:
        """Let everything that was killed end, unseen: nothing may be left to Python's own clearing up."""
        errors = list(self.errors)
        self._closed = True
        self._dead.clear()
        self._ready += self._buried
        self._buried = []
        asyncio._set_running_loop(self)
        try:
            for _ in range(10_000):
                left = asyncio.all_tasks(self)
                if not left:
                    break
                for task in left:
                    task.cancel()
                if not self._ready and not any(not handle.off for *_, handle in self._timers):
                    break
                self._turn()
        finally:
            asyncio._set_running_loop(None)
        self._graves = []
        self.errors = errors


def made(seed: int, *, shuffled: bool = False) -> Loop:
    """A loop; what it lacks (sockets, signals, processes) has no place in a simulation."""
    return Loop(seed, shuffled=shuffled)  # type: ignore[abstract]
