"""Prompt text → conditioning: attention weights, ``BREAK``, prompts longer than one chunk.

The grammar is AUTOMATIC1111's as its wiki describes it ("Attention/emphasis"): ``(word)`` weighs 1.1 times
more, ``[word]`` 1.1 times less, ``(word:1.3)`` 1.3 times; groups nest; ``\\(`` is the character itself;
``BREAK`` ends a chunk. A bracket without its partner stands for itself. Reading is linear in the length.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer as Bpe

STEP = 1.1
"""Weight of one pair of brackets."""
MAX_DEPTH = 32
"""Brackets nested deeper than this stand for themselves."""
MAX_WEIGHT = 10.0
"""Weights are held between minus this and this."""
MAX_TOKENS = 1_200
"""Tokens that are read of one prompt (16 chunks of SD1.x); what comes after is dropped."""
BACK = 20 / 75
"""Share of a chunk in which a comma, or else the end of a word, is looked for to cut at (A1111: 20 of 75)."""
MAX_CACHE = 64 * 2**20
"""Bytes of encodings that are kept."""

_NUMBER = re.compile(r":\s{0,4}([+-]?(?:[0-9]{1,4}(?:\.[0-9]{0,6})?|\.[0-9]{1,6}))\s{0,4}\)")
_BREAK = re.compile(r"\bBREAK\b")
_CLOSES = {")": "(", "]": "["}


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of one weight. ``cut``: no text, but the end of a chunk."""

    text: str
    weight: float = 1.0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A bracket, and how far the text between it and its partner's end is not text (``:1.3``)."""

    at: int
    partner: int
    factor: float
    number: int
    """Where the text of the group ends: at the colon of its number, or at its closing bracket."""


def _marks(text: str) -> dict[int, Mark]:
    """Every bracket that has a partner, by position. Linear: each bracket is pushed and popped once."""
    waiting: list[int] = []
    waiting_of = {"(": 0, "[": 0}
    found: dict[int, Mark] = {}
    skip = False
    for at, c in enumerate(text):
        if skip or c == "\\":
            skip = not skip
        elif c in waiting_of:
            waiting.append(at)
            waiting_of[c] += 1
        elif c in _CLOSES and waiting_of[_CLOSES[c]]:
            while True:  # brackets of the other kind in between have no partner
                start = waiting.pop()
                waiting_of[text[start]] -= 1
                if text[start] == _CLOSES[c]:
                    break
            found[start] = found[at] = _group(text, start, at)
    return found


def _group(text: str, start: int, end: int) -> Mark:
    if text[start] == "[":
        return Mark(start, end, 1 / STEP, end)
    colon = text.rfind(":", max(start + 1, end - 20), end)
    if colon > 0 and (number := _NUMBER.fullmatch(text, colon, end + 1)):
        return Mark(start, end, float(number[1]), colon)
    return Mark(start, end, STEP, end)


def _weighed(text: str) -> Iterator[tuple[str, float]]:
    """Runs of text, unescaped, each with its weight."""
    marks = _marks(text)
    factors: list[float] = [1.0]
    groups: list[Mark] = []
    run: list[str] = []
    at = 0
    while at < len(text):
        mark = marks.get(at)
        if groups and at == groups[-1].number:
            yield "".join(run), factors.pop()
            run, at = [], groups.pop().partner
        elif mark and at == mark.at and len(groups) < MAX_DEPTH:
            yield "".join(run), factors[-1]
            run = []
            groups.append(mark)
            factors.append(factors[-1] * mark.factor)
        elif text[at] == "\\" and text[at + 1 : at + 2] in set("()[]\\"):
            at += 1
            run.append(text[at])
        else:
            run.append(text[at])
        at += 1
    yield "".join(run), factors[-1]


def parse(text: str) -> tuple[Piece, ...]:
    """``text`` as pieces of one weight each, neighbours of equal weight joined; at least one piece."""
    found: list[Piece] = []

    def add(piece: Piece) -> None:
        last = found[-1] if found else None
        if last and not piece.cut and not last.cut and last.weight == piece.weight:
            found[-1] = Piece(last.text + piece.text, last.weight)
        elif piece.cut or piece.text:
            found.append(piece)

    for run, factor in _weighed(text):
        weight = round(max(-MAX_WEIGHT, min(factor, MAX_WEIGHT)), 6)
        parts = _BREAK.split(run)
        for i, part in enumerate(parts):
            if i:
                add(Piece("", cut=True))
            left = part.lstrip() if i else part
            add(Piece(left.rstrip() if i < len(parts) - 1 else left, weight))
    return tuple(found) or (Piece(""),)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a prompt; ``comma`` and ``last`` (of its word) say where a chunk may end."""

    id: int
    weight: float
    comma: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A byte-pair encoding with its special tokens; ``window`` tokens go into one chunk, with them."""

    bpe: Bpe
    start: int
    end: int
    pad: int
    window: int

    @property
    def room(self) -> int:
        """Tokens of text in one chunk."""
        return self.window - 2

    def tokens(self, piece: Piece) -> list[Token]:
        """The tokens of one piece, without special ones."""
        read = self.bpe.encode(piece.text, add_special_tokens=False)
        words = read.word_ids
        return [
            Token(id_, piece.weight, piece.text[a:b].strip() == ",", words[i + 1 : i + 2] != words[i : i + 1])
            for i, (id_, (a, b)) in enumerate(zip(read.ids, read.offsets, strict=True))
        ]

    def chunks(self, prompt: str) -> list[list[Token]]:
        """The prompt's tokens in chunks of at most ``room``; at least one, perhaps empty."""
        sections: list[list[Token]] = [[]]
        for piece in parse(prompt):
            if piece.cut:
                sections.append([])
            else:
                sections[-1].extend(self.tokens(piece))
        cut = [chunk for section in sections if section for chunk in _split(section, self.room)]
        return cut[: max(1, MAX_TOKENS // self.room)] or [[]]

    def ids(self, chunk: Sequence[Token]) -> list[int]:
        """``chunk`` with its special tokens and padding: ``window`` numbers."""
        ids = [self.start, *(token.id for token in chunk), self.end]
        return ids + [self.pad] * (self.window - len(ids))


def _split(tokens: list[Token], room: int) -> Iterator[list[Token]]:
    """Cut after the last comma near the end of a chunk, else after a word, else anywhere."""
    at = 0
    while len(tokens) - at > room:
        nearest = max(1, room - max(1, int(room * BACK)))
        ends = range(at + room, at + nearest, -1)
        end = next((i for i in ends if tokens[i - 1].comma), 0)
        end = end or next((i for i in ends if tokens[i - 1].last), at + room)
        yield tokens[at:end]
        at = end
    yield tokens[at:]


class TextModel(Protocol):
    """CLIP's text half: (k, window) token ids, and a mask or None, to (k, window, dim)."""

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The last hidden state, after the final norm."""


class TextEncoder:
    """Prompts → conditioning with one text model, the latest encodings kept. Not thread-safe."""

    def __init__(self, tokenizer: Tokenizer, model: TextModel, device: torch.device, *, masked: bool) -> None:
        self.tokenizer = tokenizer
        self._cut = lru_cache(maxsize=64)(tokenizer.chunks)
        self._model = model
        self._device = device
        self._masked = masked
        self._kept: OrderedDict[tuple[str, int, torch.dtype], torch.Tensor] = OrderedDict()
        self._bytes = 0
        self._centred: bool | None = None

    def count(self, prompt: str) -> int:
        """Chunks that ``prompt`` needs."""
        return len(self._cut(prompt))

    def encode(self, prompt: str, chunks: int, dtype: torch.dtype) -> torch.Tensor:
        """(k * window, dim) in ``dtype``; k is ``chunks`` or what the prompt needs, if that is more.

        Chunks go through the model one at a time, so that a prompt's encoding never depends on another's.
        """
        import torch

        key = (prompt, chunks, dtype)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        cut = self._cut(prompt)
        made = [*cut, *([[]] * (chunks - len(cut)))]
        with torch.inference_mode():
            found = torch.cat([self._chunk(chunk) for chunk in made]).to(dtype)
        self._keep(key, found)
        return found

    def _keep(self, key: tuple[str, int, torch.dtype], found: torch.Tensor) -> None:
        self._kept[key] = found
        self._bytes += found.nbytes
        while self._bytes > MAX_CACHE and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def _chunk(self, chunk: Sequence[Token]) -> torch.Tensor:
        """(window, dim) of one chunk, weighed."""
        import torch

        plain = self._plain(chunk)
        if all(token.weight == 1.0 for token in chunk):
            return plain
        weights = torch.ones(self.tokenizer.window)
        weights[1 : 1 + len(chunk)] = torch.tensor([token.weight for token in chunk])
        return self._restored(plain, plain * weights.to(plain)[:, None])

    def _plain(self, chunk: Sequence[Token]) -> torch.Tensor:
        import torch

        ids = torch.tensor([self.tokenizer.ids(chunk)], device=self._device)
        mask = None
        if self._masked:
            mask = (torch.arange(self.tokenizer.window, device=self._device) < len(chunk) + 2).long()[None]
        return self._model(ids, mask)[0]

    def _restored(self, plain: torch.Tensor, weighed: torch.Tensor) -> torch.Tensor:
        """``weighed`` scaled back to the size of ``plain``: to its mean, as A1111 does.

        Where an encoder's outputs have a mean of about nothing (a final norm without bias), their quotient
        is noise; there the root mean square is restored instead.
        """
        import torch

        if self._centred is None:
            empty = self._plain([]).float()
            self._centred = bool(empty.mean().abs() < 0.02 * empty.square().mean().sqrt())
        if self._centred:
            old, new = (x.float().square().mean().sqrt() for x in (plain, weighed))
        else:
            old, new = plain.float().mean(), weighed.float().mean()
        scale = torch.where(new.abs() > 1e-6, old / new, torch.ones_like(new)).clamp(0.1, 10.0)
        return (weighed.float() * scale).to(plain.dtype)
