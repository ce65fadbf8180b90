"""What the page asks of the rest of the bot (``adapters.web.house.House``), answered by the App.

It stands outside of ``adapters`` because a chat may not know the commands: the page shows their forms.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec

from bot import commands, converse, options
from bot.adapters.web.house import PAGE, Entry, Kept, Past, Quota, Waiting
from bot.app import App
from bot.commands import choose, drawing
from bot.commands.cancel import Cancel
from bot.commands.delete import Delete
from bot.commands.details import Details
from bot.commands.finished import finished
from bot.commands.imagine import Imagine
from bot.commands.settings import Settings, changed
from bot.commands.star import Star
from bot.commands.upscale import Upscale
from bot.commands.vary import Vary
from bot.commands.wrong import named_at_once, read_both
from bot.talk import Ask, Attachment, Button, Call, Reply, Who
from bot.texts import LANGUAGES, has, say, spoken
from inference.request import SAMPLERS, UNITS
from storage import accounts, gallery, jobs, ledger
from storage.accounts import OWNER, Account
from storage.database import Connection
from storage.gallery import Piece
from storage.jobs import Ahead, Job
from storage.refusal import Refusal

REMEMBERED = 30
"""Jobs of an earlier run that a session is shown again."""
ENTRIES = 24
SHAPES = ("1:1", "3:2", "2:3", "16:9", "9:16")
_DEFAULTS = {
    "model": "model", "style": "style", "sampler": "sampler", "ar": "aspect", "n": "count", "steps": "steps",
    "cfg": "guidance", "no": "negative",
}  # fmt: skip
"""Flag → field of the settings, for all but the language, which the page has a switch for."""


def _account(tx: Connection, who: Who) -> Account:
    found = accounts.find(tx, who)
    if found is None:
        raise Refusal("no_account")
    return accounts.get(tx, found)


@dataclass(frozen=True, slots=True)
class Page:
    """The House of the web page."""

    app: App

    # -- who

    async def member(self, who: Who) -> bool:
        """Whether this session belongs to an account."""
        return await self.app.database.read(accounts.find, who) is not None

    async def admit_owner(self, who: Who, language: str) -> None:
        """The session now belongs to the owner's account."""
        grant = self.app.config.daily_credits * UNITS

        def admit(tx: Connection, now: float) -> None:
            owner = accounts.meet(tx, OWNER, language, now, grant=grant, unlimited=True)
            accounts.adopt(tx, who, owner.id, now)

        await self.app.database.write(admit, self.app.clock(), durable=True)

    async def owner(self, who: Who) -> bool:
        """Whether this session is the owner's, who moderates everywhere."""
        return (await self._me(who)).unlimited

    async def redeem(self, code: str, who: Who, language: str) -> None:
        """The session now belongs to the account that made the code."""
        await self.app.database.write(accounts.redeem, code, who, self.app.clock(), durable=True)

    async def leave(self, who: Who) -> None:
        """The session belongs to nobody any more, unless nobody else would be left in the account."""
        await self.app.database.write(accounts.unlink, who, self.app.clock(), durable=True)

    async def language(self, who: Who) -> str:
        """What the bot answers this person in."""
        return spoken((await self._me(who)).language)

    async def speak(self, who: Who, language: str) -> None:
        """Answer them in this language from now on, in every chat."""
        account = await self._me(who)
        after = msgspec.structs.replace(account.defaults, language=language)
        await self.app.database.write(accounts.save_settings, account.id, after)

    async def _me(self, who: Who) -> Account:
        return await self.app.database.read(_account, who)

    # -- what can be asked

    def about(self, language: str, *, owner: bool) -> dict[str, Any]:
        """Commands for the autocomplete (/mod for the owner), and the forms of /imagine and /settings."""
        lists = [
            {
                "name": each.name,
                "help": say(language, f"command.{each.name}.summary"),
                "aliases": each.aliases,
                "offered": owner or each in commands.COMMANDS,
            }
            for each in (*commands.COMMANDS, commands.MODERATION[0])
        ]
        form = self._form("imagine", Imagine, language)
        settings = self._form("settings", Settings, language)
        return {"commands": lists, "form": form, "settings": settings, "shapes": self._shapes()}

    def _form(self, name: str, ask: type, language: str) -> dict[str, Any]:
        choices = {
            "models": list(self.app.catalog.specs), "styles": list(choose.all_styles(self.app)),
            "samplers": SAMPLERS, "languages": LANGUAGES,
        }  # fmt: skip

        def describe(flag: str) -> str:
            key = f"command.{name}.flag.{flag}"
            return say(language, key) if has(key) else ""

        schema = options.schema(ask, describe, choices)
        spec = self.app.catalog.specs[self.app.catalog.default]
        usual = {"steps": spec.steps, "cfg": spec.guidance}
        for flag, value in usual.items():
            schema["properties"][flag]["usual"] = value
        schema["properties"]["steps"]["maximum"] = max(
            each.max_steps for each in self.app.catalog.specs.values()
        )
        return schema

    def _shapes(self) -> list[str]:
        """Ratios that some model draws."""
        found = dict.fromkeys(
            choose.ratio_of(*size) for spec in self.app.catalog.specs.values() for size in spec.sizes
        )
        free = any(not spec.sizes for spec in self.app.catalog.specs.values())
        return list(dict.fromkeys([*found, *(SHAPES if free else ())]))

    def pack(self, ask: Ask) -> str:
        """A button's ask as short text; a command that buttons cannot carry travels as a line."""
        try:
            return commands.pack(ask)
        except ValueError:
            return commands.line(ask)[:200]

    def read(self, text: str, press: str, fields: dict[str, Any]) -> Ask | None:
        """The ask of a pressed button or of a line with a form beside it; None: the text says it all."""
        if press.startswith("/"):
            return commands.read(press)
        if press:
            ask = commands.unpack(press)
            typed = fields.get(commands.form_field(ask)) if fields else None
            return ask if typed is None else commands.unpack(press, str(typed))
        if not fields:
            return None
        ask, chosen = read_both(
            self.app,
            lambda: commands.read(text, converse.PLAINLY),
            lambda: options.form({**fields, "prompt": "x"}, Imagine),
        )
        if not isinstance(ask, Imagine):
            return cast("Ask", ask)
        unsaid = {
            field.name: getattr(chosen, field.name)
            for field in options.fields_of(Imagine)
            if field.name != "prompt" and getattr(ask, field.name) is None
        }
        return replace(ask, **unsaid)

    def changes(self, ask: Ask) -> int | None:
        """The job whose finished pictures this ask may change."""
        return ask.job if isinstance(ask, Star | Delete) else None

    def job_of(self, ask: Ask) -> int | None:
        """The job that a button of a reply is about."""
        job = getattr(ask, "job", None)
        return job if isinstance(job, int) else None

    def refused(self, language: str, refusal: Refusal) -> Reply:
        """A refusal as its person reads it."""
        return converse.refused(language, refusal)

    # -- what was shown before

    async def past(self, who: Who, session: str) -> tuple[Past, ...]:
        """What this session was shown in earlier runs, oldest first."""

        def mine(tx: Connection) -> list[Job]:
            found = accounts.find(tx, who)
            return [] if found is None else list(jobs.mine(tx, found, 4 * REMEMBERED))

        place = re.compile(rf"web:{session}/([A-Za-z0-9_-]{{1,64}})")
        rows = [(job, place.fullmatch(job.place)) for job in await self.app.database.read(mine)]
        ours = [(job, match[1]) for job, match in rows if match][:REMEMBERED]
        if not ours:
            return ()
        spoken_now = (await self._me(who)).language
        told = [(replace(job, language=spoken_now), name) for job, name in reversed(ours)]
        return tuple([await self._past(job, name) for job, name in told])

    async def _past(self, job: Job, name: str) -> Past:
        said = job.request.prompt if job.parent is None else ""
        sent = job.parent is None and job.request.source is not None
        if not job.over:
            return Past(name, job.created, said, None, job.id, sent)
        try:
            return Past(name, job.created, said, await finished(job, self.app), picture=sent)
        except Refusal as refusal:  # a file is gone
            return Past(name, job.created, said, converse.refused(job.language, refusal), picture=sent)

    async def follow(self, who: Who, job: int) -> AsyncIterator[Reply]:
        """A job that is still under way, from now on."""
        account = await self._me(who)
        row = await self.app.database.read(jobs.get, job)
        if row is None or row.account != account.id:
            return
        async for reply in drawing.watch(row, account, account.language, self.app):
            yield reply

    # -- pictures

    async def may_see(self, who: Who, digest: str) -> bool:
        """Whether that picture is in this person's own gallery."""

        def owns(tx: Connection) -> bool:
            found = accounts.find(tx, who)
            return found is not None and gallery.owns(tx, found, digest)

        return await self.app.database.read(owns)

    async def upload(self, data: bytes) -> str:
        """Keep a picture that somebody sends; the hour's sweep lets it go."""
        return await self.app.sent.uploads.keep(data)

    async def uploaded(self, picture: Attachment) -> bytes:
        """It again."""
        return await self.app.sent.uploaded(picture)

    async def picture(self, digest: str, *, small: bool) -> bytes:
        """The file, or its preview. What is held back is there for nobody, also if they saw it before."""
        if await self.app.database.read(gallery.hidden, digest):
            raise Refusal("picture_gone")
        if small:
            data = await self.app.database.read(gallery.preview, digest)
            if data:
                return data
        return await self.app.files.load(digest)

    async def pieces(self, who: Who, job: int) -> tuple[Kept, ...]:
        """The single pictures of a job that this person may see, in order."""

        def seen(tx: Connection) -> tuple[Piece, ...]:
            row = jobs.get(tx, job)
            mine = row is not None and row.account == accounts.find(tx, who)
            hidden = row is None or row.private or row.shown == "withheld"
            return gallery.of_job(tx, job) if mine or not hidden else ()

        return tuple(_kept(piece, ()) for piece in await self.app.database.read(seen))

    async def card(self, who: Who, job: int) -> Reply | None:
        """A finished job of mine as it looks now, in the language that I speak now."""
        account = await self._me(who)
        row = await self.app.database.read(jobs.get, job)
        if row is None or row.account != account.id or not row.over:
            return None
        return await finished(replace(row, language=account.language), self.app)

    async def retold(self, who: Who, ask: Ask, language: str) -> Reply | None:
        """The details of a picture in another language."""
        if not isinstance(ask, Details):
            return None
        replies = commands.answer(ask, Call(who, "", "", ask, language=language), self.app)
        return [reply async for reply in replies][-1]

    async def gallery(
        self, who: Who, language: str, *, before: int | None, starred: bool
    ) -> tuple[Kept, ...]:
        """A page of my pictures, newest first."""

        def page(tx: Connection) -> list[tuple[Piece, Job | None]]:
            pieces = gallery.mine(tx, _account(tx, who).id, PAGE, before, starred)
            return [(piece, jobs.get(tx, piece.job)) for piece in pieces]

        rows = await self.app.database.read(page)
        return tuple(
            _kept(piece, _piece_buttons(piece, job, language), private=bool(job and job.private))
            for piece, job in rows
        )

    # -- side views

    async def queue(self, who: Who, language: str) -> tuple[Waiting, ...]:
        """My jobs that wait or run."""

        def mine(tx: Connection) -> list[tuple[Job, Ahead]]:
            return [(job, jobs.ahead(tx, job.id)) for job in jobs.unfinished(tx, _account(tx, who).id)]

        rows = await self.app.database.read(mine)
        return tuple(self._waiting(job, ahead, language) for job, ahead in rows)

    def _waiting(self, job: Job, ahead: Ahead, language: str) -> Waiting:
        running = job.status is jobs.Status.RUNNING
        eta = self.app.dispatch.eta(job.request, ahead, job.id)
        stop = Button(say(language, "button.cancel"), Cancel(job.id), style="danger")
        low, high = (0.0, 0.0) if running else (eta.low, eta.high)
        return Waiting(job.id, job.request.prompt, running, ahead.jobs, low, high, job.created, ((stop,),))

    async def quota(self, who: Who) -> Quota:
        """What I may still spend, and the last entries that moved something."""

        def books(tx: Connection) -> tuple[Account, int, list[Entry]]:
            account = _account(tx, who)
            moved = [each for each in ledger.entries(tx, account.id, 3 * ENTRIES) if each.units][:ENTRIES]
            return account, ledger.balance(tx, account.id), [_entry(tx, each) for each in moved]

        account, balance, entries = await self.app.database.read(books)
        daily = self.app.config.daily_credits * UNITS
        return Quota(balance, daily, account.unlimited, ledger.refills_at(self.app.clock()), tuple(entries))

    async def defaults(self, who: Who) -> dict[str, Any]:
        """What I chose under settings, by flag."""
        mine = (await self._me(who)).defaults
        chosen = {flag: getattr(mine, name) for flag, name in _DEFAULTS.items()}
        return {flag: value for flag, value in chosen.items() if value is not None}

    async def save(self, who: Who, fields: dict[str, Any]) -> None:
        """These are my defaults now; Refusal for what there is not."""
        account = await self._me(who)
        with named_at_once(self.app):
            ask = options.form({flag: value for flag, value in fields.items() if flag in _DEFAULTS}, Settings)
        after = changed(accounts.Settings(language=account.defaults.language), ask, self.app)
        await self.app.database.write(accounts.save_settings, account.id, after)


def _kept(piece: Piece, buttons: tuple[tuple[Button, ...], ...], *, private: bool = False) -> Kept:
    return Kept(
        piece.id, piece.job, piece.digest, piece.request.prompt, piece.width, piece.height, piece.starred,
        piece.created, piece.seed, piece.request.model, private, buttons,
    )  # fmt: skip


def _piece_buttons(piece: Piece, job: Job | None, language: str) -> tuple[tuple[Button, ...], ...]:
    """What can be done with one picture; of an enlarged one, variations begin with what it was made from."""
    enlarged = piece.request.enlarge > 1 and job is not None and job.parent is not None
    spot = (
        (job.parent, job.parent_index or 0) if enlarged and job and job.parent else (piece.job, piece.index)
    )
    make = [] if enlarged else [Button(say(language, "button.upscale"), Upscale(*spot))]
    star = "button.unstar" if piece.starred else "button.star"
    return ((
        *make,
        Button(say(language, "button.subtle"), Vary(*spot, strong=False)),
        Button(say(language, "button.strong"), Vary(*spot, strong=True)),
        Button(say(language, "button.details"), Details(piece.job)),
        Button(say(language, star), Star(piece.job, piece.index, off=piece.starred)),
        Button(say(language, "button.delete"), Delete(piece.job), style="danger"),
    ),)  # fmt: skip


def _entry(tx: Connection, entry: ledger.Entry) -> Entry:
    job = jobs.get(tx, entry.job) if entry.job else None
    return Entry(entry.why, entry.units, entry.at, job.request.prompt[:160] if job else "")
