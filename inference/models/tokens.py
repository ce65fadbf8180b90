"""CLIP's byte-level tokenizer from its files: vocabulary, merges and a few names; no code of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.models import BadModel
from inference.models.files import MAX_JSON, Folder, parse_json, read
from inference.prompts import Tokenizer

_SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""How CLIP cuts text into words (github.com/openai/CLIP, simple_tokenizer.py, MIT)."""
_DEFAULTS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


def load_tokenizer(
    folder: Folder, positions: int, vocabulary: int, at: str = "tokenizer", words: Folder | None = None
) -> Tokenizer:
    """The tokenizer in the folder ``at`` for a text model of so many positions and words. Raises BadModel.

    ``words``: another folder, whose ``tokenizer`` has the vocabulary.
    """
    settings = folder.json(f"{at}/tokenizer_config.json")
    vocab, merges = _files(words, "tokenizer") if words else _files(folder, at)
    if not vocab or max(vocab.values()) >= vocabulary or min(vocab.values()) < 0:
        raise BadModel("model_corrupt", f"{at}: its vocabulary is not the text encoder's")
    known = [pair for pair in merges if len(pair) == 2 and {*pair, "".join(pair)} <= vocab.keys()]
    if len(known) != len(merges):
        raise BadModel("model_corrupt", "tokenizer/merges.txt: not of this vocabulary")
    names = {key: _name(settings.get(key, default)) for key, default in _DEFAULTS.items()}
    names["pad_token"] = _name(settings.get("pad_token", names["eos_token"]))
    if missing := [name for name in names.values() if name not in vocab]:
        raise BadModel("model_corrupt", f"{at}: no {missing[0][:40]!r} in its vocabulary")
    longest = settings.get("model_max_length", positions)
    window = min(positions, int(longest)) if isinstance(longest, int | float) else positions
    if window < 3:
        raise BadModel("model_corrupt", "tokenizer/tokenizer_config.json: model_max_length")
    return Tokenizer(
        _bpe(vocab, known, names["unk_token"]), vocab[names["bos_token"]], vocab[names["eos_token"]],
        vocab[names["pad_token"]], window,
    )  # fmt: skip


def _name(value: object) -> str:
    return str(value.get("content", "")) if isinstance(value, dict) else str(value)


def _files(folder: Folder, at: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges, from vocab.json and merges.txt, or from tokenizer.json."""
    if folder.has(f"{at}/vocab.json"):
        vocab = _json(folder, f"{at}/vocab.json")
        name = f"{at}/merges.txt"
        text = read(folder.file(name), MAX_JSON, name).decode("utf-8", "replace")
        lines = [line for line in text.split("\n") if line and not line.startswith("#version")]
        merges: list[Any] = [line.split(" ") for line in lines]
    else:
        model = _json(folder, f"{at}/tokenizer.json").get("model")
        if (
            not isinstance(model, dict)
            or model.get("type") != "BPE"
            or model.get("end_of_word_suffix") != "</w>"
        ):
            raise BadModel("model_family", "tokenizer/tokenizer.json: not CLIP's")
        vocab, merges = model.get("vocab") or {}, model.get("merges") or []
        merges = (
            [m.split(" ") if isinstance(m, str) else m for m in merges] if isinstance(merges, list) else []
        )
    if not isinstance(vocab, dict) or not all(type(n) is int for n in vocab.values()):
        raise BadModel("model_corrupt", f"{at}: no vocabulary")
    if not all(isinstance(m, list) and all(isinstance(x, str) for x in m) for m in merges):
        raise BadModel("model_corrupt", f"{at}: bad merges")
    return vocab, [tuple(m) for m in merges]


def _json(folder: Folder, name: str) -> dict[str, Any]:
    return parse_json(read(folder.file(name), MAX_JSON, name), name, words=True)


def _bpe(vocab: Mapping[str, int], merges: list[tuple[str, str]], unknown: str) -> Any:
    """A ``tokenizers.Tokenizer`` that cuts as transformers' CLIPTokenizer does (tested against it)."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    made = Tokenizer(
        BPE(
            vocab=dict(vocab), merges=merges, dropout=None, continuing_subword_prefix="",
            end_of_word_suffix="</w>", fuse_unk=False, unk_token=unknown,
        )
    )  # fmt: skip
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    made.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return made
