"""C9, C10, C17, C18, C19, C23: neighbours, joining, finishing and parking in the running engine.

``python -m tests.bench.lane [C18 …] [--rounds N] [--anyway]``. The model is *tiny34*, as in ``engine.py``.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from inference import pictures, samplers, wire
from inference.admit import Plan
from inference.arena import Arena
from inference.batch import Bucket
from inference.request import ModelSpec, Request
from inference.runs import Run, Work
from inference.samplers import SCHEDULERS
from tests.bench.engine import CHANNELS, SAMPLERS, bench_model, quiet, request
from tests.bench.frame import Figure, main, spent
from tests.inference.engines import Harness, Spy

TWISTER = 2_720
"""Bytes of a generator: 624 words of 32 bits and a little more (``get_state`` spells them in 64)."""


def _engine(spy: Spy) -> Harness:
    driven = Harness([ModelSpec(name="tiny34")], lambda spec: spy)
    driven.engine.start()
    driven.drawn(request(0, steps=3))
    return driven


def c10(rounds: int) -> Figure:
    """Latents against the diffusers pipeline, in company: the largest relative error of four samplers."""
    model, pipeline = bench_model()
    spy, worst = Spy(model), 0.0
    driven = _engine(spy)
    for name in SAMPLERS:
        spy.latents.clear()
        neighbour = driven.draw(request(9, steps=60, guidance=5.0, sampler="ddim"), watch=False)
        driven.drawn(request(3, steps=12, guidance=7.5, sampler=name))
        driven.wait(neighbour)
        pipeline.scheduler = samplers.scheduler(name, model.scheduler_config, model.prediction)
        theirs = pipeline(
            "a red fox", guidance_scale=7.5, num_inference_steps=12, height=64, width=64,
            generator=torch.Generator().manual_seed(3), output_type="latent",
        ).images[0]  # fmt: skip
        worst = max(worst, min(float((ours - theirs).norm() / theirs.norm()) for ours in spy.latents))
    driven.engine.stop()
    return Figure("C10 apart from diffusers, relative", worst, 1e-5, up=False)


def c17(rounds: int) -> Figure:
    """From the ask to the first step while rows are free, in steps: p99 of eight asks a round."""
    spy = Spy(bench_model()[0])
    driven = _engine(spy)
    found: list[int] = []
    driven.drawn(request(1, steps=5, sampler="euler"))
    for number in range(8 * rounds):
        company = driven.draw(request(number, steps=30, sampler="euler"), watch=False)
        time.sleep(0.02)
        before = len(spy.rows)
        joined = driven.draw(request(100 + number, steps=5, sampler="euler"), watch=False)
        driven.wait(joined, company)
        rows = spy.rows[before:]
        found.append(next((place for place, size in enumerate(rows) if size > 1), len(rows)))
    driven.engine.stop()
    value = sorted(found)[int(len(found) * 0.99)]
    return Figure("C17 join while rows are free, steps", value, 2, up=False)


def c18(rounds: int) -> Figure:
    """p99 step interval over the median while pictures finish all the time."""
    asks = [request(seed, steps=8 + 3 * seed, sampler="euler", guidance=5.0) for seed in range(12)]
    wall, cpu, steady = _jitter(lambda: asks, rounds)
    more = {"nothing_finishing": steady}
    return Figure("C18 step jitter while finishing", wall, 1.5, up=False, by_cpu=cpu, more=more)


def c18_words(rounds: int) -> Figure:
    """The same while people keep coming with prompts that nobody had before: their words are encoded between
    two steps, one prompt's at a time."""
    numbers = itertools.count()

    def asks() -> list[Request]:
        long = [request(1, steps=60, sampler="euler", guidance=5.0)] * 4
        new = [
            request(seed, steps=6, sampler="euler", prompt=f"fox number {next(numbers)} on the moon")
            for seed in range(24)
        ]
        return long + new

    wall, cpu, steady = _jitter(asks, rounds)
    more = {"nothing_finishing": steady}
    return Figure("C18 step jitter while new words come", wall, 1.5, up=False, by_cpu=cpu, more=more)


def _jitter(asks: Callable[[], list[Request]], rounds: int) -> tuple[float, float, float]:
    """p99 interval between two calls of the same rows over the median of such, by the wall clock and by the
    engine thread's CPU time; and by the wall clock while four pictures that nobody joins or leaves are drawn,
    which is the machine's own jitter. The medians of ``rounds``."""
    spy = Spy(bench_model()[0])
    times: list[tuple[float, float, int]] = []
    spy.before = lambda cond: times.append((time.perf_counter(), time.thread_time(), len(cond)))
    driven = _engine(spy)
    still = [request(seed, steps=30, sampler="euler", guidance=5.0) for seed in range(4)]
    found: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        spreads = []
        for together in (asks(), still):
            times.clear()
            driven.wait(*(driven.draw(each, watch=False) for each in together))
            spreads.append((_spread(times, 0), _spread(times, 1)))
        (wall, cpu), (steady, _) = spreads
        found.append((wall, cpu, steady))
    driven.engine.stop()
    wall, cpu, steady = (statistics.median(each) for each in zip(*found, strict=True))
    return wall, cpu, round(steady, 4)


def _spread(times: list[tuple[float, float, int]], clock: int) -> float:
    of: dict[int, list[float]] = {}
    for before, after in itertools.pairwise(times):
        of.setdefault(before[2], []).append(after[clock] - before[clock])
    shares = sorted(
        gap / statistics.median(gaps) for gaps in of.values() if len(gaps) >= 8 for gap in gaps[1:]
    )
    return shares[int(len(shares) * 0.99)]


def c19(rounds: int) -> Figure:
    """CPU time of encoding a 1024² PNG over Pillow's default; and how late an event loop is meanwhile."""
    noise = np.random.default_rng(1).integers(0, 60, (1024, 1024, 3), dtype=np.uint8)
    ramp = np.linspace(0, 190, 1024, dtype=np.uint8)[:, None, None]
    pixels = np.ascontiguousarray(noise // 4 + ramp)

    def default() -> None:
        Image.fromarray(pixels).save(io.BytesIO(), "PNG")

    pictures.png(pixels)
    ratios = [spent(lambda: pictures.png(pixels)).cpu / spent(default).cpu for _ in range(rounds)]
    late = asyncio.run(_late(lambda: pictures.png(pixels)))
    return Figure(
        "C19 PNG over Pillow's default", statistics.median(ratios), 0.2, up=False, more={"loop_late_ms": late}
    )


async def _late(encode: Callable[[], object]) -> float:
    """Milliseconds, p99, by which a loop wakes too late while eight pictures are encoded in a thread."""
    thread = threading.Thread(target=lambda: [encode() for _ in range(8)])
    thread.start()
    found: list[float] = []
    while thread.is_alive() or len(found) < 50:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        found.append(1e3 * (time.perf_counter() - began - 0.001))
    return round(sorted(found)[int(len(found) * 0.99)], 2)


def c23(rounds: int) -> Figure:
    """Bytes that a parked picture holds, over six latents and its embeddings: the worst sampler.

    What it holds: its slot, its generator's state, its words (which it shares with all who have the same).
    """
    model, _ = bench_model()
    cond, uncond = model.encode(["a red fox", ""])
    found = {}
    for name in SCHEDULERS:
        arena = Arena((CHANNELS, 8, 8), torch.device("cpu"))
        table = samplers.compile(name, 20, model.scheduler_config, model.prediction)
        work = Work(wire.Draw(job=1, attempt=1, request=request(1, steps=20, sampler=name)))
        run = Run(
            work=work, index=0, seed=1, bucket=Bucket("tiny34", 8, 8, 77), model=model, table=table,
            cond=cond, uncond=uncond, plan=Plan(table), guidance=5.0, guided=(0, len(table)),
        )  # fmt: skip
        before = arena.free + len(arena.cells)
        arena.begin(run)
        for _ in range(3):
            arena.step(model, [run], 2)
        latent = arena.size * arena.cells.element_size()
        slot = (len(arena.cells) - arena.free - before) * latent
        noise = 0 if run.generator is None else TWISTER
        words = cond.nbytes + uncond.nbytes
        found[name] = ((slot + noise + words) / (6 * latent + words), slot // latent, noise)
    worst = max(found, key=lambda name: found[name][0])
    more = {"worst": worst, "latents": {name: cells for name, (_, cells, _) in found.items()}}
    return Figure("C23 a parked picture", found[worst][0], 1.0, up=False, more=more)


def c9(rounds: int) -> Figure:
    """Pictures whose bits differ from themselves, alone or with any neighbours, in one row bucket."""
    spy = Spy(bench_model()[0])
    driven, different = _engine(spy), 0
    for name in SAMPLERS:
        kept = []
        for seed in range(2):
            spy.latents.clear()
            jobs = [
                driven.draw(request(50 + place, steps=6, sampler=name, prompt=f"cat {seed}"), watch=False)
                for place in range(3)
            ]
            job = driven.draw(request(7, steps=6, sampler=name), watch=False)
            driven.wait(job, *jobs)
            kept.append(driven.wait(job)[0])
        one, other = (each.pictures[0].data for each in kept if isinstance(each, wire.Drawn))
        different += one != other
    driven.engine.stop()
    return Figure("C9 pictures changed by neighbours", different, 0, up=False)


BENCHES: dict[str, Any] = {
    "C9": c9, "C10": c10, "C17": c17, "C18": c18, "C18-words": c18_words, "C19": c19, "C23": c23,
}  # fmt: skip

if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    quiet()
    sys.exit(main(BENCHES, exact={"C9", "C10", "C23"}))
