"""Every command: what it is called, the ask it reads, the generator that answers it.

To add one: a file with a frozen dataclass and an async generator, a line in ``COMMANDS`` (or in ``BUTTONS``
if only a button can say it), its sentences in ``bot/texts``. The contracts in ``tests/contracts`` find it.

A button carries its ask packed into 64 bytes; it outlives restarts and upgrades, so an ask's fields are only
ever added at the end, and names in these tables never change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias
from unicodedata import combining, normalize

from bot import options
from bot.app import App
from bot.commands import (
    again,
    cancel,
    contest,
    delete,
    details,
    forgetme,
    gallery,
    gift,
    help,  # noqa: A004 - the command people know
    imagine,
    link,
    models,
    mydata,
    original,
    queue,
    quota,
    remix,
    settings,
    show,
    star,
    styles,
    transparency,
    upscale,
    vary,
)
from bot.commands.mod import cases, community, limits, log, page, people, pictures, rules, setup, wishes
from bot.commands.mod import queue as mod_queue
from bot.commands.mod import quota as mod_quota
from bot.talk import Ask, Call, Reply
from bot.texts import LANGUAGES
from storage.refusal import Refusal

Answer: TypeAlias = Callable[[Any, Call, App], AsyncIterator[Reply]]


@dataclass(frozen=True, slots=True)
class Command:
    """``name`` is what a chat calls it; ``aliases`` are read in typed text only.

    A name of several words is a path: ``mod quota set`` is the subcommand ``set`` of the group ``quota``
    under the root ``mod``. Its sentences are under ``command.<key>``.
    """

    name: str
    ask: type
    answer: Answer
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its place in the texts: ``mod.quota.set``."""
        return self.name.replace(" ", ".")


COMMANDS: tuple[Command, ...] = (
    Command("imagine", imagine.Imagine, imagine.answer, ("i", "imagina", "dibuja", "draw")),
    Command("queue", queue.Queue, queue.answer, ("cola",)),
    Command("cancel", cancel.Cancel, cancel.answer, ("cancelar", "cancela")),
    Command("gallery", gallery.Gallery, gallery.answer, ("galeria", "galería")),
    Command("quota", quota.Quota, quota.answer, ("cuota", "creditos", "créditos", "credits")),
    Command(
        "settings",
        settings.Settings,
        settings.answer,
        ("ajustes", "configuracion", "configuración", "config"),
    ),
    Command("styles", styles.Styles, styles.answer, ("estilos",)),
    Command("models", models.Models, models.answer, ("modelos",)),
    Command("link", link.Link, link.answer, ("vincular", "enlazar")),
    Command("gift", gift.Gift, gift.answer, ("regalar", "regala")),
    Command("mydata", mydata.MyData, mydata.answer, ("misdatos",)),
    Command("forgetme", forgetme.ForgetMe, forgetme.answer, ("olvidame", "olvídame")),
    Command("transparency", transparency.Transparency, transparency.answer, ("transparencia",)),
    Command("help", help.Help, help.answer, ("ayuda", "start")),
)
"""What a person can type, in the order of /help."""

MODERATION: tuple[Command, ...] = (
    Command("mod", log.Mod, log.mod),
    Command("mod setup", setup.Setup, setup.answer),
    Command("mod quota show", mod_quota.Show, mod_quota.show),
    Command("mod quota set", mod_quota.Set, mod_quota.set_),
    Command("mod quota give", mod_quota.Give, mod_quota.give),
    Command("mod quota take", mod_quota.Take, mod_quota.take),
    Command("mod quota freeze", mod_quota.Freeze, mod_quota.freeze),
    Command("mod quota unfreeze", mod_quota.Unfreeze, mod_quota.unfreeze),
    Command("mod quota history", mod_quota.History, mod_quota.history),
    Command("mod quota reset", mod_quota.Reset, mod_quota.reset),
    Command("mod limits", limits.Limits, limits.answer),
    Command("mod queue", mod_queue.ModQueue, mod_queue.queue),
    Command("mod cancel", mod_queue.ModCancel, mod_queue.cancel),
    Command("mod hold", mod_queue.Hold, mod_queue.hold),
    Command("mod release", mod_queue.Release, mod_queue.release),
    Command("mod block", people.Block, people.block),
    Command("mod unblock", people.Unblock, people.unblock),
    Command("mod warn", people.Warn, people.warn),
    Command("mod role", people.Role, people.role),
    Command("mod rules list", rules.List, rules.list_),
    Command("mod rules add", rules.Add, rules.add),
    Command("mod rules remove", rules.Remove, rules.remove),
    Command("mod rules test", rules.Test, rules.test),
    Command("mod community", community.Community, community.answer),
    Command("mod picture", pictures.ModPicture, pictures.answer),
    Command("mod cases", cases.Cases, cases.cases),
    Command("mod log", log.Log, log.log),
    Command("mod stats", log.Stats, log.show_stats),
    Command("mod undo", log.Undo, log.undo),
    Command("mod page", page.ModPage, page.answer),
)
"""What moderators can type, all under one root. Who may is checked in each answer; a chat only hides them.

Discord: one root command ``mod`` with ``default_member_permissions`` (Manage Server), the second word of a
name as a subcommand or, where there is a third, as a group (``mod`` itself is Telegram's and typed text's).
Telegram: ``/mod`` in the administrators' scope; the words after it are part of the text. Page and terminal:
typed, for the owner. Nobody needs to know the list: ``read`` finds the longest path that a line begins with.
"""

BUTTONS: tuple[Command, ...] = (
    Command("again", again.Again, again.answer),
    Command("vary", vary.Vary, vary.answer),
    Command("upscale", upscale.Upscale, upscale.answer),
    Command("original", original.Original, original.answer),
    Command("remix", remix.Remix, remix.answer),
    Command("details", details.Details, details.answer),
    Command("show", show.Show, show.answer),
    Command("star", star.Star, star.answer),
    Command("delete", delete.Delete, delete.answer),
    Command("appeal", cases.Appeal, cases.appeal),
    Command("report", cases.Report, cases.report),
    Command("decide", cases.Decide, cases.decide),
    Command("contest", contest.Contest, contest.answer),
)
"""What only a button can ask."""

_BY_ASK: dict[type, Command] = {each.ask: each for each in COMMANDS + MODERATION + BUTTONS}
_BY_NAME: dict[str, Command] = {each.name: each for each in COMMANDS + MODERATION + BUTTONS}
_WORDS = {
    "quota": "cuota", "show": "ver", "set": "fijar", "give": "dar", "take": "sacar", "freeze": "congelar",
    "unfreeze": "descongelar", "history": "historia", "reset": "restablecer", "limits": "límites",
    "queue": "cola", "cancel": "cancelar", "hold": "retener", "release": "soltar", "block": "bloquear",
    "unblock": "desbloquear",
    "warn": "avisar", "role": "rol", "rules": "reglas", "list": "lista", "add": "agregar", "remove": "quitar",
    "test": "probar", "cases": "casos", "community": "comunidad", "log": "registro", "stats": "uso",
    "undo": "deshacer", "picture": "imagen", "page": "página", "setup": "configurar",
}  # fmt: skip
"""The words of a path in Spanish."""


def _spellings(name: str) -> list[str]:
    """A path in both languages, however they are mixed."""
    words = [dict.fromkeys((word, its := _WORDS.get(word, word), _bare(its))) for word in name.split()]
    return [" ".join(each) for each in product(*words)]


def _bare(word: str) -> str:
    """As people type it who leave accents out."""
    return "".join(each for each in normalize("NFD", word) if not combining(each))


_TYPED: dict[str, type] = {name: each.ask for each in COMMANDS for name in (each.name, *each.aliases)}
_TYPED |= {name: each.ask for each in MODERATION for name in _spellings(each.name)}


def find(ask: Ask) -> Command:
    """The command whose ask this is."""
    return _BY_ASK[type(ask)]


def read(text: str, plainly: str = "", about: str = "") -> Ask:
    """The ask that typed text says; without ``/name`` in front the command ``plainly``. Raises Refusal.

    ``about``: whose message it answers (``Call.about``).
    """
    try:
        return options.parse(text, _TYPED, plainly, about)
    except Refusal as refusal:
        if refusal.code == "unknown_part":
            return _wished(text, refusal)
        raise


def _wished(text: str, refusal: Refusal) -> Ask:
    """``/mod members 20 a day`` is a wish, too. Else the refusal, with the names of the parts there are."""
    words, path = text.strip().partition(" ")[2], canonical(str(refusal.values["name"]))
    if path == "mod" and wishes.means(words):
        return setup.Setup(options.plain(words))
    known = {language: ", ".join(_parts(path, language)) for language in LANGUAGES}
    raise Refusal(refusal.code, **{**refusal.values, "known": known}) from None


def _parts(path: str, language: str) -> list[str]:
    """The words that may follow a path."""
    depth = len(path.split())
    below = [each.name.split()[depth] for each in MODERATION if each.name.startswith(f"{path} ")]
    return [spelled(each, language) for each in dict.fromkeys(below)]


def spelled(path: str, language: str) -> str:
    """A moderator's command as people of this language call it: ``mod cuota fijar``."""
    return " ".join(_WORDS.get(word, word) for word in path.split()) if language == "es" else path


def canonical(path: str) -> str:
    """The name of a moderator's command, or of the beginning of one, in whichever language it was written."""
    heads = (" ".join(each.name.split()[:n]) for each in MODERATION for n in (1, 2, 3))
    return next((head for head in dict.fromkeys(heads) if path in _spellings(head)), path)


def line(ask: Ask) -> str:
    """``ask`` as the text that says it: ``read`` of it is ``ask`` again."""
    return options.line(find(ask).name, ask)


def pack(ask: Ask) -> str:
    """``ask`` as a button carries it, in at most 64 bytes of ASCII."""
    packed = ":".join([find(ask).name, *options.squeeze(ask)])
    if len(packed) > options.LONGEST_PACK:
        raise ValueError(f"a button cannot carry {len(packed)} bytes of {find(ask).name}")
    return packed


def unpack(packed: str, typed: str | None = None) -> Ask:
    """The ask that a button carried, with what was typed in its text box. Raises Refusal("bad_button")."""
    name, *parts = packed[: options.LONGEST_PACK + 1].split(":")
    if name not in _BY_NAME or len(packed) > options.LONGEST_PACK:
        raise Refusal("bad_button")
    ask = options.unsqueeze(parts, _BY_NAME[name].ask)
    field = form_field(ask)
    return ask if typed is None or not field else dataclasses.replace(ask, **{field: typed})


def form_field(ask: Ask) -> str:
    """The field that a text box fills, or nothing."""
    return next((field.name for field in options.fields_of(find(ask).ask) if field.option.typed), "")


def answer(ask: Ask, call: Call, app: App) -> AsyncIterator[Reply]:
    """The replies to an ask. Raises Refusal while it is iterated."""
    return find(ask).answer(ask, call, app)
