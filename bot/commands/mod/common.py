"""What all of ``/mod`` shares: who may, whom they mean, how a change is made, written down and confirmed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from bot.app import App
from bot.commands.common import LAST_JOB, meet
from bot.commands.mod.parts import in_words
from bot.commands.mod.wishes import EVERYBODY
from bot.options import Option, shown
from bot.talk import Button, Call, Reply, Tone, platform
from bot.texts import moment, say
from inference.request import UNITS
from storage import accounts, acts, allowances, gate, jobs, policy
from storage.accounts import Account
from storage.acts import Act, Change
from storage.allowances import Kind
from storage.calendar import Moment
from storage.database import Connection
from storage.jobs import Job
from storage.refusal import Refusal

MOST = 1_000_000
"""Credits that one command may name."""
ROLELESS = frozenset(["telegram"])
"""Chats that know no roles: what is not known there is a role of the community's own, which
``/mod role`` gives."""
GENEROUS = 10
"""How many times the operator's daily credits a moderator who is not the owner may allow or give a person."""
Subject: TypeAlias = Annotated[
    str, Option("who", ("quien", "quién"), word=True, names="subject", longest=300)
]
Person: TypeAlias = Annotated[str, Option("person", ("persona",), word=True, names="person", longest=300)]
Amount: TypeAlias = Annotated[float, Option("credits", ("creditos", "créditos"), word=True, low=0, high=MOST)]
Queued: TypeAlias = Annotated[int, Option("job", ("trabajo",), words=True, low=1, high=LAST_JOB)]


async def moderator(call: Call, app: App) -> Account:
    """Who asks, if they may moderate here now. Raises Refusal not_moderator for everybody else.

    The owner may everywhere; others where their chat says so, and nobody else in the house itself.
    """
    account = await meet(call, app)
    if platform(call.place) == platform(call.who) and not account.unlimited:  # a chat's word, not our page's
        app.seats.hear(call.who, call.community, entitled=call.entitled, now=app.clock())
    if not (account.unlimited or (call.entitled and call.community)):
        raise Refusal("not_moderator")
    if call.titles:
        things = tuple(each for each in call.titles if is_thing(each[0]))
        await app.database.write(gate.entitle, things)
    return account


def is_thing(name: str) -> bool:
    """A role or a channel, whose names are kept; a person's is not."""
    return _kind(name) != "person"


def _kind(name: str) -> str:
    """What a key in ``Call.titles`` names: ``person:…``, ``role:…``, else a channel."""
    kind = name.partition(":")[0]
    return kind if kind in ("person", "role") else "channel"


# --- whom they mean


@dataclass(frozen=True, slots=True)
class Meant:
    """What a subject names; ``account`` if it is a person."""

    kind: Kind
    key: str
    account: int | None = None


_WHO = re.compile(r"[a-z]{2,12}:[^\s#@]{1,200}")
_POOL = frozenset([
    "pool", "community", "whole community", "all together", "bote", "comunidad", "toda comunidad",
    "toda la comunidad", "todos juntos",
])  # fmt: skip
_ME = frozenset(["me", "yo", "mi", "mí"])
_HERE = frozenset(["#here", "#aqui", "#aquí"])
_ADMINS = frozenset(["admin", "admins", "administrator", "administrators", "administradores"])


def meant(tx: Connection, text: str, call: Call, me: int, app: App, *, look: bool = False) -> Meant:
    """What ``text`` names: ``@me``, ``discord:5``, ``#12`` (who asked for job 12), ``@role``, ``#channel``,
    ``everybody``, ``pool``. Without text the person whose message was answered. A stranger gets an account,
    but not from who only wants to ``look``. Raises Refusal unknown_subject, no_job_here, missing_value.
    """
    word = text.strip() or call.about
    folded = word.casefold()
    if not word:
        raise Refusal("missing_value", flag="who")
    if folded.lstrip("@") in _ME:
        return Meant("person", str(me), me)
    if is_everybody(word):
        return Meant("everybody", "")
    if folded in _POOL:
        return Meant("pool", "")
    if folded in _HERE or folded.startswith("#"):
        return _numbered(tx, word, call, me)
    if is_person(word):
        return _person(tx, word, call, app, look)
    return Meant("role", _role(tx, word, call))


def is_person(text: str) -> bool:
    """Is it a person as chats write them: ``discord:5``?"""
    return _WHO.fullmatch(text) is not None


def _person(tx: Connection, who: str, call: Call, app: App, look: bool) -> Meant:
    account = accounts.find(tx, who)
    if account is None and look:
        raise Refusal("unknown_subject", name=shown(who))
    if account is None:
        grant = app.config.daily_credits * UNITS
        account = accounts.meet(tx, who, call.language, app.clock(), grant=grant).id
    return Meant("person", str(account), account)


def _numbered(tx: Connection, word: str, call: Call, me: int) -> Meant:
    name = word[1:]
    if name.isdecimal() and len(name) < 16:
        job = here(tx, int(name), call, accounts.get(tx, me))
        return Meant("person", str(job.account), job.account)
    return Meant("channel", channel_of(tx, word, call))


def channel_of(tx: Connection, name: str, call: Call) -> str:
    """The channel of this name, where only a channel can be meant. Raises Refusal unknown_channel,
    unknown_topic, no_topic.
    """
    word = f"#{name.lstrip('#')}"
    if word.casefold() in _HERE:
        if not call.channel:
            raise Refusal("no_topic")
        return call.channel
    channel = _known(tx, word[1:], call, "channel")
    if not channel:
        topics = platform(call.community) in ROLELESS
        raise _unknown(word, call, "unknown_topic" if topics else "unknown_channel")
    return channel


def _unknown(word: str, call: Call, code: str = "unknown_subject") -> Refusal:
    """No role or channel of that name is known; the house has none at all."""
    return Refusal(code if call.community else "no_roles_here", name=shown(word))


def role_of(tx: Connection, name: str, call: Call) -> str:
    """The role of this name, where only a role can be meant. Raises Refusal unknown_subject, role_of_all."""
    if is_all(tx, name, call):
        raise Refusal("role_of_all", name=shown(name))
    return _role(tx, name.lstrip("@"), call)


def is_all(tx: Connection, name: str, call: Call) -> bool:
    """Where a role is meant: does it name everybody, and no role that is known here (``members`` may be)?"""
    return is_everybody(name) and not _known(tx, name.lstrip("@"), call, "role")


def is_everybody(name: str) -> bool:
    """Does it name all who are there, as Discord's ``@everyone`` does too?"""
    return name.lstrip("@").casefold() in EVERYBODY


def _role(tx: Connection, word: str, call: Call) -> str:
    role = _known(tx, word.removeprefix("@"), call, "role")
    if role:
        return role
    if word.removeprefix("@").casefold() in _ADMINS:
        return "administrator"
    if platform(call.community) not in ROLELESS:
        raise _unknown(word, call)
    if word.startswith("@"):  # the name of a person there, whom only the platform knows
        raise Refusal("unknown_mention", name=shown(word))
    if " " in word:
        raise Refusal("unknown_subject", name=shown(word))
    return word.casefold()[:60]


def lonely(tx: Connection, role: str, call: Call) -> tuple[tuple[str, str], ...]:
    """That nobody has a role yet, and how to give it: of those that moderators give."""
    own = ":" not in role and role != "administrator"
    if not own or allowances.has_members(tx, call.community, role):
        return ()
    return ((f"@{gate.titled(tx, role)}", say(call.language, "mod.lonely", role=role)),)


def _known(tx: Connection, name: str, call: Call, kind: Literal["role", "channel"]) -> str:
    """The role or channel of this name or id, of those that this community ever named; else nothing."""
    here = set(call.roles) if kind == "role" else {call.channel}
    titles = [(thing, title) for thing, title in call.titles if _kind(thing) == kind]
    things = here | {thing for thing, _ in titles} | allowances.things(tx, call.community, kind)
    if name in things:
        return name
    by_name = {gate.titled(tx, each).casefold(): each for each in things if each}
    by_name |= {title.casefold(): thing for thing, title in titles}
    return by_name.get(name.casefold(), "")


def named(word: str, reason: str, call: Call) -> tuple[str, str]:
    """Who and why: in an answer to somebody's message all words may be the reason."""
    if call.about and not (is_person(word) or word.startswith(("#", "@"))):
        return call.about, f"{word} {reason}".strip()
    return word, reason


_NOT_A_PERSON = frozenset(["unknown_subject", "unknown_channel", "unknown_mention", "no_roles_here"])


def person_meant(tx: Connection, text: str, call: Call, me: int, app: App, *, look: bool = False) -> int:
    """The account of whom ``text`` names, where only a person can be meant, as ``meant`` finds it. Raises
    Refusal person_needed, unknown_person, no_job_here, missing_value.
    """
    try:
        account = meant(tx, text, call, me, app, look=look).account
    except Refusal as refusal:
        if refusal.code in _NOT_A_PERSON:  # their hints name roles and channels
            raise Refusal("unknown_person", **refusal.values) from refusal
        raise
    if account is None:
        raise Refusal("person_needed")
    return account


def called(tx: Connection, kind: str, key: str, language: str) -> str:
    """A subject in words."""
    if kind == "person":
        return person(tx, int(key))
    if kind in ("everybody", "pool"):
        return say(language, f"mod.{kind}")
    return ("@" if kind == "role" else "#") + gate.titled(tx, key)


def person(tx: Connection, account: int) -> str:
    """A person as moderators see them: in which chats they are known, else their number alone."""
    whos = accounts.who_of(tx, account)
    chats = [who for who in whos if platform(who) != "web"] or whos  # a browser's name says nothing
    return ", ".join(chats[:3]) or f"({account})"


def here(tx: Connection, number: int, call: Call, who: Account) -> Job:
    """The job, if this moderator may touch it. Raises Refusal no_job_here: elsewhere reads as nowhere."""
    job = jobs.get(tx, number)
    if job is None or not (who.unlimited or job.community == call.community):
        raise Refusal("no_job_here", job=number)
    return job


# --- changing something


Work: TypeAlias = Callable[[Connection, Account], Change]


async def change(call: Call, app: App, what: str, work: Work) -> Act:
    """Do ``work`` and write it down, once an event; the same event again is answered with what it did."""
    who = await moderator(call, app)
    key = f"{call.place.partition(':')[0]}:{call.event}"

    def act(tx: Connection, now: float) -> Act:
        known = acts.by_key(tx, key)
        return known or acts.record(tx, call.community, who.id, what, work(tx, who), key, now)

    return await app.database.write(act, app.clock(), durable=True)


async def confirmed(act: Act, call: Call, app: App, *, fields: tuple[tuple[str, str], ...] = ()) -> Reply:
    """What changed, in words, with the way back."""
    from bot.commands.mod.log import Undo

    undo = Button(say(call.language, "button.undo"), Undo(act.id)) if act.back else None
    return Reply(
        await app.database.read(sentence, act, call.language),
        fields=fields,
        buttons=((undo,),) if undo else (),
        tone=Tone.GOOD,
        private=True,
    )


def sentence(tx: Connection, act: Act, language: str) -> str:
    """What an act did, as a sentence; ``forget`` leaves neither its person nor its facts."""
    if act.subject is None and not act.facts:
        return say(language, "mod.forgotten")
    zone = policy.counts(tx, act.community).zone or "UTC"
    facts: dict[str, Any] = {**act.facts, "who": person(tx, act.subject) if act.subject else ""}
    kind, key = facts.pop("subject", None) or ("", "")
    if kind:
        facts["who"] = called(tx, kind, key, language)
    facts["parts"] = in_words(tx, facts.get("parts", {}), language, zone)
    facts["allowances"] = " ".join(_allowed(tx, each, language) for each in facts.get("allowances", ()))
    if act.what in ("role.give", "role.take"):
        facts["role"] = f"@{gate.titled(tx, facts['role'])}"
    if act.what in ("rules.add", "rules.remove"):
        facts["kind"] = say(language, f"mod.rule.{facts['kind']}")
    if act.what == "block":
        facts["taken"] = say(language, "mod.taken", n=facts["n"]) if facts["n"] else ""
    if facts.get("period"):
        facts["period"] = say(language, f"mod.period.{facts['period']}")
    if facts.get("way"):
        facts["way"] = say(language, f"button.{facts['way']}")
    if facts.get("until"):
        facts["until"] = moment(language, Moment(facts["until"], zone))
    return " ".join(say(language, f"mod.did.{act.what}", **facts).split())


def _allowed(tx: Connection, said: Sequence[Any], language: str) -> str:
    kind, key, amount, period = said
    period = say(language, f"mod.period.{period}")
    line = say(language, "mod.quota.line", units=amount, period=period)
    return f"{called(tx, kind, key, language)}: {line}."


def units(credits_: float) -> int:
    """Credits as ledger units."""
    return round(credits_ * UNITS)


def check_generous(wanted: int, who: Account, app: App) -> None:
    """Refuse more for a person than a moderator may give; the owner may."""
    most = GENEROUS * app.config.daily_credits * UNITS
    if wanted > most and not who.unlimited:
        raise Refusal("too_generous", limit=most)


def credits_line(language: str, units_: int) -> str:
    """Units in words."""
    return say(language, "drawing.credits", n=round(units_ / UNITS, 2))
