"""R24: no hostile model file is loaded, none is executed, and each is refused with the right word."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from inference.models import CODES, BadModel, load, plan
from inference.request import ModelSpec
from tests.inference import tiny
from tests.inference.corpora import model_files as corpus
from tests.inference.corpora.model_files import CASES, Case, Good


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    at = tmp_path_factory.mktemp("good")
    tiny.folder_xl(at / "xl", kind="kl")
    return Good(
        tiny.folder(at / "folder", kind="kl"),
        tiny.single_file(at / "one.safetensors"),
        tiny.single_file_xl(at / "xl.safetensors"),
    )


@pytest.fixture(autouse=True)
def canary(good: Good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that executed code would write to; single files have the tiny models' shapes."""
    monkeypatch.setenv(corpus.CANARY, str(tmp_path / "canary"))
    monkeypatch.setattr(plan, "SD15", good.folder)
    monkeypatch.setattr(plan, "SDXL", good.folder.parent / "xl")
    return tmp_path / "canary"


def attempt(source: Path) -> None:
    load(ModelSpec(name="hostile", source=str(source)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_by_name_and_not_executed(case: Case, good: Good, tmp_path: Path, canary: Path) -> None:
    at = tmp_path / "at"
    at.mkdir()
    source = case.make(good, at)
    start = time.process_time()
    with pytest.raises(BadModel) as caught:
        attempt(source)
    assert time.process_time() - start < 5
    assert caught.value.code == case.code, caught.value.detail
    assert str(tmp_path) not in caught.value.detail
    assert caught.value.detail.isprintable()
    assert not canary.exists()


def test_what_the_cases_are_made_from_is_good(good: Good) -> None:
    """Without the spoiling both load: the refusals above have the reason that they name."""
    attempt(good.folder)
    attempt(good.file)
    attempt(good.file_xl)


def test_the_corpus_covers_its_classes() -> None:
    codes = Counter(case.code for case in CASES)
    assert len(CASES) >= 80
    assert set(codes) == set(CODES) - {"model_too_big", "model_checksum"}  # those two: test_models.py
    assert min(codes.values()) >= 5
    assert len({case.name for case in CASES}) == len(CASES)


def test_control_a_plain_torch_load_is_executed(tmp_path: Path, canary: Path) -> None:
    """The canary sings: what naive loaders do with these very bytes runs their code."""
    trap = next(case for case in CASES if case.name == "torch zip as ckpt")
    torch.load(trap.make(Good(tmp_path, tmp_path, tmp_path), tmp_path), weights_only=False)
    assert canary.read_text() == "x"


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_never_escapes(seed: int, good: Good, tmp_path: Path, canary: Path) -> None:
    """Bytes changed anywhere in the header: a BadModel, or nothing where it did not matter."""
    rng = random.Random(seed)
    data = good.file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    for _ in range(15):
        spoiled = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            spoiled[rng.randrange(end)] = rng.randrange(256)
        (tmp_path / "m.safetensors").write_bytes(spoiled)
        try:
            attempt(tmp_path / "m.safetensors")
        except BadModel as error:
            assert error.code in CODES  # noqa: PT017 - either outcome is right, no other is
    assert not canary.exists()
