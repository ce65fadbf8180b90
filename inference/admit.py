"""Everything a draw needs before it may take a step, done beside the engine's thread."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from inference import samplers
from inference.models import Denoiser
from inference.request import MAX_SIDE
from inference.runs import Work
from inference.samplers import BadSampler, Table

log = logging.getLogger(__name__)


NO_TABLE = Table(np.zeros(0), np.zeros(0), np.zeros((0, 8)), np.zeros(0, np.bool_), (0.0, 0.0))


@dataclass(eq=False, slots=True)
class Plan:
    """What a work needs to begin; with an empty ``table`` it is refused with ``code``."""

    table: Table = NO_TABLE
    pixels: torch.Tensor | None = None
    """Source pixels uint8 (height, width, 3)."""
    source: torch.Tensor | None = None
    """The source's latent (c, h, w), once it is encoded."""
    code: str = ""
    detail: str = ""


class Admission:
    """Compiles tables and opens sources in a thread of its own; ``ready`` gets the plan, in that thread."""

    def __init__(self, ready: Callable[[Work, Plan], None]) -> None:
        self._ready = ready
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="admit")

    def plan(self, work: Work, model: Denoiser) -> None:
        """Make the plan of ``work``."""

        def done(future: Future[Plan]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if error is not None:
                log.error("not admitted", exc_info=error, extra={"action": "admit", "job": work.draw.job})
                self._ready(work, Plan(code="draw_failed", detail=type(error).__name__))
            else:
                self._ready(work, future.result())

        self._thread.submit(plan, work, model).add_done_callback(done)

    def close(self) -> None:
        """Admit nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def plan(work: Work, model: Denoiser) -> Plan:
    """The plan of ``work`` on ``model``; a refusal is a plan without a step."""
    request = work.draw.request
    if request.width % model.factor or request.height % model.factor:
        return Plan(code="bad_size", detail=f"{request.width}x{request.height}")
    begin = request.steps - request.steps_run if request.source else 0
    try:
        config, prediction, source = model.scheduler_config, model.prediction, bool(request.source)
        table = samplers.compile(request.sampler, request.steps, config, prediction, begin, source)
        pixels = opened(work.draw.source, request.width, request.height) if request.source else None
    except BadSampler as error:
        return Plan(code=error.code, detail=error.detail)
    except OSError as error:
        return Plan(code="source_broken", detail=type(error).__name__)
    return Plan(table=table, pixels=pixels)


def opened(data: bytes, width: int, height: int) -> torch.Tensor:
    """Pixels uint8 (height, width, 3) of a PNG; resized if it has another size. Raises OSError."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise OSError(f"a source of {image.width}x{image.height}")
            rgb = image.convert("RGB")
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:  # Pillow's for broken chunks
        raise OSError("a broken source") from error
    if rgb.size != (width, height):
        rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(rgb).copy())
