"""Every table equals its diffusers scheduler, driven through a model that is not linear."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from inference import samplers
from inference.models import plan
from inference.request import SAMPLERS
from inference.samplers import COLUMNS, LATENTS, OUTPUTS, BadSampler, Table

SD15: dict[str, Any] = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True,
}  # fmt: skip
SHAPE = (1, 4, 8, 8)
MODELS = ("epsilon", "v_prediction")


def _model(x: torch.Tensor, t: float) -> torch.Tensor:
    """A bounded, smooth, non-linear stand-in for a UNet; float32."""
    mixing = torch.randn(x.numel(), x.numel(), generator=torch.Generator().manual_seed(3)) / x.numel() ** 0.5
    return torch.tanh(mixing @ x.reshape(-1).float() + t / 1000).view(SHAPE)


def _by_diffusers(
    name: str,
    steps: int,
    prediction: str,
    begin: int,
    source: torch.Tensor | None,
    config: dict[str, Any] = SD15,
) -> torch.Tensor:
    made = samplers.scheduler(name, config, prediction)
    made.set_timesteps(steps)
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(SHAPE, generator=generator).double()
    if source is None:
        x = noise * getattr(made, "init_noise_sigma", 1.0)
    elif hasattr(made, "scale_noise"):
        x = made.scale_noise(source, made.timesteps[begin : begin + 1], noise)
    else:
        x = made.add_noise(source, noise, made.timesteps[begin : begin + 1])
    if begin and hasattr(made, "set_begin_index"):
        made.set_begin_index(begin)
    extra = {"generator": generator} if "generator" in inspect.signature(made.step).parameters else {}
    for t in made.timesteps[begin:]:
        scaled = made.scale_model_input(x, t) if hasattr(made, "scale_model_input") else x
        output = _model(scaled, float(t)).double()
        with _Float32Noise():
            x = made.step(output, t, x, return_dict=False, **extra)[0]
    return x.float()


class _Float32Noise(TorchFunctionMode):
    """A scheduler that is given float64 draws float64 noise, which is other noise: draw what a pipeline
    draws."""

    def __torch_function__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.randn:
            return func(*args, **(kwargs | {"dtype": torch.float32})).double()
        return func(*args, **(kwargs or {}))


def _by_table(table: Table, source: torch.Tensor | None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(SHAPE, generator=generator).double() * table.start[1]
    if source is not None:
        x = x + source.double() * table.start[0]
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    latents, outputs = [x] + [zero] * (LATENTS - 1), [zero] * OUTPUTS
    for k in range(len(table)):
        outputs = [_model(latents[0] * table.scale[k], table.t[k]).double(), *outputs[:-1]]
        noise = torch.randn(SHAPE, generator=generator).double() if table.draws[k] else zero
        cells = [*latents, *outputs, noise]
        x = sum((float(c) * cell for c, cell in zip(table.coefficients[k], cells, strict=True)), zero)
        latents = [x, *latents[:-1]]
    return latents[0].float()


def _error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("prediction", MODELS)
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 20, 50])
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "flow_euler"])
def test_table_equals_scheduler(name: str, steps: int, prediction: str) -> None:
    """A whole run from noise. diffusers is given float64, but keeps its sigmas in float32: 1e-6."""
    table = samplers.compile(name, steps, SD15, prediction)
    assert _error(_by_table(table, None), _by_diffusers(name, steps, prediction, 0, None)) < 1e-6


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "flow_euler"])
@pytest.mark.parametrize(("steps", "begin"), [(20, 0), (20, 7), (30, 29), (8, 3)])
def test_table_from_a_source_equals_scheduler(name: str, steps: int, begin: int) -> None:
    """img2img: the run starts mid-table with a cold history, as the diffusers pipeline's does."""
    source = torch.randn(SHAPE, generator=torch.Generator().manual_seed(11))
    table = samplers.compile(name, steps, SD15, "epsilon", begin, source=True)
    assert _error(_by_table(table, source), _by_diffusers(name, steps, "epsilon", begin, source)) < 1e-6


WITHOUT = ("pndm", "deis", "flow_euler")
"""Samplers whose schedulers know no zero terminal SNR."""


@pytest.mark.parametrize("steps", [2, 20])
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in WITHOUT])
def test_a_model_that_begins_at_pure_noise_is_drawn_as_by_its_scheduler(name: str, steps: int) -> None:
    """Also where the first latent is 4096 times as large as noise, and from the very last time on."""
    config = SD15 | plan.FROM_NOISE
    table = samplers.compile(name, steps, config, "v_prediction")
    theirs = _by_diffusers(name, steps, "v_prediction", 0, None, config)
    assert table.t[0] == 999
    assert _error(_by_table(table, None), theirs) < 2e-6
    other = samplers.compile(name, steps, SD15 | {"timestep_spacing": "trailing"}, "v_prediction")
    assert _error(_by_table(other, None), theirs) > 1e-3, "the control: betas that are not rescaled"


@pytest.mark.parametrize("name", WITHOUT)
def test_a_sampler_that_cannot_begin_at_pure_noise_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadSampler) as caught:
        samplers.compile(name, 10, SD15 | plan.FROM_NOISE, "v_prediction")
    assert caught.value.code == "sampler_zero_snr"
    assert caught.value.detail.startswith(name)
    assert samplers.PLAIN in caught.value.detail


def test_flow_table_equals_scheduler_for_a_flow_model() -> None:
    table = samplers.compile("flow_euler", 12, SD15, "flow_prediction")
    assert _error(_by_table(table, None), _by_diffusers("flow_euler", 12, "flow_prediction", 0, None)) < 1e-6


@pytest.mark.parametrize("prediction", MODELS)
def test_flow_table_draws_what_the_model_knows(prediction: str) -> None:
    """With a perfect model of one picture every step stays on the straight path, and the end is that
    picture."""
    table = samplers.compile("flow_euler", 10, SD15, prediction)
    products = samplers.scheduler("ddim", SD15, "epsilon").alphas_cumprod.double().numpy()
    alphas, sigmas = np.sqrt(products), np.sqrt(1 - products)
    picture, noise = np.full(4, 0.3), np.array([1.0, -2.0, 0.5, 0.1])
    s = sigmas[-1] / (alphas[-1] + sigmas[-1])
    z = (1 - s) * picture + s * noise
    for k in range(len(table)):
        sigma_over_alpha = np.interp(table.t[k], np.arange(1000), sigmas / alphas)
        x = z * table.scale[k]
        alpha = 1 / np.sqrt(1 + sigma_over_alpha**2)
        sigma = sigma_over_alpha * alpha
        epsilon = (x - alpha * picture) / sigma
        output = epsilon if prediction == "epsilon" else alpha * epsilon - sigma * picture
        z = table.coefficients[k, 0] * z + table.coefficients[k, COLUMNS.index("b0")] * output
    assert np.abs(z - picture).max() < 5e-3


def test_every_name_a_person_may_choose_has_a_scheduler() -> None:
    assert tuple(samplers.SCHEDULERS) == SAMPLERS


def test_pndm_repeats_its_first_step() -> None:
    """PNDM without Runge-Kutta steps takes one step more than asked, at the same time twice."""
    table = samplers.compile("pndm", 20, SD15, "epsilon")
    assert len(table) == 21
    assert table.t[1] == table.t[2]


def test_ancestral_noise_is_drawn_even_where_it_does_not_count() -> None:
    """diffusers draws at the last step of Euler a too, and throws it away: the order of noise must agree."""
    table = samplers.compile("euler_a", 5, SD15, "epsilon")
    assert table.draws.all()
    assert table.coefficients[-1, COLUMNS.index("q")] == 0.0


@given(st.sampled_from(SAMPLERS), st.integers(1, 40), st.data())
@settings(max_examples=25, deadline=None)
def test_tables_are_finite_and_end_where_no_noise_is_left(name: str, steps: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, steps - 1))
    table = samplers.compile(name, steps, SD15, "v_prediction", begin, source=begin > 0)
    assert len(table) in {steps - begin, steps - begin + 1}
    for array in (table.t, table.scale, table.coefficients):
        assert np.isfinite(array).all()
    assert (np.diff(table.t) <= 0).all()
    assert table.coefficients[-1, COLUMNS.index("q")] == 0.0


@pytest.mark.parametrize(
    ("name", "config", "code"),
    [
        ("heun", {}, "sampler_unknown"),
        ("ddim", {"clip_sample": True}, "sampler_not_linear"),
        ("dpmpp_2m", {"thresholding": True}, "sampler_not_linear"),
        ("lcm", {"clip_sample": True}, "sampler_not_linear"),
    ],
)
def test_what_is_not_linear_is_refused_by_name(name: str, config: dict[str, Any], code: str) -> None:
    with pytest.raises(BadSampler) as caught:
        samplers.compile(name, 10, SD15 | config, "epsilon")
    assert caught.value.code == code
    assert name in caught.value.detail


def test_a_step_that_clips_is_caught_even_without_a_setting_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control of the probe: the linearity is measured, not believed."""
    import diffusers

    honest = diffusers.EulerDiscreteScheduler.step

    def clipped(self: Any, m: torch.Tensor, *rest: Any, **more: Any) -> Any:
        return honest(self, m.clamp(-1.0, 1.0), *rest, **more)

    monkeypatch.setattr(diffusers.EulerDiscreteScheduler, "step", clipped)
    with pytest.raises(BadSampler) as caught:
        samplers.compile("euler", 9, SD15 | {"num_train_timesteps": 999}, "epsilon")
    assert caught.value.code == "sampler_not_linear"


def test_more_steps_than_a_sampler_can_take_is_refused() -> None:
    with pytest.raises(BadSampler) as caught:
        samplers.compile("lcm", 51, SD15, "epsilon")
    assert caught.value.code == "sampler_steps"


def test_a_flow_model_is_drawn_with_flow_euler_only() -> None:
    with pytest.raises(BadSampler) as caught:
        samplers.compile("euler", 10, SD15, "flow_prediction")
    assert caught.value.code == "sampler_prediction"
    assert caught.value.detail == "flow_euler"
