"""A bot process for tests that kill it: the real one on the test's Telegram, drawing with the stub engine."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bot import kiosk, logs
from bot.adapters.telegram import Telegram
from bot.app import App
from bot.config import Config, load
from bot.config import Telegram as Settings
from bot.home import Home
from bot.life import live
from bot.secret import Secret
from bot.talk import Adapter
from tests.bot.telegram.house import UNIT
from tests.fakes.telegram import TOKEN


async def main(root: str, data: Path) -> None:
    from inference.client import Client

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(api_root=root, token=Secret(TOKEN))
    config = replace(load(None, {}), data_dir=data, telegram=settings, safety="off")
    logs.start("info", data / "logs", secrets=[TOKEN])

    def engines(config: Config, home: Home) -> Sequence[Client]:
        return [Client("engine", home.data, config.models, arguments=("--stub",), pause=0.05)]

    def adapters(app: App, home: Home) -> Sequence[Adapter]:
        return [Telegram(settings, kiosk.Kiosk(app), unit=UNIT)]

    async with live(config, adapters, engines) as life:
        life.leave = True
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("data", type=Path)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.root, chosen.data))
