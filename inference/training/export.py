"""The shipped folder: a plain diffusers pipeline in fp16, what the engine must know of it, and checksums."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from inference.models.sticker_upscaler import StickerUpscaler
from inference.training.concepts import STYLES
from inference.training.models import scheduler
from inference.training.studio import CANVASES, SIDE

SHIPPED = Path(__file__).parents[1] / "models" / "builtin"
LIMIT_BYTES = 60 * 2**20
MANIFEST = {
    "name": "builtin",
    "title": "Falopitas stickers",
    "family": "sd",
    "sizes": [list(canvas) for canvas in CANVASES],
    "width": SIDE,
    "height": SIDE,
    "steps": 16,
    "guidance": 1.8,
    "sampler": "dpmpp_2m_karras",
    "styles": list(STYLES),
    "prediction": "v_prediction",
}


@dataclass(frozen=True, slots=True)
class Networks:
    """Everything that is trained and shipped, in fp32; `unet` is None before its training."""

    vae: AutoencoderTiny
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel | None


def export(networks: Networks, folder: Path = SHIPPED) -> None:
    """Write the diffusers folder and the manifest; the card and the upscaler stay as they are."""
    if networks.unet is None:
        raise ValueError("there is no UNet to export")
    for name in ("vae", "tokenizer", "text_encoder", "unet", "scheduler"):
        shutil.rmtree(folder / name, ignore_errors=True)
    pipeline = StableDiffusionPipeline(
        vae=_half(networks.vae),
        text_encoder=_half(networks.text_encoder),
        tokenizer=networks.tokenizer,
        unet=_half(networks.unet),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    _plain_tokenizer(networks.tokenizer, folder / "tokenizer")
    _run_in_float32(folder / "text_encoder" / "config.json")
    for config in folder.glob("*/config.json"):
        _forget_where(config)
    (folder / "falopitas.json").write_text(json.dumps(MANIFEST, indent=2) + "\n")


def export_upscaler(model: StickerUpscaler, width: int, blocks: int, folder: Path = SHIPPED) -> None:
    """Write upscaler/config.json and upscaler/upscaler.safetensors (fp16)."""
    target = folder / "upscaler"
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps({"scale": 4, "width": width, "blocks": blocks}) + "\n")
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, target / "upscaler.safetensors")


def write_checksums(folder: Path = SHIPPED) -> None:
    """Write checksums.json, sha256 of every other file; ValueError when the folder is over its limit."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "checksums.json")
    total = sum(path.stat().st_size for path in files)
    if total > LIMIT_BYTES:
        raise ValueError(f"{folder} holds {total} bytes, more than {LIMIT_BYTES}")
    sums = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    (folder / "checksums.json").write_text(json.dumps(sums, indent=1) + "\n")


def load(folder: Path = SHIPPED) -> Networks:
    """The shipped networks in fp32, to go on training from or to evaluate."""
    return Networks(
        AutoencoderTiny.from_pretrained(folder / "vae", torch_dtype=torch.float32),
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32),
    )


def _run_in_float32(config: Path) -> None:
    # transformers runs a model in the type that its config names, diffusers in float32: they must agree.
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"dtype": "float32"}, indent=2) + "\n")


def _forget_where(config: Path) -> None:
    # diffusers notes the folder that a network was loaded from: a path of the machine it was trained on.
    settings = json.loads(config.read_text())
    if settings.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(settings, indent=2) + "\n")


def _half(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).to(torch.float16)


def _plain_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Add vocab.json, merges.txt and special_tokens_map.json, which older readers look for."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False) + "\n")
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    marks = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    marks |= {"pad_token": tokenizer.pad_token, "unk_token": tokenizer.unk_token}
    (folder / "special_tokens_map.json").write_text(json.dumps(marks, indent=1) + "\n")
