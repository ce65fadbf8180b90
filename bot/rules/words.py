"""Whole words from the operator's list, however they are disguised.

A prompt and the list are folded alike: compatibility forms, case, accents, look-alike letters of other
alphabets, digits that stand for letters, invisible characters. Only whole words count: a list with "ass"
leaves "grass", "assassin" and "pass" alone. A list may also hold phrases of several words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from bot.config import Config
from bot.rules.verdict import Verdict

_LOOKALIKES = str.maketrans(
    "аɑеоοрсухіїјѕԁһԛԝӏαβεικνρτυχωηмтвнкгпꓲɡℓøœæłđıſ",
    "aaeoopcyxiijsdhqwlabeikvptuxwnmtbhkrnigloealdis",
)
"""Letters that look like a Latin one and do not fold into it by themselves."""
_DIGITS = str.maketrans("013457@$!|€", "oieastasiie")
_LEET = re.compile(r"[013457@$!|€]")
_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[@$|€]{0,3}[^\W_]+(?:[@$!|€]{1,3}[^\W_]+)*[@$€]{0,3}")


def judge(prompt: str, config: Config) -> Verdict | None:
    """Refuse a prompt that says one of ``rules.words``."""
    listed = _listed(config.rules.words)
    for word in _said(prompt, listed, config.rules.spaced):
        if word in listed:
            return Verdict("words", listed[word], by=listed[word])
    return None


def fold(text: str) -> str:
    """``text`` in small Latin letters without accents: what two people would read as the same.

    ñ is a letter, no accent: *año* is a year.
    """
    same = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "ñ".join(_bare(part) for part in same.split("ñ"))


def _bare(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text)
    seen = "".join(each for each in bare if unicodedata.category(each) not in {"Mn", "Me", "Cf", "Cc"})
    return seen.translate(_LOOKALIKES)


def without(prompt: str, allowed: tuple[str, ...]) -> str:
    """The prompt without the phrases that are always allowed, folded; as it is if there are none."""
    phrases = sorted(_listed(allowed), key=len, reverse=True)
    if not phrases:
        return prompt
    folded = f" {' '.join(_WORD.findall(fold(prompt)))} "
    if not any(f" {phrase} " in folded for phrase in phrases):
        return prompt
    for phrase in phrases:
        folded = folded.replace(f" {phrase} ", " , ")
    return folded


@lru_cache(maxsize=64)
def _listed(words: tuple[str, ...]) -> dict[str, str]:
    """Folded word or phrase → as the operator wrote it."""
    folded = {" ".join(_WORD.findall(fold(word))): word for word in words}
    folded.pop("", None)
    return folded


def _said(prompt: str, listed: dict[str, str], spaced: bool) -> Iterator[str]:
    folded = fold(prompt)
    words = _WORD.findall(folded)
    yield from words
    for size in {phrase.count(" ") + 1 for phrase in listed} - {1}:
        yield from (" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
    for token in _TOKEN.findall(folded):
        if _LEET.search(token) and any(each.isalpha() for each in token):
            yield token.translate(_DIGITS)
    if spaced:
        yield from _spelled(words)


def _spelled(words: list[str]) -> Iterator[str]:
    """Runs of three and more single letters, joined: ``f o x`` → ``fox``."""
    run: list[str] = []
    for word in [*words, "  "]:
        if len(word) == 1:
            run.append(word)
            continue
        if len(run) > 2:
            yield "".join(run)
        run = []
