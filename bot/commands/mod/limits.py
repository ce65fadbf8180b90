"""``/mod limits``: how much may be asked for at once, here or in one channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import msgspec

from bot.app import App
from bot.commands import choose
from bot.commands.mod.common import change, channel_of, confirmed, moderator, role_of
from bot.commands.mod.parts import written
from bot.options import Option, fields_of, flags_of
from bot.talk import Call, Reply
from bot.texts import say
from inference.request import MAX_COUNT, MAX_SIDE, MAX_STEPS
from storage import acts, gate, jobs, policy
from storage.accounts import Account
from storage.acts import Change
from storage.calendar import TARIFFS
from storage.database import Connection
from storage.gate import MINUTE
from storage.jobs import Job
from storage.policy import Policy
from storage.refusal import Refusal

NAMES = ("steps", "side", "count", "at_once", "burst", "models", "weights", "crowd", "newcomers", "raid")
"""What of a policy is a limit."""
Lift = Annotated[str | None, Option("lift", ("quitar", "levantar"), longest=60)]


class Lifting(Protocol):
    """An ask that may take a part of a policy back."""

    @property
    def lift(self) -> str | None:
        """A flag of the ask, or ``all``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits here, or what they are from now on; ``lift`` names one to take away, or ``all``."""

    channel: Annotated[str, Option("channel", ("canal",), names="channel", longest=300)] = ""
    steps: Annotated[int | None, Option("steps", ("pasos",), low=1, high=MAX_STEPS)] = None
    side: Annotated[int | None, Option("side", ("lado",), low=16, high=MAX_SIDE)] = None
    count: Annotated[int | None, Option("n", ("count", "cantidad"), low=1, high=MAX_COUNT)] = None
    at_once: Annotated[int | None, Option("at-once", ("ala-vez", "a-la-vez"), low=1, high=1_000)] = None
    burst: Annotated[int | None, Option("minute", ("minuto",), low=1, high=1_000)] = None
    models: Annotated[str | None, Option("models", ("modelos",), rest=True, longest=300)] = None
    role: Annotated[str | None, Option("role", ("rol",), names="role", longest=300)] = None
    weight: Annotated[float | None, Option("weight", ("peso",), low=0.1, high=100)] = None
    crowd: Annotated[int | None, Option("all-minute", ("todos-minuto",), low=1, high=100_000)] = None
    newcomers: Annotated[float | None, Option("newcomers", ("nuevos",), low=0.01, high=1)] = None
    raid: Annotated[int | None, Option("raid", ("invasion", "invasión"), low=1, high=10_080)] = None
    lift: Lift = None


async def answer(ask: Limits, call: Call, app: App) -> AsyncIterator[Reply]:
    """Show the limits, or change some."""
    me = await moderator(call, app)
    said = {
        "steps": ask.steps, "side": ask.side, "count": ask.count, "at_once": ask.at_once, "burst": ask.burst,
        "models": _models(ask.models, app), "crowd": ask.crowd, "newcomers": ask.newcomers,
        "raid": None if ask.raid is None else app.clock() + ask.raid * MINUTE,
    }  # fmt: skip
    wanted: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if (ask.role is None) != (ask.weight is None):
        raise Refusal("role_and_weight")

    stopped: list[Job] = []

    def channel(tx: Connection, account: int) -> str:
        return channel_of(tx, ask.channel, call) if ask.channel else ""

    def work(tx: Connection, who: Account) -> Change:
        if ask.role is not None and ask.weight is not None:
            role = role_of(tx, ask.role, call)
            before = policy.counts(tx, call.community).weights or {}
            wanted["weights"] = {**before, role: ask.weight}
        there = channel(tx, who.id)
        if ask.raid is not None:  # what newcomers have waiting is taken back
            waiting = gate.waiting_newcomers(tx, call.community, there, app.clock(), but=who.id)
            stopped.extend(jobs.cancel_all(tx, waiting, app.clock(), "raid"))
        return rewrite(tx, call.community, there, wanted, ask, NAMES)

    if wanted or ask.lift or ask.role:
        done = await change(call, app, "limits", work)
        for job in stopped:  # first: its engine and its person hear of it, whatever becomes of the answer
            await app.dispatch.stopped(job)
        said_now = {name for name, value in done.facts["parts"].items() if value is not None}
        rest = tuple(name for name in NAMES if name not in said_now)
        fields = await app.database.read(shown, call, done.back[0][2], rest, app.clock())
        if ask.raid is not None:
            fields += ((say(call.language, "mod.raid.taken"), str(len(stopped))),)
        yield await confirmed(done, call, app, fields=fields)
        return
    place = await app.database.read(channel, me.id)
    fields = await app.database.read(shown, call, place, NAMES, app.clock())
    yield Reply(
        say(call.language, "mod.limits.text" if fields else "mod.limits.none"),
        title=say(call.language, "mod.limits.title"),
        fields=fields,
        private=True,
    )


def _models(text: str | None, app: App) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(choose.model(app, each, None).name for each in text.replace(",", " ").split())


def rewrite(
    tx: Connection,
    community: str,
    channel: str,
    wanted: Mapping[str, Any],
    ask: Lifting,
    names: tuple[str, ...],
) -> Change:
    """Change a policy: what is ``wanted``, and nothing more of what ``ask.lift`` names. Raises Refusal
    nothing_changed.
    """
    before = policy.said(tx, community, channel)
    done = rewritten(tx, community, channel, {**lifted(ask, names, before), **wanted})
    if not done.facts["parts"]:
        raise Refusal("nothing_changed")
    return done


def rewritten(tx: Connection, community: str, channel: str, parts: Mapping[str, Any]) -> Change:
    """Change these parts of a policy, with the way back."""
    before = policy.said(tx, community, channel)
    after = msgspec.structs.replace(before, **parts)
    policy.save(tx, community, channel, after)
    subject = ["channel", channel] if channel else ["pool", ""]
    back = acts.policy_back(community, channel, before, after)
    return Change({"subject": subject, "parts": policy.differing(before, after)}, back)


_PARTS = {"weight": "weights", "role": "weights"}
"""Fields of an ask that say a part of a policy under another name."""
_ALL = ("all", "todo", "todos", "todas")


def lifted(ask: Lifting, names: tuple[str, ...], before: Policy) -> dict[str, Any]:
    """What a policy is without the part that a flag's name, in either language, stands for."""
    word = (ask.lift or "").strip().lstrip("-").casefold()
    if not word or word in _ALL:
        return dict.fromkeys(names) if word else {}
    parts = {flag: _PARTS.get(field.name, field.name) for flag, field in flags_of(type(ask)).items()}
    name = parts.get(word.replace("_", "-"), word.replace("-", "_"))
    if name in TARIFFS and "hours" in names:
        return {"hours": tuple(each for each in before.hours or () if each.tariff != name) or None}
    may = (*names, *(TARIFFS if "hours" in names else ()))
    if name not in may:
        known = [each.flag for each in fields_of(type(ask)) if _PARTS.get(each.name, each.name) in may]
        known = list(dict.fromkeys(known))
        raise Refusal(
            "bad_choice", flag="lift", value=(ask.lift or "")[:40], known=", ".join((*known, "all"))
        )
    return {name: None}


def shown(
    tx: Connection, call: Call, channel: str, names: tuple[str, ...], now: float
) -> tuple[tuple[str, str], ...]:
    """What counts there now of the named parts of a policy, in words."""
    counts = policy.counts(tx, call.community, channel)
    zone = counts.zone or "UTC"
    over = counts.raid is not None and counts.raid <= now
    found = [(name, getattr(counts, name)) for name in names if not (over and name == "raid")]
    return tuple(
        (say(call.language, f"mod.policy.{name}"), text)
        for name, value in found
        if value not in (None, (), {}) and (text := written(tx, name, value, call.language, zone))
    )
