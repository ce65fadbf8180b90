"""Classifiers a few kilobytes large, as operators bring them: random weights, a head set by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SIDE = 32
SIGHT = {"size": {"height": SIDE, "width": SIDE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
RESNET = {
    "model_type": "resnet", "architectures": ["ResNetForImageClassification"], "num_channels": 3,
    "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic",
    "id2label": {"0": "normal", "1": "nsfw"}, "label2id": {"normal": 0, "nsfw": 1},
}  # fmt: skip


def _save(folder: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(SIGHT), "utf-8")
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    return folder


def resnet(seed: int = 0) -> Any:
    """A tiny image classifier of transformers with random weights."""
    from transformers import AutoConfig, AutoModelForImageClassification

    torch.manual_seed(seed)
    rest = {name: value for name, value in RESNET.items() if name != "model_type"}
    return AutoModelForImageClassification.from_config(AutoConfig.for_model("resnet", **rest)).eval()


def between(folder: Path, safe: torch.Tensor, unsafe: torch.Tensor, **config: Any) -> Path:
    """A folder whose classifier says 5 % of ``safe`` and 95 % of ``unsafe``, pixels uint8 (h, w, 3): its head
    is the line between their features."""
    from inference.safety import Sight

    model = resnet()
    sight = Sight((SIDE, SIDE), (0.5,) * 3, (0.5,) * 3)
    with torch.no_grad():
        low, high = (
            model.resnet(sight.of(each, torch.device("cpu"))).pooler_output.flatten()
            for each in (safe, unsafe)
        )
        way = (high - low) / (high - low).square().sum()
        head = model.classifier[-1]
        head.weight.zero_()
        head.bias.zero_()
        head.weight[1] = 5.888 * way  # ±2.944: the logit of 95 %
        head.bias[1] = -5.888 * float(way @ (low + high) / 2)
    return _save(folder, RESNET | config, model.state_dict())


def concepts(folder: Path, threshold: float) -> Path:
    """Stable Diffusion's checker with random weights: a picture is unsafe where its concepts are nearer than
    ``threshold``."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    torch.manual_seed(3)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=small | {"vocab_size": 8, "max_position_embeddings": 8, "projection_dim": 8},
        vision_config=small | {"image_size": SIDE, "patch_size": 8, "projection_dim": 8}, projection_dim=8,
    )  # fmt: skip
    model = StableDiffusionSafetyChecker(config)
    weights = model.state_dict()
    weights["concept_embeds"] = torch.randn(17, 8)
    weights["special_care_embeds"] = torch.randn(3, 8)
    weights["concept_embeds_weights"] = torch.full((17,), threshold)
    weights["special_care_embeds_weights"] = torch.ones(3)
    found = config.to_dict() | {"architectures": ["StableDiffusionSafetyChecker"]}
    return _save(folder, found, weights)


def flat(*colour: int) -> torch.Tensor:
    """A picture of one colour: uint8 (48, 64, 3)."""
    return torch.tensor(colour, dtype=torch.uint8).expand(48, 64, 3).clone()
