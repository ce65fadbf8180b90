"""Enlarging pictures of ours, and nothing else."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inference import pictures, upscale
from inference.models import BUILTIN
from inference.models.sticker_upscaler import StickerUpscaler
from inference.pictures import Recipe
from inference.request import Request


def ours(height: int, width: int) -> bytes:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (200, 40, 40)
    return pictures.png(pixels, Recipe(request=Request(prompt="a")))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_sticker_goes_through_the_learned_upscaler(factor: int) -> None:
    pixels, by = upscale.enlarge(ours(24, 32), factor)
    assert (pixels.shape, str(pixels.dtype), by) == ((24 * factor, 32 * factor, 3), "uint8", "sticker")
    assert np.abs(pixels[4, 4].astype(int) - (200, 40, 40)).max() < 40


def test_it_is_the_networks_own_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = StickerUpscaler(8, 1).eval()
    monkeypatch.setattr(upscale, "upscaler", lambda _: model)
    data = ours(8, 8)
    pixels, _ = upscale.enlarge(data, 4, tmp_path)
    given = torch.from_numpy(np.array(upscale.opened(data))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        expected = model(given)[0].permute(1, 2, 0).mul(255).round()
    assert np.array_equal(pixels, expected.to(torch.uint8).numpy())


def test_large_pictures_keep_lanczos() -> None:
    pixels, by = upscale.enlarge(ours(64, 512), 2)
    assert (pixels.shape, by) == ((128, 1024, 3), "lanczos")


def test_without_an_upscaler_lanczos_says_so(tmp_path: Path) -> None:
    assert upscale.enlarge(ours(16, 16), 4, tmp_path)[1] == "lanczos"


def test_a_damaged_upscaler_is_not_used(tmp_path: Path) -> None:
    shutil.copytree(BUILTIN / "upscaler", tmp_path / "upscaler")
    shutil.copy(BUILTIN / "checksums.json", tmp_path)
    assert upscale.upscaler(tmp_path) is not None
    upscale.upscaler.cache_clear()
    weights = tmp_path / "upscaler" / "upscaler.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert upscale.enlarge(ours(16, 16), 4, tmp_path)[1] == "lanczos"


def foreign(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", foreign("PNG"), foreign("JPEG"), foreign("GIF"), ours(8, 8)[:-30], ours(8, 8)[:20]],
    ids=["empty", "text", "foreign png", "jpeg", "gif", "cut", "cut early"],
)
def test_it_opens_only_pictures_of_ours(data: bytes) -> None:
    with pytest.raises(OSError, match=r"."):
        upscale.enlarge(data, 2)


def test_a_result_that_would_be_too_large_is_refused() -> None:
    with pytest.raises(OSError, match="larger than 2048"):
        upscale.enlarge(ours(16, 600), 4)
