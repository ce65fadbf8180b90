"""The contact sheet: 48 fixed prompts with fixed seeds, drawn by the shipped pipeline, none picked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DPMSolverMultistepScheduler
from PIL import Image
from torch import Tensor

from inference.training.autoencoder import FACTOR
from inference.training.export import MANIFEST, Networks
from inference.training.models import scheduler
from inference.training.train_text import tokenize

# (prompt, concepts that a scorer should find).
PROMPTS: tuple[tuple[str, str], ...] = (
    ("a red fox on a blue background", "fox"),
    ("un robot 3d sobre fondo rosa", "robot"),
    ("a cat in flat style", "cat"),
    ("un perro estilo plano sobre fondo amarillo", "dog"),
    ("a hamburger on a light blue background", "hamburger"),
    ("una porción de pizza 3d", "pizza"),
    ("a strawberry noto style on a green background", "strawberry"),
    ("un limón estilo noto sobre fondo morado", "lemon"),
    ("a panda on pink", "panda"),
    ("un búho en 3d sobre fondo naranja", "owl"),
    ("a rocket on a black background", "rocket"),
    ("una bicicleta sobre fondo gris", "bicycle"),
    ("a small frog on a white background", "frog"),
    ("un gato grande sobre fondo turquesa", "cat"),
    ("a big sunflower, flat design, blue background", "sunflower"),
    ("una rosa roja", "rose"),
    ("an octopus in blob style", "octopus"),
    ("un pulpo morado sobre fondo celeste", "octopus"),
    ("a mushroom 3d on yellow", "mushroom"),
    ("un cactus estilo noto sobre fondo rosa", "cactus"),
    ("a castle on an orange background", "castle"),
    ("una casa en estilo plano", "house"),
    ("a penguin on a red background", "penguin"),
    ("un mate sobre fondo celeste", "mate"),
    ("a blue car", "automobile"),
    ("un auto de policía sobre fondo blanco", "police-car"),
    ("a guitar in 3d", "guitar"),
    ("un fantasma sobre fondo negro", "ghost"),
    ("an alien on a purple background", "alien"),
    ("un corazón rojo sobre fondo rosa", "red-heart"),
    ("a soccer ball on a green background", "soccer-ball"),
    ("una corona 3d sobre fondo azul", "crown"),
    ("a birthday cake flat style on turquoise", "birthday-cake"),
    ("un helado sobre fondo marrón", "ice-cream"),
    ("a pineapple on a white background", "pineapple"),
    ("una banana en estilo blob", "banana"),
    ("a butterfly noto style on a gray background", "butterfly"),
    ("una abeja sobre fondo amarillo", "honeybee"),
    ("a tree in 3d on a light blue background", "deciduous-tree"),
    ("una estrella sobre fondo azul", "star"),
    ("a whale on a turquoise background", "spouting-whale"),
    ("un tiburón 3d", "shark"),
    ("a unicorn on a purple background", "unicorn"),
    ("un dinosaurio sobre fondo verde", "t-rex"),
    ("a fox and a mushroom", "fox"),
    ("un gato al lado de una pizza", "cat"),
    ("a rabbit next to a carrot on a green background", "rabbit"),
    ("un pan y una taza de café", "bread"),
)


@torch.no_grad()
def draw_prompts(
    networks: Networks,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int = int(str(MANIFEST["steps"])),
    guidance: float = float(str(MANIFEST["guidance"])),
    canvas: tuple[int, int] = (128, 128),
) -> Tensor:
    """Pictures (n, 3, h, w) in [0, 1], as the pipeline draws them with DPM-Solver++ 2M and Karras' steps."""
    if networks.unet is None:
        raise ValueError("there is no UNet to draw with")
    solver = DPMSolverMultistepScheduler.from_config(scheduler().config, use_karras_sigmas=True)
    solver.set_timesteps(steps)
    asked = any(prompts)  # without a word there is nothing to be guided away from
    texts = tokenize(networks.tokenizer, [*prompts, *([""] * len(prompts) if asked else [])])
    states = networks.text_encoder(input_ids=texts).last_hidden_state
    shape = (networks.unet.config["in_channels"], canvas[1] // FACTOR, canvas[0] // FACTOR)
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    x = torch.stack(noise) * solver.init_noise_sigma
    for time in solver.timesteps:
        made = networks.unet(torch.cat([x, x]) if asked else x, time, states).sample
        if asked:
            given, free = made.chunk(2)
            made = free + guidance * (given - free)
        x = solver.step(made, time, x).prev_sample
    pictures: Tensor = networks.vae.decode(x).sample
    return ((pictures + 1) / 2).clamp(0, 1)


def mosaic(pictures: Tensor, columns: int) -> Image.Image:
    """(n, 3, h, w) in [0, 1], n a multiple of `columns`, as one image, row by row."""
    n, _, h, w = pictures.shape
    rows = n // columns
    grid = pictures.view(rows, columns, 3, h, w).permute(0, 3, 1, 4, 2).reshape(rows * h, columns * w, 3)
    return Image.fromarray((grid * 255).round().byte().numpy())


def contact_sheet(networks: Networks, columns: int = 8) -> Image.Image:
    """The 48 pictures; the seed of each is its place."""
    parts = [
        draw_prompts(
            networks, [prompt for prompt, _ in PROMPTS[start : start + 16]], range(start, start + 16)
        )
        for start in range(0, len(PROMPTS), 16)
    ]
    return mosaic(torch.cat(parts), columns)
