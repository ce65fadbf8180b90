"""SDXL on the same engine: equal to diffusers' own pipeline, with neighbours; refused when it is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils
from safetensors.torch import load_file, save_file

from inference import samplers
from inference.models import BadModel, examine, ldm, load, plan, sd
from inference.models.files import Folder
from inference.models.sdxl import StableDiffusionXL
from inference.models.tokens import load_tokenizer
from inference.request import ModelSpec, Request
from tests.inference import tiny
from tests.inference.engines import Harness, Spy, running

SIDE = 8 * tiny.FACTOR


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder_xl(tmp_path_factory.mktemp("sdxl") / "xl", seed=3)


@pytest.fixture(scope="module")
def spy(folder: Path) -> Spy:
    return Spy(load(ModelSpec(name="xl", source=str(folder))))


@pytest.fixture(scope="module")
def harness(spy: Spy) -> Iterator[Harness]:
    with running(("xl", spy)) as harness:
        yield harness


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

    made: Any = StableDiffusionXLPipeline.from_pretrained(
        folder, local_files_only=True, low_cpu_mem_usage=False, add_watermarker=False
    )
    made.set_progress_bar_config(disable=True)
    return made


def ask(**more: Any) -> Request:
    given: dict[str, Any] = {
        "prompt": "a red fox", "model": "xl", "width": SIDE, "height": SIDE, "steps": 5, "guidance": 5.0,
        "sampler": "euler", "seed": 1, "count": 1,
    }  # fmt: skip
    return Request(**(given | more))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prompt", ["a red fox", "", "gato on the background"])
def test_conditioning_equals_the_pipelines(spy: Spy, pipeline: Any, prompt: str) -> None:
    """Both encoders before their last layer, the second one's pooled text, and nothing for nothing."""
    embeds, negative, pooled, negative_pooled = pipeline.encode_prompt(prompt)
    ours, nothing = spy.encode([prompt or "fox", ""])
    if prompt:
        assert torch.allclose(ours[:-1], embeds[0], atol=1e-6)
        assert torch.allclose(ours[-1, : tiny.XL_DIM], pooled[0], atol=1e-6)
    assert torch.equal(nothing[:-1], negative[0])
    assert torch.equal(nothing[-1, : tiny.XL_DIM], negative_pooled[0])
    assert spy.encode(["a red fox"])[0] is spy.encode(["a red fox"])[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("sampler", "guidance", "negative"),
    [("euler", 5.0, ""), ("dpmpp_2m_karras", 5.0, "cat"), ("euler_a", 1.0, ""), ("lcm", 1.0, "")],
)
def test_pictures_equal_the_pipelines(
    harness: Harness, spy: Spy, pipeline: Any, sampler: str, guidance: float, negative: str
) -> None:
    """In batches with a neighbour; unguided in few steps is how Turbo, Lightning and LCM checkpoints draw."""
    pipeline.scheduler = samplers.scheduler(sampler, spy.scheduler_config, spy.prediction)
    neighbour = harness.draw(ask(prompt="a dog", steps=100, seed=99, sampler="ddim"))
    harness.drawn(ask(sampler=sampler, guidance=guidance, negative=negative, width=SIDE, height=2 * SIDE))
    expected = pipeline(
        "a red fox", negative_prompt=negative or None, guidance_scale=guidance, num_inference_steps=5,
        width=SIDE, height=2 * SIDE, generator=torch.Generator().manual_seed(1), output_type="latent",
    ).images[0]  # fmt: skip
    harness.engine.cancel(neighbour, 1)
    assert min(_apart(ours, expected) for ours in spy.latents) <= 1e-5


def _apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm()) if ours.shape == theirs.shape else 1.0


def test_a_long_prompt_has_as_many_chunks_as_it_needs(harness: Harness, spy: Spy) -> None:
    (cond,) = spy.encode(["fox " * 40])
    assert len(cond) == 3 * tiny.WINDOW + 1
    assert harness.drawn(ask(prompt="fox " * 40)).pictures


def test_rows_are_independent_of_their_neighbours(spy: Spy) -> None:
    x, t = torch.randn(4, tiny.CHANNELS, 8, 8), torch.full((4,), 500.0)
    cond = torch.stack([*spy.encode(["fox", "cat", "a dog", ""])])
    together = spy.denoise(x, t, cond)
    order = [2, 0, 3, 1]
    assert torch.equal(spy.denoise(x[order], t, cond[order]), together[order])


@pytest.mark.parametrize(
    ("file", "change", "code"),
    [
        ("unet/config.json", {"addition_embed_type": "image"}, "model_family"),
        ("unet/config.json", {"projection_class_embeddings_input_dim": 99}, "model_corrupt"),
        ("unet/config.json", {"cross_attention_dim": 32}, "model_corrupt"),
        ("text_encoder_2/config.json", {"architectures": ["EvilModel"]}, "model_family"),
        ("text_encoder_2/config.json", {"projection_dim": None}, "model_corrupt"),
        ("model_index.json", {"text_encoder_2": ["os", "system"]}, "model_remote_code"),
        ("model_index.json", {"tokenizer_2": [None, None]}, "model_missing"),
    ],
)
def test_a_broken_sdxl_is_refused_by_name(
    tmp_path: Path, file: str, change: dict[str, Any], code: str
) -> None:
    at = tiny.folder_xl(tmp_path / "xl")
    content = json.loads((at / file).read_text())
    (at / file).write_text(json.dumps(content | change))
    with pytest.raises(BadModel) as bad:
        load(ModelSpec(name="xl", source=str(at)))
    assert bad.value.code == code


# --- one file


@pytest.fixture(scope="module")
def folder_kl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``folder``, with the autoencoder that single files have."""
    return tiny.folder_xl(tmp_path_factory.mktemp("sdxl") / "kl", seed=3, kind="kl")


@pytest.fixture
def tiny_configs(folder_kl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single files have the tiny models' shapes; the tokenizers' words lie elsewhere, as in earnest."""
    ours = shutil.copytree(folder_kl, tmp_path / "configs")
    for name in ("vocab.json", "merges.txt"):
        (ours / "tokenizer" / name).unlink()
        (ours / "tokenizer_2" / name).unlink()
    monkeypatch.setattr(plan, "SDXL", ours)
    monkeypatch.setattr(plan, "SD15", folder_kl)


@pytest.mark.usefixtures("tiny_configs")
def test_a_single_file_is_the_same_model(folder_kl: Path, tmp_path: Path) -> None:
    file = tiny.single_file_xl(tmp_path / "xl.safetensors", seed=3, dtype=torch.float32)
    one, whole = (load(ModelSpec(name="xl", source=str(source))) for source in (file, folder_kl))
    assert isinstance(one, StableDiffusionXL)
    for prompt in ("a (red:1.2) fox", "", "fox " * 40):
        assert torch.equal(one.encode([prompt])[0], whole.encode([prompt])[0])
    x, t = torch.randn(2, tiny.CHANNELS, 8, 8), torch.tensor([500.0, 20.0])
    cond = torch.stack([*one.encode(["a fox", "cat"])])
    assert torch.equal(one.denoise(x, t, cond), whole.denoise(x, t, cond))
    assert torch.equal(one.decode(x), whole.decode(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("tiny_configs")
def test_a_single_file_draws_what_diffusers_draws_of_it(folder_kl: Path, tmp_path: Path) -> None:
    """Their conversion of the very same file: conditioning, prediction, decoded pixels."""
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

    file = tiny.single_file_xl(tmp_path / "xl.safetensors", seed=5)
    theirs: Any = StableDiffusionXLPipeline.from_single_file(
        str(file), config=str(folder_kl), local_files_only=True, add_watermarker=False
    )
    ours = load(ModelSpec(name="xl", source=str(file)))
    embeds, _, pooled, _ = theirs.encode_prompt("a red fox")
    (cond,) = ours.encode(["a red fox"])
    assert torch.allclose(cond[:-1], embeds[0], atol=1e-6)
    assert torch.allclose(cond[-1, : tiny.XL_DIM], pooled[0], atol=1e-6)
    x, t = torch.randn(1, tiny.CHANNELS, 8, 8), torch.tensor([500.0])
    sizes = torch.tensor([[8 * ours.factor, 8 * ours.factor, 0, 0, 8 * ours.factor, 8 * ours.factor]])
    added = {"text_embeds": pooled, "time_ids": sizes.float()}
    with torch.no_grad():
        expected = theirs.unet(x, t, encoder_hidden_states=embeds, added_cond_kwargs=added)[0]
        image = theirs.vae.decode(x / theirs.vae.config.scaling_factor)[0]
    torch.testing.assert_close(ours.denoise(x, t, cond[None]), expected, rtol=1e-5, atol=1e-5)
    pixels = (image / 2 + 0.5).clamp(0, 1).mul(255).round().permute(0, 2, 3, 1)
    assert (ours.decode(x).float() - pixels).abs().max() <= 1


@pytest.mark.usefixtures("tiny_configs")
def test_a_v_prediction_file_says_so_by_a_tensor(tmp_path: Path) -> None:
    file = tiny.single_file_xl(tmp_path / "xl.safetensors")
    save_file(load_file(file) | {"v_pred": torch.zeros(1)}, file)
    assert load(ModelSpec(name="xl", source=str(file))).prediction == "v_prediction"


@pytest.mark.usefixtures("tiny_configs")
@pytest.mark.parametrize(
    ("marks", "rescaled"), [(("v_pred", "ztsnr"), True), (("v_pred",), False), (("ztsnr",), False)]
)
def test_a_file_that_learnt_from_pure_noise_on_is_drawn_so(
    tmp_path: Path, marks: tuple[str, ...], rescaled: bool
) -> None:
    """A model that predicts the noise cannot have: there is nothing to see in pure noise."""
    file = tiny.single_file_xl(tmp_path / "xl.safetensors")
    save_file(load_file(file) | {mark: torch.zeros(1) for mark in marks}, file)
    model = load(ModelSpec(name="xl", source=str(file)))
    assert bool(model.scheduler_config.get("rescale_betas_zero_snr")) is rescaled
    with running(("xl", Spy(model))) as harness:
        assert len(harness.drawn(ask()).pictures) == 1
        (other,) = harness.wait(harness.draw(ask(sampler="pndm")))
    assert (getattr(other, "code", "") == "sampler_zero_snr") is rescaled


def test_names_of_a_full_sdxl_file_are_those_diffusers_reads() -> None:
    """Our names → diffusers' own converters → the keys of the modules, for every weight of real SDXL."""
    convert: Any = single_file_utils
    configs = plan.from_folder_configs(Folder(plan.SDXL), "sdxl")
    modules = {part: sd.empty(part, configs[part]) for part in plan.stems("sdxl")}
    states: dict[str, dict[str, torch.Tensor]] = {p: dict(m.state_dict()) for p, m in modules.items()}
    unet = {ldm.unet_name(k, 2, (True, True, False)): v for k, v in states["unet"].items()}
    back = convert.convert_ldm_unet_checkpoint(unet, configs["unet"])
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in states["unet"].items()}
    first = {ldm.text_name(k, ldm.TEXTS_XL[0]) for k in states["text_encoder"]}
    back = convert.convert_ldm_clip_checkpoint(dict.fromkeys(first))
    assert {k.removeprefix("text_model.") for k in back} == set(states["text_encoder"])
    file = {ldm.TEXTS_XL[1] + k: v for k, v in tiny.open_clip(states["text_encoder_2"]).items()}
    back = convert.convert_open_clip_checkpoint(modules["text_encoder_2"], file, ldm.TEXTS_XL[1])
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in states["text_encoder_2"].items()}
    for key, expected in states["text_encoder_2"].items():
        place = ldm.open_clip_place(key)
        assert place.shape(tuple(file[place.name].shape)) == tuple(expected.shape)
    sizes = {part: sum(v.numel() for v in state.values()) for part, state in states.items()}
    assert (sizes["unet"], sizes["text_encoder_2"]) == (2_567_463_684, 694_659_840)


def test_the_shipped_tokenizers_pad_as_sdxl_was_trained() -> None:
    words = Folder(plan.SD15)
    for at, pad in (("tokenizer", 49_407), ("tokenizer_2", 0)):
        tokenizer = load_tokenizer(Folder(plan.SDXL), 77, 49_408, at, words)
        ids = tokenizer.ids(tokenizer.chunks("a photo of a cat")[0])
        assert ids == [49406, 320, 1125, 539, 320, 2368, 49407, *[pad] * 70]


def test_it_is_recognised_without_reading_its_tensors(folder: Path) -> None:
    assert examine(ModelSpec(name="xl", source=str(folder))).values > 10_000
    assert isinstance(load(ModelSpec(name="xl", source=str(folder))), StableDiffusionXL)
