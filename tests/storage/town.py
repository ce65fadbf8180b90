"""Allowances and their plain model, side by side: any order of asks, ends, gifts, acts, restarts and jumps of
the clock must leave both with the same money.

The model knows the rules, not the SQL: three people, one community with a pool, days of UTC.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.request import Request
from storage import accounts, allowances, forget, jobs, ledger, opening, sanctions
from storage.allowances import Allowance, Kind, Scene
from storage.jobs import NewJob
from storage.refusal import Refusal
from tests.storage import people

DAY = 86_400
TOWN = "test:town"
WHOS = ("test:a", "test:b", "test:c")
GRANT = 20_000
CAP = 20_000
_Payer = tuple[str, str]


class DiffersError(AssertionError):
    """Storage and the model do not agree."""


class No(Exception):  # noqa: N818 - the model's refusal
    """Refused, with this code."""


@dataclass
class Purse:
    extra: int = 0
    spent: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def window(self, now: float) -> int:
        begins = int(now // DAY) * DAY
        return max([begins, *(w for w in self.spent if begins <= w <= begins + DAY)])


@dataclass
class Asked:
    """A job: what each payer gave from its window (begun at) and from its extra."""

    account: int
    price: int
    count: int
    paid: list[tuple[_Payer, int, int, int]]
    status: str = "queued"
    attempt: int = 0


@dataclass
class Model:
    wallets: dict[int, int] = field(default_factory=dict)
    purses: dict[_Payer, Purse] = field(default_factory=lambda: defaultdict(Purse))
    units: dict[tuple[str, str], int] = field(default_factory=dict)
    """Allowance (kind, key) → units a day."""
    jobs: dict[int, Asked] = field(default_factory=dict)
    frozen: set[int] = field(default_factory=set)
    given: dict[int, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def own(self, account: int) -> int | None:
        return self.units.get(("person", str(account)), self.units.get(("everybody", "")))

    def pots(self, account: int, home: bool) -> list[tuple[_Payer, int]]:
        if home:
            return []
        mine = self.own(account)
        found = [] if mine is None else [(("person", str(account)), mine)]
        pool = self.units.get(("pool", ""))
        return found + ([] if pool is None else [(("pool", ""), pool)])

    def left(self, payer: _Payer, units: int, now: float) -> tuple[int, int]:
        purse = self.purses[payer]
        spent = purse.spent.get(purse.window(now), 0)  # a look opens no window
        return max(0, units - spent), purse.extra

    def pay(self, account: int, pots: list[tuple[_Payer, int]], price: int, now: float) -> list[Any]:
        room = {payer: sum(self.left(payer, units, now)) for payer, units in pots}
        wallet = not any(kind == "person" for kind, _ in room)
        if min([*room.values(), *([self.wallets[account]] if wallet else [])]) < price:
            raise No("over")
        paid = []
        for payer, units in pots:
            purse, metered = self.purses[payer], min(price, self.left(payer, units, now)[0])
            window = purse.window(now)
            purse.spent[window] += metered
            purse.extra -= price - metered
            paid.append((payer, window, metered, price - metered))
        if wallet:
            self.wallets[account] -= price
            paid.append((("wallet", str(account)), 0, 0, price))
        return paid

    def submit(self, account: int, price: int, count: int, home: bool, now: float) -> str:
        if account in self.frozen and not home:
            raise No("frozen")
        paid = self.pay(account, self.pots(account, home), price, now)
        self.jobs[max(self.jobs, default=0) + 1] = Asked(account, price, count, paid)
        return "ok"

    def end(self, number: int, status: str, arrived: int = 0) -> str:
        job = self.jobs[number]
        job.status = status
        for payer, window, metered, extra in job.paid:
            back = job.price - job.price * arrived // job.count
            first = min(extra, back)
            if payer[0] == "wallet":
                self.wallets[int(payer[1])] += first
                continue
            self.purses[payer].extra += first
            self.purses[payer].spent[window] -= min(metered, back - first)
        return status

    def give(self, account: int, units: int) -> int:
        if self.own(account) is None:
            moved = max(units, -self.wallets[account])
            self.wallets[account] += moved
            return moved
        purse = self.purses["person", str(account)]
        moved = max(units, -purse.extra)
        purse.extra += moved
        return moved

    def gift(self, giver: int, taker: int, units: int, now: float) -> str:
        today = int(now // DAY) * DAY
        if giver == taker:
            raise No("gift_self")
        moved = [
            sum(u for at, u in self.given[each] if today <= at <= today + DAY) for each in (giver, taker)
        ]
        if units > CAP - max(moved):
            raise No("gift_cap")
        mine = self.own(giver)
        self.pay(giver, [] if mine is None else [(("person", str(giver)), mine)], units, now)
        self.give(taker, units)
        for each in (giver, taker):
            self.given[each].append((now, units))
        return "ok"


class Town:
    """A database file and the model."""

    def __init__(self, path: Path) -> None:
        self.path, self.now, self.count = path, people.NOW, 0
        self.tx = opening.connect(path)
        self.model = Model()
        self.who: dict[str, int] = {}
        self.back: float | None = None
        for who in WHOS:
            self._meet(who, GRANT)

    def close(self) -> None:
        self.tx.close()

    def _meet(self, who: str, grant: int) -> int:
        number = self._run(lambda tx: accounts.meet(tx, who, "en", self.now, grant=GRANT).id)
        self.model.wallets.setdefault(number, grant)
        self.who[who] = number
        return int(number)

    def _run(self, real: Callable[[sqlite3.Connection], Any]) -> Any:
        self.tx.execute("BEGIN IMMEDIATE")
        try:
            value = real(self.tx)
            self.tx.execute("COMMIT")
        except Refusal as refusal:
            self.tx.execute("ROLLBACK")
            return "over" if refusal.code.startswith("over_") else refusal.code
        return value

    def _both(self, what: str, real: Callable[[sqlite3.Connection], Any], model: Callable[[], Any]) -> Any:
        got = self._run(real)
        try:
            expected = model()
        except No as no:
            expected = str(no)
        if got != expected:
            raise DiffersError(f"{what}: storage says {got!r}, the model {expected!r}")
        return got

    def _account(self, a: int) -> int:
        return self.who[WHOS[a % len(WHOS)]]

    def _job(self, a: int, status: str) -> int | None:
        found = [number for number, job in self.model.jobs.items() if job.status == status]
        return found[a % len(found)] if found else None

    # --- steps

    def submit(self, a: int, b: int, c: int) -> None:
        account, count, home = self._account(a), 1 + b % 4, c % 4 == 0
        price = count * (250 * (c % 9))
        self.count += 1
        scene = Scene() if home else Scene(TOWN, "", ())
        new = NewJob(account, f"k{self.count}", Request(prompt="p", count=count), price, 1.0, "t:1", "en",
                     scene=scene)  # fmt: skip

        def real(tx: sqlite3.Connection) -> str:
            jobs.submit(tx, new, self.now, limit=10_000)
            return "ok"

        self._both("submit", real, lambda: self.model.submit(account, price, count, home, self.now))

    def claim(self, a: int, b: int, c: int) -> None:
        job = self._run(lambda tx: jobs.claim(tx, "e", self.now))
        if job is not None:
            self.model.jobs[job.id].status = "running"
            self.model.jobs[job.id].attempt = job.attempt

    def finish(self, a: int, b: int, c: int) -> None:
        number = self._job(a, "running")
        if number is None:
            return
        job = self.model.jobs[number]
        arrived = b % (job.count + 1)
        row = jobs.get(self.tx, number)
        assert row
        kept = people.drawn(row, arrived)
        self._both(
            "finish",
            lambda tx: _status(jobs.settle(tx, number, job.attempt, kept, 1.0, self.now)),
            lambda: self.model.end(number, "done" if arrived else "failed", arrived),
        )

    def fail(self, a: int, b: int, c: int) -> None:
        number = self._job(a, "running")
        if number is not None:
            attempt = self.model.jobs[number].attempt
            self._both(
                "fail",
                lambda tx: _status(jobs.fail(tx, number, attempt, "bad_model", self.now)),
                lambda: self.model.end(number, "failed"),
            )

    def cancel(self, a: int, b: int, c: int) -> None:
        number = self._job(a, "queued" if b % 3 else "running")
        if number is not None:
            self._both(
                "cancel",
                lambda tx: _status(jobs.cancel(tx, number, self.now)),
                lambda: self.model.end(number, "cancelled"),
            )

    def decide(self, a: int, b: int, c: int) -> None:
        kind: Kind = ("everybody", "person", "pool", "everybody")[a % 4]
        key = str(self._account(b)) if kind == "person" else ""
        if c % 5 == 0:
            self._run(lambda tx: allowances.drop(tx, TOWN, kind, key))
            self.model.units.pop((kind, key), None)
            return
        units = 1_000 * (c % 12)
        self._run(lambda tx: allowances.decide(tx, Allowance(TOWN, kind, key, "day", units)))
        self.model.units[kind, key] = units

    def give(self, a: int, b: int, c: int) -> None:
        account, units = self._account(a), 500 * (b % 9) - 1_500
        self.count += 1
        key = f"give:{self.count}"
        self._both(
            "give",
            lambda tx: allowances.give(tx, account, Scene(TOWN), units, "give", key, self.now),
            lambda: self.model.give(account, units),
        )

    def gift(self, a: int, b: int, c: int) -> None:
        giver, taker, units = self._account(a), self._account(b), 100 + 500 * (c % 9)
        self.count += 1
        key = f"gift:{self.count}"

        def real(tx: sqlite3.Connection) -> str:
            allowances.gift(tx, giver, taker, Scene(TOWN), units, key, self.now)
            return "ok"

        self._both("gift", real, lambda: self.model.gift(giver, taker, units, self.now))

    def freeze(self, a: int, b: int, c: int) -> None:
        account = self._account(a)
        if account in self.model.frozen:
            found = sanctions.of_account(self.tx, TOWN, account, self.now, "freeze")
            self._run(lambda tx: sanctions.end(tx, tuple(each.id for each in found)))
            self.model.frozen.discard(account)
        else:
            self._run(lambda tx: sanctions.make(tx, TOWN, account, "freeze", "", self.now, None))
            self.model.frozen.add(account)

    def hold(self, a: int, b: int, c: int) -> None:
        """Held jobs cost what they cost, and wait."""
        number = self._job(a, "queued")
        if number is not None:
            self._run(lambda tx: jobs.hold(tx, number, release=b % 2 == 0))

    def forget(self, a: int, b: int, c: int) -> None:
        who = WHOS[a % len(WHOS)]
        account = self.who[who]
        if any(job.account == account and job.status == "running" for job in self.model.jobs.values()):
            return
        got = self._run(lambda tx: forget.forget(tx, account, self.now))
        if got == "forget_again":
            return
        for number in [n for n, job in self.model.jobs.items() if job.account == account]:
            if self.model.jobs[number].status == "queued":
                self.model.end(number, "cancelled")
        for job in self.model.jobs.values():
            job.status = "gone" if job.account == account else job.status
        self.model.units.pop(("person", str(account)), None)
        self._meet(who, 0)
        if account in self.model.frozen:  # they come back, and so does what forbids them something
            self.model.frozen ^= {account, self.who[who]}

    def restart(self, a: int, b: int, c: int) -> None:
        self.tx.close()
        self.tx = opening.connect(self.path)

    def jump(self, a: int, b: int, c: int) -> None:
        self.now += (60.0, 3_600.0, 43_200.0, float(DAY), -3_600.0, -50_000.0, 3.0 * DAY, 9.0)[a % 8]

    # --- the whole

    def check(self) -> None:
        """Every wallet, window and extra; and sound books."""
        problems = people.audit(self.tx)
        if problems:
            raise DiffersError(f"books: {problems}")
        self._same("usage", *people.usage(self.tx))
        for account, wallet in self.model.wallets.items():
            self._same(f"wallet {account}", ledger.balance(self.tx, account), wallet)
        rows = self.tx.execute("SELECT id, kind, key, extra FROM purse WHERE community = ?", (TOWN,))
        for number, kind, key, extra in rows.fetchall():
            purse = self.model.purses[kind, key]
            self._same(f"extra {kind} {key}", extra, purse.extra)
            meters = dict(
                self.tx.execute("SELECT window, spent FROM meter WHERE purse = ?", (number,)).fetchall()
            )
            spent = {window: units for window, units in purse.spent.items() if units or window in meters}
            self._same(f"spent {kind} {key}", meters, spent)

    @staticmethod
    def _same(what: str, got: object, expected: object) -> None:
        if got != expected:
            raise DiffersError(f"{what}: storage has {got!r}, the model {expected!r}")


def _status(job: jobs.Job | None) -> str | None:
    return None if job is None else job.status.value


STEPS: tuple[str, ...] = (
    *("submit",) * 7, *("claim",) * 3, *("finish",) * 3, "fail", "cancel", "cancel", *("decide",) * 3, "give",
    "gift", "gift", "freeze", "hold", "forget", "restart", "jump", "jump",
)  # fmt: skip
"""Each step as often as it should come."""
