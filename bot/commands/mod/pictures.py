"""``/mod picture``: how the pictures of a job are shown from now on, with the reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.mod.common import change, confirmed, here
from bot.options import CHOICES, Option
from bot.talk import Call, Reply
from storage import acts, gallery, jobs, outbox, tallies
from storage.accounts import Account
from storage.acts import Change
from storage.database import Connection
from storage.jobs import Status
from storage.refusal import Refusal

JobNumber = Annotated[int, Option("job", ("trabajo",), word=True, low=1, high=2**53)]
_SHOWN = {"show": "", "spoiler": "spoiler", "hold": "withheld"}
_WAYS = {
    "mostrar": "show", "cubrir": "spoiler", "retener": "hold", "borrar": "delete", "withhold": "hold",
    "cover": "spoiler", "remove": "delete",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModPicture:
    """Show them, cover them, hold them back, or delete them for good."""

    job: JobNumber
    way: Annotated[str, Option("as", ("como",), word=True, choices="ways", longest=10)]
    reason: Annotated[str, Option("why", ("motivo",), words=True, longest=200)] = ""


async def answer(ask: ModPicture, call: Call, app: App) -> AsyncIterator[Reply]:
    """Do it once. Raises Refusal no_job_here, bad_choice. What is deleted cannot come back."""
    way = _WAYS.get(ask.way.casefold(), ask.way.casefold())
    if way not in CHOICES["ways"]:
        raise Refusal("bad_choice", flag="as", value=ask.way[:40], known=", ".join(CHOICES["ways"]))
    unused: list[str] = []

    def work(tx: Connection, who: Account) -> Change:
        job = here(tx, ask.job, call, who)
        if job.status is not Status.DONE or not gallery.of_job(tx, job.id):
            raise Refusal("no_job_here", job=ask.job)
        facts = {"job": job.id, "reason": ask.reason}
        if way == "delete":
            unused.extend(gallery.delete(tx, job.id))
            outbox.redraw(tx, job.id)
            tallies.count(tx, job.community, "removed", app.clock())
            return Change(facts, subject=job.account)
        back = acts.shown_back(job.id, job.shown)
        jobs.show_as(tx, job.id, _SHOWN[way])
        if way == "spoiler":
            tallies.count(tx, job.community, "spoilered", app.clock())
        return Change(facts, [back], job.account)

    done = await change(call, app, f"picture.{way}", work)
    await app.files.remove(unused)
    app.outbox.wake()
    yield await confirmed(done, call, app)
