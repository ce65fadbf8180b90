"""Callback queries: each is answered, once, soon, with a sentence if one is short enough."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from bot.adapters.telegram.client import Line
from bot.adapters.telegram.rich import ALERT, units
from bot.talk import Reply, Tone

SOON = 4.0
"""Seconds after which a press is answered with nothing: the person's button stops turning."""


class Presses:
    """Answers at the first word there is to say, or silently when that takes a while."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._open: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    def begin(self, press: str) -> None:
        """Somebody pressed."""
        loop = asyncio.get_running_loop()
        self._open[press] = loop.call_later(SOON, self.release, press)

    def release(self, press: str) -> None:
        """Nothing to say, but heard; once is enough."""
        timer = self._open.pop(press, None)
        if timer is not None:
            timer.cancel()
            self._spawn(self._answer(press))

    async def say(self, press: str, reply: Reply, *, group: bool, page: bool) -> bool:
        """Say ``reply`` where it was pressed, if it fits there; False: it needs a message. A ``page`` is
        changed by everything but bad news.
        """
        bad = reply.tone in (Tone.REFUSED, Tone.BROKEN)
        if press not in self._open or not _fits(reply, group=group) or (page and not bad):
            self.release(press)
            return False
        self._open.pop(press).cancel()
        return await self._answer(press, reply.text, alert=bad)

    async def alert(self, press: str, text: str) -> None:
        """Say a sentence that nobody else says."""
        await self._answer(press, text[:ALERT], alert=True)

    async def _answer(self, press: str, text: str = "", *, alert: bool = False) -> bool:
        answer = partial(self._line.bot.answer_callback_query, press, text or None, show_alert=alert or None)
        return await self._line.courtesy(answer)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Answer what is open: nothing is left turning."""
        for press in list(self._open):
            self.release(press)


def _fits(reply: Reply, *, group: bool) -> bool:
    """A sentence only; in a group also one whose button would be in another chat."""
    if reply.title or reply.prompt or reply.fields or reply.images or reply.job is not None:
        return False
    return (
        bool(reply.text)
        and units(reply.text) <= ALERT
        and (group or not reply.buttons)
        and not any(button.form or button.style == "danger" for row in reply.buttons for button in row)
    )
