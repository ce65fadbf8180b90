"""A Scene in words: many ways to ask for the same picture, in English and in Spanish."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from inference.training.concepts import LANGUAGES, Concept
from inference.training.scenes import Scene
from inference.training.words import (
    ARTICLES,
    BACKGROUND_PHRASES,
    BACKGROUND_WORDS,
    FILLERS,
    OPENINGS,
    RELATIONS,
    SIZE_WORDS,
    STYLE_PHRASES,
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How captions are worded: probabilities in [0, 1]."""

    label: float = 0.6  # the label rather than another name
    article: float = 0.6
    filler: float = 0.25
    opening: float = 0.06
    style: float = 0.95  # the style is said
    default_style: float = 0.5  # the style is said when it is "3d", what unsaid styles mean
    unaccented: float = 0.2  # "leon" for "león", as people type
    tag: float = 0.06  # a tag of the thing stands after it


def caption(
    scene: Scene,
    concepts: Mapping[str, Concept],
    rng: random.Random,
    language: str | None = None,
    habits: Habits | None = None,
) -> str:
    """Say what the scene shows; a white background is mostly left unsaid, as people leave it."""
    habits = habits or Habits()
    language = language or rng.choice(LANGUAGES)
    parts = [_things(scene, concepts, rng, language, habits)]
    if rng.random() < (habits.default_style if scene.style == "3d" else habits.style):
        _put(
            parts,
            rng.choice(STYLE_PHRASES[language][scene.style]),
            rng,
            before=0.3 if language == "en" else 0.1,
        )
    if scene.background != "white" or rng.random() < 0.15:
        word = rng.choice(BACKGROUND_WORDS[language][scene.background])
        _put(parts, rng.choice(BACKGROUND_PHRASES[language]).format(word), rng, before=0.1)
    text = rng.choice((" ", " ", ", ")).join(parts)
    if rng.random() < habits.opening:
        text = f"{rng.choice(OPENINGS[language])} {text}"
    return unaccented(text) if rng.random() < habits.unaccented else text


def plain(scene: Scene, concepts: Mapping[str, Concept], language: str) -> str:
    """The one caption that evaluation asks with: label, style, size and background, all said."""
    names = [concepts[thing].names[language][0] for thing in scene.things]
    size = SIZE_WORDS[language].get(scene.size, ("",))[0]
    if scene.relation is not None:
        thing = f" {RELATIONS[language][scene.relation][0]} ".join(names)
    else:
        thing = f"{size} {names[0]}" if language == "en" else f"{names[0]} {size}"
    style = STYLE_PHRASES[language][scene.style][1]
    word = BACKGROUND_WORDS[language][scene.background][0]
    return " ".join(f"{thing} {style} {BACKGROUND_PHRASES[language][0].format(word)}".split())


def unaccented(text: str) -> str:
    """The text without combining marks: "león" becomes "leon"."""
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


def _put(parts: list[str], phrase: str, rng: random.Random, before: float) -> None:
    parts.insert(0 if rng.random() < before else len(parts), phrase)


def _things(
    scene: Scene, concepts: Mapping[str, Concept], rng: random.Random, language: str, habits: Habits
) -> str:
    said = [_thing(concepts[thing], scene.size, rng, language, habits) for thing in scene.things]
    if scene.relation is None:
        return said[0]
    return f"{said[0]} {rng.choice(RELATIONS[language][scene.relation])} {said[1]}"


def _thing(concept: Concept, size: str, rng: random.Random, language: str, habits: Habits) -> str:
    names = concept.names[language]
    words = [names[0] if rng.random() < habits.label else rng.choice(names)]
    if rng.random() < habits.filler:
        _put(words, rng.choice(FILLERS[language]), rng, before=0.9 if language == "en" else 0.3)
    if size in SIZE_WORDS[language]:
        _put(words, rng.choice(SIZE_WORDS[language][size]), rng, before=0.9 if language == "en" else 0.3)
    if rng.random() < habits.article:
        words.insert(0, rng.choice(ARTICLES[language]))
    if concept.tags[language] and rng.random() < habits.tag:
        words.append(rng.choice(concept.tags[language]))
    return " ".join(words)
