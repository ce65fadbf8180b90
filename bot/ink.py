"""A stream that never blocks: a terminal may stand still (Ctrl-S, a sleeping ssh), and the bot may not."""

from __future__ import annotations

import asyncio
import io
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import IO


class Ink(io.TextIOBase):
    """Text for ``stream``, written by a thread of its own. What that cannot write any more is dropped."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | Callable[[], object]] = queue.Queue()
        threading.Thread(target=self._pour, name="ink", daemon=True).start()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the same, but a property
        """The stream's."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Take it; it is written soon."""
        self._waiting.put(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits longer for it."""

    def isatty(self) -> bool:
        """As the stream."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's."""
        return self._stream.fileno()

    @property
    def wet(self) -> bool:
        """Something is not written yet."""
        return self._waiting.unfinished_tasks > 0

    async def dry(self) -> None:
        """Back when everything is written: the pace of whoever writes more than a terminal takes."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        self._waiting.put(tell)
        await done.wait()

    def _pour(self) -> None:
        put = _raw(self._stream)
        while True:
            each = self._waiting.get()
            try:
                put(each) if isinstance(each, str) else each()
            except (OSError, ValueError, RuntimeError):  # it is gone, or the loop is: nobody reads any more
                pass
            finally:
                self._waiting.task_done()


def _raw(stream: IO[str]) -> Callable[[str], object]:
    """How to write past the stream's buffer: a thread stuck in that would hold its lock at our end."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    if raw is None:
        return stream.write
    encoding = getattr(stream, "encoding", None) or "utf-8"

    def put(text: str) -> None:
        text = text if sys.platform != "win32" else text.replace("\n", "\r\n")
        data = memoryview(text.encode(encoding, "replace"))
        while data:
            written = raw.write(data)
            data = data[written or 0 :]
            if not written:  # it was set not to block, and is full
                time.sleep(0.02)

    return put
