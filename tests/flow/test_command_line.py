"""`falopitas …` as a person types it: real processes, a stub engine, sentences and exit codes."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from inference.lock import living
from storage.opening import connect_reader
from tests.flow.house import ROOT

IN_TIME = 60.0
"""Seconds: ``bot.run.ENDS`` is nine, longer on a busy machine; what hangs never ends."""
pytestmark = pytest.mark.timeout(600)


@dataclass
class Desk:
    """A folder to stand in, and a data folder."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def environment(self, **more: str) -> dict[str, str]:
        mine = {"LANG", "LC_ALL", "DISPLAY", "FALOPITAS_CONFIG"}
        kept = {key: value for key, value in os.environ.items() if key not in mine}
        ours = {"PYTHONPATH": str(ROOT), "FALOPITAS_DATA": str(self.data), "OMP_NUM_THREADS": "1"}
        return kept | ours | more

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tests.flow.cli", *words]

    def do(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), cwd=self.folder, env=self.environment(**environment), capture_output=True,
            text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def configure(self, toml: str) -> None:
        (self.folder / "falopitas.toml").write_text(toml)

    @contextmanager
    def running(
        self, *words: str, top: str = "", **environment: str
    ) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
        """A bot that has said that it is ready: the process, what it said, seconds it took."""
        self.configure(f"{top}\n[web]\nport = 0\n")
        began = time.monotonic()
        process = subprocess.Popen(
            self.words("run", "--no-browser", "--config", "falopitas.toml", *words), cwd=self.folder,
            env=self.environment(**environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout
        said = process.stdout.readline()
        try:
            yield process, said, time.monotonic() - began
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    note = living(made.data / "engine.lock") if made.data.is_dir() else None
    if note and note.pid:
        os.kill(note.pid, signal.SIGKILL)


def test_imagine_alone_writes_the_grid_and_the_pictures_and_leaves_nothing_running(desk: Desk) -> None:
    done = desk.do("imagine", "it's", "a fox", "--n", "3", "--seed", "5", "-o", "fox.png", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["files"] == ["fox.png", "fox-1.png", "fox-2.png", "fox-3.png"]
    assert [each["seed"] for each in found["pictures"]] == [5, 6, 7]
    assert all((desk.folder / name).read_bytes().startswith(b"\x89PNG") for name in found["files"])
    assert living(desk.data / "engine.lock") is None
    one = desk.do("imagine", "fox", "--n", "1", "-o", "one")
    assert (one.returncode, one.stdout) == (0, "one.png\n")


def test_imagine_asks_a_running_bot(desk: Desk) -> None:
    with desk.running() as (process, said, _):
        assert re.search(r"http://127\.0\.0\.1:\d+/#enter=[\w-]{20,}", said)
        done = desk.do("imagine", "fox", "--n", "2")
        assert (done.returncode, done.stderr) == (0, "")
        assert (desk.folder / "falopitas.png").exists()
        assert "ready" in desk.do("models").stdout
        assert process.poll() is None


def test_a_second_bot_hears_that_one_is_running(desk: Desk) -> None:
    """And where its page is, without what lets in: that is for the terminal in which it was started."""
    with desk.running() as (process, said, _):
        done = desk.do("run", "--no-browser", "--config", "falopitas.toml")
        assert done.returncode == 1
        assert str(process.pid) in done.stderr
        page = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert page
        assert done.stderr.splitlines()[-1].endswith(page[0])
        assert "Traceback" not in done.stderr
        assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_time_with_0(desk: Desk, number: signal.Signals) -> None:
    with desk.running() as (process, _, _):
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(IN_TIME) == 0
        assert time.monotonic() - began < IN_TIME
        assert process.stdout
        last = process.stdout.read()
        assert "Traceback" not in last
        assert "goes on at the next start" in last


@pytest.mark.parametrize("engine", ["draws", "draws and hangs", "idles and hangs"])
def test_a_signal_ends_it_in_time_whatever_goes_on(desk: Desk, engine: str) -> None:
    """An engine that draws or answers nobody, a client that waits, a page that listens."""
    with ExitStack() as stack:
        process, said, _ = stack.enter_context(desk.running(STUB_SECONDS="1"))
        page = stack.enter_context(listening(said))
        if "draws" in engine:
            words, here = desk.words("imagine", "fox"), {"cwd": desk.folder, "env": desk.environment()}
            client = subprocess.Popen(words, **here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # type: ignore[call-overload]
            stack.callback(client.wait)
            stack.callback(client.kill)
            until(lambda: "queued" in (desk.data / "logs" / "falopitas.log").read_text())
        until(lambda: (note := living(desk.data / "engine.lock")) is not None and note.address != "")
        if "hangs" in engine:
            os.kill(living(desk.data / "engine.lock").pid, signal.SIGSTOP)  # type: ignore[union-attr]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(IN_TIME) == 0
        assert time.monotonic() - began < IN_TIME
        assert page.recv(65_536) is not None
        assert process.stdout
        assert "Traceback" not in process.stdout.read()
    if engine == "idles and hangs":
        assert living(desk.data / "engine.lock") is None


def test_ctrl_c_ends_the_engine_too_and_what_it_drew_goes_on_at_the_next_start(desk: Desk) -> None:
    """As nobody's fault: it is drawn with the others again."""
    with desk.running(STUB_SECONDS="30") as (process, _, _):
        client = subprocess.Popen(
            desk.words("imagine", "fox"), cwd=desk.folder, env=desk.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until(lambda: any(status == "running" for status, *_ in waiting(desk)))
            process.send_signal(signal.SIGINT)
            assert process.wait(IN_TIME) == 0
        finally:
            client.kill()
            client.wait()
    assert living(desk.data / "engine.lock") is None
    assert waiting(desk) == [("queued", 0, 0)]
    log = (desk.data / "logs" / "falopitas.log").read_text()
    assert "engine lost" not in log
    with desk.running():
        until(lambda: waiting(desk) == [])


def waiting(desk: Desk) -> list[tuple[str, int, int]]:
    """Status, deaths and whether it is drawn alone, of every job that is not over."""
    sql = "SELECT status, deaths, suspect FROM job WHERE status IN ('queued', 'running') ORDER BY id"
    with closing(connect_reader(desk.data / "falopitas.sqlite3")) as database:
        return database.execute(sql).fetchall()


@contextmanager
def listening(said: str) -> Iterator[socket.socket]:
    """A connection to the page that is kept open."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", said)
    assert found
    with socket.create_connection(("127.0.0.1", int(found[1])), timeout=10) as page:
        page.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{found[1]}\r\n\r\n".encode())
        yield page


def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_bot_whose_loop_is_held_up_ends_all_the_same(desk: Desk) -> None:
    """Whatever it is: what hangs stands in the log."""
    with desk.running(HOLD_UP="60") as (process, _, _):
        assert process.stdout
        assert "held up" in process.stdout.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(IN_TIME) == 0
        assert 8 < time.monotonic() - began < IN_TIME
    assert "cut off" in (desk.data / "logs" / "falopitas.log").read_text()


def test_a_port_in_use_names_a_free_one(desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        desk.configure(f"[web]\nport = {port}\n")
        done = desk.do("run", "--no-browser", "--config", "falopitas.toml")
    assert done.returncode == 1
    assert str(port) in done.stderr
    free = int(re.findall(r"\b\d{4,5}\b", done.stderr)[-1])
    assert free > port
    assert living(desk.data / "engine.lock") is None


def test_the_bot_is_small_starts_fast_and_never_imports_torch(desk: Desk) -> None:
    with desk.running() as (process, _, _):
        bot = psutil.Process(process.pid)
        spent = bot.cpu_times()
        assert desk.do("imagine", "fox").returncode == 0
        maps = " ".join(each.path for each in bot.memory_maps()) if sys.platform == "linux" else ""
        assert "torch" not in maps
        assert "numpy" not in maps
        assert bot.memory_info().rss < 120e6
        assert spent.user + spent.system < 3, "whatever else the machine does; the figure is in tests/bench"


def test_all_that_is_wrong_with_one_ask_is_said_at_once(desk: Desk) -> None:
    """What cannot be read and what is not there, a paragraph each; nothing is drawn, nothing stays behind."""
    done = desk.do("imagine", "a fox --ar 1:0", "--stpes", "3", "--model", "biultin", LANG="es_ES.UTF-8")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().split("\n\n")) == 3
    assert all(hint in done.stderr for hint in ("--steps", "--ar 3:2", "¿Querías decir builtin?"))
    assert not list(desk.folder.glob("*.png"))
    assert living(desk.data / "engine.lock") is None


@pytest.mark.parametrize(
    ("words", "error"),
    [(("fox", "--stpes", "3"), "unknown_flag_near"), (("fox --model biultin",), "unknown_model_near")],
)
def test_what_a_bot_refuses_is_one_object_for_a_program(
    desk: Desk, words: tuple[str, ...], error: str
) -> None:
    done = desk.do("imagine", *words, "--json", LANG="es_ES.UTF-8")
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert found["error"] == error
    assert "¿Querías decir" in found["text"]


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("imagine",), 1, ""),
        (("imagine", "fox", "--stpes", "3"), 1, "--steps"),
        (("imagine", "fox", "--steps", "9999"), 1, "100"),
        (("imagine", "fox", "--model", "biultin"), 1, "builtin"),
        (("imagine", "fox", "-o", "nowhere/fox.png"), 1, "nowhere"),
        (("imagine", "fox", "-o", "."), 1, "folder"),
        (("imagine", "fox", "-o", "gato.jpg"), 1, "gato.png"),
        (("simulate", "-o", "plot.svg"), 1, "plot.png"),
        (("imagine", "fox", "--config", "none.toml"), 2, "none.toml"),
        (("config", "check", "--config", "bad.toml"), 2, "web.port"),
        (("config", "check", "--config", "bad.toml"), 2, '"go(+re"'),
        (("run", "--no-browser", "--config", "bad.toml"), 2, '"go(+re"'),
        (("nonsense",), 2, ""),
    ],
)
def test_what_is_asked_wrongly_gets_a_sentence(
    desk: Desk, words: tuple[str, ...], code: int, hint: str
) -> None:
    (desk.folder / "bad.toml").write_text('[web]\nprot = 1\n[rules]\npatterns = ["go(+re"]\n')
    done = desk.do(*words)
    assert done.returncode == code, done.stderr
    assert hint in done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_a_name_that_is_none_of_a_png_is_refused_before_anything_is_drawn(desk: Desk) -> None:
    """No bot is started for it; a name without a suffix, or with PNG in capitals, is as good as ever."""
    done = desk.do("imagine", "gato", "-o", "gato.jpg", LANG="es_ES.UTF-8")
    assert (done.returncode, done.stdout) == (1, "")
    assert "PNG" in done.stderr
    assert "-o gato.png" in done.stderr
    assert [each.name for each in desk.folder.glob("gato*")] == []
    assert not (desk.data / "falopitas.sqlite3").exists()
    one = desk.do("imagine", "cat", "--n", "1", "-o", "CAT.PNG")
    assert one.returncode == 0, one.stderr
    assert (desk.folder / "CAT.PNG").read_bytes().startswith(b"\x89PNG")


def test_the_persons_language_is_the_terminals(desk: Desk) -> None:
    done = desk.do("imagine", "zorro", "-o", "nada/zorro.png", LANG="es_ES.UTF-8")
    assert "No existe la carpeta" in done.stderr


@pytest.mark.parametrize(
    ("top", "system", "spanish"),
    [
        ('language = "es"', "en_US.UTF-8", True),
        ('language = "en"', "es_ES.UTF-8", False),
        ("", "es_ES.UTF-8", True),
    ],
)
def test_a_bot_speaks_the_language_of_its_configuration(
    desk: Desk, top: str, system: str, spanish: bool
) -> None:
    """Without one, the system's."""
    with desk.running(top=top, LANG=system) as (_, said, _):
        assert said.startswith("Falopitas está listo" if spanish else "Falopitas is ready")
        second = desk.do("run", "--no-browser", "--config", "falopitas.toml", LANG=system)
    assert second.returncode == 1
    assert ("carpeta" if spanish else "folder") in second.stderr


@pytest.mark.parametrize("trouble", ["file", "system", "corrupt", "newer", "foreign"])
def test_a_data_folder_that_is_no_good_gets_a_sentence(desk: Desk, trouble: str) -> None:
    more = {}
    if trouble == "file":
        desk.data.write_text("in the way")
    elif trouble == "system":
        more = {"FALOPITAS_DATA": "/proc/falopitas"}
    else:
        assert desk.do("imagine", "fox", "--n", "1").returncode == 0
        spoil(desk.data / "falopitas.sqlite3", trouble)
    for words in (("imagine", "fox"), ("run", "--no-browser")):
        done = desk.do(*words, **more)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) >= 2, "a sentence and a next step"


def spoil(database: Path, how: str) -> None:
    connection = connect_reader(database)
    connection.close()
    data = bytearray(database.read_bytes())
    if how == "corrupt":
        data[2_000:30_000] = b"\xa5" * 28_000
    if how == "newer":
        data[60:64] = (9_999).to_bytes(4, "big")
    if how == "foreign":
        data[68:72] = (42).to_bytes(4, "big")
    database.write_bytes(data)


def test_a_model_file_that_is_none_is_found_by_a_look_at_the_configuration(desk: Desk) -> None:
    (desk.folder / "broken.safetensors").write_bytes(b"\x00" * 64)
    desk.configure(
        '[models.mine]\nsource = "broken.safetensors"\n[models.lost]\nsource = "lost.safetensors"\n'
    )
    done = desk.do("config", "check", "--config", "falopitas.toml")
    assert done.returncode == 2
    assert "mine" in done.stderr
    assert "lost" in done.stderr
    assert "builtin" not in done.stderr


def test_wrong_keys_and_wrong_model_files_are_named_in_one_go(desk: Desk) -> None:
    """Also a model's file beside a wrong key of its own; one whose source cannot be read is only its keys."""
    (desk.folder / "broken.safetensors").write_bytes(b"\x00" * 64)
    desk.configure(
        'queue_limt = 5\n[models.mine]\nsource = "./broken.safetensors"\nstesp = 3\n'
        '[models.lost]\nsource = "./lost.safetensors"\n[models.vague]\nsource = "not a path"\n'
    )
    done = desk.do("config", "check", "--config", "falopitas.toml")
    assert (done.returncode, done.stdout) == (2, "")
    for hint in ("queue_limit", "models.mine.steps", "models.vague.source:", "lost.safetensors"):
        assert done.stderr.count(hint) == 1, done.stderr
    assert "broken.safetensors" in done.stderr
    assert "builtin" not in done.stderr


def test_the_help_of_imagine_lists_its_flags(desk: Desk) -> None:
    done = desk.do("imagine", "--help")
    assert done.returncode == 0
    assert "--steps" in done.stdout
    assert "--ar" in done.stdout


def test_versions_and_a_fine_configuration(desk: Desk) -> None:
    assert desk.do("version").stdout.startswith("falopitas ")
    desk.configure('language = "es"\n')
    assert desk.do("config", "check", "--config", "falopitas.toml").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pty")
def test_the_terminal_draws_and_saves(desk: Desk) -> None:
    import pty

    desk.configure("[web]\nport = 0\n")
    main, side = pty.openpty()
    process = subprocess.Popen(
        desk.words("run", "--no-browser", "--config", "falopitas.toml"), cwd=desk.folder, close_fds=True,
        stdin=side, stdout=side, stderr=side,
        env=desk.environment(TERM="xterm-256color", COLORTERM="truecolor"),
    )  # fmt: skip
    os.close(side)
    screen = Screen(main)
    try:
        screen.until("> ")
        os.write(main, b"a red fox --n 2\n")
        assert "▀" in screen.until("Saved")
        screen.until("> ")
        os.write(main, b"again\n")
        screen.until("▀")  # from here on nobody reads: the rest of the picture is more than a terminal takes
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(IN_TIME) == 0
        assert time.monotonic() - began < IN_TIME
    finally:
        process.kill()
        process.wait()
        os.close(main)
    assert list((desk.data / "drawn").glob("*.png"))


@dataclass
class Screen:
    """What a terminal says, read once."""

    file: int
    rest: bytes = b""

    def until(self, word: str, seconds: float = 120.0) -> str:
        """Everything up to ``word``."""
        end, sought = time.monotonic() + seconds, word.encode()
        while sought not in self.rest:
            ready, _, _ = select.select([self.file], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {word!r} in {self.rest.decode(errors='replace')[-2_000:]!r}"
            self.rest += os.read(self.file, 65_536)
        said, _, self.rest = self.rest.partition(sought)
        return (said + sought).decode(errors="replace")


def test_a_bot_that_is_stopped_before_its_engine_is_up_leaves_none_behind(desk: Desk) -> None:
    with desk.running() as (process, _, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(IN_TIME) == 0
    end = time.monotonic() + 60
    while living(desk.data / "engine.lock") and time.monotonic() < end:
        time.sleep(0.05)
    assert living(desk.data / "engine.lock") is None
