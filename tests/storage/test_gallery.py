"""Pictures: no row without a file, no file without a row."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import sqlite3
import time
from pathlib import Path

import pytest

from storage import gallery
from storage.gallery import Files
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.people import NOW, drawn, meet

Tx = sqlite3.Connection


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "pictures")


def test_the_grid_is_beside_the_pictures_not_among_them(tx: Tx) -> None:
    """of_job and mine leave it out; it has its own question."""
    me = meet(tx)
    job = people.done(tx, me, grid=True)
    assert [p.index for p in gallery.of_job(tx, job.id)] == [0, 1, 2, 3]
    grid = gallery.grid(tx, job.id)
    assert grid is not None
    assert grid.index == gallery.GRID
    assert len(gallery.mine(tx, me, 99)) == 4
    second = gallery.piece(tx, job.id, 2)
    assert second is not None
    assert (second.job, second.account, second.request, second.created) == (job.id, me, job.request, NOW)
    assert gallery.piece(tx, job.id, 4) is None
    assert gallery.preview(tx, grid.digest) == b"webp"


def test_mine_is_paged_backwards_and_can_be_starred_only(tx: Tx) -> None:
    """``before_id`` is where the last page ended; somebody else's pictures are not there."""
    me = meet(tx)
    people.done(tx, me)
    people.done(tx, meet(tx, "discord:2"))
    page = gallery.mine(tx, me, 3)
    rest = gallery.mine(tx, me, 3, before_id=page[-1].id)
    assert [p.index for p in (*page, *rest)] == [3, 2, 1, 0]
    gallery.star(tx, rest[0].id, True)
    assert [p.id for p in gallery.mine(tx, me, 9, starred=True)] == [rest[0].id]
    gallery.star(tx, rest[0].id, False)
    assert gallery.mine(tx, me, 9, starred=True) == ()


def test_delete_names_only_what_nobody_uses_any_more(tx: Tx) -> None:
    """The same picture in two jobs stays until the second goes."""
    me = meet(tx)
    first = people.done(tx, me)
    shared = gallery.of_job(tx, first.id)[0].digest
    second = people.done(tx, me)
    tx.execute("UPDATE piece SET digest = ? WHERE job = ? AND number = 0", (shared, second.id))
    gone = gallery.delete(tx, first.id)
    assert len(gone) == 3
    assert shared not in gone
    assert gallery.delete(tx, first.id) == ()
    assert shared in gallery.delete(tx, second.id)
    assert gallery.digests(tx) == set()
    with pytest.raises(Refusal, match="picture_gone"):
        gallery.preview(tx, shared)


def test_expire_spares_favourites(tx: Tx) -> None:
    """And takes the grid, which shows what is no longer there."""
    me = meet(tx)
    job = people.done(tx, me, grid=True)
    keep = gallery.of_job(tx, job.id)[1]
    gallery.star(tx, keep.id, True)
    assert gallery.old(tx, NOW, 99) == ()
    found = gallery.old(tx, NOW + 1, 99)
    assert {each.id for each in found} == {i for (i,) in tx.execute("SELECT id FROM piece") if i != keep.id}
    assert [gallery.old(tx, NOW + 1, 1, each) for each in found] == [(each,) for each in found[1:]] + [()]
    assert len(gallery.expire(tx, [keep.id, *(each.id for each in found)])) == 4
    assert [p.id for p in gallery.mine(tx, me, 9)] == [keep.id]
    assert gallery.digests(tx) == {keep.digest}


def test_the_oldest_are_found_by_their_index(tx: Tx) -> None:
    """Every hour, in a gallery of any size: the slice is read, and nothing is sorted."""
    plan = tx.execute(f"EXPLAIN QUERY PLAN {gallery.OLD_SQL}", (0.0, 0, 1.0, 9)).fetchall()
    assert [str(row[-1]).split(" (")[0] for row in plan] == [
        "SEARCH piece USING INDEX piece_age", "SEARCH job USING INTEGER PRIMARY KEY",
    ]  # fmt: skip


# --- files


async def test_what_was_kept_is_loaded(files: Files) -> None:
    """Under its SHA-256, in a folder named by the first two digits; twice is once."""
    digest = await files.keep(b"a picture")
    assert digest == hashlib.sha256(b"a picture").hexdigest()
    assert await files.keep(b"a picture") == digest
    assert await files.load(digest) == b"a picture"
    assert [p.name for p in files.folder.rglob("*.png")] == [f"{digest}.png"]


async def test_a_missing_or_damaged_picture_is_gone_and_heals_when_kept_again(files: Files) -> None:
    """The bytes are checked against the name."""
    digest = await files.keep(b"a picture")
    files.path(digest).write_bytes(b"a pictur!")
    with pytest.raises(Refusal, match="picture_gone"):
        await files.load(digest)
    await files.keep(b"a picture")
    assert await files.load(digest) == b"a picture"
    files.path(digest).unlink()
    with pytest.raises(Refusal, match="picture_gone"):
        await files.load(digest)


async def test_a_folder_that_is_away_is_no_picture_that_is_gone(files: Files) -> None:
    """The disk may come back; nobody is told for good that there is no picture."""
    digest = await files.keep(b"a picture")
    away = files.folder.rename(files.folder.with_name("elsewhere"))
    with pytest.raises(Refusal, match="disk_error"):
        await files.load(digest)
    away.rename(files.folder)
    assert await files.load(digest) == b"a picture"


def spoil(file: Path) -> None:
    """From now on each read of it fails with EIO, as on a bad sector."""
    file.unlink()
    file.symlink_to("/proc/self/mem")


async def test_one_file_that_cannot_be_read_is_no_disk_that_is_away(files: Files) -> None:
    """Others can be read; while none can, or there is no other, the disk is to blame."""
    bad, fine = await files.keep(b"a picture"), await files.keep(b"another")
    spoil(files.path(bad))
    with pytest.raises(Refusal, match="picture_unreadable"):
        await files.load(bad)
    assert await files.load(fine) == b"another"
    spoil(files.path(fine))
    for digest in (bad, fine):
        with pytest.raises(Refusal, match="disk_error"):
            await files.load(digest)
    files.path(fine).unlink()
    with pytest.raises(Refusal, match="disk_error"):
        await files.load(bad)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n", "a/" + "a" * 62]
)
async def test_no_text_becomes_a_path(files: Files, name: str) -> None:
    """Only 64 hexadecimal digits name a file."""
    with pytest.raises(Refusal, match="picture_gone"):
        await files.load(name)


async def test_a_file_is_synced_before_it_has_its_name_and_the_folder_after(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary, fsync, rename, fsync of the folder: so it is there after a power cut, whole."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def sync(handle: int) -> None:
        done.append(Path(f"/proc/self/fd/{handle}").readlink().suffix or "folder")
        fsync(handle)

    def rename(self: Path, target: Path) -> Path:
        done.append(f"{self.suffix}→{target.suffix}")
        return replace(self, target)

    files.folder.mkdir()
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    await files.keep(b"a picture")
    assert done == ["folder", "folder", ".part", ".part→.png", "folder"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EIO, "disk_error"),
        (errno.EROFS, "data_read_only"),
        (errno.EDQUOT, "disk_full"),
    ],
)
async def test_a_failing_disk_is_a_refusal_and_leaves_nothing_behind(
    files: Files, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    """No half-written file, and the next try works."""

    def fail(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(Refusal, match=code):
            await files.keep(b"a picture")
    assert [p for p in files.folder.rglob("*") if p.is_file()] == []
    assert await files.load(await files.keep(b"a picture")) == b"a picture"


async def test_sweep_removes_what_no_row_uses(files: Files) -> None:
    """Leftovers and half-written files; never what a row uses, what is fresh or what is not ours."""
    used, unused, fresh = [await files.keep(text) for text in (b"used", b"unused", b"fresh")]
    half = files.path(unused).with_name(f".{unused}.0a0a0a0a.part")
    half.write_bytes(b"hal")
    (files.folder / "README").write_text("theirs")
    files.settled([used, unused])
    assert await files.sweep({used}, 0.0) == 0
    assert await files.sweep({used}, float("inf")) == 2
    assert {p.stem for p in files.folder.rglob("*") if p.is_file()} == {used, fresh, "README"}


async def test_a_picture_drawn_again_while_its_twin_is_deleted_stays(files: Files) -> None:
    """keep comes before the row: until that is settled the file is not removed."""
    digest = await files.keep(b"twin")
    assert await files.remove([digest]) == 0
    assert await files.load(digest) == b"twin"
    files.settled([digest])
    assert await files.remove([digest]) == 1
    assert await files.remove([digest]) == 0


async def test_what_is_kept_while_a_long_remove_runs_stays(files: Files) -> None:
    """It is asked for each file when its turn comes, not before all of them."""
    others = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(2_000)]
    for turn in range(8):
        data = b"%d" % turn
        digest = await files.keep(data)
        files.settled([digest])
        await asyncio.gather(files.remove([*others, digest]), files.keep(data))
        assert await files.load(digest) == data


async def test_a_file_that_the_disk_does_not_let_go_keeps_no_other(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open on Windows, or a folder where a file should be: it is left for the next time."""
    bad, good = [await files.keep(text) for text in (b"bad", b"good")]
    files.settled([bad, good])
    files.path(bad).with_name(".x.part").mkdir()
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self.stem == bad:
            raise PermissionError(errno.EACCES, "in use")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert await files.sweep(set(), float("inf")) == 1
    assert not files.path(good).exists()
    assert await files.remove([bad]) == 0


async def test_freshness_ends_after_ten_minutes(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that never was settled does not stay for ever."""
    digest = await files.keep(b"orphan")
    later = time.monotonic() + gallery.FRESH
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert await files.sweep(set(), float("inf")) == 1
    assert not files.path(digest).exists()


async def test_many_keep_the_same_picture_at_once(files: Files) -> None:
    """One file, whole, and no temporary left."""
    data = b"x" * 100_000
    assert len(set(await asyncio.gather(*(files.keep(data) for _ in range(20))))) == 1
    assert [p.stat().st_size for p in files.folder.rglob("*") if p.is_file()] == [100_000]


def test_what_settle_hangs_is_what_the_digests_say(tx: Tx) -> None:
    """The set that sweep is given."""
    job = people.done(tx, meet(tx), grid=True)
    assert gallery.digests(tx) == {k.digest for k in drawn(job, grid=True)}
