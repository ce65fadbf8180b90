"""The GPU's bench, as far as it can be tried without one: every line of it with tiny models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.bench import gpu
from tests.flow.house import ENVIRONMENT, ROOT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_goal_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures mean nothing here, but for the two that are about bits."""
    assert gpu.main(["--dry", "--out", str(tmp_path / "gpu.json")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert json.loads((tmp_path / "gpu.json").read_text()) == lines
    assert all(line["dry"] for line in lines)
    said = {line["figure"]: line for line in lines}
    wanted = [
        "rows changed by neighbours, bfloat16", "64² mixed queue over sequential", "64² device busy",
        "64² host outside the model, ms a step", "64² a recorded step has the same bits",
        "64² steps a second, one picture",
    ]  # fmt: skip
    assert {f"{model} {figure}" for model in gpu.DRY for figure in wanted} <= said.keys()
    single = [
        "T(rows) sd15 64²", "T(rows) sdxl 64²", "sd15 64² mixed queue over our compiled sequential",
        "sdxl 64² pictures, of the best fixed", "sdxl 64² mean wait, of the best fixed",
    ]  # fmt: skip
    assert set(single) <= said.keys()
    assert all(said[f"{model} {wanted[0]}"]["value"] == 0 for model in gpu.DRY)
    assert set(said["T(rows) sd15 64²"]["ms"]) == {"1", "2", "4", "8", "16"}
    assert all(line["value"] > 0.0 for line in lines if "steps a second" in line["figure"])


def test_neighbours_that_change_a_row_are_found() -> None:
    """The control: a model in which rows meet."""
    stand = gpu.dry()
    made = gpu.shape("sd15", gpu.TINY["sd15"], stand)
    honest = made.unet.forward

    def leaky(x: torch.Tensor, *given: object, **more: object) -> tuple[torch.Tensor]:
        (found,) = honest(x, *given, **more)
        return (found + 0.1 * found.roll(1, 0),)

    made.unet.forward = leaky
    assert gpu.neighbours(made, 64, torch.bfloat16)["value"] == 8


def test_what_time_does_not_suffice_for_is_left_out_and_said() -> None:
    made = gpu.shape("sd15", gpu.TINY["sd15"], gpu.dry())
    assert gpu.table(made, gpu.dry(), 64, end=0.0) == {}
    assert gpu.shown(made, 64, {1: 0.5, 2: 0.6})["left_out"] == [4, 8, 16]


def test_full_shapes_are_those_of_the_published_models() -> None:
    """Numbers of weights of SD1.5's and SDXL's UNets."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    for name, millions in (("sd15", 859.5), ("sdxl", 2567.5)):
        with torch.device("meta"):
            unet = UNet2DConditionModel(**gpu.GOALS[name].config)
        assert sum(each.numel() for each in unet.parameters()) / 1e6 == pytest.approx(millions, rel=1e-3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    words = [sys.executable, "-m", "tests.bench.gpu"]
    done = subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no GPU" in done.stderr
