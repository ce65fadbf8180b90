"""The full-size proofs: ``python -m tests.proof R3 [--rounds N] [--minutes M]``.

Each is resumable (its state lies in ``--state``) and has a control, the same proof against a known-bad
variant, which must fail. ``PROOFS`` names the parts of every claim; the suite plays the same parts small.
"""

from __future__ import annotations

from tests.proof import (
    abuse,
    cancel,
    clocks,
    copies,
    damage,
    days,
    disk,
    ends,
    forged,
    forgotten,
    frames,
    hygiene,
    kill,
    line,
    model,
    photographs,
    power,
    upgrades,
    whole,
)
from tests.proof.frame import Proof

PROOFS: dict[str, tuple[Proof, ...]] = {
    "R1": (kill.STORAGE, whole.WHOLE),
    "R2": (whole.CRASH,),
    "R3": (power.POWER,),
    "R4": (disk.STORAGE, disk.WHOLE),
    "R6": line.DELIVERIES,
    "R7": line.RESTARTS,
    "R8": (days.DAYS,),
    "R9": (model.MODEL,),
    "R10": (cancel.CANCEL,),
    "R11": (ends.RESTART,),
    "R12": (ends.OWNERS,),
    "R13": (ends.POISON,),
    "R14": (line.LINES,),
    "R15": (clocks.CLOCKS,),
    "R18": (ends.STOPPED,),
    "R19": (damage.DAMAGE,),
    "R20": (copies.COPIED,),
    "R21": (upgrades.UPGRADES,),
    "R22": (hygiene.HYGIENE,),
    "R23": (forged.FORGED,),
    "R25": (photographs.PHOTOGRAPHS,),
    "R30": (frames.FRAMES,),
    "R34": (forgotten.FORGOTTEN,),
    "R35": (abuse.ABUSE,),
}
