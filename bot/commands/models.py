"""The models on offer and how they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.commands.common import meet
from bot.talk import Call, Reply
from bot.texts import has, say
from inference.request import ModelSpec


@dataclass(frozen=True, slots=True)
class Models:
    """Which models there are."""


OFF = 1.25
"""How far from its measured time a price may be, times or divided by, before the owner is told."""


async def answer(ask: Models, call: Call, app: App) -> AsyncIterator[Reply]:
    """Every model with its size, its price and how it is in the engines; to the owner also what its price
    would be by the time that it takes here.
    """
    owner = (await meet(call, app)).unlimited
    yield Reply(
        say(call.language, "models.text", name=app.catalog.default),
        title=say(call.language, "models.title"),
        fields=tuple(_line(spec, call.language, app, owner=owner) for spec in app.catalog.specs.values()),
        private=True,
    )


def _line(spec: ModelSpec, language: str, app: App, *, owner: bool) -> tuple[str, str]:
    state = app.catalog.state(spec.name)
    parts = [
        say(language, f"models.state.{state.state}"),
        f"{spec.width}×{spec.height}",
        say(language, "models.price", n=spec.price),
    ]
    if state.state == "broken" and has(f"refusal.{state.reason}"):
        parts.append(say(language, f"refusal.{state.reason}", model=spec.name, detail=state.detail))
    fair = measured_price(spec, app) if owner else None
    if fair is not None and not 1 / OFF < fair / spec.price < OFF:
        parts.append(say(language, "models.fair", n=f"{fair:g}"))  # as a configuration has it
    label = f"{spec.name} ({spec.title})" if spec.title else spec.name
    return label, " · ".join(parts)


def measured_price(spec: ModelSpec, app: App) -> float | None:
    """Credits that one usual picture would cost if the default model's price were for its time; None while
    one of the two was never measured here. A price itself is the configuration's: it does not drift.
    """
    usual, speed = app.catalog.specs[app.catalog.default], app.dispatch.speed
    if not (speed.known(spec.name) and speed.known(usual.name)):
        return None
    fair = usual.price * speed.seconds(spec.standard) / speed.seconds(usual.standard)
    return round(fair, 1 if fair >= 1 else 3) or None
