"""``/mod block``, ``unblock``, ``warn``, ``role``: people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.mod.common import Person, change, confirmed, is_everybody, named, person_meant
from bot.commands.mod.quota import ended
from bot.options import Option, shown
from bot.talk import Call, Reply
from storage import acts, allowances, jobs, sanctions, tallies
from storage.accounts import Account, get
from storage.acts import Change
from storage.database import Connection
from storage.jobs import Job
from storage.refusal import Refusal

DAY = 86_400.0
USUAL = 7
"""Days of a block where nobody says."""
WARNED = 30
"""Days for which a warning counts."""
_Why = Annotated[str, Option("why", ("motivo",), words=True, longest=200)]


@dataclass(frozen=True, slots=True)
class Block:
    """A person asks for nothing here for some days, and what they have waiting is taken back."""

    person: Person = ""
    reason: _Why = ""
    days: Annotated[int, Option("days", ("dias", "días"), low=1, high=3_650)] = USUAL


@dataclass(frozen=True, slots=True)
class Unblock:
    """A blocked person may ask again."""

    person: Person = ""


@dataclass(frozen=True, slots=True)
class Warn:
    """A warning counts for thirty days; it forbids nothing."""

    person: Person = ""
    reason: _Why = ""


@dataclass(frozen=True, slots=True)
class Role:
    """Give a person a role of this community's own, or take it (``leave``)."""

    role: Annotated[str, Option("role", ("rol",), word=True, names="role", longest=60)]
    person: Person = ""
    leave: Annotated[bool, Option("leave", ("quitar", "salir"))] = False


async def block(ask: Block, call: Call, app: App) -> AsyncIterator[Reply]:
    """Block, and empty their queue. Raises Refusal block_owner."""
    stopped: list[Job] = []
    word, reason = named(ask.person, ask.reason, call)

    def work(tx: Connection, who: Account) -> Change:
        account = person_meant(tx, word, call, who.id, app)
        if get(tx, account).unlimited:
            raise Refusal("block_owner")
        until = app.clock() + ask.days * DAY
        made = sanctions.make(tx, call.community, account, "block", reason, app.clock(), until)
        tallies.count(tx, call.community, "blocked", app.clock())
        here = [job.id for job in jobs.unfinished(tx, account) if call.community in ("", job.community)]
        stopped.extend(jobs.cancel_all(tx, here, app.clock()))
        facts = {"reason": reason, "until": until, "n": len(here)}
        return Change(facts, [acts.sanction_back([made], ended=True)], account)

    done = await change(call, app, "block", work)
    for job in stopped:
        await app.dispatch.stopped(job)
    yield await confirmed(done, call, app)


async def unblock(ask: Unblock, call: Call, app: App) -> AsyncIterator[Reply]:
    """End their blocks."""

    def work(tx: Connection, who: Account) -> Change:
        return ended(tx, call, person_meant(tx, ask.person, call, who.id, app), "block", app)

    yield await confirmed(await change(call, app, "unblock", work), call, app)


async def warn(ask: Warn, call: Call, app: App) -> AsyncIterator[Reply]:
    """Warn; the person reads it in /quota."""
    word, reason = named(ask.person, ask.reason, call)

    def work(tx: Connection, who: Account) -> Change:
        account = person_meant(tx, word, call, who.id, app)
        until = app.clock() + WARNED * DAY
        made = sanctions.make(tx, call.community, account, "warn", reason, app.clock(), until)
        count = len(sanctions.of_account(tx, call.community, account, app.clock(), "warn"))
        facts = {"reason": reason, "until": until, "n": count}
        return Change(facts, [acts.sanction_back([made], ended=True)], account)

    yield await confirmed(await change(call, app, "warn", work), call, app)


async def role(ask: Role, call: Call, app: App) -> AsyncIterator[Reply]:
    """Give or take a role. Raises Refusal role_of_all."""
    if is_everybody(ask.role) and not ask.leave:
        raise Refusal("role_of_all", name=shown(ask.role))
    name = ask.role.removeprefix("@").casefold()

    def work(tx: Connection, who: Account) -> Change:
        account = person_meant(tx, ask.person, call, who.id, app)
        changed = allowances.join(tx, call.community, name, account, leave=ask.leave)
        back = [("membership", call.community, name, account, not ask.leave)] if changed else []
        return Change({"role": name}, back, account)

    yield await confirmed(await change(call, app, "role.take" if ask.leave else "role.give", work), call, app)
