"""The models on offer and how they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot.app import App
from bot.talk import Call, Reply
from bot.texts import has, say
from inference.request import ModelSpec


@dataclass(frozen=True, slots=True)
class Models:
    """Which models there are."""


async def answer(ask: Models, call: Call, app: App) -> AsyncIterator[Reply]:
    """Every model with its size, its price and how it is in the engines."""
    yield Reply(
        say(call.language, "models.text", name=app.catalog.default),
        title=say(call.language, "models.title"),
        fields=tuple(_line(spec, call.language, app) for spec in app.catalog.specs.values()),
        private=True,
    )


def _line(spec: ModelSpec, language: str, app: App) -> tuple[str, str]:
    state = app.catalog.state(spec.name)
    parts = [
        say(language, f"models.state.{state.state}"),
        f"{spec.width}×{spec.height}",
        say(language, "models.price", n=spec.price),
    ]
    if state.state == "broken" and has(f"refusal.{state.reason}"):
        parts.append(say(language, f"refusal.{state.reason}", model=spec.name, detail=state.detail))
    label = f"{spec.name} ({spec.title})" if spec.title else spec.name
    return label, " · ".join(parts)
