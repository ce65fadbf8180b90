"""C24: the whole stack, simulated chat → image bytes, over the engine alone; acknowledgement under a flood.

    python -m tests.bench.c24 [--jobs 24] [--anyway]

One engine process serves both sides in turn (ABBA): A sends it the requests by its credits and counts what
comes back; B asks the same of a bot in this process over a chat in memory, to the last image shown. Then 200
jobs wait and 100 people ask, 20 a second: p99 from the ask to the first answer. Prints a JSON line a figure.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from bot.config import Config, load
from bot.home import Home
from bot.life import live
from bot.talk import Call, Place, Reply, Tone
from inference import wire
from inference.client import Client
from inference.request import Request

STEPS, WAITING, ASKS, RATE = 8, 200, 100, 20.0
BUSY = 25.0
"""Per cent of the machine that others may use before no figure is reported."""


class Lasting(Client):
    """Lets its engine live: both sides of the comparison use the same one."""

    async def stop(self, quit: bool) -> None:  # noqa: A002 - the wire's word
        await super().stop(quit=False)


class Chat:
    """A chat in memory that only keeps times."""

    name = "bench"

    def __init__(self) -> None:
        self.calls: asyncio.Queue[Call | None] = asyncio.Queue()
        self.asked: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.news = asyncio.Event()
        self._numbers = itertools.count()
        self._run = secrets.token_hex(4)

    def ask(self, text: str) -> str:
        place = f"bench:{self._run}-{next(self._numbers)}/1"
        self.asked[place] = time.perf_counter()
        self.calls.put_nowait(Call("bench:ana", place, place, text=text))
        return place

    async def listen(self) -> AsyncIterator[Call]:
        while (call := await self.calls.get()) is not None:
            yield call

    async def show(self, place: Place, reply: Reply) -> Place:
        now = time.perf_counter()
        self.answered.setdefault(place, now)
        if reply.tone is not Tone.WAITING and not reply.fleeting:
            if not reply.images:
                raise SystemExit(f"refused: {reply.text}")
            self.ended[place] = now
            self.news.set()
        return place

    async def close(self) -> None:
        self.calls.put_nowait(None)

    async def until(self, places: Sequence[str]) -> None:
        while not all(place in self.ended for place in places):
            self.news.clear()
            await self.news.wait()


def requests(count: int, config: Config) -> list[Request]:
    spec = config.models[0]
    usual = replace_request(spec.standard, steps=STEPS)
    return [replace_request(usual, prompt=f"a red fox {n}", seed=n) for n in range(count)]


def replace_request(request: Request, **fields: object) -> Request:
    import msgspec

    return msgspec.structs.replace(request, **fields)


async def alone(config: Config, wanted: Sequence[Request]) -> float:
    """Seconds the engine takes for these when nothing but its socket stands in front of it."""
    client = Lasting("engine", config.data_dir, config.models, device=config.device)
    todo = list(enumerate(wanted, 1))
    done, began = 0, 0.0
    finished = asyncio.Event()

    async def give(count: int) -> None:
        nonlocal began
        for _ in range(min(count, len(todo))):
            began = began or time.perf_counter()
            number, request = todo.pop(0)
            await client.send(wire.Draw(job=10**6 + number, attempt=1, request=request))

    async def handle(message: wire.FromEngine) -> None:
        nonlocal done
        if isinstance(message, wire.Ready):
            await give(message.credits)
        if isinstance(message, wire.Drawn):
            done += 1
            await client.send(wire.Settled(job=message.job, attempt=message.attempt))
            if done == len(wanted):
                finished.set()

    task = asyncio.create_task(client.run(handle))
    await finished.wait()
    seconds = time.perf_counter() - began
    await client.stop(quit=False)
    await task
    return seconds


@asynccontextmanager
async def bot(config: Config) -> AsyncIterator[Chat]:
    chat = Chat()

    def engines(config: Config, home: Home) -> Sequence[Client]:
        return [Lasting("engine", home.data, config.models, device=config.device)]

    async with live(config, lambda app, home: [chat], engines) as life:
        while life.app.dispatch.warming("builtin"):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        yield chat


async def stack(config: Config, wanted: Sequence[Request]) -> float:
    """Seconds from the first ask to the last image, through everything."""
    async with bot(config) as chat:
        began = time.perf_counter()
        places = [chat.ask(said(each)) for each in wanted]
        await chat.until(places)
        return time.perf_counter() - began


def said(request: Request) -> str:
    return f"/imagine {request.prompt} --n {request.count} --steps {request.steps} --seed {request.seed}"


async def flood(config: Config) -> list[float]:
    """Seconds from an ask to its first answer while ``WAITING`` jobs wait."""
    async with bot(config) as chat:
        flooding = [chat.ask(f"/imagine flood {n} --n 1 --steps {STEPS}") for n in range(WAITING)]
        while not all(place in chat.answered for place in flooding):
            await asyncio.sleep(0.01)
        asked = []
        for n in range(ASKS):
            asked.append(chat.ask(f"/imagine ask {n} --n 1 --steps {STEPS}"))
            await asyncio.sleep(1 / RATE)
        while not all(place in chat.answered for place in asked):
            await asyncio.sleep(0.01)
        return sorted(chat.answered[place] - chat.asked[place] for place in asked)


def busy() -> float:
    """Per cent of the machine that others use, over two seconds."""
    return float(psutil.cpu_percent(interval=2.0))


async def main(jobs: int, anyway: bool) -> int:
    others = busy()
    if others > BUSY and not anyway:
        print(f"the machine is busy ({others:.0f} %): no figure", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="c24-") as folder:
        config = replace(
            load(None, {}),
            data_dir=Path(folder) / "data",
            queue_limit=1_000,
            daily_credits=100_000,
            safety="off",
        )
        config.data_dir.mkdir()
        wanted = requests(jobs, config)
        await alone(config, wanted[:4])
        times: dict[str, list[float]] = {"alone": [], "stack": []}
        for side in ("alone", "stack", "stack", "alone"):
            times[side].append(await (alone if side == "alone" else stack)(config, wanted))
        waits = await flood(config)
        closing = Client("engine", config.data_dir, config.models)
        closer = asyncio.create_task(closing.run(_nothing))
        await asyncio.sleep(0.5)
        await closing.stop(quit=True)
        await closer
    ratio = statistics.mean(times["alone"]) / statistics.mean(times["stack"])
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    seconds = {side: [round(each, 2) for each in found] for side, found in times.items()}
    figure("throughput", round(ratio, 4), 0.97, jobs=jobs, seconds=seconds, others_percent=others)
    median = round(1_000 * statistics.median(waits), 1)
    figure("acknowledgement_p99_ms", round(1_000 * p99, 1), 100, median_ms=median, waiting=WAITING)
    return 0


def figure(name: str, value: float, gate: float, **facts: object) -> None:
    print(json.dumps({"bench": "C24", "figure": name, "value": value, "gate": gate, **facts}), flush=True)


async def _nothing(message: wire.FromEngine) -> None:
    return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--anyway", action="store_true", help="report although the machine is busy")
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.jobs, chosen.anyway)))
