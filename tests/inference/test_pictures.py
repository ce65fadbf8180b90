"""Files out of pixels, and recipes in and out of PNGs (R28: hostile prompts round-trip)."""

from __future__ import annotations

import io
import re
import struct
import sys
import tomllib
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from inference import VERSION, pictures
from inference.pictures import NAMES, Recipe
from inference.request import MAX_PROMPT, SAMPLERS, Request

RED = np.full((16, 24, 3), (200, 30, 30), np.uint8)


def request(**more: Any) -> Request:
    return Request(prompt=more.pop("prompt", "a red fox"), **{"seed": 7, "count": 1} | more)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# --- pixels


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (128, 192), (333, 222)])
def test_a_png_holds_exactly_its_pixels(size: tuple[int, int]) -> None:
    pixels = noise(*size)
    for data in (pictures.png(pixels), pictures.png(torch.from_numpy(pixels), Recipe(request=request()))):
        image = opened(data)
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(image), pixels)


def test_pixels_that_are_not_contiguous_come_out_right() -> None:
    pixels = noise(20, 30)
    assert np.array_equal(np.asarray(opened(pictures.png(pixels[::-2, ::3]))), pixels[::-2, ::3])


def test_without_fpng_pillow_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fpng", None)
    data = pictures.png(RED, Recipe(request=request()))
    assert np.array_equal(np.asarray(opened(data)), RED)
    assert pictures.recipe(data) == request()


def test_a_preview_is_a_small_webp() -> None:
    image = opened(pictures.preview(noise(300, 600)))
    assert (image.format, image.size) == ("WEBP", (256, 128))
    assert opened(pictures.preview(noise(8, 8))).size == (8, 8)


GRIDS = {
    (2, 32, 32): (32, 66), (2, 32, 64): (66, 64), (2, 64, 32): (64, 66), (3, 32, 32): (66, 66),
    (4, 128, 128): (260, 260), (4, 32, 64): (66, 130), (1, 32, 32): (32, 32),
}  # fmt: skip


@pytest.mark.parametrize("given", GRIDS)
def test_a_grid_has_every_picture_whole_on_paper(given: tuple[int, int, int]) -> None:
    count, height, width = given
    parts = [np.full((height, width, 3), 10 * (i + 1), np.uint8) for i in range(count)]
    sheet = pictures.grid(parts)
    assert sheet.shape[:2] == GRIDS[given]
    for part in parts:
        assert (sheet == part[0, 0]).all(-1).sum() == height * width
    paper = (sheet == np.array(pictures.PAPER, np.uint8)).all(-1).sum()
    assert paper == sheet.shape[0] * sheet.shape[1] - count * height * width


# --- recipes

HOSTILE = {
    "newlines": "a fox\non two\r\nlines\n", "emoji": "🦊👩‍👩‍👧 zorro 🇦🇷",
    "right to left": "שלום \u202e رخيص",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x85\u2028", "nul": "a\0b", "quotes": '"a" \\"b\\" \\',
    "looks like infotext": "x\nNegative prompt: y\nSteps: 99, Sampler: Euler, Seed: 1",
    "commas": "a, b, (c:1.3)",
    "long": "á" * MAX_PROMPT, "longest": "🦊" * MAX_PROMPT, "latin": "niño ¿qué?",
    "html": "<script>&amp;</script>",
    "brackets": "((([[[", "spaces": "   ", "empty": "", "json": '{"request": {}}',
    "zero width": "a\u200b\u200db\ufeff",
    "non-character": "\ufffe\uffff\U0010ffff", "percent": "%s %(x)s {0}",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", ["prompt", "negative"])
def test_hostile_prompts_come_back_exactly(name: str, field: str) -> None:
    """R28: our JSON chunk gives the very text; the file stays a PNG that Pillow reads."""
    asked = request(**{field: HOSTILE[name]})
    data = pictures.png(RED, Recipe(request=asked))
    assert pictures.recipe(data) == asked
    image = opened(data)
    image.load()
    assert set(image.info) >= {"parameters", "falopitas"}
    last = str(image.info["parameters"]).split("\n")[-1]
    assert last.startswith("Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 4, Seed: 7, Size: 128x128")
    assert not re.search(r"[\0-\x08\x0b-\x1f\x7f-\x9f]", str(image.info["parameters"]))


def test_control_the_parameters_alone_would_not_bring_them_back() -> None:
    """Why there is a JSON chunk: infotext cannot carry every prompt."""
    asked = request(prompt=HOSTILE["looks like infotext"])
    assert pictures.from_infotext(pictures.infotext(Recipe(request=asked))) != asked


@settings(deadline=None, max_examples=80)
@given(prompt=st.text(max_size=200), negative=st.text(max_size=60), seed=st.integers(0, 2**32 - 1))
def test_any_request_comes_back(prompt: str, negative: str, seed: int) -> None:
    asked = request(prompt=prompt, negative=negative, seed=seed, guidance=6.5, sampler="euler_a")
    assert pictures.recipe(pictures.png(RED, Recipe(request=asked))) == asked


def test_the_infotext_is_a1111s_form() -> None:
    asked = request(
        prompt="a (red:1.3) fox\nin snow", negative="blurry", sampler="dpmpp_2m_sde", guidance=7.0
    )
    assert pictures.infotext(Recipe(request=asked)) == (
        "a (red:1.3) fox\nin snow\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M SDE, CFG scale: 7, "
        f"Seed: 7, Size: 128x128, Model: builtin, Version: Falopitas {VERSION}"
    )


def test_a_variation_says_its_strength_and_an_enlargement_its_upscaler() -> None:
    made = pictures.infotext(Recipe(request=request(source="a" * 64, strength=0.6)))
    assert "Denoising strength: 0.6" in made
    big = pictures.infotext(Recipe(request=request(source="a" * 64, enlarge=4), upscaler="sticker"))
    assert "Postprocess upscale by: 4, Postprocess upscaler: sticker" in big
    assert "Denoising" not in big


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_has_a_name_that_reads_back(sampler: str) -> None:
    asked = request(sampler=sampler, prompt="one\ntwo", negative="three\nfour", steps=31, guidance=2.5)
    assert pictures.from_infotext(pictures.infotext(Recipe(request=asked))) == asked
    assert len(set(NAMES.values())) == len(NAMES) == len(SAMPLERS)


def test_infotext_of_other_tools_is_read() -> None:
    """As A1111 1.10 writes it, with its newer schedule field, quotes and fields that we do not know."""
    found = pictures.from_infotext(
        "masterpiece, <lora:x:0.8> cat\nNegative prompt: bad hands,\nworse feet\n"
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 123, "
        "Size: 512x768, Model hash: abc, Model: My Model v1.5, "
        'Lora hashes: "x: 12, y: 34", Version: v1.10.1'
    )
    assert found == Request(
        prompt="masterpiece, <lora:x:0.8> cat", negative="bad hands,\nworse feet", steps=28, guidance=7.5,
        seed=123, width=512, height=768, sampler="dpmpp_2m_karras", model="my-model-v1.5", count=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "a cat", "a\nSteps: 20", "a\nSteps: x, Sampler: Euler, Seed: 1", "a\nSteps: 1, Seed: -1, Size: 1x1"],
)
def test_what_is_no_infotext_is_none(text: str) -> None:
    assert pictures.from_infotext(text) is None


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=400))
def test_reading_infotext_never_raises(text: str) -> None:
    pictures.from_infotext(text)
    pictures.from_infotext(f"a\nSteps: 1, Sampler: {text}, Seed: {text}, Size: 64x64")


def test_hostile_infotext_is_linear() -> None:
    for text in ('k: "' * 10_000, "a: b," * 50_000, "Steps: " + '"\\' * 20_000, "\n" * 100_000):
        pictures.from_infotext("x\nSteps: 1, Seed: 2, CFG scale: 3, " + text)


# --- PNGs that are not ours


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def stuffed(*chunks: bytes) -> bytes:
    plain = pictures.png(RED)
    return plain[:33] + b"".join(chunks) + plain[33:]


def test_pillows_text_chunks_are_read() -> None:
    """tEXt, zTXt, iTXt plain and compressed, as other programs write them through Pillow."""
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "latin ñ")
    info.add_text("b", "packed" * 50, zip=True)
    info.add_itxt("c", "emoji 🦊", lang="es", tkey="x")
    info.add_itxt("d", "packed 🦊", zip=True)
    out = io.BytesIO()
    Image.fromarray(RED).save(out, "PNG", pnginfo=info)
    found = pictures.texts(out.getvalue())
    assert found == {"a": "latin ñ", "b": "packed" * 50, "c": "emoji 🦊", "d": "packed 🦊"}


def test_broken_chunks_are_passed_over() -> None:
    bomb = zlib.compress(b"a" * 50_000_000)
    for bad in (
        chunk(b"tEXt", b"falopitas"), chunk(b"iTXt", b"falopitas\0\0\0"), chunk(b"tEXt", b"falopitas\0{}"),
        chunk(b"tEXt", b"falopitas\0" + b"[" * 100_000), chunk(b"zTXt", b"falopitas\0\0garbage"),
        chunk(b"iTXt", b"falopitas\0\1\0\0\0" + bomb), b"\xff\xff\xff\xfftEXtxxxx",
    ):  # fmt: skip
        assert pictures.recipe(stuffed(bad)) is None
    for junk in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", stuffed()[:40]):
        assert pictures.recipe(junk) is None


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_raising(data: bytes) -> None:
    pictures.recipe(b"\x89PNG\r\n\x1a\n" + data)
    pictures.recipe(stuffed(chunk(b"iTXt", b"falopitas\0" + data)))


# --- what a recipe says


def test_the_recipe_of_one_picture_draws_that_picture() -> None:
    whole = Request(prompt="a", seed=2**32 - 2, count=4)
    assert [pictures.of_picture(whole, i).seed for i in range(4)] == [2**32 - 2, 2**32 - 1, 0, 1]
    assert pictures.of_picture(whole, 1).count == 1


def test_no_recipe_can_name_a_person() -> None:
    """Its fields are all there is in a file; none holds an account, a name or a chat."""
    assert set(Recipe.__struct_fields__) == {
        "request", "version", "fingerprint", "dtype", "device", "torch", "upscaler",
    }  # fmt: skip
    for word in ("who", "account", "user", "author", "flow", "place", "job"):
        assert word not in set(Request.__struct_fields__) | set(Recipe.__struct_fields__)


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION


def test_the_json_is_ascii_and_small() -> None:
    text = pictures.to_json(Recipe(request=request(prompt="ñ\u202e\n"), dtype="float32"))
    assert text.isascii()
    assert msgspec.json.decode(text, type=Recipe).dtype == "float32"
