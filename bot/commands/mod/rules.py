"""``/mod rules``: words, patterns and exceptions of this community, and what a prompt would get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

from bot import rules
from bot.app import App
from bot.commands.mod.common import change, confirmed, moderator
from bot.config import Config
from bot.config import Rules as Listed
from bot.options import CHOICES, Option
from bot.pattern import fault_of
from bot.talk import Button, Call, Reply, Tone
from bot.texts import has, say
from inference.request import MAX_PROMPT
from storage import rulebook
from storage.accounts import Account
from storage.acts import Change
from storage.database import Connection
from storage.refusal import Refusal
from storage.rulebook import LONGEST, MOST, Entry

SHOWN = 24
_KINDS = {"palabra": "word", "patron": "pattern", "patrón": "pattern", "permitir": "allow"}


@dataclass(frozen=True, slots=True)
class List:
    """Every rule here, with its number."""


@dataclass(frozen=True, slots=True)
class Add:
    """One rule more: a word or phrase, a pattern, or an exception that is always allowed."""

    kind: Annotated[str, Option("kind", ("tipo",), word=True, choices="rules")]
    text: Annotated[str, Option("text", ("texto",), words=True, longest=LONGEST)]


@dataclass(frozen=True, slots=True)
class Remove:
    """One rule less."""

    number: Annotated[int, Option("number", ("numero", "número"), words=True, low=1, high=2**53)]


@dataclass(frozen=True, slots=True)
class Test:
    """What a prompt would get here and why; nothing is drawn."""

    prompt: Annotated[str, Option("prompt", words=True, longest=MAX_PROMPT)]


def merged(config: Config, entries: tuple[Entry, ...]) -> Config:
    """The configuration with a community's own rules beside the operator's."""
    if not entries:
        return config
    more = {kind: tuple(each.text for each in entries if each.kind == kind) for kind in CHOICES["rules"]}
    own = config.rules
    listed = Listed(
        words=own.words + more["word"], patterns=own.patterns + more["pattern"],
        allowed=own.allowed + more["allow"], spaced=own.spaced,
    )  # fmt: skip
    return replace(config, rules=listed)


def listed(rule: str, language: str) -> str:
    """What a rule is called: ``words``."""
    return say(language, key) if has(key := f"mod.listed.{rule}") else rule


async def list_(ask: List, call: Call, app: App) -> AsyncIterator[Reply]:
    """The operator's are not listed: they are in the configuration, and here nobody's to change."""
    await moderator(call, app)
    found = await app.database.read(rulebook.of_community, call.community)
    mine = [each for each in found if each.community == call.community]
    fields = tuple((f"{each.id} · {say(call.language, f'mod.rule.{each.kind}')}", each.text) for each in mine)
    house = len(app.config.rules.words) + len(app.config.rules.patterns) + len(found) - len(mine)
    yield Reply(
        say(call.language, "mod.rules.text", n=len(mine), house=house),
        title=say(call.language, "mod.rules.title"), fields=fields[:SHOWN], private=True,
    )  # fmt: skip


async def add(ask: Add, call: Call, app: App) -> AsyncIterator[Reply]:
    """Add one. Raises Refusal bad_pattern, too_many_rules, rule_there."""
    kind = _KINDS.get(ask.kind.casefold(), ask.kind.casefold())
    if kind not in CHOICES["rules"]:
        raise Refusal("bad_choice", flag="kind", value=ask.kind[:40], known=", ".join(CHOICES["rules"]))
    if kind == "pattern" and fault_of(ask.text):
        raise Refusal("bad_pattern", text=ask.text[:80])

    def work(tx: Connection, who: Account) -> Change:
        if len(rulebook.of_community(tx, call.community)) >= MOST:
            raise Refusal("too_many_rules", limit=MOST)
        if not rulebook.put(tx, call.community, kind, ask.text):
            raise Refusal("rule_there", text=ask.text[:80])
        return Change({"text": ask.text, "kind": kind}, [("rule", call.community, kind, ask.text, False)])

    yield await confirmed(await change(call, app, "rules.add", work), call, app)


async def remove(ask: Remove, call: Call, app: App) -> AsyncIterator[Reply]:
    """Take one away. Raises Refusal no_rule."""

    def work(tx: Connection, who: Account) -> Change:
        found = rulebook.of_community(tx, call.community)
        rule = next((each for each in found if each.id == ask.number), None)
        if rule is None or rule.community != call.community:
            raise Refusal("no_rule", number=ask.number)
        rulebook.put(tx, rule.community, rule.kind, rule.text, there=False)
        return Change(
            {"text": rule.text, "kind": rule.kind}, [("rule", rule.community, rule.kind, rule.text, True)]
        )

    yield await confirmed(await change(call, app, "rules.remove", work), call, app)


async def test(ask: Test, call: Call, app: App) -> AsyncIterator[Reply]:
    """Judge it as if it were asked for here."""
    await moderator(call, app)
    entries = await app.database.read(rulebook.of_community, call.community)
    verdict = rules.judge(ask.prompt, merged(app.config, entries))
    if verdict is None:
        yield Reply(say(call.language, "mod.rules.allowed"), prompt=ask.prompt, tone=Tone.GOOD, private=True)
        return
    found = next(
        (each for each in entries if each.text == verdict.by and each.community == call.community), None
    )
    buttons = ((Button(say(call.language, "button.remove_rule"), Remove(found.id)),),) if found else ()
    rule = listed(verdict.rule, call.language)
    text = say(call.language, "mod.rules.refused", rule=rule, reason=verdict.reason, by=verdict.by)
    yield Reply(text, prompt=ask.prompt, buttons=buttons, tone=Tone.REFUSED, private=True)
