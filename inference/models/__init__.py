"""Model families: each turns a :class:`ModelSpec` into a :class:`Denoiser`.

``FAMILIES`` is the whole registry: a family is one module here and one line there. Nothing in this package
unpickles, runs code that came with a model, or goes online unless it was told to.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from inference.request import ModelSpec

if TYPE_CHECKING:
    import torch

BUILTIN = Path(__file__).parent / "builtin"
"""The folder of the model that ships with the project."""
SAFETY = Path(__file__).parent / "safety"
"""The folder of the classifier of finished pictures that ships with it."""
FAMILIES = {"sd": "inference.models.sd"}
"""Family → module with ``load(spec, device, dtype, *, download)``."""
EXAMINERS = {"sd": "inference.models.plan"}
"""Family → module with ``examine(spec, *, download)``, which imports no torch."""
CODES = (
    "model_pickle", "model_corrupt", "model_family", "model_missing", "model_remote_code", "model_too_big",
    "model_checksum",
)  # fmt: skip
"""Every ``BadModel.code``; each is a sentence ``refusal.<code>`` in ``bot/texts``."""


class BadModel(Exception):  # noqa: N818 - it names the model
    """A model that will not be loaded. ``code`` is one of ``CODES``; ``detail`` says what exactly.

    ``detail`` is a file's name, a size or a shape: never a person's words, never a path outside the model.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Denoiser(Protocol):
    """One loaded model: text → conditioning, (x, t, conditioning) → prediction, latents ⇄ pixels.

    Not thread-safe: one thread at a time, but ``decode`` and ``preview`` may run beside the rest. No method
    keeps a gradient. Results lie on ``device``, except pixels, which are on the CPU. Every row of a batch is
    independent of its neighbours.
    """

    name: str
    latent_channels: int
    factor: int
    """Pixels a latent cell spans, each way."""
    scheduler_config: Mapping[str, object]
    """The model's ``scheduler_config.json``; ``prediction_type`` in it equals ``prediction``."""
    prediction: str
    """``epsilon`` or ``v_prediction``: what ``denoise`` returns."""
    fingerprint: str
    """16 hex digits that change with the weights' layout and files: a key for caches of decisions."""
    megabytes: float
    """Weights in memory, 10⁶ bytes."""

    @property
    def distilled(self) -> bool:
        """Its guidance is an input (``guide``), so that one row a step does what others need two for."""

    @property
    def device(self) -> torch.device:
        """Where ``denoise`` runs."""

    @property
    def dtype(self) -> torch.dtype:
        """What ``denoise`` computes in."""

    def cast(self, dtype: torch.dtype) -> Denoiser:
        """The same model with a copy of its denoising weights in ``dtype``; all else is shared."""

    def chunks(self, prompt: str) -> int:
        """Chunks of tokens this prompt needs: 1 for most."""

    def encode(self, prompts: Sequence[str], chunks: int = 1) -> tuple[torch.Tensor, ...]:
        """One tensor (k * window, dim) in ``dtype`` a prompt, with A1111's attention weights applied.

        k is the larger of ``chunks`` and what the prompt needs: give a guided pair the maximum of both so
        that their rows fit together. Equal (prompt, k) gives the identical, cached tensor: read only.
        """

    def guide(self, cond: torch.Tensor, guidance: float) -> torch.Tensor:
        """``cond`` of ``encode``, with the guidance of a ``distilled`` model in it; else ``cond`` itself."""

    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """Prediction (rows, c, h, w) float32 for latents ``x`` (rows, c, h, w) at timesteps ``t`` (rows,).

        ``cond`` is (rows, tokens, dim). ``x`` is already scaled as the sampler's table demands.
        """

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (n, h * factor, w * factor, 3) on the CPU for finished latents (n, c, h, w).

        A latent that is not finite gives a meaningless picture and leaves its neighbours alone.
        """

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents float32 (n, c, h, w) for pixels uint8 (n, h * factor, w * factor, 3); deterministic."""

    def preview(self, latents: torch.Tensor) -> torch.Tensor:
        """Small rough pixels uint8 (n, h', w', 3) on the CPU for latents (n, c, h, w); cheap."""


class Files(Protocol):
    """What ``examine`` found out of files and headers alone."""

    @property
    def values(self) -> int:
        """Numbers in all weights."""


class _Examiner(Protocol):
    def examine(self, spec: ModelSpec, *, download: bool) -> Files: ...


class _Family(Protocol):
    def load(
        self, spec: ModelSpec, device: torch.device, dtype: torch.dtype | None, *, download: bool
    ) -> Denoiser: ...


def load(
    spec: ModelSpec,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    *,
    download: bool = False,
) -> Denoiser:
    """The model that ``spec.source`` names, verified and on ``device``. Raises BadModel.

    Without ``dtype``: float32 on a CPU, float16 elsewhere (``inference.models.dtypes`` measures bfloat16).
    Nothing goes online unless ``download``, and then only for a hub id with its commit (``org/name@sha``).
    """
    import torch

    family = cast("_Family", importlib.import_module(FAMILIES[spec.family]))
    return family.load(spec, torch.device(device), dtype, download=download)


def examine(spec: ModelSpec, *, download: bool = False) -> Files:
    """Verify the files of ``spec`` without reading tensors: quick, without torch. Raises BadModel."""
    module = cast("_Examiner", importlib.import_module(EXAMINERS[spec.family]))
    return module.examine(spec, download=download)
