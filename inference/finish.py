"""From a finished latent to a PNG: the decode lane.

Each picture is decoded alone, so that neighbours cannot change it, and beside the steps (``aside.py``).
Everything after the pixels (PNG, previews, the grid) runs in one thread here, which alone touches a work's
results.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import msgspec
import torch

from inference import wire
from inference.request import Picture
from inference.runs import Run, Work

log = logging.getLogger(__name__)


class Press(Protocol):
    """How pixels become files: ``inference.press`` in earnest, something small in tests."""

    def picture(self, run: Run, pixels: torch.Tensor) -> Picture:
        """The finished picture of ``run``, its recipe inside."""

    def grid(self, pictures: list[torch.Tensor], work: Work) -> bytes:
        """One PNG that shows them together."""

    def preview(self, pixels: torch.Tensor) -> bytes:
        """A small WebP."""

    def enlarge(self, work: Work) -> Picture:
        """The source of ``work``, enlarged."""


class Finish:
    """Decodes, encodes and tells. ``tell`` gets messages for the bot, ``over`` a work that is complete."""

    def __init__(
        self, press: Press, tell: Callable[[wire.ToBot], None], over: Callable[[Work], None]
    ) -> None:
        self._press = press
        self._tell = tell
        self._over = over
        self._latents: deque[tuple[Run, torch.Tensor]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="finish")

    @property
    def waiting(self) -> int:
        """Latents to decode."""
        return len(self._latents)

    def add(self, run: Run, latent: torch.Tensor) -> None:
        """``latent`` (c, h, w) of ``run`` is finished; it waits for a slice."""
        self._latents.append((run, latent))

    def next(self) -> tuple[Run, torch.Tensor] | None:
        """The next latent to decode whose work still wants it."""
        while self._latents:
            run, latent = self._latents.popleft()
            if not run.work.cancelled:
                return run, latent
        return None

    def decoded(self, run: Run, pixels: torch.Tensor, unsafe: float | None = None) -> None:
        """``pixels`` uint8 (h, w, 3) of ``run`` came out; ``unsafe`` is what a classifier said of them."""
        self._do(run.work, run.index, lambda: self._encode(run, pixels, unsafe))

    def failed(self, work: Work, index: int, code: str, detail: str = "") -> None:
        """Picture ``index`` of ``work`` will not come."""
        self._do(work, index, lambda: self._fail(work, index, code, detail))

    def enlarge(self, work: Work) -> None:
        """Draw nothing: enlarge the source."""
        self._do(work, 0, lambda: self._enlarge(work))

    def preview(self, run: Run, pixels: torch.Tensor) -> None:
        """Rough pixels uint8 (h, w, 3) of a run on its way; goes out with the work's next progress."""
        self._do(run.work, None, lambda: self._preview(run, pixels))

    def close(self) -> None:
        """Encode nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Work, index: int | None, what: Callable[[], None]) -> None:
        """Run ``what`` in the lane's thread; if it raises, picture ``index`` of ``work`` has failed."""

        def done(future: Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                job = work.draw.job
                log.error("picture not finished", exc_info=error, extra={"action": "finish", "job": job})
                if index is not None:
                    self._thread.submit(self._fail, work, index, "draw_failed", type(error).__name__)

        self._thread.submit(what).add_done_callback(done)

    def _encode(self, run: Run, pixels: torch.Tensor, unsafe: float | None) -> None:
        work = run.work
        if not work.cancelled:
            picture = self._press.picture(run, pixels)
            work.pictures[run.index] = msgspec.structs.replace(picture, unsafe=unsafe)
            work.pixels[run.index] = pixels
            work.previews[run.index], work.fresh = work.pictures[run.index].preview, True
            self._complete(work)

    def _fail(self, work: Work, index: int, code: str, detail: str) -> None:
        work.fail(index, code, detail)
        self._complete(work)

    def _enlarge(self, work: Work) -> None:
        if work.cancelled:
            return
        try:
            work.pictures[0] = self._press.enlarge(work)
        except OSError as error:
            work.fail(0, "source_broken", type(error).__name__)
        self._complete(work)

    def _preview(self, run: Run, pixels: torch.Tensor) -> None:
        if not run.work.cancelled and run.index not in run.work.pictures:
            run.work.previews[run.index] = self._press.preview(pixels)
            run.work.fresh = True

    def _complete(self, work: Work) -> None:
        if work.cancelled or not work.complete:
            return
        grid = b""
        if len(work.pixels) > 1:
            grid = self._press.grid([work.pixels[index] for index in sorted(work.pixels)], work)
        if not work.cancelled:
            self._tell(work.result(grid))
            self._over(work)
