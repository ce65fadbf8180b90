"""What a training runs on: the device, and the number format that is quick there."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def quick() -> AbstractContextManager[object]:
    """bf16 products where the machine computes them; a CPU without such units would emulate them slowly."""
    here = device()
    able = here.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.autocast(here.type, torch.bfloat16, enabled=able)
