"""What every full-size proof shares: rounds by seed, a state to resume from, a control that must fail."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


def memory() -> str | None:
    """A folder in memory where there is one, for proofs in which nothing need reach a disk.

    A killed process leaves its writes with the kernel, and what a power cut leaves is simulated.
    """
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - fresh folders are made in it


KEPT_VIOLATIONS = 50
"""Violations remembered word for word; all are counted."""


@dataclass(frozen=True, slots=True)
class Played:
    """What one call of ``play`` did: how many rounds, everything that went wrong in them, and how often each
    kind of fault happened, if they are counted."""

    rounds: int
    violations: tuple[str, ...] = ()
    fired: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proof:
    """One claim. ``play(seed, control)`` plays a few rounds, always the same for a seed.

    ``control_rate``: the known-bad variant must show violations in more than this share of its rounds,
    or the proof proves nothing. ``control_rounds`` are enough to see that. ``least``: times that every kind
    of fault must have happened when all rounds are played.
    """

    name: str
    claim: str
    rounds: int
    unit: str
    play: Callable[[int, bool], Played]
    control_rounds: int
    control_rate: float = 0.0
    least: int = 0


@dataclass(slots=True)
class State:
    """How far a proof has come; kept in a file, so that a stopped proof goes on where it was."""

    seed: int = 1
    done: int = 0
    wrong: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    fired: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    def add(self, played: Played, seconds: float) -> None:
        self.seed += 1
        self.done += played.rounds
        self.seconds += seconds
        self.wrong += len(played.violations)
        for kind, count in played.fired.items():
            self.fired[kind] = self.fired.get(kind, 0) + count
        room = max(0, KEPT_VIOLATIONS - len(self.violations))
        self.violations += [f"seed {self.seed - 1}: {each}" for each in played.violations[:room]]


def run(
    proof: Proof,
    rounds: int,
    seconds: float,
    state: State,
    *,
    control: bool = False,
    path: Path | None = None,
) -> State:
    """Play until ``rounds`` are done or ``seconds`` have passed; save to ``path`` after each seed."""
    ends = time.monotonic() + seconds
    while state.done < rounds and time.monotonic() < ends:
        began = time.monotonic()
        state.add(proof.play(state.seed, control), time.monotonic() - began)
        if path is not None:
            state.save(path)
    return state


def holds(proof: Proof, state: State, *, control: bool) -> bool:
    """The claim: no violation, and every fault was tried. The control: more than its share of violations."""
    if (
        not control
        and state.done >= proof.rounds
        and min(state.fired.values(), default=proof.least) < proof.least
    ):
        return False
    return state.wrong > proof.control_rate * state.done if control else state.wrong == 0


def report(proof: Proof, state: State, *, control: bool, named: int) -> bool:
    """Print what was done of what was named, and whether it holds (for a control: fails as it must)."""
    good = holds(proof, state, control=control)
    verdict = ("fails, as it must" if good else "DOES NOT FAIL: the proof proves nothing") if control else (
        ("holds" if state.done >= named else "holds so far") if good else "VIOLATED")  # fmt: skip
    print(json.dumps({
        "proof": proof.name, "control": control, "rounds": state.done, "named": named, "unit": proof.unit,
        "violations": state.wrong, "next_seed": state.seed, "seconds": round(state.seconds, 1),
        "verdict": verdict, **({"fired": state.fired} if state.fired else {}),
    }))  # fmt: skip
    for line in state.violations[: 0 if control else KEPT_VIOLATIONS]:
        print(f"  {line}", file=sys.stderr)
    return good
