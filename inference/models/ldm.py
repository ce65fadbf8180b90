"""The names that weights have in a single-file checkpoint of Stable Diffusion 1.x or XL.

Such files keep the names of the CompVis "latent-diffusion" code, and SDXL's second text encoder those of
OpenCLIP. Each function here answers, for a name in a module's state, where its tensor lies in the file; so a
load asks for exactly what the module needs.
"""

from __future__ import annotations

import re
from typing import NamedTuple

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."
TEXTS_XL = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
"""SDXL's encoders: CLIP as in SD1.x, and OpenCLIP's."""

_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MID = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
DEPRECATED = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0"))
"""Names of an autoencoder's attention before 2023, and today's."""
_OPEN_CLIP_ENDS = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias",
}  # fmt: skip
_OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}  # fmt: skip
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_THIRDS = ("q_proj", "k_proj", "v_proj")


class Place(NamedTuple):
    """Where a weight lies: the tensor ``name``, or one ``third`` of its rows, or it with its axes ``turned``
    (OpenCLIP keeps queries, keys and values in one tensor, and its projection the other way round)."""

    name: str
    third: int | None = None
    turned: bool = False

    def shape(self, whole: tuple[int, ...]) -> tuple[int, ...]:
        """The weight's shape, if the tensor's is ``whole``."""
        if self.third is not None and whole and whole[0] % 3 == 0:
            return whole[0] // 3, *whole[1:]
        return whole[::-1] if self.turned else whole


def _resnet(tail: str) -> str:
    part, end = tail.rsplit(".", 1)
    return f"{_RESNET[part]}.{end}"


def unet_name(key: str, layers: int, up_attention: tuple[bool, ...]) -> str:
    """Name in the file of ``key`` of a UNet2DConditionModel with ``layers`` per block.

    ``up_attention`` says of each up block whether it attends. Raises KeyError for a key this family has not.
    """
    if found := _BLOCK.fullmatch(key):
        way, block, kind, index, tail = found.groups()
        first = int(block) * (layers + 1)
        if kind == "upsamplers":
            return f"{UNET}output_blocks.{first + layers}.{1 + up_attention[int(block)]}.{tail}"
        if kind == "downsamplers":
            return f"{UNET}input_blocks.{first + 1 + layers}.0.op.{tail.removeprefix('conv.')}"
        at = (
            f"input_blocks.{first + 1 + int(index)}"
            if way == "down"
            else f"output_blocks.{first + int(index)}"
        )
        return f"{UNET}{at}.0.{_resnet(tail)}" if kind == "resnets" else f"{UNET}{at}.1.{tail}"
    if found := _MID.fullmatch(key):
        kind, index, tail = found.groups()
        return f"{UNET}middle_block." + (
            f"{2 * int(index)}.{_resnet(tail)}" if kind == "resnets" else f"1.{tail}"
        )
    part, end = key.rsplit(".", 1)
    return f"{UNET}{_UNET_ENDS[part]}.{end}"


def vae_name(key: str, blocks: int) -> str:
    """Name in the file of ``key`` of an AutoencoderKL with ``blocks`` resolutions."""
    half, _, rest = key.partition(".")
    if found := _BLOCK.fullmatch(rest):
        way, block, kind, index, tail = found.groups()
        at = f"{half}.{way}.{int(block) if way == 'down' else blocks - 1 - int(block)}"
        if kind == "resnets":
            return f"{VAE}{at}.block.{index}.{tail.replace('conv_shortcut', 'nin_shortcut')}"
        return f"{VAE}{at}.{kind.removesuffix('rs')}.{tail}"
    if found := _MID.fullmatch(rest):
        kind, index, tail = found.groups()
        if kind == "resnets":
            return f"{VAE}{half}.mid.block_{int(index) + 1}.{tail}"
        part, end = tail.rsplit(".", 1)
        return f"{VAE}{half}.mid.attn_1.{_VAE_ATTENTION[part]}.{end}"
    return VAE + key.replace("conv_norm_out", "norm_out")


def text_name(key: str, start: str = TEXT) -> str:
    """Name in the file of ``key`` of a CLIPTextModel."""
    return f"{start}text_model.{key}"


def open_clip_place(key: str) -> Place:
    """Place in the file of ``key`` of a CLIPTextModelWithProjection that was OpenCLIP's.

    Raises KeyError for a key it has not.
    """
    if key == "text_projection.weight":
        return Place(f"{TEXTS_XL[1]}text_projection", turned=True)
    inner = key.removeprefix("text_model.")
    if found := _LAYER.fullmatch(inner):
        layer, part, end = found.groups()
        at = f"{TEXTS_XL[1]}transformer.resblocks.{layer}"
        owner, _, last = part.rpartition(".")
        if owner == "self_attn" and last in _THIRDS:
            return Place(f"{at}.attn.in_proj_{end}", third=_THIRDS.index(last))
        return Place(f"{at}.{_OPEN_CLIP_LAYER[part]}.{end}")
    return Place(TEXTS_XL[1] + _OPEN_CLIP_ENDS[inner])


def modern(key: str) -> str:
    """``key`` of a diffusers autoencoder with the attention names of before 2023 made today's."""
    if "attentions" not in key:
        return key
    for old, new in DEPRECATED:
        key = key.replace(f".{old}.", f".{new}.")
    return key
