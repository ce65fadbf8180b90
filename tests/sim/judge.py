"""What must be true of a day: all the time, every hour, and when it is over."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference import wire
from storage import opening
from storage.gallery import Files
from storage.jobs import Job
from storage.ledger import day_of
from tests.sim.chats import Platform
from tests.sim.engines import Machine
from tests.sim.people import People
from tests.sim.world import BEGINS, World
from tests.storage import people as books

OWNERLESS = 60.0
"""Seconds that a job may be without somebody who takes care of it."""
AT_ONCE = 1.5
"""Seconds within which a job is claimed by an engine that had room all the time."""
UNANSWERED = 120.0
"""Seconds that an event may be open without anybody who answers it: a chat that broke comes back by then."""
ANSWERED = 1_200.0
"""Seconds within which whatever was asked is done, crashes and outages included."""


@dataclass
class Judge:
    """It reads the database beside the bot, and knows what people and engines did."""

    world: World
    path: Path
    platforms: Mapping[str, Platform]
    machines: tuple[Machine, ...]
    people: People
    begun: set[tuple[int, int]] = field(default_factory=set)
    drew: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    """(job, attempt) → the files that an engine made for it."""
    served: Callable[[], bool] = field(default=lambda: False)
    """Are bot and disk up and well, and were so for a while?"""
    cancelled: dict[int, float] = field(default_factory=dict)
    """Job → when it was stopped."""
    _alone: dict[int, float] = field(default_factory=dict)
    _waits: float | None = None
    _excused: set[tuple[str, str]] = field(default_factory=set)
    _words: dict[str, int] = field(default_factory=dict)
    _open: dict[tuple[str, str], float] = field(default_factory=dict)
    _tx: sqlite3.Connection | None = None

    @property
    def tx(self) -> sqlite3.Connection:
        if self._tx is None:
            self._tx = opening.connect_reader(self.path)
        return self._tx

    def close(self) -> None:
        if self._tx is not None:
            self._tx.close()

    def hear_draw(self, draw: wire.Draw) -> None:
        """An engine begins: never twice with the same attempt."""
        key = draw.job, draw.attempt
        if key in self.begun:
            self.world.wrong(f"job {draw.job} was sent twice as attempt {draw.attempt}")
        self.begun.add(key)

    def hear_drawn(self, drawn: wire.Drawn) -> None:
        files = {hashlib.sha256(each.data).hexdigest() for each in drawn.pictures}
        files |= {hashlib.sha256(drawn.grid).hexdigest()} if drawn.grid else set()
        self.drew.setdefault((drawn.job, drawn.attempt), set()).update(files)

    def disk_was_bad(self, at: float) -> bool:
        """Around that moment the disk refused, and so may the bot have done."""
        return any(abs(at - moment) < 300 for moment in self.world.refused)

    # --- all the time

    def now(self, *, served: bool) -> None:
        """``served``: a bot is up and its disk is well, and was since the last look."""
        if not served or not self.path.exists():
            self._alone, self._waits, self._open = {}, None, {}
            return
        self._owners()
        self._idle()

    def _owners(self) -> None:
        now = self.world.loop.time()
        running = self.tx.execute("SELECT id, attempt FROM job WHERE status = 'running'").fetchall()
        alone = [job for job, attempt in running if not any(m.owns((job, attempt)) for m in self.machines)]
        self._alone = {job: self._alone.get(job, now) for job in alone}
        for job, since in self._alone.items():
            if now - since > OWNERLESS:
                self.world.wrong(f"job {job} has no owner for {OWNERLESS:.0f} s")

    def _idle(self) -> None:
        now = self.world.loop.time()
        waits = self.tx.execute(
            "SELECT id FROM job WHERE status = 'queued' AND held = 0 ORDER BY turn, id LIMIT 1"
        ).fetchone()
        if waits is None or not any(machine.idle() for machine in self.machines):
            self._waits = None
            return
        self._waits = now if self._waits is None else self._waits
        if now - self._waits > OWNERLESS:
            self.world.wrong(f"job {waits[0]} waits beside an idle engine for {OWNERLESS:.0f} s")

    def submitted(self, job: Job) -> None:
        """Where there is room it is claimed in a moment; and it is the only one of its words."""
        self.world.later(AT_ONCE, self._waits_beside, job.id)
        if job.parent is None and self._words.setdefault(job.request.prompt, job.id) != job.id:
            self.world.later(AT_ONCE, self._once)

    def _waits_beside(self, job: int) -> None:
        now = self.world.loop.time()
        if not self.served() or any(now - moment < ANSWERED / 20 for moment in self.world.refused):
            return
        sql = """SELECT 1 FROM job WHERE id = ? AND status = 'queued' AND held = 0 AND NOT EXISTS (
            SELECT 1 FROM job WHERE suspect = 1 AND status IN ('queued', 'running'))"""
        waits = self.tx.execute(sql, (job,)).fetchone() is not None
        if waits and any(machine.room(AT_ONCE) for machine in self.machines):
            self.world.wrong(f"job {job} waits {AT_ONCE} s beside an engine with room")

    def unanswered(self, talks: set[tuple[str, str]]) -> None:
        """An event that is taken and not done has somebody who answers it, or will in a moment."""
        now = self.world.loop.time()
        rows = self.tx.execute("SELECT platform, event FROM inbox WHERE done = 0").fetchall()
        self._open = {event: self._open.get(event, now) for event in rows if event not in talks}
        for (platform, event), since in self._open.items():
            if self.disk_was_bad(
                since
            ):  # that it was answered could not be written: the next life asks again
                self._excused.add((platform, event))
            if now - since > UNANSWERED and (platform, event) not in self._excused:
                self.world.wrong(f"{platform} {event} is open, and nobody answers it")

    def is_over(self, job: int) -> bool:
        row = self.tx.execute("SELECT status FROM job WHERE id = ?", (job,)).fetchone()
        return row is not None and row[0] not in ("queued", "running")

    # --- now and then

    def books(self) -> None:
        """Every balance is its entries, nobody was refilled twice, nothing acknowledged is gone."""
        for line in books.audit(self.tx):
            self.world.wrong(f"books: {line}")
        days = day_of(self.world.furthest) - day_of(BEGINS)
        sql = "SELECT account, count(*) FROM ledger WHERE why = 'refill' GROUP BY account HAVING count(*) > ?"
        for account, count in self.tx.execute(sql, (days,)).fetchall():
            self.world.wrong(f"account {account} was refilled {count} times in {days} days")
        known = {job for (job,) in self.tx.execute("SELECT id FROM job")}
        for platform in self.platforms.values():
            for job in platform.promised.keys() - known:
                self.world.wrong(f"job {job} was acknowledged and is lost")
        self._once()

    def _once(self) -> None:
        """Nobody is charged twice for what they said once."""
        sql = "SELECT json_extract(request, '$.prompt'), count(*) FROM job WHERE parent IS NULL GROUP BY 1"
        for words, count in self.tx.execute(sql).fetchall():
            if count > 1:
                self.world.wrong(f"{words!r} was said once and is {count} jobs")

    def confirmed(self, name: str, number: int) -> None:
        """A platform may forget this event now: it is in the inbox, or its person was told of the disk."""
        sql = "SELECT 1 FROM inbox WHERE platform = ? AND event = ?"
        found = self.tx.execute(sql, (name, str(number))).fetchone()
        if found is None and not self.disk_was_bad(self.world.loop.time()):
            self.world.wrong(f"{name} {number} was confirmed and is lost")

    # --- at the end

    def quiet(self) -> bool:
        """Nothing is under way."""
        sql = """SELECT EXISTS (SELECT 1 FROM inbox WHERE done = 0)
            OR EXISTS (SELECT 1 FROM outbox WHERE over IS NULL)
            OR EXISTS (SELECT 1 FROM job WHERE status = 'running' OR status = 'queued' AND held = 0)"""
        (busy,) = self.tx.execute(sql).fetchone()
        return not busy and all(
            each.confirmed for p in self.platforms.values() for each in p.updates.values()
        )

    def left(self) -> None:
        """What is still under way though nothing is in its way."""
        for table, sql in (
            ("not answered", "SELECT platform || ' ' || event FROM inbox WHERE done = 0"),
            ("not delivered", "SELECT job || ', due in ' || (due - ?) FROM outbox WHERE over IS NULL"),
            (
                "not over",
                "SELECT id || ' ' || status FROM job WHERE status IN ('queued', 'running') AND held = 0",
            ),
        ):  # fmt: skip
            values = (self.world.clock(),) if "?" in sql else ()
            for (what,) in self.tx.execute(sql, values).fetchall():
                self.world.wrong(f"{table}: {what}")

    def whole(self, pictures: Path) -> None:
        """The day is over."""
        self.books()
        self._usage()
        self._answers()
        self._deliveries()
        self._files(Files(pictures))
        self._cancels()

    def _usage(self) -> None:
        got, expected = books.usage(self.tx)
        if got != expected:
            self.world.wrong("the table of days does not say what jobs and ledger do")

    def _answers(self) -> None:
        """Every event was taken, and answered where nothing hindered."""
        for platform in self.platforms.values():
            for update in platform.updates.values():
                name, free = f"{platform.name} {update.number}", not platform.troubled[update.chat]
                if not update.confirmed:
                    self.world.wrong(f"{name} was never taken")
                elif free and update.chat != "crowd" and not platform.answered(update):
                    self.world.wrong(f"{name} got no answer")

    def _deliveries(self) -> None:
        """Each end once: on one message, or in the gallery where the chat did not let it through."""
        sql = """SELECT job.id, job.status, outbox.outcome, job.place FROM job
            LEFT JOIN outbox ON outbox.job = job.id"""
        for job, status, outcome, place in self.tx.execute(sql).fetchall():
            platform = self.platforms[place.partition(":")[0]]
            shown = sum(len(each.finals.get(job, ())) for each in self.platforms.values())
            if shown > 1 and status != "cancelled":
                self.world.wrong(f"job {job} was delivered on {shown} messages")
            if status in ("done", "failed") and outcome == "delivered" and not shown:
                self.world.wrong(f"job {job} is delivered, and nobody saw it")
            if status in ("done", "failed") and outcome not in (
                "delivered",
                "gone",
                "unsure",
                "told",
                "left",
            ):
                self.world.wrong(f"job {job} ended as {outcome!r}")
            chat = place.partition(":")[2].partition("/")[0]
            if outcome in ("gone", "unsure") and not platform.troubled[chat]:
                self.world.wrong(f"job {job} was dropped ({outcome}) though its chat let everything through")

    def _files(self, files: Files) -> None:
        """Every row has its file, made by the attempt that counts."""
        sql = "SELECT piece.digest, job.id, job.attempt FROM piece JOIN job ON job.id = piece.job"
        for digest, job, attempt in self.tx.execute(sql).fetchall():
            if not files.path(digest).exists():
                self.world.wrong(f"job {job} has no file")
            if digest not in self.drew.get((job, attempt), ()):
                self.world.wrong(f"job {job} shows what attempt {attempt} did not draw")

    def _cancels(self) -> None:
        """Only its person or a moderator stops a job."""
        humans: dict[int, set[str]] = defaultdict(set)
        for account, who in self.tx.execute("SELECT account, who FROM identity").fetchall():
            humans[account].add(who.partition(":")[2])
        sql = "SELECT id, account FROM job WHERE status = 'cancelled'"
        for job, account in self.tx.execute(sql).fetchall():
            mine, when = humans[account], self.cancelled.get(job, 0.0)
            asked = any(
                wanted == job or (wanted is None and 0 <= when - at < ANSWERED)
                for who in mine for at, wanted in self.people.cancels[who]
            )  # fmt: skip
            if not (asked or job in self.people.stopped or mine & self.people.blocked or not mine):
                self.world.wrong(f"job {job} was stopped by somebody else")


def ordered(claim: Any, world: World, taken: Any) -> Any:
    """``jobs.claim`` as it is, looked at: whoever is claimed is the first by turn of those that may be."""

    def looked_at(tx: sqlite3.Connection, *given: Any, **more: Any) -> Any:
        sql = "SELECT turn, id, suspect, account FROM job WHERE status = 'queued' AND held = 0"
        rows = tx.execute(sql).fetchall()
        job = claim(tx, *given, **more)
        may = [row[:2] for row in rows if taken(row[2], row[3], *given, **more)]
        first = min(may)[1] if may else None
        if (job.id if job else None) != first:
            world.wrong(f"claimed {job.id if job else None}, but {first} was next")
        return job

    return looked_at


def stopped(cancel: Any, judge: Judge) -> Any:
    """``jobs.cancel`` as it is, looked at: when it happened."""

    def looked_at(tx: sqlite3.Connection, *given: Any, **more: Any) -> Any:
        job = cancel(tx, *given, **more)
        if job is not None:
            judge.cancelled[job.id] = judge.world.loop.time()
        return job

    return looked_at


def counted(submit: Any, judge: Judge) -> Any:
    """``jobs.submit`` as it is, looked at."""

    def looked_at(tx: sqlite3.Connection, *given: Any, **more: Any) -> Any:
        job = submit(tx, *given, **more)
        judge.submitted(job)
        return job

    return looked_at


def anybody(suspect: int, account: int, engine: str, now: float, *, alone: bool | None = None) -> bool:
    """Who ``jobs.claim`` may take."""
    return alone is None or alone == bool(suspect)


def guest(suspect: int, account: int, engine: str, now: float, full: set[int]) -> bool:
    """Who ``jobs.claim_guest`` may take."""
    return not suspect and account not in full
