"""Models, loaded in the background while others draw."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import msgspec

from inference.models import BadModel, Denoiser
from inference.request import ModelSpec
from inference.wire import ModelState

log = logging.getLogger(__name__)

Load = Callable[[ModelSpec], Denoiser]
Result = TypeVar("Result")


class Loader:
    """Loads a model when it is first wanted, one at a time, and knows the state of each.

    ``changed(name, model)`` is called from the loading thread when a state changed; ``model`` once it is
    ready.
    """

    def __init__(
        self, specs: Iterable[ModelSpec], load: Load, changed: Callable[[str, Denoiser | None], None]
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._states = {name: ModelState(name=name, state="waiting") for name in self._specs}
        self._load = load
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    def states(self) -> tuple[ModelState, ...]:
        """The state of every model, in the order of the configuration."""
        return tuple(self._states[name] for name in self._specs)

    def state(self, name: str) -> ModelState:
        """The state of one model; an unknown one is broken."""
        return self._states.get(name, ModelState(name=name, state="broken", reason="model_missing"))

    def spec(self, name: str) -> ModelSpec:
        """What the operator says of a model that is offered."""
        return self._specs[name]

    def want(self, name: str) -> None:
        """Load ``name`` if nobody did yet."""
        if self.state(name).state == "waiting":
            self._states[name] = msgspec.structs.replace(self._states[name], state="loading")
            self._changed(name, None)
            self._thread.submit(self._load, self._specs[name]).add_done_callback(
                lambda future: self._loaded(name, future)
            )

    def release(self, name: str) -> None:
        """``name`` is no longer in memory, or could not be put there: it may be wanted again."""
        self._states[name] = ModelState(name=name, state="waiting")

    def close(self) -> None:
        """Start no more loads."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _loaded(self, name: str, future: Future[Denoiser]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            model = future.result()
            self._states[name] = ModelState(name=name, state="ready", megabytes=model.megabytes)
            self._changed(name, model)
            return
        bad = error if isinstance(error, BadModel) else BadModel("model_corrupt", type(error).__name__)
        if bad is not error:
            log.error("model not loaded", exc_info=error, extra={"action": "load", "model": name})
        self._states[name] = ModelState(name=name, state="broken", reason=bad.code, detail=bad.detail)
        self._changed(name, None)
