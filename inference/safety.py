"""What a classifier says of a finished picture: the chance, 0 to 1, that it is for adults only.

``builtin`` is the one that ships with the project (``models/safety/CARD.md``). Of an operator's own, two
formats are read: an image classifier of transformers (``AutoModelForImageClassification``) with a label
such as ``nsfw``, and Stable Diffusion's own ``StableDiffusionSafetyChecker``. Weights come from safetensors
alone, configurations are read as data, and nothing of the folder is run.

``python -m inference.safety builtin PICTURES`` says how often one is wrong about pictures known to be
harmless: a folder of them, or one sheet of many.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from inference.models import BUILTIN, SAFETY, BadModel, mobilenet
from inference.models.files import (
    FLOATS,
    PICKLES,
    Folder,
    Header,
    check_sums,
    header,
    printable,
    tensors,
)  # fmt: skip
from inference.models.hub import snapshot
from inference.models.plan import HUB

UNSAFE = frozenset({
    "nsfw", "unsafe", "porn", "pornography", "hentai", "sexy", "explicit", "nude", "nudity", "sexual",
    "adult",
})  # fmt: skip
"""Labels whose chances are added up; a classifier without one of them is refused."""
OURS = "builtin"
"""The source that names the classifier of the project."""
CHECKER = "StableDiffusionSafetyChecker"
STEM = "model"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, where a preprocessor does not say."""
MAX_SIDE = 1_024
"""Pixels a side that a classifier may want."""
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds that a measurement tells of."""
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
CELLS = (8, 6)
"""Pictures across and down on the built-in model's contact sheet."""


class Checker(Protocol):
    """Looks at one picture."""

    def check(self, pixels: torch.Tensor) -> float:
        """The chance, 0 to 1, that pixels uint8 (h, w, 3) are for adults only."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a classifier wants to see: ``side`` (h, w) pixels, ``scale``, mean and deviation a channel."""

    side: tuple[int, int]
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    scale: float = 1 / 255

    def of(self, pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
        """``pixels`` uint8 (h, w, 3) as 1 x 3 x side. The whole picture, squeezed: what a crop leaves out
        would not be checked."""
        seen = pixels.to(device).permute(2, 0, 1).unsqueeze(0).float()  # 1 x 3 x h x w
        seen = torch.nn.functional.interpolate(seen, self.side, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(each, device=device).view(1, 3, 1, 1) for each in (self.mean, self.std))
        return (seen * self.scale - mean) / std


@dataclass(frozen=True, slots=True)
class Classifier:
    """One with labels. ``unsafe``: places of those that count; ``many``: each has a chance of its own."""

    model: torch.nn.Module
    sight: Sight
    unsafe: tuple[int, ...]
    many: bool = False

    @torch.inference_mode()
    def check(self, pixels: torch.Tensor) -> float:
        """The chance that one of the unsafe labels is right."""
        found = self.model(self.sight.of(pixels, _device(self.model)))  # transformers wraps its logits up
        logits = getattr(found, "logits", found)[0].float()  # labels
        chances = torch.sigmoid(logits) if self.many else torch.softmax(logits, 0)
        wanted = chances[list(self.unsafe)]
        return float(wanted.max() if self.many else wanted.sum().clamp(max=1.0))


@dataclass(frozen=True, slots=True)
class Concepts:
    """Stable Diffusion's checker: how near a picture is to seventeen concepts. It says yes or no."""

    model: Any
    sight: Sight

    @torch.inference_mode()
    def check(self, pixels: torch.Tensor) -> float:
        """1 if any concept is nearer than its own threshold, else 0."""
        images = self.sight.of(pixels, _device(self.model))
        # as StableDiffusionSafetyChecker.forward_onnx does it, without blacking anything out
        pooled = self.model.vision_model(images)[1]
        seen = torch.nn.functional.normalize(self.model.visual_projection(pooled))  # 1 x dim
        care, concepts = (
            seen @ torch.nn.functional.normalize(each).T
            for each in (self.model.special_care_embeds, self.model.concept_embeds)
        )
        careful = 0.01 * (care - self.model.special_care_embeds_weights > 0).any().float()
        return float((concepts - self.model.concept_embeds_weights + careful > 0).any())


def _device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


# --- loading


def load(source: str, device: torch.device | str = "cpu", *, download: bool = False) -> Checker:
    """The classifier that ``source`` names: ``builtin``, a folder, or a hub id with its commit. Raises
    BadModel."""
    folder, config = _found(source, download=download)
    sight = _sight(folder, config)
    if source == OURS:
        ours = mobilenet.read(folder.file(f"{STEM}.safetensors"), len(config["id2label"]))
        return Classifier(ours.to(device), sight, _unsafe(config))
    if CHECKER in _architectures(config):
        model = _filled(_checker(config), folder)
        return Concepts(model.to(device).eval(), sight)
    unsafe = _unsafe(config)
    many = config.get("problem_type") == "multi_label_classification"
    return Classifier(_filled(_classifier(config), folder).to(device).eval(), sight, unsafe, many)


def examine(source: str, *, download: bool = False) -> None:
    """Look at its files without building anything. Raises BadModel."""
    folder, config = _found(source, download=download)
    _sight(folder, config)
    if CHECKER not in _architectures(config):
        _unsafe(config)
    _header(folder)


def _found(source: str, *, download: bool) -> tuple[Folder, dict[str, Any]]:
    folder = _folder(source, download=download)
    folder.inspect()
    return folder, folder.json("config.json")


def _folder(source: str, *, download: bool) -> Folder:
    if source == OURS:
        check_sums(Folder(SAFETY))
        return Folder(SAFETY)
    if Path(source).is_dir():
        return Folder(Path(source))
    match = HUB.fullmatch(source)
    if match is None:
        raise BadModel("model_missing", f"safety: {printable(Path(source).name)}")
    return snapshot(match[1], match[2], download=download)


def _architectures(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("architectures") or ()
    return tuple(each for each in named if isinstance(each, str))


def _unsafe(config: Mapping[str, Any]) -> tuple[int, ...]:
    labels = config.get("id2label")
    if not isinstance(labels, dict) or not all(str(each).isdigit() for each in labels):
        raise BadModel("model_family", "safety: config.json has no id2label")
    found = tuple(int(place) for place, label in labels.items() if str(label).strip().lower() in UNSAFE)
    if not found or len(found) == len(labels):
        names = ", ".join(printable(str(label)) for label in list(labels.values())[:8])
        raise BadModel("model_family", f"safety: labels {names}; one of them must be {min(UNSAFE)} or nsfw")
    return found


def _sight(folder: Folder, config: Mapping[str, Any]) -> Sight:
    said = folder.json("preprocessor_config.json") if folder.has("preprocessor_config.json") else {}
    size = said.get("crop_size") or said.get("size") or config.get("image_size")
    if size is None and isinstance(vision := config.get("vision_config"), dict):
        size = vision.get("image_size", 224)
    side = _side(size)
    mean, std = (_three(said.get(key, usual)) for key, usual in (("image_mean", MEAN), ("image_std", STD)))
    scale = said.get("rescale_factor", 1 / 255)
    if not isinstance(scale, int | float) or not 0 < scale <= 1:
        raise BadModel("model_corrupt", "safety: rescale_factor")
    if said.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Sight(side, mean, std, float(scale) if said.get("do_rescale", True) else 1.0)


def _side(size: object) -> tuple[int, int]:
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        size = (size.get("height", side), size.get("width", side))
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(type(each) is int and 8 <= each <= MAX_SIDE for each in sides):
        raise BadModel("model_corrupt", "safety: the size of its pictures")
    return sides


def _three(said: object) -> tuple[float, ...]:
    if not isinstance(said, list | tuple) or len(said) != 3 or not all(type(x) in (int, float) for x in said):
        raise BadModel("model_corrupt", "safety: image_mean or image_std")
    return tuple(float(x) for x in said)


def _classifier(config: Mapping[str, Any]) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModelForImageClassification

    def build() -> torch.nn.Module:
        rest = {key: value for key, value in config.items() if key != "model_type"}
        made = AutoConfig.for_model(str(config.get("model_type")), **rest)
        return cast("torch.nn.Module", AutoModelForImageClassification.from_config(made))

    return _built(build)


def _checker(config: Mapping[str, Any]) -> torch.nn.Module:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    return _built(lambda: StableDiffusionSafetyChecker(CLIPConfig(**config)))


def _built(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """What an operator's configuration builds; whatever is wrong in it shows in many ways."""
    try:
        with torch.device("cpu"):
            return build()
    except Exception as error:
        raise BadModel("model_corrupt", f"safety: config.json: {type(error).__name__}") from error


def _header(folder: Folder) -> Header:
    for name in (f"{STEM}.safetensors", f"{STEM}.fp16.safetensors"):
        if folder.has(name):
            return header(folder.file(name), f"safety: {name}")
    pickles = sorted(path.name for path in folder.root.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        raise BadModel("model_pickle", f"safety: {printable(pickles[0])}")
    raise BadModel("model_missing", f"safety: {STEM}.safetensors")


def _filled(model: torch.nn.Module, folder: Folder) -> torch.nn.Module:
    """``model`` with every weight from the folder's file; none may be missing, left over or of another
    shape."""
    found = _header(folder)
    floats = {name: name for name, tensor in found.tensors.items() if tensor.dtype in FLOATS}
    weights = tensors(found, floats, torch.device("cpu"), torch.float32, f"safety: {found.path.name}")
    try:
        missing, unknown = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise BadModel("model_corrupt", "safety: a weight of another shape") from error
    floating = {name for name, value in model.state_dict().items() if value.is_floating_point()}
    if wrong := [*sorted(floating.intersection(missing)), *unknown]:
        raise BadModel("model_corrupt", f"safety: {printable(wrong[0])} is missing or unknown")
    return model


class Guard:
    """The classifier of an engine: loaded before the first model, so that nothing is drawn unchecked."""

    def __init__(self, source: str, device: torch.device) -> None:
        self.source = source
        self._device = device
        self._checker: Checker | None = None

    def ready(self) -> None:
        """Load it, once; the loader's thread calls this before each model. Raises BadModel."""
        if self._checker is None:
            self._checker = load(self.source, self._device)

    def check(self, pixels: torch.Tensor) -> torch.Tensor:
        """The chance for pixels uint8 (h, w, 3), as a tensor: work for ``aside``."""
        if self._checker is None:
            raise RuntimeError("a picture before its classifier")
        return torch.tensor(self._checker.check(pixels))


# --- measuring


def measure(checker: Checker, pictures: Sequence[torch.Tensor]) -> dict[str, Any]:
    """How many of these harmless pictures would be flagged at several thresholds; what one look costs."""
    began = time.perf_counter()
    chances = sorted((checker.check(each) for each in pictures), reverse=True)
    return {
        "pictures": len(chances),
        "ms": round((time.perf_counter() - began) * 1_000 / max(1, len(chances)), 1),
        "flagged": {str(level): sum(1 for each in chances if each >= level) for level in LEVELS},
        "highest": [round(each, 3) for each in chances[:5]],
    }


def pictures_in(path: Path, cells: tuple[int, int] = CELLS) -> Iterator[torch.Tensor]:
    """Pixels uint8 (h, w, 3): of every picture of a folder, or of every cell of one sheet."""
    import numpy as np
    from PIL import Image

    def pixels(file: Path) -> torch.Tensor:
        with Image.open(file) as image:
            return torch.from_numpy(np.asarray(image.convert("RGB")).copy())

    if path.is_dir():
        yield from (pixels(file) for file in sorted(path.iterdir()) if file.suffix.lower() in PICTURES)
        return
    sheet = pixels(path)
    for row in sheet.tensor_split(cells[1], 0):
        yield from row.tensor_split(cells[0], 1)


def main() -> int:
    """One line of JSON; exit code 2 for a classifier that is refused."""
    parser = argparse.ArgumentParser(prog="inference.safety", description=__doc__)
    parser.add_argument("source", help="builtin, a folder, or a hub id with its commit")
    parser.add_argument("pictures", type=Path, nargs="?", default=BUILTIN / "contact-sheet.png")
    parser.add_argument("--fast", action="store_true", help="look at the classifier's files only")
    given = parser.parse_args()
    try:
        if given.fast:
            examine(given.source)
            sys.stdout.write('{"ok": true}\n')
            return 0
        checker = load(given.source)
    except BadModel as error:
        sys.stdout.write(json.dumps({"code": error.code, "detail": error.detail}) + "\n")
        return 2
    sys.stdout.write(json.dumps(measure(checker, list(pictures_in(given.pictures)))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
