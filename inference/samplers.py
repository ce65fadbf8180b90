"""Any *linear* diffusers scheduler, compiled to a table of coefficients.

A scheduler's step is linear in the latent, in the model outputs and in the noise, so it can be read off: run
it once with unit tensors (a fresh symbol for each latent, output and noise) and write down the answers. One
step of any sampler is then

``x' = a·x + p1·x₋₁ + p2·x₋₂ + b0·m + b1·m₋₁ + b2·m₋₂ + b3·m₋₃ + q·ε``

with x₋ₖ and m₋ₖ the latents and model outputs of k steps ago, and one multiply-add over the history serves a
batch of mixed samplers. Sources: the schedulers of diffusers themselves (each docstring there names its
paper); UniPC's corrector (Zhao et al. 2023, arXiv 2302.04867) folds into the same form because the latent it
corrects is known from the step before.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.overrides import TorchFunctionMode

Floats = npt.NDArray[np.float64]

COLUMNS = ("a", "p1", "p2", "b0", "b1", "b2", "b3", "q")
"""What each column of ``Table.coefficients`` multiplies: x, x₋₁, x₋₂, m, m₋₁, m₋₂, m₋₃, ε."""
LATENTS, OUTPUTS = 3, 4
"""How many latents and model outputs a step may look at, the newest included."""
NOISE = LATENTS + OUTPUTS
"""The column of the noise."""


class BadSampler(Exception):  # noqa: N818 - it names what is wrong
    """This sampler cannot draw this: ``code`` is a ``refusal.*`` code, ``detail`` what to use instead."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One sampler at one number of steps: everything a run needs that is not a tensor.

    ``t`` (n,) model times; ``scale`` (n,) what the latent is multiplied with before the model sees it;
    ``coefficients`` (n, 8) float64, columns ``COLUMNS``; ``draws`` (n,) whether the step takes a noise tensor
    from the generator (also where its factor is 0: the order of a diffusers pipeline is kept). The first
    latent is ``start[0]·source + start[1]·noise``.
    """

    t: Floats
    scale: Floats
    coefficients: Floats
    draws: npt.NDArray[np.bool_]
    start: tuple[float, float]
    lines: npt.NDArray[np.float32] = field(init=False, repr=False)
    """(n, 10) for the arena: coefficients, scale, t."""
    uses: int = field(init=False, repr=False)
    """Which columns are not zero in some step, as bits."""
    latents: int = field(init=False)
    """How many latents some step looks at, the newest included."""
    outputs: int = field(init=False)
    """How many model outputs of former steps some step looks at."""

    @property
    def cells(self) -> int:
        """Tensors of a latent's size that a run holds between two steps."""
        return self.latents + self.outputs

    def __post_init__(self) -> None:
        together = np.concatenate([self.coefficients, self.scale[:, None], self.t[:, None]], axis=1)
        ever = np.flatnonzero((self.coefficients != 0.0).any(axis=0))
        object.__setattr__(self, "lines", together.astype(np.float32))
        object.__setattr__(self, "uses", sum(1 << int(column) for column in ever))
        back = [int(column) for column in ever if column < LATENTS]
        said = [int(column) - LATENTS for column in ever if LATENTS <= column < NOISE]
        object.__setattr__(self, "latents", 1 + max(back, default=0))
        object.__setattr__(self, "outputs", max(said, default=0))

    def __len__(self) -> int:
        return len(self.t)


_LINEAR: dict[str, Any] = {
    "use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False,
    "use_lu_lambdas": False,
}  # fmt: skip
_DEIS: dict[str, Any] = _LINEAR | {"algorithm_type": "deis", "solver_order": 2, "solver_type": "logrho"}
_UNIPC: dict[str, Any] = _LINEAR | {"solver_order": 2, "solver_type": "bh2", "solver_p": None}
_DPMPP: dict[str, Any] = _LINEAR | {
    "algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint",
}  # fmt: skip
_SDE: dict[str, Any] = _DPMPP | {"algorithm_type": "sde-dpmsolver++"}
_KARRAS: dict[str, Any] = {"use_karras_sigmas": True}

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", _LINEAR),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "deis": ("DEISMultistepScheduler", _DEIS),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", _DPMPP),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", _DPMPP | _KARRAS),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", _SDE),
    "dpmpp_2m_sde_karras": ("DPMSolverMultistepScheduler", _SDE | _KARRAS),
    "unipc": ("UniPCMultistepScheduler", _UNIPC),
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", _LINEAR),
}  # fmt: skip
"""A name a person may choose → the diffusers class and the settings that the name means."""

PLAIN = "euler"
"""It knows no setting that is not linear: what to use where another is refused."""
_NON_LINEAR = ("thresholding", "clip_sample")
ZERO_SNR = "rescale_betas_zero_snr"
"""A model that learnt from pure noise on (zero terminal SNR: Lin et al. 2023, arXiv 2305.08891); a scheduler
that does not know this setting would draw with other betas than the model's, and say nothing."""
_DEFAULTS = {"clip_sample": False}
"""Where a model's configuration is silent; diffusers' own default for DDIM is the non-linear one."""


def scheduler(name: str, config: Mapping[str, Any], prediction: str) -> Any:
    """The diffusers scheduler behind ``name`` with a model's configuration.

    Raises BadSampler: sampler_unknown, sampler_prediction, sampler_not_linear, sampler_zero_snr.
    """
    if name not in SCHEDULERS:
        raise BadSampler("sampler_unknown", name)
    import diffusers

    class_name, meant = SCHEDULERS[name]
    kind = getattr(diffusers, class_name)
    if prediction == "flow_prediction" and name != "flow_euler":
        raise BadSampler("sampler_prediction", "flow_euler")
    known = inspect.signature(kind.__init__).parameters
    settings = _DEFAULTS | dict(config) | meant | {"prediction_type": prediction}
    for setting in _NON_LINEAR:
        if setting in known and settings.get(setting):
            raise BadSampler("sampler_not_linear", f"{name} with {setting}; {PLAIN} works")
    if settings.get(ZERO_SNR) and ZERO_SNR not in known and prediction != "flow_prediction":
        raise BadSampler("sampler_zero_snr", f"{name} without {ZERO_SNR}; {PLAIN} works")
    return kind(**{key: value for key, value in settings.items() if key in known})


def compile(  # noqa: A001 - it is what it does; called as samplers.compile
    name: str, steps: int, config: Mapping[str, Any], prediction: str, begin: int = 0, source: bool = False
) -> Table:
    """The table of sampler ``name`` at ``steps`` steps; with a ``source`` (img2img) it starts at step
    ``begin``.

    Cached. Raises BadSampler: sampler_unknown, sampler_prediction, sampler_not_linear, sampler_zero_snr,
    sampler_steps (this sampler cannot take so many steps).
    """
    key = json.dumps(dict(config), sort_keys=True, default=list)
    return _compile(name, steps, key, prediction, begin, source)


@functools.lru_cache(maxsize=512)
def _compile(name: str, steps: int, config: str, prediction: str, begin: int, source: bool) -> Table:
    settings = json.loads(config)
    made = scheduler(name, settings, prediction)
    flow = _Flow(settings, prediction) if name == "flow_euler" and prediction != "flow_prediction" else None
    try:
        made.set_timesteps(**(flow.schedule(steps) if flow else {"num_inference_steps": steps}))
    except (ValueError, IndexError) as error:
        raise BadSampler("sampler_steps", f"{name} with {steps} steps") from error
    order = int(getattr(made, "order", 1))
    return _Probe(made, begin * order, flow).table(source)


class _Noise(TorchFunctionMode):
    """While active in this thread, ``torch.randn`` gives the noise symbol instead of random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.symbol = torch.empty(0)
        self.drawn = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.randn:
            self.drawn += 1
            return self.symbol
        return func(*args, **(kwargs or {}))


class _Probe:
    """Runs one scheduler on symbols: coordinate k of a tensor is the factor of symbol k.

    The symbols of step k are x_k, m_k, ε_k at 3k, 3k+1, 3k+2; one more coordinate carries large arbitrary
    numbers, on which the table's answer must agree with the scheduler's: a step that is not linear shows
    there.
    """

    def __init__(self, made: Any, begin: int, flow: _Flow | None) -> None:
        self.made = made
        self.flow = flow
        self.times = made.timesteps[begin:]
        self.count = len(self.times)
        self.begin = begin
        if begin and hasattr(made, "set_begin_index"):
            made.set_begin_index(begin)
        self.probe = 3 * self.count
        self.random = np.random.default_rng(0)
        self.values = self.random.normal(0, 50.0, size=self.probe)

    def table(self, source: bool) -> Table:
        """Run it."""
        count = self.count
        t, scale = np.zeros(count), np.ones(count)
        coefficients, draws = np.zeros((count, len(COLUMNS))), np.zeros(count, dtype=np.bool_)
        start = self.start(source)
        before: Floats | None = None  # what x_k is, in the symbols of the steps before it
        with _Noise() as noise, torch.no_grad():
            for k in range(count):
                noise.symbol, noise.drawn = self.symbol(3 * k + 2), 0
                t[k] = float(self.flow.t[k + self.begin]) if self.flow else float(self.times[k])
                scale[k] = self.scale(k)
                answer = self.step(k)
                if noise.drawn > 1:
                    raise BadSampler("sampler_not_linear", type(self.made).__name__)
                draws[k] = bool(noise.drawn)
                coefficients[k] = self.read(k, answer, before)
                before = answer
        return Table(t, scale, coefficients, draws, start)

    def symbol(self, index: int) -> torch.Tensor:
        """The unit tensor (1, symbols + 1, 1, 1) of one symbol."""
        unit = torch.zeros(self.probe + 1, dtype=torch.float64)
        unit[index] = 1.0
        unit[self.probe] = self.values[index]
        return unit.view(1, -1, 1, 1)

    def scale(self, k: int) -> float:
        """Input scale of step k."""
        if self.flow:
            return float(self.flow.scale[k + self.begin])
        if not hasattr(self.made, "scale_model_input"):
            return 1.0
        return float(self.made.scale_model_input(self.symbol(3 * k), self.times[k])[0, 3 * k, 0, 0])

    def step(self, k: int) -> Floats:
        """x_{k+1} in symbols."""
        x, m = self.symbol(3 * k), self.symbol(3 * k + 1)
        if self.flow:
            m = self.flow.velocity(k + self.begin, x, m)
        answer = self.made.step(m, self.times[k], x, return_dict=False)[0]
        return np.asarray(answer.reshape(-1).to(torch.float64).numpy())

    def read(self, k: int, answer: Floats, before: Floats | None) -> Floats:
        """The eight coefficients of step k; raises BadSampler where they do not say it all."""
        where = [3 * (k - i) if k >= i else -1 for i in range(LATENTS)]
        where += [3 * (k - i) + 1 if k >= i else -1 for i in range(OUTPUTS)] + [3 * k + 2]
        known = [index for index in where if index >= 0]
        old = np.delete(np.arange(self.probe), known)
        rest = answer.copy()
        if before is not None and np.abs(rest[old]).max(initial=0.0) > 0.0:
            same = before.copy()  # x_k - (what it was made of) = 0: may be added freely
            same[3 * k] -= 1.0
            same[self.probe] -= self.values[3 * k]
            weight = float(same[old] @ same[old])
            rest = rest - (float(rest[old] @ same[old]) / weight if weight else 0.0) * same
        size = np.abs(rest[: self.probe]).max(initial=1.0)
        linear = abs(rest[self.probe] - rest[: self.probe] @ self.values) <= 1e-4 * size * 50.0
        if not np.isfinite(answer).all() or not linear or np.abs(rest[old]).max(initial=0.0) > 1e-7 * size:
            raise BadSampler("sampler_not_linear", type(self.made).__name__)
        return np.array([rest[index] if index >= 0 else 0.0 for index in where])

    def start(self, from_source: bool) -> tuple[float, float]:
        """Factors of the source and of the noise in the first latent."""
        if not self.count:
            raise BadSampler("sampler_steps", type(self.made).__name__)
        sigma = float(self.flow.init if self.flow else getattr(self.made, "init_noise_sigma", 1.0))
        source, noise = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
        if not from_source:
            return 0.0, sigma
        time = self.times[:1].repeat(2)
        if hasattr(self.made, "scale_noise"):
            mixed = self.made.scale_noise(source, time, noise)
        else:
            mixed = self.made.add_noise(source, noise, time)
        return float(mixed[0, 0, 0, 0]), float(mixed[1, 0, 0, 0])


class _Flow:
    """Flow-match Euler for models that predict noise or v: the same straight path in other coordinates.

    A variance-preserving latent x = α·x₀ + σ·ε lies at z = x/(α+σ) on the straight path (1-s)·x₀ + s·ε with s
    = σ/(α+σ) (Lipman et al. 2023, arXiv 2210.02747; Salimans & Ho 2022, arXiv 2202.00512 for v). The state is
    z, the model sees (α+σ)·z at the time whose σ/α is s/(1-s), and its answer becomes the velocity ε - x₀.
    """

    def __init__(self, config: Mapping[str, Any], prediction: str) -> None:
        ddim = scheduler("ddim", config, "epsilon")
        products = ddim.alphas_cumprod.numpy().astype(np.float64)
        self.alphas, self.sigmas = np.sqrt(products), np.sqrt(1.0 - products)
        self.times = self.sigmas / (self.alphas + self.sigmas)  # rising with t
        self.prediction = prediction
        self.t = self.scale = self.alpha = self.sigma = np.zeros(0)
        self.init = 1.0 / (self.alphas[-1] + self.sigmas[-1])

    def schedule(self, steps: int) -> dict[str, Any]:
        """Arguments of ``set_timesteps``: evenly spaced from the noisiest time this model knows to 1/steps
        of it."""
        s = np.linspace(self.times[-1], self.times[-1] / steps, steps)
        self.t = np.interp(s, self.times, np.arange(len(self.times), dtype=np.float64))
        ratio = s / (1.0 - s)  # σ/α
        self.alpha = 1.0 / np.sqrt(1.0 + ratio**2)
        self.sigma = ratio * self.alpha
        self.scale = self.alpha + self.sigma
        return {"sigmas": s}

    def velocity(self, k: int, z: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        """ε - x₀ at step k of a model that answered ``m`` to the latent at ``z``."""
        alpha, sigma = float(self.alpha[k]), float(self.sigma[k])
        x = (alpha + sigma) * z
        if self.prediction == "v_prediction":
            return (sigma - alpha) * x + (alpha + sigma) * m
        return m - (x - sigma * m) / alpha
