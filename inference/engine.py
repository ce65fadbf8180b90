"""Step-level continuous batching: admit, pick, step, finish.

One thread owns the device. Between two steps it listens: draws join, leave and are cancelled at any step,
whatever their prompts, seeds, guidance, steps and samplers. Who gets the next step is decided in ``fair.py``
and ``batch.py``; what a step computes is in ``arena.py``.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from inference import batch, device, wire
from inference.admit import Admission, Plan
from inference.arena import Arena
from inference.aside import Aside, Between, Outcome
from inference.batch import Bucket
from inference.finish import Finish, Press
from inference.known import Known
from inference.loader import Loader
from inference.models import Denoiser
from inference.replay import Record, Replayed
from inference.runs import Run, Work
from inference.schedule import Schedule
from inference.sweep import sweep

log = logging.getLogger(__name__)

Tell = Callable[[wire.ToBot], None]

TELL_EVERY, SHOW_EVERY = 0.2, 0.8
"""Seconds between two progress messages, and between two rounds of previews, of one job."""
SHOW_SHARE = 0.1
"""Previews may cost this share of the device's time."""
FRESH = 0.05
"""Weight of a new measurement in what a machine's speed is said to be."""
ADMITTING = 0.005
"""Seconds of letting people in after which the next step goes first: encoding somebody's words holds up the
others no longer, and those whose words are known come in together."""


class Engine:
    """Draws. ``tell`` gets every message for the bot, from threads of the engine's own; ``check`` says of
    finished pixels the chance that they are for adults only.

    ``known`` remembers step times between starts; with ``sweeps`` they are measured while nobody waits.
    ``aside`` makes the place for work beside the steps, out of the way back into the engine's thread;
    ``record`` makes recordings of steps, which are used where they are quicker.
    """

    def __init__(
        self,
        loader: Callable[[Callable[[str, Denoiser | None], None]], Loader],
        press: Press,
        tell: Tell,
        where: str = "cpu",
        known: Known | None = None,
        *,
        aside: Callable[[Callable[[Callable[[], None]], None]], Aside] | None = None,
        sweeps: bool = False,
        check: Callable[[torch.Tensor], torch.Tensor] | None = None,
        record: Record | None = None,
    ) -> None:
        self.device = where
        """In words."""
        self.torch = str(torch.__version__)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._tell = tell
        self._loader = loader(lambda name, model: self._inbox.put(partial(self._loaded, name, model)))
        self._admission = Admission(
            lambda work, plan: self._inbox.put(partial(self._arriving.append, (work, plan)))
        )
        self._finish = Finish(press, tell, lambda work: self._inbox.put(partial(self._over, work)))
        self._aside = aside(self._inbox.put) if aside else Between()
        self._check = check
        self._known = known or Known(None, where)
        self._record = record
        self._sweeps: deque[Iterator[None]] | None = deque() if sweeps else None
        self._arriving: deque[tuple[Work, Plan]] = deque()
        self._models: dict[str, Denoiser] = {}
        self._exact: dict[str, Denoiser] = {}
        self._waiting: dict[str, list[Work]] = {}
        self._used: dict[str, None] = {}
        """Models in the order of their last use."""
        self._crowded: dict[str, None] = {}
        """Models that did not fit beside the others."""
        self._works: dict[tuple[int, int], Work] = {}
        self._arenas: dict[tuple[str, int, int], Arena] = {}
        self._schedule = Schedule()
        self._clocks: dict[str, device.StepClock] = {}
        self._speeds: dict[str, float] = {}
        self._paces: dict[str, float] = {}
        self._spent: dict[Work, float] = {}
        self._show_cost, self._step_time, self._shown = 0.0, 0.0, 0.0
        self._busy_since: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)

    # --- for other threads

    def start(self) -> None:
        """Begin to listen; the first model of the configuration is loaded at once."""
        self._thread.start()
        for state in self._loader.states()[:1]:
            self._loader.want(state.name)

    def stop(self, timeout: float = 5.0) -> None:
        """Leave after the present step."""
        self._inbox.put(self._stop)
        self._thread.join(timeout)
        for helper in (self._loader, self._admission, self._aside, self._finish):
            helper.close()

    @property
    def dtype(self) -> str:
        """What the loaded models compute in."""
        return ", ".join(sorted({str(model.dtype).removeprefix("torch.") for model in self._models.values()}))

    @property
    def alive(self) -> bool:
        """False when the engine's thread died of an error: only a new process helps."""
        return self._thread.is_alive()

    def submit(self, draw: wire.Draw) -> None:
        """Draw this; answered by Drawn, Failed or Cancelled."""
        self._inbox.put(partial(self._submit, Work(draw)))

    def cancel(self, job: int, attempt: int) -> None:
        """Stop drawing; answered by Cancelled, within one step."""
        self._inbox.put(partial(self._cancel, (job, attempt)))

    def states(self) -> tuple[wire.ModelState, ...]:
        """The models' states."""
        return self._loader.states()

    def stalled(self) -> float:
        """Seconds that the present use of a model (encode, step, decode) has been running; 0 while idle."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def speeds(self) -> dict[str, float]:
        """Measured seconds for one unit of ``Request.work``, by model."""
        return dict(self._speeds)

    def paces(self) -> dict[str, float]:
        """Measured seconds of a call for one megapixel, by model."""
        return dict(self._paces)

    # --- the loop

    def _live(self) -> None:
        with torch.inference_mode():
            while not self._stopping:
                self._drain()
                self._welcome()
                runs = self._schedule.pick(self._candidates())
                if runs:
                    self._step(runs)
                else:
                    for clock in self._clocks.values():
                        clock.drain()
                self._decode()
                if self._sweeps and not runs and not self._arriving:
                    self._sweep(self._sweeps)
        self._known.save()

    def _drain(self) -> None:
        """Everything that was asked for since the last step; sleeps while there is nothing to do."""
        self._busy_since = None
        busy = self._finish.waiting or self._arriving or self._sweeps
        idle = not busy and not any(work.runs for work in self._works.values())
        try:
            order = self._inbox.get(block=idle)
            self._busy_since = time.monotonic()
            while True:
                order()
                order = self._inbox.get_nowait()
        except queue.Empty:
            self._busy_since = self._busy_since or time.monotonic()

    def _sweep(self, sweeps: deque[Iterator[None]]) -> None:
        """One call to get warm."""
        if next(sweeps[0], sweeps) is sweeps:
            sweeps.popleft()

    def _stop(self) -> None:
        self._stopping = True

    # --- admit

    def _submit(self, work: Work) -> None:
        self._works[work.key] = work
        name = work.draw.request.model
        state = self._loader.state(name)
        if work.draw.request.enlarge > 1:
            self._finish.enlarge(work)
        elif state.state == "broken" and name not in self._waiting:  # else what it lacks is being seen to
            self._refuse(work, state.reason, state.detail)
        elif name in self._crowded:
            self._waiting.setdefault(name, []).append(work)
        elif name in self._models:
            self._use(name)
            self._admission.plan(work, self._models[name])
        else:
            self._waiting.setdefault(name, []).append(work)
            self._loader.want(name)

    def _use(self, name: str) -> None:
        self._used.pop(name, None)
        self._used[name] = None

    def _loaded(self, name: str, model: Denoiser | None) -> None:
        state = self._loader.state(name)  # once: the loading thread may change it at any time
        crowded = state.reason == "model_too_big" and bool(self._models)
        if crowded:
            self._loader.release(name)
            self._crowded[name] = None
            self._make_room()
        self._tell(wire.Models(models=self._loader.states()))
        if model is not None:
            model = Replayed(model, self._record) if self._record else model
            self._models[name] = model
            self._use(name)
            self._clocks[name] = clock = device.StepClock(model.device)
            if self._sweeps is not None:
                self._sweeps.append(
                    sweep(self._loader.spec(name), model, clock, self._schedule.costs, self._known)
                )
        elif crowded or state.state != "broken":
            return
        for work in self._waiting.pop(name, []):
            if model is None:
                self._refuse(work, state.reason, state.detail)
            elif not work.cancelled:
                self._admission.plan(work, model)

    def _make_room(self) -> None:
        """A model did not fit beside the others: the idle one that was used longest ago leaves, and the load
        is tried again. While none is idle, whoever wants it waits."""
        busy = {work.draw.request.model for work in self._works.values()}
        idle = [name for name in self._used if name in self._models and name not in busy]
        if not self._crowded or (self._models and not idle):
            return
        for name in idle[:1]:
            model = self._models.pop(name)
            self._used.pop(name)
            self._clocks.pop(name).drain()
            self._arenas = {key: arena for key, arena in self._arenas.items() if key[0] != name}
            self._loader.release(name)
            where = model.device
            del model
            device.give_back(where)
            log.info("made room", extra={"action": "unload", "model": name})
        wanted = next(iter(self._crowded))
        del self._crowded[wanted]
        self._loader.want(wanted)

    def _refuse(self, work: Work, code: str, detail: str) -> None:
        for index in range(work.draw.request.count):
            self._finish.failed(work, index, code, detail)

    def _welcome(self) -> None:
        """Let in who has arrived: one, and more while that takes hardly any time."""
        until = time.monotonic() + ADMITTING
        while self._arriving:
            self._admit(*self._arriving.popleft())
            if time.monotonic() > until:
                return

    def _admit(self, work: Work, plan: Plan) -> None:
        """``plan`` is ready: encode its words and its source, and let its runs in."""
        if work.cancelled:
            return
        if not len(plan.table):
            self._refuse(work, plan.code, plan.detail)
            return
        for index in range(work.draw.request.count):
            with self._only(work, index, "draw_failed"):
                work.runs.append(self._run(work, plan, index))
        if not work.runs:
            return
        work.total = len(plan.table) * len(work.runs)
        self._known.recall(self._schedule.costs, work.runs[0].bucket, work.runs[0].model)
        self._spent[work] = 0.0
        self._schedule.share.join(work.draw.flow, work.draw.weight, len(work.runs))

    def _run(self, work: Work, plan: Plan, index: int, exact: bool = False) -> Run:
        request = work.draw.request
        model = self._model(request.model, exact)
        chunks = max(model.chunks(request.prompt), model.chunks(request.negative))
        cond, uncond = model.encode((request.prompt, request.negative), chunks)
        if plan.pixels is not None and plan.source is None:
            plan.source = model.encode_image(plan.pixels.unsqueeze(0))[0].float().cpu()
        height, width = request.height // model.factor, request.width // model.factor
        longer = len(plan.table) / request.steps_run  # some samplers take a step more than they are told
        guided = round(request.guided_steps.start * longer), round(request.guided_steps.stop * longer)
        if model.distilled:
            cond, guided = model.guide(cond, request.guidance), (0, 0)
        return Run(
            work=work, index=index, seed=(request.seed + index) % 2**32, model=model, table=plan.table,
            bucket=Bucket(request.model, height, width, len(cond), exact), guidance=request.guidance,
            guided=guided, cond=cond, uncond=uncond, source=plan.source, plan=plan,
        )  # fmt: skip

    def _model(self, name: str, exact: bool) -> Denoiser:
        """Model ``name``, in float32 if ``exact``; that copy lives while it is needed."""
        if not exact:
            return self._models[name]
        if name not in self._exact:
            self._exact[name] = self._models[name].cast(torch.float32)
        return self._exact[name]

    @contextmanager
    def _only(self, work: Work, index: int | None, code: str = "broken_picture") -> Iterator[None]:
        """The model is used for picture ``index`` of ``work``: if it raises, only that picture has failed
        (None: nothing has). Raises again when only a new process helps."""
        self._busy_since = time.monotonic()
        try:
            yield
        except Exception as error:
            if device.lost(error):
                raise
            log.warning("model failed", exc_info=error, extra={"action": "model", "job": work.draw.job})
            if index is not None:
                code = "out_of_memory" if device.out_of_memory(error) else code
                self._finish.failed(work, index, code, type(error).__name__)

    # --- pick

    def _candidates(self) -> list[Run]:
        """Every run that may step. A suspect runs with nothing beside it: it waits for those that began."""
        alone = [work for work in self._works.values() if work.draw.alone and work.runs]
        runs = [run for work in self._works.values() for run in work.runs]
        if not alone:
            return runs
        first = min(alone, key=lambda work: (work.draw.turn, work.key))
        begun = [run for run in runs if run.began and run.work is not first]
        return begun or first.runs

    # --- step

    def _step(self, runs: Sequence[Run]) -> None:
        """One model call, and what follows from it."""
        runs = [run for run in runs if run.began or self._begin(run)]
        if not runs:
            return
        bucket = runs[0].bucket
        model = runs[0].model
        arena = self._arena(bucket, model)
        shares = [(run.work, run.rows) for run in runs]
        rows = batch.padded(sum(own for _, own in shares))
        clock = self._clocks[bucket.model]
        clock.start()
        self._busy_since = time.monotonic()
        try:
            arena.step(model, runs, rows)
        except Exception as error:
            if device.lost(error):
                raise
            self._trouble(error, runs, rows)
            return
        clock.stop(partial(self._took, bucket, rows, shares))
        for work, own in shares:
            self._spent[work] += self._schedule.charge(work.draw.flow, bucket, own)
            work.done += 1
        for run in runs:
            if run.cursor == len(run.table):
                with self._only(run.work, run.index):
                    self._finish.add(run, arena.latent(run).clone())
                self._leave(run)
        for work in {run.work: None for run in runs}:
            self._progress(work, model, arena)

    def _begin(self, run: Run) -> bool:
        """Give ``run`` its first latent; False, and it is gone, if there is no room for it."""
        with self._only(run.work, run.index, "draw_failed"):
            self._arena(run.bucket, run.model).begin(run)
        if not run.began:
            self._leave(run)
        run.work.began = run.work.began or time.monotonic()
        return run.began

    def _took(self, bucket: Bucket, rows: int, shares: Sequence[tuple[Work, int]], seconds: float) -> None:
        """The device says how long that step took."""
        self._schedule.took(bucket, rows, seconds)
        self._step_time += seconds
        used = sum(own for _, own in shares)
        for work, own in shares:
            work.device_seconds += seconds * own / used
        pace = seconds / shares[0][0].draw.request.megapixels
        for figures, value in ((self._speeds, pace / used), (self._paces, pace)):
            known = figures.get(bucket.model, value)
            figures[bucket.model] = known + FRESH * (value - known)

    def _arena(self, bucket: Bucket, model: Denoiser) -> Arena:
        key = bucket.model, bucket.height, bucket.width
        if key not in self._arenas:
            shape = model.latent_channels, bucket.height, bucket.width
            self._arenas[key] = Arena(shape, model.device)
        return self._arenas[key]

    def _leave(self, run: Run) -> None:
        """``run`` takes no more steps."""
        run.work.runs.remove(run)
        self._schedule.share.leave(run.work.draw.flow)
        self._known.note(self._schedule.costs, run.bucket, run.model)
        if run.began:
            self._arenas[run.bucket.model, run.bucket.height, run.bucket.width].end(run)

    def _trouble(self, error: Exception, runs: Sequence[Run], rows: int) -> None:
        """A call failed and changed nothing. Out of memory: again with fewer rows. Else: find the guilty."""
        bucket = runs[0].bucket
        log.warning("step failed", exc_info=error, extra={"action": "step", "rows": rows})
        memory = device.out_of_memory(error)
        if memory:
            left = self._schedule.costs.too_big(bucket, rows)
            device.give_back(runs[0].model.device)
            log.warning("fewer rows", extra={"action": "memory", "model": bucket.model, "rows": left})
            if left >= max(run.rows for run in runs):
                return
        if not memory and len(runs) > 1:
            for run in runs:
                self._step([run])
            return
        code = "out_of_memory" if memory else "draw_failed"
        for run in runs if memory else runs[:1]:
            self._leave(run)
            self._finish.failed(run.work, run.index, code)

    # --- finish

    def _decode(self) -> None:
        """A slice of the decode lane."""
        for _ in range(self._aside.slices(self._finish.waiting)):
            if (found := self._finish.next()) is None:
                return
            run, latent = found
            self._busy_since = time.monotonic()
            self._aside.do(partial(_pixels, run.model, latent), partial(self._decoded, run))

    def _decoded(self, run: Run, outcome: Outcome) -> None:
        """Pixels; or None, and the picture broke."""
        run.work.device_seconds += outcome.seconds
        with self._only(run.work, run.index):
            if outcome.error is not None:
                raise outcome.error
            if outcome.found is not None:
                self._look(run, outcome.found)
            elif not run.work.cancelled:
                self._again(run, run.model)

    def _look(self, run: Run, pixels: torch.Tensor) -> None:
        """Let the classifier look at it, if there is one and it is asked to: beside the steps."""
        if self._check is None or not run.work.draw.check or run.work.cancelled:
            self._finish.decoded(run, pixels)
        else:
            self._aside.do(partial(self._check, pixels), partial(self._looked, run, pixels))

    def _looked(self, run: Run, pixels: torch.Tensor, outcome: Outcome) -> None:
        """What it said. A picture that could not be looked at is not shown: it has failed."""
        run.work.device_seconds += outcome.seconds
        with self._only(run.work, run.index, "draw_failed"):
            if outcome.found is None:
                raise outcome.error or RuntimeError("no verdict")
            self._finish.decoded(run, pixels, float(outcome.found))

    def _again(self, run: Run, model: Denoiser) -> None:
        """The picture broke (NaN or infinity): once more in float32, if it was not."""
        if run.bucket.exact or model.dtype == torch.float32:
            self._finish.failed(run.work, run.index, "broken_picture")
            return
        log.warning("broken, once more in float32", extra={"action": "retry", "job": run.work.draw.job})
        again = self._run(run.work, run.plan, run.index, exact=True)
        run.work.runs.append(again)
        run.work.total += len(again.table)
        self._schedule.share.join(run.work.draw.flow, run.work.draw.weight)

    def _progress(self, work: Work, model: Denoiser, arena: Arena) -> None:
        """Tell how far ``work`` is, not too often, and show it to those who watch, not too dearly."""
        now = time.monotonic()
        if now - work.told < TELL_EVERY and work.done < work.total:
            return
        work.told = now
        cheap = self._show_cost <= SHOW_SHARE * self._step_time
        if work.draw.watch and cheap and now - work.shown >= SHOW_EVERY:
            work.shown = now
            for run in work.runs:
                if run.began:
                    latent = arena.latent(run).clone().unsqueeze(0)
                    self._aside.do(partial(model.preview, latent), partial(self._previewed, run))
        self._tell(work.progress())

    def _previewed(self, run: Run, outcome: Outcome) -> None:
        self._show_cost += outcome.seconds
        with self._only(run.work, None):
            if outcome.error is not None:
                raise outcome.error
            if outcome.found is not None:
                self._finish.preview(run, outcome.found[0])

    def _over(self, work: Work) -> None:
        self._works.pop(work.key, None)
        self._make_room()
        if not any(run.bucket.exact for other in self._works.values() for run in other.runs):
            self._exact.clear()
        self._schedule.drawn(self._spent.pop(work, 0.0) / work.draw.request.count)

    def _cancel(self, key: tuple[int, int]) -> None:
        work = self._works.pop(key, None)
        if work is not None:
            work.cancelled = True
            self._spent.pop(work, None)
            for run in list(work.runs):
                self._leave(run)
            self._make_room()
        self._tell(wire.Cancelled(job=key[0], attempt=key[1]))


def _pixels(model: Denoiser, latent: torch.Tensor) -> torch.Tensor | None:
    """Pixels (h, w, 3) of a finished latent (c, h, w); None if it is not finite."""
    return model.decode(latent.unsqueeze(0))[0] if bool(torch.isfinite(latent).all()) else None
