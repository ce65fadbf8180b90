"""doctor: a line each, ok or what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bot import doctor
from bot.texts import LANGUAGES
from storage.database import Database

FOUND = {"versions": {"torch": "2.13"}, "devices": [{"device": "cpu", "name": "AVX512"}]}


def lines(
    monkeypatch: pytest.MonkeyPatch, folder: Path, toml: str = "", found: object = FOUND, language: str = "en"
) -> tuple[int, str]:
    monkeypatch.setattr(doctor, "probe", lambda models: found)
    file = folder / "falopitas.toml"
    file.write_text(toml)
    said: list[str] = []
    code = doctor.examine(file, {"FALOPITAS_DATA": str(folder / "data")}, language, said.append)
    return code, "".join(said)


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, language: str) -> None:
    code, said = lines(monkeypatch, tmp_path, language=language)
    assert code == 0
    assert len(said.splitlines()) >= 9
    assert "{" not in said


def test_an_engine_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, said = lines(monkeypatch, tmp_path, found={"reason": "ImportError: libtorch.so"})
    assert code == 1
    assert "libtorch.so" in said
    assert "deploy/run.py" in said


def test_a_wrong_configuration_is_told_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, said = lines(monkeypatch, tmp_path, '[web]\nprot = 1\n[rules]\npatterns = ["[unclosed"]\n')
    assert code == 1
    assert "web.prot" in said
    assert 'rules.patterns: "[unclosed"' in said


def test_a_wrong_key_hides_no_wrong_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toml = 'prot = 1\n[models.mine]\nsource = "./nowhere.safetensors"\n[models.vague]\nsource = "a b"\n'
    code, said = lines(monkeypatch, tmp_path, toml)
    assert code == 1
    assert all(said.count(hint) == 1 for hint in ("prot:", "nowhere.safetensors", "models.vague.source"))


def test_a_model_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, said = lines(monkeypatch, tmp_path, '[models.mine]\nsource = "./nowhere.safetensors"\n')
    assert code == 1
    assert "nowhere.safetensors" in said


def test_a_model_that_the_probe_refuses_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.ckpt").write_bytes(b"x")
    look = {"name": "mine", "ok": False, "code": "model_pickle", "detail": "mine.ckpt"}
    code, said = lines(
        monkeypatch, tmp_path, '[models.mine]\nsource = "./mine.ckpt"\n', found={**FOUND, "models": [look]}
    )
    assert code == 1
    assert "model_pickle" not in said


async def test_the_database_is_looked_at_and_not_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = await Database.open(tmp_path / "data" / "falopitas.sqlite3")
    await database.close()
    code, said = lines(monkeypatch, tmp_path)
    assert (code, "SQLite" in said) == (0, True)
    (tmp_path / "data" / "falopitas.sqlite3").write_bytes(b"not a database at all" * 100)
    code, said = lines(monkeypatch, tmp_path)
    assert code == 1


def test_tokens_are_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "probe", lambda models: FOUND)
    said: list[str] = []
    tokens = {"DISCORD_TOKEN": "canary-canary", "TELEGRAM_TOKEN": "canary-too"}
    environ = {"FALOPITAS_DATA": str(tmp_path), **tokens}
    nowhere = "".join(f'[{chat}]\napi_root = "http://127.0.0.1:9"\n' for chat in ("discord", "telegram"))
    (tmp_path / "f.toml").write_text(nowhere)
    assert doctor.examine(tmp_path / "f.toml", environ, "en", said.append) == 1
    assert "canary" not in "".join(said)


def test_a_probe_that_fails_or_says_nonsense_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert "reason" in doctor.probe(())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "reason" in doctor.probe(())


def test_versions_name_ours_and_pythons() -> None:
    assert doctor.versions().startswith("falopitas 0.")


@pytest.mark.parametrize(
    ("toml", "word"),
    [("", "stickers"), ('safety = "builtin"', "checked by builtin"), ('safety = "off"', "not checked")],
)
def test_it_says_what_of_the_finished_pictures_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toml: str, word: str
) -> None:
    code, said = lines(monkeypatch, tmp_path, toml)
    assert code == 0
    assert word in said
