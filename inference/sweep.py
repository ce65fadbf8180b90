"""Warming up: T(rows) of a model's usual step, measured while nobody wants anything; and recorded then."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch

from inference import device
from inference.batch import Bucket, Costs
from inference.known import Known
from inference.models import Denoiser
from inference.replay import Replayed
from inference.request import ModelSpec

log = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds that somebody who comes just now may have to wait for a call; larger ones are not tried."""


def sweep(
    spec: ModelSpec, model: Denoiser, clock: device.StepClock, costs: Costs, known: Known
) -> Iterator[None]:
    """One call for each ``next``: from one row upwards as long as it pays and nobody would mind."""
    standard = spec.standard
    (cond,) = model.encode(("",))
    height, width = standard.height // model.factor, standard.width // model.factor
    bucket = Bucket(spec.name, height, width, len(cond))
    known.recall(costs, bucket, model)
    yield

    def given(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = torch.zeros(rows, model.latent_channels, height, width, device=model.device)
        return x, torch.full((rows,), 500.0, device=model.device), cond.expand(rows, *cond.shape)

    while (rows := costs.unknown(bucket)) is not None:
        if 2 * (costs.seconds(bucket, rows // 2) or 0.0) > PATIENCE:
            break
        clock.start()
        try:
            model.denoise(*given(rows))
        except RuntimeError as error:
            if device.lost(error):
                raise
            log.warning("warming up ends", exc_info=error, extra={"action": "sweep", "rows": rows})
            costs.too_big(bucket, rows)
            return
        clock.stop(lambda seconds, rows=rows: costs.measured(bucket, rows, seconds))  # type: ignore[misc]
        clock.drain()
        known.note(costs, bucket, model)
        yield
    if isinstance(model, Replayed):
        for learnt in costs.known(bucket):
            gain = model.consider(clock, *given(learnt), known.gain(bucket, model, learnt))
            if gain is not None:
                known.note_gain(bucket, model, learnt, gain)
            yield
        known.save()
