"""The model's own CLIP tokenizer: byte-level BPE, lower-cased, learned on the words of the captions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from inference.training.captions import unaccented
from inference.training.concepts import LANGUAGES, Concept
from inference.training.words import (
    ARTICLES,
    BACKGROUND_PHRASES,
    BACKGROUND_WORDS,
    FILLERS,
    OPENINGS,
    RELATIONS,
    SIZE_WORDS,
    STYLE_PHRASES,
)

# Captions are short, and every position costs the UNet attention: half of CLIP's 77 is plenty.
LENGTH = 32
MERGES = 6000
_START, _END = "<|startoftext|>", "<|endoftext|>"


def vocabulary(concepts: Iterable[Concept]) -> list[str]:
    """Every phrase that a caption may hold, with and without accents."""
    phrases: list[str] = []
    for language in LANGUAGES:
        for table in (BACKGROUND_WORDS, SIZE_WORDS, STYLE_PHRASES, RELATIONS):
            phrases += [phrase for group in table[language].values() for phrase in group]
        for flat in (ARTICLES, BACKGROUND_PHRASES, FILLERS, OPENINGS):
            phrases += [phrase.replace("{}", " ") for phrase in flat[language]]
    for concept in concepts:
        for language in LANGUAGES:
            phrases += concept.names[language] + concept.tags[language]
    return phrases + [unaccented(phrase) for phrase in phrases]


def learn_tokenizer(phrases: Sequence[str], merges: int = MERGES) -> CLIPTokenizer:
    """Learn the merges; any text then has tokens, since all bytes are in the vocabulary."""
    pattern = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=512 + merges, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(phrases, trainer)
    joins = [tuple(pair) for pair in _merges(learner)]
    # CLIP's order: bytes, bytes that end a word, what the merges make, then the two marks.
    tokens = [*alphabet, *(f"{char}</w>" for char in alphabet), *(left + right for left, right in joins)]
    tokens = [*dict.fromkeys(tokens), _START, _END]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=joins, model_max_length=LENGTH
    )


def _merges(learner: Tokenizer) -> list[list[str]]:
    merges: list[list[str]] = json.loads(learner.to_str())["model"]["merges"]
    return merges
