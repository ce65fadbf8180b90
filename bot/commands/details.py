"""🔎: every parameter, and a line that draws the same again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bot import options
from bot.app import App
from bot.commands.common import JobId, find_seen, meet
from bot.commands.imagine import Imagine
from bot.commands.mod.cases import Report
from bot.config import NO_STYLE
from bot.options import Size, Spot
from bot.talk import Button, Call, Reply
from bot.texts import duration, moment, number, say
from storage import jobs
from storage.accounts import Account
from storage.database import Connection
from storage.jobs import Job


@dataclass(frozen=True, slots=True)
class Details:
    """How this job was drawn."""

    job: JobId


async def answer(ask: Details, call: Call, app: App) -> AsyncIterator[Reply]:
    """Every parameter as a field, and the line to copy."""
    account = await meet(call, app)
    job, drawn = await app.database.read(_drawn, account.id, ask.job)
    values = {"line": line(drawn, account), "job": drawn.id, "picture": (job.parent_index or 0) + 1}
    text = say(call.language, "details.text" if drawn is job else "details.enlarged", **values)
    yield Reply(
        text,
        title=say(call.language, "details.title", job=job.id),
        prompt=job.request.prompt,
        fields=tuple(facts(job, call.language)),
        buttons=((Button(f"🚩 {say(call.language, 'button.report')}", Report(job.id)),),),
        private=True,
    )


def _drawn(tx: Connection, account: int, job_id: int) -> tuple[Job, Job]:
    """The job, and the one that was really drawn if this one only enlarged a picture of it."""
    job = find_seen(tx, account, job_id)
    if job.request.enlarge == 1 or job.parent is None:
        return job, job
    return job, jobs.get(tx, job.parent) or job


def line(job: Job, account: Account) -> str:
    """What this person types to draw the same pictures."""
    request = job.request
    spot = None
    if request.source and job.parent is not None and job.parent_index is not None:
        spot = Spot(job.parent, job.parent_index)
    return options.line(
        "imagine",
        Imagine(
            request.prompt,
            negative=request.negative or ("" if account.defaults.negative else None),
            seed=request.seed,
            steps=request.steps,
            guidance=request.guidance,
            count=request.count,
            model=request.model,
            style=NO_STYLE,
            sampler=request.sampler,
            size=None if spot else Size(request.width, request.height),
            source=spot,
            strength=request.strength if spot else None,
        ),
    )


def facts(job: Job, language: str) -> list[tuple[str, str]]:
    """Label and value of everything that made this picture."""
    request = job.request
    shown = {
        "negative": request.negative,
        "model": request.model,
        "sampler": request.sampler,
        "steps": number(language, request.steps),
        "guidance": number(language, request.guidance),
        "seed": seeds(job),
        "size": f"{request.width}×{request.height}",
        "from": f"{job.parent}.{(job.parent_index or 0) + 1}" if request.source and job.parent else "",
        "strength": number(language, request.strength) if request.source and request.enlarge == 1 else "",
        "enlarged": f"{request.enlarge}×" if request.enlarge > 1 else "",
        "seconds": duration(language, job.seconds) if job.seconds else "",
        "drawn": moment(language, job.finished) if job.finished else "",
    }
    return [(say(language, f"fact.{name}"), value) for name, value in shown.items() if value]


def seeds(job: Job) -> str:
    """The seed, or the first and the last of several: picture i has seed + i."""
    first, last = job.request.seed, job.request.seed + job.request.count - 1
    return str(first) if first == last else f"{first}–{last}"
