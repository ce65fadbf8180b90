"""Where a process of ours is spoken to."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path

import pytest

from inference import door


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readexactly(4)).upper())
    await writer.drain()
    writer.close()


async def _asked(address: str) -> bytes:
    reader, writer = await door.dial(address)
    writer.write(b"ping")
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")
async def test_a_socket_is_its_owners_alone_and_goes_when_the_door_closes(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("left over")
    opened = await door.listen(_answer, path)
    assert opened.address == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await _asked(opened.address) == b"PING"
    opened.close()
    assert not path.exists()


async def test_where_no_socket_can_be_made_it_is_a_port_of_this_machine_alone(tmp_path: Path) -> None:
    """Here for its name is too long; elsewhere for the disk has no sockets, or the system."""
    for path in (tmp_path / ("x" * 120), tmp_path / "no folder" / "a.sock", None):
        opened = await door.listen(_answer, path)
        assert opened.address.startswith("tcp:127.0.0.1:")
        assert await _asked(opened.address) == b"PING"
        opened.close()


@pytest.mark.parametrize("address", ["", "unix:", "tcp:", "tcp:127.0.0.1:x", "tcp:127.0.0.1:1"])
async def test_an_address_at_which_nobody_is_raises_what_callers_expect(address: str) -> None:
    with pytest.raises((OSError, ValueError)):
        await door.dial(address)


def test_only_the_token_fits() -> None:
    token = door.key()
    assert door.fits(token, token)
    others = ("", token[:-1], f"{token}x", "ñ", "\ud800", door.key())
    assert not any(door.fits(said, token) for said in others)
