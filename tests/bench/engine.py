"""C1-C3, C5-C8: the engine against diffusers' own pipeline and itself with other policies, one torch thread,
the same modules.

``python -m tests.bench.engine [C1 C5 …] [--rounds N] [--anyway]``. The model is *tiny34*: SD1.5's block types
with channels 64/128/256/256 and random weights, at latent 8 (where batching gains; C6: at 32, where it does
not).
"""

from __future__ import annotations

import functools
import itertools
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from inference import samplers, wire
from inference.admit import Plan
from inference.arena import Arena
from inference.batch import ROW_BUCKETS, Bucket
from inference.models import Denoiser, load
from inference.request import ModelSpec, Request
from inference.runs import Run, Work
from tests.bench.frame import Figure, Spent, abba, main, ratio, spent
from tests.inference import tiny
from tests.inference.engines import Harness, Spy

SIDE, LATENT, CHANNELS, DIM = 64, 8, 4, 768
SAMPLERS = ("euler", "ddim", "dpmpp_2m_karras", "euler_a")
IN_FLIGHT = 16
QUEUE = 16
LONG = 3
"""Pairs at most of what takes half a minute each."""
FIXED = (1, 2, 4, 8)
"""Rows of a call in servers that do not learn."""


@functools.cache
def bench_model() -> tuple[Denoiser, Any]:
    """tiny34 as our Denoiser, and a diffusers pipeline of the same module objects."""
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from transformers.models.clip.configuration_clip import CLIPTextConfig
    from transformers.models.clip.modeling_clip import CLIPTextModel

    torch.manual_seed(0)
    folder = tiny.folder(Path(tempfile.mkdtemp(prefix="falopitas-bench-")) / "tiny34")
    unet = UNet2DConditionModel(
        sample_size=LATENT, in_channels=CHANNELS, out_channels=CHANNELS, cross_attention_dim=DIM,
        block_out_channels=(64, 128, 256, 256), attention_head_dim=8, layers_per_block=2,
    )  # fmt: skip
    widths, depths = (32,) * 4, (1,) * 4
    vae = AutoencoderTiny(
        latent_channels=CHANNELS, encoder_block_out_channels=widths, decoder_block_out_channels=widths,
        num_encoder_blocks=depths, num_decoder_blocks=depths,
    )  # fmt: skip
    words = len(tiny.vocabulary()[0])
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words, hidden_size=DIM, intermediate_size=1024, num_hidden_layers=2,
            num_attention_heads=12, max_position_embeddings=77, projection_dim=DIM,
            bos_token_id=words - 2, eos_token_id=words - 1, pad_token_id=words - 1,
        )
    )  # fmt: skip
    parts: dict[str, Any] = {"unet": unet, "vae": vae, "text_encoder": text}
    for name, module in parts.items():
        module.save_pretrained(folder / name)
    tiny.write_tokenizer(folder / "tokenizer", 77)
    model = load(ModelSpec(name="tiny34", source=str(folder)))
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    mine: Any = model
    pipeline.unet, pipeline.vae = mine._unet, mine._vae
    return model, pipeline


@functools.cache
def harness() -> Harness:
    """A running engine; alive to the end of the process."""
    model, _ = bench_model()
    made = Harness([ModelSpec(name="tiny34")], lambda spec: Spy(model))
    made.engine.start()
    return made


def request(seed: int, **more: Any) -> Request:
    """One picture of tiny34."""
    given: dict[str, Any] = {
        "prompt": "a red fox",
        "model": "tiny34",
        "width": SIDE,
        "height": SIDE,
        "count": 1,
    }
    return Request(seed=seed, **(given | more))


def mixed(count: int = QUEUE) -> list[Request]:
    """A queue of different people: steps 8-50, guidance 1, 5 and 7.5, four samplers."""
    rng = random.Random(5)
    queue = []
    for seed in range(count):
        prompt = f"a {rng.choice(tiny.WORDS)} {rng.choice(tiny.WORDS)}"
        steps, guidance, sampler = rng.randint(8, 50), (1.0, 5.0, 7.5)[seed % 3], SAMPLERS[seed % 4]
        queue.append(request(seed, prompt=prompt, steps=steps, guidance=guidance, sampler=sampler))
    return queue


def by_engine(requests: list[Request]) -> None:
    """A closed queue: ``IN_FLIGHT`` in the engine, the next when one is done."""
    driven = harness()
    left = iter(requests)
    flying = {
        driven.draw(each, flow=f"f{each.seed % 8}", watch=False) for each in itertools.islice(left, IN_FLIGHT)
    }
    while flying:
        message = driven.hear()
        if isinstance(message, wire.Drawn | wire.Failed) and message.job in flying:
            flying.remove(message.job)
            flying |= {
                driven.draw(each, flow=f"f{each.seed % 8}", watch=False) for each in itertools.islice(left, 1)
            }


def by_key(requests: list[Request]) -> None:
    """The same engine, but only alike draws are let in together: a homogeneous batch's key as an admission
    filter (vLLM-Omni's policy)."""
    driven, left = harness(), list(requests)
    while left:
        like = _key(left[0])
        alike = [each for each in left if _key(each) == like][:IN_FLIGHT]
        left = [each for each in left if each not in alike]
        driven.wait(*(driven.draw(each, flow=f"f{each.seed % 8}", watch=False) for each in alike))


def _key(each: Request) -> tuple[int, float, str]:
    return each.steps, each.guidance, each.sampler


def by_pipeline(requests: list[Request]) -> None:
    """diffusers, one after the other."""
    model, pipeline = bench_model()
    for each in requests:
        pipeline.scheduler = samplers.scheduler(each.sampler, model.scheduler_config, model.prediction)
        pipeline(
            each.prompt, guidance_scale=each.guidance, num_inference_steps=each.steps, height=SIDE,
            width=SIDE,
            generator=torch.Generator().manual_seed(each.seed),
        )  # fmt: skip


def c1(rounds: int) -> Figure:
    """Mixed closed queue, pictures a second, against one at a time."""
    queue = mixed()
    by_engine(queue)
    by_pipeline(queue[:2])
    wall, cpu = ratio(abba(lambda: by_engine(queue), lambda: by_pipeline(queue), rounds))
    return Figure("C1 mixed queue", wall, 2.2, up=True, by_cpu=cpu, more={"requests": len(queue)})


def c3(rounds: int) -> Figure:
    """The mixed queue of C1 against itself behind a homogeneous key."""
    queue, pairs = mixed(), min(rounds, LONG)
    by_engine(queue)
    wall, cpu = ratio(abba(lambda: by_engine(queue), lambda: by_key(queue), pairs))
    return Figure(
        "C3 over a homogeneous key, in real time", wall, 2.0, up=True, by_cpu=cpu, more={"pairs": pairs}
    )


def c6(rounds: int) -> Figure:
    """Saturated (latent 32): pictures a second over the best fixed number of rows."""
    queue = [
        request(seed, steps=3, guidance=1.0, sampler="euler", width=256, height=256) for seed in range(8)
    ]
    costs: Any = harness().engine._schedule.costs

    def fixed(most: int) -> None:
        costs.cap = lambda bucket, wanted, least=1: max(most, least)
        by_engine(queue)
        del costs.cap

    by_engine(queue)
    by_engine(queue)
    pairs, seconds = [], {}
    for _ in range(min(rounds, LONG)):
        ours = spent(lambda: by_engine(queue))
        others = {most: spent(functools.partial(fixed, most)) for most in FIXED}
        best = Spent(min(one.wall for one in others.values()), min(one.cpu for one in others.values()))
        pairs.append((ours, best))
        seconds = {str(most): round(one.wall, 2) for most, one in others.items()} | {
            "ours": round(ours.wall, 2)
        }
    wall, cpu = ratio(pairs)
    return Figure(
        "C6 saturated, pictures a second in real time", wall, 0.98, up=True, by_cpu=cpu,
        more={"pairs": len(pairs), "seconds": seconds},
    )  # fmt: skip


def c5(rounds: int) -> Figure:
    """A single request alone."""
    alone = [request(3, steps=30, guidance=7.5, sampler="dpmpp_2m_karras")]
    by_engine(alone)
    by_pipeline(alone)
    wall, cpu = ratio(abba(lambda: by_engine(alone), lambda: by_pipeline(alone), 3 * rounds), inverse=True)
    return Figure("C5 single request", wall, 1.03, up=False, by_cpu=cpu)


def c2(rounds: int) -> Figure:
    """Row-steps a second in the engine, of the best that its own forward can do: T(rows) before and
    after, as the speed of a machine drifts."""
    model, _ = bench_model()
    queue = [request(seed, steps=40, guidance=5.0, sampler="euler") for seed in range(16)]
    by_engine(queue)
    times = [{rows: _forward(model, rows) for rows in ROW_BUCKETS}]
    found = []
    for _ in range(rounds):
        found.append(spent(lambda: by_engine(queue)))
        times.append({rows: _forward(model, rows) for rows in ROW_BUCKETS})
    rowsteps = sum(each.steps * each.rows for each in queue)
    best = [max(rows / seconds.wall for rows, seconds in each.items()) for each in times]
    by_cpu = [max(rows / seconds.cpu for rows, seconds in each.items()) for each in times]
    shown = {str(rows): round(times[0][rows].wall * 1e3, 2) for rows in ROW_BUCKETS}
    return Figure(
        "C2 batching efficiency", statistics.median(rowsteps / one.wall for one in found) / _mean(best), 0.92,
        up=True, by_cpu=statistics.median(rowsteps / one.cpu for one in found) / _mean(by_cpu),
        more={"T_ms": shown},
    )  # fmt: skip


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _forward(model: Denoiser, rows: int) -> Spent:
    """What one call of so many rows takes: the median of twelve."""
    x, t = torch.randn(rows, CHANNELS, LATENT, LATENT), torch.full((rows,), 500.0)
    cond = torch.stack([*model.encode(["fox"])] * rows)
    with torch.inference_mode():
        return _median(lambda: model.denoise(x, t, cond), 12)


def _median(run: Callable[[], object], times: int) -> Spent:
    run()
    run()
    found = [spent(run) for _ in range(times)]
    return Spent(
        statistics.median(each.wall for each in found), statistics.median(each.cpu for each in found)
    )


def c7(rounds: int) -> Figure:
    """What lies between two forwards of 8 rows, over the forward."""
    model, _ = bench_model()
    calls: list[tuple[float, float]] = []
    spy = Spy(model)
    honest = spy.denoise

    def timed(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        began = time.perf_counter()
        out = honest(x, t, cond)
        calls.append((began, time.perf_counter()))
        return out

    spy.denoise = timed  # type: ignore[method-assign]
    driven = Harness([ModelSpec(name="tiny34")], lambda spec: spy)
    driven.engine.start()
    four = [request(0, count=4, steps=40, guidance=5.0, sampler=name) for name in SAMPLERS]
    shares = []
    driven.wait(driven.draw(four[0]))
    for each in four * rounds:
        calls.clear()
        driven.wait(driven.draw(each, watch=False))
        full = calls[4:]
        gaps = [after[0] - before[1] for before, after in itertools.pairwise(full)]
        shares.append(statistics.median(gaps) / statistics.median(end - began for began, end in full))
    driven.engine.stop()
    return Figure("C7 engine overhead a step", statistics.median(shares), 0.03, up=False)


def c8(rounds: int) -> Figure:
    """The sampler update of 8 mixed requests at latent 16², against 8 calls of ``scheduler.step``.

    Without the stochastic samplers: drawing the noise costs both sides the same.
    """
    model, _ = bench_model()
    names = ["euler", "ddim", "dpmpp_2m_karras", "dpmpp_2m", "unipc", "deis", "pndm", "euler"]
    arena, steps = Arena((CHANNELS, 16, 16), torch.device("cpu")), 20
    runs = []
    for seed, name in enumerate(names):
        table = samplers.compile(name, steps, model.scheduler_config, model.prediction)
        work = Work(wire.Draw(job=seed, attempt=1, request=request(seed, steps=steps, sampler=name)))
        nothing = torch.empty(0)
        run = Run(
            work=work, index=0, seed=seed, bucket=Bucket("tiny34", 16, 16, 77), model=model, table=table,
            cond=nothing, uncond=nothing, plan=Plan(table),
        )  # fmt: skip
        arena.begin(run)
        runs.append(run)
    made = [samplers.scheduler(name, model.scheduler_config, model.prediction) for name in names]
    output = torch.randn(1, CHANNELS, 16, 16)
    said = output.reshape(1, -1).repeat(len(runs), 1)

    def ours() -> None:
        for run in runs:
            run.cursor = 0
        company = arena.together(runs, len(runs))
        for _ in range(steps):
            arena.update(runs, arena.numbers(company, runs), said)

    def theirs() -> None:
        for scheduler in made:
            scheduler.set_timesteps(steps)
            x = output
            for t in scheduler.timesteps[:steps]:
                x = scheduler.step(output, t, x, return_dict=False)[0]

    with torch.inference_mode():
        ours()
        theirs()
        wall, cpu = ratio(abba(ours, theirs, 3 * rounds))
    return Figure("C8 sampler update", wall, 15.0, up=True, by_cpu=cpu)


def quiet() -> None:
    """diffusers and transformers log at every step and load; a log line is not what is measured."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    for logging in of_diffusers, of_transformers:
        quiet: Any = logging
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    quiet()
    sys.exit(main({"C1": c1, "C2": c2, "C3": c3, "C5": c5, "C6": c6, "C7": c7, "C8": c8}))
