"""The one kind of exception that is a sentence to a person."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it is no error: it is an answer
    """Something a person asked for will not be done, and they are told why and what to do next.

    ``code`` names the sentence (``refusal.<code>`` in ``bot/texts``) and its next step
    (``refusal.<code>.next``); ``values`` fill both. Raised anywhere, caught in ``converse.answer`` only.
    Nothing was charged when one is raised. ``also`` is what else is wrong with the same ask.
    """

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values
        self.also: tuple[Refusal, ...] = ()

    def __str__(self) -> str:
        """Code and the names of its values; never the values, which may be a person's words."""
        return f"{self.code}({', '.join(sorted(self.values))})"
