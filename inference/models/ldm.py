"""The names that weights have in a single-file checkpoint of the SD1.x family.

Such files keep the names of the CompVis "latent-diffusion" code. Each function here answers, for a name in a
diffusers module's state, where its tensor lies in the file; so a load asks for exactly what the module needs.
"""

from __future__ import annotations

import re

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."

_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
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


def text_name(key: str) -> str:
    """Name in the file of ``key`` of a CLIPTextModel."""
    return f"{TEXT}text_model.{key}"


def modern(key: str) -> str:
    """``key`` of a diffusers autoencoder with the attention names of before 2023 made today's."""
    if "attentions" not in key:
        return key
    for old, new in DEPRECATED:
        key = key.replace(f".{old}.", f".{new}.")
    return key
