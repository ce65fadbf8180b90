"""Storage and its twin, given the same words, must give the same answers.

A step is one of ``STEPS`` with three small numbers; hypothesis and the full-size proof both draw them.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from inference.request import Request
from storage import accounts, gallery, group, inbox, jobs, ledger, opening, outbox
from storage.gallery import Kept
from storage.group import Member
from storage.jobs import NewJob
from storage.refusal import Refusal
from tests.storage import people
from tests.storage.twin import No, Twin

WHOS = tuple(f"{chat}:{number}" for chat in ("discord", "telegram") for number in (1, 2, 3))
START = people.NOW
LIMIT = 4


class DiffersError(AssertionError):
    """Storage and its twin do not agree."""


class Pair:
    """One database file and one twin, side by side."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tx = opening.connect(path)
        self.twin = Twin()
        self.now = START
        self.count = 0
        self.code = ""
        self.first = self._both("meet", lambda tx: accounts.meet(
            tx, accounts.OWNER, "en", self.now, grant=0, unlimited=True).id,
            lambda: self.twin.meet(accounts.OWNER, self.now, 0, True))  # fmt: skip

    def close(self) -> None:
        self.tx.close()

    def _both(self, what: str, real: Callable[[sqlite3.Connection], Any], model: Callable[[], Any]) -> Any:
        (member,) = group.run_group(self.tx, deque([Member(real, False)]))
        if member.error is not None and not isinstance(member.error, Refusal):
            raise member.error
        got = getattr(member.error, "code", member.value)
        try:
            expected = model()
        except No as no:
            expected = no.code
        if got != expected:
            raise DiffersError(f"{what}: storage says {got!r}, the twin {expected!r}")
        return got

    def _account(self, a: int) -> int:
        return 1 + a % len(self.twin.accounts)

    def _job(self, a: int) -> int:
        """Mostly a recent job, sometimes one that is not there."""
        return max(1, len(self.twin.jobs) + 1 - a % 12)

    def _drawn(self, a: int) -> tuple[int, int]:
        """A job and an attempt: mostly one that runs."""
        running = self.twin.running()
        number = running[a % len(running)] if running and a % 5 else self._job(a)
        job = self.twin.jobs.get(number)
        return number, (job.attempt if job else 0) - (a % 7 == 0)

    # --- steps

    def meet(self, a: int, b: int, c: int) -> None:
        who, grant = WHOS[a % len(WHOS)], 1_000 * (b % 30)
        self._both(
            "meet",
            lambda tx: accounts.meet(tx, who, "en", self.now, grant=grant).id,
            lambda: self.twin.meet(who, self.now, grant, False),
        )

    def submit(self, a: int, b: int, c: int) -> None:
        self.count += 1
        account, count, cost = self._account(a), 1 + b % 4, (1 + c % 9) / 3
        key = f"k{c % 6}" if b % 5 == 0 else f"n{self.count}"
        event, price = str(c % 40), count * (500 + 250 * (c % 5)) + b % 3
        new = NewJob(
            account, key, Request(prompt="p", count=count), price, cost, "test:1", "en", inbox=("t", event)
        )
        self._both(
            "submit",
            lambda tx: jobs.submit(tx, new, self.now, limit=LIMIT).id,
            lambda: self.twin.submit(account, key, price, count, cost, LIMIT, event),
        )

    def accept(self, a: int, b: int, c: int) -> None:
        event = str(c % 40)
        self._both(
            "accept",
            lambda tx: inbox.accept(tx, "t", event, "test:1", b"", self.now),
            lambda: self.twin.accept(event),
        )

    def claim(self, a: int, b: int, c: int) -> None:
        alone = (None, None, True, False)[a % 4]

        def real(tx: sqlite3.Connection) -> int | None:
            job = jobs.claim(tx, f"engine-{b % 2}", self.now, alone=alone)
            return None if job is None else job.id

        self._both("claim", real, lambda: self.twin.claim(alone))

    def settle(self, a: int, b: int, c: int) -> None:
        number, attempt = self._drawn(a)
        job = self.twin.jobs.get(number)
        arrived = min(b % 5, job.count if job else 1)
        indexes = [*range(arrived), *([gallery.GRID] if arrived > 1 else [])]
        digests = {index: people.digest_of(f"{c % 3}/{number % 4}/{index}") for index in indexes}
        kept = [Kept(digest, b"", index, 0, 8, 8, 1) for index, digest in digests.items()]
        self._both(
            "settle",
            lambda tx: _status(jobs.settle(tx, number, attempt, kept, 1.0, self.now)),
            lambda: self.twin.settle(number, attempt, digests, self.now),
        )

    def fail(self, a: int, b: int, c: int) -> None:
        number, attempt = self._drawn(a)
        self._both(
            "fail",
            lambda tx: _status(jobs.fail(tx, number, attempt, "bad_model", self.now)),
            lambda: self.twin.fail(number, attempt, self.now),
        )

    def cancel(self, a: int, b: int, c: int) -> None:
        number = self._job(a)
        self._both(
            "cancel", lambda tx: _status(jobs.cancel(tx, number, self.now)), lambda: self.twin.cancel(number)
        )

    def requeue(self, a: int, b: int, c: int) -> None:
        number, attempt = self._drawn(a)
        if number in self.twin.jobs:
            died, suspect = b % 3 > 0, c % 3 == 0
            self._both(
                "requeue",
                lambda tx: _status(jobs.requeue(tx, number, attempt, self.now, died=died, suspect=suspect)),
                lambda: self.twin.requeue(number, attempt, died, suspect, self.now),
            )

    def grant(self, a: int, b: int, c: int) -> None:
        account, units, key = self._account(a), 1 + b % 5_000, f"gift:{c % 50}"
        self._both(
            "grant",
            lambda tx: ledger.grant(tx, account, units, "grant", key, self.now),
            lambda: self.twin.grant(account, units, key),
        )

    def refill(self, a: int, b: int, c: int) -> None:
        self._both(
            "refill",
            lambda tx: ledger.refill(tx, self.now, daily=9_000),
            lambda: self.twin.refill(self.now, 9_000),
        )

    def link(self, a: int, b: int, c: int) -> None:
        account, who = self._account(a), (*WHOS, accounts.OWNER)[b % (len(WHOS) + 1)]
        made: list[str] = []

        def real(tx: sqlite3.Connection) -> None:
            made.append(accounts.link_code(tx, account, self.now))

        said = self._both(
            "link_code", real, lambda: self.twin.link_code(account, made[0] if made else "", self.now)
        )
        self.code = self.code if said else made[0]
        code = "WRONG" if c % 4 == 0 else self.code
        self._both(
            "redeem",
            lambda tx: accounts.redeem(tx, code, who, self.now).id,
            lambda: self.twin.redeem(code, who, self.now),
        )

    def unlink(self, a: int, b: int, c: int) -> None:
        who = WHOS[a % len(WHOS)]
        self._both("unlink", lambda tx: accounts.unlink(tx, who, self.now), lambda: self.twin.unlink(who))

    def deliver(self, a: int, b: int, c: int) -> None:
        due = self._both(
            "due",
            lambda tx: [d.job for d in outbox.due(tx, self.now, 99)],
            lambda: self.twin.due(self.now),
        )
        if not due:
            return
        job = due[a % len(due)]
        number = next(d.id for d in outbox.due(self.tx, self.now, 99) if d.job == job)
        if b % 3 == 0:
            self._both(
                "later",
                lambda tx: outbox.later(tx, number, self.now + c),
                lambda: self.twin.owed.update({job: self.now + c}),
            )
        else:
            self._both(
                "delivered",
                lambda tx: outbox.delivered(tx, number, "test:2", self.now),
                lambda: self.twin.owed.pop(job) is not None,
            )

    def delete(self, a: int, b: int, c: int) -> None:
        number = self._job(a)
        self._both("delete", lambda tx: set(gallery.delete(tx, number)), lambda: self.twin.delete(number))

    def die(self, a: int, b: int, c: int) -> None:
        """The bot dies (its connection is gone) and starts again: what ran goes back to its turn."""
        self.tx.close()
        self.tx = opening.connect(self.path)
        for number in self.twin.running():
            attempt = self.twin.jobs[number].attempt
            self._both(
                "restart",
                partial(_requeued, number=number, attempt=attempt, now=self.now),
                partial(self.twin.requeue, number, attempt, False, False, self.now),
            )

    def crash(self, a: int, b: int, c: int) -> None:
        """A transaction that was begun and never committed leaves nothing."""
        self.tx.execute("BEGIN IMMEDIATE")
        accounts.meet(self.tx, "nobody:1", "en", self.now, grant=77)
        jobs.claim(self.tx, "engine", self.now)
        ledger.refill(self.tx, self.now + 10**7, daily=10**6)
        self.tx.execute("ROLLBACK")

    def jump(self, a: int, b: int, c: int) -> None:
        """The wall clock goes on, and sometimes back or days ahead."""
        self.now += (1.0, 60.0, 700.0, 86_400.0, -3_600.0, -200_000.0, 500_000.0, 30.0)[a % 8]

    # --- the whole

    def check(self) -> None:
        """Every balance, turn, status, place in the queue, picture and delivery; and sound books."""
        self._same("books", people.audit(self.tx), ())
        self._same("accounts", _table(self.tx, "SELECT id, balance, finish, unlimited FROM account"), {
            number: (each.balance, each.finish, each.unlimited) for number, each in self.twin.accounts.items()
        })  # fmt: skip
        self._same("jobs", _table(self.tx, _JOBS_SQL), {
            n: (j.account, j.status, j.attempt, j.turn, j.deaths, j.suspect, j.arrived)
            for n, j in self.twin.jobs.items()
        })  # fmt: skip
        self._same("identities", _table(self.tx, "SELECT who, account FROM identity"),
                   {who: (account,) for who, account in self.twin.whos.items()})  # fmt: skip
        self._same("pieces", sorted(self.tx.execute("SELECT job, number, digest, account FROM piece")),
                   sorted((*where, *what) for where, what in self.twin.pieces.items()))  # fmt: skip
        self._same("owed", _table(self.tx, "SELECT job, due FROM outbox WHERE over IS NULL"),
                   {job: (due,) for job, due in self.twin.owed.items()})  # fmt: skip
        self._same("events", _table(self.tx, "SELECT event, done FROM inbox"),
                   {event: (done,) for event, done in self.twin.events.items()})  # fmt: skip
        self._same("places", [jobs.ahead(self.tx, n).jobs for n in self.twin.jobs],
                   [self.twin.ahead(n) for n in self.twin.jobs])  # fmt: skip

    def _same(self, what: str, got: object, expected: object) -> None:
        if got != expected:
            raise DiffersError(f"{what}: storage has {got!r}, the twin {expected!r}")


def _status(job: jobs.Job | None) -> str | None:
    return None if job is None else job.status.value


def _requeued(tx: sqlite3.Connection, number: int, attempt: int, now: float) -> str:
    return jobs.requeue(tx, number, attempt, now, died=False).status.value


_JOBS_SQL = "SELECT id, account, status, attempt, turn, deaths, suspect, arrived FROM job"


def _table(tx: sqlite3.Connection, sql: str) -> dict[object, tuple[object, ...]]:
    return {row[0]: tuple(row[1:]) for row in tx.execute(sql).fetchall()}


STEPS: tuple[str, ...] = (
    *("submit",) * 6, *("claim",) * 4, *("settle",) * 3, "meet", "meet", "accept", "fail", "cancel", "cancel",
    "requeue", "requeue", "grant", "refill", "link", "unlink", "deliver", "deliver", "delete", "die", "crash",
    "jump", "jump",
)  # fmt: skip
"""Each step as often as it should come."""
