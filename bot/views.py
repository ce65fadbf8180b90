"""The views of the moderators' page as JSON: one function a view, each for one community.

The owner at home (the house) sees the queue, the use and the ledger of all communities together; whatever is
decided is decided for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from bot.adapters.web.bureau import Chair, Record
from bot.app import App
from bot.commands.mod.cases import WAYS
from bot.commands.mod.common import person, sentence
from bot.speed import part
from bot.texts import has, say
from storage import acts, gallery, gate, jobs, matters, review, rulebook, sanctions
from storage.acts import Act
from storage.database import Connection
from storage.jobs import Job, Status
from storage.ledger import DAY, Entry
from storage.matters import Matter
from storage.policy import HOUSE
from storage.refusal import Refusal
from storage.review import Wanted

Query: TypeAlias = dict[str, str]
Rows: TypeAlias = tuple[Sequence[str], list[list[Any]]]

HOUR = 3_600.0
MOST_JOBS, MOST_PEOPLE, MOST_ENTRIES, MOST_ACTS, MOST_CASES, PAGE = 200, 50, 100, 50, 50, 24
MOST_ROWS = 100_000
"""Of an export."""
MOST_DAYS = 366
BINS = (0.0, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)
"""Where the bars of the calibration begin: what a wait was of what had been told."""
LONGEST = 400
"""Characters of a prompt in a list."""


def scope(chair: Chair) -> str | None:
    """The community that is looked at; None: all of them."""
    return None if chair.owner and chair.community == HOUSE else chair.community


def number(query: Query, name: str, default: int, low: int, high: int) -> int:
    """A whole number that the page asks with. Raises Refusal out_of_range."""
    text = query.get(name, "").strip().lstrip("#")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and low <= int(text) <= high):
        raise Refusal("out_of_range", flag=name, value=text[:20], low=low, high=high)
    return int(text)


def day(query: Query, name: str) -> float | None:
    """The beginning of a day (UTC), as ``2027-01-31``. Raises Refusal bad_value."""
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        return datetime.strptime(text[:20], "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Refusal("bad_value", flag=name) from None


def written(at: float) -> str:
    """A moment as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


# --- who and where


def me(tx: Connection, chair: Chair, app: App) -> Record:
    """Who sits here, for which community, and which others they may choose."""
    waiting = review.open_matters(tx)
    names = dict.fromkeys([HOUSE, *review.communities(tx)]) if chair.owner else {chair.community: None}
    return {
        "who": chair.who, "owner": chair.owner, "community": chair.community, "language": chair.language,
        "communities": [
            {"id": name, "title": gate.titled(tx, name) if name else "", "open": waiting.get(name, 0)}
            for name in names
        ],
    }  # fmt: skip


# --- the queue


def queue(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """What is drawn, what waits and what is held; and for whom the machine drew in the last hour."""
    now, place = app.clock(), scope(chair)
    found = jobs.waiting(tx, MOST_JOBS, place)
    shares = review.drawn(tx, place, now - HOUR, MOST_PEOPLE)
    total = sum(each.seconds for each in shares) or 1.0
    return {
        "jobs": [_job(tx, job, app, now) for job in found],
        "waiting": sum(job.status is Status.QUEUED for job in found),
        "longest": max((now - job.created for job in found if job.status is Status.QUEUED), default=0.0),
        "people": [
            {
                "who": person(tx, each.account), "jobs": each.jobs, "seconds": each.seconds,
                "share": each.seconds / total, "waited": each.waited,
            }
            for each in shares
        ],
    }  # fmt: skip


def _job(tx: Connection, job: Job, app: App, now: float) -> Record:
    ahead = jobs.ahead(tx, job.id)
    waits = job.status is Status.QUEUED and not job.held
    eta = app.dispatch.eta(job.request, ahead)
    return {
        "id": job.id, "who": person(tx, job.account), "prompt": _prompt(job), "community": job.community,
        "state": "held" if job.held else job.status.value, "waited": now - (job.started or job.created),
        "ahead": ahead.jobs if waits else None, "low": eta.low if waits else None,
        "high": eta.high if waits else None, "units": job.price,
        "model": job.request.model, "count": job.request.count,
    }  # fmt: skip


def _prompt(job: Job) -> str | None:
    """None for what is its person's alone."""
    return None if job.private else job.request.prompt[:LONGEST]


# --- use


def usage(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """By day, by person and, for the owner at home, by community."""
    count = number(query, "days", 30, 1, MOST_DAYS)
    place, now = scope(chair), app.clock()
    since = now - (count - 1) * DAY
    known = {each.day: each for each in review.days(tx, place, since)}
    first, last = int(since // DAY), int(now // DAY)
    found = [known.get(each) or review.Day(each, 0, 0, 0, 0, 0) for each in range(first, last + 1)]
    totals = review.totals(tx, place, since)
    return {
        "days": [
            {
                "day": written(each.day * DAY)[:10], "jobs": each.jobs, "pictures": each.pictures,
                "people": each.people, "units": each.units, "failed": each.failed,
            }
            for each in found
        ],
        "totals": {
            "jobs": totals.jobs, "pictures": totals.pictures, "people": totals.people, "units": totals.units,
            "failed": totals.failed,
        },
        "people": [
            {"who": person(tx, each.account), "pictures": each.pictures, "units": each.units}
            for each in review.people(tx, place, since, MOST_PEOPLE)
        ],
        "communities": [
            {
                "id": each.community, "title": gate.titled(tx, each.community) if each.community else "",
                "pictures": each.pictures, "units": each.units,
            }
            for each in (review.shares(tx, since) if place is None else ())
        ],
    }  # fmt: skip


def usage_rows(tx: Connection, chair: Chair, query: Query, app: App) -> Rows:
    """Every day of every person."""
    since = app.clock() - (number(query, "days", 30, 1, MOST_DAYS) - 1) * DAY
    found = review.detail(tx, scope(chair), since, MOST_ROWS)
    rows = [
        [written(day_ * DAY)[:10], community, person(tx, account), jobs_, failed, pictures, units]
        for community, day_, account, jobs_, failed, pictures, units in found
    ]
    return ("day", "community", "person", "jobs", "failed", "pictures", "units"), rows


# --- the ledger

WHYS = ("grant", "refill", "reserve", "settle", "refund", "give", "take", "gift", "undo", "forgotten")


def _wanted(tx: Connection, query: Query, chair: Chair) -> Wanted | None:
    """What is looked for; None: nobody by that name."""
    account, name = None, query.get("who", "").strip()[:300]
    if name.startswith("#"):
        job = jobs.get(tx, number({"who": name}, "who", 0, 1, 2**53))
        if job is None or scope(chair) not in (None, job.community):
            return None
        account = job.account
    elif name:
        account = review.known_as(tx, name.lstrip("@"))
        if account is None:
            return None
    why = query.get("why", "")
    if why and why not in WHYS:
        raise Refusal("bad_choice", flag="why", value=why[:40], known=", ".join(WHYS))
    until = day(query, "until")
    return Wanted(
        account, number(query, "job", 0, 1, 2**53) or None, why, day(query, "since"),
        None if until is None else until + DAY, number(query, "before", 0, 1, 2**53) or None,
    )  # fmt: skip


def ledger(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """The newest entries that fit."""
    wanted = _wanted(tx, query, chair)
    found = review.entries(tx, scope(chair), wanted, MOST_ENTRIES) if wanted else ()
    return {
        "entries": [_entry(tx, each, chair.language) for each in found],
        "more": found[-1].id if len(found) == MOST_ENTRIES else None,
        "whys": [[why, say(chair.language, f"quota.why.{why}")] for why in WHYS if has(f"quota.why.{why}")],
        "nobody": wanted is None,
    }


def _entry(tx: Connection, entry: Entry, language: str) -> Record:
    return {
        "id": entry.id, "at": entry.at, "who": person(tx, entry.account), "job": entry.job,
        "why": say(language, f"quota.why.{entry.why}"), "note": entry.note, "units": entry.units,
    }  # fmt: skip


def ledger_rows(tx: Connection, chair: Chair, query: Query, app: App) -> Rows:
    """Every entry that fits, up to ``MOST_ROWS``."""
    wanted = _wanted(tx, query, chair)
    found = review.entries(tx, scope(chair), wanted, MOST_ROWS) if wanted else ()
    names: dict[int, str] = {}
    for each in found:
        if each.account not in names:
            names[each.account] = person(tx, each.account)
    rows = [
        [
            each.id,
            written(each.at),
            names[each.account],
            each.job,
            each.why,
            each.units,
            each.note,
            each.purse,
        ]
        for each in found
    ]
    return ("id", "at", "person", "job", "why", "units", "note", "purse"), rows


# --- pictures, reports, appeals

_SHOWN: Mapping[str, tuple[str, ...]] = {"": (), "all": (), "hidden": ("spoiler", "withheld")}


def pictures(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """What was drawn here and is nobody's alone, newest first."""
    before = query.get("before", "")
    try:
        moment = float(before) if before else 2.0**62
    except ValueError:
        raise Refusal("bad_value", flag="before") from None
    shown = _SHOWN.get(query.get("shown", ""), ())
    found = review.pictured(tx, chair.community, moment, PAGE, shown)
    return {
        "jobs": [_pictured(tx, job) for job in found],
        "more": str(found[-1].created) if len(found) == PAGE else None,
    }


def _pictured(tx: Connection, job: Job) -> Record:
    return {
        "id": job.id, "who": person(tx, job.account), "prompt": job.request.prompt[:LONGEST],
        "at": job.created, "shown": job.shown, "model": job.request.model, "pictures": _digests(tx, job.id),
    }  # fmt: skip


def _digests(tx: Connection, job: int) -> list[Record]:
    return [
        {"digest": piece.digest, "width": piece.width, "height": piece.height}
        for piece in gallery.of_job(tx, job)
    ]


def cases(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """What waits for a decision, the oldest first; and who is blocked, frozen or warned."""
    found = matters.opened(tx, chair.community, MOST_CASES)
    return {
        "cases": [_case(tx, each, chair.language) for each in found],
        "sanctions": [
            {
                "id": each.id, "who": person(tx, each.account), "whos": _spelled(tx, each.account),
                "kind": each.kind, "reason": each.reason, "at": each.at, "until": each.until,
            }
            for each in sanctions.all_of(tx, chair.community, app.clock())
        ],
    }  # fmt: skip


def _spelled(tx: Connection, account: int) -> str:
    """A person as a command names them; nothing where nobody is left to name."""
    name = person(tx, account).partition(",")[0]
    return "" if name.startswith("(") else name


def _case(tx: Connection, matter: Matter, language: str) -> Record:
    job = jobs.get(tx, matter.job) if matter.job is not None else None
    return {
        "id": matter.id, "kind": matter.kind, "rule": matter.rule, "matched": matter.matched, "at": matter.at,
        "prompt": matter.request.prompt[:LONGEST], "who": person(tx, matter.account), "job": matter.job,
        "ways": [[way, say(language, f"button.{way}")] for way in WAYS[matter.kind]],
        "pictures": _digests(tx, job.id) if job is not None and not job.private else [],
    }  # fmt: skip


# --- rules and acts


def rules(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """This community's own; the operator's are in the configuration, and only counted."""
    found = rulebook.of_community(tx, chair.community)
    mine = [each for each in found if each.community == chair.community]
    operator = len(app.config.rules.words) + len(app.config.rules.patterns)
    return {
        "rules": [{"id": each.id, "kind": each.kind, "text": each.text} for each in mine],
        "house": operator + len(found) - len(mine),
    }


def audit(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """What moderators did here, the newest first."""
    before = number(query, "before", 0, 1, 2**53) or None
    found = acts.newest(tx, chair.community, MOST_ACTS, before)
    return {
        "acts": [_act(tx, each, chair.language) for each in found],
        "more": found[-1].id if len(found) == MOST_ACTS else None,
    }


def _act(tx: Connection, act: Act, language: str) -> Record:
    return {
        "id": act.id, "at": act.at, "who": person(tx, act.moderator), "text": sentence(tx, act, language),
        "undone": act.undone, "undoable": bool(act.back) and not act.undone,
    }  # fmt: skip


def audit_rows(tx: Connection, chair: Chair, query: Query, app: App) -> Rows:
    """All of it, up to ``MOST_ROWS``."""
    rows = [
        [
            each.id, written(each.at), person(tx, each.moderator), each.what,
            person(tx, each.subject) if each.subject else "", sentence(tx, each, chair.language), each.undone,
        ]
        for each in acts.newest(tx, chair.community, MOST_ROWS)
    ]  # fmt: skip
    return ("id", "at", "moderator", "what", "person", "text", "undone"), rows


# --- the engines


def engine(tx: Connection, chair: Chair, query: Query, app: App) -> Record:
    """How fast the machine is, how well the times that people were told were kept, and how the models are."""
    speed, catalog = app.dispatch.speed, app.catalog
    ratios = speed.ratios
    bars = [
        sum(low <= ratio < high for ratio in ratios)
        for low, high in zip(BINS, (*BINS[1:], float("inf")), strict=True)
    ]
    return {
        "engines": [
            {
                "name": each.name, "device": each.device, "drawing": each.drawing, "room": each.room,
                "left": each.left, "lost": each.lost,
            }
            for each in app.dispatch.health()
        ],
        "calibration": {
            "count": len(ratios), "bins": list(zip(BINS, bars, strict=True)),
            "low": part(ratios, 0.1) if ratios else None, "middle": part(ratios, 0.5) if ratios else None,
            "high": part(ratios, 0.9) if ratios else None,
        },
        "models": [_model(name, chair.language, app) for name in catalog.specs],
        "queued": jobs.queued_count(tx),
    }  # fmt: skip


def _model(name: str, language: str, app: App) -> Record:
    spec, state = app.catalog.specs[name], app.catalog.state(name)
    measured = app.dispatch.speed.known(name)
    return {
        "name": name, "title": spec.title, "state": state.state,
        "state_text": say(language, f"models.state.{state.state}"),
        "size": f"{spec.width}×{spec.height}", "price": spec.price, "default": name == app.catalog.default,
        "seconds": app.dispatch.speed.seconds(spec.standard) if measured else None,
    }  # fmt: skip


View: TypeAlias = Callable[[Connection, Chair, Query, App], Record]
VIEWS: dict[str, View] = {
    "queue": queue, "usage": usage, "ledger": ledger, "gallery": pictures, "cases": cases, "rules": rules,
    "audit": audit, "engine": engine,
}  # fmt: skip
EXPORTS: dict[str, Callable[[Connection, Chair, Query, App], Rows]] = {
    "ledger": ledger_rows, "usage": usage_rows, "audit": audit_rows,
}  # fmt: skip
