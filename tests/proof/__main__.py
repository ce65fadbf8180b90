"""The command line of the proofs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.proof import PROOFS
from tests.proof.frame import State, report, run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("proof", choices=sorted(PROOFS))
    parser.add_argument("--rounds", type=int, help="instead of the full size")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop after so many (resumable)")
    parser.add_argument("--seed", type=int, help="play only this seed, and print what went wrong")
    parser.add_argument("--control", action="store_true", help="play the known-bad variant, which must fail")
    parser.add_argument("--fresh", action="store_true", help="forget what was played before")
    parser.add_argument("--state", type=Path, default=Path(tempfile.gettempdir()) / "falopitas-proof")
    return parser.parse_args()


def main() -> int:
    """Play every part of a proof; exit code 0 if each holds (or each control fails, as it must)."""
    given = _arguments()
    good = True
    for part in PROOFS[given.proof]:
        named = given.rounds or (part.control_rounds if given.control else part.rounds)
        path = given.state / f"{part.name}{'-control' if given.control else ''}.json"
        if given.fresh or given.control:
            path.unlink(missing_ok=True)
        if given.seed is None:
            state = run(part, named, given.minutes * 60, State.load(path), control=given.control, path=path)
        else:
            state = run(part, 1, given.minutes * 60, State(seed=given.seed), control=given.control)
        good &= report(part, state, control=given.control, named=named)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
