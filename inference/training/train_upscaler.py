"""The 4x upscaler: crops of the art at 128 and at 512 pixels, the small one worn as drawn pictures are."""

from __future__ import annotations

import random

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor
from torch.nn import functional as fn

from inference.models.sticker_upscaler import StickerUpscaler
from inference.training.autoencoder import fast_decode, fast_encode
from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.machine import device
from inference.training.muon import Muon, split
from inference.training.sprites import Pixels, Sprites, cached
from inference.training.studio import Studio
from inference.training.words import BACKGROUNDS

WIDTH, BLOCKS = 48, 5
BATCH = 16
CROP = 48  # side of the small crop, in pixels
SIDE = 512


def _large(sprites: Sprites, row: int, rng: random.Random) -> Pixels:
    """One sprite over a background at 512 pixels, (512, 512, 3)."""
    picture = Image.new("RGB", (SIDE, SIDE), BACKGROUNDS[rng.choice(list(BACKGROUNDS))])
    side = rng.randint(SIDE * 2 // 5, SIDE)
    sprite = Image.fromarray(sprites.pixels[row]).resize((side, side), Image.Resampling.BILINEAR)
    picture.paste(sprite, ((SIDE - side) // 2, (SIDE - side) // 2), sprite)
    return np.array(picture)


def pairs(sprites: Sprites, rng: random.Random, count: int) -> Tensor:
    """Whole pictures at 512 pixels, (count, 3, 512, 512) in [0, 1]."""
    rows = [_large(sprites, rng.randrange(len(sprites.pixels)), rng) for _ in range(count)]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def worn(small: Tensor, vae: AutoencoderTiny, rng: random.Random) -> Tensor:
    """What the upscaler will meet: every other batch as the autoencoder gives it back."""
    if rng.random() < 0.5:
        return small
    return fast_decode(vae, fast_encode(vae, small)).clamp(0, 1)


def train_upscaler(studio: Studio, vae: AutoencoderTiny, budget: Budget) -> StickerUpscaler:
    """Train, or go on training, the upscaler on the scope's sprites."""
    torch.manual_seed(15)
    sprites = cached(studio.concepts, studio.folder, SIDE)
    model = StickerUpscaler(WIDTH, BLOCKS).to(device())
    vae.to(device())
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    matrices, rest = split(model)
    optimizers = [Muon(matrices, lr=0.005), torch.optim.AdamW(rest, lr=1e-3)]

    def loss(step: Step) -> Tensor:
        large = pairs(sprites, step.rng, BATCH // 4).to(device())
        small = worn(fn.avg_pool2d(large, 4), vae, step.rng)
        crops = [_crop(small, large, step.rng) for _ in range(4)]  # four places of each picture
        made = model(torch.cat([crop for crop, _ in crops]))
        error: Tensor = made - torch.cat([wanted for _, wanted in crops])
        return error.abs().mean() + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()

    loop = Loop(model, optimizers, loss, studio.folder / "upscaler.pt", budget, Settings(seed=15, ema=0.99))
    loop.run()
    loop.use_average()
    vae.cpu()
    return model.cpu().eval()


def _crop(small: Tensor, large: Tensor, rng: random.Random) -> tuple[Tensor, Tensor]:
    top, left = (rng.randint(0, SIDE // 4 - CROP) for _ in range(2))
    part = large[:, :, 4 * top : 4 * (top + CROP), 4 * left : 4 * (left + CROP)]
    return small[:, :, top : top + CROP, left : left + CROP], part
