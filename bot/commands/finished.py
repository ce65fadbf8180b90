"""What a job looks like when it is over: shown by the outbox, now or after a restart."""

from __future__ import annotations

from dataclasses import replace

from bot.app import App
from bot.commands import again, cancel, contest, delete, details, original, remix, star, upscale, vary
from bot.commands.common import by_check
from bot.commands.drawing import cost
from bot.talk import Button, Image, Reply, Tone
from bot.texts import duration, has, say
from storage import acts, gallery, jobs
from storage.database import Connection
from storage.gallery import Piece
from storage.jobs import Job, Status
from storage.refusal import Refusal

IN_VAIN = ("source_gone", "source_unreadable")
"""Failures after which the same is not offered again."""


async def finished(job: Job, app: App) -> Reply:
    """The pictures with their buttons, or the bad news with what to do next. Raises Refusal (disk_error,
    picture_unreadable …) for pictures that are there and cannot be read now.
    """
    if job.status is not Status.DONE:
        return failed(job, app.catalog.state(job.request.model).detail)
    pieces, grid, checked = await app.database.read(_hung, job)
    if not pieces:
        return await _away(job, "finished.deleted", "picture.delete", app)
    if checked:
        return _flagged(job)
    if job.shown == "withheld":
        return await _away(job, "finished.withheld", "picture.hold", app)
    try:
        return await _pictures(job, pieces, grid, app)
    except Refusal as refusal:
        if refusal.code != "picture_gone":  # for a while, perhaps: what is shown instead would stay
            raise
        return await spoilt(job, app, GONE)


def _hung(tx: Connection, job: Job) -> tuple[tuple[Piece, ...], Piece | None, bool]:
    """What there is, the grid of it, and whether the safety check withholds it."""
    return gallery.of_job(tx, job.id), gallery.grid(tx, job.id), by_check(tx, job)


async def _away(job: Job, key: str, act: str, app: App) -> Reply:
    """Held back or deleted, and why, if a moderator said so."""
    reason = await app.database.read(acts.why, act, job.account, job.id)
    said = [say(job.language, key), say(job.language, "finished.reason", reason=reason) if reason else ""]
    return Reply("\n".join(filter(None, said)), private=job.private, job=job.id)


def _flagged(job: Job) -> Reply:
    """The safety check withheld it: it cost nothing, and its person may ask for a second look."""
    second = Button(say(job.language, "button.appeal"), contest.Contest(job.id), style="main")
    return Reply(
        f"{say(job.language, 'refusal.withheld', job=job.id)}\n{say(job.language, 'finished.free')}",
        prompt=job.request.prompt,
        buttons=((second, remix.button(job, job.language)),),
        tone=Tone.REFUSED,
        code="withheld",
        private=job.private,
        job=job.id,
    )


def failed(job: Job, detail: str = "") -> Reply:
    """Why nothing came, that nothing was charged, and what to do next. ``detail``: what its model lacks."""
    if job.status is Status.CANCELLED:
        sentences = [cancel.stopped(job, job.language)]
    else:
        code = f"refusal.{job.code}" if has(f"refusal.{job.code}") else "refusal.broken"
        request = job.request
        facts = {"model": request.model, "detail": detail, "sampler": request.sampler, "steps": request.steps}
        sentences = [say(job.language, code, **facts), say(job.language, "finished.free")]
        sentences += [say(job.language, f"{code}.next", **facts)] if has(f"{code}.next") else []
    retry = Button(say(job.language, "button.retry"), again.Again(job.id), style="main")
    return Reply(
        "\n".join(sentences),
        prompt=job.request.prompt,
        buttons=() if job.code in IN_VAIN else ((retry,),),
        tone=Tone.BROKEN,
        code=job.code or "cancelled",
        private=job.private,
        job=job.id,
    )


GONE = frozenset({"picture_gone"})
LOST = GONE | {"picture_unreadable"}


async def spoilt(job: Job, app: App, lost: frozenset[str] = LOST) -> Reply:
    """What of its pictures can be read, each by itself, and that the others cannot; they cost nothing if they
    were never shown. ``lost`` is what is said of a picture that counts as such. Raises Refusal: anything else
    (disk_error … while the disk is away).
    """
    pieces, _, _ = await app.database.read(_hung, job)
    found, why = [], Refusal("picture_gone")
    for piece in pieces:
        try:
            found.append((piece, await image(job, piece, app)))
        except Refusal as refusal:
            if refusal.code not in lost:
                raise
            why = refusal
    count = len(pieces) - len(found)
    back = await app.database.write(jobs.lose, job.id, count, app.clock(), durable=True) if count else 0
    said = _lost(job, count, back) if found else _unreadable(job, why, back)
    if not found:
        return said
    shown = replace(job, arrived=len(found)) if back else job
    read = tuple(piece for piece, _ in found)
    return replace(
        said, fields=facts(shown), images=tuple(seen for _, seen in found), tone=Tone.GOOD,
        buttons=single(job, read[0]) if len(read) == 1 else several(job, read),
    )  # fmt: skip


def _unreadable(job: Job, refusal: Refusal, back: int) -> Reply:
    """It was drawn, but no file can be shown: why, what came of its price, and what to do next."""
    code = f"refusal.{refusal.code}"
    sentences = [say(job.language, code), _back(job, back), say(job.language, f"{code}.next")]
    return Reply(
        "\n".join(filter(None, sentences)),
        prompt=job.request.prompt,
        buttons=(common(job),),
        tone=Tone.BROKEN,
        private=job.private,
        job=job.id,
    )


def _lost(job: Job, lost: int, back: int) -> Reply:
    """Some of it was lost, or none but the image that shows all of them together."""
    said = [say(job.language, "finished.lost", n=lost) if lost else "", _back(job, back)]
    return Reply(" ".join(filter(None, said)), prompt=job.request.prompt, private=job.private, job=job.id)


def _back(job: Job, units: int) -> str:
    return say(job.language, "finished.back") if units else ""


async def _pictures(job: Job, pieces: tuple[Piece, ...], grid: Piece | None, app: App) -> Reply:
    alone = pieces[0] if len(pieces) == 1 else None
    shown = alone or grid
    files = [shown] if shown else list(pieces)
    missing = job.request.count - job.arrived
    text = say(job.language, "finished.some", n=missing, arrived=job.arrived) if missing > 0 else ""
    return Reply(
        text,
        prompt=job.request.prompt,
        fields=facts(job),
        images=tuple([await image(job, piece, app) for piece in files]),
        buttons=single(job, alone) if alone else several(job, pieces),
        tone=Tone.GOOD,
        private=job.private,
        job=job.id,
    )


async def image(job: Job, piece: Piece, app: App) -> Image:
    """A picture of a job, from the gallery."""
    number = "" if piece.index == gallery.GRID else f"-{piece.index + 1}"
    data = await app.files.load(piece.digest)
    return Image(
        data, f"falopitas-{job.id}{number}.png", alt=job.request.prompt, digest=piece.digest,
        spoiler=job.shown == "spoiler",
    )  # fmt: skip


async def alone(job: Job, piece: Piece, app: App) -> Reply:
    """One picture of a job by itself, as it is."""
    return Reply(
        prompt=job.request.prompt,
        fields=facts(job, piece),
        images=(await image(job, piece, app),),
        buttons=single(job, piece),
        tone=Tone.GOOD,
        private=job.private,
    )


def facts(job: Job, piece: Piece | None = None) -> tuple[tuple[str, str], ...]:
    """What every result shows: model, seed, size, cost, seconds; of one picture, its own seed and cost."""
    language, request = job.language, job.request
    charged = job.charged if piece is None or job.free else job.price // request.count
    return (
        (say(language, "fact.model"), request.model),
        (say(language, "fact.seed"), details.seeds(job) if piece is None else str(piece.seed)),
        (say(language, "fact.size"), f"{request.width}×{request.height}"),
        (say(language, "drawing.cost"), cost(language, charged)),
        (say(language, "fact.seconds"), duration(language, job.seconds)),
    )


# --- buttons


def several(job: Job, pieces: tuple[Piece, ...]) -> tuple[tuple[Button, ...], ...]:
    """U and V for each picture, then what is done with all of them."""
    numbers = [piece.index for piece in pieces]
    return (
        tuple(Button(f"U{number + 1}", upscale.Upscale(job.id, number)) for number in numbers),
        tuple(Button(f"V{number + 1}", vary.Vary(job.id, number)) for number in numbers),
        common(job),
    )


def single(job: Job, piece: Piece) -> tuple[tuple[Button, ...], ...]:
    """The buttons of one picture. Of an enlarged one, variations begin with what it was enlarged from."""
    language, spot = job.language, (job.id, piece.index)
    enlarged = job.request.enlarge > 1
    if enlarged and job.parent is not None:
        spot = (job.parent, job.parent_index or 0)
    make = [Button(say(language, "button.upscale"), upscale.Upscale(*spot))] if not enlarged else []
    first = (
        *make,
        Button(say(language, "button.subtle"), vary.Vary(*spot, strong=False)),
        Button(say(language, "button.strong"), vary.Vary(*spot, strong=True)),
        Button(say(language, "button.original"), original.Original(job.id, piece.index)),
    )
    return (first, common(job))


def common(job: Job) -> tuple[Button, ...]:
    """Again, remix, details, star, delete."""
    language = job.language
    return (
        Button(f"🔄 {say(language, 'button.again')}", again.Again(_drawn(job))),
        remix.button(job, language),
        Button(f"🔎 {say(language, 'button.details')}", details.Details(job.id)),
        Button(f"⭐ {say(language, 'button.star')}", star.Star(job.id)),
        Button(f"🗑️ {say(language, 'button.delete')}", delete.Delete(job.id), style="danger"),
    )


def _drawn(job: Job) -> int:
    """The job that was drawn: an enlarged picture is drawn again as what it was enlarged from."""
    return job.parent if job.request.enlarge > 1 and job.parent is not None else job.id
