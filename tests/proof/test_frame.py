"""The proofs' frame: rounds by seed, resumed where they stopped, and a control that must fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.proof import PROOFS
from tests.proof.frame import Played, Proof, State, holds, report, run


def _proof(wrong_at: int = 0) -> Proof:
    """Three rounds a seed; the control is wrong every time, the real thing only at ``wrong_at``."""

    def play(seed: int, control: bool) -> Played:
        return Played(3, (f"at {seed}",) * (3 if control else int(seed == wrong_at)))

    return Proof("R0", "nothing happens", 30, "rounds", play, control_rounds=3, control_rate=0.5)


def test_a_stopped_proof_goes_on_with_the_next_seed(tmp_path: Path) -> None:
    """What was played is not played again, and what went wrong is not forgotten."""
    path = tmp_path / "R0.json"
    run(_proof(2), 6, 60, State.load(path), path=path)
    state = run(_proof(2), 30, 60, State.load(path), path=path)
    assert (state.seed, state.done, state.wrong) == (11, 30, 1)
    assert state.violations == ["seed 2: at 2"]


def test_time_ends_a_proof_and_the_report_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """Rounds done of rounds named."""
    state = run(_proof(), 30, 0, State())
    assert report(_proof(), state, control=False, named=30)
    said = json.loads(capsys.readouterr().out)
    assert (said["rounds"], said["named"], said["verdict"]) == (0, 30, "holds so far")


@pytest.mark.parametrize(
    ("control", "wrong", "good"), [(False, 0, True), (False, 1, False), (True, 1, False), (True, 3, True)]
)
def test_a_claim_holds_without_a_violation_and_a_control_only_with_many(
    control: bool, wrong: int, good: bool
) -> None:
    """The control's share is exceeded or the proof proves nothing."""
    assert holds(_proof(), State(done=3, wrong=wrong), control=control) is good


def test_every_proof_has_a_control_and_names_of_its_own() -> None:
    """Two parts with one name would share their state."""
    parts = [part for each in PROOFS.values() for part in each]
    assert len({part.name for part in parts}) == len(parts)
    assert all(part.control_rounds > 0 for part in parts)
