"""The way of everything that is drawn: rules, price, queue, progress. The final picture is the outbox's.

``draw`` yields what is known at once (cost, place, time, what is left), then fleeting progress until the job
is over. Its pictures, or the bad news, come from ``finished``, shown by the outbox, now or after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from bot import rules
from bot.app import App
from bot.commands import cancel
from bot.commands.common import scene_of
from bot.commands.mod.rules import merged
from bot.dispatch import Ahead, Moved, Over, Progress, Range, Started, Stuck
from bot.talk import Button, Call, Image, Reply, Tone, platform
from bot.texts import say, span
from inference.request import UNITS, Request, price
from storage import allowances, decisions, jobs, matters, rulebook
from storage.accounts import Account
from storage.allowances import Scene
from storage.database import Connection
from storage.jobs import Job, NewJob, Status
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Origin:
    """What a drawing was made from: a job and, if it was one picture, which; or a picture that was ``sent``.

    ``private``: its results are for who asked alone.
    """

    job: int | None = None
    picture: int | None = None
    private: bool = False
    sent: bool = False


async def draw(
    request: Request, origin: Origin, account: Account, call: Call, app: App, *,
    once: bool = False, note: str = "",
) -> AsyncIterator[Reply]:  # fmt: skip
    """Draw ``request`` for ``account``. With ``once`` (a button) it is refused while the same is under way.

    ``note`` is a sentence more in the first answer. Raises Refusal, and nothing was charged, for what a rule
    forbids, a picture to begin with that was deleted since, the quota, a full queue.
    """
    if request.source and await app.files.gone(request.source):
        raise Refusal("source_gone")
    await _judge(request, origin, account, call, app)
    key = await _key(request, origin, account, call, app) if once else f"{platform(call.place)}:{call.event}"
    new = _job(request, origin, account, call, app, key)
    job = await app.dispatch.submit(new)
    if once and (job.request, job.place) != (request, call.place):  # the same key: another press was first
        raise Refusal("already_asked", job=job.id)
    async for reply in watch(job, account, call.language, app, note, scene=scene_of(call)):
        yield reply


async def watch(
    job: Job, account: Account, language: str, app: App, note: str = "", *, scene: Scene | None = None
) -> AsyncIterator[Reply]:
    """What its person sees of a job that is under way; also of one that somebody looks at after a restart.

    It subscribes before it awaits anything, so nothing that happens to a job just submitted is missed.
    """
    with app.dispatch.subscribe(job.id) as events:
        view = _View(job, language, app)
        yield await view.queued(account, note, scene or Scene(job.community, job.channel))
        async for event in events:
            reply = await view.of(event)
            if reply is not None:
                yield reply
            if isinstance(event, Over):
                return


def _job(request: Request, origin: Origin, account: Account, call: Call, app: App, key: str) -> NewJob:
    spec = app.catalog.get(request.model)
    if spec is None:
        raise Refusal("model_withdrawn", model=request.model)
    return NewJob(
        account=account.id,
        key=key,
        request=request,
        price=price(request, spec),
        cost=app.dispatch.seconds(request),
        place=call.place,
        language=call.language,
        parent=origin.job,
        parent_index=origin.picture,
        private=origin.private,
        inbox=(platform(call.place), call.event),
        sent=origin.sent,
        who=call.who,
        scene=scene_of(call),
    )


async def _judge(request: Request, origin: Origin, account: Account, call: Call, app: App) -> None:
    """Refuse what a rule forbids, with a way to appeal. Only then are the words kept, for two days."""
    entries = await app.database.read(rulebook.of_community, call.community)
    verdict = rules.judge(request.prompt, merged(app.config, entries))
    if verdict is None:
        return
    digest = hashlib.sha256(request.prompt.encode()).hexdigest()
    begun = matters.Origin(origin.job, origin.picture, origin.private, origin.sent, call.roles, call.adult)
    new = matters.New(
        account.id, scene_of(call), request, verdict.rule, verdict.reason, call.place, call.language, begun
    )

    def record(tx: Connection, now: float) -> int:
        decisions.record(tx, account.id, verdict.rule, verdict.code, digest, now)
        return matters.offer(tx, new, now)

    matter = await app.database.write(record, app.clock())
    raise Refusal(f"rule_{verdict.rule}", reason=verdict.reason, matter=matter)


async def _key(request: Request, origin: Origin, account: Account, call: Call, app: App) -> str:
    """A key that two presses at the same moment share. Raises Refusal if the first is still under way."""
    same, newest = await app.database.read(_under_way, account.id, request, origin)
    if same is not None:
        raise Refusal("already_asked", job=same)
    kind = f"{request.source or ''}/{request.strength}/{request.enlarge}/{request.prompt}"
    return f"press:{origin.job}:{origin.picture}:{hashlib.sha256(kind.encode()).hexdigest()[:16]}:{newest}"


def _under_way(tx: Connection, account: int, request: Request, origin: Origin) -> tuple[int | None, int]:
    """The unfinished job that draws the same from the same, and the newest job of the account."""
    newest = next((job.id for job in jobs.mine(tx, account, 1)), 0)
    for job in jobs.unfinished(tx, account):
        if (job.parent, job.parent_index) == (origin.job, origin.picture) and _alike(job.request, request):
            return job.id, newest
    return None, newest


def _alike(one: Request, other: Request) -> bool:
    """Equal but for the seeds."""
    facts = ("prompt", "negative", "model", "source", "strength", "enlarge", "steps", "guidance", "sampler")
    return all(getattr(one, fact) == getattr(other, fact) for fact in facts)


# --- what is shown meanwhile


def left_today(language: str, account: Account, balance: int) -> str:
    """What an account may still spend, in words."""
    if account.unlimited:
        return say(language, "drawing.unlimited")
    return say(language, "drawing.credits", n=round(balance / UNITS, 2))


def cost(language: str, units: int) -> str:
    """A price in words."""
    return say(language, "drawing.credits", n=round(units / UNITS, 2))


def wait(language: str, eta: Range) -> str:
    """How long, as a range; a guess says that it is one."""
    key = "drawing.span" if eta.measured else "drawing.guess"
    return say(language, key, span=span(language, eta.low, eta.high))


def place(language: str, ahead: Ahead) -> str:
    """Where in the queue, in words."""
    if ahead.jobs:
        return say(language, "drawing.ahead", n=ahead.jobs)
    return say(language, "drawing.next" if ahead.running else "drawing.now")


class _View:
    """What a job's person sees until it is over."""

    def __init__(self, job: Job, language: str, app: App) -> None:
        self._job = job
        self._language = language
        self._app = app
        self._paid: tuple[tuple[str, str], ...] = ()
        """Cost and what is left: the same from beginning to end."""
        self._previews: tuple[Image, ...] = ()
        self._stuck = False
        """The last that was said is that no engine can start."""

    def _say(self, key: str, **values: object) -> str:
        return say(self._language, key, **values)

    async def queued(self, account: Account, note: str, scene: Scene) -> Reply:
        """The first answer: cost, place, time, what is left."""
        balance = await self._app.database.read(allowances.spendable, account.id, scene, self._app.clock())
        ahead = await self._app.dispatch.position(self._job.id)
        self._paid = (
            (self._say("drawing.cost"), cost(self._language, self._job.price)),
            (self._say("drawing.left"), left_today(self._language, account, balance)),
        )
        eta = self._app.dispatch.eta(self._job.request, ahead, self._job.id)
        first = self._waiting(ahead, eta, fleeting=False)
        return replace(first, text=f"{first.text}\n{note}".strip())

    def _waiting(self, ahead: Ahead, eta: Range, *, fleeting: bool) -> Reply:
        warming = self._app.dispatch.warming(self._job.request.model)
        return self._reply(
            self._say("drawing.warming" if warming else "drawing.queued", n=self._job.request.count),
            (
                (self._say("drawing.place"), place(self._language, ahead)),
                (self._say("drawing.eta"), wait(self._language, eta)),
                *self._paid,
            ),
            ends=self._app.clock() + eta.high,
            fleeting=fleeting,
        )

    def _reply(
        self, text: str, fields: tuple[tuple[str, str], ...], *, ends: float | None = None,
        progress: float | None = None, fleeting: bool = True,
    ) -> Reply:  # fmt: skip
        stop = Button(self._say("button.cancel"), cancel.Cancel(self._job.id), style="danger")
        return Reply(
            text,
            prompt=self._job.request.prompt,
            fields=fields,
            images=self._previews,
            buttons=((stop,),),
            tone=Tone.WAITING,
            fleeting=fleeting,
            private=self._job.private,
            progress=progress,
            ends=ends,
            job=self._job.id,
        )

    async def of(self, event: object) -> Reply | None:
        """What an event looks like; None for what the outbox shows. Good news after bad is never skipped."""
        was, self._stuck = self._stuck, isinstance(event, Stuck)
        reply = self._of(event)
        return replace(reply, fleeting=False) if reply and was else reply

    def _of(self, event: object) -> Reply | None:
        match event:
            case Moved():
                return self._waiting(event.ahead, event.eta, fleeting=True)
            case Stuck():
                keys = ("refusal.no_engine", "drawing.stuck", "refusal.no_engine.next")
                text = "\n".join(map(self._say, keys))
                return replace(self._reply(text, self._paid, fleeting=False), tone=Tone.REFUSED)
            case Started():
                return self._reply(self._say("drawing.started"), self._paid, progress=0.0)
            case Progress():
                return self._progress(event)
            case Over() if event.job.status is Status.CANCELLED:
                return cancel.cancelled(event.job, self._language)
        return None

    def _progress(self, event: Progress) -> Reply:
        prompt = self._job.request.prompt
        self._previews = tuple(
            Image(data, f"preview-{number}.webp", alt=prompt) for number, data in enumerate(event.previews, 1)
        ) or self._previews  # fmt: skip
        share = min(1.0, event.done / max(1, event.total))
        return self._reply(
            self._say("drawing.step", share=round(100 * share)),
            ((self._say("drawing.eta"), wait(self._language, event.left)), *self._paid),
            progress=share,
            ends=self._app.clock() + event.left.high,
        )
