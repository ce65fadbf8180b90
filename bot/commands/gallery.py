"""My pictures, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.common import LAST_JOB, meet
from bot.commands.show import Show
from bot.options import Option
from bot.talk import Button, Call, Image, Reply
from bot.texts import say
from storage import gallery, jobs
from storage.database import Connection
from storage.gallery import Piece

PAGE = 4
"""Pictures a page."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """My pictures, older than piece ``before``; only the starred ones if ``starred``."""

    before: Annotated[int, Option("before", ("antes",), low=0, high=LAST_JOB)] = 0
    starred: Annotated[bool, Option("starred", ("favoritas", "favourites"))] = False


async def answer(ask: Gallery, call: Call, app: App) -> AsyncIterator[Reply]:
    """One page: small pictures, a button for each, and the way to the next page."""
    account = await meet(call, app)
    found = await app.database.read(_page, account.id, ask.before, ask.starred)
    page, more = found[:PAGE], len(found) > PAGE
    if not page:
        kind = "older" if ask.before else "no_stars" if ask.starred else "empty"
        yield Reply(say(call.language, f"gallery.{kind}"), private=True)
        return
    yield Reply(
        title=say(call.language, "gallery.starred" if ask.starred else "gallery.title"),
        images=tuple(_image(each.piece, each.preview) for each in page),
        buttons=_buttons(ask, page, more, call.language),
        private=True,
    )


@dataclass(frozen=True, slots=True)
class _Hung:
    piece: Piece
    preview: bytes
    private: bool

    @property
    def label(self) -> str:
        signs = ("⭐ " if self.piece.starred else "") + ("🔒 " if self.private else "")
        return f"{signs}#{self.piece.job}.{self.piece.index + 1}"


def _page(tx: Connection, account: int, before: int, starred: bool) -> list[_Hung]:
    pieces = gallery.mine(tx, account, PAGE + 1, before or None, starred)
    return [_Hung(each, gallery.preview(tx, each.digest), _is_private(tx, each)) for each in pieces]


def _is_private(tx: Connection, piece: Piece) -> bool:
    job = jobs.get(tx, piece.job)
    return job is not None and job.private


def _image(piece: Piece, preview: bytes) -> Image:
    name = f"falopitas-{piece.job}-{piece.index + 1}.webp"
    return Image(preview, name, alt=piece.request.prompt, digest=piece.digest)


def _buttons(ask: Gallery, page: list[_Hung], more: bool, language: str) -> tuple[tuple[Button, ...], ...]:
    pieces = tuple(Button(each.label, Show(each.piece.job, each.piece.index)) for each in page)
    ways = [Button(say(language, "button.older"), Gallery(page[-1].piece.id, ask.starred))] if more else []
    if ask.before:
        ways.append(Button(say(language, "button.newest"), Gallery(0, ask.starred)))
    key = "button.all" if ask.starred else "button.only_stars"
    ways.append(Button(say(language, key), Gallery(0, not ask.starred)))
    return (pieces, tuple(ways))
