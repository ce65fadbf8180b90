"""``/mod log``, ``stats``, ``undo``, and ``/mod`` itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.common import LAST_JOB
from bot.commands.mod.common import change, confirmed, credits_line, moderator, person, sentence
from bot.options import Option
from bot.talk import Button, Call, Reply
from bot.texts import moment, number, say, spoken
from storage import acts, policy, stats
from storage.accounts import Account
from storage.acts import Act, Change
from storage.calendar import Moment
from storage.database import Connection

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Mod:
    """What moderators can do."""


@dataclass(frozen=True, slots=True)
class Log:
    """What moderators did here, the newest first."""

    before: Annotated[int | None, Option("before", ("antes",), low=1, high=LAST_JOB)] = None


@dataclass(frozen=True, slots=True)
class Stats:
    """Who drew how much here lately."""

    days: Annotated[int, Option("days", ("dias", "días"), low=1, high=366)] = 7


@dataclass(frozen=True, slots=True)
class Undo:
    """Put back what the last change changed, or the one with this number."""

    act: Annotated[int | None, Option("number", ("numero", "número"), words=True, low=1, high=LAST_JOB)] = (
        None
    )


async def mod(ask: Mod, call: Call, app: App) -> AsyncIterator[Reply]:
    """The quickest way, and every part of /mod with its sentence."""
    from bot.commands import MODERATION, spelled

    await moderator(call, app)
    language = spoken(call.language)
    fields = tuple(
        (f"/{spelled(each.name, language)}", say(language, f"command.{each.key}.summary"))
        for each in MODERATION
        if each.ask is not Mod
    )
    example = say(call.language, "command.mod.setup.example")
    text = say(call.language, "mod.help", example=example, who=say(call.language, "mod.help_who"))
    yield Reply(text, title=say(call.language, "mod.title"), fields=fields, private=True)


async def log(ask: Log, call: Call, app: App) -> AsyncIterator[Reply]:
    """Who did what, when."""
    await moderator(call, app)

    def look(tx: Connection) -> tuple[list[tuple[str, str]], tuple[Act, ...]]:
        found = acts.newest(tx, call.community, SHOWN, ask.before)
        zone = policy.counts(tx, call.community).zone or "UTC"
        return [_line(tx, each, zone, call.language) for each in found], found

    fields, found = await app.database.read(look)
    older = Button(say(call.language, "button.older"), Log(found[-1].id)) if len(found) == SHOWN else None
    yield Reply(
        "" if fields else say(call.language, "mod.log.none"), title=say(call.language, "mod.log.title"),
        fields=tuple(fields), buttons=((older,),) if older else (), private=True,
    )  # fmt: skip


def _line(tx: Connection, act: Act, zone: str, language: str) -> tuple[str, str]:
    undone = f" ({say(language, 'mod.undone')})" if act.undone else ""
    label = f"{act.id} · {moment(language, Moment(act.at, zone))} · {person(tx, act.moderator)}"
    return label[:200], sentence(tx, act, language) + undone


async def undo(ask: Undo, call: Call, app: App) -> AsyncIterator[Reply]:
    """Undo once. Raises Refusal nothing_to_undo, also for one that is undone, cannot be, or is not here."""
    done: list[Act] = []

    def work(tx: Connection, who: Account) -> Change:
        act = acts.last(tx, call.community) if ask.act is None else acts.get(tx, call.community, ask.act)
        acts.undo(tx, act, app.clock())
        done.append(act)
        return Change({"n": act.id}, subject=act.subject)

    made = await change(call, app, "undo", work)
    app.outbox.wake()  # pictures may be shown otherwise again
    app.dispatch.wake()  # what was held may go on
    reply = await confirmed(made, call, app)
    fields = await app.database.read(_undone, int(made.facts["n"]), call)
    yield Reply(reply.text, fields=fields, tone=reply.tone, private=True)


def _undone(tx: Connection, number_: int, call: Call) -> tuple[tuple[str, str], ...]:
    act = acts.any_of(tx, call.community, number_)
    return ((say(call.language, "mod.was"), sentence(tx, act, call.language)),) if act else ()


async def show_stats(ask: Stats, call: Call, app: App) -> AsyncIterator[Reply]:
    """Pictures, credits and people of the last days here."""
    await moderator(call, app)
    since = app.clock() - (ask.days - 1) * 86_400.0  # today is one of them

    def look(tx: Connection) -> tuple[stats.Totals, list[tuple[str, str]]]:
        totals, heavy = stats.since(tx, call.community, since, SHOWN)
        lines = [(person(tx, each.account)[:100], _used(each, call.language)) for each in heavy]
        return totals, lines

    totals, lines = await app.database.read(look)
    text = say(
        call.language, "mod.stats.text", n=totals.pictures, people=totals.people, units=totals.units,
        days=ask.days, jobs=totals.jobs, failed=totals.failed,
    )  # fmt: skip
    yield Reply(text, title=say(call.language, "mod.stats.title"), fields=tuple(lines), private=True)


def _used(each: stats.Used, language: str) -> str:
    return f"{credits_line(language, each.units)} · {number(language, each.pictures)} 🖼️"
