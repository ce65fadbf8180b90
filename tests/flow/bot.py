"""A bot process for tests: the real one, a chat of the test's and a stub engine. ``--bad`` breaks it."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot import logs
from bot.adapters.control import Control
from bot.app import App
from bot.config import Config, load
from bot.home import Home
from bot.life import live
from bot.talk import Adapter
from storage import database, disk, gallery, group, jobs, opening
from storage.jobs import NewJob
from tests.fakes.chat import Chat

BAD = ("early", "double", "orphan", "fragile", "together", "rude", "eager")
"""Confirms before the inbox; orders have no key and leave their events open; orphans stay orphans; what a
disk says is a bug; suspects are not drawn alone; a signal ends it at once; a start reads all that waits."""


def spoil(how: str) -> None:
    """Re-introduce a known fault."""
    submit, requeue = jobs.submit, jobs.requeue

    def keyless(tx: Any, new: NewJob, now: float, *, limit: int) -> jobs.Job:
        return submit(tx, replace(new, key=secrets.token_hex(8), inbox=None), now, limit=limit)

    def unsuspected(
        tx: Any, job_id: int, attempt: int, now: float, *, died: bool, suspect: bool = False
    ) -> jobs.Job:
        requeue(tx, job_id, attempt, now, died=died, suspect=suspect)
        tx.execute("UPDATE job SET suspect = 0 WHERE id = ?", (job_id,))
        found = jobs.get(tx, job_id)
        assert found
        return found

    if how == "fragile":
        for part in (database, disk, gallery, group, opening):
            vars(part)["refusal_of"] = lambda error: error
    if how == "together":
        jobs.requeue = unsuspected
    if how == "double":
        jobs.submit = keyless
    if how == "orphan":
        jobs.running = lambda tx: ()


def read_everything(data: Path) -> None:
    """A start that looks at each thing that waits."""
    with closing(opening.connect_reader(Home(data).database)) as tx:
        for (job,) in tx.execute("SELECT id FROM job WHERE status = 'queued'").fetchall():
            jobs.ahead(tx, job)


async def main(options: argparse.Namespace) -> None:
    from inference.client import Client

    stop = asyncio.Event()
    for number in () if options.bad == "rude" else (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    data = Path(options.data)
    config = replace(load(None, {}), data_dir=data, queue_limit=1_000, daily_credits=100_000, safety="off")
    logs.start("info", data / "logs")
    stub = () if options.real else ("--stub", *options.stub)

    def engines(config: Config, home: Home) -> Sequence[Client]:
        return [
            Client(name, home.data, config.models, arguments=stub, silent=options.silent, pause=0.05)
            for name in ("engine", "engine1", "engine2")[: options.engines]
        ]

    def adapters(app: App, home: Home) -> Sequence[Adapter]:
        chat = Chat(Path(options.chat), early=options.bad == "early")
        return [chat, Control(app, home.runtime())]

    if options.bad == "eager":
        read_everything(data)
    async with live(config, adapters, engines) as life:
        life.leave = options.leave
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--chat", required=True)
    parser.add_argument("--bad", choices=BAD, default="")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--leave", action="store_true")
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--silent", type=float, default=15.0)
    parser.add_argument("--stub", nargs="*", default=[])
    chosen = parser.parse_args()
    spoil(chosen.bad)
    asyncio.run(main(chosen))
