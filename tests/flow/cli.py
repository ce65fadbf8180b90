"""The real command line with a stub engine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

import inference.client

STUB = ("--stub", "--stub-seconds", os.environ.get("STUB_SECONDS", "0"))
Client = inference.client.Client


def stubbed(*words: Any, arguments: Sequence[str] = (), **more: Any) -> inference.client.Client:
    return Client(*words, arguments=(*arguments, *STUB), **more)


inference.client.Client = stubbed  # type: ignore[misc, assignment]

from bot.__main__ import main  # noqa: E402 - after the change

if "HOLD_UP" in os.environ:  # the loop does nothing else for so many seconds
    import bot.run

    say = bot.run.say  # type: ignore[attr-defined]

    def held_up() -> None:
        print("held up", flush=True)
        time.sleep(float(os.environ["HOLD_UP"]))

    def hold_up(language: str, key: str, **values: object) -> str:
        asyncio.get_running_loop().call_later(0.2, held_up)
        return say(language, key, **values)

    bot.run.say = hold_up  # type: ignore[attr-defined]

main()
