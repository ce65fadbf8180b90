"""What is exported is a plain diffusers pipeline that draws, with a tokenizer that knows every text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from inference.models.sticker_upscaler import StickerUpscaler, load_upscaler
from inference.training import export
from inference.training.autoencoder import new_autoencoder
from inference.training.models import new_text_encoder, new_unet
from inference.training.sheet import PROMPTS, draw_prompts, mosaic
from inference.training.tokenizer import LENGTH, learn_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    """Learned on a handful of words."""
    return learn_tokenizer(["a fox on a blue background", "un león sobre fondo azul", "leon"] * 3, 200)


@pytest.fixture(scope="module")
def networks(tokenizer: CLIPTokenizer) -> export.Networks:
    """The shipped architecture, narrower, untrained."""
    torch.manual_seed(4)
    encoder = new_text_encoder(tokenizer, width=64, layers=1).eval()
    return export.Networks(new_autoencoder(16).eval(), tokenizer, encoder, new_unet((16, 32, 32), 64).eval())


@pytest.fixture(scope="module")
def folder(networks: export.Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder."""
    folder = tmp_path_factory.mktemp("builtin")
    export.export(networks, folder)
    export.export_upscaler(StickerUpscaler(8, 1), 8, 1, folder)
    export.write_checksums(folder)
    return folder


def test_the_pipeline_draws_in_every_size(folder: Path) -> None:
    """With nothing but the folder."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    for width, height in json.loads((folder / "falopitas.json").read_text())["sizes"]:
        picture = pipeline("a fox", num_inference_steps=1, width=width, height=height).images[0]
        assert picture.size == (width, height)


def test_loading_gives_the_exported_networks_back(folder: Path, networks: export.Networks) -> None:
    """Up to half precision, and in float32."""
    loaded = export.load(folder)
    assert loaded.unet is not None
    assert networks.unet is not None
    for mine, theirs in zip(networks.unet.parameters(), loaded.unet.parameters(), strict=True):
        assert theirs.dtype == torch.float32
        assert torch.allclose(mine, theirs, atol=1e-2)
    assert loaded.text_encoder.dtype == torch.float32


def test_checksums_cover_every_other_file(folder: Path) -> None:
    """So that a damaged file can be named."""
    sums = json.loads((folder / "checksums.json").read_text())
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(sums) == files - {"checksums.json"}
    assert all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == value for name, value in sums.items()
    )


@pytest.mark.parametrize("text", ["León", "🦊", "xyzzy", "", "a fox " * 60])
def test_every_text_has_tokens(tokenizer: CLIPTokenizer, text: str) -> None:
    """Unknown words are spelled in bytes; the end stands once, after the last of them."""
    ids = tokenizer(text, max_length=LENGTH, truncation=True).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in ids[:-1]
    assert len(ids) <= LENGTH


def test_case_does_not_matter_and_accents_do(tokenizer: CLIPTokenizer) -> None:
    """Captions teach both spellings."""
    assert tokenizer("LEÓN").input_ids == tokenizer("león").input_ids
    assert tokenizer("león").input_ids != tokenizer("leon").input_ids


def test_the_upscaler_comes_back(folder: Path) -> None:
    """Four times each way, any shape, in range."""
    model = load_upscaler(folder / "upscaler")
    with torch.no_grad():
        large = model(torch.rand(2, 3, 13, 9))
    assert large.shape == (2, 3, 52, 36)
    assert 0 <= float(large.min()) <= float(large.max()) <= 1


def test_drawing_is_repeatable_and_alone_equals_together(networks: export.Networks) -> None:
    """A picture depends on its own seed only."""
    together = draw_prompts(networks, ["a fox", "un león"], [1, 2], steps=2)
    alone = draw_prompts(networks, ["un león"], [2], steps=2)
    assert torch.allclose(together[1:], alone, atol=1e-4)
    assert mosaic(torch.cat([together, alone, alone]), 2).size == (256, 256)


def test_there_are_forty_eight_prompts() -> None:
    """Half of them Spanish."""
    assert len(PROMPTS) == 48
    assert len({prompt for prompt, _ in PROMPTS}) == 48
