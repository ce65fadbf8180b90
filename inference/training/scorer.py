"""The judge of the evaluation: a small classifier that has seen real renders only, nothing drawn."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as fn

from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.machine import device
from inference.training.scenes import Scene, draw_all, scene_held_out
from inference.training.studio import Studio
from inference.training.words import BACKGROUNDS, SIZES

FOLDER = Path(__file__).parent / "scorer"
SIDE = 64  # it looks at half the pictures' resolution
BATCH = 64


class Classifier(nn.Module):
    """(b, 3, 64, 64) in [0, 1] -> (b, classes) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [
                nn.Conv2d(after, after, 3, 1, 1, groups=after // 16, bias=False),
                nn.BatchNorm2d(after),
            ]
            layers += [nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(256 * 4, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Score each class."""
        x = fn.adaptive_avg_pool2d(self.features(pictures - 0.5), 2)
        logits: Tensor = self.head(fn.dropout(x.flatten(1), 0.2, self.training))
        return logits


@dataclass(frozen=True, slots=True)
class Scorer:
    """The trained classifier and the concept keys that its outputs stand for."""

    model: Classifier
    classes: tuple[str, ...]

    @torch.no_grad()
    def top(self, pictures: Tensor, count: int = 5) -> list[tuple[str, ...]]:
        """The `count` likeliest concepts of each of (n, 3, h, w) in [0, 1], likeliest first."""
        square = _square(pictures)
        chosen = self.model(square).topk(count).indices.tolist()
        return [tuple(self.classes[number] for number in row) for row in chosen]

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """What the classifier sees, (n, 1024), for distances between pictures."""
        seen: Tensor = fn.adaptive_avg_pool2d(self.model.features(_square(pictures) - 0.5), 2).flatten(1)
        return seen


def _square(pictures: Tensor) -> Tensor:
    """The middle square of each picture at the scorer's resolution."""
    height, width = pictures.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = pictures[:, :, top : top + side, left : left + side]
    return fn.interpolate(middle, size=(SIDE, SIDE), mode="bilinear", antialias=True)


def background_of(pictures: Tensor) -> list[str]:
    """The named background nearest to each picture's border colour (median of its outermost 4 pixels)."""
    edges = (pictures[:, :, :4].flatten(2), pictures[:, :, -4:].flatten(2))
    sides = (pictures[..., :4].flatten(2), pictures[..., -4:].flatten(2))
    colours = torch.cat([*edges, *sides], dim=2).median(dim=2).values  # n x 3
    palette = torch.tensor(list(BACKGROUNDS.values())) / 255
    nearest = torch.cdist(colours, palette).argmin(dim=1).tolist()
    names = list(BACKGROUNDS)
    return [names[number] for number in nearest]


def scorer_scene(studio: Studio, rng: random.Random) -> Scene:
    """A real scene to learn from: every style, but none of the held-out things on backgrounds at sizes."""
    keys = studio.sprites.index
    while True:
        thing, style = rng.choice(studio.concepts).key, rng.choice(("3d", "flat", "noto", "blob"))
        scene = Scene((thing,), style, rng.choice(list(BACKGROUNDS)), rng.choice(list(SIZES)))
        if (thing, style) in keys and not scene_held_out(thing, scene.background, scene.size):
            return Scene(*_fields(scene), dx=rng.randint(-10, 10), dy=rng.randint(-10, 10))


def _fields(scene: Scene) -> tuple[tuple[str, ...], str, str, str]:
    return scene.things, scene.style, scene.background, scene.size


def _worn(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Blurred and noisy now and then: the judge shall know things by their shape, not by a crisp edge."""
    blurred = fn.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    mix = torch.rand(len(pictures), 1, 1, 1, generator=generator)
    noise = torch.randn(pictures.shape, generator=generator) * 0.04
    return pictures.lerp(blurred, mix) + noise


def train_scorer(studio: Studio, budget: Budget) -> Scorer:
    """Train, or go on training, the classifier of the scope's concepts."""
    torch.manual_seed(14)
    classes = tuple(concept.key for concept in studio.concepts)
    numbers = {key: number for number, key in enumerate(classes)}
    model = Classifier(len(classes)).to(device())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=2e-2)

    def loss(step: Step) -> Tensor:
        scenes = [scorer_scene(studio, step.rng) for _ in range(BATCH)]
        pictures = _worn(_square(draw_all(scenes, studio.sprites)), step.generator)
        answers = torch.tensor([numbers[scene.things[0]] for scene in scenes]).to(device())
        return fn.cross_entropy(model(pictures.to(device())), answers, label_smoothing=0.05)

    model.train()
    loop = Loop(model, [optimizer], loss, studio.folder / "scorer.pt", budget, Settings(seed=14, ema=0.99))
    loop.run()
    loop.use_average()
    return Scorer(model.cpu().eval(), classes)


def save(scorer: Scorer, folder: Path = FOLDER) -> None:
    """Write scorer.safetensors (fp16) and classes.json."""
    folder.mkdir(parents=True, exist_ok=True)
    state = scorer.model.state_dict()
    halves = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    save_file(halves, folder / "scorer.safetensors")
    (folder / "classes.json").write_text(json.dumps(scorer.classes, indent=0) + "\n")


def load(folder: Path = FOLDER) -> Scorer:
    """The shipped scorer, run in fp32."""
    classes: Sequence[str] = json.loads((folder / "classes.json").read_text())
    model = Classifier(len(classes))
    state = load_file(folder / "scorer.safetensors")
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    return Scorer(model.eval(), tuple(classes))
