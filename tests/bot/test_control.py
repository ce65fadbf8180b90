"""The control socket: a chat like any other, for its owner only."""

from __future__ import annotations

import asyncio
import errno
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from bot import converse
from bot.adapters import control
from bot.adapters.control import Control, Fetch, Files, Line, Press, Say, Show
from bot.commands.finished import finished
from bot.talk import Gone, Reply
from inference import door, wire
from inference.request import Request
from storage.database import Connection
from storage.refusal import Refusal
from tests.fakes.room import Room, room


@asynccontextmanager
async def open_control(folder: Path) -> AsyncIterator[tuple[Room, Control]]:
    async with room(folder) as made:
        chat = Control(made.app, folder)
        await chat.start()
        made.app.dispatch.on_over = lambda _: made.app.outbox.wake()
        parts = (
            converse.serve(chat, made.app),
            made.app.outbox.run({"control": chat}, lambda job: finished(job, made.app)),
        )
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield made, chat
        finally:
            await chat.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def shown(line: Line, *, last: bool = True) -> Show:
    async with asyncio.timeout(60):
        while (message := await line.next()) is not None:
            if isinstance(message, Show) and not (last and (message.fleeting or message.tone == "waiting")):
                return message
    raise EOFError


async def opened(folder: Path) -> Line:
    line = await Line.open(folder)
    assert line
    return line


async def test_draw_press_and_fetch_over_the_socket(tmp_path: Path) -> None:
    async with open_control(tmp_path):
        line = await opened(tmp_path)
        await line.send(Say("/imagine a [b]red[/b] fox --n 2", event="e1"))
        message = await shown(line)
        assert message.job
        assert message.images
        await line.send(Fetch(message.job))
        async with asyncio.timeout(60):
            files = await line.next()
        assert isinstance(files, Files)
        assert (files.status, [p.index for p in files.pictures]) == ("done", [0, 1])
        assert all(p.data.startswith(b"\x89PNG") for p in (*files.pictures,))
        assert files.grid
        assert msgspec.msgpack.decode(files.request, type=Request).prompt.startswith("a [b]red[/b] fox")
        button = next(number for number, label in enumerate(message.buttons) if "🔄" in label)
        await line.send(Press(message.message, button))
        again = await shown(line)
        assert again.job == message.job + 1
        await line.close()


async def test_the_price_is_of_what_arrived(tmp_path: Path) -> None:
    """As it was charged: not of pictures that failed, nor of what a safety check gave back."""

    def cut(tx: Connection, what: str) -> None:
        tx.execute(f"UPDATE job SET {what}")  # noqa: S608 - constants only

    async with open_control(tmp_path) as (here, _):
        line = await opened(tmp_path)
        await line.send(Say("/imagine fox --n 2", event="e1"))
        message = await shown(line)
        assert message.job
        whole = (await here.job(message.job)).price
        for what, price in (("arrived = 2", whole), ("arrived = 1", whole // 2), ("free = 1", 0)):
            await here.app.database.write(cut, what)
            await line.send(Fetch(message.job))
            async with asyncio.timeout(60):
                files = await line.next()
            assert isinstance(files, Files)
            assert files.price == price
        await line.close()


async def test_a_job_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    async with open_control(tmp_path):
        line = await opened(tmp_path)
        for number in (99, -1, 2**62):
            await line.send(Fetch(number))
            assert await line.next() == Files(number)
        await line.close()


async def test_whoever_left_is_gone(tmp_path: Path) -> None:
    async with open_control(tmp_path) as (_, chat):
        line = await opened(tmp_path)
        await line.send(Say("/help"))
        await shown(line)
        await line.close()
        for place in ("control:nobody/1", "control:x", "control:x/y"):
            with pytest.raises(Gone):
                await chat.show(place, Reply("hello"))


@pytest.mark.parametrize(
    "words",
    [
        b"", b"\x00", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        wire.frame(control.Knock("guess")), wire.frame(control.Knock("ñ")),
        wire.frame(Say("/imagine fox")), wire.frame(Fetch(1)),
    ],
)  # fmt: skip
async def test_whoever_does_not_knock_is_not_heard(tmp_path: Path, words: bytes) -> None:
    async with open_control(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.SOCKET)
        writer.write(words)
        writer.write_eof()
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
        line = await opened(tmp_path)
        await line.send(Say("/help"))
        assert (await shown(line)).text or True
        await line.close()


async def test_a_press_of_a_button_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    async with open_control(tmp_path):
        line = await opened(tmp_path)
        for press in (Press(1, 0), Press(-1, -1), Press(10**9, 10**9)):
            await line.send(press)
        await line.send(Say("/help"))
        assert (await shown(line)).message == 1
        await line.close()


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
async def test_the_socket_is_its_owners_alone_and_leaves_with_the_bot(tmp_path: Path) -> None:
    async with open_control(tmp_path):
        assert stat.S_IMODE((tmp_path / control.SOCKET).stat().st_mode) == 0o600
    assert not (tmp_path / control.SOCKET).exists()
    assert not (tmp_path / control.NOTE).exists()
    assert await Line.open(tmp_path) is None


async def test_without_unix_sockets_it_is_a_port_with_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio, "start_unix_server", none)
    async with open_control(tmp_path):
        line = await opened(tmp_path)
        await line.send(Say("/help"))
        await shown(line)
        await line.close()
        note = msgspec.json.decode((tmp_path / control.NOTE).read_bytes(), type=control.Note)
        assert note.address.startswith("tcp:127.0.0.1:")
        assert stat.S_IMODE((tmp_path / control.NOTE).stat().st_mode) == 0o600
        reader, writer = await door.dial(note.address)
        writer.write(wire.frame(control.Knock("guess")) + wire.frame(Say("/help")))
        assert await reader.read() == b""
        writer.close()


async def test_a_note_that_the_disk_does_not_let_go_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when it ends, nor when the next one begins, which is refused with the disk's sentence."""

    def stays(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "read-only")

    async with room(tmp_path) as made:
        chat = Control(made.app, tmp_path)
        await chat.start()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", stays)
            await chat.close()
            with pytest.raises(Refusal, match="data_read_only"):
                await Control(made.app, tmp_path).start()
        again = Control(made.app, tmp_path)
        await again.start()
        await again.close()
        assert not (tmp_path / control.NOTE).exists()


async def test_a_stale_socket_of_a_crash_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / control.SOCKET).touch()
    (tmp_path / control.NOTE).write_bytes(
        msgspec.json.encode(control.Note(f"unix:{tmp_path / control.SOCKET}", "old"))
    )
    assert await Line.open(tmp_path) is None
    async with open_control(tmp_path):
        line = await opened(tmp_path)
        await line.close()
