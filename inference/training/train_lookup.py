"""The third stage: further layers of the text encoder, which look up what a caption's picture is like.

They work position by position, with their attention at zero: the first layers have already gathered
the caption where it ends. So their states there are computed once, and a batch costs as little as a
multilayer perceptron's. What they say is the picture's Code.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as fn
from transformers import CLIPTextModel, CLIPTokenizer

from inference.training.autoencoder import fast_encode
from inference.training.captions import caption
from inference.training.code import Code
from inference.training.loop import Budget, Loop, Settings, Step
from inference.training.machine import device, quick
from inference.training.models import LOOKUP_LAYERS, new_text_encoder
from inference.training.muon import Muon
from inference.training.scenes import draw_all
from inference.training.studio import Studio, training_scene
from inference.training.train_text import tokenize

CAPTIONS = 60_000
BATCH = 1024
EMPTY = 32  # of a batch besides: the empty caption
RATE = 0.01
_CHUNK = 256


class Lookup(nn.Module):
    """The position-wise halves of CLIP's layers, and the norm after them: (n, 256) -> (n, 256)."""

    def __init__(self, width: int, inner: int, layers: int = LOOKUP_LAYERS) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.ins = nn.ModuleList(nn.Linear(width, inner) for _ in range(layers))
        self.outs = nn.ModuleList(nn.Linear(inner, width) for _ in range(layers))
        self.final = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """From the first layers' stream to the states that the UNet sees."""
        for norm, first, second in zip(self.norms, self.ins, self.outs, strict=True):
            hidden = first(norm(x))
            x = x + second(hidden * torch.sigmoid(1.702 * hidden))  # CLIP's quick GELU
        said: Tensor = self.final(x)
        return said


@dataclass(frozen=True, slots=True)
class Lessons:
    """`streams` (n, 3, 256), at a caption's end, at any place after it and at the last; `codes` (n, 256)."""

    streams: Tensor
    codes: Tensor
    empty: Tensor


@torch.no_grad()
def streams(encoder: CLIPTextModel, ids: Tensor, rng: random.Random) -> Tensor:
    """What the first layers hand on for ids (n, 32), at three places of each caption: (n, 3, 256)."""
    last = ids.shape[1] - 1
    ends = (ids == encoder.config.eos_token_id).int().argmax(dim=1)
    later = torch.tensor([rng.randint(end, last) for end in ends.tolist()])
    places = torch.stack([ends, later, torch.full_like(ends, last)], dim=1)
    encoder.to(device())
    with quick():
        whole = encoder(input_ids=ids.to(device()), output_hidden_states=True).hidden_states[-1]
    kept: Tensor = whole.cpu()[torch.arange(len(ids))[:, None], places].half()
    return kept


@torch.no_grad()
def prepare(
    studio: Studio, vae: AutoencoderTiny, encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> tuple[Lessons, Code]:
    """Captions by the ten thousand, what the first layers make of them, and the codes of their pictures."""
    rng = random.Random(18)
    kept, latents = [], []
    vae.to(device())
    for _ in range(0, CAPTIONS, _CHUNK):
        scenes = [training_scene(studio, rng, 1.0) for _ in range(_CHUNK)]
        texts = [caption(scene, studio.by_key, rng) for scene in scenes]
        kept.append(streams(encoder, tokenize(tokenizer, texts), rng))
        latents.append(fast_encode(vae, draw_all(scenes, studio.sprites).to(device())).half().cpu())
    vae.cpu()
    every = torch.cat(latents)
    path = studio.folder / "code.pt"
    if not path.exists():
        Code.of(every[:10_000]).save(path)
    code = Code.load(path)
    codes = torch.cat([code.encode(part).half() for part in torch.split(every, 8192)])
    empty = streams(encoder, tokenize(tokenizer, [""]), rng)[0, :1]
    return Lessons(torch.cat(kept), codes, empty), code


def train_lookup(
    studio: Studio,
    vae: AutoencoderTiny,
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    budget: Budget,
) -> CLIPTextModel:
    """Train, or go on training, the lookup; returns the whole text encoder."""
    torch.manual_seed(18)
    lessons, code = prepare(studio, vae, encoder, tokenizer)
    lookup = Lookup(encoder.config.hidden_size, encoder.config.intermediate_size).to(device())
    matrices = [p for p in lookup.parameters() if p.ndim == 2]
    rest = [p for p in lookup.parameters() if p.ndim < 2]
    optimizers = [Muon(matrices, lr=RATE), torch.optim.AdamW(rest, lr=2e-3)]
    nothing = code.nothing().expand(EMPTY, -1)

    def loss(step: Step) -> Tensor:
        rows = torch.randint(len(lessons.codes), (BATCH,), generator=step.generator)
        places = torch.randint(3, (BATCH,), generator=step.generator)
        x = torch.cat([lessons.streams[rows, places], lessons.empty.expand(EMPTY, -1)])
        wanted = torch.cat([lessons.codes[rows].float(), nothing])
        return fn.mse_loss(lookup(x.float().to(device())), wanted.to(device()))

    settings = Settings(seed=18, warmup=30, decay=0.6, ema=0.99)
    loop = Loop(lookup, optimizers, loss, studio.folder / "lookup.pt", budget, settings)
    loop.run()
    loop.use_average()
    return joined(encoder.cpu(), lookup.cpu(), tokenizer)


@torch.no_grad()
def joined(encoder: CLIPTextModel, lookup: Lookup, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """One text encoder that does what `encoder` and then `lookup` do, at every position."""
    old = encoder.config
    layers = old.num_hidden_layers + len(lookup.norms)
    whole = new_text_encoder(tokenizer, old.hidden_size, layers)
    whole.load_state_dict(encoder.state_dict(), strict=False)
    parts = zip(lookup.norms, lookup.ins, lookup.outs, strict=True)
    for layer, (norm, first, second) in zip(
        whole.encoder.layers[old.num_hidden_layers :], parts, strict=True
    ):
        layer.self_attn.out_proj.weight.zero_()
        layer.self_attn.out_proj.bias.zero_()
        layer.layer_norm2.load_state_dict(norm.state_dict())
        layer.mlp.fc1.load_state_dict(first.state_dict())
        layer.mlp.fc2.load_state_dict(second.state_dict())
    whole.final_layer_norm.load_state_dict(lookup.final.state_dict())
    return whole.eval()
