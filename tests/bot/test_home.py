"""The data folder: one bot in it, sockets in a short folder of its own."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Config
from bot.copies import back_up
from bot.home import Home
from bot.texts import why_not
from inference.door import LONGEST
from storage.refusal import Refusal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and paths")


def test_one_bot_a_folder_and_the_second_hears_who_is_there(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock():
        with pytest.raises(Refusal) as refused:
            home.lock()
        assert refused.value.code == "already_running"
        assert refused.value.values["pid"] == str(os.getpid())
    home.lock().close()


def test_sockets_lie_in_the_data_folder_or_in_a_short_one_for_the_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "short"
    short.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    near = Home(Path(str(tmp_path)[:40])) if len(str(tmp_path)) < 40 else None
    assert near is None or near.runtime().parent == near.data
    far = Home(deep).runtime()
    assert far.parent == short
    assert far == Home(deep).runtime(), "the same folder every time"
    assert far != Home(deep.parent).runtime()
    assert stat.S_IMODE(far.stat().st_mode) == 0o700
    far.chmod(0o755)
    assert stat.S_IMODE(Home(deep).runtime().stat().st_mode) == 0o700
    assert len(os.fsencode(far / "engine-0123456789abcdef.sock")) <= LONGEST + len(str(tmp_path))


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    folder = Home(deep).runtime()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal):
        Home(deep).runtime()


def test_a_folder_that_cannot_be_made_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Refusal) as refused:
        Home(tmp_path / "file" / "data").make()
    assert refused.value.code == "folder_read_only"
    said = why_not("en", refused.value)
    assert str(tmp_path / "file" / "data") in said
    assert "charged" not in said


async def test_a_backup_into_a_folder_that_cannot_be_made_names_that_folder(tmp_path: Path) -> None:
    database = Home(tmp_path).database
    sqlite3.connect(database).close()
    database.touch()
    (tmp_path / "file").write_text("in the way")
    wanted = tmp_path / "file" / "copies"
    with pytest.raises(Refusal) as refused:
        await back_up(replace(Config(), data_dir=tmp_path), wanted, "en", print)
    said = why_not("en", refused.value)
    assert str(wanted) in said
    assert "charged" not in said
