"""The models on offer and how they are in the engines."""

from __future__ import annotations

from collections.abc import Sequence

from inference.request import ModelSpec
from inference.wire import ModelState

_BEST_FIRST = ("ready", "loading", "waiting", "broken")


class Catalog:
    """What an operator offers (``specs``), and what the engines say of it."""

    def __init__(self, models: Sequence[ModelSpec], default: str) -> None:
        self.specs: dict[str, ModelSpec] = {spec.name: spec for spec in models}
        self.default = default
        self._heard: dict[str, dict[str, ModelState]] = {}

    def get(self, name: str) -> ModelSpec | None:
        """The model of this name, if there is one."""
        return self.specs.get(name)

    def state(self, name: str) -> ModelState:
        """How it is in the engine that is best off: ``ready``, ``loading``, ``waiting`` or ``broken``.

        ``waiting`` also while no engine has said anything.
        """
        heard = [states[name] for states in self._heard.values() if name in states]
        known = [state for state in heard if state.state in _BEST_FIRST]
        if not known:
            return ModelState(name=name, state="waiting")
        return min(known, key=lambda state: _BEST_FIRST.index(state.state))

    def hear(self, engine: str, states: Sequence[ModelState]) -> None:
        """An engine says how its models are."""
        self._heard[engine] = {state.name: state for state in states}

    def forget(self, engine: str) -> None:
        """An engine is gone: what it could not draw stays known, the rest has to load again."""
        broken = {n: s for n, s in self._heard.get(engine, {}).items() if s.state == "broken"}
        self._heard[engine] = broken
