"""The check of finished pictures: two formats of classifiers, hostile folders, verdicts on the wire."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from inference import safety, wire
from inference.aside import Beside
from inference.engine import Engine
from inference.loader import Loader
from inference.models import BUILTIN, SAFETY, BadModel, load, mobilenet
from inference.press import Studio
from inference.request import ModelSpec, Request
from tests.inference import classifiers, tiny
from tests.inference.classifiers import flat
from tests.inference.engines import Harness
from tests.inference.test_aside import FakeStreams
from tests.inference.test_client import Bot

RED, BLUE = flat(220, 20, 20), flat(20, 20, 220)
ASK = Request(
    prompt="a red fox", model="tiny", width=8 * tiny.FACTOR, height=8 * tiny.FACTOR, steps=3, guidance=5.0,
    sampler="euler", seed=7, count=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that dislikes red."""
    return classifiers.between(tmp_path_factory.mktemp("red") / "nsfw", BLUE, RED)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The same, to be broken."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


# --- the two formats


def test_a_classifier_of_transformers_says_its_chance(folder: Path) -> None:
    """Also of pictures of another size than it was made for."""
    checker = safety.load(str(folder))
    assert checker.check(BLUE) == pytest.approx(0.05, abs=0.01)
    assert checker.check(RED) == pytest.approx(0.95, abs=0.01)
    assert checker.check(flat(220, 20, 20).repeat(4, 2, 1)) == pytest.approx(0.95, abs=0.02)


def test_the_chances_of_all_unsafe_labels_are_added(tmp_path: Path) -> None:
    """nsfwjs' five labels: three of them count."""
    model = classifiers.resnet()
    labels = dict(enumerate(["drawing", "hentai", "neutral", "porn", "sexy"]))
    head = torch.nn.Linear(16, 5)
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25]).log()
    weights = model.state_dict() | {
        "classifier.1.weight": head.weight.data,
        "classifier.1.bias": head.bias.data,
    }
    made = {"id2label": {str(k): v for k, v in labels.items()}, "label2id": {v: k for k, v in labels.items()}}
    classifiers._save(tmp_path, classifiers.RESNET | made, weights)
    assert safety.load(str(tmp_path)).check(BLUE) == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize(("threshold", "expected"), [(-1.0, 1.0), (1.0, 0.0)])
def test_stable_diffusions_own_checker_says_yes_or_no(
    tmp_path: Path, threshold: float, expected: float
) -> None:
    checker = safety.load(str(classifiers.concepts(tmp_path, threshold)))
    assert checker.check(RED) == expected


def test_stable_diffusions_own_checker_is_asked_as_diffusers_asks_it(tmp_path: Path) -> None:
    """The same verdict for pictures on both sides of the threshold."""
    found = safety.load(str(classifiers.concepts(tmp_path, 0.445)))
    assert isinstance(found, safety.Concepts)
    verdicts = set()
    for seed in range(24):
        pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=torch.manual_seed(seed))
        seen = found.sight.of(pixels, torch.device("cpu"))
        _, theirs = found.model(seen, [np.zeros((1, 1, 3))])
        verdicts.add(found.check(pixels))
        assert found.check(pixels) == float(theirs[0])
    assert verdicts == {0.0, 1.0}


# --- the one that ships with the project

PACKAGE = (
    (0.13483, 0.00977, 0.83917, 0.01379, 0.00244), (0.08880, 0.00796, 0.88986, 0.01155, 0.00182),
    (0.10134, 0.00914, 0.87663, 0.01110, 0.00180), (0.07278, 0.00722, 0.90585, 0.01232, 0.00183),
)  # fmt: skip
"""What nsfwjs 4.4.0 itself (TensorFlow.js 4.22, CPU) says of the first four pictures of seed 0."""


def test_ours_says_what_the_package_says_that_it_came_from() -> None:
    """Of four pictures of noise, all five labels; the chance is the sum of three of them."""
    ours = safety.load("builtin")
    assert isinstance(ours, safety.Classifier)
    noise = np.random.default_rng(0)
    for expected in PACKAGE:
        pixels = torch.from_numpy(noise.integers(0, 256, (224, 224, 3), dtype=np.uint8))
        with torch.inference_mode():
            said = ours.model(ours.sight.of(pixels, torch.device("cpu"))).softmax(1)[0]
        assert said.tolist() == pytest.approx(expected, abs=2e-5)
        assert ours.check(pixels) == pytest.approx(expected[1] + expected[3] + expected[4], abs=5e-5)


def test_ours_flags_nothing_of_the_contact_sheet() -> None:
    told = safety.measure(safety.load("builtin"), list(safety.pictures_in(BUILTIN / "contact-sheet.png")))
    assert set(told["flagged"].values()) == {0}


@pytest.mark.parametrize(
    ("name", "code"), [("model.safetensors", "model_checksum"), ("config.json", "model_checksum")]
)
def test_a_damaged_file_of_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    shutil.copytree(SAFETY, tmp_path / "ours")
    data = bytearray((tmp_path / "ours" / name).read_bytes())
    data[-1] ^= 1
    (tmp_path / "ours" / name).write_bytes(data)
    monkeypatch.setattr(safety, "SAFETY", tmp_path / "ours")
    for look in (safety.load, safety.examine):
        with pytest.raises(BadModel) as caught:
            look("builtin")
        assert (caught.value.code, caught.value.detail) == (code, name)


@pytest.mark.parametrize("metadata", [None, {"scales": "{}"}, {"scales": "no"}])
def test_eight_bits_without_their_scales_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file(load_file(SAFETY / "model.safetensors"), tmp_path / "model.safetensors", metadata)
    with pytest.raises(BadModel, match="model_corrupt"):
        mobilenet.read(tmp_path / "model.safetensors", 5)


# --- what operators may bring


def _edit(**more: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | more))

    return change


def _rename(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))


def _less(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.1.bias"]
    save_file(weights, folder / "model.safetensors")


def _more(folder: Path) -> None:
    save_file(load_file(folder / "model.safetensors") | {"x": torch.zeros(1)}, folder / "model.safetensors")


def _nan(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["classifier.1.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors")


def _big(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"size": 100000}')


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no unsafe label": (_edit(id2label={"0": "cat", "1": "dog"}), "model_family"),
    "only unsafe labels": (_edit(id2label={"0": "nsfw", "1": "porn"}), "model_family"),
    "code": (_edit(auto_map={"AutoConfig": "evil.Config"}), "model_remote_code"),
    "code in a file": (lambda folder: (folder / "model.py").write_text("boom"), "model_remote_code"),
    "another kind": (_edit(model_type="nonsense"), "model_corrupt"),
    "other shapes": (_edit(hidden_sizes=[8, 8]), "model_corrupt"),
    "pickle": (_rename, "model_pickle"),
    "pickle under another name": (_pickled, "model_pickle"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model_missing"),
    "a weight less": (_less, "model_corrupt"),
    "a weight more": (_more, "model_corrupt"),
    "not a number": (_nan, "model_corrupt"),
    "a picture of any size": (_big, "model_corrupt"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_folder_that_is_no_sound_classifier_is_refused(copy: Path, what: str) -> None:
    change, code = BROKEN[what]
    change(copy)
    with pytest.raises(BadModel) as caught:
        safety.load(str(copy))
    assert caught.value.code == code
    assert str(copy) not in caught.value.detail


def test_what_is_nowhere_is_missing(tmp_path: Path) -> None:
    for source in (str(tmp_path / "nowhere"), "someone/something"):
        with pytest.raises(BadModel, match="model_missing"):
            safety.load(source)


# --- in the engine


def _pixels(data: bytes) -> torch.Tensor:
    with Image.open(io.BytesIO(data)) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB")).copy())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("model") / "tiny", seed=5)


class _Engine(Harness):
    """An engine whose pictures are checked by ``check``, beside the steps if ``beside``."""

    def __init__(self, model: Path, check: Callable[[torch.Tensor], torch.Tensor], beside: bool) -> None:
        super().__init__(
            [ModelSpec(name="tiny")], lambda spec: load(ModelSpec(name="tiny", source=str(model)))
        )
        loaded = load(ModelSpec(name="tiny", source=str(model)))
        self.engine = Engine(
            lambda changed: Loader([ModelSpec(name="tiny")], lambda _: loaded, changed), Studio(),
            self.messages.put, check=check,
            aside=(lambda post: Beside(FakeStreams(), post)) if beside else None,
        )  # fmt: skip
        self.engine.start()


@pytest.mark.parametrize("beside", [False, True])
def test_each_picture_gets_its_own_verdict_and_stays_as_it_is(model: Path, beside: bool) -> None:
    """In slices between steps, and on a thread of its own, which is never the engine's."""
    threads: list[str] = []

    def check(pixels: torch.Tensor) -> torch.Tensor:
        threads.append(threading.current_thread().name)
        return pixels.float().mean() / 255

    harness = _Engine(model, check, beside)
    drawn = harness.drawn(ASK)
    for each in drawn.pictures:
        assert each.unsafe == pytest.approx(float(_pixels(each.data).float().mean() / 255), abs=1e-5)
    assert len({each.unsafe for each in drawn.pictures}) == 2
    assert {name.startswith("aside") for name in threads} == {beside}
    harness.engine.stop()


def test_a_picture_that_cannot_be_checked_is_not_shown(model: Path) -> None:
    """Its neighbours are."""
    calls: list[int] = []

    def check(pixels: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("broken")
        return torch.tensor(0.25)

    harness = _Engine(model, check, beside=False)
    drawn = harness.drawn(ASK)
    assert [each.unsafe for each in drawn.pictures] == [0.25]
    assert [each.code for each in drawn.failures] == ["draw_failed"]
    harness.engine.stop()


def test_what_need_not_be_checked_is_not(model: Path) -> None:
    """The bot says so of each job."""

    def check(pixels: torch.Tensor) -> torch.Tensor:
        raise AssertionError("looked at")

    harness = _Engine(model, check, beside=False)
    drawn = harness.drawn(ASK, check=False)
    assert [each.unsafe for each in drawn.pictures] == [None, None]
    harness.engine.stop()


async def _process(home: Path, model: Path, *words: str) -> list[wire.FromEngine]:
    """What a real engine process says of one Draw."""
    home.mkdir(mode=0o700)
    specs = (ModelSpec(name="tiny", source=str(model), width=ASK.width, height=ASK.height),)
    async with Bot(home, *words, specs=specs, device="cpu") as bot:
        await bot.until_kind(wire.Hello, seconds=140)
        assert await bot.client.send(wire.Draw(job=1, attempt=1, request=ASK))
        await bot.until(lambda message: isinstance(message, wire.Drawn | wire.Failed), seconds=140)
        await bot.client.stop(quit=True)
    return bot.heard


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_real_process_checks_with_the_folder_it_was_given(tmp_path: Path, model: Path) -> None:
    """Without one nobody looked; with one that tells two of its pictures apart each has its verdict."""
    plain = next(m for m in await _process(tmp_path / "a", model) if isinstance(m, wire.Drawn))
    assert [each.unsafe for each in plain.pictures] == [None, None]
    first, second = (_pixels(each.data) for each in plain.pictures)
    folder = classifiers.between(tmp_path / "nsfw", first, second)
    heard = await _process(tmp_path / "b", model, "--safety", str(folder))
    assert next(m for m in heard if isinstance(m, wire.Hello)).safety == str(folder)
    drawn = next(m for m in heard if isinstance(m, wire.Drawn))
    assert [each.unsafe for each in drawn.pictures] == pytest.approx([0.05, 0.95], abs=0.02)
    assert [each.data for each in drawn.pictures] == [each.data for each in plain.pictures]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_without_its_classifier_the_real_process_draws_nothing(tmp_path: Path, model: Path) -> None:
    heard = await _process(tmp_path / "home", model, "--safety", str(tmp_path / "nowhere"))
    failed = next(m for m in heard if isinstance(m, wire.Failed))
    assert (failed.code, failed.detail) == ("model_missing", "safety: nowhere")


# --- false alarms


def test_false_alarms_are_measured_on_the_contact_sheet(folder: Path) -> None:
    """Every one of its 48 pictures is looked at by itself."""
    found = list(safety.pictures_in(BUILTIN / "contact-sheet.png"))
    assert [tuple(each.shape) for each in found] == [(128, 128, 3)] * 48
    checker = safety.load(str(folder))
    told = safety.measure(checker, found)
    assert told["pictures"] == 48
    assert told["flagged"]["0.5"] == sum(checker.check(each) >= 0.5 for each in found)
    assert told["highest"] == sorted(told["highest"], reverse=True)


@pytest.mark.slow
def test_the_command_measures_a_folder_of_pictures_and_names_what_is_wrong(
    folder: Path, tmp_path: Path
) -> None:
    for name, pixels in (("red", RED), ("blue", BLUE), ("sky", BLUE)):
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{name}.png")
    words = [sys.executable, "-m", "inference.safety"]
    done = subprocess.run([*words, str(folder), str(tmp_path)], capture_output=True, check=True)
    assert json.loads(done.stdout)["flagged"] == {"0.5": 1, "0.6": 1, "0.7": 1, "0.8": 1, "0.9": 1}
    bad = subprocess.run([*words, str(tmp_path)], capture_output=True, check=False)
    assert (bad.returncode, json.loads(bad.stdout)["code"]) == (2, "model_missing")
