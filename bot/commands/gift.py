"""Give credits of mine to somebody here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.common import meet, scene_of
from bot.commands.mod.common import MOST, person_meant, units
from bot.options import Option
from bot.talk import Call, Reply, Tone, platform
from bot.texts import say
from storage import allowances, sanctions
from storage.database import Connection
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Gift:
    """So many of my credits for a person, for good."""

    person: Annotated[str, Option("person", ("persona",), word=True, names="person", longest=300)]
    credits: Annotated[float, Option("credits", ("creditos", "créditos"), word=True, low=0.01, high=MOST)]


async def answer(ask: Gift, call: Call, app: App) -> AsyncIterator[Reply]:
    """Move them, once an event. Raises Refusal gift_self, gift_cap, over_…, frozen,
    unknown_person.
    """
    me = await meet(call, app)
    key = f"gift:{platform(call.place)}:{call.event}"

    def give(tx: Connection) -> None:
        if any(each.kind != "warn" for each in sanctions.of_account(tx, call.community, me.id, app.clock())):
            raise Refusal("frozen", reason="")
        taker = person_meant(tx, ask.person, call, me.id, app, look=not vouched(ask.person, call))
        allowances.gift(tx, me.id, taker, scene_of(call), units(ask.credits), key, app.clock())

    await app.database.write(give, durable=True)
    text = say(call.language, "gift.done", units=units(ask.credits))
    yield Reply(text, tone=Tone.GOOD, private=True)


def vouched(person: str, call: Call) -> bool:
    """Does the chat itself say that this person is there? They were picked, mentioned or answered.

    Any number can be typed: what is given to nobody is lost.
    """
    picked = call.ask is not None and not call.text and platform(person) == platform(call.place)
    return picked or person == call.about or f"person:{person}" in dict(call.titles)
