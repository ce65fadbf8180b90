"""The control socket: what `falopitas imagine` and its kin say to a running bot. A chat like any other.

Its messages cross in the frames of ``inference/wire.py``, through a door of the same kind
(``inference/door.py``); where that is, and the token that opens it, stands in a file for the owner alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from bot.app import App
from bot.talk import Attachment, Button, Call, Gone, Place, Reply
from inference import door, wire
from storage import gallery, jobs
from storage.accounts import OWNER
from storage.database import Connection
from storage.disk import refusal_of
from storage.gallery import Piece
from storage.jobs import Job

SOCKET = "control.sock"
NOTE = "control.json"
WAIT = 5.0
"""Seconds a client may take for its first word."""


class Knock(Struct, frozen=True, tag=True):
    """First word of a client: what the note says."""

    token: str = ""


class Say(Struct, frozen=True, tag=True):
    """A line as a person types it. ``event`` makes it happen once; ``picture`` is a file's bytes."""

    text: str
    language: str = "en"
    event: str = ""
    picture: bytes = b""


class Press(Struct, frozen=True, tag=True):
    """Button ``button`` (from 0, in reading order) of message ``message``."""

    message: int
    button: int
    language: str = "en"


class Fetch(Struct, frozen=True, tag=True):
    """The files of a finished job of the owner's."""

    job: int


class Drawing(Struct, frozen=True):
    """An image in a message."""

    name: str
    data: bytes


class Show(Struct, frozen=True, tag=True):
    """A message as it is now."""

    message: int
    text: str = ""
    title: str = ""
    prompt: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    images: tuple[Drawing, ...] = ()
    buttons: tuple[str, ...] = ()
    tone: str = "plain"
    fleeting: bool = False
    progress: float | None = None
    job: int | None = None
    code: str = ""


class Kept(Struct, frozen=True):
    """A picture of a job."""

    index: int
    seed: int
    width: int
    height: int
    digest: str
    data: bytes


class Files(Struct, frozen=True, tag=True):
    """What a job gave: ``grid`` is empty for one picture; ``price`` is what it cost (units); ``request`` is
    its JSON."""

    job: int
    status: str = ""
    pictures: tuple[Kept, ...] = ()
    grid: bytes = b""
    price: int = 0
    seconds: float = 0.0
    request: msgspec.Raw = msgspec.Raw(b"\xc0")


FromClient: TypeAlias = Knock | Say | Press | Fetch
FromBot: TypeAlias = Show | Files

_from_client: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_from_bot: msgspec.msgpack.Decoder[FromBot] = msgspec.msgpack.Decoder(FromBot)


class Note(Struct, frozen=True):
    """Where a running bot is spoken to; ``page`` is where its page is, "" if it has none."""

    address: str
    token: str
    page: str = ""


# --- the bot's end


@dataclass(slots=True, eq=False)
class _Client:
    """One connection: its number is the chat, its messages the places."""

    number: str
    writer: asyncio.StreamWriter
    calls: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    buttons: dict[int, tuple[Button, ...]] = field(default_factory=dict)

    async def send(self, message: Struct) -> None:
        try:
            self.writer.write(wire.frame(message))
            await self.writer.drain()
        except OSError as error:
            raise Gone from error


class Control:
    """Whoever may open the socket is the owner."""

    name = "control"

    def __init__(self, app: App, runtime: Path, page: Callable[[], str] = str) -> None:
        """``page`` says where the page is, which has started by then."""
        self._app = app
        self._runtime = runtime
        self._page = page
        self._token = door.key()
        self._calls: asyncio.Queue[Call | None] = asyncio.Queue()
        self._clients: dict[str, _Client] = {}
        self._door: door.Door | None = None

    async def start(self) -> None:
        """Listen; from now on a client finds us. Raises Refusal (data_read_only, disk_full …)."""
        try:
            (self._runtime / NOTE).unlink(missing_ok=True)
            self._door = await door.listen(self._serve, self._runtime / SOCKET)
            handle = os.open(self._runtime / NOTE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(Note(self._door.address, self._token, self._page())))
        except OSError as error:
            raise refusal_of(error) from error

    async def listen(self) -> AsyncIterator[Call]:
        """What clients say, until closed."""
        while (call := await self._calls.get()) is not None:
            yield call

    async def show(self, place: Place, reply: Reply) -> Place:
        """Send the message as it is now to the client that asked. Raises Gone when it left."""
        number, _, message = place.removeprefix(f"{self.name}:").partition("/")
        client = self._clients.get(number)
        if client is None or not message.isdecimal() or reply.redraws:
            raise Gone
        buttons = tuple(button for row in reply.buttons for button in row)
        client.buttons[int(message)] = buttons
        await client.send(_shown(int(message), reply, buttons))
        return place

    async def close(self) -> None:
        """Hang up. A note that the disk does not let go names nobody, and the next bot's takes its place."""
        self._calls.put_nowait(None)
        with contextlib.suppress(OSError):
            (self._runtime / NOTE).unlink(missing_ok=True)
        if self._door:
            self._door.close()
        for client in list(self._clients.values()):
            client.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(secrets.token_hex(8), writer)
        try:
            async with asyncio.timeout(WAIT):
                knock = await wire.read(reader, _from_client)
            if not isinstance(knock, Knock) or not door.fits(knock.token, self._token):
                return
            self._clients[client.number] = client
            while (message := await wire.read(reader, _from_client)) is not None:
                await self._hear(client, message)
        except (wire.BadFrame, OSError, TimeoutError, Gone):
            pass  # it left, or it is none of ours
        finally:
            self._clients.pop(client.number, None)
            writer.close()

    async def _hear(self, client: _Client, message: FromClient) -> None:
        match message:
            case Say():
                picture = await self._kept(message.picture)
                said = Call(OWNER, "", message.event, text=message.text, language=message.language)
                self._call(client, replace(said, picture=picture))
            case Press():
                buttons = client.buttons.get(message.message, ())
                if 0 <= message.button < len(buttons):
                    ask = buttons[message.button].ask
                    self._call(client, Call(OWNER, "", "", ask, language=message.language))
            case Fetch():
                await client.send(await self._files(message.job))

    def _call(self, client: _Client, call: Call) -> None:
        place = f"{self.name}:{client.number}/{next(client.calls)}"
        event = call.event or secrets.token_hex(16)
        self._calls.put_nowait(replace(call, place=place, event=event))

    async def _kept(self, data: bytes) -> Attachment | None:
        return Attachment(await self._app.sent.uploads.keep(data), len(data)) if data else None

    async def fetch(self, picture: Attachment, limit: int) -> bytes:
        """The bytes of a file that came with a line; its frame was no larger than ``wire.MAX_FRAME``."""
        return await self._app.sent.uploaded(picture)

    async def _files(self, number: int) -> Files:
        found = await self._app.database.read(_pieces, number)
        if found is None:
            return Files(job=number)
        job, pieces, grid = found
        load = self._app.files.load
        pictures = [
            Kept(each.index, each.seed, each.width, each.height, each.digest, await load(each.digest))
            for each in pieces
        ]
        whole = await load(grid.digest) if grid else b""
        request = msgspec.Raw(msgspec.msgpack.encode(job.request))
        return Files(number, job.status.value, tuple(pictures), whole, job.charged, job.seconds, request)


def _pieces(tx: Connection, number: int) -> tuple[Job, tuple[Piece, ...], Piece | None] | None:
    job = jobs.get(tx, number)
    return (job, gallery.of_job(tx, number), gallery.grid(tx, number)) if job else None


def _shown(message: int, reply: Reply, buttons: tuple[Button, ...]) -> Show:
    return Show(
        message, reply.text, reply.title, reply.prompt, reply.fields,
        tuple(Drawing(image.name, image.data) for image in reply.images),
        tuple(button.label for button in buttons), reply.tone.value, reply.fleeting, reply.progress,
        reply.job, reply.code,
    )  # fmt: skip


# --- the other end


def _note(runtime: Path) -> Note:
    """Raises OSError where no bot runs, ValueError for somebody else's words."""
    return msgspec.json.decode((runtime / NOTE).read_bytes(), type=Note)


def page_of(runtime: Path) -> str:
    """Where the page of the bot is that runs there; "" if none runs, or without a page."""
    try:
        return _note(runtime).page
    except (OSError, ValueError):
        return ""


class Line:
    """A client's connection to a running bot."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, runtime: Path) -> Line | None:
        """A connection to the bot that runs there; None if none does."""
        try:
            note = _note(runtime)
            line = cls(*await door.dial(note.address))
            await line.send(Knock(note.token))
        except (OSError, ValueError):  # no such file, nobody there, somebody else's words
            return None
        return line

    async def send(self, message: FromClient) -> None:
        """Say something."""
        self._writer.write(wire.frame(message))
        await self._writer.drain()

    async def next(self) -> FromBot | None:
        """What the bot shows next; None when it hung up."""
        try:
            return await wire.read(self._reader, _from_bot)
        except (wire.BadFrame, OSError):
            return None

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
