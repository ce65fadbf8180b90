"""A corpus of broken frames (R30): random bytes, and every message mutated, with what must come of each.

``corpus(seed, count)`` yields (kind, bytes). Whatever it is, a reader may only return a valid message, None
at a clean end, or raise BadFrame.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import msgspec

from inference import wire
from inference.request import Picture, Request

_REQUEST = Request(prompt="un zorro rojo (1.3) 🦊", negative="gato", source="0" * 64, strength=0.4)
_PICTURE = Picture(index=0, seed=7, width=64, height=64, data=b"\x89PNG", preview=b"RIFF")
_FAILURE = wire.Failure(index=1, code="broken_picture")
TO_ENGINE: tuple[wire.Message, ...] = (
    wire.Open(token="t"), wire.Draw(job=1, attempt=1, request=_REQUEST, flow="a", source=b"\0" * 40),
    wire.Cancel(job=1, attempt=1), wire.Settled(job=2**62, attempt=3), wire.Quit(),
)  # fmt: skip
TO_BOT: tuple[wire.Message, ...] = (
    wire.Hello(pid=1, device="cpu", dtype="float32", torch="2", drawing=((1, 1),), finished=((2, 1),)),
    wire.Ready(credits=3), wire.Models(models=(wire.ModelState(name="builtin", state="ready"),)),
    wire.Progress(job=1, attempt=1, done=3, total=80, previews=(b"RIFF", b"")),
    wire.Drawn(job=1, attempt=1, pictures=(_PICTURE,), failures=(_FAILURE,)),
    wire.Failed(job=1, attempt=1, code="bad_model"), wire.Cancelled(job=1, attempt=1),
    wire.Beat(stalled=0.5, speed={"builtin": 0.1}, jobs=2),
)  # fmt: skip


def _flip(rng: random.Random, data: bytes) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
    return bytes(broken)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def _length(rng: random.Random, data: bytes) -> bytes:
    size = rng.choice([0, 1, len(data), wire.MAX_FRAME, wire.MAX_FRAME + 1, 2**31, 2**32 - 1])
    return size.to_bytes(4, "big") + data[4:]


def _noise(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.randint(1, 200))


def _framed_noise(rng: random.Random, data: bytes) -> bytes:
    body = rng.randbytes(rng.randint(1, 200))
    return len(body).to_bytes(4, "big") + body


def _value(rng: random.Random) -> object:
    return rng.choice([
        None, True, -1, 0, 2**63, -(2**63), 1.5, float("nan"), float("inf"), "", "x" * 5_000,
        b"", b"\xff" * 99,
        [], {}, [[]] * 3, {"type": "Draw"}, "\ud7ff", "Quit",
    ])  # fmt: skip


def _field(rng: random.Random, data: bytes) -> bytes:
    """One field, perhaps a deep one, gets a foreign value, a foreign name, or goes."""
    message = msgspec.msgpack.decode(data[4:])
    inner = message
    while (deeper := [v for v in inner.values() if isinstance(v, dict) and v]) and rng.random() < 0.6:
        inner = rng.choice(deeper)
    key = rng.choice(list(inner))
    match rng.randrange(4):
        case 0:
            inner[key] = _value(rng)
        case 1:
            del inner[key]
        case 2:
            inner[rng.choice(["__class__", "extra", "", "type", "x" * 300])] = _value(rng)
        case _:
            inner[key] = [inner[key]]
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


def _deep(rng: random.Random, data: bytes) -> bytes:
    """Arrays in arrays, to where a recursive reader would break."""
    body = rng.choice([b"\x91", b"\x81\xa1a"]) * rng.choice([10, 2_000, 100_000]) + b"\xc0"
    return len(body).to_bytes(4, "big") + body


def _twice(rng: random.Random, data: bytes) -> bytes:
    return data + _flip(rng, data)


def _foreign(rng: random.Random, data: bytes) -> bytes:
    """A pickle, an extension type, a message of the other direction."""
    body = rng.choice([
        b"cos\nsystem\n(S'true'\ntR.", b"\xd4\x01\x00", b"\xc7\x05\x7fabcde", b"\xc1",
        msgspec.msgpack.encode(rng.choice([*TO_BOT, *TO_ENGINE])),
    ])  # fmt: skip
    return len(body).to_bytes(4, "big") + body


KINDS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "flip": _flip, "cut": _cut, "length": _length, "noise": _noise, "framed noise": _framed_noise,
    "field": _field, "deep": _deep, "twice": _twice, "foreign": _foreign,
}  # fmt: skip


def corpus(seed: int, count: int, good: tuple[wire.Message, ...] = TO_ENGINE) -> Iterator[tuple[str, bytes]]:
    """``count`` broken frames made from ``good`` messages."""
    rng = random.Random(seed)
    frames = [wire.frame(message) for message in good]
    names = list(KINDS)
    for number in range(count):
        kind = names[number % len(names)]
        yield kind, KINDS[kind](rng, rng.choice(frames))
