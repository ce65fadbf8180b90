"""R9: the state machine of queue, ledger, gallery and outbox against its in-memory twin."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from storage import jobs, ledger, outbox
from storage.jobs import Job
from tests.proof.frame import Played, Proof, memory
from tests.storage.pair import STEPS, Pair

LENGTH = 250
"""Steps of one life of a database, with a full comparison after every tenth."""

Tx = sqlite3.Connection


def live(seed: int, steps: int = LENGTH) -> Played:
    """One life: random steps on storage and its twin until they differ or ``steps`` are done."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="falopitas-r9-", dir=memory()) as folder:
        pair = Pair(Path(folder) / "falopitas.db")
        try:
            for number in range(1, steps + 1):
                getattr(pair, rng.choice(STEPS))(*(rng.randrange(1_000) for _ in range(3)))
                if number % 10 == 0 or number == steps:
                    pair.check()
        except Exception as error:  # noqa: BLE001 - whatever storage raises here is a violation
            return Played(number, (f"step {number}: {type(error).__name__}: {error}",))
        finally:
            pair.close()
    return Played(steps)


# --- known-bad variants: the known traps, one by one


def _unfenced(tx: Tx, job_id: int, _attempt: int) -> Job | None:
    job = jobs.get(tx, job_id)
    return job if job is not None and job.status is jobs.Status.RUNNING else None


def _after(function: Callable[..., Any], sql: str) -> Callable[..., Any]:
    def changed(tx: Tx, *args: object, **kwargs: object) -> object:
        result = function(tx, *args, **kwargs)
        tx.execute(sql)
        return result

    return changed


def _forgetful_refill(tx: Tx, now: float, *, daily: int) -> int:
    tx.execute("UPDATE meta SET day = 0")
    return _refill(tx, now, daily=daily)


def _cancel_keeps_share(tx: Tx, job_id: int, now: float) -> Job | None:
    before = tx.execute("SELECT id, finish FROM account").fetchall()
    job = _cancel(tx, job_id, now)
    tx.executemany("UPDATE account SET finish = ?2 WHERE id = ?1", before)
    return job


def _refund_to_the_owner_of_the_job(tx: Tx, job_id: int, units: int, now: float, note: str) -> None:
    if units:
        (account,) = tx.execute("SELECT account FROM job WHERE id = ?", (job_id,)).fetchone()
        jobs._enter(tx, account, job_id, "refund", units, now, note)


_refill, _cancel = ledger.refill, jobs.cancel

TRAPS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "a late attempt settles": lambda: patch.object(jobs, "_running", _unfenced),
    "no refund": lambda: patch.object(jobs, "_refund", lambda *_: None),
    "refund to whoever has the job": lambda: patch.object(jobs, "_refund", _refund_to_the_owner_of_the_job),
    "cancel keeps the share": lambda: patch.object(jobs, "cancel", _cancel_keeps_share),
    "no virtual clock": lambda: patch.object(
        jobs, "claim", _after(jobs.claim, "UPDATE meta SET clock = 0.0")
    ),
    "a key submits twice": lambda: patch.object(jobs, "by_key", lambda *_: None),
    "refill forgets the day": lambda: patch.object(ledger, "refill", _forgetful_refill),
    "nothing is owed": lambda: patch.object(outbox, "add", lambda *_: None),
    "delivered is not recorded": lambda: patch.object(outbox, "delivered", lambda *_: True),
}
"""Each re-introduces one mistake; the machine must notice every one of them."""


def play(seed: int, control: bool) -> Played:
    """One life; as the control, one life with the seed's trap in place."""
    if not control:
        return live(seed)
    name = sorted(TRAPS)[seed % len(TRAPS)]
    with TRAPS[name]():
        for attempt in range(12):
            played = live(seed * 100 + attempt)
            if played.violations:
                return Played(1, (f"{name}: {played.violations[0]}",))
    return Played(1)


MODEL = Proof(
    "R9", "queue, ledger, gallery and outbox equal their in-memory twin", 300_000, "steps", play,
    control_rounds=len(TRAPS), control_rate=0.999,
)  # fmt: skip
