"""The prompt grammar, chunks and weights (R31: hostile texts, with a control)."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.models.files import Folder
from inference.models.plan import SD15
from inference.models.tokens import load_tokenizer
from inference.prompts import MAX_TOKENS, MAX_WEIGHT, Piece, TextEncoder, Token, Tokenizer, parse
from tests.inference import tiny


def pairs(text: str) -> list[tuple[str, float]]:
    return [("|" if p.cut else p.text, p.weight) for p in parse(text)]


GRAMMAR = {
    "a cat": [("a cat", 1.0)],
    "a (red) fox": [("a ", 1.0), ("red", 1.1), (" fox", 1.0)],
    "a [red] fox": [("a ", 1.0), ("red", 0.909091), (" fox", 1.0)],
    "((a))": [("a", 1.21)],
    "(a:1.3)": [("a", 1.3)],
    "(a: .5 )": [("a", 0.5)],
    "(a:+2)": [("a", 2.0)],
    "(a:-1)": [("a", -1.0)],
    "(a:99)": [("a", MAX_WEIGHT)],
    "(a (b:1.5) c)": [("a ", 1.1), ("b", 1.65), (" c", 1.1)],
    "(a [b])": [("a ", 1.1), ("b", 1.0)],
    "(cat:dog:1.2)": [("cat:dog", 1.2)],
    "(a:1.x)": [("a:1.x", 1.1)],
    "(a:1e3)": [("a:1e3", 1.1)],
    "(a:nan)": [("a:nan", 1.1)],
    "(a:٣)": [("a:٣", 1.1)],
    "[a:1.3]": [("a:1.3", 0.909091)],
    r"\(a\)": [("(a)", 1.0)],
    r"(\(a\):1.3)": [("(a)", 1.3)],
    r"\[a\] \\ b": [("[a] \\ b", 1.0)],
    r"c:\dir": [(r"c:\dir", 1.0)],
    "a\\": [("a\\", 1.0)],
    "(open": [("(open", 1.0)],
    "close)": [("close)", 1.0)],
    "a) (b": [("a) (b", 1.0)],
    "(a (b)": [("(a ", 1.0), ("b", 1.1)],
    "(a [b) c]": [("a [b", 1.1), (" c]", 1.0)],
    ":) hi :(": [(":) hi :(", 1.0)],
    "()": [("", 1.0)],
    "(:1.3)": [("", 1.0)],
    "": [("", 1.0)],
    "a BREAK b": [("a", 1.0), ("|", 1.0), ("b", 1.0)],
    "(a BREAK b:1.2)": [("a", 1.2), ("|", 1.0), ("b", 1.2)],
    "BREAKFAST at dawn, a break": [("BREAKFAST at dawn, a break", 1.0)],
}  # fmt: skip


@pytest.mark.parametrize("text", GRAMMAR)
def test_grammar(text: str) -> None:
    assert pairs(text) == GRAMMAR[text]


HOSTILE = {
    "open": "(" * 4_000, "nested": "(" * 2_000 + "a" + ")" * 2_000, "mixed": "([" * 2_000,
    "crossed": "([" * 1_000 + ")]" * 1_000, "weights": "(a:1.1" * 600 + ")" * 300, "spaces": " " * 4_000,
    "breaks": "BREAK " * 666, "colons": ":" * 3_999 + ")", "numbers": "(a:" + "1" * 3_990 + ")",
    "pairs": "()" * 2_000, "slashes": "\\" * 4_000, "escapes": "\\(" * 2_000, "letters": "a" * 4_000,
    "emoji": "🦊" * 4_000, "combining": "e" + "\u0301" * 3_999, "right to left": "\u202eשלום (رخيص) " * 260,
    "zero width": "\u200b\u200d" * 2_000, "controls": "".join(map(chr, range(32))) * 125,
    "special tokens": "<|endoftext|>" * 300, "nul": "\0" * 4_000, "apostrophes": "'s" * 2_000,
    "close": ")" * 4_000, "half": "(" * 2_000 + "[" * 2_000, "dots": "(a:" + "." * 3_990 + ")",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_prompts_are_read_quickly_and_whole(name: str, clip: Tokenizer) -> None:
    """4 000 characters of any kind: parsed in milliseconds, finite weights, bounded chunks."""
    text = HOSTILE[name]
    start = time.thread_time()
    found = parse(text)
    assert time.thread_time() - start < 0.25
    assert all(abs(p.weight) <= MAX_WEIGHT for p in found)
    chunks = clip.chunks(text)
    assert 1 <= len(chunks) <= MAX_TOKENS // clip.room
    assert all(len(clip.ids(chunk)) == 77 for chunk in chunks)


def test_control_a_backtracking_grammar_would_hang() -> None:
    """The corpus has teeth: a usual regular expression for nested weights is quadratic on it, ours is not."""
    naive = re.compile(r"\(([^()]*|\((?:[^()]*)*\))*:([0-9.]+)\)")

    def seconds(size: int) -> float:
        start = time.thread_time()
        naive.search("(" + "a" * size)
        return time.thread_time() - start

    assert seconds(20) > 4 * seconds(16)  # doubles with each letter or so: 4 000 would take for ever
    start = time.thread_time()
    parse("(" + "a" * 3_999)
    assert time.thread_time() - start < 0.25


@settings(deadline=None)
@given(st.text(alphabet="ab ()[]:1.\\BREAK,🦊\n", max_size=200))
def test_any_text_parses_and_loses_no_letter(text: str) -> None:
    found = parse(text)
    assert found
    said = "".join(p.text for p in found)
    assert said.count("🦊") == text.count("🦊")
    assert said.count("b") == text.count("b")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_text_without_brackets_or_escapes_is_itself(text: str) -> None:
    plain = re.sub(r"[()\[\]\\]|BREAK", "", text)
    assert parse(plain) == (Piece(plain),)


@settings(deadline=None)
@given(st.text(max_size=100))
def test_escaped_text_means_itself(text: str) -> None:
    text = text.replace("BREAK", "")
    assert parse(re.sub(r"([()\[\]\\])", r"\\\1", text)) == (Piece(text),)


# --- chunks


@pytest.fixture(scope="module")
def clip() -> Tokenizer:
    return load_tokenizer(Folder(SD15), 77, 49_408)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder / "tokenizer")
    return load_tokenizer(Folder(folder), tiny.WINDOW, len(tiny.vocabulary()[0]))


def test_a_chunk_is_not_cut_inside_a_group_where_a_comma_is_near(clip: Tokenizer) -> None:
    text = "cat " * 60 + ", a red fox in the green forest with a dog and a bird and a cat"
    first, second = clip.chunks(text)
    assert len(first) == 61
    assert first[-1].comma
    assert [t.id for t in second[:3]] == [320, 736, 3240]  # "a red fox"


def test_without_a_comma_a_chunk_ends_after_a_word(clip: Tokenizer) -> None:
    for chunk in clip.chunks("xylophonist " * 60)[:-1]:
        assert chunk[-1].last
        assert len(chunk) > 70


def test_a_word_longer_than_a_chunk_is_cut_anyway(clip: Tokenizer) -> None:
    assert len(clip.chunks("🦊" * 60)) > 1


def test_chunks_keep_every_token_in_order(clip: Tokenizer) -> None:
    rng = random.Random(5)
    for _ in range(20):
        text = tiny.prompt(rng, rng.randrange(1, 120))
        together = [t.id for chunk in clip.chunks(text) for t in chunk]
        assert together == [t.id for t in clip.tokens(Piece(text))]


def test_break_starts_a_chunk(small: Tokenizer) -> None:
    assert [len(chunk) for chunk in small.chunks("red fox BREAK blue BREAK BREAK")] == [2, 1]


def test_weights_reach_their_tokens(small: Tokenizer) -> None:
    (chunk,) = small.chunks("a (red:1.4) fox")
    assert [t.weight for t in chunk] == [1.0, 1.4, 1.0]
    assert small.ids(chunk)[:5][0] == small.start
    assert small.ids(chunk)[4] == small.end


# --- weights on the conditioning


class Model:
    """Every token's vector is its id's own; ``bias`` moves their mean."""

    def __init__(self, bias: float) -> None:
        self.bias = bias
        self.calls = 0

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        self.calls += 1
        noise = torch.randn(1_000, 64, generator=torch.Generator().manual_seed(1))
        return (noise - noise.mean(1, keepdim=True) + self.bias)[ids]


def encoder(small: Tokenizer, bias: float = -0.2) -> tuple[TextEncoder, Model]:
    model = Model(bias)
    return TextEncoder(small, model, torch.device("cpu"), masked=False), model


def test_weights_of_one_change_nothing(small: Tokenizer) -> None:
    text, _ = encoder(small)
    plain = text.encode("a red fox", 1, torch.float32)
    assert torch.equal(text.encode("a (red:1.0) fox", 1, torch.float32), plain)


def test_a_weight_scales_its_token_and_the_mean_is_restored(small: Tokenizer) -> None:
    text, _ = encoder(small)
    plain = text.encode("a red fox", 1, torch.float32)
    heavy = text.encode("a (red:1.5) fox", 1, torch.float32)
    assert heavy.mean().item() == pytest.approx(plain.mean().item(), rel=1e-4)
    scale = heavy[0] / plain[0]
    torch.testing.assert_close(heavy[2] / plain[2], 1.5 * scale, rtol=1e-4, atol=1e-4)
    assert 0.9 < scale.mean() < 1.1


def test_a_centred_encoder_is_not_blown_up(small: Tokenizer) -> None:
    """With a mean of nothing, A1111's quotient of means would be noise: the size is restored instead."""
    text, _ = encoder(small, bias=0.0)
    plain = text.encode("a red fox", 1, torch.float32)
    for prompt in ("a (red:1.5) fox", "a (red:0) fox", "(a:-3) red fox", "(a red fox:9)"):
        heavy = text.encode(prompt, 1, torch.float32)
        assert heavy.isfinite().all()
        assert heavy.square().mean().item() == pytest.approx(plain.square().mean().item(), rel=1e-3)


@given(
    st.lists(st.floats(-10, 10, allow_nan=False, width=16), min_size=1, max_size=6),
    st.sampled_from([0.0, -0.2]),
)
@settings(max_examples=60, deadline=None)
def test_any_weights_give_finite_conditioning(weights: list[float], bias: float) -> None:
    text, _ = encoder(_SMALL, bias)
    found = text.encode(" ".join(f"(red:{w:.3f})" for w in weights), 1, torch.float32)
    assert found.isfinite().all()
    assert found.abs().max() < 1_000


def _small() -> Tokenizer:
    import tempfile

    with tempfile.TemporaryDirectory() as at:
        tiny.write_tokenizer(Path(at) / "tokenizer")
        return load_tokenizer(Folder(Path(at)), tiny.WINDOW, len(tiny.vocabulary()[0]))


_SMALL = _small()


def test_shorter_prompts_are_filled_with_empty_chunks(small: Tokenizer) -> None:
    text, _ = encoder(small)
    long = text.encode("red " * 20, 1, torch.float32)
    short = text.encode("fox", 2, torch.float32)
    assert long.shape == short.shape == (2 * tiny.WINDOW, 64)
    assert torch.equal(short[tiny.WINDOW :], text.encode("", 1, torch.float32))
    assert text.count("red " * 20) == 2


def test_encodings_are_kept_and_the_least_used_is_dropped(
    small: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, model = encoder(small)
    first = text.encode("red fox", 1, torch.float32)
    monkeypatch.setattr("inference.prompts.MAX_CACHE", 3 * first.nbytes)
    calls = model.calls
    assert text.encode("red fox", 1, torch.float32) is first
    assert model.calls == calls
    for prompt in ("a", "b"):
        text.encode(prompt, 1, torch.float32)
    text.encode("red fox", 1, torch.float32)
    text.encode("c", 1, torch.float32)
    calls = model.calls
    text.encode("red fox", 1, torch.float32)
    assert model.calls == calls
    text.encode("a", 1, torch.float32)
    assert model.calls == calls + 1


def test_a_prompt_does_not_depend_on_what_was_encoded_before(small: Tokenizer) -> None:
    one, _ = encoder(small)
    other, _ = encoder(small)
    other.encode("(zorro:1.9) rojo", 1, torch.float32)
    assert torch.equal(one.encode("(a:2) fox", 1, torch.float32), other.encode("(a:2) fox", 1, torch.float32))


def test_masked_encoders_get_a_mask_of_their_tokens(small: Tokenizer) -> None:
    seen: list[torch.Tensor | None] = []

    def model(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        seen.append(mask)
        return torch.ones(1, tiny.WINDOW, 4)

    TextEncoder(small, model, torch.device("cpu"), masked=True).encode("red fox", 1, torch.float32)
    assert seen[0] is not None
    assert seen[0].sum().item() == 4


def test_token_is_a_plain_value() -> None:
    assert Token(1, 1.0, False, True) == Token(1, 1.0, False, True)
