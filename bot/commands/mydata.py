"""Everything the bot knows of me, to take along: a zip of JSON and pictures."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bot.app import App
from bot.commands.common import meet
from bot.talk import Call, Image, Reply
from bot.texts import number, say
from storage import forget
from storage.database import Connection
from storage.refusal import Refusal

LARGEST = 9 * 2**20
"""Bytes of one zip: what every chat carries. More pictures than that are named in it, not put in."""


@dataclass(frozen=True, slots=True)
class MyData:
    """A zip of all of it."""


async def answer(ask: MyData, call: Call, app: App) -> AsyncIterator[Reply]:
    """The newest pictures first, as many as a chat carries; every row in any case."""
    account = await meet(call, app)
    rows, named = await app.database.read(_mine, account.id)
    data, inside = await _zip(rows, named, app)
    key = "mydata.text" if inside == len(named) else "mydata.some"
    yield Reply(
        say(call.language, key, n=inside, of=len(named), size=number(call.language, len(data) / 1e6)),
        title=say(call.language, "mydata.title"),
        images=(Image(data, "falopitas-mydata.zip", exact=True),),
        private=True,
    )


def _mine(tx: Connection, account: int) -> tuple[dict[str, Any], tuple[tuple[int, int, str], ...]]:
    return forget.everything(tx, account), forget.files(tx, account)


async def _zip(rows: dict[str, Any], named: tuple[tuple[int, int, str], ...], app: App) -> tuple[bytes, int]:
    buffer, inside = io.BytesIO(), 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # pictures are packed already
        tables = json.dumps(rows, ensure_ascii=False, indent=1).encode()
        archive.writestr("mydata.json", tables, zipfile.ZIP_DEFLATED)
        for job, index, digest in reversed(named):
            try:
                data = await app.files.load(digest)
            except Refusal:  # its file is gone; its row is in the tables
                continue
            if buffer.tell() + len(data) > LARGEST:
                break
            name = f"pictures/{job}-{'grid' if index < 0 else index + 1}.png"
            await asyncio.to_thread(archive.writestr, name, data)
            inside += 1
    return buffer.getvalue(), inside
