"""Requests that people were charged for, from the queue to the end.

Fair share is one number a job, its *turn* in virtual time (start-time fair queueing; Goyal, Vin and Cheng
1997): ``turn = max(clock, account.finish)``, ``account.finish = turn + cost / weight``; claims go by turn,
then by id, and ``clock = max(clock, turn)`` at the claim. ``attempt`` fences: only the newest claim's result
counts.
Every end (settle, fail, cancel, third death) moves the money and owes the delivery in its own transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import msgspec

from inference.request import Request
from inference.wire import Failure
from storage import allowances, gallery, gate, inbox, outbox, policy, stats, tallies
from storage.allowances import Scene
from storage.gallery import Kept
from storage.refusal import Refusal

DEATHS = 3
"""Engines that may die with a job before it is given up."""
ATTEMPTS = 6
"""Attempts after which a suspect is given up, whatever became of the engines: when bot and engine die
together, nobody is left to count a death."""


class Status(StrEnum):
    """Where a job is; the last three are ends."""

    QUEUED = "queued"  # waits for its turn
    RUNNING = "running"  # an engine draws it
    DONE = "done"  # at least one picture arrived
    FAILED = "failed"  # nothing arrived, and nothing was charged
    CANCELLED = "cancelled"  # somebody stopped it, and nothing was charged


@dataclass(frozen=True, slots=True)
class Job:
    """A row. ``price`` in units; ``cost`` in measured seconds; ``turn`` in virtual time; times in Unix s.

    ``code`` is the refusal code of a failure (of a picture's, if only some arrived), ``seconds`` what the
    drawing took, ``arrived`` how many pictures came.
    """

    id: int
    account: int
    key: str
    request: Request
    price: int
    cost: float
    turn: float
    status: Status
    attempt: int
    place: str
    language: str
    created: float
    started: float | None
    finished: float | None
    parent: int | None
    parent_index: int | None
    code: str
    suspect: bool
    deaths: int
    private: bool
    seconds: float
    arrived: int = 0
    held: bool = False
    community: str = ""
    channel: str = ""
    shown: str = ""
    """How its pictures are shown: "" as they are, ``spoiler`` covered, ``withheld`` not at all."""
    adult: bool = False
    """It was asked in a channel for adults."""
    free: bool = False
    """A safety check withheld it: it costs nothing, also if a moderator shows it after all."""

    @property
    def over(self) -> bool:
        """Has it ended, one way or another?"""
        return self.status not in (Status.QUEUED, Status.RUNNING)

    @property
    def charged(self) -> int:
        """Units that what arrived cost."""
        return 0 if self.free else self.price * self.arrived // self.request.count


@dataclass(frozen=True, slots=True)
class NewJob:
    """What to submit. ``key`` makes it happen once an account; ``inbox`` is the event it answers.

    ``sent``: its request's source is a picture that came with the event. ``who`` asked: if they have joined
    another account since, it is that one's job.
    """

    account: int
    key: str
    request: Request
    price: int
    cost: float
    place: str
    language: str
    parent: int | None = None
    parent_index: int | None = None
    private: bool = False
    inbox: tuple[str, str] | None = None
    scene: Scene = allowances.PRIVATE
    """Where it was asked, and as what: whose rules and allowances count."""
    turn: float | None = None
    """The place in virtual time that it once had (an approved appeal)."""
    sent: bool = False
    who: str = ""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What comes before a job: queued ``jobs`` and their ``cost`` (s), and how many are ``running``."""

    jobs: int
    cost: float
    running: int


_COLUMNS = """id, account, CAST(key AS BLOB), CAST(request AS BLOB), price, cost, turn, status, attempt,
    CAST(place AS BLOB), CAST(language AS BLOB), created, started, finished, parent, parent_index,
    CAST(code AS BLOB), suspect, deaths, private, seconds, arrived, held, CAST(community AS BLOB),
    CAST(channel AS BLOB), shown, adult, free"""
"""Words come as bytes: damaged ones (no UTF-8) in one row are no error of the query, which reads others too.
But for how pictures are shown: one whose cover cannot be read is shown to nobody."""
_WORDS = (2, 9, 10, 16, 23, 24)
"""Of a damaged row also none at all."""
_SELECT = f"SELECT {_COLUMNS} FROM job"  # noqa: S608 - constants only
_request = msgspec.json.Decoder(Request)
_UNREADABLE = Request(prompt="?")
"""Stands for a request that this program cannot read: one row, damaged or of a newer one, must not stop the
others."""


def _job(row: tuple[Any, ...]) -> Job:
    fields = list(row)
    try:
        fields[3] = _request.decode(row[3] or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):  # a ValidationError is one too
        fields[3] = _UNREADABLE
    for word in _WORDS:
        fields[word] = str(row[word] or b"", "utf-8", "replace")
    fields[7] = Status(str(row[7]))
    for switch in (17, 19, 22, 26, 27):
        fields[switch] = bool(row[switch])
    return Job(*fields)


def get(tx: sqlite3.Connection, job_id: int) -> Job | None:
    """The job with this id, or None. A button may name any number."""
    row = tx.execute(f"{_SELECT} WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else _job(row)


def _known(tx: sqlite3.Connection, job_id: int) -> Job:
    job = get(tx, job_id)
    if job is None:
        raise LookupError(f"job {job_id}")
    return job


def by_key(tx: sqlite3.Connection, account_id: int, key: str) -> Job | None:
    """The job that this account submitted under ``key``, or None."""
    row = tx.execute(f"{_SELECT} WHERE account = ? AND key = ?", (account_id, key)).fetchone()
    return None if row is None else _job(row)


# --- submit

_STANDING_SQL = """
    SELECT weight, finish, unlimited,
        (SELECT count(*) FROM job WHERE status = 'queued' AND job.account = account.id),
        (SELECT clock FROM meta WHERE id = 1)
    FROM account WHERE id = ?
"""


def submit(tx: sqlite3.Connection, new: NewJob, now: float, *, limit: int) -> Job:
    """Charge and queue a job; the same key again returns the same job, charged once.

    ``limit``: queued jobs an account may have. Raises Refusal queue_full(limit), or what ``gate.admit`` does
    for people with limits, nothing charged.
    """
    if new.inbox is not None:
        inbox.done(tx, *new.inbox)
    new = _of_now(tx, new)
    known = by_key(tx, new.account, new.key)
    if known is not None:
        return known
    weight, finish, unlimited, waiting, clock = tx.execute(_STANDING_SQL, (new.account,)).fetchone()
    if waiting >= limit:
        raise Refusal("queue_full", limit=limit)
    ticket = (
        gate.Ticket(new.price, (allowances.Share(new.price),)) if unlimited
        else gate.admit(
            tx, new.account, new.scene, new.request, new.price, now, approved=new.turn is not None
        )
    )  # fmt: skip
    turn, share = max(clock, finish) if new.turn is None else new.turn, new.cost / (weight * ticket.weight)
    job = _insert(tx, replace(new, price=ticket.price), turn, share, now)
    if new.request.source is not None:
        gallery.keep_upload(tx, job.id, new.account, new.request.source, sent=new.sent)
    tx.execute("UPDATE account SET finish = ? WHERE id = ?", (max(finish, turn) + share, new.account))
    allowances.reserve(tx, new.account, job.id, ticket.shares, now)
    stats.asked(tx, job.community, job.account, now)
    return job


def _of_now(tx: sqlite3.Connection, new: NewJob) -> NewJob:
    row = tx.execute("SELECT account FROM identity WHERE who = ?", (new.who,)).fetchone()
    return new if row is None else replace(new, account=int(row[0]))


def _insert(tx: sqlite3.Connection, new: NewJob, turn: float, share: float, now: float) -> Job:
    row = tx.execute(
        "INSERT INTO job (account, key, request, price, cost, share, turn, status, place, language, created, "
        "parent, parent_index, private, community, channel, adult, vouched) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            new.account, new.key, msgspec.json.encode(new.request).decode(), new.price, new.cost, share, turn,
            new.place, new.language, now, new.parent, new.parent_index, int(new.private),
            new.scene.community, new.scene.channel, int(new.scene.adult),
            int(new.scene.moderates or new.turn is not None),
        ),
    ).fetchone()  # fmt: skip
    return Job(
        row[0], new.account, new.key, new.request, new.price, new.cost, turn, Status.QUEUED, 0, new.place,
        new.language, now, None, None, new.parent, new.parent_index, "", False, 0, new.private, 0.0,
        community=new.scene.community, channel=new.scene.channel, adult=new.scene.adult,
    )  # fmt: skip


def _enter(
    tx: sqlite3.Connection, account: int, job: int, why: str, units: int, now: float, note: str = ""
) -> None:
    tx.execute(
        "INSERT INTO ledger (account, job, why, units, at, note, key) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (account, job, why, units, now, note, f"{why}:{job}"),
    )


def _refund(tx: sqlite3.Connection, job_id: int, units: int, now: float, note: str) -> None:
    """Give back to whatever and whoever paid."""
    if units:
        allowances.refund(tx, job_id, units, now, note)


# --- claim

_WAITS = "status = 'queued' AND held = 0"
_NEXT = f"SELECT id FROM job WHERE {_WAITS} ORDER BY turn, id LIMIT 1"  # noqa: S608 - constants only
_NEXT_SUSPECT = f"SELECT id FROM job WHERE {_WAITS} AND suspect = 1 ORDER BY turn, id LIMIT 1"  # noqa: S608
_NEXT_INNOCENT = f"SELECT id FROM job WHERE {_WAITS} AND suspect = 0 ORDER BY turn, id LIMIT 1"  # noqa: S608
_CLAIM = "UPDATE job SET status = 'running', attempt = attempt + 1, engine = ?, started = ?"
CLAIM_SQL = f"{_CLAIM} WHERE id = ({_NEXT}) RETURNING {_COLUMNS}"
CLAIM_SUSPECT_SQL = f"{_CLAIM} WHERE id = ({_NEXT_SUSPECT}) RETURNING {_COLUMNS}"
CLAIM_INNOCENT_SQL = f"{_CLAIM} WHERE id = ({_NEXT_INNOCENT}) RETURNING {_COLUMNS}"
_NEXT_GUEST = f"""SELECT id FROM job WHERE {_WAITS} AND suspect = 0
    AND account NOT IN (SELECT value FROM json_each(?)) ORDER BY turn, id LIMIT 1"""  # noqa: S608
CLAIM_GUEST_SQL = f"{_CLAIM} WHERE id = ({_NEXT_GUEST}) RETURNING {_COLUMNS}"
_CLAIMS = {None: CLAIM_SQL, True: CLAIM_SUSPECT_SQL, False: CLAIM_INNOCENT_SQL}


def claim(tx: sqlite3.Connection, engine: str, now: float, *, alone: bool | None = None) -> Job | None:
    """The next job in turn, now running with attempt + 1 on ``engine``; None if there is none.

    ``alone``: True takes only suspects (to be drawn with nothing beside them), False only the others. One
    whose request cannot be read comes back failed (broken) and refunded.
    """
    return _claimed(tx, tx.execute(_CLAIMS[alone], (engine, now)).fetchone(), now)


def claim_guest(tx: sqlite3.Connection, engine: str, now: float, full: Iterable[int]) -> Job | None:
    """As ``claim``, the next innocent job of an account that is not among ``full``."""
    accounts = msgspec.json.encode(list(full)).decode()
    return _claimed(tx, tx.execute(CLAIM_GUEST_SQL, (engine, now, accounts)).fetchone(), now)


_OF_WORDS_SQL = """
    WITH RECURSIVE line (id) AS (
        SELECT ?1 UNION SELECT job.parent FROM job JOIN line ON job.id = line.id WHERE job.parent IS NOT NULL
    )
    SELECT NOT EXISTS (
        SELECT 1 FROM line JOIN job ON job.id = line.id WHERE json_extract(request, '$.model') <> ?2
        OR (parent IS NULL AND json_extract(request, '$.source') IS NOT NULL)
    )
"""


def of_words(tx: sqlite3.Connection, job: Job, model: str) -> bool:
    """Was it, and all it began with, drawn by ``model`` from words alone? What somebody sent was not."""
    if job.request.model != model or job.request.source is None:
        return job.request.model == model
    return bool(tx.execute(_OF_WORDS_SQL, (job.id, model)).fetchone()[0])


_WEIGHT_SQL = """
    SELECT coalesce(job.cost / nullif(job.share, 0.0), account.weight)
    FROM job JOIN account ON account.id = job.account WHERE job.id = ?
"""


def weight(tx: sqlite3.Connection, job_id: int) -> float:
    """How many usual shares of a busy machine a job was let in with: its account's and its role's weight
    (``gate.Ticket``) make its ``share`` of virtual time so much smaller than its cost.
    """
    return float(tx.execute(_WEIGHT_SQL, (job_id,)).fetchone()[0])


def _claimed(tx: sqlite3.Connection, row: tuple[Any, ...] | None, now: float) -> Job | None:
    if row is None:
        return None
    job = _job(row)
    tx.execute("UPDATE meta SET clock = ?1 WHERE id = 1 AND clock < ?1", (job.turn,))
    return _end(tx, job, Status.FAILED, now, code="broken") if job.request is _UNREADABLE else job


# --- ends


def settle(
    tx: sqlite3.Connection,
    job_id: int,
    attempt: int,
    kept: Sequence[Kept],
    seconds: float,
    now: float,
    *,
    failures: Sequence[Failure] = (),
    unsafe: float = 2.0,
) -> Job | None:
    """The pictures are in the folder: put them in the gallery, refund those that did not come, owe delivery.

    None, and nothing happens, unless this very attempt is running: cancel and settle race here, and the row
    decides. Without a single picture the job failed (code of the first failure, or broken_picture). With one
    whose chance to be for adults only is ``unsafe`` or more, its community's policy decides how it is shown.
    """
    job = _running(tx, job_id, attempt)
    if job is None:
        return None
    arrived = sum(1 for each in kept if each.index >= 0)
    code = failures[0].code if failures else "" if arrived else "broken_picture"
    if not arrived:
        return _end(tx, job, Status.FAILED, now, code=code, seconds=seconds)
    gallery.hang(tx, job.id, job.account, kept, now)
    job = _judged(tx, job, kept, unsafe)
    return _end(tx, job, Status.DONE, now, code=code, seconds=seconds, arrived=arrived)


_SHOWN = {"withhold": "withheld", "spoiler": "spoiler", "allow": ""}


def _judged(tx: sqlite3.Connection, job: Job, kept: Sequence[Kept], unsafe: float) -> Job:
    """How its pictures are shown, by what a safety check said of them; an enlarged one is what it was."""
    said = [each.unsafe for each in kept if each.unsafe is not None]
    if job.parent is not None and job.request.enlarge > 1:
        said += [found] if (found := gallery.verdict(tx, job.parent, job.parent_index)) is not None else []
    if max(said, default=-1.0) < unsafe:
        return job
    way = policy.flagged(tx, job.community, job.channel, adult=job.adult)
    judged = replace(job, shown=_SHOWN[way], free=way == "withhold")
    tx.execute("UPDATE job SET shown = ?, free = ? WHERE id = ?", (judged.shown, judged.free, job.id))
    return judged


def fail(tx: sqlite3.Connection, job_id: int, attempt: int, code: str, now: float) -> Job | None:
    """Nothing came out: refund all, owe the delivery of the bad news; None unless this attempt is running."""
    job = _running(tx, job_id, attempt)
    return None if job is None else _end(tx, job, Status.FAILED, now, code=code)


def cancel(tx: sqlite3.Connection, job_id: int, now: float, code: str = "") -> Job | None:
    """Stop a queued or running job and refund all, with the ``code`` of the refusal that says why, if any;
    None if it was over already.

    A queued one gives its share back to the account's finish; a running one has used the machine.
    """
    job = get(tx, job_id)
    if job is None or job.over:
        return None
    if job.status is Status.QUEUED:
        tx.execute(
            "UPDATE account SET finish = max(0.0, finish - (SELECT share FROM job WHERE id = ?)) "
            "WHERE id = ?",
            (job.id, job.account),
        )
    return _end(tx, job, Status.CANCELLED, now, code=code)


def cancel_all(tx: sqlite3.Connection, ids: Iterable[int], now: float, code: str = "") -> tuple[Job, ...]:
    """Cancel each as ``cancel`` does; those that were not over."""
    return tuple(job for each in ids if (job := cancel(tx, each, now, code)) is not None)


def requeue(
    tx: sqlite3.Connection, job_id: int, attempt: int, now: float, *, died: bool, suspect: bool = False
) -> Job:
    """Back to its old turn, if this attempt is running; returns the job as it then is.

    ``died``: its engine died with it: one death more, and it runs alone next; ``suspect``: it may have, so it
    runs alone. The third death, or the sixth attempt of one under suspicion, fails it (engine_died) with a
    refund.
    """
    job = _running(tx, job_id, attempt)
    if job is None:
        return _known(tx, job_id)
    deaths, guilty = job.deaths + int(died), died or suspect
    tx.execute(
        "UPDATE job SET status = 'queued', engine = '', started = NULL, deaths = ?, suspect = ? WHERE id = ?",
        (deaths, int(job.suspect or guilty), job.id),
    )
    job = _known(tx, job_id)
    hopeless = deaths >= DEATHS or (guilty and attempt >= ATTEMPTS)
    return _end(tx, job, Status.FAILED, now, code="engine_died") if hopeless else job


def lose(tx: sqlite3.Connection, job_id: int, lost: int, now: float) -> int:
    """So many of its pictures cannot be read any more: units that are given back for them, once. None for
    what somebody was shown before.
    """
    job = get(tx, job_id)
    if job is None or not outbox.never_shown(tx, job_id):
        return 0
    units = job.charged - replace(job, arrived=max(0, job.arrived - lost)).charged
    allowances.make_good(tx, job_id, units, now, "unreadable")
    return units


def _running(tx: sqlite3.Connection, job_id: int, attempt: int) -> Job | None:
    row = tx.execute(
        f"{_SELECT} WHERE id = ? AND status = 'running' AND attempt = ?", (job_id, attempt)
    ).fetchone()
    return None if row is None else _job(row)


def _end(
    tx: sqlite3.Connection, job: Job, status: Status, now: float,
    *, code: str = "", seconds: float = 0.0, arrived: int = 0,
) -> Job:  # fmt: skip
    """Every end of a job: status, money and, unless somebody stopped it, the delivery that is owed."""
    tx.execute(
        "UPDATE job SET status = ?, code = ?, seconds = ?, arrived = ?, finished = ? WHERE id = ?",
        (status.value, code, seconds, arrived, now, job.id),
    )
    charged = replace(job, arrived=arrived).charged
    if arrived:
        tallies.count(tx, job.community, "drawn", now, arrived)
        _enter(tx, job.account, job.id, "settle", 0, now, f"{arrived}/{job.request.count}")
    _refund(tx, job.id, job.price - charged, now, status.value)
    failed = status is Status.FAILED
    if failed or arrived:
        stats.ended(
            tx, job.community, job.account, job.created, failed=failed, pictures=arrived, units=charged
        )
    if status is not Status.CANCELLED:
        outbox.add(tx, job.id, now)
    return replace(job, status=status, code=code, seconds=seconds, arrived=arrived, finished=now)


# --- questions


def running(tx: sqlite3.Connection) -> tuple[Job, ...]:
    """Every job that an engine draws or drew when the bot died, the oldest claim first."""
    rows = tx.execute(f"{_SELECT} WHERE status = 'running' ORDER BY started, id").fetchall()
    return tuple(_job(row) for row in rows)


def engine_of(tx: sqlite3.Connection, job_id: int) -> str:
    """The engine that a running job was given to; empty for any other."""
    row = tx.execute("SELECT engine FROM job WHERE id = ? AND status = 'running'", (job_id,)).fetchone()
    return str(row[0]) if row else ""


def queued_count(tx: sqlite3.Connection) -> int:
    """How many jobs wait, of everybody; not those that a moderator holds."""
    (count,) = tx.execute("SELECT count(*) FROM job WHERE status = 'queued' AND held = 0").fetchone()
    return int(count)


def queued_by(tx: sqlite3.Connection, account_id: int) -> int:
    """How many jobs of this account wait."""
    (count,) = tx.execute(
        "SELECT count(*) FROM job WHERE status = 'queued' AND account = ?", (account_id,)
    ).fetchone()
    return int(count)


def suspects(tx: sqlite3.Connection) -> bool:
    """Does a job wait that an engine died with?"""
    (found,) = tx.execute(
        "SELECT EXISTS (SELECT 1 FROM job WHERE status = 'queued' AND suspect = 1 AND held = 0)"
    ).fetchone()
    return bool(found)


def mine(tx: sqlite3.Connection, account_id: int, limit: int) -> tuple[Job, ...]:
    """The newest ``limit`` jobs of an account, newest first."""
    rows = tx.execute(f"{_SELECT} WHERE account = ? ORDER BY id DESC LIMIT ?", (account_id, limit)).fetchall()
    return tuple(_job(row) for row in rows)


def unfinished(tx: sqlite3.Connection, account_id: int) -> tuple[Job, ...]:
    """The queued and running jobs of an account, in the order they will be drawn."""
    rows = tx.execute(
        f"{_SELECT} WHERE account = ?1 AND status = 'queued' OR account = ?1 AND status = 'running' "
        "ORDER BY status DESC, turn, id",
        (account_id,),
    ).fetchall()
    return tuple(_job(row) for row in rows)


AHEAD_SQL = """
    SELECT count(*), total(cost) FROM job WHERE status = 'queued' AND held = 0 AND (turn, id) < (?, ?)
"""


def ahead(tx: sqlite3.Connection, job_id: int) -> Ahead:
    """What is drawn before this job; nothing queued is ahead of one that waits no longer."""
    others = "SELECT count(*) FROM job WHERE status = 'running' AND id <> ?"
    (busy,) = tx.execute(others, (job_id,)).fetchone()
    row = tx.execute("SELECT turn FROM job WHERE id = ? AND status = 'queued'", (job_id,)).fetchone()
    if row is None:
        return Ahead(0, 0.0, int(busy))
    jobs, cost = tx.execute(AHEAD_SQL, (row[0], job_id)).fetchone()
    return Ahead(int(jobs), float(cost), int(busy))


def untold(tx: sqlite3.Connection, platform: str) -> tuple[Job, ...]:
    """Jobs under way of which a chat's person has not heard: no message was made for them before a crash."""
    rows = tx.execute(
        f"{_SELECT} WHERE status IN ('queued', 'running') AND place LIKE ? || ':%' AND instr(place, '/') = 0 "
        "ORDER BY id",
        (platform,),
    ).fetchall()
    return tuple(_job(row) for row in rows)


def hold(tx: sqlite3.Connection, job_id: int, *, release: bool = False) -> Job | None:
    """A moderator holds a queued job, or releases it: it keeps its turn. None if there is nothing to do."""
    row = tx.execute(
        "UPDATE job SET held = ? WHERE id = ? AND status = 'queued' AND held = ? RETURNING id",
        (int(not release), job_id, int(release)),
    ).fetchone()
    return None if row is None else get(tx, job_id)


def waiting(tx: sqlite3.Connection, limit: int, community: str | None = None) -> tuple[Job, ...]:
    """What is drawn, then what waits in its order, then what is held, of one community or (None) of all; at
    most ``limit``."""
    there = "(?2 IS NULL OR community = ?2)"
    sql = f"{_SELECT} WHERE status = 'running' AND {there} ORDER BY started, id LIMIT ?1"
    rows = tx.execute(sql, (limit, community)).fetchall()
    for held in (0, 1):
        sql = f"{_SELECT} WHERE status = 'queued' AND held = {held:d} AND {there} ORDER BY turn, id LIMIT ?1"
        rows += tx.execute(sql, (limit, community)).fetchall()
    return tuple(_job(row) for row in rows[:limit])


def show_as(tx: sqlite3.Connection, job_id: int, shown: str) -> None:
    """How a job's pictures are shown from now on: see ``Job.shown``. Its message is redrawn; what was
    withheld, may be seen again and is still there is delivered to its person once more."""
    row = tx.execute("SELECT shown FROM job WHERE id = ?", (job_id,)).fetchone()
    tx.execute("UPDATE job SET shown = ? WHERE id = ?", (shown, job_id))
    there = tx.execute("SELECT 1 FROM piece WHERE job = ? LIMIT 1", (job_id,)).fetchone()
    if row == ("withheld",) and shown != "withheld" and there:
        outbox.again(tx, job_id, 0.0)
    elif row != (shown,):
        outbox.redraw(tx, job_id)


def set_place(tx: sqlite3.Connection, job_id: int, place: str) -> None:
    """The message that was made for this job: its result is shown there."""
    tx.execute("UPDATE job SET place = ? WHERE id = ?", (place, job_id))
