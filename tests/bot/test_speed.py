"""Measured speed: remembered, sane, told as a range."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.speed import GUESS, Speed
from inference.request import Request

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
