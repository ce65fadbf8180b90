"""Everything that is wrong with one ask, said at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bot.app import App
from bot.commands import choose, imagine, settings
from storage.refusal import Mistakes, Refusal

JUDGES: dict[type, Callable[[Any, App], None]] = {
    imagine.Imagine: imagine.judged,
    settings.Settings: settings.judged,
}
"""Who finds what only a running bot knows to be wrong: names that are not there, sizes no model draws."""


@contextmanager
def named_at_once(app: App) -> Iterator[None]:
    """Around the reading of an ask: what could not be read is refused with the rest that is wrong."""
    try:
        yield
    except Refusal as refusal:
        wrong = Mistakes(refusal)
        _judge(wrong, app, refusal.draft)
        wrong.say()


def read_both(app: App, words: Callable[[], Any], form: Callable[[], Any]) -> tuple[Any, Any]:
    """What the words say, and what the form beside them does. Raises Refusal for all that is wrong."""
    wrong = Mistakes()
    said, chosen = wrong.tried(words), wrong.tried(form)
    if wrong.found:
        _judge(wrong, app, said, chosen, wrong.draft)
    wrong.say()
    return said, chosen


def _judge(wrong: Mistakes, app: App, *drafts: object) -> None:
    for draft in drafts:
        if judge := JUDGES.get(type(draft)):
            wrong.tried(judge, draft, app)
        if isinstance(draft, imagine.Imagine):
            _bounded(wrong, draft, app)


def _bounded(wrong: Mistakes, draft: imagine.Imagine, app: App) -> None:
    """Too many steps are told the bound that holds for the model, not the one that holds for all."""
    for each in wrong.found:
        if each.code == "out_of_range" and each.values.get("flag") == "steps":
            each.values["high"] = choose.most_steps(app, draft.model)
