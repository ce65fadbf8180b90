"""Scenes draw what they say, and held-out ones never reach the training."""

from __future__ import annotations

import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.training.concepts import STYLES
from inference.training.evaluate import unseen_scenes, unseen_styles
from inference.training.scenes import Scene, draw, fraction, held_out, scene_held_out, style_held_out
from inference.training.scorer import background_of, scorer_scene
from inference.training.studio import Studio, on_canvas, training_scene
from inference.training.words import BACKGROUNDS, SIZES


def test_the_split_is_the_same_on_every_machine() -> None:
    """The hash is pinned: a change of it would leak held-out scenes into a continued training."""
    assert round(fraction("scene", "fox", "blue", "small"), 6) == FRACTION


FRACTION = 0.856392


def test_about_an_eighth_of_the_scenes_are_held_out() -> None:
    """Enough to ask about every concept, few enough to learn from the rest."""
    things = [f"thing-{n}" for n in range(200)]
    picks = [scene_held_out(t, b, s) for t in things for b in BACKGROUNDS for s in SIZES]
    assert 0.1 < sum(picks) / len(picks) < 0.14


def test_the_plain_view_is_never_held_out() -> None:
    """A thing that was never seen at all could not be asked for."""
    assert not any(scene_held_out(f"thing-{n}", "white", "normal") for n in range(1000))


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_training_never_sees_a_held_out_scene(seed: int, progress: float) -> None:
    """Neither alone nor in company, early or late."""
    from pathlib import Path

    from tests.training.conftest import FakeStudio

    assert not held_out(training_scene(FakeStudio(Path()), random.Random(seed), progress))


def test_the_scorer_learns_no_scene_that_measures_its_ceiling(studio: Studio) -> None:
    """It may know every style, but not the held-out places."""
    rng = random.Random(1)
    scenes = [scorer_scene(studio, rng) for _ in range(200)]
    assert not any(scene_held_out(s.things[0], s.background, s.size) for s in scenes)


def test_the_evaluation_asks_only_about_held_out_scenes(studio: Studio) -> None:
    """Known styles in unknown places, and unknown styles."""
    questions = unseen_scenes(studio)
    assert questions
    for question in questions:
        scene = question.scene
        assert scene_held_out(scene.things[0], scene.background, scene.size)
        assert not style_held_out(scene.things[0], scene.style)
    assert all(style_held_out(q.scene.things[0], q.scene.style) for q in unseen_styles(studio))


def test_a_scene_is_drawn_where_it_says(studio: Studio) -> None:
    """A thing in the middle, the background around it, cut off at the border when it sticks out."""
    picture = draw(Scene(("cat",), "flat", "blue", "large"), studio.sprites)
    assert picture.shape == (3, 128, 128)
    assert tuple(picture[:, 0, 0].tolist()) == BACKGROUNDS["blue"]
    assert tuple(picture[:, 64, 64].tolist()) == (100, 100, 100)
    moved = draw(Scene(("cat",), "flat", "blue", "large", dx=90), studio.sprites)
    assert tuple(moved[:, 64, 30].tolist()) == BACKGROUNDS["blue"]


def test_two_things_stand_side_by_side_or_above_each_other(studio: Studio) -> None:
    """The first is left, or above."""
    beside = draw(Scene(("fox", "lion"), "3d", relation="beside"), studio.sprites)
    assert beside[0, 64, 32] < beside[0, 64, 96] < 255
    above = draw(Scene(("fox", "lion"), "3d", relation="above"), studio.sprites)
    assert above[0, 32, 64] < above[0, 96, 64] < 255
    wide = draw(on_canvas(Scene(("fox", "lion"), "3d", relation="beside"), (192, 128)), studio.sprites)
    assert wide.shape == (3, 128, 192)


def test_every_background_is_told_from_every_other(studio: Studio) -> None:
    """The evaluation reads the colour off the border."""
    pictures = torch.stack([draw(Scene(("fox",), STYLES[0], name), studio.sprites) for name in BACKGROUNDS])
    assert background_of(pictures.float() / 255) == list(BACKGROUNDS)
