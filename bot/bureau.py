"""What the moderators' page asks of the rest of the bot (``adapters.web.bureau``), answered by the App.

It decides nothing itself: what changes something is said as a command, by the person who sits at the page, so
there is one set of rules for it and for the chats. Views are in ``bot/views.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from bot import commands, converse, options, views
from bot.adapters.web.bureau import Chair, Record
from bot.app import App
from bot.commands.mod.cases import Decide
from bot.commands.mod.page import ModPage
from bot.talk import Button, Call, Reply, Who
from bot.texts import LANGUAGES, table
from bot.whatif import MIXES, Question, WhatIf
from storage import accounts, gallery, review
from storage.accounts import Account
from storage.database import Connection
from storage.policy import HOUSE
from storage.refusal import Refusal

MACHINES, MEMBERS = 16, 10_000
"""The most that one may ask about."""
SAYABLE = {each.name: each for each in commands.MODERATION if each.ask is not ModPage}
SAYABLE |= {commands.find(Decide(0)).name: commands.find(Decide(0))}
"""The commands that the page may say: those of moderators, and what their cards' buttons say."""


@dataclass(frozen=True, slots=True)
class Bureau:
    """The Bureau of the web page."""

    app: App
    whatif: WhatIf = field(init=False)

    def __post_init__(self) -> None:
        """Its data folder is the App's."""
        object.__setattr__(self, "whatif", WhatIf(self.app.config.data_dir))

    # -- who

    def opened(self, address: str) -> None:
        """Links name this address from now on, or the public one in front of it."""
        web = self.app.config.web
        self.app.seats.address = f"https://{web.names[0]}/" if web.public and web.names else address

    def enter(self, token: str, name: str) -> bool:
        """Use a link."""
        return self.app.seats.take(token, name, self.app.clock()) is not None

    async def chair(self, name: str) -> Chair | None:
        """A seat is no right: there must be such a person still, and their chat says that they moderate."""
        seat = self.app.seats.find(name, self.app.clock())
        if seat is None:
            return None
        account = await self.app.database.read(_account, seat.who)
        if account is None:
            self.app.seats.leave(name)
            return None
        if account.unlimited:
            return Chair(name, seat.who, seat.community, owner=True, language=account.language)
        if not seat.community or not await self.app.seats.check(name, self.app.clock()):
            return None
        return Chair(name, seat.who, seat.community, language=account.language)

    def taken(self, name: str) -> bool:
        """Is there a seat, whatever it is worth?"""
        return self.app.seats.find(name, self.app.clock()) is not None

    async def owner(self, who: Who) -> bool:
        """Whose account has no limits."""
        account = await self.app.database.read(_account, who)
        return account is not None and account.unlimited

    def leave(self, name: str) -> None:
        """Get up."""
        self.app.seats.leave(name)

    async def known(self, community: str) -> bool:
        """The house, and wherever anything was drawn or decided."""
        return community == HOUSE or community in await self.app.database.read(review.communities)

    async def me(self, chair: Chair) -> Record:
        """Who I am, where, and what waits."""
        return await self.app.database.read(views.me, chair, self.app)

    # -- looking

    async def view(self, chair: Chair, name: str, query: dict[str, str]) -> Record:
        """A view as JSON; ``query`` is checked where it is read."""
        if name == "whatif":
            return self._looked(chair, _question(chair, query))
        return await self.app.database.read(views.VIEWS[name], chair, query, self.app)

    async def rows(
        self, chair: Chair, name: str, query: dict[str, str]
    ) -> tuple[Sequence[str], list[list[Any]]]:
        """A table to take along."""
        return await self.app.database.read(views.EXPORTS[name], chair, query, self.app)

    async def may_look(self, chair: Chair, digest: str) -> bool:
        """What hangs in the community, and for nobody alone; the owner at home looks everywhere."""
        scope = views.scope(chair)
        return await self.app.database.read(review.may_look, scope, digest)

    async def picture(self, digest: str, *, small: bool) -> bytes:
        """The file, or its preview."""
        if small and (data := await self.app.database.read(gallery.preview, digest)):
            return data
        return await self.app.files.load(digest)

    async def what_if(self, chair: Chair, mix: str, engines: int, members: int) -> Record:
        """Begin to play it; what is known of it so far."""
        asked = {"mix": mix, "engines": str(engines), "members": str(members)}
        question = _question(chair, asked)
        self.whatif.ask(question)
        return self._looked(chair, question)

    def _looked(self, chair: Chair, question: Question) -> Record:
        found = self.whatif.look(question)
        if code := found.pop("code", ""):
            found["text"] = self.refused(chair.language, Refusal(code))
        return found

    # -- doing

    async def do(self, chair: Chair, command: str, fields: Record, key: str) -> list[Reply]:
        """Say it as the moderator would; the last reply is the answer."""
        known = SAYABLE.get(command)
        if known is None:
            raise Refusal("bad_button")
        ask = options.form(fields, known.ask)
        call = Call(
            chair.who, f"web:{chair.name}/{key}", f"{chair.name}.{key}", ask, language=chair.language,
            community=chair.community, entitled=True,
        )  # fmt: skip
        answers = known.answer(ask, call, self.app)
        async with aclosing(cast("Any", answers)):
            return [reply async for reply in answers]

    def pressable(self, button: Button) -> Record | None:
        """A button of a reply as the page says it back."""
        known = commands.find(button.ask)
        if known.name not in SAYABLE:
            return None
        said = {
            field.name: value
            for field in options.fields_of(known.ask)
            if (value := getattr(button.ask, field.name)) != field.default
        }
        return {"label": button.label, "command": known.name, "fields": said}

    def refused(self, language: str, refusal: Refusal) -> str:
        """The sentence and its next step."""
        return converse.refused(language, refusal).text

    def texts(self, language: str) -> Record:
        """Everything under ``review`` in the texts, by its dotted key."""
        tongue = language if language in LANGUAGES else LANGUAGES[0]
        return {
            key.removeprefix("review."): text
            for key, text in table(tongue).items()
            if key.startswith("review.")
        }


def _question(chair: Chair, query: dict[str, str]) -> Question:
    """What is asked; Refusal bad_question for what the form cannot say."""
    usual = Question()
    mix = query.get("mix", usual.mix)
    if mix not in MIXES:
        raise Refusal("bad_question")
    return Question(
        mix, views.number(query, "engines", usual.engines, 1, MACHINES),
        views.number(query, "members", usual.members, 1, MEMBERS), chair.language,
    )  # fmt: skip


def _account(tx: Connection, who: Who) -> Account | None:
    found = accounts.find(tx, who)
    return None if found is None else accounts.get(tx, found)
