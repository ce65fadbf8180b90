"""Loading models, and their parity with the diffusers pipeline."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.errors
import pytest
import torch
from diffusers.loaders import single_file_utils
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from inference.models import BUILTIN, BadModel, Denoiser, dtypes, hub, ldm, load, plan, sd
from inference.models.files import Folder
from inference.models.tokens import load_tokenizer
from inference.request import ModelSpec
from tests.inference import tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One tiny model of each autoencoder."""
    at = tmp_path_factory.mktemp("models")
    return {kind: tiny.folder(at / kind, kind=kind, seed=3) for kind in ("tiny", "kl")}


convert: Any = single_file_utils


def spec(source: Path | str, **more: Any) -> ModelSpec:
    return ModelSpec(name="some", source=str(source), **more)


def pipeline(folder: Path) -> Any:
    made: Any = StableDiffusionPipeline.from_pretrained(
        folder, local_files_only=True, low_cpu_mem_usage=False
    )
    made.set_progress_bar_config(disable=True)
    return made


PROMPTS = [
    "a red fox on a blue background",
    "",
    "zorro rojo, gato azul",
    "¿un gato? ñandú 🦊 's don't",
    "A  B\n\tc",
]


@pytest.mark.parametrize("kind", ["tiny", "kl"])
@pytest.mark.filterwarnings("ignore")
def test_everything_equals_the_pipeline(folders: dict[str, Path], kind: str) -> None:
    """Conditioning bit for bit; the rest as C10 demands, for our memory layout is another."""
    ours, theirs = load(spec(folders[kind])), pipeline(folders[kind])
    for prompt in [p for p in PROMPTS if ours.chunks(p) == 1]:
        expected = theirs.encode_prompt(prompt, torch.device("cpu"), 1, False)[0][0]
        assert torch.equal(ours.encode([prompt])[0], expected)
    x, t = torch.randn(2, tiny.CHANNELS, 8, 8), torch.tensor([981.0, 20.0])
    cond = torch.stack(ours.encode(["a fox", ""]))
    with torch.no_grad():
        expected = theirs.unet(x, t, encoder_hidden_states=cond)[0]
        torch.testing.assert_close(ours.denoise(x, t, cond), expected, rtol=1e-5, atol=1e-5)
        image = theirs.vae.decode(x[:1] / theirs.vae.config.scaling_factor)[0]
        pixels = (theirs.image_processor.postprocess(image, output_type="np")[0] * 255).round()
        decoded = ours.decode(x[:1])
        assert (decoded[0] - torch.from_numpy(pixels)).abs().max() <= 1
        assert (decoded[0] == torch.from_numpy(pixels)).float().mean() > 0.999
        given = decoded[0].permute(2, 0, 1)[None] / 127.5 - 1.0
        found = theirs.vae.encode(given)
    latents = found.latents if kind == "tiny" else found.latent_dist.mode()
    torch.testing.assert_close(
        ours.encode_image(decoded), latents * theirs.vae.config.scaling_factor, rtol=1e-4, atol=1e-4
    )


def test_attributes_and_shapes(folders: dict[str, Path]) -> None:
    model = load(spec(folders["kl"]))
    assert (model.latent_channels, model.factor, model.prediction) == (tiny.CHANNELS, tiny.FACTOR, "epsilon")
    assert model.scheduler_config["beta_schedule"] == "scaled_linear"
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)
    assert model.decode(torch.zeros(3, 4, 4, 6)).shape == (3, 16, 24, 3)
    assert model.preview(torch.zeros(2, 4, 4, 6)).shape == (2, 4, 6, 3)
    assert load(spec(folders["tiny"])).preview(torch.zeros(2, 4, 4, 6)).dtype == torch.uint8
    assert 1 < model.megabytes < 20


def test_prediction_comes_from_the_scheduler_unless_the_operator_says(tmp_path: Path) -> None:
    at = tiny.folder(tmp_path / "v", prediction="v_prediction")
    assert load(spec(at)).prediction == "v_prediction"
    forced = load(spec(at, prediction="epsilon"))
    assert forced.prediction == forced.scheduler_config["prediction_type"] == "epsilon"


def test_a_broken_latent_leaves_its_neighbours_alone(folders: dict[str, Path]) -> None:
    model = load(spec(folders["kl"]))
    latents = torch.randn(3, tiny.CHANNELS, 4, 4)
    good = model.decode(latents)
    latents[1, 0, 0, 0] = float("nan")
    assert torch.equal(model.decode(latents)[[0, 2]], good[[0, 2]])


def test_a_row_does_not_depend_on_its_neighbours(folders: dict[str, Path]) -> None:
    model = load(spec(folders["tiny"]))
    x, t = torch.randn(4, tiny.CHANNELS, 8, 8), torch.tensor([981.0, 20.0, 500.0, 1.0])
    cond = torch.stack(model.encode(["a", "b", "c", "d"]))
    together = model.denoise(x, t, cond)
    order = [2, 0, 3, 1]
    assert torch.equal(model.denoise(x[order], t[order], cond[order]), together[order])


def test_cast_copies_only_the_denoising_weights(folders: dict[str, Path]) -> None:
    model = load(spec(folders["tiny"]))
    twin = model.cast(torch.bfloat16)
    assert (model.dtype, twin.dtype) == (torch.float32, torch.bfloat16)
    assert twin.encode(["a"])[0].dtype == torch.bfloat16
    out = twin.denoise(torch.randn(1, 4, 8, 8), torch.tensor([9.0]), twin.encode(["a"])[0][None])
    assert out.dtype == torch.float32


# --- the many ways a diffusers folder is written


def sharded(at: Path) -> None:
    weights = load_file(at / "unet" / "diffusion_pytorch_model.safetensors")
    names = sorted(weights)
    index: dict[str, str] = {}
    for i, part in enumerate((names[::2], names[1::2])):
        file = f"diffusion_pytorch_model-0000{i + 1}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, at / "unet" / file)
        index |= dict.fromkeys(part, file)
    (at / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    content = json.dumps({"metadata": {}, "weight_map": index})
    (at / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(content)


def named_fp16(at: Path) -> None:
    for part, stem in plan.STEMS.items():
        (at / part / f"{stem}.safetensors").rename(at / part / f"{stem}.fp16.safetensors")


def with_a_pickle_beside(at: Path) -> None:
    (at / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")


def old_text_names(at: Path) -> None:
    """As transformers 4 wrote them."""
    file = at / "text_encoder" / "model.safetensors"
    found = {f"text_model.{name}": value for name, value in load_file(file).items()}
    save_file(found | {"text_model.embeddings.position_ids": torch.arange(tiny.WINDOW)[None]}, file)


def old_attention_names(at: Path) -> None:
    """As diffusers wrote autoencoders before 2023."""
    file = at / "vae" / "diffusion_pytorch_model.safetensors"
    found = load_file(file)
    for old, new in ldm.DEPRECATED:
        found = {k.replace(f".{new}.", f".{old}.") if "attentions" in k else k: v for k, v in found.items()}
    save_file(found, file)


def only_tokenizer_json(at: Path) -> None:
    """As transformers 5 writes tokenizers."""
    tokenizer = CLIPTokenizer.from_pretrained(str(at / "tokenizer"), local_files_only=True)
    shutil.rmtree(at / "tokenizer")
    tokenizer.save_pretrained(str(at / "tokenizer"))
    assert not (at / "tokenizer" / "vocab.json").exists()


@pytest.mark.parametrize(
    "rewrite",
    [
        sharded,
        named_fp16,
        with_a_pickle_beside,
        old_text_names,
        old_attention_names,
        only_tokenizer_json,
    ],
)
def test_a_folder_written_otherwise_is_the_same_model(
    rewrite: Callable[[Path], None], folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders["kl"], tmp_path / "m")
    rewrite(tmp_path / "m")
    ours, expected = load(spec(tmp_path / "m")), load(spec(folders["kl"]))
    x, t = torch.randn(1, tiny.CHANNELS, 8, 8), torch.tensor([500.0])
    cond = expected.encode(["a red fox, ñ"])[0]
    assert torch.equal(ours.encode(["a red fox, ñ"])[0], cond)
    assert torch.equal(ours.denoise(x, t, cond[None]), expected.denoise(x, t, cond[None]))
    assert torch.equal(ours.decode(x), expected.decode(x))


# --- single files


@pytest.fixture
def tiny_config(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Single files have the tiny model's shapes instead of SD1.5's."""
    monkeypatch.setattr(plan, "SD15", folders["kl"])


@pytest.mark.usefixtures("tiny_config")
def test_a_single_file_is_the_same_model(folders: dict[str, Path], tmp_path: Path) -> None:
    file = tiny.single_file(tmp_path / "one.safetensors", seed=3, dtype=torch.float32)
    one, whole = load(spec(file)), load(spec(folders["kl"]))
    x, t = torch.randn(1, tiny.CHANNELS, 8, 8), torch.tensor([500.0])
    assert torch.equal(one.encode(["a (red:1.2) fox"])[0], whole.encode(["a (red:1.2) fox"])[0])
    cond = one.encode(["a fox"])[0][None]
    assert torch.equal(one.denoise(x, t, cond), whole.denoise(x, t, cond))
    assert torch.equal(one.decode(x), whole.decode(x))


@pytest.mark.usefixtures("tiny_config")
def test_a_v_prediction_file_says_so_by_a_tensor(tmp_path: Path) -> None:
    file = tiny.single_file(tmp_path / "one.safetensors")
    save_file(load_file(file) | {"v_pred": torch.zeros(1)}, file)
    assert load(spec(file)).prediction == "v_prediction"


def full_size_keys() -> dict[str, dict[str, torch.Tensor]]:
    config = plan.from_folder_configs(Folder(plan.SD15))
    return {part: dict(sd.empty(part, config[part]).state_dict()) for part in plan.STEMS}


def test_names_of_a_full_sd15_file_are_those_diffusers_reads() -> None:
    """Our names → diffusers' own converters → the keys of the modules, for every weight of real SD1.5."""
    config = plan.from_folder_configs(Folder(plan.SD15))
    keys = full_size_keys()
    attends = tuple("CrossAttn" in kind for kind in config["unet"]["up_block_types"])
    unet = {ldm.unet_name(key, 2, attends): value for key, value in keys["unet"].items()}
    back = convert.convert_ldm_unet_checkpoint(unet, config["unet"])
    assert len(unet) == 686
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in keys["unet"].items()}
    vae = {ldm.vae_name(key, 4): value for key, value in keys["vae"].items()}
    for name, value in vae.items():
        if "mid.attn_1" in name and value.ndim == 2:
            vae[name] = value[:, :, None, None]
    back = convert.convert_ldm_vae_checkpoint(vae, config["vae"])
    assert len(vae) == 248
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in keys["vae"].items()}
    assert (
        sum(v.numel() for part in keys.values() for v in part.values())
        == 859_520_964 + 83_653_863 + 123_060_480
    )


def test_the_shipped_clip_tokenizer_has_clips_ids() -> None:
    """Known ids of OpenAI's CLIP for a known sentence."""
    tokenizer = load_tokenizer(Folder(plan.SD15), 77, 49_408)
    ids = tokenizer.ids(tokenizer.chunks("a photo of a cat")[0])
    assert ids[:8] == [49406, 320, 1125, 539, 320, 2368, 49407, 49407]
    assert len(ids) == 77


@pytest.mark.parametrize("folder", [plan.SD15, BUILTIN], ids=["sd15", "builtin"])
def test_our_tokens_are_those_of_transformers(folder: Path) -> None:
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    ours = load_tokenizer(Folder(folder), config["max_position_embeddings"], config["vocab_size"])
    theirs = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
    for text in [*PROMPTS, "ﬁ ＡＢＣ İ ß 漢字 کیا 1234 a'll !!!", "x" * 90, "e\u0301\u200d\u00a0é"]:
        expected = theirs(text, padding="max_length", truncation=True, max_length=ours.window).input_ids
        cut = [token for chunk in ours.chunks(text.replace("\\", "")) for token in chunk][: ours.room]
        assert ours.ids(cut) == expected


# --- the built-in


def test_the_builtin_loads_and_draws_something() -> None:
    model = load(ModelSpec(name="builtin"))
    cond = torch.stack(model.encode(["a red fox", ""]))
    side = 128 // model.factor
    x = model.denoise(torch.randn(2, model.latent_channels, side, side), torch.tensor([500.0, 500.0]), cond)
    assert model.decode(x[:1]).shape == (1, 128, 128, 3)


@pytest.mark.filterwarnings("ignore")
def test_the_builtin_conditioning_is_the_pipelines() -> None:
    ours, theirs = load(ModelSpec(name="builtin")), pipeline(BUILTIN)
    for prompt in ("un robot 3d sobre fondo rosa", "a red fox on a blue background", ""):
        expected = theirs.encode_prompt(prompt, torch.device("cpu"), 1, False)[0][0]
        assert torch.equal(ours.encode([prompt])[0], expected)


def test_a_damaged_builtin_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "builtin"
    shutil.copytree(BUILTIN, copy)
    monkeypatch.setattr(plan, "BUILTIN", copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadModel, match=r"model_checksum: unet/diffusion_pytorch_model\.safetensors"):
        load(ModelSpec(name="builtin"))
    (copy / "checksums.json").unlink()
    with pytest.raises(BadModel, match=r"model_missing: checksums\.json"):
        load(ModelSpec(name="builtin"))


# --- the hub


def cached(root: Path, source: Path, commit: str) -> Path:
    """``source`` as huggingface_hub's cache keeps it: links from snapshots/ into blobs/."""
    repo = root / "models--some--model"
    for path in sorted(source.rglob("*")):
        if path.is_file():
            blob = repo / "blobs" / f"{abs(hash(path)):x}"
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, blob)
            link = repo / "snapshots" / commit / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    return repo


def test_a_hub_model_comes_from_the_cache_at_its_commit_only(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    cached(tmp_path, folders["tiny"], commit)
    monkeypatch.setattr(hub, "CACHE", tmp_path)
    assert load(spec(f"some/model@{commit}")).latent_channels == tiny.CHANNELS
    for source in (
        "some/model",
        f"some/model@{'b' * 40}",
        f"other/model@{commit}",
        f"some/model@{commit[:7]}",
    ):
        with pytest.raises(BadModel) as caught:
            load(spec(source))
        assert caught.value.code == "model_missing"


@pytest.mark.parametrize("asked", ["flag", "environment"])
def test_a_download_refuses_repositories_with_code(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched: nothing is fetched."""
    listing = ["model_index.json", "unet/config.json", "unet/my_unet.py"]
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: listing)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("fetched"))
    if asked == "environment":
        monkeypatch.setenv("FALOPITAS_ALLOW_DOWNLOAD", "1")
    with pytest.raises(BadModel, match=r"model_remote_code: some/model: unet/my_unet\.py"):
        load(spec(f"some/model@{'a' * 40}"), download=asked == "flag")


def test_serving_never_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def fetch(*_: object, local_files_only: bool, **__: object) -> str:
        seen.append(local_files_only)
        raise huggingface_hub.errors.LocalEntryNotFoundError("not there")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(BadModel, match="model_missing"):
        load(spec(f"some/model@{'a' * 40}"))
    assert seen == [True]


# --- memory and dtype


def test_a_model_too_big_says_how_much_it_needs(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sd, "free_memory", lambda _: 1_000_000)
    with pytest.raises(BadModel, match=r"model_too_big: needs 0\.0 GB, 0\.0 GB free"):
        load(spec(folders["kl"]))


def test_the_faster_dtype_is_measured_once_and_remembered(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(spec(folders["tiny"]))
    times = {torch.float32: 1.0, torch.bfloat16: 0.5}
    calls: list[torch.dtype] = []

    def timed(one: Denoiser) -> float:
        calls.append(one.dtype)
        return times[one.dtype]

    monkeypatch.setattr(dtypes, "step_seconds", timed)
    monkeypatch.setattr(dtypes, "matmul_gflops", lambda: {"float32": 100.0, "bfloat16": 200.0})
    assert dtypes.choose_dtype(model, tmp_path).dtype == torch.bfloat16
    assert dtypes.choose_dtype(model, tmp_path).dtype == torch.bfloat16
    assert calls == [torch.float32, torch.bfloat16]
    times[torch.bfloat16] = 0.9
    (tmp_path / dtypes.FILE).write_text("{ broken")
    assert dtypes.choose_dtype(model, tmp_path) is model


def test_where_bfloat16_multiplies_slowly_no_step_is_measured(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dtypes, "step_seconds", lambda _: pytest.fail("measured"))
    monkeypatch.setattr(dtypes, "matmul_gflops", lambda: {"float32": 60.0, "bfloat16": 12.0})
    model = load(spec(folders["tiny"]))
    assert dtypes.choose_dtype(model, tmp_path) is model


def test_step_seconds_times_a_real_step(folders: dict[str, Path]) -> None:
    assert 0 < dtypes.step_seconds(load(spec(folders["tiny"]))) < 10
