"""What /imagine uses when I say nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import msgspec

from bot.app import App
from bot.commands import choose
from bot.commands.common import meet
from bot.config import NO_STYLE
from bot.options import Option, Ratio
from bot.talk import Button, Call, Reply, Tone
from bot.texts import LANGUAGES, number, say
from inference.request import MAX_COUNT, MAX_PROMPT, MAX_STEPS
from storage import accounts
from storage.refusal import Mistakes


@dataclass(frozen=True, slots=True)
class Settings:
    """My defaults: show them, change some, or forget them all with ``reset``."""

    model: Annotated[str | None, Option("model", ("m", "modelo"), choices="models")] = None
    style: Annotated[str | None, Option("style", ("estilo",), choices="styles")] = None
    sampler: Annotated[str | None, Option("sampler", ("muestreador",), choices="samplers")] = None
    aspect: Annotated[Ratio | None, Option("ar", ("aspect", "aspecto", "proporcion"))] = None
    count: Annotated[int | None, Option("n", ("count", "cantidad"), low=1, high=MAX_COUNT)] = None
    steps: Annotated[int | None, Option("steps", ("s", "pasos"), low=1, high=MAX_STEPS)] = None
    guidance: Annotated[float | None, Option("cfg", ("guidance", "guia", "guía"), low=0, high=30)] = None
    negative: Annotated[str | None, Option("no", ("negative", "sin"), rest=True, longest=MAX_PROMPT)] = None
    language: Annotated[str | None, Option("language", ("lang", "idioma"), choices="languages")] = None
    reset: Annotated[bool, Option("reset", ("borrar",))] = False


async def answer(ask: Settings, call: Call, app: App) -> AsyncIterator[Reply]:
    """Change what was said, then show everything."""
    account = await meet(call, app)
    before = accounts.Settings() if ask.reset else account.defaults
    after = changed(before, ask, app)
    language = after.language or call.language
    if after != account.defaults:
        await app.database.write(accounts.save_settings, account.id, after)
    saved = after != account.defaults
    yield Reply(
        say(language, "settings.saved" if saved else "settings.text"),
        title=say(language, "settings.title"),
        fields=tuple(_fields(after, language)),
        buttons=_buttons(language),
        tone=Tone.GOOD if saved else Tone.PLAIN,
        private=True,
    )


def changed(before: accounts.Settings, ask: Settings, app: App) -> accounts.Settings:
    """The settings with what was said put in. Raises Refusal for every name that is not there, at once."""
    wrong = Mistakes()
    model = wrong.tried(choose.model, app, ask.model, None) or choose.anything(app)
    styles = [*choose.all_styles(app), NO_STYLE]
    said: dict[str, object] = {
        "model": ask.model and model.name,
        "style": ask.style and wrong.tried(choose.one_of, "style", ask.style, styles),
        "sampler": ask.sampler and wrong.tried(choose.sampler, ask.sampler, None, model),
        "aspect": ask.aspect and f"{ask.aspect.wide}:{ask.aspect.high}",
        "count": ask.count,
        "steps": ask.steps,
        "guidance": ask.guidance,
        "negative": ask.negative,
        "language": ask.language and wrong.tried(choose.one_of, "language", ask.language, LANGUAGES),
    }
    wrong.say()
    after = msgspec.structs.replace(
        before, **{key: value for key, value in said.items() if value is not None}
    )
    none = {"style": None} if after.style == NO_STYLE else {}
    return msgspec.structs.replace(after, **none, **({"negative": None} if not after.negative else {}))


def judged(ask: Settings, app: App) -> None:
    """Raises Refusal for what is wrong with an ask that could not be read whole."""
    changed(accounts.Settings(), ask, app)


def _fields(settings: accounts.Settings, language: str) -> list[tuple[str, str]]:
    usual = say(language, "settings.usual")
    shown = {
        "fact.model": settings.model,
        "fact.style": settings.style,
        "fact.sampler": settings.sampler,
        "fact.aspect": settings.aspect,
        "fact.count": settings.count and number(language, settings.count),
        "fact.steps": settings.steps and number(language, settings.steps),
        "fact.guidance": None if settings.guidance is None else number(language, settings.guidance),
        "fact.negative": settings.negative,
        "fact.language": say(language, "language.name"),
    }
    return [(say(language, key), value or usual) for key, value in shown.items()]


def _buttons(language: str) -> tuple[tuple[Button, ...], ...]:
    tongues = [
        Button(say(each, "language.name"), Settings(language=each)) for each in LANGUAGES if each != language
    ]
    return ((*tongues, Button(say(language, "button.reset"), Settings(reset=True))),)
