"""`falopitas imagine --picture FILE`, as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.opening import connect_reader
from tests.bot.picture_corpus import saved, scene, turned
from tests.flow.test_command_line import Desk, desk

__all__ = ["desk"]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    file = tmp_path / "photograph.jpg"
    file.write_bytes(turned(6))
    return file


def test_a_picture_file_is_where_the_drawing_begins(desk: Desk, photograph: Path) -> None:
    done = desk.do(
        "imagine", "a fox", "--n", "1", "--picture", str(photograph), "--strength", "0.5", "-o", "fox.png"
    )
    assert (done.returncode, done.stderr) == (0, "")
    reader = connect_reader(desk.data / "falopitas.sqlite3")
    ((request, digest),) = reader.execute(
        "SELECT request, digest FROM job JOIN upload ON upload.job = job.id"
    ).fetchall()
    reader.close()
    assert digest in request
    assert '"strength":0.5' in request
    assert (desk.data / "pictures" / digest[:2] / f"{digest}.png").exists()


def test_a_file_that_is_no_picture_or_not_there_is_a_sentence(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("hello")
    for name, word in (("words.txt", "no picture I can read"), ("nothing.png", "nothing.png")):
        done = desk.do("imagine", "a fox", "--picture", name)
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "falopitas.png").exists()


def test_a_picture_may_be_as_large_as_on_the_page_and_no_larger(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(saved(scene(), "PNG") + bytes(21 * 2**20))
    done = desk.do("imagine", "a fox", "--picture", "big.png")
    assert (done.returncode, "20 MiB" in done.stderr) == (1, True)
