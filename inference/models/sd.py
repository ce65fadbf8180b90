"""The SD1.x family: UNet2DConditionModel, AutoencoderKL or AutoencoderTiny, CLIPTextModel.

Modules of diffusers and transformers under our own loop, never their pipelines. They are built empty on the
``meta`` device and given verified tensors, so that no library reads, downloads or imports anything for us.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from inference.device import to_host
from inference.models import BadModel, Denoiser, ldm
from inference.models.files import FLOATS, Header, printable, tensors
from inference.models.ldm import Place
from inference.models.plan import Plan, examine
from inference.models.tokens import load_tokenizer
from inference.prompts import TextEncoder
from inference.request import ModelSpec

RGB = (
    (0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473),
)  # fmt: skip
"""SD1.x latents → RGB in [-1, 1] (huggingface forum, "Decoding latents to RGB without upscaling", 23204)."""
SPARE = 1.15
"""Memory wanted for each byte of weights: they, and room to work."""
_IGNORED = ("position_ids", "text_projection", "logit_scale")
_BUILD_ERRORS = (
    TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, AssertionError,
    ArithmeticError, ImportError,
)  # fmt: skip
"""What diffusers raises when a configuration makes no sense."""

State = dict[str, torch.Tensor]


class StableDiffusion:
    """A loaded SD1.x: see :class:`inference.models.Denoiser`."""

    def __init__(
        self, spec: ModelSpec, plan: Plan, parts: Mapping[str, torch.nn.Module], text: TextEncoder
    ) -> None:
        self.name = spec.name
        self.fingerprint = plan.fingerprint
        scheduler = dict(plan.configs["scheduler"])
        self.prediction = spec.prediction or str(scheduler.get("prediction_type", "epsilon"))
        self.scheduler_config: Mapping[str, object] = scheduler | {"prediction_type": self.prediction}
        self._unet, self._vae = parts["unet"], parts["vae"]
        self._vae_lock = threading.RLock()  # it may be made float32 while pictures are encoded
        self._text = text
        config = cast("Any", self._vae).config
        self.latent_channels = int(config.latent_channels)
        self.factor = 2 ** (len(_widths(config)) - 1)
        self._scaling = float(config.scaling_factor)
        self._shift = float(getattr(config, "shift_factor", None) or 0.0)
        self._told = int(plan.configs["unet"].get("time_cond_proj_dim") or 0)
        """Width of the guidance that the UNet is told; 0: none."""
        weights = [*(p for part in parts.values() for p in part.parameters())]
        self.megabytes = sum(p.nbytes for p in weights) / 1e6

    @property
    def device(self) -> torch.device:
        """Where ``denoise`` runs."""
        return next(self._unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What ``denoise`` computes in."""
        return next(self._unet.parameters()).dtype

    def cast(self, dtype: torch.dtype) -> StableDiffusion:
        """The same model with a copy of its UNet in ``dtype``; all else is shared."""
        twin = copy.copy(self)
        twin._unet = torch.nn.Module.to(copy.deepcopy(self._unet), dtype)  # diffusers' own ``to`` logs
        return twin

    def chunks(self, prompt: str) -> int:
        """Chunks of tokens this prompt needs."""
        return self._text.count(prompt)

    def encode(self, prompts: Sequence[str], chunks: int = 1) -> tuple[torch.Tensor, ...]:
        """One tensor (k * window, dim) a prompt; a distilled model's has one more token, for ``guide``."""
        return tuple(self._with_place(self._text.encode(prompt, chunks, self.dtype)) for prompt in prompts)

    def _with_place(self, cond: torch.Tensor) -> torch.Tensor:
        return torch.cat([cond, torch.zeros_like(cond[:1])]) if self._told else cond

    @property
    def distilled(self) -> bool:
        """Whether the guidance is an input of its UNet."""
        return self._told > 0

    def guide(self, cond: torch.Tensor, guidance: float) -> torch.Tensor:
        """``cond`` with the guidance in its last token, as the UNet was told it when it was distilled."""
        if not self._told:
            return cond
        guided = cond.clone()
        guided[-1, : self._told] = told(guidance, self._told).to(cond)
        return guided

    @torch.inference_mode()
    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """Prediction (rows, c, h, w) float32."""
        return self._predict(x, t, cond, {})

    def _predict(
        self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor, more: dict[str, Any]
    ) -> torch.Tensor:
        if self._told:
            more["timestep_cond"], cond = cond[:, -1, : self._told], cond[:, :-1]
        found: torch.Tensor = self._unet(
            x.to(self.dtype), t, encoder_hidden_states=cond, return_dict=False, **more
        )[0]
        return found.float()

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (n, h * factor, w * factor, 3) on the CPU, each decoded by itself."""
        with self._vae_lock:
            return torch.cat([self._decoded(latent[None]) for latent in latents])

    @torch.inference_mode()
    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents float32 (n, c, h, w): the mode of what the autoencoder says."""
        with self._vae_lock:
            return torch.cat([self._encoded(one[None]) for one in pixels])

    @torch.inference_mode()
    def preview(self, latents: torch.Tensor) -> torch.Tensor:
        """Pixels uint8: SD1.x's latents by a linear map (n, h, w, 3), others through their decoder."""
        if self.latent_channels != len(RGB) or abs(self._scaling - 0.18215) > 1e-3:
            return self.decode(latents)
        colours = torch.einsum("nchw,cr->nhwr", latents.float(), torch.tensor(RGB, device=latents.device))
        return pixels_of(colours)

    def _decoded(self, latent: torch.Tensor) -> torch.Tensor:
        weights = next(self._vae.parameters())
        given = (latent / self._scaling + self._shift).to(weights.device, weights.dtype)
        image: torch.Tensor = cast("Any", self._vae).decode(given, return_dict=False)[0]
        if weights.dtype == torch.float16 and not image.isfinite().all() and latent.isfinite().all():
            self._vae.float()  # some autoencoders overflow in half precision
            return self._decoded(latent)
        return pixels_of(image.permute(0, 2, 3, 1))

    def _encoded(self, pixels: torch.Tensor) -> torch.Tensor:
        weights = next(self._vae.parameters())
        given = (pixels.float() / 127.5 - 1.0).permute(0, 3, 1, 2).to(weights.device, weights.dtype)
        found = cast("Any", self._vae).encode(given)
        latent = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
        if weights.dtype == torch.float16 and not latent.isfinite().all():
            self._vae.float()
            return self._encoded(pixels)
        scaled: torch.Tensor = (latent.float() - self._shift) * self._scaling
        return scaled


def told(guidance: float, width: int) -> torch.Tensor:
    """(width,) float32: a guidance scale as waves, for a UNet that was distilled with it.

    Luo et al. 2023, arXiv 2310.04378 (their scale is one less); the waves are github.com/google-research/vdm,
    ``model_vdm.py``.
    """
    half = width // 2
    step = torch.log(torch.tensor(10_000.0)) / (half - 1)
    waves = (torch.tensor(guidance - 1.0) * 1_000.0) * torch.exp(torch.arange(half) * -step)
    return torch.nn.functional.pad(torch.cat([torch.sin(waves), torch.cos(waves)]), (0, width % 2))


def pixels_of(pixels: torch.Tensor) -> torch.Tensor:
    """[-1, 1] → uint8 on the CPU, rounded as diffusers does."""
    scaled = (pixels.float() / 2 + 0.5).clamp(0, 1).mul(255).round()
    return to_host(scaled.nan_to_num(0.0).to(torch.uint8).contiguous())


def _widths(config: Any) -> Sequence[int]:
    widths: Sequence[int] = config.get("encoder_block_out_channels") or config["block_out_channels"]
    return widths


def load(
    spec: ModelSpec, device: torch.device, dtype: torch.dtype | None, *, download: bool = False
) -> Denoiser:
    """The model of ``spec``, verified, on ``device``. Raises BadModel."""
    plan = examine(spec, download=download)
    if plan.kind == "sdxl":
        from inference.models.sdxl import assemble

        return assemble(spec, plan, loaded(plan, device, dtype), device)
    parts = loaded(plan, device, dtype)
    return StableDiffusion(spec, plan, parts, reader(plan, parts, device, _read))


def loaded(plan: Plan, device: torch.device, dtype: torch.dtype | None) -> dict[str, torch.nn.Module]:
    """Every part of ``plan`` with its weights. Raises BadModel."""
    chosen = dtype or (torch.float32 if device.type == "cpu" else torch.float16)
    side = torch.float32 if device.type == "cpu" else chosen
    dtypes = dict.fromkeys(plan.parts, side) | {"unet": chosen}
    parts = {part: empty(part, plan.configs[part]) for part in plan.parts}
    wanted = {part: _matched(part, parts[part], plan) for part in plan.parts}
    _check_memory(parts, dtypes, device)
    for part, module in parts.items():
        _fill(part, module, wanted[part], device, dtypes[part])
    return parts


def reader(
    plan: Plan, parts: Mapping[str, torch.nn.Module], device: torch.device,
    read: Callable[[Any, torch.Tensor, torch.Tensor | None], torch.Tensor], number: str = "",
) -> TextEncoder:  # fmt: skip
    """The text encoder ``number`` (none: the first) with its tokenizer; ``read`` runs its model."""
    model = cast("Any", parts[f"text_encoder{number}"])
    limits = model.config.max_position_embeddings, model.config.vocab_size
    tokenizer = load_tokenizer(plan.folder, *limits, f"tokenizer{number}", plan.words)
    masked = bool(plan.configs[f"text_encoder{number}"].get("use_attention_mask"))
    return TextEncoder(tokenizer, partial(read, model), device, masked=masked)


def _read(model: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    found: torch.Tensor = model(ids, attention_mask=mask)[0]
    return found


def empty(part: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """The module of ``part`` without weights. Only settings that its class knows are passed on."""
    try:
        with torch.device("meta"):
            return _make(part, config).eval().requires_grad_(False)
    except _BUILD_ERRORS as error:
        raise BadModel(
            "model_corrupt", f"{part}/config.json: {printable(str(error).split(chr(10))[0])}"
        ) from error


def _make(part: str, config: Mapping[str, Any]) -> torch.nn.Module:
    if part.startswith("text_encoder"):
        from transformers.models.clip.configuration_clip import CLIPTextConfig
        from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPTextModelWithProjection

        names = (
            "vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers",
            "num_attention_heads", "max_position_embeddings", "hidden_act", "layer_norm_eps", "bos_token_id",
            "eos_token_id", "pad_token_id",
        )  # fmt: skip
        kind = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
        module: torch.nn.Module = kind(CLIPTextConfig(**{n: config[n] for n in names if n in config}))
        return module
    built = _class(part, config)
    known = inspect.signature(built.__init__).parameters.keys() - {"self"}
    made: torch.nn.Module = built(**{name: value for name, value in config.items() if name in known})
    return made


def _class(part: str, config: Mapping[str, Any]) -> Any:
    if part == "unet":
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        return UNet2DConditionModel
    if config.get("_class_name") == "AutoencoderTiny":
        from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

        return AutoencoderTiny
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return AutoencoderKL


Wanted = list[tuple[Header, dict[str, Place]]]
"""Files of a part, each with {key in the module: where it lies in the file}."""


def _matched(part: str, module: torch.nn.Module, plan: Plan) -> Wanted:
    """Where each tensor of ``module`` lies; shapes and types compared. Raises BadModel."""
    where = {name: h for h in plan.headers[part] for name in h.tensors}
    named = _places(part, module, plan, where)
    by_path = {h.path: h for h in plan.headers[part]}
    found: dict[Path, dict[str, Place]] = {path: {} for path in by_path}
    for key, expected in module.state_dict().items():
        place = named.get(key, Place(key))
        name = place.name
        if name not in where:
            raise BadModel("model_corrupt", f"{part}: {printable(name)} is missing")
        tensor = where[name].tensors[name]
        if not _fits(place.shape(tensor.shape), tuple(expected.shape)):
            shapes = f"{list(tensor.shape)}, not {list(expected.shape)}"
            raise BadModel("model_corrupt", f"{part}: {printable(name)} is {shapes}")
        if tensor.dtype not in FLOATS:
            raise BadModel(
                "model_corrupt", f"{part}: {printable(name)} is {tensor.dtype}, not floating point"
            )
        found[where[name].path][key] = place
    if not plan.single:
        _check_surplus(part, where, found)
    return [(by_path[path], places) for path, places in found.items()]


def _places(part: str, module: torch.nn.Module, plan: Plan, where: Mapping[str, Header]) -> dict[str, Place]:
    """Key in the module → where it lies in the file, if not under that name."""
    keys = list(module.state_dict())
    if plan.single and part == "text_encoder_2":
        return {key: ldm.open_clip_place(key) for key in keys}
    if plan.single:
        return {key: Place(name) for key, name in _single_names(part, keys, plan).items()}
    if part.startswith("text_encoder"):
        old = {key: f"text_model.{key}" for key in keys}
        return {key: Place(name) for key, name in old.items() if name in where}
    return {ldm.modern(name): Place(name) for name in where}


def _single_names(part: str, keys: Sequence[str], plan: Plan) -> dict[str, str]:
    config = plan.configs[part]
    if part == "unet":
        attends = tuple("CrossAttn" in kind for kind in config["up_block_types"])
        return {key: ldm.unet_name(key, config["layers_per_block"], attends) for key in keys}
    if part == "vae":
        return {key: ldm.vae_name(key, len(config["block_out_channels"])) for key in keys}
    start = ldm.TEXTS_XL[0] if plan.kind == "sdxl" else ldm.TEXT
    return {key: ldm.text_name(key, start) for key in keys}


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Equal, or equal but for the 1x1 of a convolution that is a linear layer today."""
    return shape == expected or (len(shape) == 4 and shape[2:] == (1, 1) and shape[:2] == expected)


def _check_surplus(part: str, where: Mapping[str, Header], found: Mapping[Path, Mapping[str, Place]]) -> None:
    if part.startswith("text_encoder"):
        return
    used = {place.name for places in found.values() for place in places.values()}
    surplus = sorted(n for n in where if n not in used and not n.endswith(_IGNORED))
    if surplus:
        raise BadModel("model_corrupt", f"{part}: {printable(surplus[0])} is not in its configuration")


def _fill(
    part: str, module: torch.nn.Module, wanted: Wanted, device: torch.device, dtype: torch.dtype
) -> None:
    """Give ``module`` its tensors and its position buffer."""
    state: State = {}
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    for found, places in wanted:
        names = {place.name: place.name for place in places.values()}
        read = tensors(found, names, device, dtype, part)
        state |= {key: _cut(read[place.name], place) for key, place in places.items()}
    module.load_state_dict({k: v.reshape(shapes[k]) for k, v in state.items()}, strict=True, assign=True)
    module.requires_grad_(False)
    if (
        device.type == "cpu"
    ):  # measured: a step 16 % and a decode 36 % quicker, within 1e-6 of the other layout
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, buffer in list(module.named_buffers()):
        if buffer.is_meta:
            owner, _, last = name.rpartition(".")
            if last != "position_ids":
                raise NotImplementedError(f"{type(module).__name__} has a buffer {name}")
            numbers = torch.arange(buffer.shape[-1], device=device).expand(buffer.shape)
            module.get_submodule(owner).register_buffer(last, numbers, persistent=False)


def _cut(whole: torch.Tensor, place: Place) -> torch.Tensor:
    """What of the tensor ``whole`` lies at ``place``."""
    if place.third is not None:
        return whole.chunk(3)[place.third]
    return whole.T.contiguous() if place.turned else whole


def _check_memory(
    parts: Mapping[str, torch.nn.Module], dtypes: Mapping[str, torch.dtype], device: torch.device
) -> None:
    """Raise model_too_big, with how much is needed, unless the weights fit in free memory."""
    needed = SPARE * sum(
        p.numel() * dtypes[part].itemsize for part, module in parts.items() for p in module.parameters()
    )
    free = free_memory(device)
    if needed > free:
        raise BadModel("model_too_big", f"needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB free")


def free_memory(device: torch.device) -> int:
    """Bytes that are free on ``device``."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)
