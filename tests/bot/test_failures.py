"""What inference may fail with is a sentence to a person, with what to do next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot import texts
from bot.commands.finished import failed
from inference.models import CODES
from inference.request import Request
from inference.samplers import PLAIN
from storage.jobs import Job, Status

ROOT = Path(__file__).parents[2]
SAID = re.compile(r'(?:BadSampler\(|code\s*=\s*|failed\([^"]*|_only\([^"]*)\s*"(\w+)"')
"""How the sources of inference name a failure."""


def codes() -> set[str]:
    found = {
        code for file in (ROOT / "inference").glob("*.py") for code in SAID.findall(file.read_text("utf-8"))
    }
    return found | set(CODES)


def job(code: str, language: str) -> Job:
    request = Request(prompt="a fox", model="mine", sampler="ddim", steps=7)
    return Job(
        id=1, account=1, key="key", request=request, price=1, cost=1.0, turn=0.0, status=Status.FAILED,
        attempt=1, place="cli:1", language=language, created=0.0, started=None, finished=None, parent=None,
        parent_index=None, code=code, suspect=False, deaths=0, private=False, seconds=0.0,
    )  # fmt: skip


def test_the_sources_name_the_failures_we_know_of() -> None:
    """The control: the pattern finds what is there."""
    assert {"sampler_not_linear", "sampler_steps", "broken_picture", "out_of_memory", "bad_size"} <= codes()


@pytest.mark.parametrize("language", texts.LANGUAGES)
@pytest.mark.parametrize("code", sorted(codes()))
def test_every_failure_has_its_own_sentence_and_a_next_step(code: str, language: str) -> None:
    shown = failed(job(code, language), "needs 9.9 GB, 1.0 GB free").text
    own = texts.say(language, f"refusal.{code}", model="mine", detail="needs 9.9 GB, 1.0 GB free",
                    sampler="ddim", steps=7)  # fmt: skip
    assert own in shown
    assert texts.has(f"refusal.{code}.next")
    assert shown.count("\n") == 2


def test_a_sampler_that_is_not_linear_is_refused_by_name_with_what_to_use() -> None:
    shown = failed(job("sampler_not_linear", "en")).text
    assert "ddim" in shown
    assert f"--sampler {PLAIN}" in shown


def test_a_model_that_does_not_fit_says_how_much_it_needs_and_what_would_help() -> None:
    shown = failed(job("model_too_big", "en"), "needs 9.9 GB, 1.0 GB free").text
    assert "needs 9.9 GB, 1.0 GB free" in shown
    assert "would fit" in shown
