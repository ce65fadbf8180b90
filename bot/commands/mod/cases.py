"""Appeals and reports: what people ask moderators to look at, and what is decided.

An approved request is drawn at the place in the queue that it had when it was refused; nobody gets a warning
for having asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot import rules
from bot.app import App
from bot.commands import contest
from bot.commands.common import JobId, find_seen, meet, short
from bot.commands.mod.common import change, moderator
from bot.commands.mod.rules import listed, merged
from bot.options import Option
from bot.talk import Button, Call, Reply, Tone
from bot.texts import say
from inference.request import price
from storage import acts, gallery, jobs, matters, outbox, rulebook
from storage.accounts import Account
from storage.acts import Change
from storage.allowances import Scene
from storage.database import Connection
from storage.jobs import NewJob
from storage.matters import Matter, State
from storage.refusal import Refusal
from storage.rulebook import Entry

SHOWN = 5
"""Matters in one answer: a row of buttons each."""
_STATES: dict[str, State] = {
    "approve": "approved", "allow": "approved", "keep": "approved", "uphold": "upheld", "remove": "removed",
    "spoiler": "spoilered",
}  # fmt: skip
WAYS = {"refusal": ("approve", "allow", "uphold"), "report": ("keep", "spoiler", "remove")}
"""What may be decided of what."""
MatterId = Annotated[int, Option(low=1, high=2**53)]


@dataclass(frozen=True, slots=True)
class Appeal:
    """A second look at a refusal of mine."""

    matter: MatterId


@dataclass(frozen=True, slots=True)
class Report:
    """A moderator should look at this job."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Cases:
    """What waits for a decision here."""


@dataclass(frozen=True, slots=True)
class Decide:
    """Decide one: approve a refusal once, or allow its words from now on, or uphold it; keep, spoiler or
    remove what was reported."""

    matter: MatterId
    way: Annotated[str, Option(longest=10)] = ""


async def appeal(ask: Appeal, call: Call, app: App) -> AsyncIterator[Reply]:
    """Let moderators see it."""
    account = await meet(call, app)
    await app.database.write(matters.appeal, ask.matter, account.id, app.clock(), durable=True)
    yield Reply(say(call.language, "appeal.sent"), tone=Tone.GOOD, private=True)


async def report(ask: Report, call: Call, app: App) -> AsyncIterator[Reply]:
    """Report what one may see; who reported is not kept."""
    account = await meet(call, app)
    job = await app.database.read(find_seen, account.id, ask.job)
    scene = Scene(job.community, job.channel)
    new = matters.New(job.account, scene, job.request, "", "", job.place, job.language)
    await app.database.write(matters.report, new, job.id, app.clock(), durable=True)
    yield Reply(say(call.language, "report.sent"), tone=Tone.GOOD, private=True)


async def cases(ask: Cases, call: Call, app: App) -> AsyncIterator[Reply]:
    """Every open matter here, with its buttons."""
    await moderator(call, app)
    found = await app.database.read(matters.opened, call.community, SHOWN)
    lines = [f"{about(each, call.language)} “{short(each.request.prompt, 200)}”" for each in found]
    yield Reply(
        "" if found else say(call.language, "cases.none"), title=say(call.language, "cases.title"),
        fields=tuple((str(each.id), line) for each, line in zip(found, lines, strict=True)),
        buttons=tuple(buttons(each, call.language, numbered=True) for each in found), private=True,
    )  # fmt: skip


def about(matter: Matter, language: str) -> str:
    """What it is about, in words."""
    if matter.rule == contest.RULE:
        return say(language, "safety.card", job=matter.job or 0)
    if matter.kind == "report":
        return say(language, "report.card", job=matter.job or 0)
    return say(language, "appeal.card", rule=listed(matter.rule, language), matched=matter.matched)


def buttons(matter: Matter, language: str, *, numbered: bool = False) -> tuple[Button, ...]:
    """The ways to decide it; ``numbered`` where others stand beside it."""
    which = f" {say(language, 'cases.which', n=matter.id)}" if numbered else ""
    return tuple(
        Button(say(language, f"button.{way}") + which, Decide(matter.id, way)) for way in WAYS[matter.kind]
    )


async def decide(ask: Decide, call: Call, app: App) -> AsyncIterator[Reply]:
    """Decide it, once. An approved request is submitted first: if it cannot be, nothing is decided."""
    who = await moderator(call, app)
    matter = await app.database.read(_here, ask.matter, call, who)
    if ask.way not in WAYS[matter.kind]:
        raise Refusal("bad_button")
    if ask.way == "allow":
        await app.database.read(_excepted, matter, app)
    if ask.way in ("approve", "allow"):
        await app.dispatch.submit(_approved(matter, app))
    unused: list[str] = []

    def work(tx: Connection, who: Account) -> Change:
        done = matters.decide(tx, matter.id, _STATES[ask.way], who.id, app.clock())
        if done.job is not None and ask.way == "remove":
            unused.extend(gallery.delete(tx, done.job))
            outbox.redraw(tx, done.job)
        elif done.job is not None:
            _show(tx, done.job, ask.way, checked=done.rule == contest.RULE)
        if done.job is not None and done.rule == contest.RULE:
            outbox.again(tx, done.job, app.clock())  # what was withheld is shown, or gone: its person is told
        back = _except(tx, done) if ask.way == "allow" else []
        return Change({"n": done.id, "way": ask.way}, back, done.account)

    await change(call, app, "decide", work)
    await app.files.remove(unused)
    app.outbox.wake()
    text = say(call.language, "appeal.decided", what=say(call.language, f"button.{ask.way}"))
    yield Reply(text, prompt=matter.request.prompt, tone=Tone.GOOD, private=True)


def _excepted(tx: Connection, matter: Matter, app: App) -> None:
    """Would an exception for what the rule found help? Raises Refusal exception_useless, too_many_rules."""
    entries = rulebook.of_community(tx, matter.community)
    if len(entries) >= rulebook.MOST:
        raise Refusal("too_many_rules", limit=rulebook.MOST)
    more = Entry(0, matter.community, "allow", matter.matched)
    if rules.judge(matter.request.prompt, merged(app.config, (*entries, more))) is not None:
        raise Refusal("exception_useless", text=matter.matched)


def _except(tx: Connection, matter: Matter) -> list[acts.Step]:
    """Allow what the rule found from now on; the way back. Raises Refusal too_many_rules: another moderator
    was quicker.
    """
    if not rulebook.put(tx, matter.community, "allow", matter.matched):
        return []
    if len(rulebook.of_community(tx, matter.community)) > rulebook.MOST:
        raise Refusal("too_many_rules", limit=rulebook.MOST)
    return [("rule", matter.community, "allow", matter.matched, False)]


def _show(tx: Connection, number: int, way: str, *, checked: bool) -> None:
    """As was decided. Only a second look at what was ``checked`` may show more than is shown now."""
    job = jobs.get(tx, number)
    if checked or (job is not None and way == "spoiler" and job.shown == ""):
        jobs.show_as(tx, number, "spoiler" if way == "spoiler" else "")


def _here(tx: Connection, number: int, call: Call, who: Account) -> Matter:
    """An open matter of this place. Raises Refusal no_matter, already_decided."""
    matter = matters.get(tx, number)
    if matter is None or matter.state == "offered":
        raise Refusal("no_matter")
    if not who.unlimited and matter.community != call.community:
        raise Refusal("no_matter")
    if matter.state != "open":
        raise Refusal("already_decided")
    return matter


def _approved(matter: Matter, app: App) -> NewJob:
    """The refused request at its old place."""
    request, origin = matter.request, matter.origin
    spec = app.catalog.get(request.model)
    if spec is None:
        raise Refusal("model_withdrawn", model=request.model)
    return NewJob(
        matter.account, f"matter:{matter.id}", request, price(request, spec), app.dispatch.seconds(request),
        matter.place, matter.language, origin.parent, origin.picture, origin.private, sent=origin.sent,
        scene=Scene(matter.community, matter.channel, origin.roles, origin.adult), turn=matter.turn,
    )  # fmt: skip
