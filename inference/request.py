"""What to draw, what it costs, what was drawn. No tensors, no people, no chats."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_PROMPT = 4_000
"""Characters in a prompt or a negative prompt."""
MAX_COUNT = 4
"""Pictures in one Request: what a grid and its buttons U1-U4 can name."""
MAX_STEPS = 150
"""Denoising steps of one picture; a model may set a lower bound of its own."""
MAX_SIDE = 2_048
"""Pixels of one side."""
MAX_SEED = 2**32 - 1
BUILTIN = "builtin"
"""The name of the model that ships with the project."""
UNITS = 1_000
"""Ledger units in one credit; money is always an integer number of units."""

Prompt = Annotated[str, Meta(max_length=MAX_PROMPT)]
Side = Annotated[int, Meta(ge=16, le=MAX_SIDE)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_.-]{0,63}$")]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to draw. It says nothing of who asked or where to answer.

    Picture ``i`` (from 0) has seed ``seed + i``. ``source`` is the SHA-256 of a picture in the gallery to
    start from (img2img: the run starts mid-table at ``strength``). ``enlarge`` above 1 draws nothing: it
    enlarges ``source``; then ``width`` and ``height`` are the sides of the result, in pixels.
    """

    prompt: Prompt
    negative: Prompt = ""
    model: Name = BUILTIN
    width: Side = 128
    height: Side = 128
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] = 20
    guidance: Annotated[float, Meta(ge=0.0, le=30.0)] = 4.0
    sampler: Name = "dpmpp_2m_karras"
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] = 0
    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)] = 4
    source: Digest | None = None
    strength: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    enlarge: Literal[1, 2, 4] = 1
    guided: tuple[Share, Share] = (0.0, 1.0)
    """The part of the steps that is guided (Kynkäänniemi et al. 2024, arXiv 2404.07724); the others are
    cheaper."""

    @property
    def rows(self) -> int:
        """The most denoiser rows a picture needs in a step: 2 when guided, 1 at guidance ≤ 1."""
        return 2 if self.guidance > 1.0 else 1

    @property
    def guided_steps(self) -> range:
        """Which of the steps really taken are guided, counted from 0."""
        if self.guidance <= 1.0 or self.enlarge > 1:
            return range(0)
        skipped = self.steps - self.steps_run
        first, last = (round(share * self.steps) - skipped for share in self.guided)
        return range(max(0, first), max(0, last))

    @property
    def steps_run(self) -> int:
        """Steps really taken: with a source, ``strength`` of them (at least 1); 0 when only enlarging."""
        if self.enlarge > 1:
            return 0
        return max(1, min(int(self.steps * self.strength), self.steps)) if self.source else self.steps

    @property
    def megapixels(self) -> float:
        """Megapixels (10⁶) of one picture."""
        return self.width * self.height / 1e6

    @property
    def work(self) -> float:
        """Row-steps × megapixels of all pictures: the size of the job, before any machine's speed."""
        steps = ENLARGE_STEPS if self.enlarge > 1 else self.steps_run + len(self.guided_steps)
        return steps * self.megapixels * self.count


ENLARGE_STEPS = 1
"""Row-steps that enlarging a picture is priced as."""


class ModelSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model an operator offers: where it lies, what it can draw and what is usual for it.

    ``source`` is ``"builtin"``, a diffusers folder, one ``.safetensors`` file or a hub id. With ``sizes`` the
    model draws exactly these (width, height) pairs; without, any multiple of ``multiple`` up to
    ``max_pixels``. ``price`` is in credits for one picture at the model's own size, steps and guidance.
    """

    name: Name
    title: str = ""
    source: str = "builtin"
    family: Literal["sd"] = "sd"
    width: Side = 512
    height: Side = 512
    sizes: tuple[tuple[int, int], ...] = ()
    multiple: Annotated[int, Meta(ge=1, le=256)] = 64
    max_pixels: Annotated[int, Meta(ge=256, le=MAX_SIDE**2)] = 1_048_576
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] = 25
    max_steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] = 100
    guidance: Annotated[float, Meta(ge=0.0, le=30.0)] = 7.0
    guided: tuple[Share, Share] = (0.0, 1.0)
    """The part of the steps that is guided, for a model that draws as well, and cheaper, with less."""
    sampler: Name = "dpmpp_2m_karras"
    prediction: Literal["", "epsilon", "v_prediction"] = ""
    styles: tuple[str, ...] = ()
    price: Annotated[float, Meta(gt=0.0, le=1_000.0)] = 1.0

    @property
    def standard(self) -> Request:
        """One picture of this model as it draws when nothing is asked for: what ``price`` is for."""
        return Request(
            prompt="", model=self.name, width=self.width, height=self.height, steps=self.steps,
            guidance=self.guidance, sampler=self.sampler, guided=self.guided, count=1,
        )  # fmt: skip


def price(request: Request, spec: ModelSpec) -> int:
    """Price in units of all pictures of ``request``; a multiple of ``request.count``, at least one unit each.

    Fixed by the configuration, never by the machine's speed: a price does not drift.
    """
    share = request.work / request.count / spec.standard.work
    return max(1, round(UNITS * spec.price * share)) * request.count


class Picture(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finished picture: ``data`` is a PNG with its recipe inside; ``index`` counts from 0."""

    index: int
    seed: int
    width: int
    height: int
    data: bytes
    preview: bytes = b""
    """A small WebP for lists, ≤ 256 px."""
    unsafe: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    """The chance that it is for adults only, by the operator's classifier; None: nobody looked."""


SAMPLERS: tuple[str, ...] = (
    "euler", "euler_a", "ddim", "lcm", "pndm", "deis", "dpmpp_2m", "dpmpp_2m_karras", "dpmpp_2m_sde",
    "dpmpp_2m_sde_karras", "unipc", "flow_euler",
)  # fmt: skip
"""Names a person may choose; ``inference/samplers.py`` has the diffusers scheduler behind each (tested)."""
