"""The shipped weights still draw what the recorded evaluation says."""

from __future__ import annotations

import json

import pytest

from inference.training import scorer
from inference.training.evaluate import sheet_score
from inference.training.export import SHIPPED, load
from inference.training.scorer import FOLDER
from inference.training.sheet import draw_prompts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_contact_sheet_scores_what_was_recorded() -> None:
    """At least 90 % of it: a broken tokenizer, scheduler or weight file shows here."""
    networks = load(SHIPPED)
    recorded = json.loads((SHIPPED / "evaluation.json").read_text())["contact_sheet_top1"]
    score = sheet_score(lambda prompts, seeds: draw_prompts(networks, prompts, seeds), scorer.load())
    assert score >= 0.9 * recorded


def test_the_scorer_is_small() -> None:
    """It ships with the evaluation: 4 MB at most."""
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4_000_000
