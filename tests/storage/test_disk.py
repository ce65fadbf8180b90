"""R4 and R5 for storage: the disk fails at any call: a sentence, nothing charged, and on it goes."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from pathlib import Path

import pytest

from storage import accounts, jobs, ledger
from storage.database import Database
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.people import NOW
from tests.storage.syscalls import Fault, can_fail, failing

pytestmark = pytest.mark.skipif(not can_fail(), reason="this Python's sqlite3 is linked statically")

DISK = {"", "disk_full", "disk_error", "data_read_only", "database_corrupt"}


async def _people(path: Path) -> tuple[Database, int]:
    opened = await Database.open(path)
    me = (await opened.write(accounts.meet, "test:1", "en", NOW, grant=100_000)).id
    return opened, me


async def _refusal(path: Path) -> str:
    """The code with which opening is refused; empty if it is not."""
    try:
        await (await Database.open(path)).close()
    except Refusal as refusal:
        return refusal.code
    return ""


async def _ask(opened: Database, me: int, key: str) -> object:
    """What came of a submit: a job id, or the code of its refusal."""
    try:
        return (
            await opened.write(jobs.submit, people.ask(me, key, price=4_000), NOW, limit=99, durable=True)
        ).id
    except Refusal as refusal:
        return refusal.code


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EIO, "disk_error"), (errno.EDQUOT, "disk_error")]
)
@pytest.mark.parametrize("at", range(8))
async def test_a_write_that_fails_is_a_refusal_and_charges_nothing(
    tmp_path: Path, number: int, code: str, at: int
) -> None:
    """Every member of the group is told; when the disk is back it works again without a restart."""
    opened, me = await _people(tmp_path / "falopitas.db")
    with failing("pwrite64", Fault(number, at)) as fault:
        fault.armed = True
        told = await asyncio.gather(*(_ask(opened, me, f"k{n}") for n in range(3)))
        fault.armed = False
    refused = [each for each in told if isinstance(each, str)]
    assert set(refused) == ({code} if fault.hit else set())
    assert await opened.read(ledger.balance, me) == 100_000 - 4_000 * (3 - len(refused))
    again = await asyncio.gather(*(_ask(opened, me, f"k{n}") for n in range(3)))
    assert [type(each) for each in again] == [int] * 3
    assert await opened.read(ledger.audit) == ()
    await opened.close()


@pytest.mark.parametrize("at", range(30))
async def test_a_disk_that_fails_while_opening_is_a_refusal(tmp_path: Path, at: int) -> None:
    """At whichever write; and the next start on a whole disk finds what was there."""
    path = tmp_path / "falopitas.db"
    with failing("pwrite64", Fault(errno.EIO, at)) as fault:
        fault.armed = True
        assert await _refusal(path) in DISK
        fault.armed = False
    opened, me = await _people(path)
    assert await _ask(opened, me, "k") == 1
    await opened.close()


@pytest.mark.parametrize("call", ["pread64", "open"])
async def test_reading_that_fails_is_a_refusal(tmp_path: Path, call: str) -> None:
    """At the start, at any of the first calls."""
    path = tmp_path / "falopitas.db"
    opened, _ = await _people(path)
    await opened.close()
    for at in range(12):
        with failing(call, Fault(errno.EIO, at, stays=False)) as fault:
            fault.armed = True
            assert await _refusal(path) in DISK
            fault.armed = False
    opened, me = await _people(path)
    assert await opened.read(ledger.balance, me) == 100_000
    await opened.close()


async def test_a_full_disk_at_a_checkpoint_loses_nothing(tmp_path: Path) -> None:
    """The log stays; the checkpoint is refused, closing is not, and everything is there afterwards."""
    path = tmp_path / "falopitas.db"
    opened, me = await _people(path)
    assert await _ask(opened, me, "k") == 1
    with failing("pwrite64", Fault(errno.ENOSPC)) as fault:
        fault.armed = True
        with pytest.raises(Refusal, match="disk_full"):
            await opened.checkpoint()
        await opened.close()
        fault.armed = False
    opened = await Database.open(path)
    assert await opened.read(ledger.balance, me) == 96_000
    await opened.close()


async def test_a_disk_that_cannot_be_read_for_a_moment_does_not_end_everything(tmp_path: Path) -> None:
    """SQLite calls that damage too; the second look finds none."""
    opened, me = await _people(tmp_path / "falopitas.db")
    codes = set()
    for at in range(25):
        await opened.checkpoint()
        with failing("pread64", Fault(errno.EIO, at, stays=False)) as fault:
            fault.armed = True
            try:
                await opened._look()
            except Refusal as refusal:
                codes.add(refusal.code)
            fault.armed, fault.calls = True, 0
            with suppress(Refusal):
                await opened.examine()
            fault.armed = False
        assert await _ask(opened, me, f"k{at}") == at + 1
    assert codes == {"disk_error", "database_corrupt"}
    await opened.close()
