"""deploy/run.py: a fresh machine, an old Python, a failed install, a set-up checkout."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from bot.__main__ import app
from bot.texts import say

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "deploy" / "run.py"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("FALOPITAS_VENV", str(tmp_path / "env"))
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    spec = importlib.util.spec_from_file_location("run_under_test", RUN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *words],
        env={**os.environ, "LC_ALL": "", "LANG": "en_US.UTF-8", **environ},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_it_explains_itself_without_setting_anything_up(tmp_path: Path) -> None:
    for language, word in (("en_US.UTF-8", "set up"), ("es_ES.UTF-8", "prepara")):
        said = started("--help", LANG=language, FALOPITAS_VENV=str(tmp_path / "env"))
        assert (said.returncode, said.stderr) == (0, "")
        assert word in said.stdout
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize(("system", "language"), [("en_US.UTF-8", "en"), ("es_ES.UTF-8", "es")])
def test_its_help_names_every_command_as_the_command_line_does(system: str, language: str) -> None:
    said = started("--help", LANG=system).stdout
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        for path in [f"{name} {part}" for part in getattr(command, "commands", ())] or [name]:
            summary = say(language, f"shell.{path.replace(' ', '.')}.summary")
            assert re.search(rf"^ +{path} +{re.escape(summary)}$", said, re.MULTILINE), path


def test_sizes_have_a_comma_in_spanish(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (run.written(0.4), run.written(3)) == ("0.4", "3")
    monkeypatch.setattr(run, "SPANISH", True)
    assert (run.written(0.4), run.written(3)) == ("0,4", "3")


def test_python_37_can_read_it_and_so_be_told_that_it_is_old() -> None:
    ast.parse(RUN.read_text("utf-8"), feature_version=(3, 7))


def test_imports_only_the_standard_library() -> None:
    tree = ast.parse(RUN.read_text("utf-8"))
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert names <= set(sys.stdlib_module_names)


def test_every_sentence_stands_in_two_languages_with_the_same_blanks(run: ModuleType) -> None:
    import string

    for key, (english, spanish) in run.TEXTS.items():
        blanks = [{b for _, b, _, _ in string.Formatter().parse(text) if b} for text in (english, spanish)]
        assert blanks[0] == blanks[1], key


def test_an_old_python_is_told_what_to_install(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(run.platform, "python_version", lambda: "3.9.2")
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    assert run.main([]) == 1
    said = capsys.readouterr().err
    assert "3.11 or newer" in said
    assert "3.9.2" in said


def test_an_old_python_goes_on_in_a_newer_one_of_the_machine(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FALOPITAS_PYTHON", raising=False)
    monkeypatch.setattr(run.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(run.shutil, "which", lambda name: "/there/python3.12" if "3.12" in name else None)
    called: list[list[str]] = []

    def call(command: list[str]) -> int:
        called.append(command)
        return 7

    monkeypatch.setattr(run.subprocess, "call", call)
    with pytest.raises(SystemExit) as left:
        run.too_old()
    assert left.value.code == 7
    assert called[0][:2] == ["/there/python3.12", str(RUN)]
    monkeypatch.delenv("FALOPITAS_PYTHON", raising=False)


def test_who_reads_its_help_may_stop_in_the_middle() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        told = subprocess.run(
            [sys.executable, str(RUN), "--help"], stdout=gone, stderr=subprocess.PIPE, check=False
        )
    assert (told.returncode, told.stderr) == (0, b"")


def test_only_one_takes_the_lock_at_a_time(run: ModuleType, tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("a+b") as first, (tmp_path / ".lock").open("a+b") as second:
        assert run.take(first)
        assert not run.take(second)
        first.close()
        assert run.take(second)


def test_ctrl_c_is_for_the_command_to_answer(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command is a child (Windows): it hears Ctrl-C too, ends in its own time, and says how."""

    class Child:
        waits: Iterator[KeyboardInterrupt | int] = iter([KeyboardInterrupt(), KeyboardInterrupt(), 7])

        def __init__(self, command: list[str]) -> None:
            assert command[1:] == ["-m", "bot"]

        def __enter__(self) -> Child:
            return self

        def __exit__(self, *_: object) -> None:
            assert not list(self.waits), "it was waited for to its end"

        def wait(self) -> int:
            said = next(self.waits)
            if isinstance(said, KeyboardInterrupt):
                raise said
            return said

    monkeypatch.setattr(run, "WINDOWS", True)
    monkeypatch.setattr(run.subprocess, "Popen", Child)
    assert run.start(["-m", "bot"]) == 7


def test_a_missing_venv_module_is_explained(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert run.main([]) == 1
    assert "apt install python3." in capsys.readouterr().err


def test_a_full_disk_is_said_before_anything_is_downloaded(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import collections

    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: usage(10**10, 10**10, 3 * 10**8))
    assert run.main([]) == 1
    said = capsys.readouterr().err
    assert "Only 0.3 GB are free" in said
    assert not run.PYTHON.exists()


@pytest.mark.parametrize("words", [["--torch-index"], ["--torch-index", "imagine"], ["--torch-index="]])
def test_a_torch_index_without_an_address_is_refused(
    run: ModuleType, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(words) == 1
    assert "--torch-index needs an address" in capsys.readouterr().err


def test_a_torch_index_is_taken_off_the_words(run: ModuleType) -> None:
    assert run.torch_index_of(["--torch-index", "https://a.b/c", "imagine", "x"]) == (
        "https://a.b/c",
        ["imagine", "x"],
    )
    assert run.torch_index_of(["--torch-index=https://a.b/c"]) == ("https://a.b/c", [])
    assert run.torch_index_of(["imagine", "--torch-index"]) == ("", ["imagine", "--torch-index"])


def test_an_environment_serves_again_until_its_pins_change(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run.PYTHON.parent.mkdir(parents=True)
    run.PYTHON.touch()
    wanted = run.fingerprint("dev", "")
    assert not run.is_made(wanted)
    run.MARK.write_text(json.dumps(wanted))
    assert run.is_made(wanted)
    assert run.is_made(run.fingerprint("", "")), "the tests' environment also runs the bot"
    assert not run.is_made(run.fingerprint("", "https://a.b/c")), "another torch was asked for"
    run.MARK.write_text(json.dumps(run.fingerprint("", "")))
    assert not run.is_made(wanted), "the bot's environment cannot run the tests"
    pins = tmp_path / "constraints.txt"
    pins.write_text("torch==0.0\n")
    monkeypatch.setattr(run, "PINS", pins)
    assert not run.is_made(run.fingerprint("", ""))


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '"x"'])
def test_a_damaged_mark_means_set_up_again(run: ModuleType, content: str) -> None:
    run.VENV.mkdir()
    run.MARK.write_text(content)
    assert not run.is_made(run.fingerprint("", ""))


def test_every_library_it_installs_is_pinned(run: ModuleType) -> None:
    import re

    table = run.project()
    libraries = table["dependencies"] + [
        one for extra in table["optional-dependencies"].values() for one in extra
    ]
    for library in libraries:
        name = re.split(r"[<\[; ]", library)[0].lower()
        if "win32" not in library:
            assert "==" in run.pin(name) or "==" in run.pin(name.replace("-", "_")), name


@pytest.mark.slow
def test_a_failed_install_says_what_to_do_and_the_next_try_goes_on(tmp_path: Path) -> None:
    """A real environment, and a pip that finds nothing."""
    venv = str(tmp_path / "env")
    first = started(
        "version",
        FALOPITAS_VENV=venv,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
        PIP_CONFIG_FILE=os.devnull,
    )
    assert first.returncode == 1
    assert "run the same command again" in first.stderr
    assert "Traceback" not in first.stderr
    again = started(
        "version",
        FALOPITAS_VENV=venv,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
        PIP_CONFIG_FILE=os.devnull,
        LANG="es_AR.UTF-8",
    )
    assert again.returncode == 1
    assert "ejecuta la misma orden" in again.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    said = started("version", FALOPITAS_VENV=str(tmp_path / "env"))
    assert said.returncode == 1
    assert "Cannot write to" in said.stderr


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("in the way")
    said = started("version", FALOPITAS_VENV=str(tmp_path / "env" / "deeper"))
    assert said.returncode == 1
    assert "Cannot write to" in said.stderr
    assert "Traceback" not in said.stderr
