"""The built-in 4x upscaler: a small residual network at the picture's own size, then a pixel shuffle."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as fn


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.second(fn.silu(self.first(x)))
        return y


class StickerUpscaler(nn.Module):
    """(b, 3, h, w) in [0, 1] -> (b, 3, 4h, 4w) in [0, 1], any h and w; learned as a correction of bicubic."""

    def __init__(self, width: int = 48, blocks: int = 5) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, 3 * 16, 3, padding=1)
        nn.init.zeros_(self.tail.weight)  # untrained, it is bicubic
        if self.tail.bias is not None:
            nn.init.zeros_(self.tail.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Enlarge four times."""
        base = fn.interpolate(pictures, scale_factor=4, mode="bicubic", align_corners=False)
        # Shifted to about mean 0, so that the zero padding at the border is mid-grey and not black.
        detail = fn.pixel_shuffle(self.tail(self.body(self.head(pictures - 0.5))), 4)
        return (base + detail).clamp(0, 1)


def load_upscaler(folder: Path) -> StickerUpscaler:
    """The upscaler of `folder` (config.json, upscaler.safetensors), stored as fp16, run as fp32.

    Raises FileNotFoundError when a file is missing and RuntimeError when the weights do not fit.
    """
    config = json.loads((folder / "config.json").read_text())
    model = StickerUpscaler(int(config["width"]), int(config["blocks"]))
    weights = load_file(folder / "upscaler.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model.eval()
