"""Which number format is faster here: measured once a (model, device, torch), then remembered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from inference.models import Denoiser

FILE = "dtypes.json"
"""In the home folder: {key: {"dtype": name, "gain": seconds in float32 ÷ seconds in bfloat16}}."""
WORTH = 1.2
"""bfloat16 is taken where it is at least this many times faster than float32."""
MATRIX = 512
"""Side of the matrices whose product is timed first."""
ROWS, CELLS = 4, 8
"""The measured step: so many rows of so many latent cells squared; small, so that starting stays quick."""


def choose_dtype(denoiser: Denoiser, home: Path) -> Denoiser:
    """``denoiser`` as it is, or its twin in bfloat16 where a step of that is ≥ 1.2 times faster.

    Only a float32 model on a CPU is measured. Its pictures differ a little between formats, so the decision
    is kept in ``home`` (and the format in every picture's recipe).
    """
    if denoiser.device.type != "cpu" or denoiser.dtype != torch.float32:
        return denoiser
    key = f"{denoiser.fingerprint} {_cpu()} torch-{torch.__version__}"
    kept = _read(home / FILE)
    if key in kept:
        return denoiser.cast(torch.bfloat16) if kept[key].get("dtype") == "bfloat16" else denoiser
    speed = matmul_gflops()
    gain, twin = speed["bfloat16"] / speed["float32"], denoiser
    if gain >= WORTH:  # else no step can gain, and measuring one would only be slow
        twin = denoiser.cast(torch.bfloat16)
        gain = step_seconds(denoiser) / step_seconds(twin)
    chosen = twin if gain >= WORTH else denoiser
    kept[key] = {"dtype": str(chosen.dtype).removeprefix("torch."), "gain": round(gain, 3)}
    _write(home / FILE, kept)
    return chosen


def matmul_gflops() -> dict[str, float]:
    """10⁹ operations a second of a matrix product on the CPU, by dtype; the best of three. 10-200 ms."""
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        left = torch.ones(MATRIX, MATRIX, dtype=dtype)
        best = min(_seconds(partial(torch.matmul, left, left)) for _ in range(4))
        found[str(dtype).removeprefix("torch.")] = round(2 * MATRIX**3 / best / 1e9, 1)
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def step_seconds(denoiser: Denoiser) -> float:
    """Seconds of one step: the best of three after one to warm up."""
    x = torch.zeros(ROWS, denoiser.latent_channels, CELLS, CELLS)
    cond = denoiser.encode([""])[0].expand(ROWS, -1, -1)
    t = torch.full((ROWS,), 500.0)
    with torch.inference_mode():
        denoiser.denoise(x, t, cond)
        return min(_seconds(lambda: denoiser.denoise(x, t, cond)) for _ in range(3))


def _cpu() -> str:
    return f"{torch.backends.cpu.get_cpu_capability()}-{torch.get_num_threads()}"


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    good = isinstance(found, dict) and all(isinstance(v, dict) for v in found.values())
    return found if good else {}


def _write(path: Path, content: dict[str, dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1), "utf-8")
    temporary.replace(path)
