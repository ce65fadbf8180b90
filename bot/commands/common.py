"""What several commands share: who asks, whose job it is, what it may be called."""

from __future__ import annotations

import secrets
from typing import Annotated, TypeAlias

from bot.app import App
from bot.options import Option
from bot.talk import Call
from inference.request import MAX_COUNT, MAX_SEED, UNITS
from storage import accounts, acts, gallery, jobs
from storage.accounts import OWNER, Account
from storage.allowances import Scene
from storage.database import Connection
from storage.gallery import Piece
from storage.jobs import Job, Status
from storage.refusal import Refusal

LAST_JOB = 2**53
"""No job number is higher: a forged one must not overflow an integer of the database."""

JobId: TypeAlias = Annotated[int, Option(low=1, high=LAST_JOB)]
Index: TypeAlias = Annotated[int, Option(low=0, high=MAX_COUNT - 1)]
"""Which picture of a job, from 0."""


def scene_of(call: Call) -> Scene:
    """Where it was asked, and as what: whose rules and allowances count."""
    return Scene(call.community, call.channel, call.roles, call.adult, call.entitled)


async def meet(call: Call, app: App) -> Account:
    """The account of who asks; a stranger gets one."""
    known = await app.database.read(_known, call.who)
    if known is not None:
        return known
    grant = app.config.daily_credits * UNITS
    unlimited = call.who == OWNER
    return await app.database.write(
        accounts.meet, call.who, call.language, app.clock(), grant=grant, unlimited=unlimited
    )


def _known(tx: Connection, who: str) -> Account | None:
    number = accounts.find(tx, who)
    return None if number is None else accounts.get(tx, number)


def find_mine(tx: Connection, account: int, job_id: int) -> Job:
    """The job, if it is this account's. Raises Refusal no_job: "not yours" and "not there" read the same."""
    job = jobs.get(tx, job_id)
    if job is None or job.account != account:
        raise Refusal("no_job", job=job_id)
    return job


def find_seen(tx: Connection, account: int, job_id: int) -> Job:
    """The job, if this account may see it: its own, or somebody's public one with pictures.

    A finished job whose pictures were deleted is there for nobody. Raises Refusal no_job.
    """
    job = jobs.get(tx, job_id)
    if job is None:
        raise Refusal("no_job", job=job_id)
    hung = job.status is Status.DONE and bool(gallery.of_job(tx, job_id))
    mine = job.account == account
    hidden = job.private or job.shown == "withheld"
    if not (hung or (mine and job.status is not Status.DONE)) or (hidden and not mine):
        raise Refusal("no_job", job=job_id)
    return job


def find_drawn(tx: Connection, account: int, job_id: int) -> Job:
    """The job, or what its picture was enlarged from, while that may be seen. Raises Refusal no_job."""
    job = find_seen(tx, account, job_id)
    while job.request.enlarge > 1 and job.parent is not None:
        try:
            job = find_seen(tx, account, job.parent)
        except Refusal:  # its pictures were deleted: the enlarged one says enough
            break
    return job


def by_check(tx: Connection, job: Job) -> bool:
    """Was it the safety check that withheld its pictures, and no moderator who held them back since?"""
    held = job.free and acts.stands(tx, "picture.hold", job.account, job.id)
    return job.free and job.shown == "withheld" and not held


def find_piece(tx: Connection, account: int, job_id: int, index: int | None) -> tuple[Job, Piece]:
    """One picture (None: the first there is) of a job that this account may see. Raises Refusal no_job."""
    job = find_seen(tx, account, job_id)
    hung = gallery.of_job(tx, job_id)
    piece = next((each for each in hung if index in (None, each.index)), None)
    if piece is None:
        raise Refusal("no_job", job=job_id)
    if job.shown == "withheld":
        raise Refusal("withheld" if by_check(tx, job) else "held_back", job=job_id)
    return job, piece


def find_drawn_piece(tx: Connection, account: int, job_id: int, index: int) -> tuple[Job, Piece]:
    """One picture of a job at the size it was drawn at: an enlarged one is what it was enlarged from.

    Raises Refusal no_job, withheld, held_back.
    """
    job, piece = find_piece(tx, account, job_id, index)
    while job.request.enlarge > 1 and job.parent is not None:
        job, piece = find_piece(tx, account, job.parent, job.parent_index)
    return job, piece


def new_seed(count: int) -> int:
    """A seed nobody chose, with room for ``count`` pictures above it."""
    return secrets.randbelow(MAX_SEED - count + 2)


def short(text: str, limit: int = 60) -> str:
    """The beginning of a prompt."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
