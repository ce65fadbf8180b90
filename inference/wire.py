"""Every message that crosses the process boundary, and its framing.

A frame is a 4-byte big-endian length and that many bytes of msgpack: one tagged message. Frames above
``MAX_FRAME`` are refused before they are read. The first frame of a client is always ``Open``. The control
socket of a running bot (``bot/adapters/control.py``) has messages of its own, in the same frames.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from inference.request import ModelSpec, Picture, Request

PROTOCOL = 3
MAX_FRAME = 64 * 1024 * 1024
"""Bytes of one message."""


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """What every message is: frozen, tagged by its class name, without unknown fields."""


# --- bot → engine


class Open(Message, frozen=True, kw_only=True):
    """First word of a client. ``token`` is what the engine's note says (``lock.Note``)."""

    protocol: int = PROTOCOL
    token: str = ""


class Draw(Message, frozen=True, kw_only=True):
    """Draw this. ``flow`` is an opaque account key for fairness, ``weight`` its share; ``attempt`` fences.

    ``alone``: suspected of killing an engine; nothing else may run beside it. ``watch``: send previews.
    ``check``: the engine's classifier, if it has one, looks at each picture.
    """

    job: int
    attempt: int
    request: Request
    flow: str = ""
    weight: Annotated[float, Meta(gt=0)] = 1.0
    turn: float = 0.0
    source: bytes = b""
    watch: bool = True
    alone: bool = False
    check: bool = True


class Cancel(Message, frozen=True, kw_only=True):
    """Stop drawing this job; answered by ``Cancelled`` (or by the ``Drawn`` that it crossed)."""

    job: int
    attempt: int


class Settled(Message, frozen=True, kw_only=True):
    """This result is safe in the database: the engine may forget it."""

    job: int
    attempt: int


class Quit(Message, frozen=True, kw_only=True):
    """Leave at once, drawing or not."""


# --- engine → bot


class ModelState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model in this engine: ``waiting``, ``loading``, ``ready`` or ``broken`` (with a reason)."""

    name: str
    state: str
    reason: str = ""
    """A code of ``refusal.*`` for a broken model, empty otherwise."""
    detail: str = ""
    """What exactly: a file's name, a size. Never a person's words."""
    megabytes: float = 0.0


class Hello(Message, frozen=True, kw_only=True):
    """The engine's first word: what it is and what it still holds for a bot that comes back."""

    protocol: int = PROTOCOL
    pid: int
    device: str
    dtype: str
    torch: str
    models: tuple[ModelState, ...] = ()
    safety: str = ""
    """The classifier that looks at the pictures it is told to check; empty: none does."""
    drawing: tuple[tuple[int, int], ...] = ()
    """(job, attempt) still being drawn."""
    finished: tuple[tuple[int, int], ...] = ()
    """(job, attempt) drawn and not yet settled; each is sent again after this message."""


class Ready(Message, frozen=True, kw_only=True):
    """``credits`` more jobs may be sent to this engine."""

    credits: int


class Models(Message, frozen=True, kw_only=True):
    """The models' states changed."""

    models: tuple[ModelState, ...]


class Progress(Message, frozen=True, kw_only=True):
    """``done`` of ``total`` steps over all pictures of the job. ``previews`` are small WebPs, one a picture
    (empty bytes: none of this one yet), or nothing when none changed."""

    job: int
    attempt: int
    done: int
    total: int
    previews: tuple[bytes, ...] = ()


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One picture that could not be drawn: ``code`` is a ``refusal.*`` code."""

    index: int
    code: str
    detail: str = ""


class Drawn(Message, frozen=True, kw_only=True):
    """The pictures that came out (perhaps not all), one ``grid`` of them (PNG) if there are two or more."""

    job: int
    attempt: int
    pictures: tuple[Picture, ...]
    grid: bytes = b""
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    """Wall time from the first step to the last encoded picture."""
    device_seconds: float = 0.0
    """This job's share of the device's busy time."""


class Failed(Message, frozen=True, kw_only=True):
    """Nothing came out. ``code`` is a ``refusal.*`` code (bad_model, out_of_memory, broken_picture ...)."""

    job: int
    attempt: int
    code: str
    detail: str = ""


class Cancelled(Message, frozen=True, kw_only=True):
    """The job is gone from the engine; nothing will come."""

    job: int
    attempt: int


class Beat(Message, frozen=True, kw_only=True):
    """Once a second: alive. ``stalled`` is for how many seconds the current step has been running.

    ``speed`` is the measured seconds for one unit of ``Request.work`` on this device, by model; ``pace`` the
    seconds of one call a megapixel: what a step takes in the usual company.
    """

    stalled: float = 0.0
    speed: dict[str, float] = {}
    pace: dict[str, float] = {}
    jobs: int = 0


class Lost(Message, frozen=True, kw_only=True):
    """Made by the client, never sent: the process died, hung or left. ``reason`` is for the log."""

    reason: str


ToEngine = Open | Draw | Cancel | Settled | Quit
ToBot = Hello | Ready | Models | Progress | Drawn | Failed | Cancelled | Beat
FromEngine = ToBot | Lost

M = TypeVar("M")
_encoder = msgspec.msgpack.Encoder()
_to_engine: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)
_to_bot: msgspec.msgpack.Decoder[ToBot] = msgspec.msgpack.Decoder(ToBot)


class BadFrame(Exception):  # noqa: N818 - it names the frame
    """The peer sent something that is not a message; its connection is closed."""


def frame(message: Struct) -> bytes:
    """``message`` as bytes for the socket. Raises BadFrame if it is larger than ``MAX_FRAME``."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise BadFrame(f"{type(message).__name__} of {len(body)} bytes")
    return len(body).to_bytes(4, "big") + body


async def _body(reader: asyncio.StreamReader) -> bytes | None:
    head = await reader.read(1)
    if not head:
        return None
    try:
        size = int.from_bytes(head + await reader.readexactly(3), "big")
        if not 0 < size <= MAX_FRAME:
            raise BadFrame(f"frame of {size} bytes")
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise BadFrame("cut off in the middle of a frame") from error


async def read(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[M]) -> M | None:
    """The next message, of those that ``decoder`` knows; None at the end of the stream. Raises BadFrame."""
    body = await _body(reader)
    try:
        return None if body is None else decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(str(error)) from error


async def read_by_engine(reader: asyncio.StreamReader) -> ToEngine | None:
    """The next message from a bot, or None at the end of the stream. Raises BadFrame."""
    return await read(reader, _to_engine)


async def read_by_bot(reader: asyncio.StreamReader) -> ToBot | None:
    """The next message from an engine, or None at the end of the stream. Raises BadFrame."""
    return await read(reader, _to_bot)


__all__ = [
    "MAX_FRAME", "PROTOCOL", "BadFrame", "Beat", "Cancel", "Cancelled", "Draw", "Drawn", "Failed", "Failure",
    "FromEngine", "Hello", "Lost", "Message", "ModelSpec", "ModelState", "Models", "Open", "Progress", "Quit",
    "Ready", "Settled", "ToBot", "ToEngine", "frame", "read", "read_by_bot", "read_by_engine",
]  # fmt: skip
