"""R24: model files and folders made to harm. Each case is built from a good tiny model, then spoiled.

Pickles in here, if anybody unpickled them, would write to the canary file named in the environment variable
``FALOPITAS_CANARY``; so would the code that lies beside some models.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

CANARY = "FALOPITAS_CANARY"
CODE = f"import os, pathlib; pathlib.Path(os.environ['{CANARY}']).write_text('x')"


class Trap:
    """Unpickling it runs ``CODE``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (CODE,)


@dataclass(frozen=True)
class Good:
    """What cases are made from: a whole folder, a whole single file, and one of SDXL."""

    folder: Path
    file: Path
    file_xl: Path


@dataclass(frozen=True)
class Case:
    """``make(good, at)`` returns the source to load; loading must raise BadModel with ``code``."""

    name: str
    code: str
    make: Callable[[Good, Path], Path]


CASES: list[Case] = []


def case(name: str, code: str, make: Callable[[Good, Path], Path]) -> None:
    """Put a case into the corpus."""
    CASES.append(Case(name, code, make))


# --- pickles: every protocol, every name, every wrapping


def _pickle(protocol: int) -> bytes:
    return pickle.dumps({"state_dict": Trap()}, protocol)


def _torch_zip() -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": Trap()}, out)
    return out.getvalue()


def _torch_legacy() -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": Trap()}, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("pickle")
        info.size = len(_pickle(2))
        tar.addfile(info, io.BytesIO(_pickle(2)))
    return out.getvalue()


def _zip_of_pickle() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model.pt", _torch_zip())
    return out.getvalue()


def _bytes(name: str, content: Callable[[], bytes]) -> Callable[[Good, Path], Path]:
    def make(_: Good, at: Path) -> Path:
        (at / name).write_bytes(content())
        return at / name

    return make


for _protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    for _end in ("ckpt", "safetensors"):
        _make = _bytes(f"m.{_end}", lambda p=_protocol: _pickle(p))  # type: ignore[misc]
        case(f"pickle protocol {_protocol} as {_end}", "model_pickle", _make)
for _end in ("pt", "pth", "bin", "ckpt", "pkl", "CKPT", "safetensors", "SafeTensors"):
    case(f"torch zip as {_end}", "model_pickle", _bytes(f"m.{_end}", _torch_zip))
for _end in ("bin", "safetensors", "model"):
    case(f"legacy torch file as {_end}", "model_pickle", _bytes(f"m.{_end}", _torch_legacy))
case("torch tar as safetensors", "model_pickle", _bytes("m.safetensors", _tar))
case("pickle in a zip as safetensors", "model_pickle", _bytes("m.safetensors", _zip_of_pickle))
case("gzip of a pickle", "model_corrupt", _bytes("m.safetensors", lambda: gzip.compress(_pickle(4))))
case("a pickle without an ending", "model_pickle", _bytes("model", lambda: _pickle(4)))
case("python source", "model_remote_code", _bytes("model.py", CODE.encode))
case("python source as safetensors", "model_corrupt", _bytes("m.safetensors", CODE.encode))


# --- single files with a lying header


def _split(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _join(header: object, body: bytes, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


def _lied(change: Callable[[dict[str, Any], bytes], bytes]) -> Callable[[Good, Path], Path]:
    """The good single file with its header and body changed."""

    def make(good: Good, at: Path) -> Path:
        header, body = _split(good.file)
        (at / "m.safetensors").write_bytes(change(header, body))
        return at / "m.safetensors"

    return make


def _first(header: dict[str, Any]) -> dict[str, Any]:
    name = next(key for key in header if key != "__metadata__")
    entry: dict[str, Any] = header[name]
    return entry


def _with(**changes: Any) -> Callable[[dict[str, Any], bytes], bytes]:
    def change(header: dict[str, Any], body: bytes) -> bytes:
        _first(header).update(changes)
        return _join(header, body)

    return change


def _cut(part: float) -> Callable[[dict[str, Any], bytes], bytes]:
    def change(header: dict[str, Any], body: bytes) -> bytes:
        data = _join(header, body)
        return data[: int(len(data) * part)]

    return change


def _overlap(header: dict[str, Any], body: bytes) -> bytes:
    """Two tensors of equal size on the same bytes."""
    seen: dict[int, str] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            if end - start in seen:
                entry["data_offsets"] = header[seen[end - start]]["data_offsets"]
                break
            seen[end - start] = name
    return _join(header, body)


def _twice(header: dict[str, Any], body: bytes) -> bytes:
    """One name with two entries: parsers disagree on which counts."""
    raw = json.dumps(header).encode()
    name = next(key for key in header if key != "__metadata__")
    extra = json.dumps({name: header[name]}).encode()[1:-1]
    return _join(raw[:-1] + b", " + extra + b"}", body)


def _offset(offsets: list[Any]) -> Callable[[dict[str, Any], bytes], bytes]:
    return _with(data_offsets=offsets)


LIES: dict[str, Callable[[dict[str, Any], bytes], bytes]] = {
    "empty": lambda h, b: b"", "seven bytes": lambda h, b: b"\0" * 7, "zeros": lambda h, b: b"\0" * 4_096,
    "only a length": lambda h, b: _join(h, b)[:8], "header of length 0": lambda h, b: _join(h, b, 0),
    "header longer than the file": lambda h, b: _join(h, b, 2**40),
    "header of 2^63": lambda h, b: _join(h, b, 2**63), "header of 2^64-1":
    lambda h, b: _join(h, b, 2**64 - 1),
    "header one too long": lambda h, b: _join(h, b, len(json.dumps(h).encode()) + 1),
    "header one too short": lambda h, b: _join(h, b, len(json.dumps(h).encode()) - 1),
    "huge header": lambda h, b: _join(b"{" + b" " * (17 * 2**20) + b"}", b),
    "header is a list": lambda h, b: _join(b'["a"]', b), "header is not JSON":
    lambda h, b: _join(b"{nope", b),
    "header is not UTF-8": lambda h, b: _join(b'{"\xff\xfe": 1}', b),
    "header nested deep": lambda h, b: _join(b'{"a":' * 50_000, b),
    "header without tensors": lambda h, b: _join({"__metadata__": {"format": "pt"}}, b""),
    "metadata is not text": lambda h, b: _join(h | {"__metadata__": {"a": [1]}}, b),
    "an entry is a number": lambda h, b: _join(h | {"x": 7}, b),
    "an entry with more": _with(code="import os"),
    "a name twice": _twice, "overlapping tensors": _overlap,
    "one byte missing": lambda h, b: _join(h, b[:-1]), "one byte more": lambda h, b: _join(h, b + b"\0"),
    "a gap": lambda h, b: _join(h, b"\0" * 64 + b), "negative offset": _offset([-8, 0]),
    "offsets backwards": _offset([100, 0]), "offset beyond the end": _offset([2**40, 2**40 + 8]),
    "offset is text": _offset(["0", "8"]), "offset is a float": _offset([0.0, 8.0]),
    "three offsets": _offset([0, 4, 8]), "shape overflows": _with(shape=[2**32, 2**32]),
    "shape is negative": _with(shape=[-1, -8]), "shape is text": _with(shape="12"),
    "shape is true": _with(shape=[True]), "unknown type": _with(dtype="PICKLE"),
    "type is a list": _with(dtype=["F32"]),
    "cut in the header": _cut(0.001), "cut a quarter in": _cut(0.25), "cut in the middle": _cut(0.5),
    "cut at nine tenths": _cut(0.9), "cut near the end": _cut(0.999),
}  # fmt: skip
for _name, _change in LIES.items():
    case(f"single file: {_name}", "model_corrupt", _lied(_change))


# --- single files with bad tensors, or of another kind

Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


def _tensors(change: Change, *, xl: bool = False) -> Callable[[Good, Path], Path]:
    def make(good: Good, at: Path) -> Path:
        save_file(change(load_file(good.file_xl if xl else good.file)), at / "m.safetensors")
        return at / "m.safetensors"

    return make


UNET = "model.diffusion_model."


def _set(value: float) -> Change:
    def change(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found[UNET + "out.2.bias"][1] = value
        return found

    return change


def _replaced(name: str, value: torch.Tensor) -> Change:
    return lambda found: found | {name: value}


def _without(start: str) -> Change:
    return lambda found: {k: v for k, v in found.items() if not k.startswith(start)}


def _only(**named: torch.Tensor) -> Change:
    return lambda _: {name.replace("__", "."): value for name, value in named.items()}


ONE = torch.ones(4, 4)
for _name, _code, _spoil in (
    ("NaN", "model_corrupt", _set(float("nan"))),
    ("infinity", "model_corrupt", _set(float("inf"))),
    ("a tensor missing", "model_corrupt", _without(UNET + "out.2.bias")),
    ("a wrong shape", "model_corrupt", _replaced(UNET + "out.2.bias", torch.ones(5).half())),
    (
        "a transposed tensor",
        "model_corrupt",
        _replaced(UNET + "time_embed.0.weight", torch.ones(32, 128).half()),
    ),
    ("a scalar", "model_corrupt", _replaced(UNET + "out.2.bias", torch.tensor(1.0))),
    ("integer weights", "model_corrupt", _replaced(UNET + "out.2.bias", torch.ones(4, dtype=torch.int8))),
    (
        "complex weights",
        "model_corrupt",
        _replaced(UNET + "out.2.bias", torch.ones(4, dtype=torch.complex64)),
    ),
    ("no autoencoder", "model_missing", _without("first_stage_model.")),
    ("no text encoder", "model_missing", _without("cond_stage_model.")),
    ("inpainting", "model_family", _replaced(UNET + "input_blocks.0.0.weight", torch.ones(32, 9, 3, 3))),
    ("half an SDXL", "model_missing", _replaced("conditioner.embedders.1.model.ln_final.bias", ONE)),
    ("Stable Diffusion 2", "model_family", _replaced("cond_stage_model.model.ln_final.bias", ONE)),
    ("LoRA", "model_family", _only(lora_unet_down_blocks_0__lora_down__weight=ONE)),
    ("LoRA of peft", "model_family", _only(unet__down_blocks__0__to_q__lora_A__weight=ONE)),
    ("embedding", "model_family", _only(emb_params=ONE)),
    ("ControlNet", "model_family", _only(control_model__input_blocks__0__0__weight=ONE)),
    ("Flux", "model_family", _only(double_blocks__0__img_attn__qkv__weight=ONE)),
    ("Stable Diffusion 3", "model_family", _only(model__diffusion_model__joint_blocks__0__x=ONE)),
    ("only an autoencoder", "model_family", _only(decoder__conv_in__weight=ONE)),
    ("only a UNet", "model_family", _only(down_blocks__0__resnets__0__conv1__weight=ONE)),
    ("something else", "model_family", _only(bert__weight=ONE)),
):
    case(f"single file: {_name}", _code, _tensors(_spoil))


def _refiner(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Its one text encoder is OpenCLIP's."""
    kept = {k: v for k, v in found.items() if not k.startswith("conditioner.")}
    return kept | {"conditioner.embedders.0.model.ln_final.bias": ONE}


def _cut_file(good: Good, at: Path) -> Path:
    data = good.file_xl.read_bytes()
    (at / "m.safetensors").write_bytes(data[: len(data) * 2 // 3])
    return at / "m.safetensors"


OPEN_CLIP = "conditioner.embedders.1.model."
IN_PROJ = OPEN_CLIP + "transformer.resblocks.0.attn.in_proj_bias"
for _name, _code, _spoil in (
    ("no first encoder", "model_missing", _without("conditioner.embedders.0.")),
    ("no second encoder", "model_missing", _without(OPEN_CLIP)),
    ("no autoencoder", "model_missing", _without("first_stage_model.")),
    ("no label_emb", "model_missing", _without(UNET + "label_emb.")),
    ("a layer missing", "model_corrupt", _without(OPEN_CLIP + "transformer.resblocks.2.")),
    ("no projection", "model_corrupt", _without(OPEN_CLIP + "text_projection")),
    ("in_proj is no three", "model_corrupt", _replaced(IN_PROJ, torch.ones(145))),
    ("in_proj is too short", "model_corrupt", _replaced(IN_PROJ, torch.ones(141))),
    ("in_proj is a scalar", "model_corrupt", _replaced(IN_PROJ, torch.tensor(1.0))),
    ("in_proj is integers", "model_corrupt", _replaced(IN_PROJ, torch.ones(144, dtype=torch.int32))),
    ("in_proj is not finite", "model_corrupt", _replaced(IN_PROJ, torch.full((144,), float("nan")))),
    ("a wrong projection", "model_corrupt", _replaced(OPEN_CLIP + "text_projection", torch.ones(48, 3))),
    ("the refiner", "model_family", _refiner),
    ("inpainting", "model_family", _replaced(UNET + "input_blocks.0.0.weight", torch.ones(32, 9, 3, 3))),
    ("Playground 2.5", "model_family", _replaced("edm_mean", ONE)),
    ("CosXL", "model_family", _replaced("edm_vpred.sigma_max", ONE)),
    ("a LoRA beside it", "model_family", _replaced("lora_te_x.weight", ONE)),
):
    case(f"SDXL in one file: {_name}", _code, _tensors(_spoil, xl=True))
case("SDXL in one file: cut", "model_corrupt", _cut_file)


# --- folders


def _folder(spoil: Callable[[Path], None]) -> Callable[[Good, Path], Path]:
    def make(good: Good, at: Path) -> Path:
        shutil.copytree(good.folder, at / "m")
        spoil(at / "m")
        return at / "m"

    return make


def _json(name: str, **changes: Any) -> Callable[[Path], None]:
    def spoil(at: Path) -> None:
        content = json.loads((at / name).read_text())
        (at / name).write_text(json.dumps(content | changes))

    return spoil


def _write(name: str, content: bytes | str) -> Callable[[Path], None]:
    def spoil(at: Path) -> None:
        (at / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def _remove(name: str) -> Callable[[Path], None]:
    return lambda at: shutil.rmtree(at / name) if (at / name).is_dir() else (at / name).unlink()


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


def _pickled(name: str) -> Callable[[Path], None]:
    """The good weights gone, a pickle in their place."""

    def spoil(at: Path) -> None:
        (at / WEIGHTS).unlink()
        (at / "unet" / name).write_bytes(_torch_zip())

    return spoil


def _linked(name: str, target: str) -> Callable[[Path], None]:
    """``name`` is a link to something outside of the folder (or nowhere, or in a circle)."""

    def spoil(at: Path) -> None:
        outside = at.parent / "outside"
        if not outside.exists():
            shutil.copytree(at, outside)
        shutil.rmtree(at / name) if (at / name).is_dir() else (at / name).unlink(missing_ok=True)
        (at / name).symlink_to(target.replace("OUT", str(outside)))

    return spoil


def _sharded(target: str) -> Callable[[Path], None]:
    """Weights by an index whose shard is ``target``."""

    def spoil(at: Path) -> None:
        shutil.copytree(at, at.parent / "outside")
        (at / WEIGHTS).unlink()
        names = json.dumps(
            {"weight_map": {"conv_in.weight": target.replace("OUT", str(at.parent / "outside"))}}
        )
        (at / INDEX).write_text(names)

    return spoil


def _fifo(at: Path) -> None:
    (at / WEIGHTS).unlink()
    os.mkfifo(at / WEIGHTS)


def _directory(at: Path) -> None:
    (at / WEIGHTS).unlink()
    (at / WEIGHTS).mkdir()


def _lora(at: Path) -> None:
    (at / "model_index.json").rename(at / "adapter_config.json")


def _shapes(at: Path) -> None:
    found = load_file(at / WEIGHTS)
    found["conv_out.bias"] = torch.ones(7)
    save_file(found, at / WEIGHTS)


def _surplus(at: Path) -> None:
    save_file(load_file(at / WEIGHTS) | {"extra.weight": ONE}, at / WEIGHTS)


def _nan(at: Path) -> None:
    found = load_file(at / WEIGHTS)
    found["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(found, at / WEIGHTS)


TOKENS = "tokenizer/tokenizer_config.json"
FOLDERS: tuple[tuple[str, str, Callable[[Path], None]], ...] = (
    ("auto_map in the UNet", "model_remote_code", _json("unet/config.json", auto_map={"AutoModel": "x.Y"})),
    ("auto_map deep inside", "model_remote_code", _json("vae/config.json", a=[{"b": {"auto_map": {}}}])),
    ("auto_map in the text encoder", "model_remote_code", _json("text_encoder/config.json", auto_map={})),
    ("auto_map in the tokenizer", "model_remote_code",
        _json(TOKENS, auto_map={"AutoTokenizer": ["a.B", None]})),
    ("trust_remote_code", "model_remote_code", _json("text_encoder/config.json", trust_remote_code=True)),
    ("custom pipeline", "model_remote_code", _json("model_index.json", custom_pipeline="evil")),
    ("pipeline class in a module", "model_remote_code",
        _json("model_index.json", _class_name=["evil", "Pipe"])),
    ("part from its own module", "model_remote_code", _json("model_index.json", unet=["unet", "Evil"])),
    ("part from os", "model_remote_code", _json("model_index.json", vae=["os", "system"])),
    ("part named by a path", "model_remote_code",
        _json("model_index.json", vae=["../../evil", "AutoencoderKL"])),
    ("a part more, of its own", "model_remote_code", _json("model_index.json", helper=["helper", "Run"])),
    ("part that is no pair", "model_remote_code", _json("model_index.json", unet=["diffusers"])),
    ("python beside", "model_remote_code", _write("unet/unet.py", CODE)),
    ("pipeline.py", "model_remote_code", _write("pipeline.py", CODE)),
    ("compiled python", "model_remote_code", _write("unet/x.pyc", b"\0")),
    ("a shared library", "model_remote_code", _write("vae/x.so", b"\x7fELF")),
    ("pickle instead of weights", "model_pickle", _pickled("diffusion_pytorch_model.bin")),
    ("pickle under the weights' name", "model_pickle", _pickled("diffusion_pytorch_model.safetensors")),
    ("pickle named fp16", "model_pickle", _pickled("diffusion_pytorch_model.fp16.safetensors")),
    ("index of pickles", "model_pickle", _sharded("pytorch_model-00001.bin")),
    ("index out of the folder", "model_corrupt", _sharded("../../outside/unet/" + Path(WEIGHTS).name)),
    ("index to an absolute path", "model_corrupt", _sharded("OUT/" + WEIGHTS)),
    ("index with a backslash", "model_corrupt", _sharded("..\\outside\\x.safetensors")),
    ("index with a zero byte", "model_corrupt", _sharded("x\0.safetensors")),
    ("index to a URL", "model_corrupt", _sharded("http://127.0.0.1/x.safetensors")),
    ("index to nothing", "model_missing", _sharded("absent.safetensors")),
    ("weights linked out", "model_corrupt", _linked(WEIGHTS, "OUT/" + WEIGHTS)),
    ("weights linked out by ..", "model_corrupt", _linked(WEIGHTS, "../../outside/" + WEIGHTS)),
    ("configuration linked out", "model_corrupt", _linked("unet/config.json", "/etc/passwd")),
    ("folder linked out", "model_corrupt", _linked("unet", "OUT/unet")),
    ("vocabulary linked out", "model_corrupt", _linked("tokenizer/vocab.json", "OUT/tokenizer/vocab.json")),
    ("link to itself", "model_missing", _linked("unet/config.json", "config.json")),
    ("link to a device", "model_corrupt", _linked(WEIGHTS, "/dev/zero")),
    ("a pipe instead of weights", "model_missing", _fifo),
    ("weights are a folder", "model_missing", _directory),
    ("NaN", "model_corrupt", _nan),
    ("wrong shape", "model_corrupt", _shapes),
    ("tensors too many", "model_corrupt", _surplus),
    ("no model_index.json", "model_missing", _remove("model_index.json")),
    ("no UNet", "model_missing", _remove("unet")),
    ("no autoencoder", "model_missing", _remove("vae")),
    ("no text encoder's weights", "model_missing", _remove("text_encoder/model.safetensors")),
    ("no tokenizer", "model_missing", _remove("tokenizer")),
    ("no merges", "model_missing", _remove("tokenizer/merges.txt")),
    ("no scheduler", "model_missing", _remove("scheduler")),
    ("only a LoRA", "model_family", _lora),
    ("an SDXL pipeline without its second encoder", "model_missing",
        _json("model_index.json", _class_name="StableDiffusionXLPipeline")),
    ("a Flux pipeline", "model_family", _json("model_index.json", _class_name="FluxPipeline")),
    ("a T5 encoder", "model_family",
        _json("model_index.json", text_encoder=["transformers", "T5EncoderModel"])),
    ("a part that is null", "model_missing", _json("model_index.json", unet=[None, None])),
    ("SDXL's embedding", "model_family", _json("unet/config.json", addition_embed_type="text_time")),
    ("inpainting", "model_family", _json("unet/config.json", in_channels=9)),
    ("another class in the configuration", "model_family", _json("vae/config.json", _class_name="Evil")),
    ("configuration is not JSON", "model_corrupt", _write("unet/config.json", "{'a': 1}")),
    ("configuration is a list", "model_corrupt", _write("unet/config.json", "[]")),
    ("configuration nested deep", "model_corrupt",
        _write("unet/config.json", '{"a":' * 20_000 + "1" + "}" * 20_000)),
    ("configuration is huge", "model_corrupt", _write("unet/config.json", b" " * (17 * 2**20))),
    ("configuration with NaN", "model_corrupt", _write("unet/config.json", '{"norm_eps": NaN}')),
    ("configuration with 1e999", "model_corrupt", _json("unet/config.json", norm_eps=float(10**300))),
    ("a billion layers", "model_corrupt", _json("unet/config.json", layers_per_block=10**9)),
    ("a million blocks", "model_corrupt", _json("vae/config.json", num_decoder_blocks=[10**6] * 3)),
    ("absurd widths", "model_corrupt", _json("unet/config.json", block_out_channels=[2**40, 2**40])),
    ("widths of another model", "model_corrupt", _json("unet/config.json", block_out_channels=[64, 128])),
    ("settings of wrong types", "model_corrupt", _json("unet/config.json", block_out_channels="wide")),
    ("zero heads", "model_corrupt", _json("text_encoder/config.json", num_attention_heads=0)),
    ("an unknown activation", "model_corrupt", _json("unet/config.json", act_fn="__import__('os')")),
    ("widths that do not meet", "model_corrupt", _json("unet/config.json", cross_attention_dim=48)),
    ("a vocabulary too large", "model_corrupt", _json("tokenizer/vocab.json", evil=10**6)),
    ("a vocabulary of text", "model_corrupt", _json("tokenizer/vocab.json", evil="1")),
    ("negative words", "model_corrupt", _json("tokenizer/vocab.json", evil=-1)),
    ("merges of another vocabulary", "model_corrupt", _write("tokenizer/merges.txt", "q zzz\n")),
    ("merges that are binary", "model_corrupt", _write("tokenizer/merges.txt", b"\xff\xfe\0\1 \x80")),
    ("a window of one token", "model_corrupt", _json(TOKENS, model_max_length=1)),
    ("special tokens that are missing", "model_corrupt", _json(TOKENS, eos_token="<evil>")),
)  # fmt: skip
for _name, _code, _bad in FOLDERS:
    case(f"folder: {_name}", _code, _folder(_bad))
