"""Reading model files that may be hostile: nothing here unpickles, follows a link out, or believes a length.

A model is a set of ``.safetensors`` files and small JSON files. Every file is opened through ``Folder``
(paths stay inside it) or ``header``/``tensors``; whatever is wrong becomes a BadModel with the file's name.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickletools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from inference.models import BadModel

if TYPE_CHECKING:
    import torch

MAX_HEADER = 16 * 1024 * 1024
"""Bytes of a safetensors header; SDXL's is 0.4 MB."""
MAX_JSON = 16 * 1024 * 1024
"""Bytes of a JSON file; CLIP's vocabulary is 1 MB."""
MAX_TENSORS = 100_000
MAX_ENTRIES = 2_000
"""Files and folders in a model folder."""
PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})
"""Endings that mean (or may hide) a pickle."""
CODE = frozenset({".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".ipynb", ".sh"})
"""Endings of code, which a model folder must not bring."""
REMOTE = frozenset({"auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "custom_code"})
"""Keys of a configuration that ask a library to run code that came with the model."""
SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "U16": 2,
    "U32": 4, "U64": 8, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "C64": 8,
}  # fmt: skip
"""Bytes of one value, by safetensors' name of its type."""
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types that weights may have."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a safetensors header says of one tensor; ``start`` and ``end`` are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """The verified header of one safetensors file; ``digest`` is a SHA-256 of it and the file's size."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    digest: str


def sniff(path: Path) -> str:
    """What its first 64 KiB are: ``safetensors``, ``pickle``, ``archive`` or ``unknown``."""
    with path.open("rb") as file:
        start = file.read(65_536)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")) or (start[:1] == b"\x80" and start[1:2] <= b"\x0a"):
        return "pickle"  # torch.save's zip, and pickle protocols 2 and later
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= max(MAX_HEADER, path.stat().st_size):
        return "safetensors"
    if start.startswith(
        (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd", b"\x93NUMPY")
    ):
        return "archive"
    if start[257:262] == b"ustar":
        return "pickle"  # torch.save's tar of before 2017
    return "pickle" if _pickled(start) else "unknown"


def _pickled(start: bytes) -> bool:
    """Whether it reads as a pickle of protocol 0 or 1 (which have no mark); nothing is executed."""
    seen = 0
    try:
        for opcode, _, _ in pickletools.genops(start):
            seen += 1
            if opcode.name == "STOP":
                return seen > 1
    except (ValueError, UnicodeDecodeError, IndexError, OverflowError, MemoryError):
        return seen >= 4
    return seen >= 4


def refuse_pickle(path: Path, shown: str) -> None:
    """Raise model_pickle when the name or the first bytes of the file say so."""
    if path.suffix.lower() in PICKLES or sniff(path) == "pickle":
        raise BadModel("model_pickle", shown)


class Folder:
    """A model's folder. Nothing is read from outside ``within``, which is the folder itself unless given."""

    def __init__(self, root: Path, *, within: Path | None = None) -> None:
        self.root = root
        self._within = (within or root).resolve()

    def file(self, name: str) -> Path:
        """The regular file ``name`` (``/`` between parts) of this folder. Raises BadModel."""
        parts = name.split("/")
        if (
            not name
            or "\\" in name
            or "\0" in name
            or any(p in {"", ".", ".."} for p in parts)
            or ":" in name
        ):
            raise BadModel("model_corrupt", f"{printable(name)}: not a plain file name")
        path = self.root.joinpath(*parts)
        if not self._check_inside(path, name).is_file():
            raise BadModel("model_missing", f"{printable(name)}: not a file")
        return path

    def _check_inside(self, path: Path, name: str) -> Path:
        """What ``path`` leads to, if that exists and is inside."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
            raise BadModel("model_missing", printable(name)) from error
        if not real.is_relative_to(self._within):
            raise BadModel("model_corrupt", f"{printable(name)}: a link out of the model's folder")
        return real

    def has(self, name: str) -> bool:
        """Whether there is such an entry, good or bad."""
        path = self.root / name
        return path.exists() or path.is_symlink()

    def json(self, name: str) -> dict[str, Any]:
        """The object in the JSON file ``name``, free of requests to run code. Raises BadModel."""
        return parse_json(read(self.file(name), MAX_JSON, name), name)

    def inspect(self) -> None:
        """Raise BadModel if the folder brings code, too many entries, or links that lead out of it."""
        for count, path in enumerate(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if count > MAX_ENTRIES:
                raise BadModel("model_corrupt", f"more than {MAX_ENTRIES} files")
            if path.suffix.lower() in CODE:
                raise BadModel("model_remote_code", printable(name))
            if path.is_symlink():
                self._check_inside(path, name)

    def weights(self, part: str, stem: str) -> list[Path]:
        """The safetensors files of ``part`` (one, or the shards of its index). Raises BadModel."""
        for name in (f"{part}/{stem}.safetensors", f"{part}/{stem}.fp16.safetensors"):
            if self.has(name):
                return [self.file(name)]
        index = f"{part}/{stem}.safetensors.index.json"
        if self.has(index):
            return self._shards(part, index)
        for path in sorted((self.root / part).glob("*")):
            if path.suffix.lower() in PICKLES:
                raise BadModel("model_pickle", f"{part}/{printable(path.name)}")
        raise BadModel("model_missing", f"{part}/{stem}.safetensors")

    def _shards(self, part: str, index: str) -> list[Path]:
        shards = self.json(index).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise BadModel("model_corrupt", f"{index}: no weight_map")
        names = sorted({str(name) for name in shards.values()})
        for name in names:
            if not name.endswith(".safetensors") or "/" in name:
                code = "model_pickle" if Path(name).suffix.lower() in PICKLES else "model_corrupt"
                raise BadModel(code, f"{index}: names what is no safetensors file beside it")
        return [self.file(f"{part}/{name}") for name in names]


def printable(name: str) -> str:
    """``name`` cut to 120 characters, with what cannot be printed replaced."""
    return "".join(c if c.isprintable() else "�" for c in name[:120])


def read(path: Path, limit: int, shown: str) -> bytes:
    """The bytes of ``path``, at most ``limit``. Raises BadModel."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadModel("model_missing", f"{shown}: {error.strerror}") from error
    if len(content) > limit:
        raise BadModel("model_corrupt", f"{shown}: larger than {limit // 2**20} MB")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _remote(content: object) -> str:
    """A key in ``content``, at any depth, that asks for code; or nothing."""
    waiting = [content]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if found := REMOTE & here.keys():
                return min(found)
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return ""


def parse_json(content: bytes, shown: str, *, words: bool = False) -> dict[str, Any]:
    """The JSON object in ``content``: names once, no NaN, no request for code. Raises BadModel.

    ``words``: its keys are a vocabulary's, where any word may stand.
    """
    try:
        found = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadModel("model_corrupt", f"{shown}: no valid JSON") from error
    if not isinstance(found, dict):
        raise BadModel("model_corrupt", f"{shown}: no JSON object")
    if not words and (key := _remote(found)):
        raise BadModel("model_remote_code", f"{shown}: {key}")
    return found


def header(path: Path, shown: str = "") -> Header:
    """The header of the safetensors file, every claim in it checked against the file. Raises BadModel.

    Format: 8 bytes little-endian length, that much JSON, then the tensors one after the other without gaps
    (github.com/huggingface/safetensors, "Format").
    """
    shown = shown or path.name
    try:
        refuse_pickle(path, shown)
        with path.open("rb") as file:
            return _header(file, path, shown)
    except OSError as error:
        raise BadModel("model_missing", f"{shown}: {error.strerror}") from error


def _header(file: BinaryIO, path: Path, shown: str) -> Header:
    size = path.stat().st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or not 2 <= length <= min(size - 8, MAX_HEADER):
        raise BadModel("model_corrupt", f"{shown}: its header says {length} bytes of a file of {size}")
    raw = file.read(length)
    content = parse_json(raw, shown, words=True)
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise BadModel("model_corrupt", f"{shown}: bad metadata")
    if not 0 < len(content) <= MAX_TENSORS:
        raise BadModel("model_corrupt", f"{shown}: {len(content)} tensors")
    found = {name: _tensor(name, entry, shown) for name, entry in content.items()}
    _check_layout(found.values(), size - 8 - length, shown)
    digest = hashlib.sha256(raw + size.to_bytes(8, "little")).hexdigest()
    return Header(path=path, tensors=found, metadata=metadata, digest=digest)


def _natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _tensor(name: str, entry: object, shown: str) -> Tensor:
    bad = BadModel("model_corrupt", f"{shown}: {printable(name)}")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise bad
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise bad
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(shape) > 8:
        raise bad
    if len(offsets) != 2 or not all(map(_natural, [*shape, *offsets])):
        raise bad
    found = Tensor(dtype, tuple(shape), *offsets)
    if found.values * SIZES[dtype] != found.end - found.start:
        raise bad
    return found


def _check_layout(tensors: Iterable[Tensor], size: int, shown: str) -> None:
    """The tensors fill ``size`` bytes one after the other: no gap, no overlap, nothing beyond the end."""
    at = 0
    for tensor in sorted(tensors, key=lambda t: (t.start, t.end)):
        if tensor.start != at:
            raise BadModel("model_corrupt", f"{shown}: tensors overlap or leave a gap at byte {at}")
        at = tensor.end
    if at != size:
        raise BadModel("model_corrupt", f"{shown}: {size} bytes of tensors where the header says {at}")


def tensors(
    header: Header, wanted: Mapping[str, str], device: torch.device, dtype: torch.dtype, shown: str
) -> dict[str, torch.Tensor]:
    """Tensors of the file as fresh, finite ``dtype`` copies; ``wanted``: names in the file → names given.

    Raises BadModel when a value is NaN or infinite, in the file or after the cast, or the file changed since.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, torch.Tensor] = {}
    try:
        with safe_open(header.path, framework="pt", device="cpu") as file:
            for name, given in wanted.items():
                value: torch.Tensor = file.get_tensor(name).to(device, dtype, copy=True)
                if not finite(value):
                    raise BadModel("model_corrupt", f"{shown}: {printable(name)} is not finite")
                found[given] = value
    except (SafetensorError, OSError, RuntimeError) as error:
        raise BadModel("model_corrupt", f"{shown}: {printable(str(error))}") from error
    return found


def finite(value: torch.Tensor) -> bool:
    """Whether every number of ``value`` is finite; one pass, no copy."""
    if value.numel() == 0:
        return True
    low, high = value.aminmax()
    return math.isfinite(low.item()) and math.isfinite(high.item())


def check_sums(folder: Folder, under: str = "") -> None:
    """Raise model_checksum, naming the file, unless each file of ``checksums.json`` has its SHA-256.

    Only names that begin with ``under`` are looked at.
    """
    for name, expected in folder.json("checksums.json").items():
        if not name.startswith(under):
            continue
        try:
            with folder.file(name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except BadModel as error:
            raise BadModel("model_checksum", printable(name)) from error
        if digest != expected:
            raise BadModel("model_checksum", printable(name))
