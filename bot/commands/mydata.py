"""Everything the bot knows of me, to take along: a zip of JSON and pictures."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from bot.app import App
from bot.commands.common import LAST_JOB, meet
from bot.options import Option
from bot.talk import Button, Call, Image, Reply
from bot.texts import number, say
from storage import forget
from storage.database import Connection
from storage.refusal import Refusal

LARGEST = 9 * 2**20
"""Bytes of one zip: what every chat carries. The next pictures come in a zip of their own."""


Picture: TypeAlias = tuple[int, int, int, str]
"""Its id, its job, its number (-1: the grid), its digest."""


@dataclass(frozen=True, slots=True)
class MyData:
    """A zip of all of it; with ``before``, of the pictures with a smaller id alone."""

    before: Annotated[int | None, Option("before", ("antes",), low=1, high=LAST_JOB)] = None


async def answer(ask: MyData, call: Call, app: App) -> AsyncIterator[Reply]:
    """The newest pictures first, as many as a chat carries, and a button for the next ones; every row in any
    case.
    """
    account = await meet(call, app)
    rows, named = await app.database.read(_mine, account.id)
    wanted = [each for each in reversed(named) if ask.before is None or each[0] < ask.before]
    data, inside, last = await _zip({} if ask.before else rows, wanted, app)
    key = "mydata.more" if ask.before else "mydata.text" if last is None else "mydata.some"
    label = say(call.language, "button.mydata_more")
    yield Reply(
        say(call.language, key, n=inside, of=len(named), size=number(call.language, len(data) / 1e6)),
        title=say(call.language, "mydata.title"),
        images=(Image(data, "falopitas-mydata.zip", exact=True),),
        buttons=() if last is None else ((Button(label, MyData(last)),),),
        private=True,
    )


def _mine(tx: Connection, account: int) -> tuple[dict[str, Any], tuple[Picture, ...]]:
    return forget.everything(tx, account), forget.files(tx, account)


async def _zip(rows: dict[str, Any], wanted: list[Picture], app: App) -> tuple[bytes, int, int | None]:
    """The zip, how many pictures are in it, and, if there are more, what their ids are smaller than."""
    buffer, inside = io.BytesIO(), 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # pictures are packed already
        if rows:
            tables = json.dumps(rows, ensure_ascii=False, indent=1).encode()
            archive.writestr("mydata.json", tables, zipfile.ZIP_DEFLATED)
        for number_, job, index, digest in wanted:
            try:
                data = await app.files.load(digest)
            except Refusal:  # its file is gone; its row is in the tables
                continue
            if buffer.tell() and buffer.tell() + len(data) > LARGEST:
                return _closed(archive, buffer), inside, number_ + 1
            name = f"pictures/{job}-{'grid' if index < 0 else index + 1}.png"
            await asyncio.to_thread(archive.writestr, name, data)
            inside += 1
    return buffer.getvalue(), inside, None


def _closed(archive: zipfile.ZipFile, buffer: io.BytesIO) -> bytes:
    archive.close()
    return buffer.getvalue()
