"""The third stage: the UNet, by v-prediction on latents, with the text encoder frozen."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional as fn
from transformers import CLIPTextModel, CLIPTokenizer

from inference.training.autoencoder import fast_encode
from inference.training.captions import caption
from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.machine import device, quick
from inference.training.models import new_unet, scheduler
from inference.training.muon import Muon, split
from inference.training.scenes import Scene, draw_all
from inference.training.studio import CANVASES, Studio, on_canvas, training_scene
from inference.training.train_text import tokenize

BATCH = 64
NOISY = 0.7
DROPPED = 0.1  # captions left empty, for guidance
OTHER_CANVAS = 0.04  # batches that are not square
RATE = 0.013  # 0.03 diverges within 100 steps


@dataclass
class Encoder:
    """Scenes to latents; one-thing scenes on the square canvas are few enough to remember."""

    vae: AutoencoderTiny
    studio: Studio
    memory: dict[Scene, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def __call__(self, scenes: list[Scene]) -> Tensor:
        """Latents (b, 8, h, w) of scenes on one canvas."""
        fresh = [scene for scene in dict.fromkeys(scenes) if scene not in self.memory]
        made: dict[Scene, Tensor] = {}
        if fresh:
            latents = fast_encode(self.vae, draw_all(fresh, self.studio.sprites).to(self.vae.device))
            made = dict(zip(fresh, latents.half().cpu(), strict=True))
            self.memory.update((scene, made[scene]) for scene in fresh if _memorable(scene))
        return torch.stack([made[s] if s in made else self.memory[s] for s in scenes]).float()


def _memorable(scene: Scene) -> bool:
    return scene.relation is None and (scene.width, scene.dx, scene.dy) == (128, 0, 0) and scene.height == 128


@dataclass(frozen=True, slots=True)
class Noise:
    """The schedule's signal and noise levels, one a timestep."""

    signal: Tensor
    noise: Tensor

    @classmethod
    def of_scheduler(cls) -> Noise:
        """The levels of the shipped scheduler."""
        alphas: Tensor = scheduler().alphas_cumprod
        return cls(alphas.sqrt(), (1 - alphas).sqrt())

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Timesteps (count): NOISY of them from the noisiest 40 %, the rest logit-normal about the middle.

        A caption says nearly all of its picture here. Where the noise hides the picture, the loss is
        a regression from the caption, whose gradients are quiet: there the things are learned.
        """
        last = len(self.signal) - 1
        noisy = 0.6 + 0.4 * torch.rand(count, generator=generator)
        middle = torch.sigmoid(torch.randn(count, generator=generator) * 1.2)
        chosen = torch.where(torch.rand(count, generator=generator) < NOISY, noisy, middle)
        return (chosen * last).round().long()


def batch_scenes(studio: Studio, rng: random.Random, progress: float, count: int = BATCH) -> list[Scene]:
    """Scenes of one batch, all on one canvas."""
    canvas = CANVASES[0] if rng.random() >= OTHER_CANVAS else rng.choice(CANVASES[1:])
    scenes = [on_canvas(training_scene(studio, rng, progress), canvas) for _ in range(count)]
    if progress > 0.6:  # a little movement against learning by heart, late
        scenes = [_moved(scene, rng) if rng.random() < 0.1 else scene for scene in scenes]
    return scenes


def _moved(scene: Scene, rng: random.Random) -> Scene:
    return replace(scene, dx=rng.randint(-8, 8), dy=rng.randint(-8, 8))


def diffusion_loss(
    unet: UNet2DConditionModel, latents: Tensor, text: Tensor, noise: Noise, step: Step
) -> Tensor:
    """Mean squared error of the predicted velocity (Salimans & Ho 2022, appendix D)."""
    times = noise.draw(len(latents), step.generator)
    eps = torch.randn(latents.shape, generator=step.generator)
    a, s = noise.signal[times][:, None, None, None], noise.noise[times][:, None, None, None]
    here = device()
    with quick():
        made = unet((a * latents + s * eps).to(here), times.to(here), text).sample
    return fn.mse_loss(made.float(), (a * eps - s * latents).to(here))


def train_unet(
    studio: Studio,
    vae: AutoencoderTiny,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    budget: Budget,
    start: UNet2DConditionModel | None = None,
) -> UNet2DConditionModel:
    """Train, or go on training, and return the averaged UNet; `start` is shipped weights to begin with."""
    torch.manual_seed(13)
    unet = (start or new_unet()).to(device()).train()
    # Fused attention spends a quarter of a step on sequences as short as these.
    unet.set_attn_processor(AttnProcessor())
    matrices, rest = split(unet)
    optimizers = [Muon(matrices, lr=RATE), torch.optim.AdamW(rest, lr=1e-3, betas=(0.9, 0.99))]
    encode, noise = Encoder(vae.to(device()).eval(), studio), Noise.of_scheduler()
    text_encoder.to(device())

    def loss(step: Step) -> Tensor:
        scenes = batch_scenes(studio, step.rng, step.progress)
        texts = [
            "" if step.rng.random() < DROPPED else caption(scene, studio.by_key, step.rng) for scene in scenes
        ]
        with torch.no_grad(), quick():
            text = text_encoder(input_ids=tokenize(tokenizer, texts).to(device())).last_hidden_state
        return diffusion_loss(unet, encode(scenes), text, noise, step)

    settings = Settings(seed=13, warmup=100, ema=0.998)
    loop = Loop(unet, optimizers, loss, checkpoint(studio), budget, settings)
    loop.run()
    loop.use_average()
    for network in (vae, text_encoder):
        network.cpu()
    unet.set_default_attn_processor()
    return unet.cpu().eval()


def checkpoint(studio: Studio) -> Path:
    """Where the stage keeps its state."""
    return studio.folder / "unet.pt"
