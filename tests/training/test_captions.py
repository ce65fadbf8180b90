"""Captions say what the scene shows, in the language asked for, the same for the same seed."""

from __future__ import annotations

import random

import pytest

from inference.training.captions import Habits, caption, plain, unaccented
from inference.training.concepts import LANGUAGES, STYLES
from inference.training.scenes import Scene
from inference.training.studio import Studio
from inference.training.words import (
    BACKGROUND_WORDS,
    BACKGROUNDS,
    RELATIONS,
    SIZE_WORDS,
    SIZES,
    STYLE_PHRASES,
)

SCENE = Scene(("lion",), "flat", "blue", "small")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_that_matters_is_said(studio: Studio, language: str) -> None:
    """Thing, size, style and background, whatever the order."""
    habits = Habits(label=1, style=1, unaccented=0)
    for seed in range(50):
        text = caption(SCENE, studio.by_key, random.Random(seed), language, habits)
        assert studio.by_key["lion"].names[language][0] in text
        assert any(word in text for word in SIZE_WORDS[language]["small"])
        assert any(word in text for word in STYLE_PHRASES[language]["flat"])
        assert any(word in text for word in BACKGROUND_WORDS[language]["blue"])


def test_the_same_seed_says_the_same(studio: Studio) -> None:
    """Training is repeatable."""
    first, second = (caption(SCENE, studio.by_key, random.Random(7)) for _ in range(2))
    assert first == second


def test_some_captions_lose_their_accents(studio: Studio) -> None:
    """People type "leon"."""
    texts = {caption(SCENE, studio.by_key, random.Random(seed), "es", Habits(label=1)) for seed in range(100)}
    assert any("león" in text for text in texts)
    assert any("leon" in text for text in texts)
    assert unaccented("ñandú") == "nandu"


def test_the_plain_caption_is_short_and_complete(studio: Studio) -> None:
    """It is what the evaluation asks with."""
    assert plain(SCENE, studio.by_key, "en") == "small lion flat style on a blue background"
    assert plain(SCENE, studio.by_key, "es") == "león pequeño estilo plano sobre fondo azul"
    two = Scene(("fox", "cat"), "3d", "pink", relation="beside")
    assert plain(two, studio.by_key, "es") == "zorro y gato en 3d sobre fondo rosa"


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_languages_have_words_for_everything(language: str) -> None:
    """A background, size, style or relation without a word could never be asked for."""
    assert set(BACKGROUND_WORDS[language]) == set(BACKGROUNDS)
    assert set(SIZE_WORDS[language]) == set(SIZES) - {"normal"}
    assert set(STYLE_PHRASES[language]) == set(STYLES)
    assert set(RELATIONS[language]) == {"beside", "above"}
