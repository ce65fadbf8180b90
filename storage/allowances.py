"""How much may be spent, by whom, where: allowances, the purses they fill, and what each job takes from them.

An allowance is units per day, week or month of the community's own calendar. A person has one in a
community: their own, else the largest of their roles, else everybody's; where a community has none of these
for them, the account's own balance pays, as in private. Channels, communities and the house may have pools
beside it, which everybody in them shares. A job is paid from every one that applies, so the tightest decides.

Nothing is refilled: a purse has a meter for each window of the calendar, and a new window's is at 0. A clock
that jumps ahead and back finds the meters that it left. Above the allowance a purse has ``extra``, which was
given and stays until it is spent.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal, TypeAlias

from storage import ledger, policy
from storage.calendar import Moment, Period, window
from storage.policy import HOUSE
from storage.refusal import Refusal

Kind: TypeAlias = Literal["person", "role", "everybody", "channel", "pool"]
SHARED: dict[str, Literal["channel", "pool"]] = {"channel": "channel", "pool": "pool"}
_DAYS: dict[Period, float] = {"day": 1.0, "week": 7.0, "month": 30.4}


@dataclass(frozen=True, slots=True)
class Scene:
    """Where something is asked, and as what: see ``Call`` in ``bot/talk.py``; who ``moderates`` there is no
    newcomer.
    """

    community: str = HOUSE
    channel: str = ""
    roles: tuple[str, ...] = ()
    adult: bool = False
    moderates: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """``key`` is an account's id, a role or a channel; empty for everybody and for a pool."""

    community: str
    kind: Kind
    key: str
    period: Period
    units: int


@dataclass(frozen=True, slots=True)
class Pot:
    """What one purse has for a job now. ``window`` began at, ``refills`` is when the next one does."""

    allowance: Allowance
    purse: int
    spent: int
    extra: int
    window: int
    refills: Moment

    @property
    def metered(self) -> int:
        """Units left of the allowance."""
        return max(0, self.allowance.units - self.spent)

    @property
    def left(self) -> int:
        """Units that may be spent now."""
        return self.metered + self.extra


PRIVATE = Scene()
"""In no community: the house's own rules count."""

# --- what was decided

_SELECT = "SELECT community, kind, key, period, units FROM allowance"


def decide(tx: sqlite3.Connection, allowance: Allowance) -> None:
    """It counts from now on, also for what was spent in this window already."""
    tx.execute(
        "INSERT INTO allowance (community, kind, key, period, units) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (community, kind, key) DO UPDATE SET period = excluded.period, units = excluded.units",
        (allowance.community, allowance.kind, allowance.key, allowance.period, allowance.units),
    )


def drop(tx: sqlite3.Connection, community: str, kind: Kind, key: str) -> None:
    """There is no such allowance any more."""
    tx.execute("DELETE FROM allowance WHERE community = ? AND kind = ? AND key = ?", (community, kind, key))


def get(tx: sqlite3.Connection, community: str, kind: Kind, key: str) -> Allowance | None:
    """This very allowance, or None."""
    row = tx.execute(
        f"{_SELECT} WHERE community = ? AND kind = ? AND key = ?", (community, kind, key)
    ).fetchone()
    return None if row is None else Allowance(*row)


def of_community(tx: sqlite3.Connection, community: str) -> tuple[Allowance, ...]:
    """Every allowance there."""
    rows = tx.execute(f"{_SELECT} WHERE community = ? ORDER BY kind, key", (community,)).fetchall()
    return tuple(Allowance(*row) for row in rows)


# --- roles


def roles_of(tx: sqlite3.Connection, account: int, scene: Scene) -> tuple[str, ...]:
    """What the platform says that they are, and what moderators gave them here."""
    rows = tx.execute(
        "SELECT role FROM membership WHERE account = ? AND community = ?", (account, scene.community)
    ).fetchall()
    return tuple(dict.fromkeys([*scene.roles, *(str(role) for (role,) in rows)]))


def join(tx: sqlite3.Connection, community: str, role: str, account: int, *, leave: bool = False) -> bool:
    """Give a role here, or take it (``leave``); False if that is how it was."""
    sql = (
        "DELETE FROM membership WHERE community = ? AND role = ? AND account = ? RETURNING 1" if leave
        else "INSERT INTO membership (community, role, account) VALUES (?, ?, ?) "
        "ON CONFLICT DO NOTHING RETURNING 1"
    )  # fmt: skip
    return tx.execute(sql, (community, role, account)).fetchone() is not None


def has_members(tx: sqlite3.Connection, community: str, role: str) -> bool:
    """Does anybody have this role from moderators here?"""
    sql = "SELECT 1 FROM membership WHERE community = ? AND role = ? LIMIT 1"
    return tx.execute(sql, (community, role)).fetchone() is not None


_THINGS_SQL = """
    SELECT key FROM allowance WHERE community = ?1 AND kind = ?2
    UNION SELECT role FROM membership WHERE community = ?1 AND ?2 = 'role'
    UNION SELECT channel FROM policy WHERE community = ?1 AND ?2 = 'channel' AND channel <> ''
"""


def things(tx: sqlite3.Connection, community: str, kind: Literal["role", "channel"]) -> set[str]:
    """Every role or channel that moderators named here before."""
    return {str(each) for (each,) in tx.execute(_THINGS_SQL, (community, kind)).fetchall()}


# --- what applies


def own(tx: sqlite3.Connection, account: int, scene: Scene) -> Allowance | None:
    """The person's: their own, else the largest of their roles (by the day), else everybody's."""
    mine = get(tx, scene.community, "person", str(account))
    if mine is not None:
        return mine
    by_role = [get(tx, scene.community, "role", role) for role in roles_of(tx, account, scene)]
    best = max(
        (each for each in by_role if each), key=lambda each: each.units / _DAYS[each.period], default=None
    )
    return best or get(tx, scene.community, "everybody", "")


def shared(tx: sqlite3.Connection, scene: Scene) -> tuple[Allowance, ...]:
    """The pools that a job there draws from."""
    wanted: list[tuple[str, Kind, str]] = [(scene.community, "pool", "")]
    if scene.channel:
        wanted.insert(0, (scene.community, "channel", scene.channel))
    if scene.community != HOUSE:
        wanted.append((HOUSE, "pool", ""))
    return tuple(found for each in wanted if (found := get(tx, *each)) is not None)


def purse(tx: sqlite3.Connection, community: str, kind: str, key: str) -> int:
    """The purse's id; made if there is none."""
    row = (
        tx.execute(
            "SELECT id FROM purse WHERE community = ? AND kind = ? AND key = ?", (community, kind, key)
        ).fetchone()
        or tx.execute(
            "INSERT INTO purse (community, kind, key) VALUES (?, ?, ?) RETURNING id", (community, kind, key)
        ).fetchone()
    )
    return int(row[0])


_POT_SQL = """
    SELECT purse.id, coalesce(meter.spent, 0), purse.extra, max(?1, coalesce(meter.window, 0))
    FROM purse LEFT JOIN meter ON meter.purse = purse.id AND meter.window =
        (SELECT max(window) FROM meter AS any WHERE any.purse = purse.id AND any.window BETWEEN ?1 AND ?2)
    WHERE purse.community = ?3 AND purse.kind = ?4 AND purse.key = ?5
"""


def pot(tx: sqlite3.Connection, allowance: Allowance, account: int, now: float) -> Pot:
    """What that allowance has left now; ``purse`` is 0 where nothing was ever spent.

    The newest meter counts, up to the next window's: who spent tomorrow's because the clock went ahead waits
    until it is over. One from further ahead is no more than a clock's mistake.
    """
    zone = policy.counts(tx, allowance.community).zone or "UTC"
    begins, ends = window(allowance.period, zone, now)
    kind = SHARED.get(allowance.kind, "person")
    key = str(account) if kind == "person" else allowance.key
    found = tx.execute(_POT_SQL, (begins, ends, allowance.community, kind, key)).fetchone()
    number, spent, extra, begun = found or (0, 0, 0, begins)
    over = ends if begun < ends else window(allowance.period, zone, begun).ends
    return Pot(allowance, number, spent, extra, begun, Moment(over, zone))


def pots(tx: sqlite3.Connection, account: int, scene: Scene, now: float) -> tuple[Pot, ...]:
    """Everything a job there is paid from but the account's own balance; the person's own first, if any."""
    mine = own(tx, account, scene)
    return tuple(pot(tx, each, account, now) for each in (*((mine,) if mine else ()), *shared(tx, scene)))


def spendable(tx: sqlite3.Connection, account: int, scene: Scene, now: float) -> int:
    """Units that a person may spend there now: the least of what everything that pays has left."""
    found = pots(tx, account, scene, now)
    personal = any(each.allowance.kind not in SHARED for each in found)
    left = [each.left for each in found] + ([] if personal else [ledger.balance(tx, account)])
    return min(left)


# --- paying


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a price: from the account itself (no purse), a purse's window, or its extra (no window)."""

    units: int
    purse: int | None = None
    window: int | None = None


def payers(tx: sqlite3.Connection, account: int, scene: Scene, price: int, now: float) -> tuple[Share, ...]:
    """What to take from where for ``price``. Raises Refusal over_<kind>(price, left, of, refills_at, name) of
    the tightest, or over_quota(price, balance, refills_at) when it is the account's own balance.
    """
    return _split(tx, account, pots(tx, account, scene, now), price, now)


def _split(
    tx: sqlite3.Connection, account: int, found: tuple[Pot, ...], price: int, now: float
) -> tuple[Share, ...]:
    personal = any(each.allowance.kind not in SHARED for each in found)
    balance = ledger.balance(tx, account)
    tight = min(found, key=lambda each: each.left, default=None)
    if not personal and balance < price and (tight is None or balance <= tight.left):
        raise Refusal("over_quota", price=price, balance=balance, refills_at=ledger.refills_at(now))
    if tight is not None and tight.left < price:
        raise refusal(tight, price)
    shares = [] if personal else [Share(price)]
    for each in found:
        metered, number = min(price, each.metered), each.purse or _opened(tx, each.allowance, account)
        shares += [Share(metered, number, each.window)] if metered or not price else []
        shares += [Share(price - metered, number)] if metered < price else []
    return tuple(shares)


def _opened(tx: sqlite3.Connection, allowance: Allowance, account: int) -> int:
    kind = SHARED.get(allowance.kind, "person")
    return purse(tx, allowance.community, kind, str(account) if kind == "person" else allowance.key)


def refusal(pot: Pot, price: int) -> Refusal:
    """Why this pot does not pay."""
    kind = (
        "house" if pot.allowance.kind == "pool" and pot.allowance.community == HOUSE else pot.allowance.kind
    )
    return Refusal(
        f"over_{kind}", price=price, left=pot.left, of=pot.allowance.units, refills_at=pot.refills,
        name=pot.allowance.key,
    )  # fmt: skip


def reserve(tx: sqlite3.Connection, account: int, job: int, shares: tuple[Share, ...], now: float) -> None:
    """Take a job's price."""
    for each in shares:
        where = "" if each.purse is None else f":{each.purse}:{each.window or 'extra'}"
        ledger.enter(
            tx, account, "reserve", -each.units, f"reserve:{job}{where}", now,
            job=job, purse=each.purse, window=each.window,
        )  # fmt: skip


_RESERVED_SQL = """
    SELECT account, purse, window, -units FROM ledger WHERE job = ? AND why = 'reserve'
    ORDER BY purse, window IS NOT NULL
"""
_PAID_SQL = """
    SELECT account, purse, window, -sum(units) FROM ledger WHERE job = ? AND why IN ('reserve', 'refund')
    GROUP BY account, purse, window ORDER BY purse, window IS NOT NULL
"""


def refund(tx: sqlite3.Connection, job: int, units: int, now: float, note: str) -> None:
    """Give ``units`` of a job's price back to everything that paid: to what was given first, then to the
    window it came from, and to whoever paid, who may since have been joined to another account.
    """
    _give_back(tx, "refund", job, units, now, note)


def make_good(tx: sqlite3.Connection, job: int, units: int, now: float, note: str) -> None:
    """As ``refund``, of what a settled job cost: once, by entries (undo) that leave its price as it is."""
    _give_back(tx, "undo", job, units, now, note)


def _give_back(tx: sqlite3.Connection, why: str, job: int, units: int, now: float, note: str) -> None:
    left: dict[int | None, int] = {}
    sql = _RESERVED_SQL if why == "refund" else _PAID_SQL
    for account, purse_id, begun, paid in tx.execute(sql, (job,)).fetchall():
        back = min(paid, left.setdefault(purse_id, units))
        left[purse_id] -= back
        if back:
            where = "" if purse_id is None else f":{purse_id}:{begun or 'extra'}"
            ledger.enter(
                tx, account, why, back, f"{why}:{job}{where}", now,
                job=job, note=note, purse=purse_id, window=begun,
            )  # fmt: skip


# --- giving


def days(period: Period) -> float:
    """How many days a period has, on average."""
    return _DAYS[period]


_GIVEN_SQL = """
    SELECT coalesce(sum(units), 0) FROM ledger
    WHERE account = ? AND why IN ('give', 'undo') AND job IS NULL AND at > ? AND at <= ?
"""


def given(tx: sqlite3.Connection, account: int, now: float) -> int:
    """Units that moderators gave a person within the last day."""
    return int(tx.execute(_GIVEN_SQL, (account, now - ledger.DAY, now)).fetchone()[0])


def give(
    tx: sqlite3.Connection, account: int, scene: Scene, units: int, why: str, key: str, now: float
) -> int:
    """Give ``units`` on top of the allowance, or take up to that many (negative); return what was moved.

    Where an allowance counts for them there it is the purse's extra, else the account's balance. 0, too, for
    a key that was used before.
    """
    if own(tx, account, scene) is None:
        moved = units if units > 0 else -min(-units, max(0, ledger.balance(tx, account)))
        entered = ledger.enter(tx, account, why, moved, key, now)
        return moved if entered else 0
    number = purse(tx, scene.community, "person", str(account))
    (extra,) = tx.execute("SELECT extra FROM purse WHERE id = ?", (number,)).fetchone()
    moved = units if units > 0 else -min(-units, extra)
    entered = ledger.enter(tx, account, why, moved, key, now, purse=number)
    return moved if entered else 0


_GIFTS_SQL = "SELECT total(abs(units)) FROM ledger WHERE account = ? AND why = 'gift' AND at >= ? AND at <= ?"


def gift(
    tx: sqlite3.Connection, giver: int, taker: int, scene: Scene, units: int, key: str, now: float
) -> None:
    """Move ``units`` of what the giver may spend here to the taker, for good.

    Raises Refusal gift_self, gift_cap(limit, left, refills_at), for nobody gives or gets more than the
    community's cap a day; over_… if the giver has too little.
    """
    counts = policy.counts(tx, scene.community, scene.channel)
    cap = policy.GIFTS if counts.gifts is None else counts.gifts
    begins, ends = window("day", counts.zone or "UTC", now)
    if giver == taker:
        raise Refusal("gift_self")
    moved = max(tx.execute(_GIFTS_SQL, (each, begins, ends)).fetchone()[0] for each in (giver, taker))
    if units > cap - moved:
        raise Refusal(
            "gift_cap",
            limit=cap,
            left=max(0, cap - int(moved)),
            refills_at=Moment(ends, counts.zone or "UTC"),
        )
    mine = own(tx, giver, scene)
    found = (pot(tx, mine, giver, now),) if mine else ()
    unlimited = tx.execute("SELECT 1 FROM account WHERE id = ? AND unlimited = 1", (giver,)).fetchone()
    for each in (Share(units),) if unlimited else _split(tx, giver, found, units, now):
        where = f"{key}:from:{each.purse}:{each.window}"
        ledger.enter(tx, giver, "gift", -each.units, where, now, purse=each.purse, window=each.window)
    give(tx, taker, Scene(scene.community), units, "gift", f"{key}:to", now)
