"""The GPU's figures: every goal that needs one, and T(rows) of SD1.5 and SDXL, in under 8 minutes.

``python -m tests.bench.gpu [--dry] [--out FILE]``. Full shapes with random weights: nothing is downloaded.
Without a GPU it says so and ends with 2. Each model's time is bounded: what does not fit into it is left out
and said. ``--dry`` runs every line of it on a CPU with tiny models, whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from inference import device, samplers, wire
from inference.admit import Plan
from inference.arena import Arena
from inference.batch import ROW_BUCKETS, Bucket, padded
from inference.device import StepClock
from inference.models import Denoiser
from inference.replay import Record, Replayed, Step
from inference.request import Request
from inference.runs import Run, Work
from inference.schedule import Schedule
from inference.simulate.clock import Ask, Machine, play
from inference.simulate.policies import Batches, Ours

BUDGET = 420.0
"""Seconds for everything."""
SLOW = 90.0
"""Seconds that compiling a UNet may take: with less left it is left out."""
SD15: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SDXL: dict[str, Any] = {
    "sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
    "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": (1, 2, 10),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "sd15": {
        "block_out_channels": (32,), "layers_per_block": 1, "cross_attention_dim": 8,
        "attention_head_dim": 8, "norm_num_groups": 8, "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",),
    },
    "sdxl": {
        "block_out_channels": (32,), "layers_per_block": 1, "cross_attention_dim": 16,
        "attention_head_dim": 8, "norm_num_groups": 8, "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("CrossAttnUpBlock2D",), "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 8 + 6 * 8,
    },
}  # fmt: skip
SCHEDULER = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}  # fmt: skip
SAMPLERS = ("euler", "ddim", "dpmpp_2m_karras", "euler_a")


@dataclass(frozen=True)
class Goals:
    """What a model is measured for, at which sizes."""

    config: dict[str, Any]
    sides: tuple[int, ...]
    mixed: tuple[int, float]
    """Side, and how many times as fast as one after the other a mixed queue shall be."""
    rate: tuple[int, float]
    """Side, and steps a second of one guided picture."""
    compiled: float | None = None
    """How many times as fast as our own compiled pictures, one after the other, the mixed queue shall be."""
    saturated: int | None = None
    """Side at which rows cost what they cost: throughput and latency against the best fixed number."""


GOALS = {
    "sd15": Goals(SD15, (512, 768, 1024), mixed=(512, 2.8), rate=(512, 90.0), compiled=1.4),
    "sdxl": Goals(SDXL, (512, 768, 1024), mixed=(512, 2.3), rate=(1024, 19.0), saturated=1024),
}
DRY = {
    "sd15": Goals(TINY["sd15"], (64,), mixed=(64, 2.8), rate=(64, 90.0), compiled=1.4),
    "sdxl": Goals(TINY["sdxl"], (64,), mixed=(64, 2.3), rate=(64, 19.0), saturated=64),
}


@dataclass(frozen=True)
class Stand:
    """Where it is measured: a GPU, or (dry) a CPU that stands in for it."""

    device: torch.device
    record: Record
    compiler: str
    dry: bool = False
    times: int = 7

    @property
    def dtype(self) -> torch.dtype:
        """What models compute in."""
        return torch.float32 if self.dry else torch.float16


def gpu() -> Stand:
    """The first GPU."""
    return Stand(torch.device("cuda", 0), device.Recording, "inductor")


def dry() -> Stand:
    """A CPU, one step of everything, recordings that record nothing."""
    return Stand(torch.device("cpu"), lambda step, *given: step, "eager", dry=True, times=1)


@dataclass
class Shape:
    """A UNet of full size with random weights, and what it is fed."""

    name: str
    unet: Any
    device: torch.device
    tokens: int
    dim: int
    dtype: torch.dtype = torch.float16
    host: float = 0.0
    """Seconds of the host's time in calls of ``denoise``."""
    step: Step | None = None
    """What ``denoise`` does instead: a recording."""

    def denoise(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """As ``Denoiser.denoise``."""
        began = time.perf_counter()
        found = (self.step or self.given)(x, t, cond)
        self.host += time.perf_counter() - began
        return found

    def feed(self, rows: int, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What a step of ``rows`` rows at ``side`` pixels is given."""
        x = torch.randn(rows, 4, side // 8, side // 8, device=self.device)
        cond = torch.randn(rows, self.tokens, self.dim, device=self.device, dtype=self.dtype)
        return x, torch.full((rows,), 500.0, device=self.device), cond

    @torch.inference_mode()
    def given(self, x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """The prediction."""
        more: dict[str, Any] = {}
        if self.name == "sdxl":
            pooled = self.unet.config.projection_class_embeddings_input_dim
            pooled -= 6 * self.unet.config.addition_time_embed_dim
            sizes = torch.full((len(x), 6), 1024.0, device=self.device, dtype=cond.dtype)
            more["added_cond_kwargs"] = {"text_embeds": cond[:, 0, :pooled], "time_ids": sizes}
        found: torch.Tensor = self.unet(x.to(self.dtype), t, cond, return_dict=False, **more)[0]
        return found.float()


def shape(name: str, config: dict[str, Any], stand: Stand) -> Shape:
    """Made on the device."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    usual = torch.get_default_dtype()
    torch.set_default_dtype(stand.dtype)
    try:
        with stand.device:
            unet = UNet2DConditionModel(**config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(usual)
    tokens = 4 if stand.dry else 77
    return Shape(name, unet, stand.device, tokens, config["cross_attention_dim"], stand.dtype)


def seconds(stand: Stand, step: Callable[[], object]) -> float:
    """The median of a step, by the device's clock, after two to warm up."""
    clock, found = StepClock(stand.device), list[float]()
    for _ in range(2):
        step()
    for _ in range(stand.times):
        clock.start()
        step()
        clock.stop(found.append)
        clock.drain()
    return statistics.median(found)


def table(shape: Shape, stand: Stand, side: int, end: float) -> dict[int, float]:
    """T(rows) as far as time and memory go."""
    found: dict[int, float] = {}
    for rows in ROW_BUCKETS:
        if time.monotonic() > end:
            break
        try:
            given = shape.feed(rows, side)
            found[rows] = seconds(stand, partial(shape.given, *given))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
    return found


def shown(shape: Shape, side: int, found: dict[int, float]) -> dict[str, Any]:
    """A table as a line."""
    gains = {rows: round(rows * found[1] / value, 2) for rows, value in found.items()}
    line: dict[str, Any] = {
        "figure": f"T(rows) {shape.name} {side}²",
        "ms": {rows: round(1e3 * value, 2) for rows, value in found.items()},
        "gain": gains,
    }
    missing = [rows for rows in ROW_BUCKETS if rows not in found]
    return line | ({"left_out": missing} if missing else {})


def neighbours(shape: Shape, side: int, dtype: torch.dtype) -> dict[str, Any]:
    """Rows of a call whose bits change with their neighbours: none may."""
    usual = shape.dtype
    torch.nn.Module.to(shape.unet, dtype)  # the UNet's own ``to`` logs
    shape.dtype = dtype
    x, t, cond = shape.feed(8, side)
    order = torch.tensor([3, 0, 7, 1, 6, 2, 5, 4], device=shape.device)
    one, other = shape.given(x, t, cond), shape.given(x[order], t[order], cond[order])
    changed = int((one[order] != other).flatten(1).any(1).sum())
    torch.nn.Module.to(shape.unet, usual)
    shape.dtype = usual
    name = str(dtype).removeprefix("torch.")
    return _at_most(f"{shape.name} rows changed by neighbours, {name}", changed, 0)


def _at_least(figure: str, value: float, gate: float, **more: object) -> dict[str, Any]:
    return {"figure": figure, "value": round(value, 3), "gate": gate, "good": value >= gate, **more}


def _at_most(figure: str, value: float, gate: float, **more: object) -> dict[str, Any]:
    return {"figure": figure, "value": round(value, 3), "gate": gate, "good": value <= gate, **more}


# --- a mixed queue


def queue(people: int) -> list[tuple[str, int]]:
    """Sampler and steps of guided pictures."""
    return [(SAMPLERS[number % 4], 12 + 3 * (number % 7)) for number in range(people)]


def sequential(shape: Shape, side: int, asked: list[tuple[str, int]]) -> None:
    """One after the other, as a pipeline does."""
    x0, _, cond = shape.feed(2, side)
    for name, count in asked:
        made = samplers.scheduler(name, SCHEDULER, "epsilon")
        made.set_timesteps(count, device=shape.device)
        x = x0[:1]
        for t in made.timesteps:
            given = made.scale_model_input(torch.cat([x, x]), t)
            without, with_ = shape.denoise(given, t.float().expand(2), cond).chunk(2)
            x = made.step(without + 7.0 * (with_ - without), t, x, return_dict=False)[0]


@dataclass
class Loop:
    """What the engine's loop took: seconds on the wall, of the device, of the host outside the model."""

    wall: float = 0.0
    host: float = 0.0
    steps: int = 0

    def drive(self, shape: Shape, model: Replayed, side: int, asked: list[tuple[str, int]]) -> None:
        """The engine's parts over a queue, to its end."""
        where = shape.device
        arena, schedule, clock = Arena((4, side // 8, side // 8), where), Schedule(), StepClock(where)
        runs = [_run(shape, side, number, *each) for number, each in enumerate(asked)]
        began, shape.host = time.perf_counter(), 0.0
        while runs:
            start = time.perf_counter()
            chosen = schedule.pick(runs)
            for run in chosen:
                if not run.began:
                    arena.begin(run)
            rows, bucket = padded(sum(run.rows for run in chosen)), chosen[0].bucket
            clock.start()
            arena.step(model, chosen, rows)
            self.host += time.perf_counter() - start
            clock.stop(partial(schedule.took, bucket, rows))  # waits for the step before
            runs = [run for run in runs if run.cursor < len(run.table)]
            self.steps += 1
        clock.drain()
        self.wall += time.perf_counter() - began
        self.host -= shape.host


def busy(stand: Stand, run: Callable[[], object]) -> float:
    """The part of the time in which the device computes: what its kernels took, over the wall."""
    kind = torch.profiler.ProfilerActivity.CPU if stand.dry else torch.profiler.ProfilerActivity.CUDA
    name = "self_cpu_time_total" if stand.dry else "self_device_time_total"
    with torch.profiler.profile(activities=[kind]) as profile:
        wall = _timed(stand, run)
    return sum(float(getattr(each, name)) for each in profile.key_averages()) / 1e6 / wall


def _run(shape: Shape, side: int, seed: int, name: str, steps: int) -> Run:
    """A guided picture as the engine has it."""
    request = Request(prompt="", width=side, height=side, steps=steps, seed=seed, sampler=name, count=1)
    plan = Plan(samplers.compile(name, steps, SCHEDULER, "epsilon"))
    cond = torch.zeros(shape.tokens, shape.dim, device=shape.device, dtype=shape.dtype)
    nobody: Any = None
    return Run(
        work=Work(wire.Draw(job=seed, attempt=1, request=request, flow=f"f{seed % 5}")), index=0, seed=seed,
        bucket=Bucket(shape.name, side // 8, side // 8, shape.tokens), model=nobody, table=plan.table,
        cond=cond, uncond=cond, plan=plan, guided=(0, len(plan.table)), guidance=7.0,
    )  # fmt: skip


def mixed(shape: Shape, stand: Stand, side: int, gate: float) -> tuple[list[dict[str, Any]], float]:
    """The queue one after the other and together: lines, and the seconds it took together."""
    asked, model, clock = (
        queue(3 if stand.dry else 16),
        Replayed(cast("Denoiser", shape), stand.record),
        StepClock(shape.device),
    )
    with torch.inference_mode():
        gains = {rows: model.consider(clock, *shape.feed(rows, side)) or 0.0 for rows in ROW_BUCKETS[1:]}
        Loop().drive(shape, model, side, asked[:4])
        one, loop = _timed(stand, lambda: sequential(shape, side, asked)), Loop()
        many = _timed(stand, lambda: loop.drive(shape, model, side, asked))
        computing = busy(stand, lambda: Loop().drive(shape, model, side, asked[:6]))
    name, by = f"{shape.name} {side}²", {rows: round(gain, 2) for rows, gain in gains.items()}
    return [
        _at_least(f"{name} mixed queue over sequential", one / many, gate, gain_of_recording=by),
        _at_least(f"{name} device busy", computing, 0.95),
        _at_most(f"{name} host outside the model, ms a step", 1e3 * loop.host / loop.steps, 1.0),
    ], many


def _timed(stand: Stand, run: Callable[[], object]) -> float:
    wait: Any = int if stand.dry else torch.cuda.synchronize
    wait()
    began = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - began


# --- one picture alone, compiled and recorded


def alone(shape: Shape, stand: Stand, goals: Goals, end: float, together: float) -> Iterator[dict[str, Any]]:
    """Steps a second of one guided picture: as it is, recorded, compiled and recorded. And, against those
    pictures one after the other, the mixed queue of ``together`` seconds."""
    side, gate = goals.rate
    name, given = f"{shape.name} {side}²", shape.feed(2, side)
    rates = {"eager": 1.0 / seconds(stand, partial(shape.given, *given))}
    with torch.inference_mode():
        recorded = stand.record(shape.given, *given)
        rates["recorded"] = 1.0 / seconds(stand, partial(recorded, *given))
        same = torch.equal(recorded(*given), shape.given(*given))
        yield _at_least(f"{name} a recorded step has the same bits", float(same), 1.0)
        if time.monotonic() + SLOW > end and not stand.dry:
            yield {"figure": f"{name} compiled", "left_out": "no time left"}
            yield _at_least(f"{name} steps a second, one picture", max(rates.values()), gate, by=rates)
            return
        quick = replace(shape, unet=torch.compile(shape.unet, backend=stand.compiler, dynamic=False))
        quick.step = stand.record(quick.given, *given)
        rates["compiled"] = 1.0 / seconds(stand, partial(quick.step, *given))
        by = {how: round(rate, 1) for how, rate in rates.items()}
        yield _at_least(f"{name} steps a second, one picture", max(rates.values()), gate, by=by)
        if goals.compiled is not None:
            asked = queue(3 if stand.dry else 16)
            one = _timed(stand, lambda: sequential(quick, side, asked))
            yield _at_least(
                f"{name} mixed queue over our compiled sequential", one / together, goals.compiled
            )
    torch._dynamo.reset()


# --- many people, where rows cost what they cost


def saturated(name: str, side: int, found: dict[int, float]) -> list[dict[str, Any]]:
    """C6 with the T(rows) just measured: the real scheduling code at 0.8 of capacity against the best of the
    fixed numbers of rows."""
    machine, rng, at = Machine({"first": found}), random.Random(4), 0.0
    asks = []
    for number in range(250):
        asks.append(Ask(at, f"p{number % 25}", "first", 29, 2))
        at += rng.expovariate(0.8 / (29 * 2 * machine.row("first")))
    ours = play(asks, Ours(machine), machine)
    fixed = [play(asks, Batches(machine, refill=True, most=most), machine) for most in (2, 4, 8, 16)]
    waits = [statistics.mean(job.wait for job in record.jobs) for record in (ours, *fixed)]
    return [
        _at_least(f"{name} {side}² pictures, of the best fixed", min(r.end for r in fixed) / ours.end, 0.98),
        _at_most(f"{name} {side}² mean wait, of the best fixed", waits[0] / min(waits[1:]), 1.05),
    ]


def figures(name: str, goals: Goals, stand: Stand, end: float) -> Iterator[dict[str, Any]]:
    """Everything of one model; the tables last, as far as time goes."""
    made = shape(name, goals.config, stand)
    yield neighbours(made, goals.mixed[0], torch.bfloat16)
    lines, together = mixed(made, stand, *goals.mixed)
    yield from lines
    yield from alone(made, stand, goals, end, together)
    for side in sorted(goals.sides, key=lambda side: side != goals.saturated):
        found = table(made, stand, side, end)
        if found:
            yield shown(made, side, found)
        else:
            yield {"figure": f"T(rows) {name} {side}²", "left_out": "no time or memory left"}
        if side == goals.saturated and found:
            yield from saturated(name, side, found)


def main(words: list[str] | None = None) -> int:
    """Measure, print a JSON line a figure; 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="every line of it, on a CPU, for nothing")
    parser.add_argument("--out", type=Path, help="write every figure here too")
    given = parser.parse_args(words)
    if not given.dry and not torch.cuda.is_available():
        print("there is no GPU here: nothing was measured (--dry tries the script)", file=sys.stderr)
        return 2
    stand = dry() if given.dry else gpu()
    goals = DRY if given.dry else GOALS
    began, lines = time.monotonic(), list[dict[str, Any]]()
    facts: dict[str, Any] = {"device": device.describe(stand.device), "torch": str(torch.__version__)}
    facts |= {"dry": True} if given.dry else {}
    for number, name in enumerate(goals):
        end = began + BUDGET * (number + 1) / len(goals)
        try:
            for line in figures(name, goals[name], stand, end):
                lines.append(line | facts)
                print(json.dumps(lines[-1]), flush=True)
        except torch.OutOfMemoryError:
            lines.append({"figure": name, "left_out": "not enough memory"} | facts)
            print(json.dumps(lines[-1]), flush=True)
        device.give_back(stand.device)
    if given.out:
        given.out.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")
    print(f"{len(lines)} figures in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0 if given.dry else int(not all(line.get("good", True) for line in lines))


if __name__ == "__main__":
    sys.exit(main())
