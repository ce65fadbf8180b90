"""The bot's end of the wire: finds or starts an engine, keeps it alive, passes messages. Imports no tensors.

An engine lives in its own process group and outlives its bot. A bot that comes back adopts it through the
lock file; an engine that dies, hangs or leaves is reported as ``wire.Lost`` and replaced, with growing
pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from inference import wire
from inference.door import dial, socket_path
from inference.lock import Note, living
from inference.request import ModelSpec

log = logging.getLogger(__name__)
T = TypeVar("T")

OURS = wire.PROTOCOL
"""The protocol this bot speaks."""
ROOT = Path(__file__).resolve().parent.parent
"""Where the packages lie: the engine's working folder."""
SILENT, STALLED = 15.0, 120.0
"""Seconds without a word, and seconds in one step, after which an engine hangs."""
START = 120.0
"""Seconds from the start of a process to its first word: a cold disk reads torch slowly."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
HEALTHY = 30.0
"""Seconds of life after which the pauses start small again."""
LEAVE = 3.0
"""Seconds an engine has to leave when it was asked to; then it is killed, so that a bot stops in time."""
LOG_BYTES = 4_000_000
NONE_LEFT = (errno.EMFILE, errno.ENFILE)
"""No file can be opened for a moment."""

_PASSED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT",
    "WINDIR",
    "USERPROFILE", "LOCALAPPDATA", "APPDATA", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS", "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "HF_HOME", "HF_HUB_CACHE",
    "SSL_CERT_FILE",
)  # fmt: skip
_PASSED_PREFIXES = ("CUDA_", "NVIDIA_", "PYTORCH_", "TORCH_", "OMP_", "MKL_", "ROCR_", "HIP_", "HSA_")

Handle = Callable[[wire.FromEngine], Awaitable[None]]


def clean_environment(
    environment: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What an engine inherits: what Python and torch need, and no token of anything."""
    passed = {
        key: value
        for key, value in environment.items()
        if key.upper() in _PASSED or key.upper().startswith(_PASSED_PREFIXES)
    }
    return passed | {"PYTHONUNBUFFERED": "1"} | dict(extra or {})


async def _patiently(work: Callable[[], T]) -> T:
    """Do what opens files; while this process has no descriptor left that is no news of any engine."""
    while True:
        try:
            return work()
        except OSError as error:
            if error.errno not in NONE_LEFT:
                raise
            log.warning("no descriptor left", extra={"action": "disk"})
            await asyncio.sleep(0.1)


class _Gone(Exception):  # noqa: N818 - it says what happened
    """This engine is lost; the reason is for the log."""


class Client:
    """One engine, supervised. ``run`` it in a task; ``send`` from anywhere on the same loop.

    ``arguments`` are further words for ``inference.serve`` (``--stub`` in tests), ``environment`` further
    variables for it.
    """

    def __init__(
        self,
        name: str,
        home: Path,
        specs: Sequence[ModelSpec],
        device: str = "auto",
        *,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        tcp: bool = not hasattr(asyncio, "open_unix_connection"),
        silent: float = SILENT,
        stalled: float = STALLED,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self.name = name
        self._home = home
        self._specs = tuple(specs)
        self._device = device
        self._environment = dict(environment or {})
        self._arguments = tuple(arguments)
        self._tcp = tcp
        self._silent, self._stalled, self._first_pause = silent, stalled, pause
        self._writer: asyncio.StreamWriter | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._met = False
        self._open = b""
        self._stopping = self._parting = False

    @property
    def pid(self) -> int:
        """Process id of the engine that is spoken to; 0 while there is none."""
        return self._pid

    async def run(self, handle: Handle) -> None:
        """Adopt or start an engine, give its messages to ``handle`` one after the other, replace it when
        it is lost (after ``wire.Lost``), until cancelled or stopped. The engine is left alive."""
        pause = self._first_pause
        try:
            while not self._stopping:
                began = time.monotonic()
                try:
                    await self._serve(handle)
                except _Gone as gone:
                    if not self._stopping:  # else it was us who hung up
                        extra = {"action": "lost", "engine": self.name, "reason": str(gone)}
                        log.warning("engine lost", extra=extra)
                        await handle(wire.Lost(reason=str(gone)))
                if time.monotonic() - began > HEALTHY:
                    pause = self._first_pause
                if not self._stopping:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self._hang_up()
            if not self._parting:
                self._let_live()

    async def send(self, message: wire.ToEngine) -> bool:
        """Send ``message``; False when there is no engine to hear it. Raises BadFrame if it is too big."""
        writer = self._writer
        data = wire.frame(message)
        if writer is None or writer.is_closing():
            return False
        try:
            writer.write(data)
            await writer.drain()
        except ConnectionError:
            return False
        return True

    async def stop(self, quit: bool) -> None:  # noqa: A002 - the word of the wire
        """Stop supervising. With ``quit`` the engine leaves too, and this returns when it is gone."""
        self._stopping = True
        pid = self._pid or (self._child.pid if self._child else 0)  # it may not have come up yet
        if quit and pid:
            self._parting = True  # so that ``run`` does not forget the child before it is gone
            await self._part(pid)
            self._let_live()
        self._hang_up()

    async def _part(self, pid: int) -> None:
        asked = False
        with contextlib.suppress(TimeoutError):  # a stopped process reads nothing
            async with asyncio.timeout(1.0):
                asked = await self.send(wire.Quit())
        if not asked or not await self._dies(pid):
            await self._kill(pid)

    # --- one engine

    async def _serve(self, handle: Handle) -> None:
        """One engine from the first word to the last; raises _Gone. One that never said Hello is ended: it
        would be adopted again and again."""
        try:
            reader, writer = await self._connect()
        except _Gone:
            raise
        except Exception as error:  # an unsafe folder, a full disk, no Python: it is tried again
            raise _Gone(f"it could not be started: {type(error).__name__}: {error}") from error
        self._writer = writer
        self._met = False
        try:
            writer.write(self._open)
            await self._pump(reader, handle)
        except ConnectionError as error:
            raise _Gone("the connection broke") from error
        except wire.BadFrame as error:
            raise _Gone("it sent something that is no message") from error
        finally:
            self._hang_up()
            if not self._met and not self._stopping:
                await self._kill(self._pid)
            self._pid = 0

    async def _pump(self, reader: asyncio.StreamReader, handle: Handle) -> None:
        limit = max(self._silent, START if self._child else self._silent)
        while True:
            try:
                async with asyncio.timeout(limit):  # wait_for of Python 3.11 may swallow a cancellation
                    message = await wire.read_by_bot(reader)
            except TimeoutError:
                message = wire.Beat(stalled=float("inf"))
            if message is None:
                code = await self._exit_code()
                raise _Gone("it left" if code is None else f"it left with {code}")
            if isinstance(message, wire.Beat) and message.stalled > self._stalled:
                await self._kill(self._pid)
                raise _Gone("hung")
            if isinstance(message, wire.Hello):
                self._pid, self._met = message.pid, True
                limit = self._silent
                if message.protocol != wire.PROTOCOL:
                    raise _Gone("it speaks another protocol")
            await handle(message)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the engine that lives, or to one started for this; raises _Gone."""
        note = await _patiently(partial(living, self._lock))
        if note is None:
            await _patiently(self._spawn)
        end = time.monotonic() + START
        while time.monotonic() < end:
            note = await _patiently(partial(living, self._lock))
            if note is not None and note.address:
                with contextlib.suppress(OSError):
                    return await self._dial(note)
            elif note is None and self._child is not None and self._child.poll() is not None:
                raise _Gone(f"it left with {self._child.returncode} before its first word")
            elif note is None and self._child is None:
                raise _Gone("it left")
            await asyncio.sleep(0.02)
        if note is not None and note.pid:
            await self._kill(note.pid)
        raise _Gone("it did not come up")

    async def _dial(self, note: Note) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._open = wire.frame(wire.Open(token=note.token, protocol=OURS))
        self._pid = note.pid
        return await dial(note.address)

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # --- its process

    @property
    def _lock(self) -> Path:
        return self._home / f"{self.name}.lock"

    def _spawn(self) -> None:
        self._let_live()
        models = self._home / f"{self.name}.models.json"
        fresh = models.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self._specs))
        fresh.replace(models)
        where = ("--port", "0") if self._tcp else ("--socket", str(socket_path(self._home, self.name)))
        words = (
            sys.executable, "-m", "inference.serve", "--home", str(self._home), "--name", self.name,
            "--models", str(models), "--device", self._device, *where, *self._arguments,
        )  # fmt: skip
        environment = clean_environment(os.environ, {"PYTHONPATH": str(ROOT)} | self._environment)
        group = 0x00000200 if sys.platform == "win32" else 0  # CREATE_NEW_PROCESS_GROUP
        with self._log().open("ab") as output:
            self._child = subprocess.Popen(  # noqa: S603 - our own module, no shell
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, env=environment,
                start_new_session=True, creationflags=group,
            )  # fmt: skip
        log.info("engine started", extra={"action": "spawn", "engine": self.name, "pid": self._child.pid})

    def _log(self) -> Path:
        """The file for what an engine says; the one before is kept."""
        path = self._home / f"{self.name}.log"
        with contextlib.suppress(OSError):
            if path.stat().st_size > LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))
        return path

    def _let_live(self) -> None:
        """Forget the child without ending it."""
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = 0  # else Popen complains that it still runs, which is what is wanted
        self._child = None

    def _lives(self, pid: int) -> bool:
        if self._child is not None and self._child.pid == pid:
            return self._child.poll() is None
        note = living(self._lock)
        return note is not None and note.pid == pid and pid > 0

    async def _exit_code(self) -> int | None:
        """The child's, which closed its connection a moment ago."""
        if self._child is None or self._stopping:
            return None
        await self._dies(self._child.pid)
        return self._child.poll()

    async def _kill(self, pid: int) -> None:
        """End the engine ``pid`` if it is still the one of this folder, and wait until its lock is free."""
        if not self._lives(pid):
            return
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        await self._dies(pid)

    async def _dies(self, pid: int) -> bool:
        """Wait a while for the end of ``pid``; whether it came."""
        for _ in range(int(LEAVE / 0.02)):
            if not self._lives(pid):
                return True
            await asyncio.sleep(0.02)
        return False
