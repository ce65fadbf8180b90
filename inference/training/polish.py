"""The decoder goes on learning after the latent space is fixed: sharper, and right at the border."""

from __future__ import annotations

import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from inference.training.autoencoder import FACTOR, fast_decode, fast_encode, reconstruction_loss
from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.machine import device
from inference.training.muon import Muon, split
from inference.training.scenes import draw_all
from inference.training.studio import Studio, any_scene

BATCH = 16
NOISE = 0.07  # on the latents: the UNet's are not exact
EXACT_FROM = 0.5  # the unfolded form costs six times as much, so it sees quarters of the pictures
RATE = 0.008


def polish_decoder(studio: Studio, vae: AutoencoderTiny, budget: Budget) -> AutoencoderTiny:
    """Train the decoder alone: the encoder, and with it everything the UNet knows, stays as it is."""
    torch.manual_seed(17)
    vae.to(device())
    matrices, rest = split(vae.decoder)
    optimizers = [Muon(matrices, lr=RATE), torch.optim.AdamW(rest, lr=1e-3, betas=(0.9, 0.99))]

    def loss(step: Step) -> Tensor:
        scenes = [any_scene(studio.pairs, step.rng) for _ in range(BATCH)]
        real = draw_all(scenes, studio.sprites).to(device())
        with torch.no_grad():
            latents = fast_encode(vae, real)
        latents = latents + NOISE * torch.randn(latents.shape, generator=step.generator).to(device())
        if step.progress < EXACT_FROM:
            return reconstruction_loss(fast_decode(vae, latents), real)
        top, left = step.rng.choice((0, 8)), step.rng.choice((0, 8))
        part = vae.decoder(latents[:, :, top : top + 8, left : left + 8])
        top, left, side = FACTOR * top, FACTOR * left, FACTOR * 8
        return reconstruction_loss((part + 1) / 2, real[:, :, top : top + side, left : left + side])

    settings = Settings(seed=17, warmup=20, ema=0.98)
    loop = Loop(vae.decoder, optimizers, loss, studio.folder / "polish.pt", budget, settings)
    loop.run()
    loop.use_average()
    return vae.cpu().eval()
