"""Pixels → PNG and WebP files with their recipe inside, and the recipe back out of a PNG.

A picture carries two text chunks: ``parameters``, the infotext that AUTOMATIC1111's users' tools read, and
``falopitas``, the same as JSON, exact. Neither says who asked.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct
from PIL import Image

from inference import VERSION
from inference.request import MAX_PROMPT, Request

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8] | torch.Tensor
    """(h, w, 3) uint8, on the CPU."""

PREVIEW_SIDE, PREVIEW_QUALITY = 256, 80
GUTTER = 1 / 32
"""Space between the pictures of a grid, as a share of their shorter side."""
PAPER = (228, 229, 232)
"""Colour of that space: a light grey, quiet on dark pages and on white ones, no colour of a picture's."""
MAX_TEXT = 1 << 20
"""Bytes of a text chunk that are read."""

NAMES = {
    "euler": "Euler", "euler_a": "Euler a", "ddim": "DDIM", "lcm": "LCM", "pndm": "PLMS", "deis": "DEIS",
    "dpmpp_2m": "DPM++ 2M", "dpmpp_2m_karras": "DPM++ 2M Karras", "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_karras": "DPM++ 2M SDE Karras", "unipc": "UniPC", "flow_euler": "Flow Euler",
}  # fmt: skip
"""Our sampler → A1111's name for it (theirs where they have it)."""
_SAMPLERS = {name.casefold(): sampler for sampler, name in NAMES.items()}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PAIR = re.compile(r'\s*(\w[\w /-]{0,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_CONTROL = {n: " " for n in [*range(32), *range(127, 160)] if chr(n) not in "\n\t"}


class Recipe(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a picture was made. ``request`` is of this picture alone: one, with its own seed."""

    request: Request
    version: str = VERSION
    fingerprint: str = ""
    """The model's, as ``Denoiser.fingerprint``."""
    dtype: str = ""
    device: str = ""
    torch: str = ""
    upscaler: str = ""
    """What enlarged it: ``sticker`` or ``lanczos``."""


def of_picture(request: Request, index: int) -> Request:
    """The request that draws picture ``index`` of ``request`` and nothing else."""
    return msgspec.structs.replace(request, seed=(request.seed + index) % 2**32, count=1)


# --- files


def png(pixels: Pixels, recipe: Recipe | None = None) -> bytes:
    """``pixels`` (h, w, 3) uint8 as a PNG.

    Written by fpng: 1024² in 4-14 ms where Pillow's level 1 takes 56-305 and its default 76-554 (2-core
    Xeon), in files as large as level 1's. Where there is no fpng, Pillow writes.
    """
    data = _encode(np.ascontiguousarray(np.asarray(pixels, dtype=np.uint8)))
    if recipe is None:
        return data
    chunks = _text("parameters", infotext(recipe)) + _text("falopitas", to_json(recipe))
    after_header = len(_SIGNATURE) + 25
    return data[:after_header] + chunks + data[after_header:]


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    try:
        import fpng
    except ImportError:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", compress_level=1)
        return out.getvalue()
    data: bytes = fpng.from_ndarray(pixels)
    return data


def preview(pixels: Pixels) -> bytes:
    """A small WebP of ``pixels``, for lists and for progress: at most 256 px."""
    image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=PREVIEW_QUALITY)
    return out.getvalue()


def grid(pictures: Sequence[Pixels]) -> NDArray[np.uint8]:
    """One sheet (h, w, 3) of 2 to 4 equal pictures: two side by side (wide ones stacked), else two by two."""
    height, width, _ = pictures[0].shape
    across, down = _cells(len(pictures), width > height)
    gap = max(2, round(min(height, width) * GUTTER))
    sheet = np.empty((down * (height + gap) - gap, across * (width + gap) - gap, 3), np.uint8)
    sheet[:] = PAPER
    for place, pixels in enumerate(pictures):
        y, x = (place // across) * (height + gap), (place % across) * (width + gap)
        sheet[y : y + height, x : x + width] = np.asarray(pixels)
    return sheet


def _cells(count: int, wide: bool) -> tuple[int, int]:
    """(across, down)."""
    if count <= 2:
        return (1, count) if wide else (count, 1)
    return 2, 2


# --- text chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text(key: str, text: str) -> bytes:
    """tEXt where Latin-1 suffices (some readers know no other), else iTXt; as Pillow and so A1111 choose."""
    try:
        return _chunk(b"tEXt", key.encode() + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))


def texts(data: bytes) -> dict[str, str]:
    """The text chunks of a PNG before its pixels or after; of anything else none. Never raises; linear."""
    return dict(_texts(data)) if data.startswith(_SIGNATURE) else {}


def _texts(data: bytes) -> Iterator[tuple[str, str]]:
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length] if kind in {b"tEXt", b"iTXt", b"zTXt"} else b""
        at += 12 + length
        if 0 < len(body) <= MAX_TEXT and (found := _read_text(kind, body)):
            yield found


def _read_text(kind: bytes, body: bytes) -> tuple[str, str] | None:
    key, zero, rest = body.partition(b"\0")
    name = key.decode("latin-1")
    if not zero:
        return None
    if kind == b"tEXt":
        return name, rest.decode("latin-1")
    if kind == b"zTXt":
        return name, _inflate(rest[1:]).decode("latin-1")
    packed, tagged = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    if len(tagged) < 3:
        return None
    return name, (_inflate(tagged[2]) if packed else tagged[2]).decode("utf-8", "replace")


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT)
    except zlib.error:
        return b""


# --- recipes


def to_json(recipe: Recipe) -> str:
    """``recipe`` as JSON in ASCII: safe in every chunk, log and page."""
    return json.dumps(msgspec.to_builtins(recipe), ensure_ascii=True, separators=(",", ":"))


def recipe(data: bytes) -> Request | None:
    """The request that draws this PNG again: exact if we made it, else as its infotext says; or None."""
    found = texts(data)
    if "falopitas" in found:
        try:
            return msgspec.json.decode(found["falopitas"], type=Recipe).request
        except (msgspec.DecodeError, RecursionError):
            pass
    return from_infotext(found["parameters"]) if "parameters" in found else None


def infotext(recipe: Recipe) -> str:
    """The A1111 form: the prompt, a line for the negative prompt, and a last line of ``Key: value`` pairs."""
    request = recipe.request
    pairs = {
        "Steps": request.steps, "Sampler": NAMES.get(request.sampler, request.sampler),
        "CFG scale": f"{request.guidance:g}", "Seed": request.seed,
        "Size": f"{request.width}x{request.height}", "Model": request.model,
    }  # fmt: skip
    if request.source and request.enlarge == 1:
        pairs["Denoising strength"] = f"{request.strength:g}"
    if recipe.upscaler:
        pairs["Postprocess upscale by"] = request.enlarge
        pairs["Postprocess upscaler"] = recipe.upscaler
    pairs["Version"] = f"Falopitas {recipe.version}"
    lines = [_plain(request.prompt)]
    if request.negative:
        lines.append("Negative prompt: " + _plain(request.negative))
    lines.append(", ".join(f"{key}: {value}" for key, value in pairs.items()))
    return "\n".join(lines)


def _plain(text: str) -> str:
    """``text`` without control characters but line feeds and tabs, and without lone surrogates."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROL)
    return unified.encode("utf-8", "replace").decode("utf-8")


def from_infotext(text: str) -> Request | None:
    """The request that an A1111 infotext describes; what it does not say or we do not know is the default."""
    lines = text.strip().split("\n")
    pairs = dict(_PAIR.findall(lines[-1][:4_000]))
    if len(pairs) < 3 or "Steps" not in pairs:
        return None
    starts = [i for i, line in enumerate(lines) if line.startswith("Negative prompt:")]
    end = starts[-1] if starts else len(lines) - 1
    prompt = "\n".join(lines[:end])
    negative = "\n".join(lines[end:-1]).removeprefix("Negative prompt:").strip()
    values = _values({key: _unquoted(value) for key, value in pairs.items()})
    try:
        return msgspec.convert(
            {"prompt": prompt[:MAX_PROMPT], "negative": negative[:MAX_PROMPT], "count": 1} | values,
            type=Request, strict=False,
        )  # fmt: skip
    except msgspec.ValidationError:
        return None


def _unquoted(value: str) -> str:
    if value[:1] != '"':
        return value.strip()
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _values(pairs: dict[str, str]) -> dict[str, Any]:
    """Fields of a Request from the pairs of an infotext."""
    sampler = pairs.get("Sampler", "")
    schedule = pairs.get("Schedule type", "")
    full = f"{sampler} {schedule}" if schedule == "Karras" else sampler
    found: dict[str, Any] = {
        "steps": pairs.get("Steps"), "guidance": pairs.get("CFG scale"), "seed": pairs.get("Seed"),
        "sampler": _SAMPLERS.get(full.casefold()) or _SAMPLERS.get(sampler.casefold()),
        "model": re.sub(r"[^a-z0-9_.-]+", "-", pairs.get("Model", "").lower()).lstrip("_.-")[:64] or None,
    }  # fmt: skip
    if size := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", pairs.get("Size", "")):
        found["width"], found["height"] = size.groups()
    return {key: value for key, value in found.items() if value is not None}
