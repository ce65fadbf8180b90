#!/usr/bin/env python3
"""Set Falopitas up and start it: one command on a fresh machine, standard library only.

    python3 deploy/run.py                    set up, start the bot, print the page's address
    python3 deploy/run.py test [--all] ...   set up and run the tests (--all: the slow ones too)
    python3 deploy/run.py lint               set up and run ruff, mypy, the import contracts
    python3 deploy/run.py WORDS ...          set up and run `falopitas WORDS ...`

Before the words, --torch-index URL takes torch from that package index (for example the CPU build). The
environment is ``.venv`` in the checkout (or the folder that FALOPITAS_VENV names), made from
``deploy/constraints.txt`` and made again only when that, pyproject.toml or Python changed.
"""

# An old Python (3.7) must at least be able to read this file, to be told that it is old.
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("FALOPITAS_VENV") or ROOT / ".venv").absolute()
WINDOWS = os.name == "nt"
BIN = VENV / ("Scripts" if WINDOWS else "bin")
PYTHON = BIN / ("python.exe" if WINDOWS else "python")
MARK = VENV / "falopitas.json"
PINS = ROOT / "deploy" / "constraints.txt"
OLDEST = (3, 11)
NEWEST_MINOR = 14
SIZES = {"cpu": (0.4, 1.7), "cuda": (3.0, 8.0)}
"""About how many GB are downloaded and then lie on the disk, with torch's CPU and its CUDA build."""

_LANGUAGE = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
SPANISH = _LANGUAGE.lower().startswith("es")

TEXTS = {
    "help": (
        "Set Falopitas up and start it.\n\n"
        "  python3 deploy/run.py                    set up, start the bot, print the page's address\n"
        "  python3 deploy/run.py test [--all] ...   set up and run the tests (--all: the slow ones too)\n"
        "  python3 deploy/run.py lint               set up and run ruff, mypy, the import contracts\n"
        "  python3 deploy/run.py COMMAND ...        set up and run one of these, with its options:\n\n"
        "    run           Start the bot and the page; stop it with Ctrl-C.\n"
        "    imagine       Draw from your words: the grid into a file, the single pictures beside it.\n"
        "    models        The models on offer and how they are.\n"
        "    doctor        Check everything the bot needs, a line each: ok, or what to do.\n"
        "    simulate      What if: the real scheduling on a virtual clock, against other ways to share.\n"
        "    stats         How well the times that people were told were kept.\n"
        "    backup        Copy the database, in use or not, and prove the copy.\n"
        "    restore       Put a backup in the place of the database; the bot must not run.\n"
        "    version       Versions of Falopitas and of Python.\n"
        "    config check  Name everything that is wrong with the configuration and the models' files.\n"
        "\nHow each is written: python3 deploy/run.py COMMAND --help\n\n"
        "Before these words, --torch-index URL takes torch from that package index. The environment is\n"
        "{path} (FALOPITAS_VENV names another folder); it is made the first time only.",
        "Prepara Falopitas y lo arranca.\n\n"
        "  python3 deploy/run.py                    prepara, arranca el bot y da la dirección de la página\n"
        "  python3 deploy/run.py test [--all] ...   prepara y pasa las pruebas (--all: también las lentas)\n"
        "  python3 deploy/run.py lint               prepara y pasa ruff, mypy y los contratos de imports\n"
        "  python3 deploy/run.py ORDEN ...          prepara y ejecuta una de estas, con sus opciones:\n\n"
        "    run           Arranca el bot y la página; se para con Ctrl-C.\n"
        "    imagine       Dibuja lo que digan tus palabras en un archivo, y las imágenes sueltas al lado.\n"
        "    models        Los modelos que hay y cómo están.\n"
        "    doctor        Revisa todo lo que el bot necesita, una línea cada cosa: bien, o qué hacer.\n"
        "    simulate      ¿Y si…?: el reparto real en un reloj virtual, contra otros modos de repartir.\n"
        "    stats         Qué tan bien se cumplieron los tiempos que se dijeron.\n"
        "    backup        Copia la base de datos, esté en uso o no, y comprueba la copia.\n"
        "    restore       Pone una copia en lugar de la base de datos; el bot no puede estar en marcha.\n"
        "    version       Las versiones de Falopitas y de Python.\n"
        "    config check  Dice todo lo que está mal en la configuración y los archivos de los modelos.\n"
        "\nCómo se escribe cada una: python3 deploy/run.py ORDEN --help\n\n"
        "Delante de estas palabras, --torch-index URL toma torch de ese índice. El entorno está en\n"
        "{path} (FALOPITAS_VENV nombra otra carpeta); solo se crea la primera vez.",
    ),
    "old": (
        "Falopitas needs Python {want} or newer; this is {have}. Install it (python.org, your package manager"
        " or `uv python install 3.12`) and run:  python3.12 deploy/run.py",
        "Falopitas necesita Python {want} o más nuevo; este es {have}. Instálalo (python.org, tu gestor de"
        " paquetes o `uv python install 3.12`) y ejecuta:  python3.12 deploy/run.py",
    ),
    "newer": (
        "This Python is {have}; going on with {path}.",
        "Este Python es {have}; sigo con {path}.",
    ),
    "venv": (
        "This Python has no venv module. On Debian and Ubuntu:  sudo apt install python{v}-venv   then run"
        " this command again.",
        "A este Python le falta el módulo venv. En Debian y Ubuntu:  sudo apt install python{v}-venv   y"
        " vuelve a ejecutar esta orden.",
    ),
    "plan": (
        "Setting up in {path}: about {down} GB to download, {disk} GB on disk. Only the first time.",
        "Preparo todo en {path}: unos {down} GB de descarga, {disk} GB en disco. Solo la primera vez.",
    ),
    "cuda": (
        "That is torch with CUDA, for NVIDIA cards. Without one, the CPU build is far smaller:\n"
        "  python3 deploy/run.py --torch-index https://download.pytorch.org/whl/cpu",
        "Es torch con CUDA, para tarjetas NVIDIA. Si no tienes una, la versión para CPU es mucho menor:\n"
        "  python3 deploy/run.py --torch-index https://download.pytorch.org/whl/cpu",
    ),
    "disk": (
        "Only {free} GB are free in {path}, and {disk} GB are needed. Free some space, or set FALOPITAS_VENV"
        " to a folder on a larger disk.",
        "Solo quedan {free} GB libres en {path} y hacen falta {disk} GB. Libera espacio, o pon en"
        " FALOPITAS_VENV una carpeta en un disco mayor.",
    ),
    "step": ("[{n}/{of}] {what}", "[{n}/{of}] {what}"),
    "making": ("making the environment", "creo el entorno"),
    "torch": ("installing torch (the large one)", "instalo torch (lo más grande)"),
    "rest": ("installing the other libraries", "instalo las demás bibliotecas"),
    "self": ("installing falopitas itself", "instalo falopitas"),
    "ready": ("Ready in {seconds} s.\n", "Listo en {seconds} s.\n"),
    "waiting": (
        "Another run.py is setting up this environment; waiting for it.",
        "Otro run.py está preparando este entorno; lo espero.",
    ),
    "failed": (
        "The installation stopped (step: {what}). Nothing is broken: run the same command again and it goes"
        " on.\n- No network, or a proxy? Set HTTPS_PROXY, or PIP_INDEX_URL for a mirror.\n- A library has no"
        " build for this machine? Python 3.11 to 3.13 on 64-bit Linux, macOS or Windows has one.\n- Still"
        " stuck? Delete {path} and start afresh.",
        "La instalación se detuvo (paso: {what}). No se rompió nada: ejecuta la misma orden y sigue.\n- ¿Sin"
        " red, o con proxy? Define HTTPS_PROXY, o PIP_INDEX_URL para un espejo.\n- ¿Una biblioteca no tiene"
        " versión para esta máquina? Python 3.11 a 3.13 en Linux, macOS o Windows de 64 bits sí.\n- ¿Sigue"
        " igual? Borra {path} y empieza de nuevo.",
    ),
    "index": (
        "--torch-index needs an address, for example https://download.pytorch.org/whl/cpu",
        "--torch-index necesita una dirección, por ejemplo https://download.pytorch.org/whl/cpu",
    ),
    "unreachable": (
        "torch comes from {index}. If that cannot be reached from here, leave --torch-index out: the usual"
        " package index has torch too (with CUDA on Linux, larger).",
        "torch viene de {index}. Si desde aquí no se llega, deja fuera --torch-index: el índice habitual"
        " también tiene torch (en Linux con CUDA, mayor).",
    ),
    "unwritable": (
        "Cannot write to {path} ({why}). Set FALOPITAS_VENV to a folder of yours, or change its owner.",
        "No puedo escribir en {path} ({why}). Pon en FALOPITAS_VENV una carpeta tuya, o cambia su dueño.",
    ),
}


def say(key: str, **values: object) -> None:
    """Print a sentence of TEXTS in the person's language, on standard error: stdout is the command's."""
    shown = {name: written(value) for name, value in values.items()}
    print(text(key).format(**shown), file=sys.stderr, flush=True)


def written(value: object) -> str:
    """Return a value as the person's language writes it: decimals have a comma in Spanish."""
    return str(value).replace(".", ",") if SPANISH and isinstance(value, float) else str(value)


def text(key: str) -> str:
    """Return a phrase of TEXTS in the person's language."""
    return TEXTS[key][SPANISH]


class Stop(Exception):  # noqa: N818 - not an error: a sentence was said, leave with exit status 1
    """A sentence was said; leave with exit status 1."""


def too_old() -> None:
    """Go on in a newer Python of this machine if this one is too old, or say what to do. Raises Stop."""
    if sys.version_info >= OLDEST:
        return
    have = platform.python_version()
    for minor in range(NEWEST_MINOR, OLDEST[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer and not os.environ.get("FALOPITAS_PYTHON"):
            say("newer", have=have, path=newer)
            os.environ["FALOPITAS_PYTHON"] = newer  # the newer one may be a link to this one: ask once only
            raise SystemExit(subprocess.call([newer, str(Path(__file__).resolve()), *sys.argv[1:]]))
    say("old", want=".".join(map(str, OLDEST)), have=have)
    raise Stop


def no_venv() -> bool:
    """Whether the parts of Python that make environments are missing (Debian packs them apart)."""
    try:
        import ensurepip  # noqa: F401 - only whether it is there
        import venv  # noqa: F401 - only whether it is there
    except ImportError:
        return True
    return False


def project() -> dict[str, Any]:
    """Return the [project] table of pyproject.toml."""
    import tomllib

    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def fingerprint(extra: str, torch_index: str) -> dict[str, str]:
    """What an environment is made from: it is reused while this stays the same."""
    digest = hashlib.sha256()
    for path in (PINS, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    digest.update(repr((sys.version_info[:2], sys.executable, str(ROOT))).encode())
    return {"made_from": digest.hexdigest(), "extra": extra, "torch_index": torch_index}


def made() -> dict[str, str]:
    """What the present environment was made from, or {} without a finished one."""
    try:
        return dict(json.loads(MARK.read_text("utf-8")))
    except (OSError, TypeError, ValueError):
        return {}


def is_made(wanted: dict[str, str]) -> bool:
    """Whether the environment there serves: same pins, and at least the extra that is wanted."""
    have = made()
    return (
        PYTHON.exists()
        and have.get("made_from") == wanted["made_from"]
        and wanted["extra"] in ("", have.get("extra"))
        and wanted["torch_index"] in ("", have.get("torch_index"))
    )


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Only one run.py makes an environment at a time; a second one waits. Freed by the system if we die."""
    VENV.mkdir(parents=True, exist_ok=True)
    with (VENV / ".lock").open("a+b") as file:
        if not take(file):
            say("waiting")
            while not take(file):
                time.sleep(0.5)
        yield


def take(file: IO[bytes]) -> bool:
    """Lock the file for us, until it is closed; whether nobody else had."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # Windows says the latter; any other is for the person to hear
        return False
    return True


def pin(name: str) -> str:
    """Return the pinned requirement of a library, from constraints.txt."""
    for line in PINS.read_text("utf-8").splitlines():
        if re.split("[=; ]", line, maxsplit=1)[0].lower() == name:
            return line
    return name


def check_room(download: float, disk: float) -> None:
    """Say what will be downloaded, and stop if the disk cannot take it. Raises Stop. Sizes in GB."""
    say("plan", path=VENV, down=download, disk=disk)
    free = shutil.disk_usage(VENV).free / 1e9
    if free < disk:
        say("disk", path=VENV, free=round(free, 1), disk=disk)
        raise Stop


def pip(what: str, *words: str) -> None:
    """Run pip in the environment, its progress shown. Raises Stop after saying what to do."""
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        *quiet,
        *words,
    ]
    if subprocess.call(command, stdout=sys.stderr):
        say("failed", what=what, path=VENV)
        raise Stop


def make(extra: str, torch_index: str) -> None:
    """Make or mend the environment. Raises Stop, and OSError where it cannot be written."""
    wanted = fingerprint(extra, torch_index)
    if is_made(wanted):
        return
    if no_venv():
        say("venv", v=".".join(map(str, sys.version_info[:2])))
        raise Stop
    with lock():
        if not is_made(wanted):
            build(wanted)


def build(wanted: dict[str, str]) -> None:
    """Install everything, step by step; the mark is written last, so that a broken run is done again."""
    started = time.time()
    wanted["torch_index"] = torch_index = wanted["torch_index"] or made().get("torch_index", "")
    if not made():
        cuda = sys.platform == "linux" and not torch_index
        check_room(*SIZES["cuda" if cuda else "cpu"])
        if cuda and not shutil.which("nvidia-smi"):
            say("cuda")
    with contextlib.suppress(FileNotFoundError):
        MARK.unlink()
    say("step", n=1, of=4, what=text("making"))
    if not PYTHON.exists() and subprocess.call([sys.executable, "-m", "venv", str(VENV)]):
        say("failed", what=text("making"), path=VENV)
        raise Stop
    say("step", n=2, of=4, what=text("torch"))
    try:
        index = ["--index-url", torch_index] if torch_index else []
        pip(text("torch"), "-c", str(PINS), *index, pin("torch"))
    except Stop:
        if torch_index:
            say("unreachable", index=torch_index)
        raise
    say("step", n=3, of=4, what=text("rest"))
    table, extra = project(), wanted["extra"]
    libraries = table["dependencies"] + (table["optional-dependencies"][extra] if extra else [])
    pip(text("rest"), "-c", str(PINS), pin("setuptools"), *libraries)
    say("step", n=4, of=4, what=text("self"))
    pip(text("self"), "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    MARK.write_text(json.dumps(wanted), "utf-8")
    say("ready", seconds=round(time.time() - started))


def start(words: list[str]) -> int:
    """Run the environment's Python with these words; its exit status is ours."""
    command = [str(PYTHON), *words]
    if not WINDOWS:
        os.execv(PYTHON, command)  # noqa: S606 - it replaces this process, so that signals reach it
    with subprocess.Popen(command) as child:
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # it hears Ctrl-C too, and takes its time to end
                return child.wait()


def test(words: list[str]) -> int:
    """Run the tests, from the root: the fast ones, or with --all every one."""
    os.chdir(ROOT)
    # Two at a time, a file by one of them: much of a test is waiting for a process.
    chosen = ["-n", "2", "--dist", "loadfile", *([] if "--all" in words else ["-m", "not slow"])]
    return start(["-m", "pytest", *chosen, *(word for word in words if word != "--all")])


def lint() -> int:
    """Run ruff, mypy and the import contracts; return the worst exit status."""
    os.chdir(ROOT)
    python = str(PYTHON)
    commands = (
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        [str(BIN / "lint-imports")],
    )
    return max(subprocess.call(command) for command in commands)


def torch_index_of(words: list[str]) -> tuple[str, list[str]]:
    """Take a leading --torch-index off the words. Raises Stop if it has no address."""
    if not words or words[0].split("=")[0] != "--torch-index":
        return "", words
    index, rest = (
        (words[0].split("=", 1)[1], words[1:]) if "=" in words[0] else ("".join(words[1:2]), words[2:])
    )
    if "://" not in index:
        say("index")
        raise Stop
    return index, rest


def main(words: list[str]) -> int:
    """Set up, then do what the words say; return the exit status."""
    if words[:1] in (["-h"], ["--help"]):
        print(text("help").format(path=VENV))
        return 0
    try:
        too_old()
        torch_index, words = torch_index_of(words)
        make("dev" if words[:1] in (["test"], ["lint"]) else "", torch_index)
    except Stop:
        return 1
    except OSError as error:
        say("unwritable", path=error.filename or VENV, why=error.strerror)
        return 1
    if words[:1] == ["test"]:
        return test(words[1:])
    if words[:1] == ["lint"]:
        return lint()
    return start(["-m", "bot", *(words or ["run"])])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read it has read enough (`--help | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor is there anything to say about it at the end
