"""One writer, group commit, cancellation, readers, and what a bad disk or file is told as."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiosqlite
import pytest

from storage import accounts, database, disk, gallery, group, inbox, ledger, opening
from storage.database import Database
from storage.group import Member, Recorded, run_group
from storage.refusal import Refusal
from storage.runner import Inline
from tests.storage import people
from tests.storage.people import NOW

Tx = sqlite3.Connection


def note(tx: Tx, event: str) -> str:
    """Write one row."""
    inbox.accept(tx, "test", event, "test:1", b"", NOW)
    return event


def notes(tx: Tx) -> list[str]:
    return [event.event for event in inbox.pending(tx)]


def note_then(tx: Tx, event: str, error: Exception) -> None:
    note(tx, event)
    raise error


def slowly(tx: Tx, event: str, begun: threading.Event, go: threading.Event) -> str:
    """Hold the writer's thread until told."""
    begun.set()
    go.wait(5)
    return note(tx, event)


# --- writing


async def test_what_was_written_is_read(database: Database) -> None:
    """A reader that starts after a write returned sees it."""
    assert await database.write(note, "a") == "a"
    assert await database.read(notes) == ["a"]
    assert await database.write(accounts.meet, "test:1", "en", NOW, grant=7, durable=True)


async def test_one_that_raises_is_rolled_back_alone(database: Database) -> None:
    """Its neighbours in the same group are committed."""
    outcomes = await asyncio.gather(
        database.write(note, "a"),
        database.write(note_then, "b", ValueError("bug")),
        database.write(note_then, "c", Refusal("over_quota")),
        database.write(note, "d"),
        return_exceptions=True,
    )
    assert [type(each).__name__ for each in outcomes] == ["str", "ValueError", "Refusal", "str"]
    assert await database.read(notes) == ["a", "d"]


async def test_a_recorded_refusal_keeps_its_transaction(database: Database) -> None:
    """The try counts although it was refused."""
    with pytest.raises(Recorded, match="link_expired"):
        await database.write(note_then, "a", Recorded("link_expired"))
    assert await database.read(notes) == ["a"]


async def test_a_cancelled_caller_does_not_stop_its_function(database: Database) -> None:
    """Neither the one that runs nor the one that waits."""
    begun, go = threading.Event(), threading.Event()
    running = asyncio.create_task(database.write(slowly, "a", begun, go))
    waiting = asyncio.create_task(database.write(note, "b"))
    assert await asyncio.to_thread(begun.wait, 60)
    for task in (running, waiting):
        task.cancel()
    go.set()
    assert await asyncio.gather(running, waiting, return_exceptions=True)
    await database.write(note, "c")
    assert await database.read(notes) == ["a", "b", "c"]


async def test_close_finishes_what_waits_and_refuses_what_comes(tmp_path: Path) -> None:
    """Also when the task that drains was cancelled with everything else, as asyncio.run does at its end."""
    opened = await Database.open(tmp_path / "falopitas.db")
    begun, go = threading.Event(), threading.Event()
    tasks = [asyncio.create_task(opened.write(slowly, "a", begun, go))]
    tasks += [asyncio.create_task(opened.write(note, event)) for event in "bc"]
    assert await asyncio.to_thread(begun.wait, 60)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await opened.close()
    await opened.close()
    with pytest.raises(RuntimeError, match="closed"):
        await opened.write(note, "d")
    with pytest.raises(RuntimeError, match="closed"):
        await opened.read(notes)
    assert not (tmp_path / "falopitas.db-wal").exists()
    again = await Database.open(tmp_path / "falopitas.db")
    assert await again.read(notes) == ["a", "b", "c"]
    await again.close()


async def test_inline_runs_everything_on_the_callers_thread(tmp_path: Path) -> None:
    """The seam for simulations: the same groups, no thread."""
    before = set(threading.enumerate())
    opened = await Database.open(tmp_path / "falopitas.db", runner=Inline)
    assert await opened.write(note, "a", durable=True) == "a"
    assert await opened.read(notes) == ["a"]
    await opened.checkpoint()
    assert set(threading.enumerate()) <= before
    await opened.close()


async def test_no_thread_and_no_task_is_left(tmp_path: Path) -> None:
    """Not after close, and not after an open that was refused."""
    before = set(threading.enumerate())
    await (await Database.open(tmp_path / "falopitas.db")).close()
    (tmp_path / "bad.db").write_bytes(b"nonsense" * 1_000)
    with pytest.raises(Refusal):
        await Database.open(tmp_path / "bad.db")
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_private_method_of_aiosqlite_is_still_there() -> None:
    """``Threaded`` leans on ``Connection._execute(fn, *args)``, ``_thread`` and the constructor of 0.22."""
    method = aiosqlite.Connection._execute
    assert inspect.iscoroutinefunction(method)
    assert list(inspect.signature(method).parameters) == ["self", "fn", "args", "kwargs"]
    assert list(inspect.signature(aiosqlite.Connection).parameters)[:2] == ["connector", "iter_chunk_size"]
    assert isinstance(aiosqlite.Connection(lambda: sqlite3.connect(":memory:"), 64)._thread, threading.Thread)


def test_a_forgotten_close_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    """The program ends, and what was committed is there."""
    program = (
        "import asyncio, pathlib, sys; from storage import database, inbox; kept = []\n"
        "async def main():\n"
        "    kept.append(await database.Database.open(pathlib.Path(sys.argv[1])))\n"
        "    await kept[0].write(inbox.accept, 'test', 'a', 'test:1', b'', 1.0)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "falopitas.db"], check=True, timeout=200)
    connection = opening.connect(tmp_path / "falopitas.db")
    assert notes(connection) == ["a"]
    connection.close()


def test_there_is_one_place_that_calls_it() -> None:
    """And no other file of storage knows aiosqlite."""
    sources = {p.name: p.read_text(encoding="utf-8") for p in Path(database.__file__).parent.glob("*.py")}
    assert [n for n, s in sources.items() if "aiosqlite" in s] == ["runner.py"]
    assert sources["runner.py"].count("._execute(") == 1


# --- groups


@pytest.fixture
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine 5 ms may pass between two members."""
    monkeypatch.setattr(group, "WINDOW", 60.0)


def _group(tx: Tx, *members: tuple[Callable[[Tx], object], bool]) -> tuple[deque[Member[object]], list[str]]:
    """Run one group on a fresh connection; return who still waits, and the statements that ran."""
    waiting = deque(Member(run, durable) for run, durable in members)
    statements: list[str] = []
    tx.execute("COMMIT")
    tx.set_trace_callback(statements.append)
    run_group(tx, waiting)
    tx.set_trace_callback(None)
    tx.execute("BEGIN")
    return waiting, [s for s in statements if s.startswith(("PRAGMA", "BEGIN", "COMMIT"))]


@pytest.mark.parametrize(("durable", "level"), [(True, "FULL"), (False, "NORMAL")])
@pytest.mark.usefixtures("no_hurry")
def test_a_group_is_one_commit_at_the_level_its_members_need(tx: Tx, durable: bool, level: str) -> None:
    """BEGIN IMMEDIATE … COMMIT once, under FULL if they must survive a power cut."""
    waiting, ran = _group(tx, *((lambda tx, n=n: note(tx, n), durable) for n in "abc"))
    assert ran == [f"PRAGMA synchronous = {level}", "BEGIN IMMEDIATE", "COMMIT"]
    assert not waiting
    assert notes(tx) == ["a", "b", "c"]


@pytest.mark.usefixtures("no_hurry")
def test_nobody_durable_is_ever_committed_under_normal(tx: Tx) -> None:
    """If anybody who waits needs FULL all get it; who comes later to a NORMAL group waits for the next."""
    waiting, ran = _group(tx, (lambda tx: note(tx, "a"), False), (lambda tx: note(tx, "b"), True))
    assert ran[0].endswith("FULL")
    assert not waiting

    later: deque[Member[object]] = deque()

    def overtaken(tx: Tx) -> None:
        note(tx, "c")
        later.append(Member(lambda tx: note(tx, "d"), durable=True))

    tx.execute("COMMIT")
    later.append(Member(overtaken, durable=False))
    run_group(tx, later)
    assert [m.durable for m in later] == [True]
    assert notes(tx) == ["a", "b", "c"]


def test_a_group_ends_after_its_window(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first member waits for no more than 5 ms of others' work."""
    seconds = iter([0.0, 0.002, 0.004, 0.006, 0.008])
    monkeypatch.setattr("storage.group.time.monotonic", lambda: next(seconds))
    waiting, _ = _group(tx, *((lambda tx, n=n: note(tx, n), True) for n in "abcde"))
    assert len(waiting) == 2


@pytest.mark.usefixtures("no_hurry")
def test_an_error_at_commit_fails_every_member(tx: Tx) -> None:
    """Nobody is told yes."""

    def dangle(tx: Tx) -> None:
        tx.execute("PRAGMA defer_foreign_keys = ON")
        tx.execute("INSERT INTO identity (who, account) VALUES ('a:1', 404)")

    members = [Member[object](lambda tx: note(tx, "a"), True), Member[object](dangle, True)]
    tx.execute("COMMIT")
    ran = run_group(tx, deque(members))
    assert [type(m.error).__name__ for m in ran] == ["IntegrityError", "IntegrityError"]
    assert [m.value for m in ran] == [None, None]
    assert not tx.in_transaction
    assert notes(tx) == []


@pytest.mark.usefixtures("no_hurry")
def test_an_error_with_which_sqlite_drops_the_transaction_fails_every_member(tx: Tx) -> None:
    """The neighbours' rows are gone too: they must not be told yes."""

    def rolled_back_below(tx: Tx) -> None:
        tx.execute("ROLLBACK")
        raise sqlite3.OperationalError("the disk failed")

    tx.execute("COMMIT")
    ran = run_group(
        tx, deque([Member[object](lambda tx: note(tx, "a"), True), Member[object](rolled_back_below, True)])
    )
    assert [str(m.error) for m in ran] == ["the disk failed"] * 2
    assert notes(tx) == []


# --- readers


async def test_a_reader_can_change_nothing(database: Database) -> None:
    """It is opened mode=ro."""
    with pytest.raises(Refusal, match="data_read_only"):
        await database.read(note, "a")


async def test_a_reader_sees_one_moment(database: Database) -> None:
    """Two questions in one function have one answer, whatever is written between them."""
    begun, go = threading.Event(), threading.Event()

    def twice(tx: Tx) -> tuple[list[str], list[str]]:
        first = notes(tx)
        begun.set()
        go.wait(5)
        return first, notes(tx)

    reading = asyncio.create_task(database.read(twice))
    assert await asyncio.to_thread(begun.wait, 60)
    await database.write(note, "a")
    go.set()
    assert await reading == ([], [])
    assert await database.read(notes) == ["a"]


async def test_a_failing_question_leaves_its_reader_usable(database: Database) -> None:
    """Each reader once, and once more."""
    for _ in range(2 * database_readers()):
        with pytest.raises(sqlite3.OperationalError):
            await database.read(lambda tx: tx.execute("SELECT nonsense"))
    assert await database.read(notes) == []


def database_readers() -> int:
    return database.READERS


# --- settings and files


async def test_the_writer_is_set_as_promised(database: Database) -> None:
    """WAL, foreign keys, secure delete; no foreign schema is trusted."""
    expected = {
        "journal_mode": "wal", "foreign_keys": 1, "secure_delete": 1, "trusted_schema": 0,
        "recursive_triggers": 1, "application_id": 0x46414C4F,
    }  # fmt: skip

    def ask(tx: Tx) -> dict[str, object]:
        return {name: tx.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}

    assert await database.write(ask) == expected


async def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    """0600, and so are the log beside it and the folder if we made it."""
    opened = await Database.open(tmp_path / "new" / "falopitas.db")
    await opened.write(note, "a")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "new").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    await opened.close()


async def test_checkpoint_empties_the_log(database: Database) -> None:
    """Everything is in the one file then."""
    await database.write(note, "a")
    wal = database.path.with_name("falopitas.db-wal")
    assert wal.stat().st_size > 0
    await database.checkpoint()
    assert wal.stat().st_size == 0


async def test_a_mac_syncs_to_the_platter(database: Database) -> None:
    """Elsewhere the settings mean nothing."""

    def settings(tx: Tx) -> tuple[int, int]:
        one, two = (tx.execute(f"PRAGMA {name}").fetchone() for name in ("fullfsync", "checkpoint_fullfsync"))
        return one[0], two[0]

    assert await database.write(settings) == (1, 1)


async def test_a_checkpoint_waits_for_no_reader(database: Database) -> None:
    """A write behind a checkpoint behind a long read is done at once; later the log is emptied after all."""
    await database.write(note, "a")
    begun, go = threading.Event(), threading.Event()

    def long(tx: Tx) -> list[str]:
        found = notes(tx)
        begun.set()
        go.wait(300)
        return found

    reading = asyncio.create_task(database.read(long))
    assert await asyncio.to_thread(begun.wait, 60)
    await database.write(note, "b")
    async with asyncio.timeout(60):
        await database.checkpoint()
        await database.write(note, "c")
    go.set()
    assert await reading == ["a"]
    await database.checkpoint()
    assert database.path.with_name("falopitas.db-wal").stat().st_size == 0


async def test_deleted_words_are_gone_from_the_bytes(database: Database) -> None:
    """secure_delete: what was forgotten is not in the file either."""
    secret = b"the secret wish of somebody"
    await database.write(inbox.accept, "web", "1", "web:1", secret, NOW)
    await database.checkpoint()
    assert secret in database.path.read_bytes()
    await database.write(inbox.done, "web", "1")
    await database.checkpoint()
    assert secret not in database.path.read_bytes()


# --- refusals at the door


async def refused(path: Path) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        await (await Database.open(path)).close()
    return refusal.value


async def test_a_newer_database_is_refused_and_untouched(tmp_path: Path) -> None:
    """The sentence can say both versions."""
    path, newer = tmp_path / "falopitas.db", len(opening.migrations()) + 1
    await (await Database.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {newer}")
    connection.close()
    before = path.read_bytes()
    refusal = await refused(path)
    assert (refusal.code, refusal.values) == (
        "database_newer",
        {"found": newer, "known": newer - 1},
    )
    assert path.read_bytes() == before


async def test_a_database_of_another_program_is_refused_and_untouched(tmp_path: Path) -> None:
    """Not even its journal mode is changed."""
    path = tmp_path / "falopitas.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert (await refused(path)).code == "database_corrupt"
    assert path.read_bytes() == before


async def test_a_locked_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start and later; and it works again when the other lets go."""
    monkeypatch.setattr(opening, "BUSY", 0.05)
    path = tmp_path / "falopitas.db"
    opened = await Database.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(*(opened.write(note, n) for n in "abc"), return_exceptions=True)
    assert [getattr(o, "code", o) for o in outcomes] == ["database_locked"] * 3
    other.execute("ROLLBACK")
    await opened.write(note, "d")
    assert await opened.read(notes) == ["d"]
    await opened.close()
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT INTO link_try VALUES ('a', 1.0)")
    assert (await refused(path)).code == "database_locked"
    other.close()


@pytest.mark.parametrize("damage", ["garbage", "truncated", "header", "page"])
async def test_a_damaged_database_is_refused(tmp_path: Path, damage: str) -> None:
    """A sentence, never a traceback, and never a start."""
    path = tmp_path / "falopitas.db"
    opened = await Database.open(path)
    for number in range(50):
        await opened.write(accounts.meet, f"test:{number}", "en", NOW, grant=100)
    await opened.close()
    data = path.read_bytes()
    spoiled = {
        "garbage": os.urandom(len(data)),
        "truncated": data[: len(data) // 2],
        "header": b"SQLite format 4\0" + data[16:],
        "page": data[:8192] + b"\xff" * 4096 + data[12288:],
    }
    path.write_bytes(spoiled[damage])
    assert (await refused(path)).code == "database_corrupt"


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a database with people, jobs in every state, pictures and deliveries."""
    path = tmp_path_factory.mktemp("lived-in") / "falopitas.db"
    connection = opening.connect(path)
    connection.execute("BEGIN")
    for number in range(8):
        me = people.meet(connection, f"test:{number}")
        people.done(connection, me, number % 5, grid=True)
        people.submit(connection, me)
    people.claim(connection)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_are_refused_or_harmless(tmp_path: Path, lived_in: bytes, seed: int) -> None:
    """R19 in suite size: never a traceback, and never a start on books that do not add up."""
    rng = random.Random(seed)
    path = tmp_path / "falopitas.db"
    codes: set[str] = set()
    for _ in range(25):
        spoiled = bytearray(lived_in)
        for _ in range(rng.choice((1, 3, 30))):
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
        path.write_bytes(spoiled)
        with suppress(Refusal):
            opening.examine(path)
        assert path.read_bytes() == spoiled
        try:
            connection = opening.connect(path)
        except Refusal as refusal:
            codes.add(refusal.code)
            continue
        assert people.audit(connection) == ()
        connection.close()
    assert "database_corrupt" in codes
    assert codes <= {"database_corrupt", "database_newer"}


def test_a_look_changes_nothing(tmp_path: Path, lived_in: bytes) -> None:
    """For doctor: a sound file gives SQLite's version, also without a log beside it."""
    path = tmp_path / "falopitas.db"
    path.write_bytes(lived_in)
    assert opening.examine(path) == sqlite3.sqlite_version
    assert path.read_bytes() == lived_in
    with pytest.raises(Refusal, match="data_read_only"):
        opening.examine(tmp_path / "nowhere.db")


async def test_a_ledger_that_does_not_add_up_is_refused(tmp_path: Path) -> None:
    """Pages may be whole and the money wrong."""
    path = tmp_path / "falopitas.db"
    opened = await Database.open(path)
    await opened.write(accounts.meet, "test:1", "en", NOW, grant=100)
    await opened.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE account SET balance = 5")
    connection.commit()
    connection.close()
    refusal = await refused(path)
    assert (refusal.code, refusal.values) == ("database_corrupt", {"detail": "ledger"})


async def test_a_big_database_is_examined_while_it_works_and_then_takes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of it is still told."""
    monkeypatch.setattr(opening, "EXAMINED", 0)
    path = tmp_path / "falopitas.db"
    opened = await Database.open(path)
    account = await opened.write(accounts.meet, "test:1", "en", NOW, grant=100)
    await opened.examine()
    await opened.write(note, "sound")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE account SET balance = 5")
    connection.close()
    await opened.close()
    opened = await Database.open(path)
    await opened.write(note, "not looked at yet")
    with pytest.raises(Refusal, match="database_corrupt"):
        await opened.examine()
    with pytest.raises(Refusal, match="database_corrupt"):
        await opened.write(note, "no more")
    assert await opened.read(ledger.balance, account.id) == 5
    await opened.close()


async def test_whoever_gives_up_looking_waits_for_no_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    monkeypatch.setattr("storage.opening.check_pages", lambda tx: tx.execute(endless).fetchone())
    look = asyncio.create_task(database.examine())
    await asyncio.sleep(0.1)
    look.cancel()
    async with asyncio.timeout(60):
        with suppress(asyncio.CancelledError):
            await look
    await database.write(note, "on it goes")


async def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    """No folder can be made there, or a folder lies where the file should."""
    for path in (Path("/proc/falopitas/falopitas.db"), tmp_path / "file" / "falopitas.db"):
        (tmp_path / "file").touch()
        assert (await refused(path)).code == "data_read_only"
    (tmp_path / "folder.db").mkdir()
    assert (await refused(tmp_path / "folder.db")).code == "data_read_only"


def test_room_is_kept_for_what_was_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New asks are refused before the disk is full."""
    disk.check_room(tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=disk.RESERVE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Refusal, match="disk_full"):
        disk.check_room(tmp_path)
    monkeypatch.undo()
    with pytest.raises(Refusal, match="data_read_only"):
        disk.check_room(tmp_path / "nowhere")


async def test_words_that_are_damaged_are_a_refusal_to_who_reads_them_and_hide_nobody_else_s(
    database: Database,
) -> None:
    me = (await database.write(accounts.meet, "test:1", "en", NOW, grant=100_000)).id
    await database.write(people.done, me)
    await database.write(people.done, me)

    def spoil(tx: Tx) -> None:
        tx.execute("UPDATE job SET request = replace(request, 'prompt', 'promp4') WHERE id = 1")

    await database.write(spoil)
    found = await database.read(gallery.mine, me, 9)
    assert {piece.request.prompt for piece in found} == {"a red fox", "?"}
    await database.write(lambda tx: tx.execute("UPDATE account SET language = CAST(x'ff' AS TEXT)").rowcount)
    with pytest.raises(Refusal, match="database_corrupt"):
        await database.read(accounts.get, me)


def test_errors_that_are_bugs_stay_what_they_are() -> None:
    """A broken constraint or statement is no sentence to a person."""
    tx = people.memory()
    for sql in ("SELECT nonsense", "INSERT INTO meta SELECT * FROM meta"):
        with pytest.raises(sqlite3.Error) as bug:
            tx.execute(sql)
        assert disk.refusal_of(bug.value) is bug.value
    assert isinstance(disk.refusal_of(ValueError("x")), ValueError)
    tx.close()
