"""A code says a picture's latents, and the lookup becomes layers of an ordinary CLIP text encoder."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import CLIPTokenizer

from inference.training.code import WIDTH, Code
from inference.training.models import new_text_encoder
from inference.training.tokenizer import LENGTH, learn_tokenizer
from inference.training.train_lookup import Lookup, joined, streams
from inference.training.train_text import tokenize

SHAPE = (2, 12, 16)


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    """Learned on a handful of words."""
    return learn_tokenizer(["a fox on a blue background", "un león sobre fondo azul"] * 3, 200)


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    """Pictures that 40 numbers tell apart, and a little noise."""
    torch.manual_seed(20)
    mixed = torch.randn(600, 40) @ torch.randn(40, 384) / 6
    return (mixed + 0.01 * torch.randn(600, 384)).view(600, *SHAPE)


def test_a_code_is_level_and_as_long_as_every_other(latents: torch.Tensor) -> None:
    """So that a layer norm can say it: mean 0, variance 1."""
    codes = Code.of(latents).encode(latents)
    assert codes.shape == (600, WIDTH)
    assert codes.mean(dim=1).abs().max() < 1e-4
    assert (codes.var(dim=1, unbiased=False) - 1).abs().max() < 1e-3


def test_decoding_a_code_gives_the_latents_back(latents: torch.Tensor) -> None:
    """Up to what its axes leave out, and the one picture in 200 that is cut short."""
    code = Code.of(latents)
    errors = (code.decode(code.encode(latents), SHAPE) - latents).square().mean(dim=(1, 2, 3))
    assert errors.median() < 0.01 * latents.var()
    assert (errors > 0.05 * latents.var()).float().mean() < 0.02


def test_nothing_is_the_mean_picture(latents: torch.Tensor) -> None:
    """The empty caption's code decodes to it."""
    code = Code.of(latents)
    said = code.decode(code.nothing()[None], SHAPE)
    assert torch.allclose(said.flatten(), code.mean, atol=1e-3)


def test_the_joined_encoder_says_what_the_lookup_says(tokenizer: CLIPTokenizer) -> None:
    """At every place of every caption: the new layers' attention adds nothing."""
    torch.manual_seed(21)
    encoder = new_text_encoder(tokenizer, width=64, layers=1).eval()
    lookup = Lookup(64, 256, 2)
    ids = tokenize(tokenizer, ["a fox", "un león sobre fondo azul", ""])
    whole = joined(encoder, lookup, tokenizer)
    with torch.no_grad():
        stream = encoder(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        assert torch.allclose(whole(input_ids=ids).last_hidden_state, lookup(stream), atol=1e-4)
    assert whole.config.num_hidden_layers == 3


def test_the_lessons_are_taken_from_the_end_of_the_caption_on(tokenizer: CLIPTokenizer) -> None:
    """Before its end a caption's states cannot know all of it."""
    torch.manual_seed(22)
    encoder = new_text_encoder(tokenizer, width=64, layers=1).eval()
    ids = tokenize(tokenizer, ["a fox on a blue background"])
    end = ids[0].tolist().index(tokenizer.eos_token_id)
    kept = streams(encoder, ids, random.Random(1))
    with torch.no_grad():
        whole = encoder(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
    assert torch.allclose(kept[0, 0].float(), whole[end], atol=0.02)
    assert torch.allclose(kept[0, 2].float(), whole[LENGTH - 1], atol=0.02)
