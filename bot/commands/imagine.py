"""Draw pictures from words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

from bot.app import App
from bot.commands import choose
from bot.commands.common import find_piece, meet, new_seed
from bot.commands.drawing import Origin, draw
from bot.options import Option, Ratio, Size, Spot, without_controls
from bot.sent import Picture
from bot.talk import Call, Reply, Tone
from bot.texts import say
from inference.request import MAX_COUNT, MAX_PROMPT, MAX_SEED, MAX_STEPS, Request
from storage.accounts import Account, Settings
from storage.gallery import Piece
from storage.jobs import Job
from storage.refusal import Mistakes, Refusal


@dataclass(frozen=True, slots=True)
class Imagine:
    """Pictures of ``prompt``; what is None comes from the person's settings, then from the model."""

    prompt: Annotated[str, Option(words=True, longest=MAX_PROMPT)]
    aspect: Annotated[Ratio | None, Option("ar", ("aspect", "ratio", "aspecto", "proporcion"))] = None
    negative: Annotated[
        str | None, Option("no", ("negative", "neg", "sin", "negativo"), rest=True, longest=MAX_PROMPT)
    ] = None
    seed: Annotated[int | None, Option("seed", ("semilla",), low=-1, high=MAX_SEED)] = None
    steps: Annotated[int | None, Option("steps", ("s", "pasos"), low=1, high=MAX_STEPS)] = None
    guidance: Annotated[
        float | None, Option("cfg", ("guidance", "scale", "guia", "guía"), low=0, high=30)
    ] = None
    count: Annotated[int | None, Option("n", ("count", "cantidad"), low=1, high=MAX_COUNT)] = None
    model: Annotated[str | None, Option("model", ("m", "modelo"), choices="models")] = None
    style: Annotated[str | None, Option("style", ("estilo",), choices="styles")] = None
    sampler: Annotated[str | None, Option("sampler", ("muestreador",), choices="samplers")] = None
    size: Annotated[Size | None, Option("size", ("wh", "tamaño", "tamano"))] = None
    source: Annotated[Spot | None, Option("from", ("de", "desde"))] = None
    strength: Annotated[float | None, Option("strength", ("fuerza",), low=0, high=1)] = None
    private: Annotated[bool, Option("private", ("privado", "privada"))] = False


STRENGTH = 0.6
"""How far a picture goes from the one it begins with, when nobody says."""
LEAST = 0.01


async def answer(ask: Imagine, call: Call, app: App) -> AsyncIterator[Reply]:
    """Draw; what is missing in the ask comes from the person's settings, then from the model."""
    account = await meet(call, app)
    if call.picture is not None:
        text = say(call.language, "drawing.looking")
        yield Reply(text, prompt=ask.prompt, tone=Tone.WAITING, fleeting=True, private=ask.private)
    origin, source = await begin(ask, call, account, app)
    request = planned(ask, account.defaults, app, source)
    hidden = without_controls(ask.prompt)[1]
    note = say(call.language, "drawing.hidden", n=hidden) if hidden else ""
    async for reply in draw(request, origin, account, call, app, note=note):
        yield reply


async def begin(
    ask: Imagine, call: Call, account: Account, app: App
) -> tuple[Origin, Piece | Picture | None]:
    """The picture to begin with, if one came or was named.

    Raises Refusal for all that is wrong with the ask, before a picture is fetched for nothing; then what
    ``Sent.take`` does.
    """
    wrong = Mistakes()
    wrong.tried(_begins, ask, call)
    named = None
    if ask.source is not None and call.picture is None:
        with wrong.noted():
            named = await app.database.read(find_piece, account.id, ask.source.job, ask.source.picture)
    wrong.tried(planned, ask, account.defaults, app, named[1] if named else None)
    wrong.say()
    if named is not None:
        return _origin(named[0], ask), named[1]
    if call.picture is None:
        return Origin(private=ask.private), None
    spec = choose.model(app, ask.model, account.defaults.model)
    picture = await app.sent.take(
        call, lambda width, height: choose.of_picture(spec, Size(width, height), ask.size, ask.aspect)
    )
    return Origin(private=ask.private, sent=True), picture


def _begins(ask: Imagine, call: Call) -> None:
    """Raises Refusal two_sources, strength_alone."""
    if ask.source is not None and call.picture is not None:
        raise Refusal("two_sources")
    if ask.source is None and call.picture is None and ask.strength is not None:
        raise Refusal("strength_alone")


def _origin(job: Job, ask: Imagine) -> Origin:
    return Origin(job.id, ask.source.picture if ask.source else None, job.private or ask.private)


def planned(ask: Imagine, usual: Settings, app: App, source: Piece | Picture | None = None) -> Request:
    """The ask as a Request that its model can draw. Raises Refusal for all that it cannot, at once."""
    wrong = Mistakes()
    known = wrong.tried(choose.model, app, ask.model, usual.model)
    spec = known or choose.anything(app)
    count = ask.count or usual.count or MAX_COUNT
    free = ask.size is None and ask.aspect is None
    begun = Size(source.width, source.height) if source and free else ask.size
    size = known and wrong.tried(choose.size, known, begun, ask.aspect, usual.aspect)
    if source is not None and size not in (None, (source.width, source.height)):
        wrong.found.append(Refusal("source_size", size=f"{source.width}x{source.height}"))
    prompt = wrong.tried(choose.clean, ask.prompt) or ""
    styled = wrong.tried(choose.styled, app, spec, prompt, ask.style, usual.style)
    sampler = wrong.tried(choose.sampler, ask.sampler, usual.sampler, spec)
    steps = wrong.tried(choose.steps, ask.steps, usual.steps, spec)
    seed = new_seed(count) if ask.seed is None or ask.seed < 0 else ask.seed
    wrong.tried(choose.check_seed, seed, count)
    wrong.say()
    negative = usual.negative if ask.negative is None else ask.negative
    guidance = usual.guidance if ask.guidance is None else ask.guidance
    width, height = size or (spec.width, spec.height)
    return Request(
        prompt=styled or prompt,
        negative=without_controls(negative or "")[0],
        model=spec.name,
        width=width,
        height=height,
        steps=steps or spec.steps,
        guidance=spec.guidance if guidance is None else guidance,
        guided=spec.guided,
        sampler=sampler or spec.sampler,
        seed=seed,
        count=count,
        source=source.digest if source else None,
        strength=_strength(ask.strength) if source else 1.0,
    )


def judged(ask: Imagine, app: App) -> None:
    """Raises Refusal for what is wrong with an ask that could not be read whole, whoever asks it."""
    if ask.model is None:  # whose it is has perhaps another usual model than ours
        planned(replace(ask, size=None, aspect=None, steps=None), Settings(), app)
    else:
        planned(ask, Settings(), app)


def _strength(wanted: float | None) -> float:
    """Not quite 0: one step is always drawn."""
    return STRENGTH if wanted is None else max(wanted, LEAST)
