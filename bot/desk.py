"""What a chat with menus, buttons and forms asks of the rest of the bot (``adapters.discord.house.House``).

It stands outside of ``adapters`` because a chat may not know the commands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from bot import commands, converse, options
from bot.adapters.discord.house import Blank, Declared, Form, Load
from bot.app import App
from bot.commands import choose
from bot.commands.again import Again
from bot.commands.delete import Delete
from bot.commands.details import Details
from bot.commands.forgetme import ForgetMe
from bot.commands.gallery import Gallery
from bot.commands.imagine import Imagine
from bot.commands.mod.cases import Report
from bot.commands.original import Original
from bot.commands.remix import Remix
from bot.commands.settings import Settings
from bot.commands.show import Show
from bot.commands.star import Star
from bot.commands.upscale import Upscale
from bot.commands.vary import Vary
from bot.commands.wrong import named_at_once, read_both
from bot.config import NO_STYLE
from bot.talk import Ask, Call, Reply, Who
from bot.texts import LANGUAGES, say
from inference.request import MAX_COUNT, SAMPLERS
from storage import accounts, jobs
from storage.database import Connection
from storage.refusal import Refusal

PUBLIC = frozenset({Imagine, Again, Vary, Upscale, Remix, Original, Show})
"""What others in the room may see; the answers to everything else concern only who asks."""
PAGES = frozenset({Gallery, Settings})
QUESTIONS = frozenset({Star, Delete, ForgetMe})
"""Their answers take the place of the private page, or question, that the button was under."""
FORMS: dict[type, tuple[str, ...]] = {Settings: ("model", "style", "n", "ar", "no")}
"""Commands with a form, and the flags in it: Discord shows five."""
MENU: Mapping[str, Callable[[int], Ask]] = {"info": Details, "report": Report}
"""What can be asked about a message of ours in its menu."""
USUAL = "-"
"""Stands for "as usual" in a list of a form, where nothing cannot be chosen."""
MOST_CHOICES = 25


@dataclass(frozen=True, slots=True)
class Desk:
    """The House of Discord."""

    app: App

    @property
    def language(self) -> str:
        """What the operator speaks."""
        return self.app.config.language

    def commands(self) -> Sequence[Declared]:
        """Every command that can be typed."""
        typed = [Declared(each.name, each.ask, each.ask is Imagine) for each in commands.COMMANDS]
        return [*typed, *(Declared(each.name, each.ask, moderates=True) for each in commands.MODERATION)]

    def choices(self, kind: str) -> Sequence[str]:
        """The names behind a field's ``choices``, from memory."""
        lists: Mapping[str, Callable[[], Sequence[str]]] = {
            "models": lambda: list(self.app.catalog.specs),
            "styles": lambda: [*choose.all_styles(self.app), NO_STYLE],
            "samplers": lambda: SAMPLERS,
            "languages": lambda: LANGUAGES,
        }
        return lists[kind]() if kind in lists else options.CHOICES.get(kind, ())

    # --- asks

    def read(self, name: str, values: Mapping[str, object]) -> Ask:
        """The ask that options say, and the flags in its words where no option says otherwise."""
        ask = next((each.ask for each in commands.COMMANDS + commands.MODERATION if each.name == name), None)
        if ask is None:
            raise options.unknown_command(f"/{name}", [each.name for each in commands.COMMANDS])
        words = options.words_of(ask)
        if words is None or words.type is not str or words.flag not in values:
            with named_at_once(self.app):
                return options.form(values, ask)
        typed = str(values[words.flag])
        beside = {each.name: str(values.get(each.flag, "")) for each in options.single_words_of(ask)}
        said, chosen = read_both(
            self.app, lambda: options.read(typed, ask, beside), lambda: options.form(values, ask)
        )
        known = options.flags_of(ask)
        explicit = {known[flag].name: getattr(chosen, known[flag].name) for flag in values if flag in known}
        return dataclasses.replace(said, **explicit)

    def pack(self, ask: Ask) -> str:
        """An ask as a button carries it."""
        return commands.pack(ask)

    def unpack(self, packed: str) -> Ask:
        """The ask that a button carried."""
        return commands.unpack(packed)

    def menu(self, entry: str, packed: Iterable[str]) -> Ask:
        """What that entry asks about the job that the message's buttons are about."""
        if entry not in MENU:
            raise Refusal("bad_button")
        for each in packed:
            job = getattr(commands.unpack(each), "job", None)
            if isinstance(job, int):
                return MENU[entry](job)
        raise Refusal("no_picture_here")

    def private(self, ask: Ask, *, alone: bool) -> bool:
        """Whether only who asks may see the answer. Discord forgets such answers: where nobody else is,
        pictures are none of them.
        """
        return type(ask) not in PUBLIC or (not alone and bool(getattr(ask, "private", False)))

    def replaces(self, ask: Ask, *, pictures: bool) -> bool:
        """A page takes the place of a page, an answer that of its question; neither that of a picture."""
        return type(ask) in PAGES or (type(ask) in QUESTIONS and not pictures)

    # --- forms

    def change(self, ask: Ask, language: str) -> tuple[str, str]:
        """The button that opens the form of this ask's command, if it has one."""
        if type(ask) not in FORMS:
            return "", ""
        return say(language, "discord.change"), commands.find(ask).name

    async def form(self, packed: str, call: Call) -> Form:
        """What to fill in: a command's form, or the one text that a button lets its person edit."""
        ask = commands.unpack(packed)
        if type(ask) in FORMS:
            return await self._settings(type(ask), call)
        field = commands.form_field(ask)
        if not field:
            raise Refusal("bad_button")
        async with aclosing(cast("Any", commands.answer(ask, call, self.app))) as replies:
            async for reply in replies:
                for button in (each for row in reply.buttons for each in row):
                    if button.form == field and type(button.ask) is type(ask):
                        label = say(call.language, "discord.words")
                        blank = Blank(field, label, button.value, long=True, required=True)
                        return Form(button.label, (blank,))
        raise Refusal("bad_button")

    async def filled(self, packed: str, values: Mapping[str, str], who: Who) -> Ask:
        """The ask that a filled form says."""
        ask = commands.unpack(packed)
        if type(ask) in FORMS:
            return await self._chosen(type(ask), values, who)
        return commands.unpack(packed, values.get(commands.form_field(ask), ""))

    async def _defaults(self, who: Who) -> accounts.Settings:
        def mine(tx: Connection) -> accounts.Settings:
            known = accounts.find(tx, who)
            return accounts.Settings() if known is None else accounts.get(tx, known).defaults

        return await self.app.database.read(mine)

    async def _settings(self, ask: type, call: Call) -> Form:
        usual = await self._defaults(call.who)
        known = options.flags_of(ask)
        blanks = []
        for flag in FORMS[ask]:
            field = known[flag]
            value = str(getattr(usual, field.name) or "")
            label = options.shown(say(call.language, f"command.settings.flag.{flag}"), 45)
            listed = self._listed(field, call.language)
            blanks.append(Blank(flag, label, value or (USUAL if listed else ""), listed))
        return Form(say(call.language, "settings.title"), tuple(blanks))

    def _listed(self, field: options.Field, language: str) -> tuple[tuple[str, str], ...]:
        """What a list of the form offers; nothing where a text is typed."""
        names = list(self.choices(field.option.choices))
        if field.name == "count":
            names = [str(number) for number in range(1, MAX_COUNT + 1)]
        if not names or len(names) >= MOST_CHOICES:
            return ()
        usual = (USUAL, say(language, "settings.usual"))
        return (usual, *((name, name) for name in names if name != NO_STYLE))

    async def _chosen(self, ask: type, values: Mapping[str, str], who: Who) -> Ask:
        """Everything as it was but for what the form says; an empty blank is "as usual"."""
        usual = await self._defaults(who)
        flags = options.flags_of(ask)
        in_form = {flags[flag].name for flag in FORMS[ask]}
        said = options.form({flag: text for flag, text in values.items() if text not in {"", USUAL}}, ask)
        kept = {
            field.name: getattr(usual, field.name)
            for field in options.fields_of(ask)
            if field.name not in in_form and hasattr(usual, field.name)
        }
        return dataclasses.replace(said, **kept, reset=True)

    # --- the house

    async def load(self) -> Load:
        """People who are drawn for now, and jobs that wait."""

        def count(tx: Connection) -> Load:
            return Load(len({job.account for job in jobs.running(tx)}), jobs.queued_count(tx))

        return await self.app.database.read(count)

    def refused(self, language: str, refusal: Refusal) -> Reply:
        """A refusal as its person reads it."""
        return converse.refused(language, refusal)
