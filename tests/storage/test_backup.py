"""Backups: taken while the bot writes, proved, restored; a damaged one is refused and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from inference import beside
from inference.client import ROOT
from storage import backup, ledger
from storage.database import Database
from storage.opening import connect
from storage.refusal import Refusal
from tests.storage import people


async def fill(database: Database, first: int, last: int) -> None:
    for number in range(first, last):
        await database.write(busy, number)


def busy(tx: sqlite3.Connection, number: int) -> None:
    me = people.meet(tx, f"discord:{number % 7}", grant=10_000_000)
    people.done(tx, me, 1 + number % 4)


async def test_a_copy_taken_while_others_write_is_one_sound_moment(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "live.db")
    await fill(database, 0, 60)
    copying = asyncio.create_task(
        asyncio.to_thread(backup.copy, database.path, tmp_path / "b" / "copy.db", 0.002)
    )
    await fill(database, 60, 160)
    assert await copying > 0
    assert not list((tmp_path / "b").glob("*part*"))
    before = await database.read(ledger.audit)
    await database.close()
    restored = await Database.open(tmp_path / "b" / "copy.db")
    jobs = await restored.read(lambda tx: tx.execute("SELECT count(*) FROM job").fetchone()[0])
    assert 60 <= jobs <= 160
    assert before == await restored.read(ledger.audit) == ()
    await restored.close()


async def test_a_restored_database_is_as_it_was_and_the_other_one_is_kept(tmp_path: Path) -> None:
    live = tmp_path / "live.db"
    database = await Database.open(live)
    await fill(database, 0, 20)
    rows = await database.read(lambda tx: tx.execute("SELECT * FROM ledger").fetchall())
    backup.copy(live, tmp_path / "copy.db")
    await fill(database, 20, 30)
    await database.close()
    before = backup.restore(tmp_path / "copy.db", live, "before")
    assert before is not None
    assert before.exists()
    database = await Database.open(live)
    assert await database.read(lambda tx: tx.execute("SELECT * FROM ledger").fetchall()) == rows
    await database.close()


# --- a large one, in a process of its own


def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of many pages, taken for a large one."""
    monkeypatch.setattr(backup, "SMALL", 0)
    path = tmp_path / "large.db"
    connection = connect(path)
    connection.execute("BEGIN")
    for number in range(400):
        busy(connection, number)
    connection.execute("COMMIT")
    connection.close()
    assert path.stat().st_size > 2 * backup.PAGES * 4_096
    return path


def slower(words: Callable[[Path, Path], list[str]], source: Path, target: Path) -> list[str]:
    """So slow that a look at the process never misses it."""
    return [*words(source, target), "0.05"]


async def test_a_large_one_is_copied_by_a_process_that_gives_way_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = large(tmp_path, monkeypatch), tmp_path / "b" / "copy.db"
    monkeypatch.setattr(backup, "_words", partial(slower, backup._words))
    database = await Database.open(path)
    me, nice = psutil.Process(), []
    copying = asyncio.create_task(backup.copied(path, target))

    async def watch() -> None:
        while not copying.done():
            for child in me.children():
                with contextlib.suppress(psutil.Error):
                    nice.append(child.nice())
            await asyncio.sleep(0.005)

    watching, number = asyncio.create_task(watch()), 400
    while not copying.done():
        await fill(database, number, number + 5)
        number += 5
    await watching
    size = await copying
    await database.close()
    assert size == target.stat().st_size
    assert sorted(file.name for file in target.parent.iterdir()) == ["copy.db"]
    if sys.platform != "win32":
        assert max(nice) == min(19, me.nice() + beside.NICE)
    restored = await Database.open(target)
    assert await restored.read(ledger.audit) == ()
    await restored.close()


async def test_what_is_wrong_is_said_by_the_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large(tmp_path, monkeypatch)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE account SET balance = balance + 1")
    connection.close()
    with pytest.raises(Refusal) as caught:
        await backup.copied(path, tmp_path / "b" / "copy.db")
    assert (caught.value.code, caught.value.values["detail"]) == ("backup_bad", "ledger")
    assert list((tmp_path / "b").iterdir()) == []


async def test_a_process_that_dies_made_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = large(tmp_path, monkeypatch)
    words = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(backup, "_words", lambda *_: words)
    with pytest.raises(Refusal) as caught:
        await backup.copied(path, tmp_path / "copy.db")
    assert caught.value.values["detail"] == "exit code 3"


async def slow(path: Path, target: Path) -> asyncio.subprocess.Process:
    """The process, resting for an hour after its first breath."""
    process = await asyncio.create_subprocess_exec(
        *backup._words(path, target), "3600", cwd=ROOT, stdin=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        while not backup.part_of(target).exists():
            await asyncio.sleep(0.02)
    return process


async def test_it_ends_with_its_bot_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also half a copy knows whoever is forgotten meanwhile."""
    path, target = large(tmp_path, monkeypatch), tmp_path / "b" / "copy.db"
    process = await slow(path, target)
    assert process.stdin is not None
    process.stdin.close()  # what the system does for a bot that was killed
    async with asyncio.timeout(60):
        await process.wait()
    assert list((tmp_path / "b").iterdir()) == []


async def test_one_that_is_cut_off_itself_leaves_a_part_that_is_dropped_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = large(tmp_path, monkeypatch), tmp_path / "b" / "copy.db"
    process = await slow(path, target)
    process.kill()
    await process.wait()
    part = backup.part_of(target)
    assert part.exists(), "the control"
    backup.drop_parts(target.parent)
    assert part.exists(), "it may be somebody's"
    os.utime(part, (1.0, 1.0))
    backup.drop_parts(target.parent)
    assert not part.exists()


def sound(tmp_path: Path) -> Path:
    connection = connect(tmp_path / "one.db")
    connection.execute("BEGIN")
    for number in range(40):
        busy(connection, number)
    connection.execute("COMMIT")
    connection.close()
    backup.copy(tmp_path / "one.db", tmp_path / "copy.db")
    return tmp_path / "copy.db"


@pytest.mark.parametrize("kind", ["cut", "flipped", "foreign", "empty", "cooked"])
def test_a_damaged_backup_is_refused_and_nothing_changes(tmp_path: Path, kind: str) -> None:
    copy, live = sound(tmp_path), tmp_path / "one.db"
    data = bytearray(copy.read_bytes())
    match kind:
        case "cut":
            data = data[: len(data) // 2]
        case "flipped":
            rng = random.Random(7)
            for _ in range(400):
                data[rng.randrange(100, len(data))] ^= 0xFF
        case "foreign":
            data = bytearray(b"not a database" * 300)
        case "empty":
            data = bytearray()
    copy.write_bytes(data)
    if kind == "cooked":  # pages are sound, the books are not
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.execute("UPDATE account SET balance = balance + 1")
        connection.close()
    before = live.read_bytes()
    with pytest.raises(Refusal, match="backup_bad"):
        backup.restore(copy, live, "before")
    assert live.read_bytes() == before
    assert not list(tmp_path.glob("one.db.before*"))


def test_the_sound_one_is_not_refused(tmp_path: Path) -> None:
    """The control."""
    copy = sound(tmp_path)
    backup.verify(copy)
    assert backup.restore(copy, tmp_path / "one.db", "before") is not None


def test_pictures_are_copied_once_and_by_content(tmp_path: Path) -> None:
    for name in ("ab", "cd"):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        (folder / f"{name * 32}.png").write_bytes(name.encode() * 9)
    assert backup.copy_pictures(tmp_path / "pictures", tmp_path / "there") == 2
    assert backup.copy_pictures(tmp_path / "pictures", tmp_path / "there") == 0


def test_a_disk_that_is_nearly_full_gets_no_backup_and_no_rest_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is reserved for finishing what runs is not spent on copies."""
    copy = sound(tmp_path)
    copy.unlink()
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 2**20, 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Refusal, match="disk_full"):
        backup.copy(tmp_path / "one.db", copy)
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == []
