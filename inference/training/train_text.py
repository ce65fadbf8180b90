"""The second stage: the text encoder, taught from captions and coarse drafts before any UNet exists.

Classifying what a caption asks for separates the captions; drawing a 32x32 draft of it, one of the
draft's 4x4 cells at each of the last 16 positions, lays the picture out where the UNet's
cross-attention can look it up. Both cost a thousandth of what the UNet would spend to teach it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from transformers import CLIPTextModel, CLIPTokenizer

from inference.training.captions import caption, unaccented
from inference.training.concepts import Concept
from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.machine import device
from inference.training.models import READING_LAYERS, TEXT_WIDTH, new_text_encoder
from inference.training.muon import Muon
from inference.training.scenes import Scene, draw_all
from inference.training.studio import Studio, training_scene
from inference.training.tokenizer import LENGTH, learn_tokenizer, vocabulary
from inference.training.words import BACKGROUNDS, SIZES

BATCH = 96
DRAFT = 32  # side of the draft, in pixels
CELLS = 4  # cells of the draft a side: 16 positions carry one each
STYLE_NAMES = ("3d", "flat", "noto", "blob")
RELATION_NAMES = (None, "beside", "above")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a batch of captions asked for: class numbers (b), and the drafts (b, 16, cell pixels)."""

    classes: dict[str, Tensor]
    drafts: Tensor


class Pupil(nn.Module):
    """The text encoder with the heads that teach it; the heads are thrown away."""

    def __init__(self, encoder: CLIPTextModel, concepts: int) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        sizes = {"first": concepts, "second": concepts + 1, "style": 4, "background": len(BACKGROUNDS)}
        sizes |= {"size": len(SIZES), "relation": len(RELATION_NAMES)}
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in sizes.items()})
        self.draft = nn.Linear(width, 3 * (DRAFT // CELLS) ** 2)

    def forward(self, ids: Tensor, answers: Answers) -> Tensor:
        """The loss for ids (b, 32): classes at the caption's end and in the mean, drafts in the last half."""
        states = self.encoder(input_ids=ids).last_hidden_state
        ends = (ids == self.encoder.config.eos_token_id).int().argmax(dim=1)
        views = (states[torch.arange(len(ids)), ends], states.mean(dim=1))
        loss = ids.new_zeros((), dtype=states.dtype)
        for name, head in self.heads.items():
            weight = 0.4 if name in ("first", "second") else 0.1
            for view in views:
                loss = loss + weight * fn.cross_entropy(head(view), answers.classes[name])
        drafts = self.draft(states[:, -(CELLS**2) :])
        return loss + 8 * fn.mse_loss(drafts, answers.drafts)


def codes(studio: Studio, concepts: Sequence[Concept], width: int) -> Tensor:
    """A vector a concept, (n, width): half what it looks like, half chance, to tell it apart."""
    looks = torch.stack([_look(studio, concept) for concept in concepts])
    _, scales, axes = torch.pca_lowrank(looks, q=min(width, *looks.shape))
    seen = torch.zeros(len(concepts), width)
    projected = (looks - looks.mean(dim=0)) @ axes
    seen[:, : projected.shape[1]] = projected / scales.sqrt()  # the first axes must not drown the others
    chance = torch.randn(len(concepts), width, generator=torch.Generator().manual_seed(16))
    return fn.layer_norm(seen, (width,)) + fn.layer_norm(chance, (width,))


def _look(studio: Studio, concept: Concept) -> Tensor:
    """The mean of a concept's sprites on grey, at 8x8, (192)."""
    rows = [
        studio.sprites.index[concept.key, s] for s in STYLE_NAMES if (concept.key, s) in studio.sprites.index
    ]
    rgba = torch.from_numpy(studio.sprites.pixels[rows]).permute(0, 3, 1, 2).float() / 255
    small = fn.avg_pool2d((rgba[:, :3] - 0.5) * rgba[:, 3:], 16)
    return small.mean(dim=0).flatten()


@torch.no_grad()
def prime(pupil: Pupil, tokenizer: CLIPTokenizer, concepts: Sequence[Concept], vectors: Tensor) -> None:
    """Give every token of a name the mean code of the concepts that it names, in both languages.

    Trained from noise, a word would need dozens of captions to find its thing; primed, "fox" and
    "zorro" start as the same vector, and the transformer has only to pass it on.
    """
    table = pupil.encoder.get_input_embeddings().weight
    sums, counts = torch.zeros_like(table), torch.zeros(len(table), 1)
    for concept, vector in zip(concepts, vectors, strict=True):
        for name in (*concept.names["en"], *concept.names["es"]):
            for text in {name, unaccented(name)}:
                ids = tokenizer(text, add_special_tokens=False).input_ids
                sums[ids] += vector
                counts[ids] += 1
    table += 0.05 * sums / counts.clamp(min=1)
    first = cast("nn.Linear", pupil.heads["first"])
    first.weight += 0.05 * vectors


def cells(drafts: Tensor) -> Tensor:
    """(b, 3, 32, 32) -> (b, 16, 192): the pixels of each of the 4x4 cells, centred on 0."""
    step = DRAFT // CELLS
    return fn.unfold(drafts - 0.5, step, stride=step).transpose(1, 2).contiguous()


def classes(scenes: Sequence[Scene], numbers: dict[str, int]) -> dict[str, Tensor]:
    """The class numbers of each scene, a head each."""
    none = len(numbers)
    rows = {
        "first": [numbers[scene.things[0]] for scene in scenes],
        "second": [numbers[scene.things[1]] if len(scene.things) > 1 else none for scene in scenes],
        "style": [STYLE_NAMES.index(scene.style) for scene in scenes],
        "background": [list(BACKGROUNDS).index(scene.background) for scene in scenes],
        "size": [list(SIZES).index(scene.size) for scene in scenes],
        "relation": [RELATION_NAMES.index(scene.relation) for scene in scenes],
    }
    return {name: torch.tensor(row) for name, row in rows.items()}


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Token ids (b, 32), cut and padded as the pipeline does it."""
    tokens = tokenizer(
        list(texts), padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    )
    ids: Tensor = tokens.input_ids
    return ids


def get_tokenizer(studio: Studio) -> CLIPTokenizer:
    """The run's tokenizer, learned on the whole catalogue's words whatever the scope."""
    folder = studio.folder / "tokenizer"
    if not folder.exists():
        learn_tokenizer(vocabulary([*studio.everything, *studio.concepts])).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def train_text(studio: Studio, budget: Budget, start: CLIPTextModel | None = None) -> CLIPTextModel:
    """Train, or go on training, the text encoder; `start` gives it shipped weights to begin with."""
    torch.manual_seed(12)
    tokenizer = get_tokenizer(studio)
    # Every concept is taught, also those outside the scope: their words then lie near what they look like.
    whole = Studio(studio.folder, "all")
    names: dict[str, Concept] = whole.by_key | studio.by_key
    numbers = {key: number for number, key in enumerate(names)}
    pupil = Pupil(start or new_text_encoder(tokenizer, layers=READING_LAYERS), len(numbers))
    if start is None:
        prime(pupil, tokenizer, list(names.values()), codes(studio, list(names.values()), TEXT_WIDTH))
    pupil.to(device())
    inner = {id(p) for name, p in pupil.encoder.named_parameters() if ".layers." in name and p.ndim == 2}
    matrices = [p for p in pupil.parameters() if id(p) in inner]
    rest = [p for p in pupil.parameters() if id(p) not in inner]
    optimizers = [Muon(matrices, lr=0.01), torch.optim.AdamW(rest, lr=2e-3, betas=(0.9, 0.98))]

    def loss(step: Step) -> Tensor:
        # From 0.5 on: two things in a scene from the first step.
        progress = 0.5 + step.progress / 2
        scenes = [
            training_scene(studio if step.rng.random() < 0.9 else whole, step.rng, progress)
            for _ in range(BATCH)
        ]
        ids = tokenize(tokenizer, [caption(scene, names, step.rng) for scene in scenes])
        drafts = fn.avg_pool2d(draw_all(scenes, studio.sprites), 128 // DRAFT)
        answers = {name: row.to(device()) for name, row in classes(scenes, numbers).items()}
        total: Tensor = pupil(ids.to(device()), Answers(answers, cells(drafts).to(device())))
        return total

    loop = Loop(pupil, optimizers, loss, _checkpoint(studio), budget, Settings(seed=12, warmup=20, ema=0.98))
    loop.run()
    loop.use_average()
    return pupil.encoder.cpu().eval()


def _checkpoint(studio: Studio) -> Path:
    return studio.folder / "text.pt"
