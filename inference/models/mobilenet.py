"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) with a head of three layers, as nsfwjs has it, and the
8-bit file that its weights ship in."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as fn

from inference.models import BadModel
from inference.models.files import header

STEM = 32
BLOCKS = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
"""The paper's table 2: expansion, channels out, repeats, stride of the first."""
TOP = 1_280
HEAD = (256, 128)
SCALES = "scales"
"""Where the file's metadata say what 0 and 1 of each tensor's 8 bits mean, as JSON: name → [min, scale]."""


class Unit(nn.Sequential):
    """A convolution, its normalisation, and a ReLU6 unless it is a bottleneck's ``last``."""

    def __init__(
        self, into: int, out: int, kernel: int, stride: int = 1, *, groups: int = 1, last: bool = False
    ) -> None:
        convolution = nn.Conv2d(
            into, out, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False
        )
        super().__init__(convolution, nn.BatchNorm2d(out, eps=1e-3), *([] if last else [nn.ReLU6()]))
        self.pads = stride == 2

    def forward(self, x: Tensor) -> Tensor:
        """b x into x h x w to b x out x h/stride x w/stride."""
        # TensorFlow pads even sides at the end alone, torch at both.
        y = fn.pad(x, (0, 1, 0, 1)) if self.pads else x
        for layer in self:
            y = layer(y)
        return y


class Bottleneck(nn.Module):
    """Widen, look around, narrow; with a way round it where the shapes allow one."""

    def __init__(self, into: int, out: int, wider: int, stride: int) -> None:
        super().__init__()
        width = into * wider
        self.layers = nn.Sequential(
            *([Unit(into, width, 1)] if wider > 1 else []),
            Unit(width, width, 3, stride, groups=width),
            Unit(width, out, 1, last=True),
        )
        self.around = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        """b x into x h x w to b x out x h/stride x w/stride."""
        y: Tensor = self.layers(x)
        return x + y if self.around else y


class MobileNetV2(nn.Module):
    """b x 3 x 224 x 224 in [0, 1] to b x ``labels`` logits."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        width, layers = STEM, [nn.Sequential(Unit(3, STEM, 3, 2))]
        for wider, out, repeats, stride in BLOCKS:
            first, more = Bottleneck(width, out, wider, stride), range(repeats - 1)
            layers.append(nn.Sequential(first, *(Bottleneck(out, out, wider, 1) for _ in more)))
            width = out
        self.features = nn.Sequential(*layers, Unit(width, TOP, 1))
        sides = (TOP, *HEAD, labels)
        self.head = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))

    def forward(self, pictures: Tensor) -> Tensor:
        """What it sees, as logits."""
        x: Tensor = self.features(pictures).mean((2, 3))  # b x TOP
        for layer in self.head[:-1]:
            x = fn.relu(layer(x))
        y: Tensor = self.head[-1](x)
        return y


def read(path: Path, labels: int) -> MobileNetV2:
    """The network whose 8-bit weights are in ``path``, in fp32. Raises BadModel."""
    shown = f"safety: {path.name}"
    found = header(path, shown)
    try:
        scales = json.loads(found.metadata[SCALES])
        bits = load_file(path)
        weights = {
            name: (value.double() * scales[name][1] + scales[name][0]).float() for name, value in bits.items()
        }
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise BadModel("model_corrupt", shown) from error
    with torch.device("meta"):
        model = MobileNetV2(labels)
    counts = {name: torch.tensor(0) for name in model.state_dict() if name.endswith("num_batches_tracked")}
    try:
        model.load_state_dict(weights | counts, assign=True)
    except RuntimeError as error:
        raise BadModel("model_corrupt", shown) from error
    return model.requires_grad_(False).eval()
