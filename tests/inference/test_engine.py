"""The engine in this process: parity with itself and with diffusers, arrivals, cancels, and what goes
wrong."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Hashable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inference import batch, engine, pictures, samplers, wire
from inference.admit import Plan
from inference.arena import SHARED, Arena
from inference.models import BadModel, Denoiser, load
from inference.request import MAX_SEED, SAMPLERS, ModelSpec, Request
from inference.runs import Run, Work
from tests.inference import tiny
from tests.inference.engines import Harness, Spy, running

SIDE = 8 * tiny.FACTOR
OURS = [name for name in SAMPLERS if name != "flow_euler"]
"""Samplers that a StableDiffusionPipeline can use: flow-match Euler has no ``scale_model_input``."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("engine") / "tiny", seed=5)


@pytest.fixture(scope="module")
def model(folder: Path) -> Denoiser:
    return load(ModelSpec(name="tiny", source=str(folder)))


@pytest.fixture
def spy(model: Denoiser) -> Spy:
    return Spy(model)


@pytest.fixture
def harness(spy: Spy) -> Iterator[Harness]:
    with running(("tiny", spy)) as harness:
        yield harness


def ask(**more: Any) -> Request:
    given: dict[str, Any] = {
        "prompt": "a red fox", "model": "tiny", "width": SIDE, "height": SIDE, "steps": 6, "guidance": 5.0,
        "sampler": "euler", "seed": 1, "count": 1,
    }  # fmt: skip
    return Request(**(given | more))


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


# --- C10: equal to diffusers


def _pipeline(folder: Path, kind: str = "StableDiffusionPipeline") -> Any:
    import diffusers

    made = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True, low_cpu_mem_usage=False)
    made.set_progress_bar_config(disable=True)
    return made


def _close(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OURS)
def test_every_sampler_equals_the_diffusers_pipeline(
    folder: Path, harness: Harness, spy: Spy, name: str
) -> None:
    """C10: latents within 1e-5, and 99.9 % of the pixels within one level, in batches with a neighbour."""
    pipeline = _pipeline(folder)
    pipeline.scheduler = samplers.scheduler(name, spy.scheduler_config, spy.prediction)
    neighbour = harness.draw(ask(prompt="a dog", steps=150, seed=99, sampler="ddim"))
    seeds = [MAX_SEED, 0]
    for guidance in (1.0, 6.0):
        result = harness.drawn(
            ask(sampler=name, guidance=guidance, negative="cat", steps=6, seed=MAX_SEED, count=2)
        )
        latents = pipeline(
            "a red fox", negative_prompt="cat", guidance_scale=guidance, num_inference_steps=6, height=SIDE,
            width=SIDE, num_images_per_prompt=2, output_type="latent",
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        ).images  # fmt: skip
        with torch.no_grad():
            decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor)[0]
        expected = pipeline.image_processor.postprocess(decoded, output_type="np")
        for picture, latent, theirs in zip(result.pictures, latents, expected, strict=True):
            assert min(_close(ours, latent) for ours in spy.latents) <= 1e-5
            assert (np.abs(pixels(picture.data) - (theirs * 255).round()) <= 1).mean() >= 0.999
    harness.engine.cancel(neighbour, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["euler", "pndm", "dpmpp_2m_karras"])
def test_guidance_in_the_first_half_equals_a_pipeline_that_stops_guiding(
    folder: Path, harness: Harness, spy: Spy, name: str
) -> None:
    """After its interval a run costs one row; the pipeline is told so by its callback, as diffusers says."""
    pipeline = _pipeline(folder)
    pipeline.scheduler = samplers.scheduler(name, spy.scheduler_config, spy.prediction)

    def stop(pipe: Any, step: int, t: Any, kept: dict[str, Any]) -> dict[str, Any]:
        if step == round(4 * pipe.num_timesteps / 8) - 1:
            pipe._guidance_scale = 0.0
            kept["prompt_embeds"] = kept["prompt_embeds"].chunk(2)[-1]
        return kept

    expected = pipeline(
        "a red fox", guidance_scale=5.0, num_inference_steps=8, height=SIDE, width=SIDE, output_type="latent",
        generator=torch.Generator().manual_seed(1), callback_on_step_end=stop,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    ).images[0]  # fmt: skip
    spy.rows.clear()
    harness.drawn(ask(sampler=name, steps=8, guided=(0.0, 0.5)))
    steps = pipeline.num_timesteps
    assert spy.rows == [2] * round(4 * steps / 8) + [1] * (steps - round(4 * steps / 8))
    assert _close(spy.latents[-1], expected) <= 1e-5


def test_a_price_counts_the_guided_steps_only() -> None:
    assert ask(guided=(0.0, 0.5)).work == pytest.approx(0.75 * ask().work)
    assert ask(guidance=1.0, guided=(0.0, 0.5)).work == pytest.approx(0.5 * ask().work)
    started = ask(steps=10, source="0" * 64, strength=0.5, guided=(0.2, 0.8))
    assert started.guided_steps == range(0, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OURS)
def test_img2img_equals_the_diffusers_pipeline(folder: Path, harness: Harness, spy: Spy, name: str) -> None:
    """A run with a source starts where StableDiffusionImg2ImgPipeline starts."""
    pipeline = _pipeline(folder, "StableDiffusionImg2ImgPipeline")
    pipeline.scheduler = samplers.scheduler(name, spy.scheduler_config, spy.prediction)
    source = harness.drawn(ask(seed=77)).pictures[0].data
    spy.latents.clear()
    result = harness.drawn(ask(sampler=name, steps=9, source="0" * 64, strength=0.6), source=source)
    with Image.open(io.BytesIO(source)) as image:
        expected = pipeline(
            "a red fox", image=image.convert("RGB"), strength=0.6, guidance_scale=5.0, num_inference_steps=9,
            generator=torch.Generator().manual_seed(1), output_type="latent",
        ).images[0]  # fmt: skip
    assert _close(spy.latents[0], expected) <= 1e-5
    assert result.pictures[0].seed == 1


# --- C9: bitwise the same, whatever the neighbours


def _latents(
    spy: Spy, harness: Harness, requests: list[Request], rng: random.Random
) -> dict[int, torch.Tensor]:
    """Final latents by seed of ``requests``, drawn together with random arrivals, flows and cancelled
    others."""
    spy.latents.clear()
    jobs, doomed = [], []
    order = list(requests)
    rng.shuffle(order)
    for place, request in enumerate(order):
        jobs.append(harness.draw(request, flow=f"f{rng.randrange(3)}", turn=float(place), watch=False))
        if rng.random() < 0.6:
            doomed.append(harness.draw(ask(prompt="dog", seed=10**6 + place, steps=rng.randrange(2, 40))))
        time.sleep(rng.random() * 0.01)
        if doomed and rng.random() < 0.7:
            harness.engine.cancel(doomed.pop(rng.randrange(len(doomed))), 1)
    for job in doomed:
        harness.engine.cancel(job, 1)
    found = {}
    for request, result in zip(order, harness.wait(*jobs), strict=True):
        assert isinstance(result, wire.Drawn), result
        found[request.seed] = torch.from_numpy(pixels(result.pictures[0].data))
    return found


def test_a_picture_is_bitwise_the_same_whatever_shares_its_steps(
    spy: Spy, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sampler, guided and not, joined, parked and cancelled at random: at one row bucket, one
    result."""
    monkeypatch.setattr(batch, "padded", lambda rows: 8)
    harness.engine._schedule.share.quantum = 0.0  # as much parking as there can be
    monkeypatch.setattr(harness.engine._schedule.costs, "cap", lambda bucket, wanted, least=1: 8)
    kept: dict[int, list[torch.Tensor]] = {}
    honest = spy._model.decode

    def decode(latents: torch.Tensor) -> torch.Tensor:
        kept.setdefault(int(marks.pop(0)) if marks else -1, []).append(latents[0].clone())
        return honest(latents)

    marks: list[int] = []
    end = harness.engine._finish.next

    def marked() -> Any:
        found = end()
        if found is not None:
            marks.append(found[0].seed)
        return found

    monkeypatch.setattr(harness.engine._finish, "next", marked)
    monkeypatch.setattr(spy, "decode", decode)
    rng = random.Random(20)
    requests = [
        ask(sampler=name, seed=100 + place, steps=rng.randrange(1, 9), guidance=rng.choice([1.0, 3.0, 7.5]))
        for place, name in enumerate(SAMPLERS)
    ]
    for request in requests:
        harness.drawn(request, watch=False)
    for _ in range(4):
        _latents(spy, harness, requests, rng)
    assert set(spy.rows) == {8}
    for request in requests:
        alone, *together = kept[request.seed]
        assert len(together) == 4
        for other in together:
            assert torch.equal(alone, other), request.sampler


def test_across_row_buckets_pictures_differ_by_rounding_only(harness: Harness) -> None:
    alone = harness.drawn(ask(steps=12, sampler="dpmpp_2m_karras")).pictures[0]
    together = harness.drawn(ask(steps=12, sampler="dpmpp_2m_karras", count=4)).pictures[0]
    assert (np.abs(pixels(alone.data) - pixels(together.data)) <= 1).mean() >= 0.999


# --- arrivals, progress, cancel


def test_a_request_for_four_is_four_pictures_with_seeds_in_a_row(harness: Harness) -> None:
    result = harness.drawn(ask(count=4, seed=40))
    assert [picture.seed for picture in result.pictures] == [40, 41, 42, 43]
    assert [picture.index for picture in result.pictures] == [0, 1, 2, 3]
    assert pixels(result.grid).shape[0] > 2 * SIDE
    assert result.seconds > 0.0
    assert result.device_seconds > 0.0
    one = harness.drawn(ask(seed=42))
    assert (np.abs(pixels(one.pictures[0].data) - pixels(result.pictures[2].data)) <= 1).all()


def test_a_picture_carries_the_recipe_that_redraws_it(harness: Harness) -> None:
    result = harness.drawn(ask(count=2, seed=7, prompt="(fox:1.2)", negative="cat"))
    recipe = pictures.recipe(result.pictures[1].data)
    assert recipe is not None
    assert (recipe.seed, recipe.count, recipe.prompt) == (8, 1, "(fox:1.2)")
    assert harness.drawn(recipe).pictures[0].width == SIDE


def test_progress_counts_every_step_and_shows_those_who_watch(harness: Harness) -> None:
    job = harness.draw(ask(count=2, steps=140, sampler="euler_a"))
    harness.wait(job)
    progress = [m for m in harness.seen if isinstance(m, wire.Progress) and m.job == job]
    assert progress[-1].done == progress[-1].total == 280
    assert [p.done for p in progress] == sorted(p.done for p in progress)
    shown = [p.previews for p in progress if p.previews]
    assert shown
    assert all(len(previews) == 2 for previews in shown)
    blind = harness.draw(ask(steps=30), watch=False)
    harness.wait(blind)
    assert not any(m.previews for m in harness.seen if isinstance(m, wire.Progress) and m.job == blind)


def test_a_newcomer_joins_at_the_next_step(harness: Harness, spy: Spy) -> None:
    """Both share calls of four rows long before the first is done."""
    first = harness.draw(ask(steps=150))
    while not any(isinstance(m, wire.Progress) for m in harness.seen):
        harness.hear()
    second = harness.draw(ask(steps=3, seed=5))
    harness.wait(second)
    assert not any(isinstance(m, wire.Drawn) and m.job == first for m in harness.seen)
    harness.engine.cancel(first, 1)
    harness.wait(first)


@pytest.mark.parametrize(("known", "inside"), [(True, 8), (False, 1)])
def test_whose_words_are_known_come_in_together_and_others_one_a_step(
    model: Denoiser, monkeypatch: pytest.MonkeyPatch, known: bool, inside: int
) -> None:
    """Rows do not stay empty while eight wait; encoding the words of eight holds up nobody's step."""
    spy, now = Spy(model), [0.0]

    def encode(prompts: tuple[str, ...], chunks: int = 1) -> tuple[torch.Tensor, ...]:
        now[0] += 0.0 if known else 0.02
        return model.encode(prompts, chunks)

    monkeypatch.setattr(spy, "encode", encode, raising=False)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now[0]))
    made = Harness([ModelSpec(name="tiny")], lambda spec: spy).engine
    made._models["tiny"] = spy
    plan = Plan(samplers.compile("euler", 6, spy.scheduler_config, spy.prediction))
    works = [Work(wire.Draw(job=job, attempt=1, request=ask(seed=job))) for job in range(8)]
    made._arriving.extend((work, plan) for work in works)
    with torch.inference_mode():
        made._welcome()
    assert sum(bool(work.runs) for work in works) == inside
    for helper in (made._loader, made._admission, made._finish):
        helper.close()


def test_a_cancelled_draw_leaves_within_one_step(harness: Harness, spy: Spy) -> None:
    job = harness.draw(ask(steps=150, count=4))
    while not any(isinstance(m, wire.Progress) for m in harness.seen):
        harness.hear()
    harness.engine.cancel(job, 1)
    (result,) = harness.wait(job)
    calls = len(spy.rows)
    assert isinstance(result, wire.Cancelled)
    time.sleep(0.05)
    assert len(spy.rows) <= calls + 1
    harness.drawn(ask(seed=3))


def test_cancelling_what_is_not_there_is_answered(harness: Harness) -> None:
    harness.engine.cancel(12345, 1)
    (result,) = harness.wait(12345)
    assert isinstance(result, wire.Cancelled)


def test_a_suspect_draws_with_nothing_beside_it(harness: Harness, spy: Spy) -> None:
    harness.engine._schedule.costs.measured("warm", 1, 1.0)
    others = [harness.draw(ask(steps=40, seed=i)) for i in range(3)]
    while not any(isinstance(m, wire.Progress) for m in harness.seen):
        harness.hear()
    together: list[set[int]] = []
    step = harness.engine._step

    def watched(runs: Any) -> None:
        together.append({run.work.draw.job for run in runs})
        step(runs)

    harness.engine._step = watched  # type: ignore[method-assign]
    suspect = harness.draw(ask(steps=5, seed=50), alone=True)
    late = harness.draw(ask(steps=5, seed=60))
    harness.wait(suspect, late, *others)
    assert all(jobs == {suspect} for jobs in together if suspect in jobs)
    first = next(place for place, jobs in enumerate(together) if suspect in jobs)
    assert not any(late in jobs for jobs in together[:first])


def test_rows_never_exceed_the_largest_bucket(harness: Harness, spy: Spy) -> None:
    jobs = [harness.draw(ask(count=4, steps=4, seed=i, guidance=g)) for i, g in enumerate([1.0, 7.0] * 5)]
    harness.wait(*jobs)
    assert set(spy.rows) <= set(batch.ROW_BUCKETS)
    assert max(spy.rows) == 16


def test_two_sizes_and_two_lengths_of_prompt_are_drawn_side_by_side(harness: Harness) -> None:
    """Different buckets take turns; none starves, none is padded into the other."""
    long = "fox " * 40
    jobs = [
        harness.draw(ask(width=w, prompt=p, seed=i, steps=8))
        for i, (w, p) in enumerate([(SIDE, "fox"), (2 * SIDE, "fox"), (SIDE, long), (2 * SIDE, long)])
    ]
    widths = [r.pictures[0].width for r in harness.wait(*jobs) if isinstance(r, wire.Drawn)]
    assert widths == [SIDE, 2 * SIDE, SIDE, 2 * SIDE]


# --- what goes wrong


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ask(sampler="heun"), "sampler_unknown"),
        (ask(width=SIDE + 1), "bad_size"),
        (ask(sampler="lcm", steps=60), "sampler_steps"),
        (ask(source="0" * 64, strength=0.5), "source_broken"),
        (ask(model="nosuch"), "model_missing"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_code(harness: Harness, request_: Request, code: str) -> None:
    (result,) = harness.wait(harness.draw(request_, source=b"\x89PNG\r\n\x1a\nnonsense"))
    assert isinstance(result, wire.Failed)
    assert result.code == code
    harness.drawn(ask())


def test_a_broken_model_fails_its_draws_and_no_others(model: Denoiser) -> None:
    def load_one(spec: ModelSpec) -> Denoiser:
        if spec.name == "bad":
            raise BadModel("model_pickle", "old.ckpt")
        return model

    harness = Harness([ModelSpec(name="tiny"), ModelSpec(name="bad")], load_one)
    harness.engine.start()
    try:
        bad, good = harness.draw(ask(model="bad")), harness.draw(ask())
        results = harness.wait(bad, good)
        again = harness.wait(harness.draw(ask(model="bad")))
    finally:
        harness.engine.stop()
    assert isinstance(results[0], wire.Failed)
    assert (results[0].code, results[0].detail) == ("model_pickle", "old.ckpt")
    assert isinstance(results[1], wire.Drawn)
    assert isinstance(again[0], wire.Failed)
    assert harness.engine.states()[1].reason == "model_pickle"


class _Small:
    """A machine with room for two models."""

    def __init__(self, model: Denoiser) -> None:
        self.model = model
        self.inside: list[str] = []
        self.engine: Any = None

    def load(self, spec: ModelSpec) -> Denoiser:
        held = [name for name in self.engine._models if name != spec.name]
        if len(held) >= 2 or spec.name == "huge":
            raise BadModel("model_too_big", "needs 9.9 GB, 1.0 GB free")
        self.inside.append(spec.name)
        return Spy(self.model)


@pytest.fixture
def small(model: Denoiser) -> Iterator[tuple[Harness, _Small]]:
    machine = _Small(model)
    harness = Harness([ModelSpec(name=name) for name in ("a", "b", "c", "huge")], machine.load)
    machine.engine = harness.engine
    harness.engine.start()
    yield harness, machine
    harness.engine.stop()


def test_a_third_model_takes_the_place_of_the_one_used_longest_ago(small: tuple[Harness, _Small]) -> None:
    harness, machine = small
    for name in ("a", "b", "a", "c", "a", "b"):
        harness.drawn(ask(model=name, steps=2))
    assert machine.inside == ["a", "b", "c", "b"]
    assert [state.state for state in harness.engine.states()] == ["ready", "ready", "waiting", "waiting"]


def test_a_load_that_fails_while_the_engine_looks_refuses_nobody(
    small: tuple[Harness, _Small], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loading thread says "loading", and has failed before the engine has finished hearing that."""
    harness, _ = small
    for name in ("a", "b"):
        harness.drawn(ask(model=name, steps=2))
    loader = harness.engine._loader
    states = loader.states

    def slow() -> Any:
        while loader._states["c"].state == "loading":
            time.sleep(0.001)  # the failure falls between two looks
        return states()

    monkeypatch.setattr(loader, "states", slow)
    assert harness.drawn(ask(model="c", steps=2)).pictures


def test_a_model_in_use_is_not_sent_away(small: tuple[Harness, _Small]) -> None:
    harness, machine = small
    slow = [harness.draw(ask(model=name, steps=25, seed=7)) for name in ("a", "b")]
    late = harness.draw(ask(model="c", steps=2))
    order: list[int] = []
    while len(order) < 3:
        message = harness.hear()
        order += [message.job] if isinstance(message, wire.Drawn) else []
    assert order[-1] == late
    assert set(order) == {*slow, late}
    assert machine.inside[:2] == ["a", "b"]


def test_a_model_that_fits_nowhere_says_how_much_it_needs(small: tuple[Harness, _Small]) -> None:
    harness, _ = small
    harness.drawn(ask(model="a", steps=2))
    (result,) = harness.wait(harness.draw(ask(model="huge")))
    assert isinstance(result, wire.Failed)
    assert (result.code, result.detail) == ("model_too_big", "needs 9.9 GB, 1.0 GB free")
    harness.drawn(ask(model="a", steps=2))


def _poison(spy: Spy, prompt: str) -> torch.Tensor:
    """The conditioning by which rows of ``prompt`` are known."""
    mark: torch.Tensor = spy.encode([prompt])[0]
    return mark


def test_a_picture_that_breaks_is_refunded_and_its_neighbours_arrive(harness: Harness, spy: Spy) -> None:
    """NaN in float32: there is nothing more exact to try."""
    mark = _poison(spy, "cat")

    def after(out: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        guilty = (cond == mark).flatten(1).all(1)
        return torch.where(guilty[:, None, None, None], torch.nan, out)

    spy.after = after
    jobs = [harness.draw(ask(prompt=p, seed=i)) for i, p in enumerate(["fox", "cat", "dog"])]
    fox, cat, dog = harness.wait(*jobs)
    assert isinstance(cat, wire.Failed)
    assert cat.code == "broken_picture"
    assert isinstance(fox, wire.Drawn)
    assert isinstance(dog, wire.Drawn)
    spy.after = lambda out, cond: out
    clean = harness.drawn(ask(prompt="dog", seed=2))
    assert (np.abs(pixels(clean.pictures[0].data) - pixels(dog.pictures[0].data)) <= 1).all()


def test_a_picture_that_breaks_in_half_precision_is_tried_once_in_float32(harness: Harness, spy: Spy) -> None:
    spy.pretends = torch.bfloat16
    spy.after = lambda out, cond: out * torch.nan
    result = harness.drawn(ask(count=2, seed=9))
    assert [picture.seed for picture in result.pictures] == [9, 10]
    spy.pretends, spy.after = None, lambda out, cond: out
    assert pixels(harness.drawn(ask(seed=9)).pictures[0].data).std() > 0
    assert not harness.engine._exact


def test_a_picture_that_breaks_in_float32_too_is_tried_no_more(
    harness: Harness, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, not for ever; its neighbour arrives, and what was paid for it comes back (``test_dispatch``)."""
    mark, casts = _poison(spy, "cat"), []

    def cast(dtype: torch.dtype) -> Spy:
        casts.append(dtype)
        return spy

    def after(out: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        guilty = (cond == mark).flatten(1).all(1)
        return torch.where(guilty[:, None, None, None], torch.nan, out)

    monkeypatch.setattr(spy, "cast", cast)
    spy.pretends, spy.after = torch.bfloat16, after
    cat, fox = harness.wait(harness.draw(ask(prompt="cat", steps=4)), harness.draw(ask(steps=4, seed=2)))
    assert isinstance(cat, wire.Failed)
    assert cat.code == "broken_picture"
    assert isinstance(fox, wire.Drawn)
    assert casts == [torch.float32]
    assert len([latent for latent in spy.latents if not latent.isfinite().all()]) == 0


def test_a_model_whose_sampler_is_not_linear_is_refused_by_name(
    harness: Harness, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**spy.scheduler_config, "clip_sample": True, "thresholding": True}
    monkeypatch.setattr(spy, "scheduler_config", config, raising=False)
    (refused,) = harness.wait(harness.draw(ask(sampler="ddim")))
    assert isinstance(refused, wire.Failed)
    assert refused.code == "sampler_not_linear"
    assert refused.detail.startswith("ddim with ")
    assert samplers.PLAIN in refused.detail
    harness.drawn(ask(sampler=samplers.PLAIN))


def test_out_of_memory_halves_the_rows_and_everybody_still_gets_pictures(
    harness: Harness, spy: Spy, caplog: pytest.LogCaptureFixture
) -> None:
    def before(cond: torch.Tensor) -> None:
        if len(cond) > 4:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")

    spy.before = before
    jobs = [harness.draw(ask(count=4, seed=i)) for i in range(3)]
    assert all(isinstance(result, wire.Drawn) for result in harness.wait(*jobs))
    assert max(spy.rows[-10:]) <= 4
    assert [getattr(r, "rows", 0) for r in caplog.records if r.message == "fewer rows"][-1] == 4


def test_out_of_memory_for_one_run_alone_is_told(harness: Harness, spy: Spy) -> None:
    def before(cond: torch.Tensor) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    spy.before = before
    (result,) = harness.wait(harness.draw(ask()))
    assert isinstance(result, wire.Failed)
    assert result.code == "out_of_memory"


def test_an_error_in_the_model_is_pinned_on_the_guilty_run(harness: Harness, spy: Spy) -> None:
    mark = _poison(spy, "cat")

    def before(cond: torch.Tensor) -> None:
        if (cond == mark).flatten(1).all(1).any():
            raise RuntimeError("shape mismatch somewhere inside")

    spy.before = before
    jobs = [harness.draw(ask(prompt=p, seed=i)) for i, p in enumerate(["fox", "cat", "dog"])]
    fox, cat, dog = harness.wait(*jobs)
    assert isinstance(fox, wire.Drawn)
    assert isinstance(dog, wire.Drawn)
    assert isinstance(cat, wire.Failed)
    assert cat.code == "draw_failed"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lost_device_ends_the_thread(harness: Harness, spy: Spy) -> None:
    """Only a new process helps: ``serve`` sees it and leaves, and the bot starts another."""

    def before(cond: torch.Tensor) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    spy.before = before
    harness.draw(ask())
    harness.engine._thread.join(10)
    assert not harness.engine.alive


MEMORY = "DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (ValueError("shapes"), "broken_picture"),
    ],
)
def test_a_decode_that_fails_loses_its_picture_and_no_other(
    harness: Harness, spy: Spy, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    """The likeliest place to run out of memory: neighbours, and who comes later, get their pictures."""
    honest, calls = spy.decode, iter(range(100))

    def decode(latents: torch.Tensor) -> torch.Tensor:
        if next(calls) == 1:
            raise error
        return honest(latents)

    monkeypatch.setattr(spy, "decode", decode)
    result = harness.drawn(ask(count=3))
    assert len(result.pictures) == 2
    assert [failure.code for failure in result.failures] == [code]
    assert harness.drawn(ask()).pictures
    assert harness.engine.alive


@pytest.mark.parametrize("name", ["encode", "encode_image", "cast", "preview"])
def test_a_model_that_fails_anywhere_fails_one_draw(
    harness: Harness, spy: Spy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = harness.drawn(ask(seed=77)).pictures[0].data

    def fail(*_: object) -> None:
        raise RuntimeError(MEMORY)

    with monkeypatch.context() as broken:
        broken.setattr(spy, name, fail)
        if name == "cast":
            spy.pretends, spy.after = torch.bfloat16, lambda out, cond: out * torch.nan
        (result,) = harness.wait(
            harness.draw(ask(source="0" * 64, strength=0.6, count=2), source=source), timeout=10
        )
    spy.pretends, spy.after = None, lambda out, cond: out
    if name == "preview":
        assert isinstance(result, wire.Drawn), "it would have been shown on its way, no more"
    else:
        assert isinstance(result, wire.Failed)
        assert result.code == "out_of_memory"
    assert harness.drawn(ask()).pictures
    assert not harness.engine._works or harness.engine.alive


def test_no_room_for_a_new_latent_fails_who_wanted_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture that is being drawn beside it goes on; no slot is lost."""
    first = harness.draw(ask(steps=60))
    while not any(isinstance(m, wire.Progress) for m in harness.seen):
        harness.hear()
    noise = Arena._noise

    def full(arena: Arena, generator: torch.Generator) -> torch.Tensor:
        if generator.initial_seed() == 5:
            raise RuntimeError(MEMORY)
        return noise(arena, generator)

    monkeypatch.setattr(Arena, "_noise", full)
    one, other = harness.wait(first, harness.draw(ask(seed=5, steps=3)), timeout=10)
    assert isinstance(one, wire.Drawn)
    assert isinstance(other, wire.Failed)
    assert other.code == "out_of_memory"
    harness.engine.stop()
    (arena,) = harness.engine._arenas.values()
    assert SHARED + arena.free == len(arena.cells)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_device_lost_while_decoding_ends_the_thread(
    harness: Harness, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(latents: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(spy, "decode", fail)
    harness.draw(ask())
    harness.engine._thread.join(10)
    assert not harness.engine.alive


def test_enlarging_draws_nothing(harness: Harness, spy: Spy) -> None:
    source = harness.drawn(ask()).pictures[0].data
    calls = len(spy.rows)
    request = ask(source="0" * 64, enlarge=4, width=4 * SIDE, height=4 * SIDE)
    result = harness.drawn(request, source=source)
    assert len(spy.rows) == calls
    assert result.pictures[0].width == 4 * SIDE
    (broken,) = harness.wait(harness.draw(request, source=b"nonsense"))
    assert isinstance(broken, wire.Failed)
    assert broken.code == "source_broken"


def test_slots_are_clean_and_memory_stays(harness: Harness) -> None:
    """After many draws and cancels every slot is free again, and the arena did not grow beyond what flew
    at once."""
    for round_ in range(6):
        jobs = [harness.draw(ask(seed=i, count=2, steps=4)) for i in range(4)]
        harness.engine.cancel(jobs[round_ % 4], 1)
        harness.wait(*jobs)
    harness.engine.stop()
    (arena,) = harness.engine._arenas.values()
    assert SHARED + arena.free == len(arena.cells)
    assert not arena.cells[SHARED:].any()
    assert not harness.engine._works
    assert harness.engine._schedule.share.service("") == 0.0


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_parked_picture_holds_what_its_sampler_looks_at_again_and_no_more(
    model: Denoiser, name: str
) -> None:
    """At most six latents, and a generator only while noise is still drawn."""
    table = samplers.compile(name, 20, model.scheduler_config, model.prediction)
    columns = (table.coefficients != 0.0).any(axis=0)
    assert table.latents == 1 + max(back for back in range(3) if columns[back] or not back)
    assert table.outputs == max([back for back in range(4) if columns[3 + back]], default=0)
    assert table.cells <= 6
    arena = Arena((tiny.CHANNELS, 8, 8), torch.device("cpu"))
    work = Work(wire.Draw(job=1, attempt=1, request=ask(sampler=name)))
    cond = model.encode(("a fox",))[0]
    run = Run(
        work=work, index=0, seed=1, bucket=batch.Bucket("tiny", 8, 8, len(cond)), model=model, table=table,
        cond=cond, uncond=cond, plan=Plan(table),
    )  # fmt: skip
    arena.begin(run)
    with torch.inference_mode():
        arena.step(model, [run], 1)
    assert (run.generator is None) == (not table.draws.any())
    assert len(arena.cells) - arena.free == SHARED + table.cells
    arena.end(run)
    assert len(arena.cells) - arena.free == SHARED


def test_a_weight_on_the_wire_is_a_share_of_the_steps(
    harness: Harness, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role's weight comes as ``Draw.weight``; of one row a call, three of four are the heavy one's."""
    schedule = harness.engine._schedule
    monkeypatch.setattr(schedule.share, "quantum", 0.0)
    monkeypatch.setattr(schedule.costs, "cap", lambda *_: 1)
    took: list[str] = []
    charge = schedule.charge

    def noted(flow: str, bucket: Hashable, rows: int) -> float:
        took.append(flow)
        return charge(flow, bucket, rows)

    monkeypatch.setattr(schedule, "charge", noted)
    request = ask(guidance=1.0, steps=150)
    first = harness.draw(request, flow="first", watch=False)  # the next two come while it is drawn
    jobs = [harness.draw(request, flow=name, weight=w, watch=False) for name, w in (("a", 1.0), ("b", 3.0))]
    harness.wait(first, *jobs)
    both = took[max(took.index("a"), took.index("b")) : len(took) - took[::-1].index("b")]
    counted = both.count("b") / both.count("a")
    assert 2.7 <= counted <= 3.3, (counted, len(both))
