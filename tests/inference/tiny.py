"""Stable Diffusions with random weights, a few megabytes each, for tests of the loader and the engine."""

from __future__ import annotations

import json
import random
import string
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from inference.models import ldm

CHANNELS, FACTOR, DIM, WINDOW = 4, 4, 32, 16
"""Latent channels, pixels a latent cell, conditioning width, tokens a chunk of the tiny models."""
WORDS = [
    "red", "fox", "cat", "dog", "robot", "pizza", "blue", "green", "background", "sticker", "flat", "zorro",
    "rojo", "gato", "sobre", "fondo", "azul", "on", "a", "the", "an", "at", "un", "una", "berry", "blueberry",
    "photo",
]  # fmt: skip
"""Words that the tiny tokenizer knows whole."""


def _alphabet() -> list[str]:
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [n for n in range(256) if n not in shown]
    return [chr(n) for n in shown] + [chr(256 + i) for i in range(len(hidden))]


@cache
def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE of CLIP's kind that knows ``WORDS`` whole and everything else letter by letter."""
    letters = _alphabet()
    tokens = [*letters, *(c + "</w>" for c in letters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
                tokens.append("".join(pair))
            parts = ["".join(pair), *parts[2:]]
    unique = list(dict.fromkeys(tokens))
    unique += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(unique)}, merges


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), "utf-8")


def write_tokenizer(folder: Path, window: int = WINDOW, pad: str = "<|endoftext|>") -> None:
    """CLIP tokenizer files: vocab.json, merges.txt and their configuration."""
    vocab, merges = vocabulary()
    _write(folder / "vocab.json", dict(vocab))
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": pad}
    _write(folder / "special_tokens_map.json", {**special, "unk_token": "<|endoftext|>"})
    tokenizer = {"tokenizer_class": "CLIPTokenizer", "model_max_length": window, **special}
    _write(folder / "tokenizer_config.json", {**tokenizer, "unk_token": "<|endoftext|>"})


def scheduler_config(prediction: str = "epsilon") -> dict[str, Any]:
    """SD1.x's scheduler configuration."""
    return {
        "_class_name": "PNDMScheduler", "_diffusers_version": "0.42.1", "beta_start": 0.00085,
        "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
        "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
        "clip_sample": False, "prediction_type": prediction,
    }  # fmt: skip


def modules(kind: str = "tiny", seed: int = 0, told: int | None = None) -> dict[str, torch.nn.Module]:
    """UNet, autoencoder (``kind`` tiny or kl) and text encoder with seeded random weights.

    ``told``: width of the guidance that a distilled UNet is told.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    vocab, _ = vocabulary()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8, in_channels=CHANNELS, out_channels=CHANNELS, block_out_channels=(32, 64),
            layers_per_block=1, cross_attention_dim=DIM, attention_head_dim=8, norm_num_groups=8,
            time_cond_proj_dim=told,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )  # fmt: skip
        vae = (
            AutoencoderTiny(
                latent_channels=CHANNELS, encoder_block_out_channels=(16, 16, 16),
                decoder_block_out_channels=(16, 16, 16), num_encoder_blocks=(1, 1, 1),
                num_decoder_blocks=(1, 1, 1),
            )
            if kind == "tiny"
            else AutoencoderKL(
                latent_channels=CHANNELS, block_out_channels=(16, 16, 32), norm_num_groups=8,
                layers_per_block=1,
                down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
                sample_size=32,
            )
        )  # fmt: skip
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocab), hidden_size=DIM, intermediate_size=64, num_hidden_layers=2,
                num_attention_heads=4, max_position_embeddings=WINDOW, projection_dim=DIM,
                bos_token_id=len(vocab) - 2, eos_token_id=len(vocab) - 1, pad_token_id=len(vocab) - 1,
            )
        )  # fmt: skip
        _liven(text)
    return {name: part.train(False) for name, part in (("unet", unet), ("vae", vae), ("text_encoder", text))}


XL_DIM = 48
"""Conditioning width of the second encoder of the tiny SDXL."""


def modules_xl(seed: int = 0, told: int | None = None, kind: str = "tiny") -> dict[str, torch.nn.Module]:
    """UNet, autoencoder and two text encoders of an SDXL with seeded random weights."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModelWithProjection

    vocab, _ = vocabulary()
    made = modules(kind, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        made["unet"] = UNet2DConditionModel(
            sample_size=8, in_channels=CHANNELS, out_channels=CHANNELS, block_out_channels=(32, 64),
            layers_per_block=1, cross_attention_dim=DIM + XL_DIM, attention_head_dim=(4, 8),
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2),
            use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=XL_DIM + 6 * 8, time_cond_proj_dim=told,
        ).train(False)  # fmt: skip
        text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(vocab), hidden_size=XL_DIM, intermediate_size=64, num_hidden_layers=3,
                num_attention_heads=4, max_position_embeddings=WINDOW, projection_dim=XL_DIM,
                hidden_act="gelu", bos_token_id=len(vocab) - 2, eos_token_id=len(vocab) - 1, pad_token_id=0,
            )
        )  # fmt: skip
        _liven(text)
    return made | {"text_encoder_2": text.train(False)}


def folder_xl(at: Path, *, seed: int = 0, told: int | None = None, kind: str = "tiny") -> Path:
    """A whole diffusers folder of a tiny SDXL in ``at``."""
    at.mkdir(parents=True, exist_ok=True)
    autoencoder = "AutoencoderTiny" if kind == "tiny" else "AutoencoderKL"
    for name, module in modules_xl(seed, told, kind).items():
        module.save_pretrained(at / name)  # type: ignore[operator]
    write_tokenizer(at / "tokenizer")
    write_tokenizer(at / "tokenizer_2", pad="!")
    _write(at / "scheduler" / "scheduler_config.json", scheduler_config())
    _write(at / "model_index.json", {
        "_class_name": "StableDiffusionXLPipeline", "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None], "image_encoder": [None, None],
        "force_zeros_for_empty_prompt": True,
        "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", autoencoder],
    })  # fmt: skip
    return at


def _liven(text: torch.nn.Module) -> None:
    """Trained encoders have biased final norms and unequal embeddings; freshly made ones have not."""
    for name, parameter in text.named_parameters():
        if "norm" in name:
            parameter.data += 0.3 * torch.randn_like(parameter) + (0.1 if name.endswith("bias") else 0.0)
        elif "embedding" in name:
            parameter.data = torch.randn_like(parameter)


def folder(
    at: Path, *, kind: str = "tiny", prediction: str = "epsilon", seed: int = 0, told: int | None = None
) -> Path:
    """A whole diffusers folder of a tiny model in ``at``, written as diffusers and transformers write it."""
    at.mkdir(parents=True, exist_ok=True)
    made = modules(kind, seed, told)
    for name, module in made.items():
        module.save_pretrained(at / name)  # type: ignore[operator]
    write_tokenizer(at / "tokenizer")
    _write(at / "scheduler" / "scheduler_config.json", scheduler_config(prediction))
    autoencoder = "AutoencoderTiny" if kind == "tiny" else "AutoencoderKL"
    _write(at / "model_index.json", {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None], "image_encoder": [None, None], "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", autoencoder],
    })  # fmt: skip
    return at


def single_file(at: Path, *, seed: int = 0, dtype: torch.dtype = torch.float16) -> Path:
    """The same weights as ``folder(kind="kl", seed=seed)`` in one file with CompVis' names."""
    made = modules("kl", seed)
    tensors = _drawing(made, (False, True))
    tensors |= {ldm.text_name(k): v for k, v in made["text_encoder"].state_dict().items()}
    save_file({k: v.to(dtype).contiguous() for k, v in tensors.items()}, at, metadata={"format": "pt"})
    return at


def single_file_xl(at: Path, *, seed: int = 0, dtype: torch.dtype = torch.float16) -> Path:
    """The same weights as ``folder_xl(kind="kl", seed=seed)`` in one file, written as SDXL's authors did: the
    second encoder as OpenCLIP has it."""
    made = modules_xl(seed, kind="kl")
    tensors = _drawing(made, (True, False))
    first, second = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
    tensors |= {ldm.text_name(k, first): v for k, v in made["text_encoder"].state_dict().items()}
    tensors |= {second + name: v for name, v in open_clip(made["text_encoder_2"].state_dict()).items()}
    tensors[second + "logit_scale"] = torch.tensor(4.6)
    save_file({k: v.to(dtype).contiguous() for k, v in tensors.items()}, at, metadata={"format": "pt"})
    return at


def open_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a CLIPTextModelWithProjection as open_clip's text transformer names and lays them."""
    state = {key.removeprefix("text_model."): value for key, value in state.items()}
    found = {
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T,
    }
    for layer in range(1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.layers."))):
        here, there = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for end in ("weight", "bias"):
            three = [state[f"{here}self_attn.{one}_proj.{end}"] for one in "qkv"]
            found[f"{there}attn.in_proj_{end}"] = torch.cat(three)
            for ours, theirs in (
                ("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
            ):  # fmt: skip
                found[f"{there}{theirs}.{end}"] = state[f"{here}{ours}.{end}"]
    return found


def _drawing(made: dict[str, torch.nn.Module], attends: tuple[bool, ...]) -> dict[str, torch.Tensor]:
    """UNet and autoencoder by their names in one file."""
    tensors = {ldm.unet_name(k, 1, attends): v for k, v in made["unet"].state_dict().items()}
    for key, value in made["vae"].state_dict().items():
        convolution = "mid_block.attentions" in key and value.ndim == 2
        tensors[ldm.vae_name(key, 3)] = value[:, :, None, None] if convolution else value
    return tensors


def prompt(rng: random.Random, words: int) -> str:
    """A prompt of ``words`` words, some known and some not, with commas."""
    strange = "".join(rng.choices(string.ascii_lowercase, k=6))
    return " ".join(rng.choice([*WORDS, strange]) + rng.choice(["", "", ","]) for _ in range(words))
