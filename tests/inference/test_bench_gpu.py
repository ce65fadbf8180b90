"""The GPU's bench, as far as it can be tried without one: its queue on a tiny UNet, and what it says."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.bench import gpu
from tests.flow.house import ENVIRONMENT, ROOT


@pytest.mark.filterwarnings("ignore")
def test_the_mixed_queue_runs_to_its_end() -> None:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32,), layers_per_block=1, cross_attention_dim=8,
        attention_head_dim=8, norm_num_groups=8, down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
    )  # fmt: skip
    shape = gpu.Shape("sd15", unet, torch.device("cpu"), 4, 8, torch.float32)
    line = gpu.mixed(shape, 64, people=3)
    assert line["value"] > 0.0
    assert line["gate"] == 2.8


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    words = [sys.executable, "-m", "tests.bench.gpu"]
    done = subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no GPU" in done.stderr
