"""The built-in safety classifier out of the npm package that ships it: ``npm pack nsfwjs@4.4.0``, then
``python -m inference.training.checker nsfwjs-4.4.0.tgz``.

The weights stay the 8 bits that they are there; names and axes become torch's.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from inference.models import SAFETY
from inference.models.mobilenet import BLOCKS, HEAD, SCALES
from inference.training.export import write_checksums

PLACE = "package/dist/models/mobilenet_v2"
_ENTRY = re.compile(
    r'\{name:"([\w/]+)",shape:\[([\d,]+)\],dtype:"float32",'
    r'quantization:\{min:([-.\de]+),scale:([-.\de]+),dtype:"uint8"\}\}'
)
_BITS = re.compile(rb'"([A-Za-z0-9+/=]{1000,})"')
_NORM = {
    "gamma": "1.weight",
    "beta": "1.bias",
    "moving_mean": "1.running_mean",
    "moving_variance": "1.running_var",
}


def _units() -> Iterator[tuple[str, str, str]]:
    """(Keras' convolution, Keras' normalisation, our unit) of every unit."""
    yield "Conv1", "bn_Conv1", "features.0.0"
    number = 0
    for group, (wider, _, repeats, _) in enumerate(BLOCKS, 1):
        for place in range(repeats):
            block = f"block_{number}" if number else "expanded_conv"
            parts = ("expand", "depthwise", "project") if wider > 1 else ("depthwise", "project")
            for layer, part in enumerate(parts):
                yield f"{block}_{part}", f"{block}_{part}_BN", f"features.{group}.{place}.layers.{layer}"
            number += 1
    yield "Conv_1", "Conv_1_bn", f"features.{len(BLOCKS) + 1}"


def _names() -> dict[str, str]:
    """Keras' name → ours, of every weight."""
    names: dict[str, str] = {}
    for convolution, norm, unit in _units():
        kernel = "depthwise_kernel" if convolution.endswith("depthwise") else "kernel"
        names[f"{convolution}/{kernel}"] = f"{unit}.0.weight"
        names |= {f"{norm}/{theirs}": f"{unit}.{ours}" for theirs, ours in _NORM.items()}
    for number in range(len(HEAD) + 1):
        names[f"dense_{number + 1}/kernel"] = f"head.{number}.weight"
        names[f"dense_{number + 1}/bias"] = f"head.{number}.bias"
    return names


def _turned(name: str, value: torch.Tensor) -> torch.Tensor:
    """From TensorFlow's order of axes to torch's."""
    if value.ndim == 4:
        return value.permute(2, 3, 0, 1) if "depthwise" in name else value.permute(3, 2, 0, 1)
    return value.T if value.ndim == 2 else value


def convert(package: Path, folder: Path = SAFETY) -> None:
    """Write model.safetensors and the checksums. ValueError for a package of another make."""
    with tarfile.open(package) as archive:
        described, packed = (
            _text(archive, f"{PLACE}/{name}.min.js") for name in ("model", "group1-shard1of1")
        )
    found = _BITS.search(packed)
    if found is None:
        raise ValueError("no weights in the package")
    bits = np.frombuffer(base64.b64decode(found[1]), np.uint8)
    names, weights, scales, at = _names(), {}, {}, 0
    for theirs, sides, low, scale in _ENTRY.findall(described.decode()):
        shape = [int(side) for side in sides.split(",")]
        size = int(np.prod(shape))
        value = torch.from_numpy(bits[at : at + size].copy()).view(shape)
        at += size
        ours = names.pop(theirs)
        weights[ours] = _turned(theirs, value).contiguous()
        scales[ours] = [float(low), float(scale)]
    if names or at != len(bits):
        raise ValueError(f"{len(names)} weights are missing, {len(bits) - at} bytes left over")
    save_file(weights, folder / "model.safetensors", {SCALES: json.dumps(scales)})
    write_checksums(folder)


def _text(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not in the package")
    return file.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="inference.training.checker", description=__doc__)
    parser.add_argument("package", type=Path)
    convert(parser.parse_args().package)
