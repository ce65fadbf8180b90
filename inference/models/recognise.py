"""What a safetensors file is, told by the names and shapes in its header alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inference.models import BadModel
from inference.models.files import Tensor
from inference.models.ldm import TEXTS_XL, UNET, VAE

Names = Mapping[str, Tensor]

INPUTS = {9: "an inpainting model", 8: "an InstructPix2Pix model", 5: "a depth model"}


_ONLY_XL = UNET + "label_emb.", "conditioner."
_PARTS = {
    "sd": ((VAE, "autoencoder"), ("cond_stage_model.", "text encoder")),
    "sdxl": (
        (VAE, "autoencoder"), (TEXTS_XL[0], "first text encoder"), (TEXTS_XL[1], "second text encoder"),
        (UNET + "label_emb.", "place for a picture's size"),
    ),
}  # fmt: skip
"""What a checkpoint of each kind must have inside, by how its names begin."""


def _has(*parts: str) -> Callable[[Names], bool]:
    return lambda names: any(part in name for name in names for part in parts)


def _begins(*starts: str) -> Callable[[Names], bool]:
    return lambda names: any(name.startswith(starts) for name in names)


_KINDS: tuple[tuple[str, Callable[[Names], bool]], ...] = (
    ("a LoRA, not a whole model", _has("lora_", ".lora.", "lora_A", "hada_w1", "lokr_w1", "oft_blocks")),
    ("an embedding, not a whole model", _begins("emb_params", "string_to_param", "clip_l", "<")),
    ("a ControlNet, not a whole model", _begins("control_model.", "controlnet_cond", "input_hint_block")),
    ("the SDXL refiner", _begins("conditioner.embedders.0.model.")),
    ("Playground 2.5", _begins("edm_mean")),
    ("CosXL", _begins("edm_vpred.")),
    ("Stable Diffusion 3", _has("joint_blocks.")),
    ("Flux", _has("double_blocks.", "single_transformer_blocks.")),
    ("a diffusion transformer", _has("transformer_blocks.0.attn.to_q", "blocks.0.cross_attn", "x_embedder.")),
    ("Stable Cascade", _begins("down_blocks.0.2.kv_mapper", "clip_txt_mapper")),
    ("Stable Diffusion 2 in one file; use its diffusers folder", _begins("cond_stage_model.model.")),
    ("only a UNet of a diffusers folder", _begins("down_blocks.", "conv_in.")),
    ("only an autoencoder", _begins("encoder.", "decoder.", "quant_conv")),
    ("only a text encoder", _begins("text_model.", "embeddings.")),
    ("an upscaler", _begins("body.", "model.0.", "params.")),
)  # fmt: skip


def require_whole(names: Names, shown: str) -> str:
    """``sd`` or ``sdxl``. Raise BadModel, which says what they are, unless these are the tensors of one whole
    SD1.x or SDXL checkpoint."""
    if not any(name.startswith(UNET + "input_blocks.") for name in names) or _foreign(names):
        found = next((kind for kind, test in _KINDS if test(names)), "not a Stable Diffusion model")
        raise BadModel("model_family", f"{shown}: {found}")
    kind = "sdxl" if any(name.startswith(_ONLY_XL) for name in names) else "sd"
    for start, part in _PARTS[kind]:
        if not any(name.startswith(start) for name in names):
            raise BadModel("model_missing", f"{shown}: has no {part} inside")
    first = names.get(UNET + "input_blocks.0.0.weight")
    if first and len(first.shape) == 4 and first.shape[1] != 4:
        raise BadModel(
            "model_family", f"{shown}: {INPUTS.get(first.shape[1], f'{first.shape[1]} input channels')}"
        )
    return kind


def kind_of_input(channels: int) -> str:
    """What a UNet with so many input channels is."""
    return INPUTS.get(channels, f"a model with {channels} input channels")


def _foreign(names: Names) -> bool:
    marks = (
        "conditioner.embedders.0.model.", "edm_", "cond_stage_model.model.", "control_model.", "lora_",
        "model.diffusion_model.joint_blocks.", "model.diffusion_model.double_blocks.",
    )  # fmt: skip
    return any(name.startswith(marks) for name in names)
