"""Measured speed: remembered, sane, told as a range."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from bot.speed import GUESS, Pace, Range, Speed
from inference.request import ModelSpec, Request

FOX = Request(prompt="fox", width=64, height=64, count=2)


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    Speed(tmp_path).learn({"builtin": 2.0})
    assert Speed(tmp_path).seconds(FOX) == pytest.approx(2.0 * FOX.work)
    assert Speed(tmp_path).known("builtin")


@pytest.mark.parametrize("figure", [0.0, -1.0, float("inf"), float("nan"), 1e9])
def test_nonsense_is_not_learnt(tmp_path: Path, figure: float) -> None:
    speed = Speed(tmp_path)
    speed.learn({"builtin": figure})
    assert speed.seconds(FOX) == pytest.approx(GUESS * FOX.work)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"builtin": "fast"}', b'{"builtin": -1}', b"\xff"])
def test_a_damaged_file_is_no_trouble(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "speed.json").write_bytes(content)
    assert not Speed(tmp_path).known("builtin")


def test_a_guess_is_wider_than_a_measured_range() -> None:
    speed = Speed()
    known, guess = speed.range(10.0), speed.range(10.0, measured=False)
    assert guess.low < known.low < 10 < known.high < guess.high
    assert (known.measured, guess.measured) == (True, False)


def test_a_range_is_as_wide_as_promises_were_wrong(tmp_path: Path) -> None:
    """Four of five waits end within what was told, and the next bot knows it too."""
    speed = Speed(tmp_path)
    took = [0.8 + 0.01 * n for n in range(100)]
    for seconds in took:
        speed.kept(10.0, 10.0 * seconds)
    told = speed.range(10.0)
    assert told == Speed(tmp_path).range(10.0)
    inside = [seconds for seconds in took if told.low <= 10.0 * seconds <= told.high - 1.0 + 1e-9]
    assert 0.78 <= len(inside) / len(took) <= 0.82


@pytest.mark.parametrize("content", [b"", b"{}", b'["a"]', b"[-1, 0, 1e999]", b"\xff"])
def test_damaged_promises_are_no_trouble(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "promises.json").write_bytes(content)
    assert Speed(tmp_path).ratios == []


def test_in_company_a_picture_takes_its_steps() -> None:
    speed = Speed()
    assert speed.in_company(FOX) == 0.0
    speed.learn({"builtin": 2.0}, {"builtin": 16.0})
    assert speed.in_company(FOX) == pytest.approx(FOX.steps * FOX.megapixels * 16.0)


def test_steps_without_guidance_are_cheaper_in_a_usual_picture_too() -> None:
    """It is as long as the rows that are really run: 20 steps, the first half of them with two."""
    speed = Speed()
    speed.learn({"half": 2.0})
    half = ModelSpec(name="half", width=1000, height=1000, steps=20, guided=(0.0, 0.5))
    assert speed.seconds(half.standard) == pytest.approx(2.0 * 30)
    assert speed.seconds(replace(half.standard, guided=(0.0, 1.0))) == pytest.approx(2.0 * 40)


def _left(pace: Pace) -> Range:
    assert pace.left is not None
    return pace.left


def test_of_a_job_that_has_not_moved_yet_nothing_is_said() -> None:
    pace = Pace()
    assert pace.left is None
    pace.heard(0.1, 100.0)
    assert pace.left is None
    pace.heard(0.1, 101.0)
    assert pace.left is None


def test_what_is_left_goes_down_second_by_second() -> None:
    """A job of 20 s that moves evenly: from its second word on what is told holds, and shrinks with it."""
    pace, told = Pace(), []
    for tenth in range(1, 11):
        pace.heard(tenth / 10, 2.0 * tenth)
        if tenth > 1:
            told.append(_left(pace))
            assert told[-1].measured
            assert told[-1].low <= 20.0 - 2.0 * tenth <= told[-1].high
    assert [earlier.high - later.high for earlier, later in pairwise(told)] == pytest.approx([3.0] * 8)
    assert told[-1] == Range(0.0, 1.0)


def test_who_comes_to_share_the_steps_is_felt_soon() -> None:
    """One second a hundredth at first, then three: after twice the time nothing else counts."""
    pace = Pace()
    for hundredth in range(1, 31):
        pace.heard(hundredth / 100, float(hundredth))
    for more in range(1, 31):
        pace.heard((30 + more) / 100, 30.0 + 3.0 * more)
    left = _left(pace)
    assert left.low < 3.0 * 40 < left.high
    assert left.high == pytest.approx(1.5 * 3.0 * 40 + 1.0)


def test_a_job_that_is_begun_again_is_measured_again() -> None:
    pace = Pace()
    for tenth in range(1, 9):
        pace.heard(tenth / 10, float(tenth))
    pace.heard(0.1, 100.0)
    assert pace.left is None
    assert pace.share == 0.1
    pace.heard(0.2, 110.0)
    assert _left(pace).high == pytest.approx(1.5 * 80.0 + 1.0)
