"""What this machine and these models are, as JSON: ``python -m inference.probe [--load] < specs.json``.

Standard input may hold a JSON list of ModelSpecs; without one the built-in model is looked at. The command
line runs it as a process of its own, because the bot imports no torch.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from inference import VERSION
from inference.models import BadModel, examine, load
from inference.request import ModelSpec

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "pillow", "fpng")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 0 unless the list of models itself is unreadable."""
    parser = argparse.ArgumentParser(prog="python -m inference.probe", description=__doc__)
    parser.add_argument("--json", action="store_true", help="JSON is the only form; taken for clarity")
    parser.add_argument("--load", action="store_true", help="load every model, not only look at its files")
    parser.add_argument("--fast", action="store_true", help="no timings, no imports of torch")
    chosen = parser.parse_args(arguments)
    given = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    try:
        specs = msgspec.json.decode(given, type=tuple[ModelSpec, ...]) if given.strip() else None
    except msgspec.DecodeError as error:
        sys.stderr.write(f"the list of models is not readable: {error}\n")
        return 2
    report = probe(specs or (ModelSpec(name="builtin"),), loading=chosen.load, fast=chosen.fast)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0


def probe(specs: Sequence[ModelSpec], *, loading: bool = False, fast: bool = False) -> dict[str, Any]:
    """The report: versions, devices, memory, dtype figures, and whether each model's files are right."""
    report: dict[str, Any] = {
        "falopitas": VERSION, "python": platform.python_version(), "system": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES}, "memory": _memory(),
    }  # fmt: skip
    if not fast:
        from inference.models.dtypes import matmul_gflops

        report |= {"devices": devices(), "matmul_gflops": matmul_gflops()}
    report["models"] = [look(spec, loading=loading) for spec in specs]
    return report


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory() -> dict[str, int]:
    """Bytes."""
    import psutil

    found = psutil.virtual_memory()
    return {"total": found.total, "available": found.available}


def devices() -> list[dict[str, Any]]:
    """Every device torch can use, the best first; memory in bytes."""
    import torch

    found: list[dict[str, Any]] = []
    for i in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(i)
        free, total = torch.cuda.mem_get_info(i)
        found.append({"device": f"cuda:{i}", "name": about.name, "memory": total, "free": free})
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": platform.processor() or "Apple"})
    capability = torch.backends.cpu.get_cpu_capability()
    return [*found, {"device": "cpu", "name": capability, "threads": torch.get_num_threads()}]


def look(spec: ModelSpec, *, loading: bool = False) -> dict[str, Any]:
    """Whether the files of ``spec`` are right: ``ok``, ``code`` and ``detail`` of what is wrong, seconds."""
    start = time.perf_counter()
    about: dict[str, Any] = {"name": spec.name, "ok": True}
    try:
        about["megabytes_fp32"] = round(4e-6 * examine(spec).values, 1)
        if loading:
            model = load(spec)
            about |= {"fingerprint": model.fingerprint, "prediction": model.prediction}
    except BadModel as error:
        about |= {"ok": False, "code": error.code, "detail": error.detail}
    return about | {"seconds": round(time.perf_counter() - start, 3)}


if __name__ == "__main__":
    sys.exit(main())
