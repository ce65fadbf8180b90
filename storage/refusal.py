"""The one kind of exception that is a sentence to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Said = ParamSpec("Said")
Got = TypeVar("Got")

MOST_WRONG = 5
"""Mistakes of one ask that are named."""


class Refusal(Exception):  # noqa: N818 - it is no error: it is an answer
    """Something a person asked for will not be done, and they are told why and what to do next.

    ``code`` names the sentence (``refusal.<code>`` in ``bot/texts``) and its next step
    (``refusal.<code>.next``); ``values`` fill both. Raised anywhere, caught in ``converse.answer`` only.
    Nothing was charged when one is raised. ``also`` is what else is wrong with the same ask; ``draft`` is the
    ask as far as it could be read.
    """

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values
        self.also: tuple[Refusal, ...] = ()
        self.draft: object = None

    def __str__(self) -> str:
        """Code and the names of its values; never the values, which may be a person's words."""
        return f"{self.code}({', '.join(sorted(self.values))})"


class Mistakes:
    """What is wrong with one ask: noted while it is read, said at once."""

    def __init__(self, *refusals: Refusal) -> None:
        self.found = [each for refusal in refusals for each in (refusal, *refusal.also)]
        self.draft: object = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A refusal is noted, and reading goes on."""
        try:
            yield
        except Refusal as refusal:
            self._note(refusal)

    def tried(self, work: Callable[Said, Got], *said: Said.args, **more: Said.kwargs) -> Got | None:
        """What ``work`` gives; None if it refuses, which is noted."""
        try:
            return work(*said, **more)
        except Refusal as refusal:
            self._note(refusal)
            return None

    def _note(self, refusal: Refusal) -> None:
        said = [(each.code, each.values) for each in self.found]
        self.found += [each for each in (refusal, *refusal.also) if (each.code, each.values) not in said]
        self.draft = refusal.draft or self.draft

    def say(self) -> None:
        """Raise the first, with the others in ``also``, if anything was noted."""
        if self.found:
            first, *others = self.found
            first.also, first.draft = tuple(others[: MOST_WRONG - 1]), self.draft
            raise first
