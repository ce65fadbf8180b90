"""The first stage: the autoencoder, on scenes of the whole catalogue."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from inference.training.autoencoder import FACTOR, Trainee, new_autoencoder, reconstruction_loss
from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.machine import device
from inference.training.muon import Muon, split
from inference.training.scenes import draw_all
from inference.training.studio import Studio, any_scene

BATCH = 16
NOISE = 0.05  # on the latents, so that the decoder forgives the UNet's small errors
EXACT_FROM = 0.93  # the last part runs unfolded: the folded form differs at the picture's border


def train_autoencoder(studio: Studio, budget: Budget) -> AutoencoderTiny:
    """Train, or go on training, and return the autoencoder with normalised latents."""
    torch.manual_seed(11)
    trainee = Trainee(new_autoencoder()).to(device())
    trainee.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    matrices, rest = split(trainee)
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=1.5e-3, betas=(0.9, 0.99))]
    wide = tuple((key, style) for key, style in studio.sprites.index)
    narrow = studio.pairs

    def loss(step: Step) -> Tensor:
        exact = step.progress > EXACT_FROM
        scenes = [any_scene(narrow if step.rng.random() < 0.6 else wide, step.rng) for _ in range(BATCH)]
        real = draw_all(scenes, studio.sprites).to(device())
        if exact:  # 64 pixels of it: the unfolded form costs six times as much
            top, left = step.rng.choice((0, 32, 64)), step.rng.choice((0, 32, 64))
            real = real[:, :, top : top + 64, left : left + 64]
        height, width = real.shape[2] // FACTOR, real.shape[3] // FACTOR
        noise = torch.randn(BATCH, trainee.norm.num_features, height, width, generator=step.generator) * NOISE
        return reconstruction_loss(trainee(real, noise.to(device()), exact), real)

    loop = Loop(
        trainee, optimizers, loss, _checkpoint(studio), budget, Settings(seed=11, warmup=100, ema=0.99)
    )
    loop.run()
    loop.use_average()
    return trainee.cpu().folded()


def _checkpoint(studio: Studio) -> Path:
    return studio.folder / "autoencoder.pt"
