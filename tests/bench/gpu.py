"""The GPU's figures: T(rows) of SD1.5 and SDXL, and a mixed queue against diffusers, in under 8 minutes.

``python -m tests.bench.gpu [--out FILE]``. Full shapes with random weights: nothing is downloaded. Without a
GPU it says so and ends with 2. Each model's time is bounded: what does not fit into it is left out and said.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from inference import samplers, wire
from inference.admit import Plan
from inference.arena import Arena
from inference.batch import ROW_BUCKETS, Bucket, padded
from inference.device import StepClock
from inference.request import Request
from inference.runs import Run, Work
from inference.schedule import Schedule

BUDGET = 420.0
"""Seconds for everything."""
SIZES = {"sd15": (512, 768), "sdxl": (512, 1024)}
SD15: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SDXL: dict[str, Any] = {
    "sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
    "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip


@dataclass
class Shape:
    """A UNet of full size with random weights, and what it is fed."""

    name: str
    unet: Any
    device: torch.device
    tokens: int
    dim: int
    dtype: torch.dtype = torch.float16

    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """As ``Denoiser.denoise``."""
        return self.given(x, t, cond)

    def call(self, rows: int, side: int) -> torch.Tensor:
        """One step of ``rows`` rows at ``side`` pixels."""
        x = torch.randn(rows, 4, side // 8, side // 8, device=self.device, dtype=self.dtype)
        t = torch.full((rows,), 500.0, device=self.device)
        cond = torch.zeros(rows, self.tokens, self.dim, device=self.device, dtype=self.dtype)
        return self.given(x, t, cond)

    @torch.inference_mode()
    def given(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """The prediction, as ``Denoiser.denoise``."""
        more: dict[str, Any] = {}
        if self.name == "sdxl":
            sizes = torch.full((len(x), 6), 1024.0, device=self.device, dtype=cond.dtype)
            more["added_cond_kwargs"] = {"text_embeds": cond[:, 0, :1280], "time_ids": sizes}
        found: torch.Tensor = self.unet(x.to(self.dtype), t, cond, return_dict=False, **more)[0]
        return found.float()


def shape(name: str, device: torch.device) -> Shape:
    """Made on the device, in half precision."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    config = SD15 if name == "sd15" else SDXL
    with torch.device(device):
        torch.set_default_dtype(torch.float16)
        unet = UNet2DConditionModel(**config).eval().requires_grad_(False)
        torch.set_default_dtype(torch.float32)
    return Shape(name, unet, device, 77, config["cross_attention_dim"])


def seconds(shape: Shape, rows: int, side: int, times: int = 7) -> float:
    """The median of a step, by the device's clock, after three to warm up."""
    for _ in range(3):
        shape.call(rows, side)
    found: list[float] = []
    for _ in range(times):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        shape.call(rows, side)
        last.record()
        last.synchronize()
        found.append(first.elapsed_time(last) / 1_000)
    return statistics.median(found)


def tables(shape: Shape, end: float) -> Iterator[dict[str, Any]]:
    """T(rows) at each size, and what batching gains."""
    for side in SIZES[shape.name]:
        table: dict[int, float] = {}
        for rows in ROW_BUCKETS:
            if time.monotonic() > end:
                yield {"figure": f"{shape.name} {side}² {rows} rows", "left_out": "no time left"}
                continue
            try:
                table[rows] = seconds(shape, rows, side)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
        gains = {rows: round(rows * table[1] / value, 2) for rows, value in table.items()}
        shown = {rows: round(1e3 * value, 2) for rows, value in table.items()}
        yield {"figure": f"T(rows) {shape.name} {side}²", "ms": shown, "gain": gains}


def neighbours(shape: Shape) -> dict[str, Any]:
    """Rows of a call whose bits change with their neighbours: none may."""
    torch.manual_seed(1)
    x = torch.randn(8, 4, 64, 64, device=shape.device)
    t = torch.full((8,), 500.0, device=shape.device)
    cond = torch.randn(8, shape.tokens, shape.dim, device=shape.device, dtype=shape.dtype)
    order = torch.tensor([3, 0, 7, 1, 6, 2, 5, 4], device=shape.device)
    one, other = shape.given(x, t, cond), shape.given(x[order], t[order], cond[order])
    changed = int((one[order] != other).flatten(1).any(1).sum())
    return {
        "figure": f"{shape.name} rows changed by neighbours",
        "value": changed,
        "gate": 0,
        "good": not changed,
    }


def mixed(shape: Shape, side: int, people: int = 16) -> dict[str, Any]:
    """A closed queue of guided pictures, one after the other as a pipeline does, and eight rows at a time."""
    steps = [12 + 3 * (number % 7) for number in range(people)]
    names = ("euler", "ddim", "dpmpp_2m_karras", "euler_a")
    config = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
              "beta_schedule": "scaled_linear", "steps_offset": 1}  # fmt: skip

    def alone() -> None:
        for number, count in enumerate(steps):
            made = samplers.scheduler(names[number % 4], config, "epsilon")
            made.set_timesteps(count, device=shape.device)
            x = torch.randn(1, 4, side // 8, side // 8, device=shape.device)
            for t in made.timesteps:
                given = made.scale_model_input(torch.cat([x, x]), t)
                cond = torch.zeros(2, shape.tokens, shape.dim, device=shape.device, dtype=shape.dtype)
                without, with_ = shape.given(given, t.expand(2), cond).chunk(2)
                x = made.step(without + 7.0 * (with_ - without), t, x, return_dict=False)[0]

    def together() -> None:
        arena, schedule = Arena((4, side // 8, side // 8), shape.device), Schedule()
        runs = [
            _run(shape, side, number, names[number % 4], count, config) for number, count in enumerate(steps)
        ]
        clock = StepClock(shape.device)
        while runs:
            chosen = schedule.pick(runs)
            for run in chosen:
                if not run.began:
                    arena.begin(run)
            rows = padded(sum(run.rows for run in chosen))
            clock.start()
            arena.step(shape, chosen, rows)
            clock.stop(partial(schedule.took, chosen[0].bucket, rows))
            runs = [run for run in runs if run.cursor < len(run.table)]
        clock.drain()

    with torch.inference_mode():
        together()
    one, many = _timed(alone), _timed(together)
    gate = 2.8 if shape.name == "sd15" else 2.3
    return {"figure": f"{shape.name} {side}² mixed queue over sequential", "value": round(one / many, 3),
            "gate": gate, "good": one / many >= gate}  # fmt: skip


def _run(shape: Shape, side: int, seed: int, name: str, steps: int, config: dict[str, Any]) -> Run:
    """A guided picture as the engine has it."""
    request = Request(prompt="", width=side, height=side, steps=steps, seed=seed, sampler=name, count=1)
    table = samplers.compile(name, steps, config, "epsilon")
    cond = torch.zeros(shape.tokens, shape.dim, device=shape.device, dtype=shape.dtype)
    nobody: Any = None
    return Run(
        work=Work(wire.Draw(job=seed, attempt=1, request=request, flow=f"f{seed % 5}")), index=0, seed=seed,
        bucket=Bucket(shape.name, side // 8, side // 8, shape.tokens), model=nobody, table=table, cond=cond,
        uncond=cond, plan=Plan(table), guided=(0, len(table)), guidance=7.0,
    )  # fmt: skip


def _timed(run: Any) -> float:
    wait: Any = torch.cuda.synchronize if torch.cuda.is_available() else int
    wait()
    began = time.perf_counter()
    with torch.inference_mode():
        run()
    wait()
    return time.perf_counter() - began


def main() -> int:
    """Measure, print a JSON line a figure; 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="write every figure here too")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no GPU here: nothing was measured", file=sys.stderr)
        return 2
    device, began, lines = torch.device("cuda", 0), time.monotonic(), []
    name = torch.cuda.get_device_name(device)
    for number, model in enumerate(SIZES):
        made = shape(model, device)
        end = began + BUDGET * (number + 1) / len(SIZES)
        for line in (neighbours(made), mixed(made, 512), *tables(made, end)):
            lines.append(line | {"device": name, "torch": torch.__version__})
            print(json.dumps(lines[-1]), flush=True)
        del made
        torch.cuda.empty_cache()
    if given.out:
        given.out.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")
    return int(not all(line.get("good", True) for line in lines))


if __name__ == "__main__":
    sys.exit(main())
