"""`falopitas backup` and `falopitas restore`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from bot.backups import all_in, name_at
from bot.config import Config
from bot.home import Home, naming
from bot.texts import number, say
from inference.beside import give_way
from storage import backup
from storage.refusal import Refusal

PICTURES = "pictures"
"""Where a backup's pictures lie beside its database."""


async def back_up(config: Config, folder: Path | None, language: str, write: Callable[[str], object]) -> int:
    """Copy the database (and into a folder of somebody's choice the pictures), whoever uses it meanwhile.

    The pictures come after the rows, so that every row has its picture.
    """
    home = Home(config.data_dir)
    if not home.database.exists():
        raise Refusal("no_backup", file=str(home.database))
    target = (folder or home.backups) / name_at(time.time())
    copied = 0
    give_way()
    try:
        size = await asyncio.to_thread(backup.copy, home.database, target)
        if folder is not None:
            copied = await asyncio.to_thread(backup.copy_pictures, home.pictures, folder / PICTURES)
    except Refusal as refusal:
        raise naming(target.parent, refusal) from refusal
    megabytes = number(language, size / 1e6)
    write(say(language, "cli.backed_up", file=str(target), size=megabytes, n=copied) + "\n")
    return 0


def _newest(source: Path) -> Path | None:
    return source if source.is_file() else next(reversed(all_in(source)), None)


async def restore(config: Config, source: Path, language: str, write: Callable[[str], object]) -> int:
    """Restore a backup, or the newest of a folder, with the pictures beside it.

    Raises Refusal already_running, no_backup, backup_bad; then nothing was changed.
    """
    home = Home(config.data_dir)
    home.make()
    found = _newest(source)
    if found is None:
        raise Refusal("no_backup", file=str(source))
    with home.lock():
        aside = time.strftime("before-%Y%m%d-%H%M%S", time.gmtime())
        before = await asyncio.to_thread(backup.restore, found, home.database, aside)
        if (pictures := found.parent / PICTURES).is_dir() and pictures != home.pictures:
            await asyncio.to_thread(backup.copy_pictures, pictures, home.pictures)
    write(say(language, "cli.restored", file=str(found)) + "\n")
    if before is not None:
        write(say(language, "cli.aside", file=str(before)) + "\n")
    return 0
