"""R35: whatever a blocked person and their friends do with links, leaving, forgetting, gifts and cancels.

They stay blocked, nobody gets credits of it, and nobody but a moderator makes a sanction.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from unittest.mock import patch

from storage import accounts, allowances, forget, jobs, sanctions
from storage.allowances import Scene
from storage.refusal import Refusal
from tests.proof.frame import Played, Proof
from tests.storage import people
from tests.storage.people import GRANT, NOW

Tx = sqlite3.Connection
WHOS = tuple(f"{chat}:{number}" for chat in ("discord", "telegram") for number in range(3))
TOWN = Scene("discord:town", "", ())
STEPS = 60


class Gang:
    """Six chats of as many people as they like, of whom a moderator blocks one."""

    def __init__(self, tx: Tx, rng: random.Random) -> None:
        self.tx, self.rng, self.now, self.count = tx, rng, NOW, 0
        self.bad: set[str] = set()

    def any(self) -> str:
        return self.rng.choice(WHOS)

    def me(self, who: str) -> int:
        return accounts.meet(self.tx, who, "en", self.now, grant=GRANT).id

    def link(self) -> None:
        self.tx.execute("DELETE FROM link_try")
        code = accounts.link_code(self.tx, self.me(self.any()), self.now)
        accounts.redeem(self.tx, code, self.any(), self.now)

    def leave(self) -> None:
        accounts.unlink(self.tx, self.any(), self.now)

    def vanish(self) -> None:
        account = accounts.find(self.tx, self.any())
        if account is not None:
            forget.forget(self.tx, account, self.now)

    def give(self) -> None:
        self.count += 1
        allowances.gift(
            self.tx,
            self.me(self.any()),
            self.me(self.any()),
            allowances.PRIVATE,
            500,
            f"g{self.count}",
            self.now,
        )

    def ask_and_cancel(self) -> None:
        job = people.submit(self.tx, self.me(self.any()))
        jobs.cancel(self.tx, job.id, self.now)

    def later(self) -> None:
        self.now += self.rng.choice((60.0, 3_600.0, 86_400.0))

    def block(self) -> None:
        if not self.bad:
            account = self.me(self.any())
            sanctions.make(self.tx, TOWN.community, account, "block", "floods", self.now, self.now + 10**9)
            self.bad = set(accounts.who_of(self.tx, account))

    def served(self, who: str) -> bool:
        """Is this chat's person drawn for there?"""
        self.count += 1
        new = replace(people.ask(self.me(who), f"t{self.count}", price=0), scene=TOWN)
        try:
            job = jobs.submit(self.tx, new, self.now, limit=10**6)
        except Refusal as refusal:
            return refusal.code not in {"blocked"}
        jobs.cancel(self.tx, job.id, self.now)
        return True

    def wrongs(self) -> list[str]:
        wrong = [f"{who} is blocked and served" for who in self.bad if self.served(who)]
        (granted,) = self.tx.execute("SELECT total(units) FROM ledger WHERE why = 'grant'").fetchone()
        if granted > GRANT * len(WHOS):
            wrong.append(f"{granted} granted to {len(WHOS)} chats")
        if not self.bad and self.tx.execute("SELECT count(*) FROM sanction").fetchone() != (0,):
            wrong.append("a sanction that nobody made")
        return wrong + list(people.audit(self.tx))


STEP = ("link", "link", "leave", "leave", "vanish", "give", "ask_and_cancel", "later", "block")


def play(seed: int, control: bool) -> Played:
    """One gang; as the control, where what forbids stays with the account."""
    rng = random.Random(seed)
    with closing(people.memory()) as tx, ExitStack() as stack:
        for name in ("follow", "exile") if control else ():
            stack.enter_context(patch.object(sanctions, name, lambda *_: None))
        gang = Gang(tx, rng)
        for number in range(STEPS):
            step = rng.choice(STEP)
            with suppress(Refusal):
                getattr(gang, step)()
            if wrong := gang.wrongs():
                return Played(1, (f"step {number}, {step}: {wrong[0]}",))
    return Played(1)


ABUSE = Proof(
    "R35", "by no link, leaving, forgetting, gift or cancel is a blocked person served or anybody richer",
    10_000, "gangs", play, control_rounds=40, control_rate=0.5,
)  # fmt: skip
