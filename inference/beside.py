"""Processes beside the bot's work: they give way to everybody else, and end with whoever began them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

import psutil

from inference.client import ROOT, clean_environment

NICE = 10
"""A tenth of a busy core. With less, on a machine that always draws, a backup's snapshot would be held for
minutes, and the log could not be emptied meanwhile."""


MUCH = 2**16
"""Bytes of what nobody wants to hear that are dropped at once."""


async def heard(
    words: Sequence[str], said: bytes = b"", extra: Mapping[str, str] | None = None
) -> tuple[bytes, int | None]:
    """What a process answers, and its exit code; it was told ``said``. It ends with this, however this ends:
    cancelled, and, if it calls ``end_with_parent``, also with the death of this process.
    """
    process = await asyncio.create_subprocess_exec(
        *words, cwd=ROOT, env=clean_environment(os.environ, extra),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None  # noqa: S101,PT018 - they are pipes
    try:
        process.stdin.write(said)
        answer = await process.stdout.read()
        await process.wait()
    finally:
        await ended(process)
    return answer, process.returncode


async def ended(process: asyncio.subprocess.Process, patience: float = 0.0) -> None:
    """It has left, after ``patience`` seconds because it must, and its pipes are closed."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    process.stdin.close()
    try:
        async with asyncio.timeout(patience):
            await _gone(process)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await _gone(process)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """To the end of what it says: while something unread lies in a pipe asyncio waits for ever, or lets go of
    the process and keeps the pipe."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    while await process.stdout.read(MUCH):
        pass
    await process.wait()


def end_with_parent(before: Callable[[], object] = lambda: None) -> None:
    """From now on this process does ``before`` and ends when standard input does: whoever began it holds the
    other end, and the system lets go of that for one that was killed.
    """
    threading.Thread(target=_wait, args=(before,), daemon=True).start()


def _wait(before: Callable[[], object]) -> None:
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    try:
        before()
    finally:  # whatever a disk says to that
        os._exit(1)


def give_way() -> None:
    """From now on everybody else comes first, at the processor and, where the system knows that, the disk."""
    me = psutil.Process()
    with contextlib.suppress(psutil.Error, OSError):
        me.nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else min(19, me.nice() + NICE))
    if sys.platform == "linux":
        with contextlib.suppress(psutil.Error, OSError):
            me.ionice(psutil.IOPRIO_CLASS_IDLE)
