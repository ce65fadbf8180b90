"""R25: pictures that people send are opened in a process that can do nothing else; the bot sees pixels."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import resource
import sys
import textwrap
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot import scrub, sent
from bot.options import Size
from bot.sent import MAX_BYTES, Sent, clean, png
from bot.talk import Attachment, Call
from storage.gallery import Files
from storage.refusal import Refusal
from tests.bot.picture_corpus import ANY, CLEAN, Case, corpus, saved, scene, turned

CODES = {"picture_kind", "picture_pixels", "picture_small", "picture_broken", "picture_too_large"}
ALL = corpus()
FEW = {case.kind: case for case in ALL} | {
    case.name: case for case in ALL if case.name in {
        "png:RGBA", "jpeg:CMYK", "jpeg:a phone's 8000", "webp:large", "gif:animated", "bomb:png 20000",
        "bomb:jpeg 65500", "bomb:zTXt", "bomb:jpeg progressive, of nothing", "stranger:EPS",
        "chunk:no pixels",
    }
}  # fmt: skip
"""One of each kind, and the worst."""


async def fate(case: Case) -> tuple[str, tuple[int, int]]:
    """What becomes of it, and how large it said it is."""
    came: list[tuple[int, int]] = []

    def choose(width: int, height: int) -> Size:
        came.append((width, height))
        return Size(72, 48)

    try:
        size, pixels = await clean(case.data, choose)
    except Refusal as refusal:
        return refusal.code, came[0] if came else (0, 0)
    assert size == (72, 48)
    assert len(pixels) == 72 * 48 * 3
    return CLEAN, came[0]


async def check(case: Case) -> str:
    """Empty, or what went otherwise than it must."""
    began = os.times()
    became, size = await fate(case)
    spent = os.times().children_user - began.children_user
    if became not in (CODES | {CLEAN} if case.fate == ANY else {case.fate}):
        return f"{case.name}: {became}, not {case.fate}"
    if case.fate == CLEAN and size != case.size:
        return f"{case.name}: {size}, not {case.size}"
    return f"{case.name}: {spent:.1f} s" if spent > scrub.CPU + 1 else ""


@pytest.mark.parametrize("case", FEW.values(), ids=lambda case: case.name)
async def test_a_picture_becomes_clean_or_a_refusal(case: Case) -> None:
    assert await check(case) == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_every_picture_of_the_corpus_becomes_clean_or_a_refusal() -> None:
    for case in ALL:
        assert await check(case) == ""


def test_the_corpus_covers_its_classes() -> None:
    assert len(ALL) >= 250
    assert len({case.name for case in ALL}) == len(ALL)
    assert {case.fate for case in ALL} == CODES | {CLEAN, ANY}
    kinds = Counter(case.kind for case in ALL)
    assert kinds.keys() >= {
        "png",
        "jpeg",
        "webp",
        "gif",
        "exif",
        "bomb",
        "stranger",
        "chunk",
        "cut",
        "harmed",
    }


# --- what it looks like afterwards


async def _seen(data: bytes, wanted: tuple[int, int] = (96, 64)) -> Image.Image:
    size, pixels = await clean(data, lambda *_: Size(*wanted))
    with Image.open(io.BytesIO(png(size, pixels))) as image:
        image.load()
        assert image.mode == "RGB"
        assert image.info == {}
    return image


def _near(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    return all(abs(one - other) < 40 for one, other in zip(found, colour, strict=True))


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_photograph_stands_upright_and_keeps_no_metadata(orientation: int) -> None:
    image = await _seen(turned(orientation))
    assert _near(image, (20, 40), (200, 30, 30))
    assert _near(image, (76, 40), (30, 30, 200))
    assert _near(image, (48, 4), (30, 200, 30))


async def test_another_shape_keeps_the_middle_and_distorts_nothing() -> None:
    wide = scene(size=(400, 100))
    wide.paste((255, 255, 0), (180, 30, 220, 70))
    image = await _seen(saved(wide, "PNG"), (64, 64))
    assert _near(image, (32, 32), (255, 255, 0))
    left = next(x for x in range(64) if _near(image, (x, 32), (255, 255, 0)))
    top = next(y for y in range(64) if _near(image, (32, y), (255, 255, 0)))
    assert abs(left - top) <= 1


async def test_what_is_clear_lies_on_white_and_sixteen_bits_become_eight() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert _near(await _seen(saved(clear, "PNG"), (64, 64)), (32, 32), (255, 255, 255))
    deep = Image.new("I;16", (64, 64), 128 * 256)
    assert _near(await _seen(saved(deep, "PNG"), (64, 64)), (32, 32), (128, 128, 128))


# --- the walls, each with its control: a process without them


def _process(folder: Path, body: str, *, walls: bool = True) -> Path:
    """The process, taken over: ``body`` runs where a picture would be decoded."""
    script = folder / "taken_over.py"
    without = "" if walls else "scrub.limit = scrub.shut = lambda: None\n"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(Path(scrub.__file__).parents[1])!r})\n"
        "import os, socket, time\nfrom bot import scrub\n"
        f"{without}def pixels(image, turned, wanted):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        "scrub.pixels = pixels\nscrub.main(sys.stdin.buffer, sys.stdout.buffer)\nos._exit(0)\n"
    )
    return script


def _harm(folder: Path) -> dict[str, str]:
    """What a hostile picture's code would like to do; each leaves a mark or reads what is not its own."""
    mark = folder / "mark"
    return {
        "write": f"open({str(mark)!r}, 'w').close()",
        "delete": f"os.unlink({str(folder / 'precious')!r}); os.mkdir({str(mark)!r})",
        "connect": f"socket.socket(); os.mkdir({str(mark)!r})",
        "fork": f"os.fork() or os._exit(0); os.mkdir({str(mark)!r})",
        "run": f"os.execv('/bin/mkdir', ['mkdir', {str(mark)!r}])",
        "signal": f"os.kill({os.getpid()}, 0); os.mkdir({str(mark)!r})",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
@pytest.mark.parametrize("walls", [True, False], ids=["walls", "control"])
@pytest.mark.parametrize("harm", ["write", "delete", "connect", "fork", "run", "signal"])
async def test_a_process_that_was_taken_over_reaches_nothing(
    harm: str, walls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without the walls every one of these succeeds."""
    (tmp_path / "precious").touch()
    body = f"{_harm(tmp_path)[harm]}\nreturn b'x' * 300"
    monkeypatch.setattr(sent, "SCRUB", _process(tmp_path, body, walls=walls))
    became, _ = await fate(Case("x", saved(scene(), "PNG"), ANY))
    assert became == "picture_broken"
    assert (tmp_path / "mark").exists() is not walls
    assert (tmp_path / "precious").exists() is (walls or harm != "delete")


async def test_it_sees_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "secret")
    body = "return (repr(dict(os.environ)).encode() + bytes(72 * 48 * 3))[:72 * 48 * 3]"
    monkeypatch.setattr(sent, "SCRUB", _process(tmp_path, body))
    _, pixels = await clean(saved(scene(), "PNG"), lambda *_: Size(72, 48))
    assert b"LC_CTYPE" in pixels or pixels.startswith(b"{}")
    assert b"secret" not in pixels


@pytest.mark.parametrize("walls", [True, False], ids=["walls", "control"])
async def test_it_gets_no_more_memory_than_it_may(
    walls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sent, "SCRUB", _process(tmp_path, f"return bytes({scrub.MEMORY})[:72*48*3]", walls=walls)
    )
    became, _ = await fate(Case("x", saved(scene(), "PNG"), ANY))
    assert became == ("picture_pixels" if walls else CLEAN) or (walls and became == "picture_broken")


async def test_it_gets_no_more_time_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's clock ends a loop, the bot's own ends one that sleeps."""
    monkeypatch.setattr(sent, "PATIENCE", 1.5)
    for body in ("while True: pass", "time.sleep(60)"):
        monkeypatch.setattr(sent, "SCRUB", _process(tmp_path, body))
        began = time.monotonic()
        assert (await fate(Case("x", saved(scene(), "PNG"), ANY)))[0] == "picture_broken"
        assert time.monotonic() - began < 45


@pytest.mark.slow
async def test_its_own_clock_ends_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "PATIENCE", 60.0)
    monkeypatch.setattr(sent, "SCRUB", _process(tmp_path, "while True: pass"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert (await fate(Case("x", saved(scene(), "PNG"), ANY)))[0] == "picture_broken"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < scrub.CPU + 2


@pytest.mark.parametrize(
    "said",
    ["size", "size 1", "size x y", "size 1 2 3", "no", "no money", "", "☃", "size -5 -5", "x" * 70_000],
)
async def test_whatever_it_says_instead_is_a_refusal(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "liar.py"
    script.write_text(f"import sys\nsys.stdout.buffer.write({said.encode()!r} + b'\\n')\n")
    monkeypatch.setattr(sent, "SCRUB", script)
    assert (await fate(Case("x", saved(scene(), "PNG"), ANY)))[0] == "picture_broken"


async def test_one_that_never_stops_talking_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had to say was heard; the rest is not waited for, and no pipe is left open."""
    mark = tmp_path / "pid"
    body = f"open({str(mark)!r}, 'w').write(str(os.getpid()))\nwhile True: os.write(1, bytes(65536))"
    monkeypatch.setattr(sent, "SCRUB", _process(tmp_path, body, walls=False))
    monkeypatch.setattr(sent, "LEAVE", 0.1)
    async with asyncio.timeout(60):
        assert (await fate(Case("x", saved(scene(), "PNG"), ANY)))[0] == CLEAN
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    gc.collect()


async def test_a_bot_that_stops_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "pid"
    script = _process(
        tmp_path, f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)", walls=False
    )
    monkeypatch.setattr(sent, "SCRUB", script)
    task = asyncio.create_task(clean(saved(scene(), "PNG"), lambda *_: Size(72, 48)))
    async with asyncio.timeout(60):
        while not (mark.exists() and mark.read_text()):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


# --- taking what came


@pytest.fixture
async def house(tmp_path: Path) -> Sent:
    return Sent(Files(tmp_path / "pictures"))


def _call(data: bytes, **more: Any) -> Call:
    async def fetch() -> bytes:
        return data

    return Call("test:ana", "test:room", "e1", picture=Attachment("ref", **more), fetch=fetch)


async def test_what_came_is_kept_clean_under_its_hash(house: Sent, tmp_path: Path) -> None:
    picture = await house.take(_call(turned(6)), lambda *_: Size(72, 48))
    (file,) = (tmp_path / "pictures").glob("*/*.png")
    assert file.stem == picture.digest
    assert (picture.width, picture.height) == (72, 48)
    assert b"camera" not in file.read_bytes()


async def test_what_the_platform_says_is_too_large_is_not_even_fetched(house: Sent) -> None:
    call = replace(_call(b"", size=MAX_BYTES + 1), fetch=None)
    with pytest.raises(Refusal, match="picture_unreachable"):
        await house.take(call, lambda *_: Size(8, 8))
    with pytest.raises(Refusal, match="picture_too_large"):
        await house.take(_call(b"", size=MAX_BYTES + 1), lambda *_: Size(8, 8))


async def test_no_more_than_two_are_opened_at_once(house: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    busy, most = 0, 0

    async def slow(data: bytes, choose: sent.Choose) -> tuple[Size, bytes]:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.01)
        busy -= 1
        return Size(2, 2), bytes(12)

    monkeypatch.setattr(sent, "clean", slow)
    await asyncio.gather(*(house.take(_call(b"x"), lambda *_: Size(2, 2)) for _ in range(8)))
    assert most == 2
