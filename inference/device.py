"""What the engine computes on, how its time is measured, how its memory runs out. The file that knows
CUDA."""

from __future__ import annotations

import gc
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def choose(wish: str = "auto") -> torch.device:
    """The device to use: ``wish``, or by itself CUDA, then MPS, then the CPU."""
    if wish != "auto":
        return torch.device(wish)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def describe(device: torch.device) -> str:
    """``cuda NVIDIA H100``, ``mps`` or ``cpu``: for the log and ``doctor``."""
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def use_cores(device: torch.device) -> None:
    """On a CPU let torch use every core this process may run on, unless OMP_NUM_THREADS says otherwise."""
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return
    able = getattr(os, "sched_getaffinity", None)
    torch.set_num_threads(len(able(0)) if able else os.cpu_count() or 1)


def give_back(device: torch.device) -> None:
    """What was just let go of is free for others."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def out_of_memory(error: Exception) -> bool:
    """Whether this error of torch says that memory ran out, on whichever device."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return any(word in text for word in ("not enough memory", "can't allocate memory", "out of memory"))


def lost(error: Exception) -> bool:
    """Whether the device itself is gone, so that only a new process helps; a failed capture is no loss."""
    text = str(error)
    return "CUDA error" in text and "captur" not in text and not out_of_memory(error)


class CudaStreams:
    """The engine's stream and another of higher priority (for ``aside.Beside``): a picture that is finished
    is not late because of those that are not."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._other: Any = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def mark(self) -> Any:
        """This point of the engine's stream."""
        return _now()

    @contextmanager
    def other(self, mark: Any) -> Iterator[None]:
        """Work on the other stream, once ``mark`` is reached."""
        with torch.cuda.device(self._device), torch.cuda.stream(self._other):
            self._other.wait_event(mark)
            yield


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """``tensor`` on the CPU. From a GPU through pinned memory, waiting for this thread's stream only."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    there.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return there


class StepClock:
    """Seconds of the device's time for each step, told as soon as they are known.

    On a CPU that is at once. A GPU works behind the host: its events are read one step later, which also
    keeps the host from running more than one step ahead.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._device = device
        self._started = 0.0
        self._first: Any = None
        self._open: deque[tuple[Any, Any, Callable[[float], None]]] = deque()

    def start(self) -> None:
        """A step begins."""
        self._started = time.perf_counter()
        if self._cuda:
            self._first = _now()

    def stop(self, tell: Callable[[float], None]) -> None:
        """The step was given to the device; ``tell`` gets its seconds."""
        if not self._cuda:
            if self._device.type == "mps":
                torch.mps.synchronize()
            tell(time.perf_counter() - self._started)
            return
        self._open.append((self._first, _now(), tell))
        while len(self._open) > 1:
            self._read()

    def drain(self) -> None:
        """Nothing follows at once: wait for what is open."""
        while self._open:
            self._read()

    def _read(self) -> None:
        first, last, tell = self._open.popleft()
        last.synchronize()
        tell(first.elapsed_time(last) / 1_000)


class Recording:
    """A call recorded as a CUDA graph: repeated with other numbers of the same shapes, launched as one.

    Another thread may use the device meanwhile. Recordings share their memory: they never run at once, and a
    result is a copy.
    """

    _pool: Any = None

    def __init__(self, call: Callable[..., torch.Tensor], *given: torch.Tensor) -> None:
        where = given[0].device
        aside: Any = torch.cuda.Stream(where)  # type: ignore[no-untyped-call]
        self._given = [tensor.clone() for tensor in given]
        aside.wait_stream(torch.cuda.current_stream(where))
        with torch.cuda.stream(aside):
            for _ in range(2):  # what is allocated and chosen at the first call must not be recorded
                call(*self._given)
        torch.cuda.current_stream(where).wait_stream(aside)
        Recording._pool = Recording._pool or torch.cuda.graph_pool_handle()
        self._graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=Recording._pool, capture_error_mode="thread_local"):
            self._found = call(*self._given)

    def __call__(self, *given: torch.Tensor) -> torch.Tensor:
        """The call, with these."""
        for mine, tensor in zip(self._given, given, strict=True):
            mine.copy_(tensor)
        self._graph.replay()
        return self._found.clone()


def _now() -> Any:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
