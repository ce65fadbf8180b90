"""One TOML file and the environment's secrets → one frozen Config, or a list of everything that is wrong.

Every key is optional. A problem is a code (``config.<what>`` in ``bot/texts``) with its values, so that it
can be said in a person's language; this module says nothing itself. Tokens are read from the environment or
from a ``.env`` beside the file, never from the file itself.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, inspect

from bot.pattern import fault_of
from bot.secret import Secret, parse_env
from inference.request import SAMPLERS, ModelSpec

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "inference" / "models" / "builtin" / "falopitas.json"
"""What the built-in model is; written by its training."""

STOCK, OFF = "builtin", "off"
"""``safety``: the classifier that ships with the project; none at all."""

Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Url = Annotated[str, Meta(pattern="^https?://[^ ]+$", max_length=500)]
DEVICE = r"^(auto|cpu|mps|cuda(:[0-9]{1,2})?)$"
DEVICES = ("auto", "cpu", "cuda", "cuda:N", "mps")
"""What is of the form of DEVICE; N is a number from 0."""


class Web(Struct, frozen=True, kw_only=True):
    """The page. Any address but this computer's own needs ``public``."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8427
    public: bool = False
    names: tuple[Text, ...] = ()
    """What a browser may call a public page: the host in its address, with the port if it shows one."""
    open_browser: bool = True


class Rules(Struct, frozen=True, kw_only=True):
    """``words``: a prompt with one of these whole words is refused; if ``spaced``, also s p e l t out.

    ``patterns`` (RE2: linear time, no back-references) refuse what they find; ``allowed`` are phrases that
    are always innocent.
    """

    words: tuple[Text, ...] = ()
    spaced: bool = True
    patterns: tuple[Text, ...] = ()
    allowed: tuple[Text, ...] = ()


class Discord(Struct, frozen=True, kw_only=True):
    """Where Discord's interface is (another root is for tests and proxies), and the bot's token."""

    api_root: Url = "https://discord.com/api/v10"
    token: Secret | None = None


class Telegram(Struct, frozen=True, kw_only=True):
    """Where Telegram's interface is (another root is a Bot API server of one's own), and the bot's token.

    With a ``webhook`` (the public address that a proxy passes on to ``webhook_host:webhook_port``) Telegram
    calls us; without one we ask it.
    """

    api_root: Url = "https://api.telegram.org"
    webhook: Annotated[str, Meta(pattern="^(https://[^ ]+)?$", max_length=500)] = ""
    webhook_host: Text = "127.0.0.1"
    webhook_port: Annotated[int, Meta(ge=1, le=65_535)] = 8443
    token: Secret | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator decided, checked."""

    data_dir: Path = ROOT / "data"
    language: Literal["en", "es"] = "en"
    """What is spoken to people whose language is not known."""
    models: tuple[ModelSpec, ...] = ()
    """Every model on offer; the built-in one is always the first."""
    default_model: str = "builtin"
    daily_credits: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    queue_limit: Annotated[int, Meta(ge=1, le=1_000)] = 20
    """Jobs one person may have waiting."""
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """Days until a picture without a star is deleted; 0 keeps them."""
    safety: Annotated[str, Meta(max_length=500)] = ""
    """The classifier that looks at finished pictures: ``builtin``, a folder, or a hub id with its commit;
    ``off``: none does. "": ``builtin``, but not at what the built-in model draws from words alone."""
    safety_level: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.7
    """The chance to be for adults only from which on a picture is flagged."""
    device: Annotated[str, Meta(pattern=DEVICE)] = "auto"
    engines: Annotated[int, Meta(ge=1, le=16)] = 1
    """Inference processes: one a GPU; on a CPU they share its cores."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    styles: Mapping[str, str] = field(default_factory=dict)
    """Name → template of a prompt: ``{prompt}, 3d``."""
    web: Web = field(default_factory=Web)
    rules: Rules = field(default_factory=Rules)
    discord: Discord = field(default_factory=Discord)
    telegram: Telegram = field(default_factory=Telegram)
    path: Path | None = None
    """The file it was read from."""

    @property
    def checker(self) -> str:
        """The classifier that every engine has; "": none."""
        return {"": STOCK, OFF: ""}.get(self.safety, self.safety)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: ``what`` is a code, ``suggestion`` what was probably meant (or nothing)."""

    key: str
    what: str
    suggestion: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


class BadConfig(Exception):  # noqa: N818 - it names the file
    """Everything that is wrong with the configuration; ``bot.texts.problems`` says it.

    ``models`` are those of the operator's whose ``source`` can be read: their files may be looked at.
    """

    def __init__(
        self, problems: Iterable[Problem], path: Path | None = None, models: Iterable[ModelSpec] = ()
    ) -> None:
        self.problems = tuple(problems)
        self.path = path
        self.models = tuple(models)
        super().__init__("; ".join(f"{each.key}: {each.what}" for each in self.problems))


SECTIONS: dict[str, type[Struct]] = {"web": Web, "rules": Rules, "discord": Discord, "telegram": Telegram}
TABLES = ("models", "styles")
"""Tables whose keys are names of the operator's choice."""
TOP = (
    "language", "default_model", "daily_credits", "queue_limit", "retention_days", "device", "engines",
    "safety", "safety_level",
    "log_level",
)  # fmt: skip
"""Keys outside of all tables that are checked by their type alone; ``data_dir`` is a path."""
SECRETS = {"discord": "DISCORD_TOKEN", "telegram": "TELEGRAM_TOKEN"}
"""Table → the environment variable with its token."""


def spoken_here(environment: Mapping[str, str]) -> str:
    """The language of this machine as its environment says; nothing if it says none (``C``)."""
    names = ("FALOPITAS_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
    said = next((environment[name] for name in names if environment.get(name)), "")
    language = said.partition(".")[0].replace("-", "_").partition("_")[0].casefold()
    return "" if language in {"", "c", "posix"} else "es" if language == "es" else "en"


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration in ``path``, else in ``$FALOPITAS_CONFIG``, else ``falopitas.toml`` of the checkout.

    Raises BadConfig with every problem at once.
    """
    usual = ROOT / "falopitas.toml"
    file = path or (Path(environ["FALOPITAS_CONFIG"]) if environ.get("FALOPITAS_CONFIG") else None)
    file = file or (usual if usual.exists() else None)
    document = _document(file) if file else {}
    reader = _Reader(document, file.resolve().parent if file else ROOT)
    config = reader.config(_environment(reader.folder / ".env", environ))
    if reader.problems:
        unclear = {each.key for each in reader.problems}
        models = [spec for spec in config.models[1:] if f"models.{spec.name}.source" not in unclear]
        raise BadConfig(reader.problems, file, models)
    return replace(config, path=file)


def _document(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        problem = Problem("", "no_file", values={"file": str(file)})
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem("", "unreadable", values={"file": str(file), "reason": type(error).__name__})
    except tomllib.TOMLDecodeError as error:
        problem = Problem("", "not_toml", values={"file": str(file), "reason": str(error)})
    raise BadConfig([problem], file)


def _environment(file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment over what ``.env`` adds to it; an unreadable ``.env`` adds nothing."""
    try:
        return parse_env(file.read_text("utf-8")) | dict(environ)
    except (OSError, UnicodeDecodeError):
        return dict(environ)


class _Reader:
    """Reads a document key by key and keeps every problem; after one it goes on with the default."""

    def __init__(self, document: Mapping[str, Any], folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.problems: list[Problem] = []

    def config(self, environment: Mapping[str, str]) -> Config:
        """What the document says, with the environment's secrets."""
        types = {each.name: each.type for each in _fields_of_config()}
        self._unknown("", self.document, (*TOP, "data_dir", *TABLES, *SECTIONS))
        values: dict[str, Any] = {
            key: self._value(key, self.document[key], types[key]) for key in TOP if key in self.document
        }
        values = {key: value for key, value in values.items() if value is not None}
        values.setdefault("language", spoken_here(environment) or "en")
        models = self._models()
        if values.get("safety", "") not in ("", STOCK, OFF):
            values["safety"] = self._source("safety", values["safety"])
        config = Config(
            data_dir=self._data_dir(environment),
            models=models,
            styles=self._styles(),
            **{name: self._section(name, shape, environment) for name, shape in SECTIONS.items()},
            **values,
        )
        self._together(config)
        return config

    def _report(self, key: str, what: str, suggestion: str = "", **values: object) -> None:
        self.problems.append(Problem(key, what, suggestion, values))

    def _unknown(self, table: str, found: Iterable[str], known: Iterable[str]) -> None:
        for key in found:
            if key in known:
                continue
            secret = SECRETS.get(table) if key == "token" else None
            if secret:
                self._report(f"{table}.{key}", "secret_in_file", secret)
            else:
                self._report(_join(table, key), "unknown_key", _nearest(table, key, known))

    def _value(self, key: str, value: object, kind: Any) -> Any:
        """``value`` as ``kind``, or None and a problem."""
        try:
            converted = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            what, facts = _expected(inspect.type_info(kind))
            choices = str(facts.get("choices", "")).split(", ") if isinstance(value, str) else []
            near = _OTHER_NAMES.get(str(value).casefold()) if what == "device" else None
            near = near or _first(difflib.get_close_matches(str(value), choices, 1))
            self._report(key, what, near, **facts)
            return None
        if isinstance(converted, float) and not math.isfinite(converted):
            self._report(key, "number", **_expected(inspect.type_info(kind))[1])
            return None
        return converted

    def _table(self, key: str) -> Mapping[str, Any]:
        table = self.document.get(key, {})
        if isinstance(table, dict):
            return table
        self._report(key, "table", head="[models.mine]" if key == "models" else f"[{key}]")
        return {}

    def _fields(self, key: str, table: Mapping[str, Any], shape: type[Struct], skip: str) -> dict[str, Any]:
        """The fields of ``shape`` that stand in ``table``, converted; unknown ones are problems."""
        kinds = {each.name: each.type for each in msgspec.structs.fields(shape) if each.name != skip}
        self._unknown(key, table, kinds)
        read = {
            name: self._value(f"{key}.{name}", value, kinds[name])
            for name, value in table.items()
            if name in kinds
        }
        return {name: value for name, value in read.items() if value is not None}

    def _section(self, name: str, shape: type[Struct], environment: Mapping[str, str]) -> Any:
        values = self._fields(name, self._table(name), shape, skip="token")
        if name in SECRETS and environment.get(SECRETS[name], "").strip():
            values["token"] = Secret(environment[SECRETS[name]].strip())
        self._patterns(f"{name}.patterns", values.get("patterns", ()))
        return shape(**values)

    def _patterns(self, key: str, patterns: Iterable[str]) -> None:
        """Is each a pattern? A text that is none would refuse nothing, and nobody would know."""
        for text in patterns:
            if fault := fault_of(text):
                near = f"'{fault.instead}'" if 0 < len(fault.instead) <= 80 and "'" not in text else ""
                self._report(key, f"pattern.{fault.kind}", near, text=text[:80], part=fault.part)

    def _data_dir(self, environment: Mapping[str, str]) -> Path:
        chosen = environment.get("FALOPITAS_DATA") or self.document.get("data_dir", "")
        if not isinstance(chosen, str):
            self._report("data_dir", "text")
        if not chosen or not isinstance(chosen, str):
            return ROOT / "data"
        return self.folder / Path(chosen).expanduser()

    def _styles(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name, template in self._table("styles").items():
            if not re.fullmatch(NAME, name) or name == NO_STYLE:
                self._report(f"styles.{name}", "bad_name")
            elif not isinstance(template, str) or not _is_template(template):
                self._report(f"styles.{name}", "style", "{prompt}, " + name)
            else:
                found[name] = template
        return found

    def _models(self) -> tuple[ModelSpec, ...]:
        found = [builtin()]
        for name, table in self._table("models").items():
            key = f"models.{name}"
            if name == found[0].name:
                self._report(key, "reserved_model")
            elif not re.fullmatch(NAME, name):
                self._report(key, "bad_name")
            elif not isinstance(table, dict):
                self._report(key, "table", head=f"[{key}]")
            else:
                found.append(self._model(name, key, table))
        return tuple(found)

    def _model(self, name: str, key: str, table: Mapping[str, Any]) -> ModelSpec:
        values = self._fields(key, table, ModelSpec, skip="name")
        if "source" not in table:
            self._report(f"{key}.source", "no_source")
        elif isinstance(values.get("source"), str):
            values["source"] = self._source(f"{key}.source", values["source"])
        spec = ModelSpec(name=name, **values)
        self._fits(key, spec)
        return spec

    def _source(self, key: str, source: str) -> str:
        """A path made absolute, a hub id as it is."""
        path = self.folder / Path(source).expanduser()
        looks_like_a_path = source.startswith((".", "~", "/")) or Path(source).suffix in SUFFIXES
        if looks_like_a_path or path.exists() or "\\" in source:
            return str(path)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[0-9a-f]{40})?", source):
            self._report(key, "source")
        return source

    def _fits(self, key: str, spec: ModelSpec) -> None:
        """Is what is usual for the model something that it can draw?"""
        for width, height in spec.sizes or ((spec.width, spec.height),):
            sides_fit = not spec.sizes and (width % spec.multiple or height % spec.multiple)
            if not (16 <= width <= 2_048 and 16 <= height <= 2_048) or sides_fit:
                self._report(f"{key}.sizes" if spec.sizes else f"{key}.width", "side", multiple=spec.multiple)
        if spec.sizes and (spec.width, spec.height) not in spec.sizes:
            self._report(f"{key}.sizes", "own_size", size=f"{spec.width}x{spec.height}")
        if not spec.sizes and spec.width * spec.height > spec.max_pixels:
            self._report(f"{key}.max_pixels", "too_few_pixels", pixels=spec.width * spec.height)
        if spec.steps > spec.max_steps:
            self._report(f"{key}.steps", "too_many_steps", limit=spec.max_steps)
        if spec.sampler not in SAMPLERS:
            near = _first(difflib.get_close_matches(spec.sampler, SAMPLERS, 1))
            self._report(f"{key}.sampler", "choice", near, choices=", ".join(SAMPLERS))

    def _together(self, config: Config) -> None:
        """What two keys say together."""
        names = [spec.name for spec in config.models]
        if config.default_model not in names:
            near = _first(difflib.get_close_matches(config.default_model, names, 1))
            self._report("default_model", "choice", near, choices=", ".join(names))
        if config.engines > 1 and ":" in config.device:  # each process sees one GPU, which is its first
            facts = {"device": config.device, "engines": config.engines}
            self._report("device", "one_gpu", config.device.partition(":")[0], **facts)
        if not config.web.public and not _is_loopback(config.web.host):
            self._report("web.host", "not_public", "public = true", host=config.web.host)


NAME = r"[a-z0-9][a-z0-9_.-]{0,63}"
NO_STYLE = "none"
"""Not the name of a style: ``--style none`` takes a usual style away."""
_OTHER_NAMES = {"gpu": "cuda", "nvidia": "cuda", "metal": "mps", "apple": "mps"}
"""What people call a device."""
SUFFIXES = frozenset({".safetensors", ".ckpt", ".pt", ".bin", ".pth"})


def _fields_of_config() -> tuple[msgspec.structs.FieldInfo, ...]:
    import dataclasses
    import typing

    hints = typing.get_type_hints(Config, include_extras=True)
    return tuple(
        msgspec.structs.FieldInfo(name=each.name, encode_name=each.name, type=hints[each.name])
        for each in dataclasses.fields(Config)
    )


def _expected(info: inspect.Type) -> tuple[str, dict[str, Any]]:
    """What a value of this type should have been: a code, and the bounds that its sentence names."""
    facts: dict[str, Any] = {}
    match info:
        case inspect.IntType() | inspect.FloatType():
            what = "whole_number" if isinstance(info, inspect.IntType) else "number"
            facts = {"low": info.ge if info.ge is not None else info.gt or 0, "high": info.le or 0}
        case inspect.BoolType():
            what = "switch"
        case inspect.LiteralType():
            what, facts = "choice", {"choices": ", ".join(str(value) for value in info.values if value)}
        case inspect.VarTupleType():
            what = "texts" if isinstance(info.item_type, inspect.StrType) else "sizes"
        case inspect.StrType() if info.pattern == DEVICE:
            what, facts = "device", {"choices": ", ".join(DEVICES)}
        case inspect.StrType() if "https" in (info.pattern or ""):
            what = "web_address"
        case _:
            what = "text"
    return what, facts


def _nearest(table: str, key: str, known: Iterable[str]) -> str:
    """The key that was probably meant: in the same table, else the same word in another one."""
    near = _first(difflib.get_close_matches(key, list(known), 1))
    if near:
        return _join(table, near)
    for other, shape in SECTIONS.items():
        if key in shape.__struct_fields__ and key != "token":
            return f"{other}.{key}"
    return key if table and key in TOP else ""


def _join(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key


def _first(found: list[str]) -> str:
    return found[0] if found else ""


def _is_template(template: str) -> bool:
    """Does it name ``{prompt}`` once, and nothing else?"""
    try:
        names = [name for _, name, spec, form in string.Formatter().parse(template) if name is not None]
    except ValueError:
        return False
    return names == ["prompt"] and len(template) <= 500 and "{prompt}" in template


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def builtin() -> ModelSpec:
    """The built-in model, as its training described it; a default before there is one."""
    try:
        known = msgspec.json.decode(BUILTIN.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        known = {}
    fields = {name: known[name] for name in ModelSpec.__struct_fields__ if name in known}
    usual = {
        "title": "Falopitas",
        "width": 128,
        "height": 128,
        "sizes": ((128, 128),),
        "guidance": 4.0,
        "steps": 20,
    }
    return msgspec.convert(usual | fields | {"name": "builtin", "source": "builtin"}, ModelSpec)
