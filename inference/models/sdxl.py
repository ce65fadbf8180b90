"""SDXL: two text encoders, pooled text and the picture's size; Turbo and Lightning checkpoints are the same.

The engine knows one conditioning tensor a row, so the pooled text travels in it as one more token, and only
``denoise`` takes it out again. Sizes follow from the latent (Podell et al. 2023, arXiv 2307.01952, 2.2).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from inference.models import Denoiser
from inference.models.plan import Plan
from inference.models.sd import StableDiffusion, pixels_of, reader
from inference.prompts import TextEncoder
from inference.request import ModelSpec

RGB = ((60, 60, 60), (-60, -5, 10), (25, 15, -5), (-70, -50, -35))
"""Latents → RGB in 0-255 ..."""
GREY = (150, 140, 130)
"""... around this (huggingface blog, "Explaining the SDXL latent space", T. A. Vass)."""
SCALING = 0.13025
KEPT = 64
"""Joined encodings that are kept."""


class Pool:
    """The second encoder's model: hidden states for the tokens, and the pooled text kept beside them."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self._model: Any = model
        self._device = device
        self._kept: OrderedDict[tuple[int, ...], torch.Tensor] = OrderedDict()

    def read(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(1, window, dim): the states before the last layer."""
        found = self._model(ids, attention_mask=mask, output_hidden_states=True)
        self._kept[tuple(ids[0].tolist())] = found.text_embeds[0]
        if len(self._kept) > 4 * KEPT:
            self._kept.popitem(last=False)
        hidden: torch.Tensor = found.hidden_states[-2]
        return hidden

    @torch.inference_mode()
    def pooled(self, ids: Sequence[int]) -> torch.Tensor:
        """(dim,) what it says of one chunk as a whole."""
        if tuple(ids) not in self._kept:
            self.read(torch.tensor([ids], device=self._device), None)
        return self._kept[tuple(ids)]


class StableDiffusionXL(StableDiffusion):
    """A loaded SDXL: see :class:`inference.models.Denoiser`."""

    def __init__(
        self, spec: ModelSpec, plan: Plan, parts: Mapping[str, torch.nn.Module],
        texts: tuple[TextEncoder, TextEncoder], pool: Pool,
    ) -> None:  # fmt: skip
        super().__init__(spec, plan, parts, texts[0])
        self._second, self._pool = texts[1], pool
        self._zeros = plan.zeros
        self._told_sizes: dict[tuple[int, int, torch.dtype], torch.Tensor] = {}
        self._joined: OrderedDict[tuple[str, int, torch.dtype], torch.Tensor] = OrderedDict()

    def chunks(self, prompt: str) -> int:
        """Chunks of tokens this prompt needs."""
        return max(self._text.count(prompt), self._second.count(prompt))

    def encode(self, prompts: Sequence[str], chunks: int = 1) -> tuple[torch.Tensor, ...]:
        """One tensor (k * window + 1, dim) a prompt; the last token is the pooled text, padded with zeros (a
        distilled model's has one more, as in SD1.x)."""
        return tuple(self._kept(prompt, max(chunks, self.chunks(prompt))) for prompt in prompts)

    def _kept(self, prompt: str, chunks: int) -> torch.Tensor:
        key = prompt, chunks, self.dtype
        if key not in self._joined:
            self._joined[key] = self._join(prompt, chunks)
            if len(self._joined) > KEPT:
                self._joined.popitem(last=False)
        self._joined.move_to_end(key)
        return self._joined[key]

    def _join(self, prompt: str, chunks: int) -> torch.Tensor:
        both = [text.encode(prompt, chunks, self.dtype) for text in (self._text, self._second)]
        tokens = torch.cat(both, dim=-1)
        tokenizer = self._second.tokenizer
        pooled = self._pool.pooled(tokenizer.ids(tokenizer.chunks(prompt)[0]))
        last = torch.zeros_like(tokens[:1])
        last[0, : len(pooled)] = pooled.to(tokens.dtype)
        joined = self._with_place(torch.cat([tokens, last]))
        return torch.zeros_like(joined) if self._zeros and not prompt else joined

    @torch.inference_mode()
    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """Prediction (rows, c, h, w) float32."""
        rows, _, height, width = x.shape
        dim = self._unet_config("projection_class_embeddings_input_dim")
        dim -= 6 * self._unet_config("addition_time_embed_dim")
        sizes = self._sizes(height * self.factor, width * self.factor, cond).expand(rows, 6)
        pooled = -2 if self.distilled else -1
        added = {"text_embeds": cond[:, pooled, :dim], "time_ids": sizes}
        text = torch.cat([cond[:, :pooled], cond[:, pooled + 1 :]], 1) if self.distilled else cond[:, :-1]
        return self._predict(x, t, text, {"added_cond_kwargs": added})

    def _sizes(self, height: int, width: int, like: torch.Tensor) -> torch.Tensor:
        """(1, 6) how large it is, its crop, how large it shall be; kept, as a copy to a device waits."""
        key = height, width, like.dtype
        if key not in self._told_sizes:
            size = [height, width]
            self._told_sizes[key] = torch.tensor([[*size, 0, 0, *size]], device=like.device, dtype=like.dtype)
        return self._told_sizes[key]

    def _unet_config(self, name: str) -> int:
        config: Any = self._unet.config
        return int(config[name])

    @torch.inference_mode()
    def preview(self, latents: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (n, h, w, 3) by a linear map; of another autoencoder's latents by that."""
        if self.latent_channels != len(RGB) or abs(self._scaling - SCALING) > 1e-4:
            return self.decode(latents)
        weights = torch.tensor(RGB, device=latents.device, dtype=torch.float32)
        grey = torch.tensor(GREY, device=latents.device, dtype=torch.float32)
        return pixels_of((torch.einsum("nchw,cr->nhwr", latents.float(), weights) + grey) / 127.5 - 1.0)


def assemble(
    spec: ModelSpec, plan: Plan, parts: Mapping[str, torch.nn.Module], device: torch.device
) -> Denoiser:
    """The model out of its loaded parts. Raises BadModel."""
    pool = Pool(parts["text_encoder_2"], device)
    first = reader(plan, parts, device, _before_the_last)
    second = reader(plan, parts, device, lambda model, ids, mask: pool.read(ids, mask), "_2")
    return StableDiffusionXL(spec, plan, parts, (first, second), pool)


def _before_the_last(model: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    hidden: torch.Tensor = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states[-2]
    return hidden
