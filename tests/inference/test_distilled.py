"""LCM checkpoints: the guidance is an input of the UNet, one row a step; equal to the diffusers pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from inference import samplers
from inference.models import BadModel, load
from inference.models.sd import told
from inference.request import ModelSpec, Request
from tests.inference import tiny
from tests.inference.engines import Spy, running

SIDE, WIDTH = 8 * tiny.FACTOR, 16
KINDS = ("LatentConsistencyModelPipeline", "StableDiffusionXLPipeline")


def made(at: Path, kind: str) -> Path:
    """A tiny distilled model as ``kind`` has it."""
    folder = tiny.folder_xl(at, seed=4, told=WIDTH) if "XL" in kind else tiny.folder(at, seed=4, told=WIDTH)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": kind}))
    return folder


def ask(**more: Any) -> Request:
    given: dict[str, Any] = {
        "prompt": "a red fox", "model": "lcm", "width": SIDE, "height": SIDE, "steps": 4, "guidance": 7.5,
        "sampler": "lcm", "seed": 1, "count": 1,
    }  # fmt: skip
    return Request(**(given | more))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_equal_the_pipelines_at_every_guidance(tmp_path: Path, kind: str) -> None:
    """With a neighbour of another guidance in the same calls, and one row each."""
    import diffusers

    folder = made(tmp_path / "lcm", kind)
    spy = Spy(load(ModelSpec(name="lcm", source=str(folder))))
    pipeline: Any = getattr(diffusers, kind).from_pretrained(
        folder, local_files_only=True, low_cpu_mem_usage=False
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = samplers.scheduler("lcm", spy.scheduler_config, spy.prediction)
    with running(("lcm", spy)) as harness:
        for guidance in (1.5, 7.5, 12.3):
            spy.rows.clear()
            neighbour = harness.draw(ask(prompt="a dog", seed=9, guidance=3.0))
            harness.drawn(ask(guidance=guidance))
            harness.wait(neighbour)
            assert max(spy.rows) <= 2
            expected = pipeline(
                "a red fox", guidance_scale=guidance, num_inference_steps=4, width=SIDE, height=SIDE,
                generator=torch.Generator().manual_seed(1), output_type="latent",
            ).images[0]  # fmt: skip
            assert min(float((ours - expected).norm() / expected.norm()) for ours in spy.latents) <= 1e-5


def test_the_guidance_changes_the_picture(tmp_path: Path) -> None:
    """The control: a UNet that is told nothing would draw the same twice."""
    spy = Spy(load(ModelSpec(name="lcm", source=str(made(tmp_path / "lcm", KINDS[0])))))
    with running(("lcm", spy)) as harness:
        for guidance in (2.0, 9.0):
            harness.drawn(ask(guidance=guidance))
    one, other = spy.latents
    assert float((one - other).norm() / one.norm()) > 1e-3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("width", [16, 17, 256])
def test_the_waves_are_the_pipelines(width: int) -> None:
    from diffusers import LatentConsistencyModelPipeline

    theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
        None, torch.tensor(8.5 - 1).repeat(1), embedding_dim=width
    )[0]
    assert torch.equal(told(8.5, width), theirs)


@pytest.mark.parametrize("width", [2, 33, "wide"])
def test_a_width_that_makes_no_sense_is_refused(tmp_path: Path, width: object) -> None:
    folder = made(tmp_path / "lcm", KINDS[0])
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"time_cond_proj_dim": width}))
    with pytest.raises(BadModel) as bad:
        load(ModelSpec(name="lcm", source=str(folder)))
    assert bad.value.code == "model_corrupt"
