"""Moving jobs to engines and events back: its traps and its crash table, one test each."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot import dispatch as module
from bot import draw
from bot.catalog import Catalog
from bot.config import load
from bot.dispatch import Ahead, Dispatch, Moved, Over, Progress, Range, Started, Stuck
from bot.events import Watchers
from inference import wire
from inference.request import ModelSpec, Request
from storage import accounts, gallery, jobs, ledger, outbox
from storage.database import Database
from storage.gallery import Files
from storage.jobs import Job, NewJob, Status
from storage.refusal import Refusal
from tests.fakes.engine import DrawingEngine, FakeEngine, drawn

BUILTIN = ModelSpec(name="builtin", width=64, height=64)


@dataclass
class House:
    """A dispatcher over a real database, with engines that do what the test says."""

    folder: Path
    database: Database
    engines: list[FakeEngine]
    dispatch: Dispatch = field(init=False)
    account: int = 0
    over: list[Job] = field(default_factory=list)
    _keys: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def __post_init__(self) -> None:
        self.dispatch = self.new()

    def new(self, **more: object) -> Dispatch:
        files, catalog = Files(self.folder / "pictures"), Catalog([BUILTIN], "builtin")
        made = Dispatch(self.database, files, catalog, self.engines, clock=time.time, home=self.folder)
        made.on_over = self.over.append
        return made

    @property
    def engine(self) -> FakeEngine:
        return self.engines[0]

    async def submit(self, account: int | None = None, **fields: object) -> Job:
        request = Request(prompt="fox", width=64, height=64, count=2, **fields)  # type: ignore[arg-type]
        owner = account or self.account
        new = NewJob(owner, f"k{next(self._keys)}", request, 2_000, 1.0, "test:here", "en")
        return await self.dispatch.submit(new)

    async def job(self, number: int) -> Job:
        row = await self.database.read(jobs.get, number)
        assert row
        return row

    async def until(self, number: int, status: Status) -> Job:
        async with asyncio.timeout(60):
            while (row := await self.job(number)).status is not status:
                await asyncio.sleep(0.005)
        return row

    async def balance(self) -> int:
        return await self.database.read(ledger.balance, self.account)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.dispatch.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


@asynccontextmanager
async def house(folder: Path, *engines: FakeEngine) -> AsyncIterator[House]:
    database = await Database.open(folder / "data.sqlite3")
    try:
        made = House(folder, database, list(engines) or [FakeEngine()])
        account = await database.write(accounts.meet, "test:ana", "en", 0.0, grant=100_000)
        made.account = account.id
        yield made
        assert await database.read(ledger.audit) == ()
    finally:
        await database.close()


async def test_a_job_is_claimed_when_a_credit_arrives_and_never_before(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello()
        job = await home.submit()
        await asyncio.sleep(0.05)
        assert (await home.job(job.id)).status is Status.QUEUED
        await home.engine.say(wire.Ready(credits=1))
        (draw,) = await home.engine.wait_for(wire.Draw)
        assert (draw.job, draw.attempt, draw.flow) == (job.id, 1, f"a{home.account}")


async def test_drawn_is_settled_then_the_engine_may_forget_and_the_outbox_owes(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        (draw,) = await home.engine.wait_for(wire.Draw)
        await home.engine.say(drawn(draw))
        await home.engine.wait_for(wire.Settled)
        row = await home.job(job.id)
        assert row.status is Status.DONE
        assert row.arrived == 2
        assert len(await home.database.read(gallery.of_job, job.id)) == 2
        assert await home.database.read(gallery.grid, job.id)
        assert [each.job for each in await home.database.read(outbox.due, time.time(), 9)] == [job.id]
        assert [each.id for each in home.over] == [job.id]
        assert await home.balance() == 98_000


async def test_a_picture_that_did_not_come_is_refunded(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        (draw,) = await home.engine.wait_for(wire.Draw)
        await home.engine.say(drawn(draw, lack=(1,)))
        await home.until(job.id, Status.DONE)
        assert await home.balance() == 99_000


async def test_nothing_drawn_is_a_failure_with_its_code(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(2)
        first, second = await home.submit(), await home.submit()
        draws = await home.engine.wait_for(wire.Draw, 2)
        await home.engine.say(drawn(draws[0], lack=(0, 1)))
        await home.engine.say(wire.Failed(job=second.id, attempt=1, code="out_of_memory"))
        assert (await home.until(first.id, Status.FAILED)).code == "broken_picture"
        assert (await home.until(second.id, Status.FAILED)).code == "out_of_memory"
        assert await home.balance() == 100_000


async def test_a_wake_up_between_claims_is_not_lost(tmp_path: Path) -> None:
    async with house(tmp_path, DrawingEngine(credits=2)) as home, home.running():
        made = [await home.submit() for _ in range(12)]
        for job in made:
            await home.until(job.id, Status.DONE)


async def test_whoever_subscribes_after_submit_misses_nothing_even_if_it_is_over(tmp_path: Path) -> None:
    async with house(tmp_path, DrawingEngine()) as home, home.running():
        job = await home.submit()
        await home.until(job.id, Status.DONE)
        await home.engine.wait_for(wire.Settled)
        with home.dispatch.subscribe(job.id) as events:
            seen = [event async for event in events]
        assert [type(event) for event in seen] == [Over]


async def test_a_slow_reader_gets_the_newest_progress_with_the_last_previews(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        await home.engine.wait_for(wire.Draw)
        with home.dispatch.subscribe(job.id) as events:
            assert isinstance(await events.get(), Started | Moved)
            for done in range(1, 9):
                previews = (b"webp",) if done == 4 else ()
                await home.engine.say(
                    wire.Progress(job=job.id, attempt=1, done=done, total=10, previews=previews)
                )
            event = await events.get()
            assert isinstance(event, Progress)
            assert (event.done, event.previews) == (8, (b"webp",))
            assert event.left.low < event.left.high


async def test_the_time_left_of_the_first_picture_is_as_long_as_its_own_steps_take(tmp_path: Path) -> None:
    """Nothing is known of this machine, and what was thought of the job when it was queued is far too short:
    what is said goes by its pace as soon as it has moved."""
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        await home.engine.wait_for(wire.Draw)
        with home.dispatch.subscribe(job.id) as events:
            await events.get()
            lefts = []
            for done in (1, 2):
                await asyncio.sleep(0.2 * (done - 1))
                await home.engine.say(wire.Progress(job=job.id, attempt=1, done=done, total=1_000))
                event = await events.get()
                assert isinstance(event, Progress)
                lefts.append(event.left)
        guess, measured = lefts
        assert not guess.measured
        assert guess.low < home.dispatch.seconds(job.request) < guess.high < 150.0
        assert measured.measured
        assert measured.low > 0.9 * 0.7 * 998 * 0.2


async def test_who_waits_is_told_by_what_is_known_now_and_not_when_they_asked(tmp_path: Path) -> None:
    """The job was queued when nothing was measured; since then the engine found itself ten times slower."""
    async with house(tmp_path) as home, home.running():
        job = await home.submit()
        before = home.dispatch.eta(job.request)
        await home.engine.hello(0)
        await home.engine.say(wire.Beat(speed={"builtin": 1_000.0}))
        after = home.dispatch.eta(job.request)
        assert (before.measured, after.measured) == (False, True)
        assert after.low == pytest.approx(0.7 * 1_000.0 * job.request.work)


async def test_a_time_counts_as_told_only_where_it_was_measured_and_the_model_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guess is none, nor what was said while the model was loading: that such a picture takes longer."""
    async with house(tmp_path, DrawingEngine()) as home:
        speed, clock = home.dispatch.speed, [time.time()]
        monkeypatch.setattr(home.dispatch, "_clock", lambda: clock[0])
        for state, measured in (("ready", False), ("loading", True), ("ready", True)):
            if measured:
                speed.learn({"builtin": 1.0})
            home.dispatch._catalog.hear("engine", (wire.ModelState(name="builtin", state=state),))
            job = await home.submit()
            home.dispatch.eta(job.request, job=job.id)
            counted, clock[0] = len(speed.ratios), clock[0] + 5.0
            home.dispatch._end(replace(job, status=Status.DONE))
            assert len(speed.ratios) - counted == int((state, measured) == ("ready", True)), (state, measured)


async def test_progress_of_an_old_attempt_is_dropped(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        await home.engine.wait_for(wire.Draw)
        with home.dispatch.subscribe(job.id) as events:
            await events.get()
            await home.engine.say(wire.Progress(job=job.id, attempt=7, done=1, total=2))
            assert events._newest is None


async def test_the_person_may_leave_the_job_is_settled_all_the_same(tmp_path: Path) -> None:
    async with house(tmp_path, DrawingEngine(seconds=0.05)) as home, home.running():
        job = await home.submit()

        async def watch() -> None:
            with home.dispatch.subscribe(job.id) as events:
                async for _ in events:
                    pass

        task = asyncio.create_task(watch())
        await asyncio.sleep(0.01)
        task.cancel()
        await home.until(job.id, Status.DONE)


async def test_those_who_wait_hear_that_they_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        first, second, third = [await home.submit() for _ in range(3)]
        (draw,) = await home.engine.wait_for(wire.Draw)
        with home.dispatch.subscribe(third.id) as events:
            event = await events.get()
            assert isinstance(event, Moved)
            assert (event.ahead.jobs, event.ahead.running) == (1, 1)
            await home.engine.say(drawn(draw))
            await home.engine.say(wire.Ready(credits=1))
            async with asyncio.timeout(60):
                while not (isinstance(event := await events.get(), Moved) and event.ahead.jobs == 0):
                    pass
        assert first.id < second.id


# --- cancel


async def test_a_queued_job_is_cancelled_and_refunded_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        job = await home.submit()
        cancelled = await home.dispatch.cancel(job.id)
        assert cancelled
        assert cancelled.status is Status.CANCELLED
        assert await home.dispatch.cancel(job.id) is None
        assert await home.balance() == 100_000


async def test_a_running_job_is_cancelled_in_the_engine_too(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        await home.engine.wait_for(wire.Draw)
        await home.dispatch.cancel(job.id)
        (cancel,) = await home.engine.wait_for(wire.Cancel)
        assert (cancel.job, cancel.attempt) == (job.id, 1)


async def test_cancel_and_finish_race_and_the_row_decides(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        (draw,) = await home.engine.wait_for(wire.Draw)
        await asyncio.gather(home.engine.say(drawn(draw)), home.dispatch.cancel(job.id))
        await home.engine.wait_for(wire.Settled)
        row = await home.job(job.id)
        assert row.status in {Status.DONE, Status.CANCELLED}
        pieces = await home.database.read(gallery.of_job, job.id)
        assert (await home.balance(), len(pieces)) == (
            (98_000, 2) if row.status is Status.DONE else (100_000, 0)
        )
        assert len(home.over) == 1


async def test_a_job_cancelled_between_claim_and_draw_is_never_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        source = await Files(tmp_path / "pictures").keep(b"picture")
        async with home.running():
            await home.engine.hello()
            job = await home.submit(source=source, strength=0.5)
            load, held = home.dispatch._files.load, asyncio.Event()

            async def slowly(digest: str) -> bytes:
                await home.dispatch.cancel(job.id)
                held.set()
                return await load(digest)

            with replaced(home.dispatch._files, "load", slowly):
                await home.engine.say(wire.Ready(credits=1))
                await held.wait()
                await asyncio.sleep(0.05)
            assert not home.engine.got(wire.Draw)
            other = await home.submit()
            assert [d.job for d in await home.engine.wait_for(wire.Draw)] == [other.id]


@contextmanager
def replaced(holder: object, name: str, value: Callable[..., object]) -> Iterator[None]:
    """Files has slots: a class for this instance alone."""
    kind = type(holder)
    holder.__class__ = type("Slow", (kind,), {name: staticmethod(value), "__slots__": ()})
    try:
        yield
    finally:
        holder.__class__ = kind


# --- engines that die, bots that come back


async def test_a_newcomer_comes_in_although_a_flood_has_filled_the_engine(tmp_path: Path) -> None:
    """Without a credit; whoever fills it waits for one, also behind the newcomer."""
    async with house(tmp_path) as home, home.running():
        other = await home.database.write(accounts.meet, "test:eva", "en", 0.0, grant=100_000)
        await home.engine.hello(2)
        for _ in range(6):
            await home.submit()
        await home.engine.wait_for(wire.Draw, 2)
        await asyncio.sleep(0.05)
        assert len(home.engine.got(wire.Draw)) == 2
        light = await home.submit(account=other.id)
        draws = await home.engine.wait_for(wire.Draw, 3)
        assert draws[2].job == light.id
        await home.submit(account=other.id)
        assert (await home.engine.wait_for(wire.Draw, 4))[3].flow == f"a{other.id}", "still less than a half"
        await home.submit(account=other.id)
        await asyncio.sleep(0.05)
        assert len(home.engine.got(wire.Draw)) == 4, "an equal part is full: from here on by credits"


async def test_after_a_death_suspects_run_alone_and_only_the_guilty_fails(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(3)
        made = [await home.submit() for _ in range(3)]
        guilty = made[1].id
        await home.engine.wait_for(wire.Draw, 3)
        await home.engine.say(wire.Lost(reason="killed"))
        fresh = await home.submit()
        deaths, seen = 1, 3
        for _ in range(20):
            await home.engine.hello(3)
            lost = False
            while not lost:
                async with asyncio.timeout(60):
                    while not (draws := home.engine.got(wire.Draw)[seen:]):
                        if all([(await home.job(each.id)).over for each in (*made, fresh)]):
                            break
                        await asyncio.sleep(0.03)
                seen += len(draws)
                if not draws:
                    break
                if any(draw.alone for draw in draws):
                    assert len(draws) == 1, "nothing stands beside a suspect"
                for draw in draws:
                    if draw.job == guilty:
                        deaths += 1
                        lost = True
                        await home.engine.say(wire.Lost(reason="killed"))
                    else:
                        await home.engine.say(drawn(draw))
                        await home.engine.say(wire.Ready(credits=1))
            if not lost:
                break
        assert deaths == 3
        row = await home.until(guilty, Status.FAILED)
        assert row.code == "engine_died"
        for job in (made[0], made[2], fresh):
            assert (await home.until(job.id, Status.DONE)).deaths <= 1
        assert await home.balance() == 100_000 - 3 * 2_000


async def test_an_engine_that_never_starts_is_told_to_those_who_wait_and_nothing_new_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    async with house(tmp_path) as home, home.running():
        job = await home.submit()
        with home.dispatch.subscribe(job.id) as events:
            for _ in range(module.HOPELESS):
                await home.submit()
                await home.engine.say(wire.Lost(reason="it left with 2 before its first word"))
            async with asyncio.timeout(60):
                while not isinstance(await events.get(), Stuck):
                    pass
            with pytest.raises(Refusal) as refused:
                await home.submit()
            assert refused.value.code == "no_engine"
            assert (await home.job(job.id)).status is Status.QUEUED
            await home.engine.hello()
            async with asyncio.timeout(60):
                while not isinstance(await events.get(), Moved):
                    pass
        assert await home.submit()


async def test_imagine_ends_with_a_sentence_when_no_engine_can_start(tmp_path: Path) -> None:
    class Stillborn(FakeEngine):
        async def run(self, handle: Callable[[wire.FromEngine], Awaitable[None]]) -> None:
            while True:
                await handle(wire.Lost(reason="it left with 2 before its first word"))
                await asyncio.sleep(0.2)

    config = replace(load(None, {}), data_dir=tmp_path / "data")
    output = draw.Output(io.StringIO(), io.StringIO())
    async with asyncio.timeout(60):
        code = await draw.draw(
            config, ["a", "fox"], tmp_path / "fox.png", "en", output=output, engines=lambda *_: [Stillborn()]
        )
    assert code == draw.REFUSED
    assert "falopitas doctor" in output.err.getvalue()  # type: ignore[attr-defined]


async def test_models_waits_for_what_the_engine_loads_by_itself_and_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that nobody asked for is not loaded: waiting for it would take the whole minute."""

    class Loading(FakeEngine):
        async def run(self, handle: Callable[[wire.FromEngine], Awaitable[None]]) -> None:
            self._handle = handle
            self._running.set()
            for state in ("waiting", "loading", "ready"):
                first = wire.ModelState(name="builtin", state=state)
                await handle(wire.Models(models=(first, wire.ModelState(name="other", state="waiting"))))
                await asyncio.sleep(0.2)

    monkeypatch.setattr(draw, "WARM", 3_000.0)
    file = tmp_path / "falopitas.toml"
    file.write_text('[models.other]\nsource = "a/b"\n')
    config = replace(load(file, {}), data_dir=tmp_path / "data")
    output = draw.Output(io.StringIO(), io.StringIO())
    async with asyncio.timeout(60):
        code = await draw.ask(config, "/models", "en", output=output, engines=lambda *_: [Loading()])
    said = output.out.getvalue()  # type: ignore[attr-defined]
    assert code == draw.OK
    assert "builtin (Falopitas stickers): ready" in said
    assert "other: not loaded yet" in said


async def test_a_late_result_of_an_old_attempt_is_dropped_and_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        (draw,) = await home.engine.wait_for(wire.Draw)
        await home.engine.say(wire.Lost(reason="the connection broke"))
        await home.until(job.id, Status.QUEUED)
        await home.engine.hello(0, finished=((job.id, 1),))
        await home.engine.say(drawn(draw))
        await home.engine.wait_for(wire.Settled)
        assert (await home.job(job.id)).status is Status.QUEUED
        await home.engine.say(wire.Ready(credits=1))
        second = (await home.engine.wait_for(wire.Draw, 2))[1]
        assert second.attempt == 2
        await home.engine.say(drawn(second))
        assert (await home.until(job.id, Status.DONE)).attempt == 2


@pytest.mark.parametrize("comes", [True, False])
async def test_an_engine_that_dies_right_after_its_answer_takes_nothing_with_it(
    tmp_path: Path, comes: bool
) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        (draw,) = await home.engine.wait_for(wire.Draw)
        await home.engine.say(drawn(draw) if comes else wire.Failed(job=job.id, attempt=1, code="too_big"))
        await home.engine.say(wire.Lost(reason="it left"))
        row = await home.until(job.id, Status.DONE if comes else Status.FAILED)
        assert (row.deaths, row.code) == (0, "" if comes else "too_big")


async def test_what_goes_back_is_drawn_again_even_if_its_place_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(job: int) -> None:
        raise Refusal("disk_error")

    requeue, refusals = jobs.requeue, iter([True])

    def late(*row: Any, **why: Any) -> Job:
        if next(refusals, False):
            raise Refusal("disk_full")
        return requeue(*row, **why)

    monkeypatch.setattr(jobs, "requeue", late)
    monkeypatch.setattr(module, "RETRY", (0.3,))
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        await home.engine.wait_for(wire.Draw)
        monkeypatch.setattr(home.dispatch, "position", unreadable)
        await home.engine.hello(1)  # it speaks again, and does not have it
        assert (await home.engine.wait_for(wire.Draw, 2))[1].attempt == 2
        assert (await home.job(job.id)).status is Status.RUNNING


def test_nothing_comes_after_the_end() -> None:
    watchers, job = Watchers(), cast("Job", None)
    watchers.publish(1, Over(job))
    watchers.publish(1, Moved(Ahead(0, 0.0, 0), Range(1.0, 2.0, measured=True)))
    assert isinstance(watchers.newest(1), Over)
    with watchers.subscribe(1) as events:
        assert isinstance(events._newest, Over)


async def test_a_draw_that_could_not_be_sent_goes_back_without_a_death(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello()
        job = await home.submit()
        home.engine.connected = False
        await home.engine.say(wire.Ready(credits=1))
        async with asyncio.timeout(60):
            while not ((row := await home.job(job.id)).status is Status.QUEUED and row.attempt == 1):
                await asyncio.sleep(0.01)
        assert (row.deaths, row.suspect) == (0, False)
        home.engine.connected = True
        await home.engine.hello(1)
        assert (await home.engine.wait_for(wire.Draw))[0].attempt == 2


async def test_a_new_bot_adopts_what_the_engine_draws_cancels_the_unknown_and_redoes_the_rest(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        async with home.running():
            await home.engine.hello(3)
            made = [await home.submit() for _ in range(3)]
            draws = await home.engine.wait_for(wire.Draw, 3)
        home.engines[:] = [FakeEngine()]
        home.dispatch = home.new()
        async with home.running():
            await home.engine.hello(0, drawing=((made[0].id, 1), (999, 1)), finished=((made[1].id, 1),))
            await home.engine.say(drawn(draws[1]))
            assert [(c.job, c.attempt) for c in await home.engine.wait_for(wire.Cancel)] == [(999, 1)]
            await home.until(made[1].id, Status.DONE)
            row = await home.until(made[2].id, Status.QUEUED)
            assert (row.attempt, row.deaths) == (1, 0)
            await home.engine.say(drawn(draws[0]))
            assert (await home.until(made[0].id, Status.DONE)).attempt == 1
            await home.engine.say(wire.Ready(credits=1))
            (redone,) = await home.engine.wait_for(wire.Draw)
            assert (redone.job, redone.attempt, redone.alone) == (made[2].id, 2, True)


async def test_running_jobs_of_an_engine_that_never_speaks_up_are_redone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, FakeEngine("one"), FakeEngine("two")) as home:
        async with home.running():
            await home.engine.hello(1)
            job = await home.submit()
            await home.engine.wait_for(wire.Draw)
        monkeypatch.setattr(module, "PATIENCE", 0.1)
        home.engines[:] = [FakeEngine("one"), FakeEngine("two")]
        home.dispatch = home.new()
        async with home.running():
            await home.engines[1].hello(1)
            (draw,) = await home.engines[1].wait_for(wire.Draw)
            assert (draw.job, draw.attempt) == (job.id, 2)


def test_whoever_has_a_larger_share_may_have_more_in_an_engine_without_a_credit() -> None:
    """Its sixteen rows are shared by weight: four sevenths are nine of them, a seventh is two."""
    link = module._Link(cast("Any", None))
    request = Request(prompt="a fox", guidance=5.0, count=1)
    assert request.rows == 2
    for number, account in enumerate([1, 1, 1, 2, 2, 3, 3]):
        job = SimpleNamespace(account=account, request=request, suspect=False)
        link.running[number] = cast("Any", job)
    assert link.full() == {1}
    link.weights = {1: 4.0, 2: 2.0}
    assert link.full() == {3}


async def test_two_engines_are_two_streams_of_credits(tmp_path: Path) -> None:
    async with house(tmp_path, FakeEngine("one"), FakeEngine("two")) as home, home.running():
        for engine in home.engines:
            await engine.hello(2)
        for _ in range(4):
            await home.submit()
        for engine in home.engines:
            assert len(await engine.wait_for(wire.Draw, 2)) == 2


# --- models, speed, disks


async def test_a_broken_model_is_refused_before_anything_is_charged(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        assert home.dispatch.warming("builtin")
        broken = wire.ModelState(
            name="builtin", state="broken", reason="model_corrupt", detail="x.safetensors"
        )
        await home.engine.hello(1, states=(broken,))
        with pytest.raises(Refusal) as refused:
            await home.submit()
        assert refused.value.code == "model_corrupt"
        assert await home.balance() == 100_000
        await home.engine.say(wire.Models(models=(wire.ModelState(name="builtin", state="ready"),)))
        assert not home.dispatch.warming("builtin")
        await home.submit()


async def test_a_source_that_is_gone_fails_the_job_and_refunds(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()  # else the disk is away, and it may come back
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit(source="0" * 64)
        assert (await home.until(job.id, Status.FAILED)).code == "source_gone"
        assert await home.balance() == 100_000
        other = await home.submit()
        assert [d.job for d in await home.engine.wait_for(wire.Draw)] == [other.id]


def spoil(file: Path) -> None:
    """From now on each read of it fails with EIO, as on a bad sector."""
    file.unlink()
    file.symlink_to("/proc/self/mem")


@pytest.mark.parametrize("waits", [True, False])
async def test_a_source_that_cannot_be_read_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """Nobody waits behind it, and nothing is charged twice. The control takes it for one that is gone."""
    monkeypatch.setattr(module, "RETRY", (0.01,))
    if not waits:
        monkeypatch.setattr(module, "SEEKS", 0)
    async with house(tmp_path) as home, home.running():
        files = home.dispatch._files
        source = await files.keep(b"picture")
        spoil(files.path(source))
        await home.engine.hello(2)
        job, other = await home.submit(source=source, strength=0.5), await home.submit()
        assert [d.job for d in await home.engine.wait_for(wire.Draw)] == [other.id]
        if not waits:
            assert (await home.until(job.id, Status.FAILED)).code == "source_unreadable"
            return
        assert (await home.job(job.id)).status is Status.RUNNING
        whole = tmp_path / "whole"  # at once: it is looked at on another thread meanwhile
        whole.write_bytes(b"picture")
        whole.replace(files.path(source))
        async with asyncio.timeout(60):
            while len(home.engine.got(wire.Draw)) < 2:
                await asyncio.sleep(0.005)
        draw = home.engine.got(wire.Draw)[1]
        assert (draw.job, draw.source, draw.alone) == (job.id, b"picture", False)
        assert await home.balance() == 96_000


async def test_a_source_that_alone_cannot_be_read_is_lost_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refunded; its person reads that it cannot be read, and is not offered the same."""
    monkeypatch.setattr(module, "RETRY", (0.001,))
    async with house(tmp_path) as home, home.running():
        files = home.dispatch._files
        source = await files.keep(b"picture")
        await files.keep(b"another")
        spoil(files.path(source))
        await home.engine.hello(1)
        job = await home.submit(source=source, strength=0.5)
        assert (await home.until(job.id, Status.FAILED)).code == "source_unreadable"
        assert await home.balance() == 100_000
        assert len(home.over) == 1


async def test_a_job_whose_source_is_waited_for_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", (0.01,))
    async with house(tmp_path) as home, home.running():
        source = await home.dispatch._files.keep(b"picture")
        spoil(home.dispatch._files.path(source))
        await home.engine.hello(1)
        job = await home.submit(source=source, strength=0.5)
        await home.until(job.id, Status.RUNNING)
        assert await home.dispatch.cancel(job.id)
        async with asyncio.timeout(60):
            while home.dispatch._tasks:
                await asyncio.sleep(0.005)
        assert [each.status for each in home.over] == [Status.CANCELLED]
        assert await home.balance() == 100_000
        assert not home.engine.got(wire.Draw)


async def test_a_bot_that_stops_while_a_source_is_waited_for_blames_nobody(tmp_path: Path) -> None:
    """The job is back at its turn: the next bot draws it beside others."""
    async with house(tmp_path) as home:
        source = await home.dispatch._files.keep(b"picture")
        spoil(home.dispatch._files.path(source))
        async with home.running():
            await home.engine.hello(1)
            job = await home.submit(source=source, strength=0.5)
            async with asyncio.timeout(60):
                while not home.dispatch._tasks:
                    await asyncio.sleep(0.005)
        back = await home.job(job.id)
        assert (back.status, back.suspect, back.deaths) == (Status.QUEUED, False, 0)


async def test_the_time_left_is_measured_and_remembered_across_restarts(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        job = await home.submit()
        assert not home.dispatch.eta(job.request).measured
        await home.engine.hello()
        await home.engine.say(wire.Beat(speed={"builtin": 3.0}))
        request = (await home.job(job.id)).request
        assert home.dispatch.seconds(request) == pytest.approx(3.0 * request.work)
        again = home.new()
        assert again.seconds(request) == pytest.approx(3.0 * request.work)
        alone, behind = again.eta(request), again.eta(request, await home.dispatch.position(job.id))
        assert alone.measured
        assert alone.low < 3.0 * request.work < alone.high
        assert behind.high >= alone.high


async def test_a_full_disk_holds_a_result_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", (0.01,))
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(1)
        job = await home.submit()
        (draw,) = await home.engine.wait_for(wire.Draw)
        keep, full = home.dispatch._files.keep, [True]

        async def fails(data: bytes) -> str:
            if full[0]:
                raise Refusal("disk_full")
            return await keep(data)

        with replaced(home.dispatch._files, "keep", fails):
            await home.engine.say(drawn(draw))
            await asyncio.sleep(0.1)
            assert not home.engine.got(wire.Settled)
            full[0] = False
            await home.until(job.id, Status.DONE)


async def test_results_that_cannot_be_stored_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", (0.01,))
    async with house(tmp_path, DrawingEngine(credits=1)) as home:
        keep, full = home.dispatch._files.keep, [True]

        async def fails(data: bytes) -> str:
            if full[0]:
                raise Refusal("disk_full")
            return await keep(data)

        made = [await home.submit() for _ in range(12)]
        with replaced(home.dispatch._files, "keep", fails):
            async with home.running():
                await home.engine.wait_for(wire.Draw, module.SETTLES)
                await asyncio.sleep(0.5)
                assert len(home.engine.got(wire.Draw)) <= module.SETTLES + 1
                full[0] = False
                await home.until(made[-1].id, Status.DONE)


async def test_an_engine_with_room_takes_what_the_roomiest_may_not(tmp_path: Path) -> None:
    async with house(tmp_path, FakeEngine("one"), FakeEngine("two")) as home, home.running():
        one, two = home.engines
        await one.hello(1)
        await home.submit()
        await one.wait_for(wire.Draw)
        await two.hello(2)
        await home.submit()
        await home.submit()
        await two.wait_for(wire.Draw, 2)
        suspect, other = await home.submit(), await home.submit()
        sql = "UPDATE job SET suspect = 1 WHERE id = ?"
        await home.database.write(lambda tx: tx.execute(sql, (suspect.id,)) and None)
        await one.say(wire.Ready(credits=3))  # it takes nothing beside what it draws: the suspect is next
        await two.say(wire.Ready(credits=2))
        assert [draw.job for draw in await two.wait_for(wire.Draw, 3)][2] == other.id


async def test_a_request_that_cannot_be_read_fails_alone_and_is_refunded(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        broken, fine = await home.submit(), await home.submit()
        sql = "UPDATE job SET request = json_set(request, '$.newer', 1) WHERE id = ?"
        await home.database.write(lambda tx: tx.execute(sql, (broken.id,)) and None)
        with home.dispatch.subscribe(broken.id) as events:
            await home.engine.hello(2)
            assert [draw.job for draw in await home.engine.wait_for(wire.Draw)] == [fine.id]
            assert isinstance(await events.get(), Over)
        row = await home.job(broken.id)
        assert (row.status, row.code) == (Status.FAILED, "broken")
        assert await home.balance() == 98_000


async def test_a_bug_in_settling_fails_that_job_only(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.running():
        await home.engine.hello(2)
        job, other = await home.submit(), await home.submit()
        draws = await home.engine.wait_for(wire.Draw, 2)

        async def breaks(data: bytes) -> str:
            raise ZeroDivisionError

        with replaced(home.dispatch._files, "keep", breaks):
            await home.engine.say(drawn(draws[0]))
            assert (await home.until(job.id, Status.FAILED)).code == "broken"
        await home.engine.say(drawn(draws[1]))
        await home.until(other.id, Status.DONE)


async def test_stop_lets_a_busy_engine_draw_on_and_an_idle_one_leave(tmp_path: Path) -> None:
    async with house(tmp_path, FakeEngine("busy"), FakeEngine("idle")) as home, home.running():
        await home.engine.hello(1)
        await home.submit()
        await home.engine.wait_for(wire.Draw)
        await home.dispatch.stop()
        assert [engine.stopped for engine in home.engines] == [False, True]
        await home.dispatch.stop(leave=True)
        assert home.engine.stopped is True


async def test_nothing_new_is_taken_while_the_disk_is_nearly_full_and_nothing_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(folder: Path) -> None:
        raise Refusal("disk_full", detail="3 MB")

    async with house(tmp_path) as home, home.running():
        before = await home.database.read(ledger.balance, home.account)
        monkeypatch.setattr(module, "check_room", nearly_full)
        with pytest.raises(Refusal, match="disk_full"):
            await home.submit()
        assert await home.database.read(ledger.balance, home.account) == before
        monkeypatch.undo()
        assert await home.submit()
