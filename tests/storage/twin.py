"""The in-memory twin of storage: what it should do, in plain Python, without a database.

It is written from the rules, not from the SQL: start-time fair queueing, and who is charged when. Numbers are
computed in the same order of operations, so that both must be equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.accounts import CODE_SECONDS, TRIES
from storage.jobs import ATTEMPTS, DEATHS

DAY = 86_400


class No(Exception):  # noqa: N818 - the twin's refusal
    """The twin refuses, with the code that storage should have."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class TwinAccount:
    """A person."""

    unlimited: bool
    created: float
    weight: float = 1.0
    finish: float = 0.0
    balance: int = 0


@dataclass(slots=True)
class TwinJob:
    """A job and what happened to it."""

    account: int
    payer: int
    key: str
    price: int
    count: int
    share: float
    turn: float
    status: str = "queued"
    attempt: int = 0
    deaths: int = 0
    suspect: bool = False
    arrived: int = 0


@dataclass(slots=True)
class Twin:
    """Everything that storage remembers."""

    accounts: dict[int, TwinAccount] = field(default_factory=dict)
    whos: dict[str, int] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    jobs: dict[int, TwinJob] = field(default_factory=dict)
    pieces: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    starred: set[tuple[int, int]] = field(default_factory=set)
    owed: dict[int, float] = field(default_factory=dict)
    events: dict[str, bool] = field(default_factory=dict)
    codes: dict[str, tuple[int, float]] = field(default_factory=dict)
    tries: list[tuple[str, float]] = field(default_factory=list)
    clock: float = 0.0
    day: int = 0

    # --- people

    def meet(self, who: str, now: float, grant: int, unlimited: bool) -> int:
        if who not in self.whos:
            number = len(self.accounts) + 1
            self.accounts[number] = TwinAccount(unlimited, now)
            self.whos[who] = number
            if who not in self.granted:
                self.accounts[number].balance += grant
                self.granted.add(who)
        account = self.accounts[self.whos[who]]
        account.unlimited = account.unlimited or unlimited
        return self.whos[who]

    def _try(self, subject: str, now: float) -> None:
        recent = [(s, at) for s, at in self.tries if now - CODE_SECONDS < at <= now]
        if sum(1 for s, _ in recent if s == subject) >= TRIES:
            raise No("link_tries")
        self.tries = [*recent, (subject, now)]

    def link_code(self, account: int, code: str, now: float) -> None:
        self._try(f"code:{account}", now)
        self.codes = {c: (a, until) for c, (a, until) in self.codes.items() if a != account and until > now}
        self.codes[code] = (account, now + CODE_SECONDS)

    def redeem(self, code: str, who: str, now: float) -> int:
        saved = list(self.tries)
        self._try(f"try:{who}", now)
        account, until = self.codes.get(code, (0, 0.0))
        before = self.whos.get(who)
        good = account and until > now
        if good and before not in (None, account) and self.accounts[before or 0].unlimited:
            self.tries = saved
            raise No("link_owner")
        self.codes.pop(code, None)
        if not good:
            raise No("link_expired")
        self.whos[who] = account
        if before not in (None, account) and before not in self.whos.values():
            self._move(before or 0, account)
        return account

    def _move(self, before: int, account: int) -> None:
        taken = {job.key for job in self.jobs.values() if job.account == account}
        for number, job in self.jobs.items():
            if job.account == before:
                job.key = f"{job.key}~{number}" if job.key in taken else job.key
                job.account = account
        self.accounts[account].finish = max(self.accounts[account].finish, self.accounts[before].finish)
        for where, (digest, owner) in self.pieces.items():
            if owner == before:
                self.pieces[where] = (digest, account)

    def unlink(self, who: str) -> bool:
        account = self.whos.get(who)
        if account is None or sum(1 for a in self.whos.values() if a == account) < 2:
            return False
        del self.whos[who]
        return True

    # --- money

    def grant(self, account: int, units: int, key: str) -> bool:
        if key in self.keys:
            return False
        self.keys.add(key)
        self.accounts[account].balance += units
        return True

    def refill(self, now: float, daily: int) -> int:
        day = int(now // DAY)
        if day <= self.day <= day + 31:
            return 0
        self.day = day
        poor = [
            account
            for number, account in self.accounts.items()
            if not account.unlimited
            and account.balance < daily
            and account.created < day * DAY
            and number in self.whos.values()
        ]
        for account in poor:
            account.balance = daily
        return len(poor)

    # --- jobs

    def accept(self, event: str) -> bool:
        fresh = event not in self.events
        self.events.setdefault(event, False)
        return fresh

    def submit(
        self, account: int, key: str, price: int, count: int, cost: float, limit: int, event: str | None
    ) -> int:
        for number, job in self.jobs.items():
            if (job.account, job.key) == (account, key):
                self._answered(event)
                return number
        person = self.accounts[account]
        if sum(1 for j in self.jobs.values() if j.account == account and j.status == "queued") >= limit:
            raise No("queue_full")
        if not person.unlimited and person.balance < price:
            raise No("over_quota")
        self._answered(event)
        turn, share = max(self.clock, person.finish), cost / person.weight
        number = len(self.jobs) + 1
        self.jobs[number] = TwinJob(account, account, key, price, count, share, turn)
        person.finish = turn + share
        person.balance -= price
        return number

    def _answered(self, event: str | None) -> None:
        if event in self.events:
            self.events[event] = True

    def queue(self) -> list[int]:
        waiting = [(job.turn, number) for number, job in self.jobs.items() if job.status == "queued"]
        return [number for _, number in sorted(waiting)]

    def running(self) -> list[int]:
        return [number for number, job in self.jobs.items() if job.status == "running"]

    def claim(self, alone: bool | None) -> int | None:
        for number in self.queue():
            job = self.jobs[number]
            if alone is None or job.suspect == alone:
                job.status, job.attempt = "running", job.attempt + 1
                self.clock = max(self.clock, job.turn)
                return number
        return None

    def _draws(self, number: int, attempt: int) -> TwinJob | None:
        job = self.jobs.get(number)
        return job if job and (job.status, job.attempt) == ("running", attempt) else None

    def _end(self, number: int, status: str, arrived: int = 0, now: float | None = None) -> str:
        job = self.jobs[number]
        job.status, job.arrived = status, arrived
        self.accounts[job.payer].balance += job.price - job.price * arrived // job.count
        if now is not None:
            self.owed[number] = now
        return status

    def settle(self, number: int, attempt: int, digests: dict[int, str], now: float) -> str | None:
        job = self._draws(number, attempt)
        if job is None:
            return None
        arrived = sum(1 for index in digests if index >= 0)
        if arrived:
            self.pieces |= {(number, index): (digest, job.account) for index, digest in digests.items()}
        return self._end(number, "done" if arrived else "failed", arrived, now)

    def fail(self, number: int, attempt: int, now: float) -> str | None:
        return self._end(number, "failed", 0, now) if self._draws(number, attempt) else None

    def cancel(self, number: int) -> str | None:
        job = self.jobs.get(number)
        if job is None or job.status not in ("queued", "running"):
            return None
        if job.status == "queued":
            person = self.accounts[job.account]
            person.finish = max(0.0, person.finish - job.share)
        return self._end(number, "cancelled")

    def requeue(self, number: int, attempt: int, died: bool, suspect: bool, now: float) -> str:
        job = self._draws(number, attempt)
        if job is None:
            return self.jobs[number].status
        guilty = died or suspect
        job.status, job.deaths, job.suspect = "queued", job.deaths + died, job.suspect or guilty
        over = job.deaths >= DEATHS or (guilty and attempt >= ATTEMPTS)
        return self._end(number, "failed", 0, now) if over else "queued"

    def ahead(self, number: int) -> int:
        queue = self.queue()
        return queue.index(number) if number in queue else 0

    # --- pictures and deliveries

    def digests(self) -> set[str]:
        return {digest for digest, _ in self.pieces.values()}

    def delete(self, number: int) -> set[str]:
        before = self.digests()
        for where in [w for w in self.pieces if w[0] == number]:
            del self.pieces[where]
            self.starred.discard(where)
        return before - self.digests()

    def due(self, now: float) -> list[int]:
        ready = [job for job, due in self.owed.items() if due <= now]
        return sorted(ready, key=self.owed.__getitem__)  # ties in the order in which they ended
