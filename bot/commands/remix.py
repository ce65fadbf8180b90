"""✏️: edit the prompt, then draw again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

from bot import options
from bot.app import App
from bot.commands.common import JobId, find_drawn, meet
from bot.commands.drawing import Origin, draw
from bot.commands.imagine import Imagine, begin, planned
from bot.commands.wrong import named_at_once
from bot.options import LONGEST_LINE, Option, Size
from bot.sent import Picture
from bot.talk import Button, Call, Reply
from bot.texts import say
from storage.jobs import Job


@dataclass(frozen=True, slots=True)
class Remix:
    """Draw this job again with other words (and flags); of an enlarged picture, what it was enlarged from."""

    job: JobId
    prompt: Annotated[str, Option(typed=True, longest=LONGEST_LINE)] = ""


async def answer(ask: Remix, call: Call, app: App) -> AsyncIterator[Reply]:
    """Without words: ask for them. With them: what they do not say stays as it was."""
    account = await meet(call, app)
    job = await app.database.read(find_drawn, account.id, ask.job)
    if not ask.prompt.strip():
        edit = button(job, call.language)
        yield Reply(say(call.language, "remix.text"), buttons=((replace(edit, style="main"),),), private=True)
        return
    with named_at_once(app):
        said = options.read(ask.prompt, Imagine)
    wanted, kept = _inherited(said, job), _source(said, job)
    begun, named = (None, None) if kept else await begin(wanted, call, account, app)
    origin = begun if begun and named else Origin(job.id, None, job.private or said.private)
    request = planned(wanted, account.defaults, app, kept or named)
    async for reply in draw(request, origin, account, call, app, once=True):
        yield reply


def _source(said: Imagine, job: Job) -> Picture | None:
    """What the job began with, unless another picture is named or it would not fit what is drawn now."""
    before = job.request
    other = said.source or said.size or said.aspect or said.model not in (None, before.model)
    if before.source is None or before.enlarge > 1 or other:
        return None
    return Picture(before.source, before.width, before.height)


def _inherited(said: Imagine, job: Job) -> Imagine:
    """What was said, and what the job had where nothing was said; a negative prompt left out is gone."""
    before = job.request
    same_model = said.model is None or said.model == before.model
    shape = Size(before.width // before.enlarge, before.height // before.enlarge)
    return replace(
        said,
        model=said.model or before.model,
        size=said.size or (shape if same_model and said.aspect is None else None),
        count=said.count or before.count,
        negative=said.negative or "",
        steps=said.steps or (before.steps if same_model else None),
        guidance=before.guidance if said.guidance is None and same_model else said.guidance,
        sampler=said.sampler or before.sampler,
        style=said.style or "none",
        strength=before.strength if said.strength is None and _source(said, job) else said.strength,
    )


def button(job: Job, language: str) -> Button:
    """✏️ with the words to edit."""
    before = Imagine(job.request.prompt, negative=job.request.negative or None)
    words = options.line("imagine", before).removeprefix("/imagine ")
    return Button(f"✏️ {say(language, 'button.remix')}", Remix(job.id), form="prompt", value=words)
