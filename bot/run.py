"""`falopitas run`: the bot in the foreground, until Ctrl-C or SIGTERM.

Told to stop, it has ``ENDS`` seconds: what does not end by itself then is left where it is. That is safe at
any moment; a bot that cannot be stopped is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot import logs
from bot.adapters.control import Control
from bot.app import App
from bot.config import Config
from bot.home import Home
from bot.ink import Ink
from bot.life import Engines, live, real_engines
from bot.talk import Adapter
from bot.texts import say

if TYPE_CHECKING:
    from bot.adapters.web import Web

log = logging.getLogger(__name__)

ENDS = 9.0
"""Seconds from a signal to the end, whatever hangs: a service manager kills after ten."""


@dataclass(slots=True)
class _Chats:
    """The adapters of this run; ``page`` is told apart because its address is printed."""

    config: Config
    ink: Ink
    terminal: bool
    page: Web | None = None

    def __call__(self, app: App, home: Home) -> Sequence[Adapter]:
        from bot.adapters.web import Web
        from bot.bureau import Bureau
        from bot.page import Page

        web = self.config.web
        self.page = Web(
            Page(app), home.data, host=web.host, port=web.port, public=web.public, names=web.names,
            bureau=Bureau(app),
        )  # fmt: skip
        chats: list[Adapter] = [self.page, Control(app, home.runtime(), lambda: self.address)]
        if self.terminal:
            from bot.adapters.terminal import Terminal

            chats.append(Terminal.of_this_process(self.ink, home.data / "drawn", app))
        if self.config.discord.token:  # imported only for those who use it
            from bot.adapters.discord.adapter import Discord
            from bot.desk import Desk

            chats.append(Discord.enter(Desk(app), self.config.discord, home.data, app.clock, self._tell))
        if self.config.telegram.token:
            from bot.adapters.telegram import Telegram
            from bot.kiosk import Kiosk

            chats.append(Telegram(self.config.telegram, Kiosk(app), app.config.language, self._tell))
        return chats

    @property
    def address(self) -> str:
        """Where the page is; it lets nobody in by itself."""
        return self.page.address if self.page else ""

    def _tell(self, text: str) -> None:
        self.ink.write(f"{text}\n")


async def run(
    config: Config, language: str, *, terminal: bool | None = None, browser: bool | None = None,
    engines: Engines = real_engines,
) -> int:  # fmt: skip
    """Serve until told to stop; return the exit code. Raises Refusal when it cannot start."""
    stop = asyncio.Event()
    with _told_to_stop(stop) as told:
        secrets = [t.reveal() for t in (config.discord.token, config.telegram.token) if t]
        home = Home(config.data_dir)
        home.make()
        logs.start(config.log_level, home.logs, secrets=secrets)
        ink = Ink(sys.stdout)
        chats = _Chats(config, ink, _is_terminal() if terminal is None else terminal)
        async with live(config, chats, engines) as life:
            address = chats.page.launch_address() if chats.page else ""
            ink.write(say(language, "cli.ready", address=address) + "\n")
            log.info("ready", extra={"action": "ready"})
            if config.web.open_browser and (browser or (browser is None and _is_desktop())):
                threading.Thread(target=_open_browser, args=(address,), daemon=True).start()
            await stop.wait()
            life.leave = signal.SIGINT in told  # a person means all of it; a service is back in a moment
            beside = "\n" if chats.terminal else ""  # the prompt, and the ^C behind it
            ink.write(f"{beside}{say(language, 'cli.stopping')}\n")
            log.info("stopping", extra={"action": "stopping"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await ink.dry()
    return 0


def free_port(taken: object) -> int:
    """The next port after ``taken`` on which nobody listens here."""
    for port in range(int(str(taken)) + 1, 65_536):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    return 0


@contextlib.contextmanager
def _told_to_stop(stop: asyncio.Event) -> Iterator[list[int]]:
    """The signals that came. The loop's handlers wake it; Python's own ones over them run also while it is
    held up."""
    loop, ends, told = asyncio.get_running_loop(), list[threading.Timer](), list[int]()

    def tell(number: int, _: object) -> None:
        told.append(number)
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(stop.set)
        if not ends:
            ends.extend((threading.Timer(ENDS, _say_what_hangs), threading.Timer(ENDS + 0.3, os._exit, (0,))))
            for end in ends:
                end.daemon = True
                end.start()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop.set)
        signal.signal(number, tell)
    try:
        yield told
    finally:
        for number in signals:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            if ends:
                signal.signal(number, signal.SIG_IGN)  # it ends; being told twice is no news


def _say_what_hangs() -> None:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    places = [f"{Path(each.filename).name}:{each.lineno}" for each in traceback.extract_stack(frame)]
    log.error("cut off", extra={"action": "cut off", "where": " ".join(places[:-6:-1])})


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _is_desktop() -> bool:
    """Somebody sits in front of it who may want the page: not over ssh, not in a container, not in CI."""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("CI"):
        return False
    if sys.platform in {"win32", "darwin"}:
        return sys.stdin is not None and sys.stdin.isatty()
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(address: str) -> None:
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)
