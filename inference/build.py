"""A real engine out of its parts: the one place in the inference process where they are chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from inference import device, models, wire
from inference.aside import Beside
from inference.engine import Engine
from inference.known import Known
from inference.loader import Loader
from inference.models import Denoiser
from inference.models.dtypes import choose_dtype
from inference.press import Studio
from inference.request import ModelSpec
from inference.safety import Guard

log = logging.getLogger(__name__)


def _load(spec: ModelSpec, device: torch.device, home: Path | None, guard: Guard | None) -> Denoiser:
    """The model, in the number format that is faster here; what was measured is kept in ``home``.

    Without the classifier that its pictures must pass there is no model. Raises BadModel.
    """
    if guard is not None:
        guard.ready()
    model = models.load(spec, device=device)
    return choose_dtype(model, home) if home else model


def build(
    specs: tuple[ModelSpec, ...],
    tell: Callable[[wire.ToBot], None],
    wish: str = "auto",
    home: Path | None = None,
    safety: str = "",
) -> Engine:
    """An engine for ``specs`` on the device that ``wish`` names (``auto``: the best there is).

    What it learns of this machine is kept in the folder ``home``. ``safety`` names the classifier that looks
    at pictures.
    """
    chosen = device.choose(wish)
    device.use_cores(chosen)
    torch.set_grad_enabled(False)
    guard = Guard(safety, chosen) if safety else None
    load: Callable[[ModelSpec], Denoiser] = partial(_load, device=chosen, home=home, guard=guard)
    where = device.describe(chosen)
    aside = partial(Beside, device.CudaStreams(chosen)) if chosen.type == "cuda" else None
    return Engine(
        lambda changed: Loader(specs, load, changed), Studio(), tell, where, Known(home, where),
        check=guard.check if guard else None, aside=aside, sweeps=True,
        record=device.Recording if chosen.type == "cuda" else None,
    )  # fmt: skip
