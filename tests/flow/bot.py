"""A bot process for tests: the real one, a chat of the test's and a stub engine. ``--bad`` breaks it."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
from collections.abc import Sequence
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
from storage import jobs
from storage.jobs import NewJob
from tests.fakes.chat import Chat

BAD = ("early", "double", "orphan")
"""Confirms before the inbox; orders have no key and leave their events open; orphans stay orphans."""


def spoil(how: str) -> None:
    """Re-introduce a known fault."""
    submit = jobs.submit

    def keyless(tx: Any, new: NewJob, now: float, *, limit: int) -> jobs.Job:
        return submit(tx, replace(new, key=secrets.token_hex(8), inbox=None), now, limit=limit)

    if how == "double":
        jobs.submit = keyless
    if how == "orphan":
        jobs.running = lambda tx: ()


async def main(options: argparse.Namespace) -> None:
    from inference.client import Client

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
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
