"""What a ModelSpec's source holds, found out from small files and headers alone: no tensors, no diffusers."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.models import BUILTIN, BadModel
from inference.models.files import CODE, Folder, Header, check_sums, header, printable, refuse_pickle
from inference.models.recognise import kind_of_input, require_whole
from inference.request import ModelSpec

SD15 = Path(__file__).parent / "configs" / "sd15"
"""Configuration and tokenizer of SD1.x, for single files, which bring neither."""
SDXL = SD15.parent / "sdxl"
"""SDXL's configuration; the words of both its tokenizers are those of SD1.x."""
PIPELINES = {
    **dict.fromkeys((
        "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "LatentConsistencyModelPipeline",
        "LatentConsistencyModelImg2ImgPipeline",
    ), "sd"),
    **dict.fromkeys(("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"), "sdxl"),
}  # fmt: skip
"""Pipelines of model_index.json whose modules are ours to run, and the kind of Stable Diffusion they make."""
_TOKENIZERS = frozenset(
    {"CLIPTokenizer", "CLIPTokenizerFast", "TokenizersBackend", "PreTrainedTokenizerFast"}
)
CLASSES = {
    "unet": frozenset({"UNet2DConditionModel"}),
    "vae": frozenset({"AutoencoderKL", "AutoencoderTiny"}),
    "text_encoder": frozenset({"CLIPTextModel"}),
    "text_encoder_2": frozenset({"CLIPTextModelWithProjection"}),
    "tokenizer": _TOKENIZERS,
    "tokenizer_2": _TOKENIZERS,
}
"""The only classes a part may have; a name is compared, never imported."""
LIBRARIES = frozenset({None, "diffusers", "transformers", "stable_diffusion"})
STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
"""Part → name of its weights; also the order in which parts are looked at."""
SECOND = {"text_encoder_2": "model"}
"""What SDXL has besides."""
FOREIGN = {
    "addition_embed_type": "text", "class_embed_type": None, "encoder_hid_dim": None,
    "encoder_hid_dim_type": None, "num_class_embeds": None,
}  # fmt: skip
"""Settings of a UNet that may ask for an input which SD1.x has not, with the one value that does not."""
ADDED = "text_time"
"""SDXL's ``addition_embed_type``: the second encoder's pooled text, and the picture's size."""
SIZES = 6
"""Numbers that tell SDXL a picture's size: as it was, its crop, as it shall be (two each)."""
HUB = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([0-9a-f]{40}))?")
_DEEP = re.compile(r"layers|blocks|depth")


@dataclass(frozen=True, slots=True)
class Plan:
    """A verified source: configurations by part, headers by part, and where the small files lie."""

    folder: Folder
    configs: Mapping[str, Mapping[str, Any]]
    headers: Mapping[str, tuple[Header, ...]]
    single: bool
    """One file with CompVis' names: every part has the same header."""
    fingerprint: str
    words: Folder | None = None
    """Where the vocabulary of every tokenizer lies, if not beside its settings."""
    kind: str = "sd"
    """``sd`` or ``sdxl``."""
    zeros: bool = False
    """An empty prompt's conditioning is nothing (SDXL's ``force_zeros_for_empty_prompt``)."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts with weights."""
        return tuple(stems(self.kind))

    @property
    def values(self) -> int:
        """Numbers in all weights."""
        once = {h.path: h for headers in self.headers.values() for h in headers}
        return sum(t.values for h in once.values() for t in h.tensors.values())


def examine(spec: ModelSpec, *, download: bool = False) -> Plan:
    """Find and verify what ``spec.source`` names. Raises BadModel. Quick: a few milliseconds a file."""
    source = spec.source
    if source == "builtin":
        folder = Folder(BUILTIN)
        folder.file("checksums.json")
        return from_folder(folder, inspected=True)
    path = Path(os.path.expandvars(source)).expanduser()
    if path.is_dir():
        return from_folder(Folder(path))
    if path.is_file():
        return from_file(path)
    if path.exists():
        raise BadModel("model_missing", f"{printable(path.name)}: neither a file nor a folder")
    if (found := HUB.fullmatch(source)) and path.suffix.lower() != ".safetensors":
        from inference.models.hub import snapshot

        return from_folder(snapshot(found[1], found[2], download=download))
    raise BadModel("model_missing", printable(path.name or source))


FROM_NOISE = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
"""Scheduler settings of a file marked ``ztsnr``: it learnt from pure noise on, so the first step is there
(Lin et al. 2023, arXiv 2305.08891, sections 3.1 and 3.3)."""


def stems(kind: str) -> dict[str, str]:
    """Part → name of its weights, for one kind of Stable Diffusion."""
    return STEMS | SECOND if kind == "sdxl" else STEMS


def from_folder(folder: Folder, *, inspected: bool = False) -> Plan:
    """The plan of a diffusers folder."""
    if folder.has("checksums.json"):
        check_sums(folder)
    if not inspected:
        folder.inspect()
    index = _index(folder)
    kind = PIPELINES[index["_class_name"]]
    configs = from_folder_configs(folder, kind)
    headers = {
        part: tuple(header(path, f"{part}/{path.name}") for path in folder.weights(part, stem))
        for part, stem in stems(kind).items()
    }
    zeros = kind == "sdxl" and index.get("force_zeros_for_empty_prompt", True) is not False
    return _plan(folder, configs, headers, single=False, kind=kind, zeros=zeros)


def from_folder_configs(folder: Folder, kind: str = "sd") -> dict[str, dict[str, Any]]:
    """The verified configurations of a diffusers folder, by part."""
    configs = {part: _config(folder, part, f"{part}/config.json") for part in stems(kind)}
    return configs | {"scheduler": folder.json("scheduler/scheduler_config.json")}


def from_file(path: Path) -> Plan:
    """The plan of one ``.safetensors`` file of SD1.x or SDXL; configuration and tokenizer are ours."""
    shown = printable(path.name)
    refuse_pickle(path, shown)
    if path.suffix.lower() in CODE:
        raise BadModel("model_remote_code", shown)
    found = header(path, shown)
    kind = require_whole(found.tensors, shown)
    folder = Folder(SDXL if kind == "sdxl" else SD15)
    configs = from_folder_configs(folder, kind)
    if "v_pred" in found.tensors:
        configs["scheduler"]["prediction_type"] = "v_prediction"
        if "ztsnr" in found.tensors:
            configs["scheduler"] |= FROM_NOISE
    headers: dict[str, tuple[Header, ...]] = dict.fromkeys(stems(kind), (found,))
    return _plan(folder, configs, headers, single=True, kind=kind, zeros=kind == "sdxl", words=Folder(SD15))


def _plan(
    folder: Folder,
    configs: dict[str, dict[str, Any]],
    headers: dict[str, tuple[Header, ...]],
    *,
    single: bool,
    kind: str = "sd",
    zeros: bool = False,
    words: Folder | None = None,
) -> Plan:
    _check_fit(configs, kind)
    digest = hashlib.sha256()
    for part in stems(kind):
        digest.update(repr(sorted(configs[part].items())).encode())
        for one in headers[part]:
            digest.update(one.digest.encode())
    return Plan(folder, configs, headers, single, digest.hexdigest()[:16], words, kind, zeros)


def _index(folder: Folder) -> dict[str, Any]:
    """The verified model_index.json."""
    if not folder.has("model_index.json"):
        lora = ("adapter_config.json", "pytorch_lora_weights.safetensors", "adapter_model.safetensors")
        if any(folder.has(name) for name in lora):
            raise BadModel("model_family", "a LoRA, not a whole model")
        _refuse_pickled_folder(folder)
    index = folder.json("model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise BadModel("model_remote_code", "model_index.json: _class_name")
    if pipeline not in PIPELINES:
        raise BadModel("model_family", printable(pipeline))
    for part, value in index.items():
        if isinstance(value, list) and not part.startswith("_"):
            _check_class(part, value)
    two = ("text_encoder_2", "tokenizer_2") if PIPELINES[pipeline] == "sdxl" else ()
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler", *two):
        if not isinstance(index.get(part), list) or index[part][1] is None:
            raise BadModel("model_missing", f"model_index.json: no {part}")
    return index


def _refuse_pickled_folder(folder: Folder) -> None:
    for path in sorted(folder.root.glob("*")):
        if path.is_file():
            refuse_pickle(path, printable(path.name))


def _check_class(part: str, value: list[Any]) -> None:
    """``value`` is [library, class] of a part: the library must be a known one, the class the family's."""
    plain = len(value) == 2 and all(v is None or isinstance(v, str) for v in value)
    if not plain or value[0] not in LIBRARIES:
        raise BadModel("model_remote_code", f"model_index.json: {printable(part)}")
    if part in CLASSES and value[1] is not None and value[1] not in CLASSES[part]:
        raise BadModel("model_family", f"{part} is {printable(value[1])}")


def _config(folder: Folder, part: str, name: str) -> dict[str, Any]:
    config = folder.json(name)
    named = config.get("architectures" if part.startswith("text_encoder") else "_class_name")
    named = named[0] if isinstance(named, list) and named else named
    if named is not None and named not in CLASSES[part]:
        raise BadModel("model_family", f"{part} is {printable(str(named))}")
    _check_bounds(config, name)
    return config


def _check_bounds(config: Mapping[str, Any], name: str) -> None:
    """Numbers small enough that building an empty module of this configuration ends, and ends soon."""
    for key, value in config.items():
        many = value if isinstance(value, list) else [value]
        flat = [x for v in many for x in (v if isinstance(v, list) else [v])]
        limit = 64 if _DEEP.search(key) else 2**20
        numbers = [x for x in flat if isinstance(x, int | float)]
        if len(many) > 16 or len(flat) > 64 or any(not math.isfinite(x) or abs(x) > limit for x in numbers):
            raise BadModel("model_corrupt", f"{name}: {printable(key)}")


def _check_fit(configs: Mapping[str, Mapping[str, Any]], kind: str) -> None:
    """The parts fit each other, and the UNet asks for nothing but x, t and text (SDXL: and sizes)."""
    unet, vae, text = (configs[part] for part in STEMS)
    foreign = FOREIGN | ({"addition_embed_type": ADDED} if kind == "sdxl" else {})
    for key, allowed in foreign.items():
        if unet.get(key) not in {None, allowed}:
            raise BadModel("model_family", f"unet/config.json: {key} is {printable(str(unet[key]))}")
    channels, latent = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if channels != latent:
        raise BadModel("model_family", kind_of_input(int(channels)))
    if unet.get("out_channels", 4) != latent:
        raise BadModel("model_corrupt", "unet/config.json: out_channels")
    width = _number(text, "hidden_size", 512)
    if kind == "sdxl":
        second = configs["text_encoder_2"]
        pooled, width = _number(second, "projection_dim", 512), width + _number(second, "hidden_size", 512)
        added = pooled + SIZES * _number(unet, "addition_time_embed_dim", 256)
        if unet.get("projection_class_embeddings_input_dim") != added or pooled > width:
            raise BadModel("model_corrupt", "unet/config.json: projection_class_embeddings_input_dim")
    if (
        unet.get("time_cond_proj_dim") is not None
        and not 4 <= _number(unet, "time_cond_proj_dim", 0) <= width
    ):
        raise BadModel("model_corrupt", "unet/config.json: time_cond_proj_dim")
    if unet.get("cross_attention_dim", 1280) != width:
        raise BadModel("model_corrupt", "unet/config.json: cross_attention_dim is not the text encoder's")


def _number(config: Mapping[str, Any], key: str, usual: int) -> int:
    value = config.get(key, usual)
    if type(value) is not int:
        raise BadModel("model_corrupt", f"config.json: {key}")
    return value
