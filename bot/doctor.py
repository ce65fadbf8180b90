"""`falopitas doctor`: everything the bot needs, a line each: ok, or what to do."""

from __future__ import annotations

import asyncio
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from bot.config import BadConfig, Config, load
from bot.home import Home
from bot.secret import Secret
from bot.texts import has, problems, say, why_not
from inference.request import ModelSpec
from storage.opening import examine as examine_database
from storage.refusal import Refusal

ROOT = Path(__file__).resolve().parent.parent
PROBE = 120.0
"""Seconds the engine's libraries may take to load from a cold disk."""
NEED_MEMORY, NEED_DISK = 2.0, 2.0
"""Gigabytes without which the built-in model is no pleasure."""
GB = 1e9


@dataclass(frozen=True, slots=True)
class Line:
    """One finding: ``ok``, ``note`` or ``bad``, and what is to be done about it."""

    mark: str
    text: str
    then: str = ""


def examine(
    file: Path | None, environ: Mapping[str, str], language: str, write: Callable[[str], object]
) -> int:
    """Check everything and write a line each; 0 if nothing wants fixing, else 1."""
    bad = False
    for line in findings(file, environ, language):
        bad = bad or line.mark == "bad"
        write(f"{say(language, f'doctor.{line.mark}'):>8}  {line.text}\n")
        if line.then:
            write("".join(f"          {each}\n" for each in line.then.splitlines()))
    write(say(language, "doctor.sum_bad" if bad else "doctor.sum_ok") + "\n")
    return int(bad)


def findings(file: Path | None, environ: Mapping[str, str], language: str) -> Iterator[Line]:
    """Every finding in order, as soon as it is known."""
    doctor = _Doctor(language)
    yield doctor.python()
    try:
        config = load(file, environ)
    except BadConfig as wrong:
        found = probe(wrong.models)
        yield from doctor.engine(found)
        yield Line("bad", "\n".join(problems(language, wrong)))
        yield from doctor.models(wrong.models, found)
        return
    found = probe(config.models)
    yield from doctor.engine(found)
    yield doctor.memory()
    yield doctor.disk(config)
    yield Line("ok", doctor.say("config", file=config.path or say(language, "cli.no_file")))
    yield from doctor.chat("discord", config.discord.token, lambda token: _discord(config, token))
    yield from doctor.chat("telegram", config.telegram.token, lambda token: _telegram(config, token))
    yield from doctor.models(config.models, found)
    yield doctor.safety(config)
    yield doctor.database(config)


def bad_models(models: Sequence[ModelSpec], language: str) -> str:
    """What is wrong with the models' files, looked at without torch; nothing if they are fine."""
    lines = _Doctor(language).models(models, probe(models, "--fast")) if models else ()
    return "\n".join(f"{line.text}\n{line.then}".rstrip() for line in lines if line.mark == "bad")


def probe(models: Sequence[ModelSpec], *more: str) -> dict[str, Any]:
    """What `python -m inference.probe` finds; ``{"reason": …}`` if it does not come to an answer."""
    words, specs = (sys.executable, "-m", "inference.probe", *more), msgspec.json.encode(models)
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            words, cwd=ROOT, input=specs, capture_output=True, timeout=PROBE, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return {"reason": last[0][:200] if last else f"exit code {error.returncode}"}
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return {"reason": type(error).__name__}
    return found


def checker(source: str) -> dict[str, Any]:
    """What `python -m inference.safety` says of a classifier's files: ``ok``, or ``code`` and ``detail``."""
    words = (sys.executable, "-m", "inference.safety", source, "--fast")
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=PROBE, check=False)  # noqa: S603
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return {"code": "model_corrupt", "detail": type(error).__name__}
    return found


class Finding(Protocol):
    """One finding of a chat's own check: its sentence is ``<chat>.check.<what>``."""

    @property
    def mark(self) -> str:
        """``ok``, ``note`` or ``bad``."""

    @property
    def what(self) -> str:
        """Which sentence."""

    @property
    def values(self) -> tuple[tuple[str, object], ...]:
        """What stands in its braces."""


Check: TypeAlias = Callable[[Secret], Coroutine[Any, Any, Sequence[Finding]]]


def _discord(config: Config, token: Secret) -> Coroutine[Any, Any, Sequence[Finding]]:
    from bot.adapters.discord.check import check

    return check(token, config.discord.api_root)


def _telegram(config: Config, token: Secret) -> Coroutine[Any, Any, Sequence[Finding]]:
    from bot.adapters.telegram.check import check

    return check(token, config.telegram.api_root, config.telegram.webhook)


class _Doctor:
    def __init__(self, language: str) -> None:
        self._language = language

    def say(self, key: str, **values: object) -> str:
        return say(self._language, f"doctor.{key}", **values)

    def _judge(self, fine: bool, key: str, **values: object) -> Line:
        then = "" if fine else self.say(f"{key}.next", **values)
        return Line("ok" if fine else "bad", self.say(key, **values), then)

    def python(self) -> Line:
        return self._judge(sys.version_info >= (3, 11), "python", version=platform.python_version())

    def engine(self, found: Mapping[str, Any]) -> Iterator[Line]:
        """What the engine's libraries found: torch, the devices, and each model, loaded for a try."""
        torch = found.get("versions", {}).get("torch")
        if torch is None:
            reason = found.get("reason", "?")
            yield Line("bad", self.say("torch", version="?"), self.say("torch.next", reason=reason))
            return
        yield Line("ok", self.say("torch", version=torch))
        for each in found.get("devices", ()):
            yield Line("ok", self.say("device", device=each.get("device", "?"), name=each.get("name", "")))

    def memory(self) -> Line:
        import psutil

        state = psutil.virtual_memory()
        free, total = state.available / GB, state.total / GB
        return self._judge(
            free >= NEED_MEMORY, "memory", free=round(free, 1), total=round(total, 1), need=NEED_MEMORY
        )

    def disk(self, config: Config) -> Line:
        folder = next(f for f in (config.data_dir, *config.data_dir.absolute().parents) if f.exists())
        free = shutil.disk_usage(folder).free / GB
        return self._judge(free >= NEED_DISK, "disk", free=round(free, 1), folder=config.data_dir)

    def chat(self, name: str, token: Secret | None, check: Check) -> Iterator[Line]:
        """Without a token how to get one; with one what the platform itself says to it, asked now."""
        if token is None:
            yield Line("note", self.say(f"{name}.none"), self.say(f"{name}.none.next"))
            return
        for found in asyncio.run(check(token)):
            key, values = f"{name}.check.{found.what}", dict(found.values)
            then = say(self._language, f"{key}.next", **values) if has(f"{key}.next") else ""
            yield Line(found.mark, say(self._language, key, **values), then)

    def models(self, specs: Sequence[ModelSpec], found: Mapping[str, Any]) -> Iterator[Line]:
        """Each of them, as the probe found it."""
        looked = {str(each.get("name")): each for each in found.get("models", ())}
        for spec in specs:
            yield self.model(spec, looked.get(spec.name, {}))

    def model(self, spec: ModelSpec, looked: Mapping[str, Any]) -> Line:
        """Whether its file is there and what it says it is; ``looked`` is the probe's word on it."""
        text = self.say("model", name=spec.name, source=spec.source)
        if Path(spec.source).is_absolute() and not Path(spec.source).exists():
            return Line("bad", self.say("model.next", name=spec.name, source=spec.source))
        if looked.get("ok", True):
            return Line("ok", text)
        refusal = Refusal(str(looked.get("code")), model=spec.name, detail=looked.get("detail", ""))
        return Line("bad", text, why_not(self._language, refusal))

    def safety(self, config: Config) -> Line:
        """Is there a classifier for finished pictures, and is it one?"""
        if not config.checker:
            return Line("note", self.say("safety.none"), self.say("safety.none.next"))
        what = "safety" if config.safety else "safety.usual"
        looked, text = checker(config.checker), self.say(what, source=config.checker)
        if looked.get("ok"):
            return Line("ok", text)
        refusal = Refusal(
            str(looked.get("code", "model_missing")), model="safety", detail=looked.get("detail", "")
        )
        return Line("bad", text, why_not(self._language, refusal))

    def database(self, config: Config) -> Line:
        home = Home(config.data_dir)
        if not home.database.exists():
            return Line("ok", self.say("database.new", path=home.database))
        try:
            version = examine_database(home.database)
        except Refusal as refusal:
            return Line("bad", str(home.database), why_not(self._language, refusal))
        return Line("ok", self.say("database", path=home.database, sqlite=version))


def versions() -> str:
    """Version of Falopitas, where it lies, and of Python."""
    try:
        ours = metadata.version("falopitas")
    except metadata.PackageNotFoundError:  # run from a checkout
        ours = _of_checkout()
    return f"falopitas {ours} (Python {platform.python_version()}, {platform.system()} {platform.machine()})"


def _of_checkout() -> str:
    import tomllib

    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        return str(project["project"]["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return "?"
