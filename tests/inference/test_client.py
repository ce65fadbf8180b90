"""The client against real engine processes: started, killed, hung, adopted, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import psutil
import pytest

from inference import client, wire
from inference.client import Client, clean_environment
from inference.door import UnsafeFolder
from inference.lock import Lock, Note, living
from inference.request import ModelSpec, Request
from inference.serve import EXIT_LOST
from inference.stub import picture

SPECS = (ModelSpec(name="builtin"),)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


class Bot:
    """A client and what it heard. Leaving the block leaves the engine alive; ``home`` fixtures end it."""

    def __init__(self, home: Path, *words: str, specs: Sequence[ModelSpec] = SPECS, **more: object) -> None:
        arguments = ("--stub", *words) if specs is SPECS else words
        self.client = Client("engine", home, specs, arguments=arguments, pause=0.01, **more)  # type: ignore[arg-type]
        self.heard: list[wire.FromEngine] = []
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Bot:
        self._task = asyncio.create_task(self.client.run(self._hear))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _hear(self, message: wire.FromEngine) -> None:
        async with self._news:
            self.heard.append(message)
            self._news.notify_all()

    async def until(
        self, right: Callable[[wire.FromEngine], bool], count: int = 1, seconds: float = 60.0
    ) -> None:
        """Wait until ``count`` messages were heard that are ``right``."""
        async with self._news, asyncio.timeout(seconds):
            await self._news.wait_for(lambda: sum(map(right, self.heard)) >= count)

    async def until_kind(
        self, kind: type[wire.Message], count: int = 1, seconds: float = 60.0
    ) -> wire.FromEngine:
        await self.until(lambda message: isinstance(message, kind), count, seconds)
        return [message for message in self.heard if isinstance(message, kind)][count - 1]

    async def draw(self, job: int, prompt: str = "fox", attempt: int = 1) -> None:
        await self.until_kind(wire.Hello)
        request = Request(prompt=prompt, width=16, height=16, seed=3)
        assert await self.client.send(wire.Draw(job=job, attempt=attempt, request=request))

    def results(self) -> list[tuple[str, int]]:
        over = wire.Drawn | wire.Failed | wire.Cancelled
        return [(type(m).__name__, m.job) for m in self.heard if isinstance(m, over)]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    """A data folder; whatever engine still lives in it at the end is ended."""
    yield tmp_path
    note = living(tmp_path / "engine.lock")
    if note is not None and note.pid and note.pid != os.getpid():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(note.pid)
            process.kill()
            process.wait(10)


async def test_it_starts_an_engine_draws_and_lets_it_go(home: Path) -> None:
    async with Bot(home) as bot:
        await bot.draw(1)
        drawn = await bot.until_kind(wire.Drawn)
        assert isinstance(drawn, wire.Drawn)
        assert drawn.pictures[2] == picture(Request(prompt="fox", width=16, height=16, seed=3), 2)
        pid = bot.client.pid
        await bot.client.stop(quit=True)
    assert living(home / "engine.lock") is None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_over_tcp_with_a_token(home: Path) -> None:
    """Where there are no Unix sockets: loopback, and a token that only the folder's owner can read."""
    async with Bot(home, tcp=True) as bot:
        await bot.draw(1)
        await bot.until_kind(wire.Drawn)
        note = living(home / "engine.lock")
        assert note is not None
        kind, host, port = note.address.split(":")
        assert (kind, host) == ("tcp", "127.0.0.1")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(wire.frame(wire.Open(token="guess")) + wire.frame(wire.Quit()))
        assert await reader.read() == b""
        writer.close()
        await bot.draw(2)
        await bot.until_kind(wire.Drawn, 2)


async def test_cancel(home: Path) -> None:
    async with Bot(home) as bot:
        await bot.draw(1, "[[slow 30]]")
        await bot.until_kind(wire.Progress)
        await bot.client.send(wire.Cancel(job=1, attempt=1))
        await bot.until_kind(wire.Cancelled)
        await bot.draw(2)
        await bot.until_kind(wire.Drawn)
        assert bot.results() == [("Cancelled", 1), ("Drawn", 2)]


async def test_a_killed_engine_is_lost_and_replaced(home: Path) -> None:
    async with Bot(home) as bot:
        await bot.draw(1, "[[slow 30]]")
        await bot.until_kind(wire.Progress)
        first = bot.client.pid
        os.kill(first, signal.SIGKILL)
        lost = await bot.until_kind(wire.Lost)
        assert isinstance(lost, wire.Lost)
        assert "-9" in lost.reason
        hello = await bot.until_kind(wire.Hello, 2)
        assert isinstance(hello, wire.Hello)
        assert hello.pid != first
        assert hello.drawing == ()
        await bot.draw(1, attempt=2)
        await bot.until_kind(wire.Drawn)


async def test_a_job_that_kills_engines_does_not_stop_the_others(home: Path) -> None:
    async with Bot(home) as bot:
        for number in range(1, 3):
            await bot.until_kind(wire.Hello, number)
            await bot.draw(1, "[[die]]", attempt=number)
            await bot.until_kind(wire.Lost, number)
        await bot.until_kind(wire.Hello, 3)
        await bot.draw(2)
        await bot.until_kind(wire.Drawn)


async def test_an_engine_that_lost_its_device_leaves_and_is_replaced(home: Path) -> None:
    """It says so by its exit code; what it drew may be asked for again."""
    async with Bot(home) as bot:
        await bot.draw(1, "[[lose]]")
        lost = await bot.until_kind(wire.Lost)
        assert isinstance(lost, wire.Lost)
        assert str(EXIT_LOST) in lost.reason
        hello = await bot.until_kind(wire.Hello, 2)
        assert isinstance(hello, wire.Hello)
        assert (hello.drawing, hello.finished) == ((), ())
        await bot.draw(1, attempt=2)
        await bot.until_kind(wire.Drawn)


async def test_a_stopped_engine_hangs_and_is_replaced(home: Path) -> None:
    """SIGSTOP: no beat comes, so it is killed."""
    async with Bot(home, silent=2.5) as bot:
        await bot.until_kind(wire.Beat)
        first = bot.client.pid
        os.kill(first, signal.SIGSTOP)
        lost = await bot.until_kind(wire.Lost)
        assert isinstance(lost, wire.Lost)
        assert lost.reason == "hung"
        hello = await bot.until_kind(wire.Hello, 2)
        assert isinstance(hello, wire.Hello)
        assert hello.pid != first
        await bot.draw(2)
        await bot.until_kind(wire.Drawn)


async def test_an_engine_stuck_in_one_step_hangs_and_is_replaced(home: Path) -> None:
    """It beats, but says that its step does not end."""
    async with Bot(home, stalled=0.5) as bot:
        await bot.draw(1, "[[hang]]")
        lost = await bot.until_kind(wire.Lost)
        assert isinstance(lost, wire.Lost)
        assert lost.reason == "hung"
        await bot.until_kind(wire.Hello, 2)


async def test_a_bot_that_comes_back_adopts_its_engine(home: Path) -> None:
    """What was finished meanwhile is sent again, what is being drawn is named, nothing is drawn twice."""
    async with Bot(home) as bot:
        await bot.draw(1)
        await bot.until_kind(wire.Drawn)
        await bot.draw(2, "[[slow 1.5]]")
        await bot.until_kind(wire.Progress)
        pid = bot.client.pid
    async with Bot(home) as bot:
        hello = await bot.until_kind(wire.Hello)
        assert isinstance(hello, wire.Hello)
        assert (hello.pid, hello.finished, hello.drawing) == (pid, ((1, 1),), ((2, 1),))
        await bot.until_kind(wire.Drawn, 2)
        assert bot.results() == [("Drawn", 1), ("Drawn", 2)]
        await bot.client.send(wire.Settled(job=1, attempt=1))
        await bot.client.send(wire.Settled(job=2, attempt=1))
        await bot.client.send(wire.Cancel(job=9, attempt=1))  # answered when what came before was heard
        await bot.until_kind(wire.Cancelled)
    async with Bot(home) as bot:
        hello = await bot.until_kind(wire.Hello)
        assert isinstance(hello, wire.Hello)
        assert (hello.pid, hello.finished, hello.drawing) == (pid, (), ())


async def test_a_bot_killed_while_drawing_leaves_its_engine_drawing(home: Path) -> None:
    """A real bot process is killed: its engine is in a group of its own and goes on."""
    code = f"""
import asyncio
from pathlib import Path
from tests.inference.test_client import Bot
from inference import client, wire
async def main():
    async with Bot(Path({str(home)!r})) as bot:
        await bot.draw(1, "[[slow 2]]")
        await bot.until_kind(wire.Progress)
        print("drawing", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"drawing\n"
    os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
    async with Bot(home) as bot:
        hello = await bot.until_kind(wire.Hello)
        assert isinstance(hello, wire.Hello)
        assert hello.drawing == ((1, 1),)
        await bot.until_kind(wire.Drawn)


async def test_an_engine_of_another_protocol_leaves_for_ours(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bot(home) as bot:
        await bot.until_kind(wire.Ready)
        old = bot.client.pid
    monkeypatch.setattr("inference.client.OURS", wire.PROTOCOL + 1)
    async with Bot(home) as bot:
        await bot.until_kind(wire.Lost)
    note = living(home / "engine.lock")
    assert note is None or note.pid != old


async def test_sigterm_ends_it_cleanly(home: Path) -> None:
    async with Bot(home) as bot:
        await bot.draw(1, "[[slow 30]]")
        await bot.until_kind(wire.Progress)
        os.kill(bot.client.pid, signal.SIGTERM)
        lost = await bot.until_kind(wire.Lost)
        assert isinstance(lost, wire.Lost)
        assert lost.reason == "it left with 0"
    assert "Traceback" not in (home / "engine.log").read_text()


async def test_a_second_engine_in_the_same_folder_does_not_start(home: Path) -> None:
    async with Bot(home) as bot:
        await bot.until_kind(wire.Ready)
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "inference.serve", "--home", str(home), "--models",
            str(home / "engine.models.json"), "--port", "0", "--stub",
        )  # fmt: skip
        assert await second.wait() == 3
        await bot.draw(1)
        await bot.until_kind(wire.Drawn)


async def test_an_engine_that_never_says_hello_is_ended(home: Path) -> None:
    """A process that holds the lock and hangs up on everybody must not be adopted for ever."""
    code = f"""
import asyncio
from pathlib import Path
from inference.lock import Lock, Note
import os
async def main():
    lock = Lock(Path({str(home / "engine.lock")!r}))
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lock.write(Note(pid=os.getpid(), address=f"tcp:127.0.0.1:{{port}}"))
    print("up", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"up\n"
    async with Bot(home) as bot:
        await bot.draw(1)
        await bot.until_kind(wire.Drawn)
    assert await child.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "error", [UnsafeFolder("/run/theirs"), OSError(28, "full"), FileNotFoundError(2, "gone")]
)
async def test_an_engine_that_cannot_be_started_is_lost_and_tried_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """With its reason, and in the end it comes up: the bot never dies of it."""

    def fail(*_: object) -> Path:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr("inference.client.socket_path", fail)
        async with Bot(home) as bot:
            await bot.until_kind(wire.Lost, 3)
            lost = bot.heard[0]
            assert isinstance(lost, wire.Lost)
            assert str(error) in lost.reason
            assert type(error).__name__ in lost.reason
            broken.undo()
            await bot.until_kind(wire.Ready, seconds=60)


@pytest.mark.parametrize("patient", [True, False], ids=["patient", "control"])
@pytest.mark.parametrize("what", ["living", "subprocess.Popen"])
async def test_a_moment_without_descriptors_is_no_lost_engine(
    home: Path, monkeypatch: pytest.MonkeyPatch, what: str, patient: bool
) -> None:
    """It was counted as engines that do not start, and people were told so; one was coming up."""
    known, asked = {"living": living, "subprocess.Popen": subprocess.Popen}[what], itertools.count(1)

    def short(*given: object, **named: object) -> object:
        if next(asked) < 5:
            raise OSError(errno.EMFILE, "too many")
        return known(*given, **named)  # type: ignore[operator]

    monkeypatch.setattr(f"inference.client.{what}", short)
    if not patient:
        monkeypatch.setattr(client, "NONE_LEFT", ())
    async with Bot(home) as bot:
        await bot.until_kind(wire.Ready)
        lost = [message for message in bot.heard if isinstance(message, wire.Lost)]
    assert len(lost) == (0 if patient else 4)


async def test_sending_to_nobody_is_told(home: Path) -> None:
    assert not await Client("engine", home, SPECS).send(wire.Settled(job=1, attempt=1))


async def test_stopping_without_quit_leaves_the_engine(home: Path) -> None:
    async with Bot(home) as bot:
        await bot.until_kind(wire.Ready)
        pid = bot.client.pid
        await bot.client.stop(quit=False)
        await asyncio.wait_for(bot._task, 60.0)
    assert psutil.pid_exists(pid)
    note = living(home / "engine.lock")
    assert isinstance(note, Note)
    assert note.pid == pid


async def test_an_engine_starts_in_a_third_of_a_second(home: Path) -> None:
    """Kill rounds start hundreds; with a margin for a busy machine."""
    async with Bot(home) as bot:
        await bot.until_kind(wire.Ready, seconds=3.0)


@pytest.mark.timeout(600)  # it loads torch, which a busy machine does in minutes
async def test_the_real_engine_draws_through_its_process(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The whole of ``python -m inference.serve``, with a tiny model."""
    from tests.inference import tiny  # torch; the other tests here need none

    folder = tiny.folder(tmp_path_factory.mktemp("m") / "tiny", seed=1)
    spec = ModelSpec(name="tiny", source=str(folder))
    environment = {"OMP_NUM_THREADS": "1"}
    async with Bot(home, specs=[spec], environment=environment) as bot:
        await bot.until_kind(wire.Ready, seconds=300)
        request = Request(prompt="red fox", model="tiny", width=32, height=32, steps=4)
        await bot.client.send(wire.Draw(job=1, attempt=1, request=request))
        drawn = await bot.until_kind(wire.Drawn, seconds=200)
        assert isinstance(drawn, wire.Drawn)
        assert [p.seed for p in drawn.pictures] == [0, 1, 2, 3]
        assert drawn.grid.startswith(b"\x89PNG")
        await bot.until(lambda m: isinstance(m, wire.Beat) and m.speed.get("tiny", 0.0) > 0.0, seconds=60)
        await bot.client.stop(quit=True)
    assert "Traceback" not in (home / "engine.log").read_text()


def test_the_engines_environment_has_no_secrets() -> None:
    given = {
        "PATH": "/bin", "HOME": "/h", "DISCORD_TOKEN": "x", "TELEGRAM_TOKEN": "x", "AWS_SECRET": "x",
        "CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "2", "PYTHONSTARTUP": "/evil.py", "HF_TOKEN": "x",
    }  # fmt: skip
    assert clean_environment(given, {"X": "1"}) == {
        "PATH": "/bin", "HOME": "/h", "CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "2",
        "PYTHONUNBUFFERED": "1", "X": "1",
    }  # fmt: skip


def test_the_lock_of_a_dead_engine_is_free(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "engine.lock")
    lock.write(Note(pid=2**30, address="unix:/nowhere"))
    os.close(lock._file)
    assert living(lock.path) is None
