"""Backups by the clock: the newest ones beside the data, each proved when it was made."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from bot.app import App
from bot.home import Home
from storage import accounts, backup

log = logging.getLogger(__name__)

KEPT = 7
"""Backups that stay; older ones go."""


def name_at(now: float) -> str:
    """The name of a backup made now: the newest sorts last."""
    return f"falopitas-{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}.sqlite3"


def all_in(folder: Path) -> list[Path]:
    """Every backup there, the oldest first."""
    return sorted(folder.glob("falopitas-*.sqlite3"))


async def make(app: App, keep: int = KEPT) -> Path:
    """Make one beside the data, and let those beyond ``keep`` go. Raises Refusal, and then nothing goes."""
    folder = Home(app.config.data_dir).backups
    target = folder / name_at(app.clock())
    size = await backup.copied(app.database.path, target)
    backup.drop_parts(folder)
    for old in all_in(folder)[:-keep]:
        old.unlink(missing_ok=True)
    log.info("backup", extra={"action": "backup", "bytes": size})
    return target


async def outdated(app: App) -> bool:
    """Is there one that still knows somebody who was forgotten since: the bot died before it was renewed?"""
    at = await app.database.read(accounts.last_forgotten)
    found = all_in(Home(app.config.data_dir).backups)
    if at is None or at > app.clock():  # that clock was ahead: no backup of today would ever be newer
        return False
    return bool(found) and found[0].name < name_at(at)


async def renew(app: App) -> None:
    """Somebody was forgotten: one new backup in place of all that still know them."""
    if all_in(Home(app.config.data_dir).backups):
        await make(app, keep=1)
