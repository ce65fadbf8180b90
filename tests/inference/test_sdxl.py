"""SDXL on the same engine: equal to diffusers' own pipeline, with neighbours; refused when it is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from inference import samplers
from inference.models import BadModel, examine, load
from inference.models.sdxl import StableDiffusionXL
from inference.request import ModelSpec, Request
from tests.inference import tiny
from tests.inference.engines import Harness, Spy, running

SIDE = 8 * tiny.FACTOR


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder_xl(tmp_path_factory.mktemp("sdxl") / "xl", seed=3)


@pytest.fixture(scope="module")
def spy(folder: Path) -> Spy:
    return Spy(load(ModelSpec(name="xl", source=str(folder))))


@pytest.fixture(scope="module")
def harness(spy: Spy) -> Iterator[Harness]:
    with running(("xl", spy)) as harness:
        yield harness


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

    made: Any = StableDiffusionXLPipeline.from_pretrained(
        folder, local_files_only=True, low_cpu_mem_usage=False, add_watermarker=False
    )
    made.set_progress_bar_config(disable=True)
    return made


def ask(**more: Any) -> Request:
    given: dict[str, Any] = {
        "prompt": "a red fox", "model": "xl", "width": SIDE, "height": SIDE, "steps": 5, "guidance": 5.0,
        "sampler": "euler", "seed": 1, "count": 1,
    }  # fmt: skip
    return Request(**(given | more))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prompt", ["a red fox", "", "gato on the background"])
def test_conditioning_equals_the_pipelines(spy: Spy, pipeline: Any, prompt: str) -> None:
    """Both encoders before their last layer, the second one's pooled text, and nothing for nothing."""
    embeds, negative, pooled, negative_pooled = pipeline.encode_prompt(prompt)
    ours, nothing = spy.encode([prompt or "fox", ""])
    if prompt:
        assert torch.allclose(ours[:-1], embeds[0], atol=1e-6)
        assert torch.allclose(ours[-1, : tiny.XL_DIM], pooled[0], atol=1e-6)
    assert torch.equal(nothing[:-1], negative[0])
    assert torch.equal(nothing[-1, : tiny.XL_DIM], negative_pooled[0])
    assert spy.encode(["a red fox"])[0] is spy.encode(["a red fox"])[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("sampler", "guidance", "negative"),
    [("euler", 5.0, ""), ("dpmpp_2m_karras", 5.0, "cat"), ("euler_a", 1.0, ""), ("lcm", 1.0, "")],
)
def test_pictures_equal_the_pipelines(
    harness: Harness, spy: Spy, pipeline: Any, sampler: str, guidance: float, negative: str
) -> None:
    """In batches with a neighbour; unguided in few steps is how Turbo, Lightning and LCM checkpoints draw."""
    pipeline.scheduler = samplers.scheduler(sampler, spy.scheduler_config, spy.prediction)
    neighbour = harness.draw(ask(prompt="a dog", steps=100, seed=99, sampler="ddim"))
    harness.drawn(ask(sampler=sampler, guidance=guidance, negative=negative, width=SIDE, height=2 * SIDE))
    expected = pipeline(
        "a red fox", negative_prompt=negative or None, guidance_scale=guidance, num_inference_steps=5,
        width=SIDE, height=2 * SIDE, generator=torch.Generator().manual_seed(1), output_type="latent",
    ).images[0]  # fmt: skip
    harness.engine.cancel(neighbour, 1)
    assert min(_apart(ours, expected) for ours in spy.latents) <= 1e-5


def _apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm()) if ours.shape == theirs.shape else 1.0


def test_a_long_prompt_has_as_many_chunks_as_it_needs(harness: Harness, spy: Spy) -> None:
    (cond,) = spy.encode(["fox " * 40])
    assert len(cond) == 3 * tiny.WINDOW + 1
    assert harness.drawn(ask(prompt="fox " * 40)).pictures


def test_rows_are_independent_of_their_neighbours(spy: Spy) -> None:
    x, t = torch.randn(4, tiny.CHANNELS, 8, 8), torch.full((4,), 500.0)
    cond = torch.stack([*spy.encode(["fox", "cat", "a dog", ""])])
    together = spy.denoise(x, t, cond)
    order = [2, 0, 3, 1]
    assert torch.equal(spy.denoise(x[order], t, cond[order]), together[order])


@pytest.mark.parametrize(
    ("file", "change", "code"),
    [
        ("unet/config.json", {"addition_embed_type": "image"}, "model_family"),
        ("unet/config.json", {"projection_class_embeddings_input_dim": 99}, "model_corrupt"),
        ("unet/config.json", {"cross_attention_dim": 32}, "model_corrupt"),
        ("text_encoder_2/config.json", {"architectures": ["EvilModel"]}, "model_family"),
        ("text_encoder_2/config.json", {"projection_dim": None}, "model_corrupt"),
        ("model_index.json", {"text_encoder_2": ["os", "system"]}, "model_remote_code"),
        ("model_index.json", {"tokenizer_2": [None, None]}, "model_missing"),
    ],
)
def test_a_broken_sdxl_is_refused_by_name(
    tmp_path: Path, file: str, change: dict[str, Any], code: str
) -> None:
    at = tiny.folder_xl(tmp_path / "xl")
    content = json.loads((at / file).read_text())
    (at / file).write_text(json.dumps(content | change))
    with pytest.raises(BadModel) as bad:
        load(ModelSpec(name="xl", source=str(at)))
    assert bad.value.code == code


def test_it_is_recognised_without_reading_its_tensors(folder: Path) -> None:
    assert examine(ModelSpec(name="xl", source=str(folder))).values > 10_000
    assert isinstance(load(ModelSpec(name="xl", source=str(folder))), StableDiffusionXL)
