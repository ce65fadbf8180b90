"""What the command line says of itself: help and mistakes, each wholly in the person's language."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from bot import __main__, logs, usage
from bot.__main__ import app, main
from bot.texts import LANGUAGES, say

SYSTEM = {"en": "en_US.UTF-8", "es": "es_ES.UTF-8"}
ENGLISH = ("Usage", "Options", "Commands", "Show", "Missing", "Invalid", "No such", "Error", "missing", "Did")
"""Words of Typer's and of our own English, none of which a Spanish reader sees."""


class Shell:
    """The command line in this process: what is typed, and what comes back."""

    def __init__(self, patch: pytest.MonkeyPatch, caught: pytest.CaptureFixture[str]) -> None:
        self._patch, self._caught = patch, caught
        for name in ("FALOPITAS_LANG", "LC_ALL", "LC_MESSAGES", "LANG", "FALOPITAS_CONFIG"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "excepthook", sys.excepthook)

    def speak(self, language: str) -> None:
        self._patch.setenv("LANG", SYSTEM[language])

    def configured(self, file: Path) -> None:
        self._patch.setenv("FALOPITAS_CONFIG", str(file))

    def say(self, *words: str) -> tuple[object, str, str]:
        """Exit code, standard output, standard error."""
        self._patch.setattr(sys, "argv", ["falopitas", *words])
        with pytest.raises(SystemExit) as left:
            main()
        said = self._caught.readouterr()
        return left.value.code, said.out, said.err


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


def paths() -> list[tuple[str, ...]]:
    """Every command, and every group of them."""
    root: Any = typer.main.get_command(app)
    below = [(name, each) for name, each in root.commands.items()]
    deeper = [(name, part) for name, each in below for part in getattr(each, "commands", ())]
    return [(), *((name,) for name, _ in below), *deeper]


@pytest.mark.parametrize("words", paths(), ids=" ".join)
def test_every_help_is_in_one_language(shell: Shell, words: tuple[str, ...]) -> None:
    """Every option has its words, and no line of it is the same in both; ``--json`` and its kin are names."""
    said = {}
    for language in LANGUAGES:
        shell.speak(language)
        code, said[language], err = shell.say(*words, "--help")
        assert (code, err) == (0, "")
        assert max(map(len, said[language].splitlines())) <= usage.WIDEST
    assert not [word for word in ENGLISH if word in said["es"]]
    lines = {
        language: {line for line in text.splitlines() if line.strip()} for language, text in said.items()
    }
    assert not {line for line in lines["en"] & lines["es"] if not line.strip().startswith("--")}


def test_the_help_of_a_group_is_shown_without_a_word(shell: Shell) -> None:
    shell.speak("es")
    for words in ((), ("config",)):
        assert shell.say(*words) == shell.say(*words, "--help")


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        ("nonsense", "no_subcommand", "nonsense"),
        ("simulat", "no_subcommand_near", "simulate"),
        ("config chek", "no_subcommand_near", "check"),
        ("--x", "no_option", "--x"),
        ("doctor --xyz", "no_option", "--xyz"),
        ("doctor --confg=3", "no_option_near", "--config"),
        ("models --config", "option_needs_one", "--config"),
        ("imagine fox --out", "option_needs_one", "--out"),
        ("imagine fox --json=3", "option_takes_none", "--json"),
        ("restore", "no_argument", "restore --help"),
        ("restore a b", "more_words", "b"),
        ("version 3", "more_words", "3"),
        ("simulate --mix nobody", "option_choice", "newcomers"),
        ("simulate --engines 65", "option_range", "64"),
        ("simulate --engines many", "option_range", "64"),
        ("simulate --seed x", "option_number", "--seed 7"),
    ],
)
def test_words_that_cannot_be_read_get_a_sentence_in_the_persons_language(
    shell: Shell, words: str, code: str, hint: str
) -> None:
    said = {}
    for language in LANGUAGES:
        shell.speak(language)
        left, out, said[language] = shell.say(*words.split())
        assert (left, out) == (__main__.USAGE, "")
        assert hint in said[language]
        assert len(said[language].splitlines()) == 2, "a sentence and a next step"
    assert not set(said["en"].splitlines()) & set(said["es"].splitlines())
    assert not [word for word in ENGLISH if word in said["es"]]
    if code != "option_needs_one":  # there --json would be the value, and a picture be drawn
        left, out, err = shell.say(*words.split(), "--json")
        assert (left, err) == (__main__.USAGE, "")
        assert json.loads(out)["error"] in {code, "no_option", "no_option_near"}  # or --json is none of its


def test_without_a_language_of_the_system_it_is_the_configurations(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "falopitas.toml"
    file.write_text('language = "es"\n')
    assert shell.say("nonsense")[2].startswith("There is no")
    shell.configured(file)
    assert shell.say("nonsense")[2].startswith("No existe")
    assert shell.say("--help")[1].startswith("Uso:")
    assert usage.tongue({}, file) == "es"
    shell.speak("en")
    assert shell.say("--help")[1].startswith("Usage:")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("words", "left", "code"),
    [
        ("imagine fox --json -o fox.jpg", __main__.REFUSED, "out_not_png"),
        ("imagine fox --json --config nowhere.toml", __main__.USAGE, "configuration"),
        ("imagine fox --json --picture nowhere.png", __main__.REFUSED, "no_picture_file"),
    ],
)
def test_an_error_for_a_program_is_one_object_on_standard_output(
    shell: Shell, language: str, words: str, left: int, code: str
) -> None:
    shell.speak(language)
    assert shell.say(*words.replace("--json ", "").split())[1] == "", "the control: people read it elsewhere"
    done, out, err = shell.say(*words.split())
    assert (done, err) == (left, "")
    found = json.loads(out)
    assert out.count("\n") == 1
    assert found["error"] == code
    assert len(found["text"]) > 10


def test_a_bug_for_a_program_is_an_object_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["falopitas", "imagine", "fox", "--json"])
    monkeypatch.setattr(logs, "where", lambda: "the log")
    with pytest.raises(SystemExit) as left:
        __main__._broke(ValueError, ValueError("none of your business"), None)
    assert left.value.code == __main__.BROKEN
    said = json.loads(shell._caught.readouterr().out)
    assert said["error"] == "broken"
    assert said["ref"] in said["text"]
    assert "business" not in said["text"]
    assert say("en", "cli.broken", ref=said["ref"], folder="the log") == said["text"]
