"""The real client over real sockets: sign-in, gateway, resume, a bad token, deliveries under faults."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from discord.backoff import ExponentialBackoff
from discord.gateway import ReconnectWebSocket, WebSocketClosure
from discord.utils import MISSING

from bot import converse, outbox
from bot.adapters.discord import client
from bot.adapters.discord.adapter import Discord
from bot.adapters.discord.deliver import Delivery
from bot.adapters.discord.house import Load
from bot.adapters.discord.place import Address
from bot.adapters.discord.rest import Rest
from bot.commands.finished import finished
from bot.config import Discord as Section
from bot.desk import Desk
from bot.secret import Secret
from inference.request import Request
from storage import accounts
from storage.jobs import NewJob
from tests.bot.adapters.discord import house as lives
from tests.bot.adapters.discord.house import official
from tests.fakes.discord import TOKEN, Drop, Interaction, Message, Shard, Wire, refuse, wire
from tests.fakes.engine import DrawingEngine, FakeEngine
from tests.fakes.proxy import DISCORD, Fault, Proxy
from tests.fakes.room import CONFIG, Room, room


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    with official():
        yield


@asynccontextmanager
async def bot(
    server: Wire,
    folder: Path,
    said: list[str],
    *,
    token: str = TOKEN,
    engine: FakeEngine | None = None,
    root: str = "",
) -> AsyncIterator[tuple[Room, Discord]]:
    """A bot that talks to ``server``."""
    config = replace(CONFIG, queue_limit=1_000, daily_credits=100_000)
    async with room(folder, engine=engine or DrawingEngine(credits=16), config=config) as house:
        section = Section(api_root=root or server.root, token=Secret(token))
        adapter = Discord.enter(Desk(house.app), section, folder, house.app.clock, said.append)
        house.app.dispatch.on_over = lambda _: house.app.outbox.wake()
        parts = (
            converse.serve(adapter, house.app),
            house.app.outbox.run({adapter.name: adapter}, partial(finished, app=house.app)),
        )
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield house, adapter
        finally:
            await adapter.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def until(wanted: Callable[[], Any], seconds: float = 60.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := wanted()):
            await asyncio.sleep(0.01)
    return found


async def test_it_signs_in_declares_answers_delivers_and_resumes(tmp_path: Path) -> None:
    said: list[str] = []
    async with wire() as server, bot(server, tmp_path, said) as (_, adapter):
        await until(adapter.client.is_ready)
        assert next(each["name"] for each in server.commands) == "imagine"
        first = await server.slash("imagine", prompt="a red fox", n=4)
        await until(lambda: first.message and server.messages[first.message].files)
        message = server.messages[first.message]
        assert "`a red fox`" in message.text
        assert list(message.files) == ["falopitas-1.png"]
        await until(lambda: server.presence)
        await server.hang_up()
        await until(lambda: server.sessions == ["identify", "resume"])
        second = await server.slash("quota")
        await until(lambda: second.message and "Your credits" in server.messages[second.message].text)
        assert server.violations == []
        assert said == []


async def test_what_happened_while_the_line_was_down_is_answered_after_the_resume(tmp_path: Path) -> None:
    async with wire() as server, bot(server, tmp_path, []) as (_, adapter):
        await until(adapter.client.is_ready)
        await server.hang_up()
        asked = await server.slash("quota")
        await until(lambda: asked.message and "Your credits" in server.messages[asked.message].text)


async def test_a_token_that_is_not_good_is_one_line_and_nothing_else_stops(tmp_path: Path) -> None:
    said: list[str] = []
    async with wire() as server, bot(server, tmp_path, said, token="wrong") as (house, adapter):
        await until(lambda: said)
        assert len(said) == 1
        assert "DISCORD_TOKEN" in said[0]
        replies = await house.ask("a red fox")
        assert replies[0].job, "others are served"
        await asyncio.sleep(0.2)
        assert len(server.asked) == 1, "it is not tried again"
        assert not adapter.client.is_ready()


async def test_it_leaves_within_its_bound_and_says_nothing(tmp_path: Path) -> None:
    async with wire() as server, bot(server, tmp_path, []) as (_, adapter):
        await until(adapter.client.is_ready)
        before = len(server.messages)
        async with asyncio.timeout(30):
            await adapter.close()
        assert len(server.messages) == before


async def test_it_leaves_while_it_is_connecting_anew(tmp_path: Path) -> None:
    """The library takes no cancellation then: its connection is closed under it."""
    async with wire() as server, bot(server, tmp_path, []) as (_, adapter):
        await until(adapter.client.is_ready)
        server.mute = True
        await server.hang_up()
        await until(lambda: server.sessions == ["identify", "mute"])
        session = getattr(adapter.client.http, "_HTTPClient__session")  # noqa: B009 - a private name
        await adapter.close()
        assert session.closed
        assert all(part.done() for part in adapter._parts)
        server.mute = False


async def test_a_discord_that_cannot_be_reached_is_one_line_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "AGAIN", (0.05, 0.1))
    said: list[str] = []
    down = True

    def fault(method: str, path: str) -> None:
        if down:
            raise Drop(done=False)

    async with wire(fault=fault) as server, bot(server, tmp_path, said) as (_, adapter):
        await until(lambda: len(server.asked) > 2)
        down = False
        await until(adapter.client.is_ready)
        assert len(said) == 1
        asked = await server.slash("quota")
        await until(lambda: asked.message)


async def _keeps_its_queue(self: client.Client) -> None:
    """Known to be bad: the library's queue of events, with the word that ended its life before."""
    self.clear()
    self.entered.clear()
    self._launched.clear()
    self.http.connector = MISSING


@pytest.mark.parametrize("control", [False, True], ids=["anew", "control"])
async def test_who_signed_in_at_the_second_try_outlives_the_gateway_s_pauses(
    control: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "AGAIN", (0.05, 0.1))
    if control:
        monkeypatch.setattr(client.Client, "anew", _keeps_its_queue)
    down = True

    def fault(method: str, path: str) -> None:
        if down:
            raise Drop(done=False)

    async with wire(fault=fault) as server, bot(server, tmp_path, []) as _:
        await until(lambda: len(server.asked) > 2)
        down = False
        await until(lambda: server.sessions)
        if control:
            await until(lambda: server.sessions.count("identify") > 1)  # though nothing ended it
            return
        await server.hang_up()
        await until(lambda: server.sessions == ["identify", "resume"])
        await server.hang_up()
        await until(lambda: server.sessions == ["identify", "resume", "resume"])
        asked = await server.slash("quota")
        await until(lambda: asked.message)


@pytest.mark.parametrize("at", ["/users/@me", "/gateway/bot"])
async def test_a_sign_in_that_hangs_is_given_up_and_begun_anew(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an open line: nothing comes, nothing ends."""
    monkeypatch.setattr(client, "SIGNING", 2.0)
    monkeypatch.setattr(client, "AGAIN", (0.05,))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(wire())
        hangs = {Fault.HANG: 1.0}
        line = await stack.enter_async_context(Proxy(f"http://127.0.0.1:{server.port}", DISCORD, hangs))
        line.only, line.bad, server.front = re.compile(at), True, line.root
        lives = bot(server, tmp_path, [], root=f"{line.root}/api/v10")
        _, adapter = await stack.enter_async_context(lives)
        await until(lambda: line.fired)
        line.heal()
        await until(adapter.client.is_ready)


async def _at_once(self: client.Client, shard_id: int | None, *, initial: bool = False) -> None:
    """Without the library's five seconds before a second sign-in."""


def _next_as_the_library(self: client.Client, shard: Any, pauses: Any, put: Any, item: Any) -> None:
    """Known to be bad."""
    put(item)


@pytest.mark.parametrize("control", [False, True], ids=["ours", "control"])
async def test_a_session_that_never_began_is_not_resumed(
    control: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line breaks between the sign-in and its answer. Control: the library resumes nothing for ever."""
    monkeypatch.setattr(client.Pauses, "delay", lambda self: 0.05)
    monkeypatch.setattr(client.Client, "before_identify_hook", _at_once)
    if control:
        monkeypatch.setattr(client.Client, "_next", _next_as_the_library)
    async with wire(refused=[1_011]) as server, bot(server, tmp_path, []) as (_, adapter):
        if control:
            await until(lambda: len(server.violations) > 20)
            assert not adapter.client.is_ready()
            return
        await until(adapter.client.is_ready)
        assert server.sessions == ["refused 2", "identify"]
        assert server.violations == []
        asked = await server.slash("quota")
        await until(lambda: asked.message)


@pytest.mark.parametrize("code", [4_003, 4_007, 4_009])
async def test_a_session_that_is_over_is_begun_anew(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.Client, "before_identify_hook", _at_once)
    async with wire() as server, bot(server, tmp_path, []) as (_, adapter):
        await until(adapter.client.is_ready)
        await server.hang_up(code)
        await until(lambda: server.sessions == ["identify", "identify"])
        asked = await server.slash("quota")
        await until(lambda: asked.message)


@pytest.mark.parametrize("control", [False, True], ids=["paced", "control"])
async def test_a_gateway_that_hangs_up_again_and_again_is_not_stormed(
    control: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume that fails is tried again after a pause. Control: the library tries at once, without end."""
    paused: list[float] = []

    def delay(self: client.Pauses) -> float:
        paused.append(0.02)
        return 0.02

    monkeypatch.setattr(client.Pauses, "delay", delay)
    if control:
        monkeypatch.setattr(client.Client, "_next", _next_as_the_library)
    async with wire() as server, bot(server, tmp_path, []) as (_, adapter):
        await until(adapter.client.is_ready)
        server.refused = [4_000] * 5
        await server.hang_up()
        await until(lambda: server.sessions == ["identify", *["refused 6"] * 5, "resume"])
        assert len(paused) == (0 if control else 5)
        await server.hang_up()
        await until(lambda: server.sessions[-2:] == ["resume", "resume"])
        assert len(paused) == (0 if control else 5), "who was taken back is tried at once again"


async def test_who_was_connected_does_not_wait_long_for_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it broke in its life: only tries that reach nothing make the pauses longer."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(client, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    ends = ["broken", "broken", "reached", "reached", "reached", "broken", "broken", "closed"]

    async def connected(self: client.Client) -> None:
        if (end := ends.pop(0)) == "closed":
            await self.close()
            return
        if end == "reached":
            await self.on_shard_connect(0)
        raise OSError

    async def signed_in(self: Any, token: str) -> None:
        await self._async_setup_hook()

    monkeypatch.setattr(client.Client, "login", signed_in)
    monkeypatch.setattr(client.Client, "connect", connected)
    said: list[str] = []
    await client.connect(client.Client(Secret(TOKEN), [], tmp_path / "memo"), said.append)
    first, second = client.AGAIN[:2]
    assert pauses == [first, second, first, first, first, first, second]
    assert said == ["discord.away", "discord.away"], "once an outage"


async def test_a_gateway_that_comes_back_is_not_left_alone_for_long(tmp_path: Path) -> None:
    """However often it was tried in vain. The library's own pauses grow to 17 minutes."""
    async with wire() as server, bot(server, tmp_path, []) as (_, adapter):
        await until(adapter.client.is_ready)
        pauses = adapter.client.shards[0]._parent._backoff
        own = ExponentialBackoff()
        assert max(pauses.delay() for _ in range(100)) <= client.LONGEST
        assert max(own.delay() for _ in range(100)) > client.LONGEST, "the control"


async def test_a_gateway_that_is_not_there_at_first_is_found_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address is asked anew, and the tries do not pile up one inside the other."""
    monkeypatch.setattr(client, "AGAIN", (0.05,))
    said: list[str] = []
    async with wire() as server:
        server.front = "http://127.0.0.1:1"
        async with bot(server, tmp_path, said) as (_, adapter):
            await until(lambda: said)
            server.front = ""
            await until(adapter.client.is_ready)
            asked = await server.slash("quota")
            await until(lambda: asked.message)


@pytest.mark.parametrize(
    "broken", [ReconnectWebSocket(0), WebSocketClosure(), ValueError("no JSON"), OSError(), None], ids=repr
)
async def test_whatever_ends_a_connection_it_is_made_again(
    broken: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that is silent while it is connected to anew ends the library's own attempts."""
    monkeypatch.setattr(client, "AGAIN", (0.0,))
    ends = [broken, broken, "closed"]

    async def connected(self: Any) -> None:
        if isinstance(end := ends.pop(0), Exception):
            raise end
        if end:
            await self.close()

    async def signed_in(self: Any, token: str) -> None:
        await self._async_setup_hook()  # as the real one begins

    monkeypatch.setattr(client.Client, "login", signed_in)
    monkeypatch.setattr(client.Client, "connect", connected)
    await client.connect(client.Client(Secret(TOKEN), [], tmp_path / "memo"), lambda key: None)
    assert ends == []


# --- more than one shard

EAST, WEST = 7_002 << 22, 7_003 << 22
"""A server on each of two shards."""


def both(server: Wire) -> tuple[Shard, Shard]:
    """Two shards, a server on each."""
    server.shards = [Shard(0), Shard(1)]
    server.guilds = {EAST: "east", WEST: "west"}
    return server.of(EAST), server.of(WEST)


async def test_one_shard_drops_and_resumes_while_the_other_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers on both are answered, what was missed behind the gap too; the commands are declared once."""
    monkeypatch.setattr(client.Client, "before_identify_hook", _at_once)
    async with wire() as server:
        _, west = both(server)
        async with bot(server, tmp_path, []) as (_, adapter):
            adapter.client._connection.guild_ready_timeout = 0.1
            await until(adapter.client.is_ready)
            assert sorted(server.sessions) == ["identify 0", "identify 1"]
            assert {each.name: each.shard_id for each in adapter.client.guilds} == {"east": 0, "west": 1}

            async def answered(asked: Interaction) -> Message:
                await until(lambda: asked.message and server.messages[asked.message].text)
                return server.messages[asked.message]

            for guild, channel in ((EAST, 8_001), (WEST, 8_002)):
                message = await answered(await server.slash("imagine", channel, guild=guild, prompt="a fox"))
                await until(lambda: message.files)  # noqa: B023 - waited for within its round
            server.mute = True
            await server.hang_up(shard=west)
            await until(lambda: server.sessions[-1] == "mute")
            missed = await server.slash("quota", 8_002, 7_005, guild=WEST)
            meanwhile = await server.slash("quota", 8_001, guild=EAST)
            assert "Your credits" in (await answered(meanwhile)).text
            assert not missed.message, "the other one is away still"
            server.mute = False
            assert "Your credits" in (await answered(missed)).text
            assert server.sessions[2:] == ["mute", "resume 1"]
            assert sum("/commands" in path for _, path in server.asked) == 1
            assert server.violations == []


def _believes(self: client.Client, shard_id: int) -> None:
    """Known to be bad: a new session is thought to show of the bot what the old one showed."""
    self._trying.discard(shard_id)


@pytest.mark.parametrize("control", [False, True], ids=["told", "control"])
async def test_every_shard_says_how_busy_the_house_is_also_in_a_new_session(
    control: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that could not be resumed shows nothing of the bot until it is told."""
    monkeypatch.setattr(client.Client, "before_identify_hook", _at_once)
    monkeypatch.setattr("bot.adapters.discord.adapter.PRESENCE", 0.05)
    looks: list[None] = []
    load = Desk.load

    async def looked(self: Desk) -> Load:
        looks.append(None)
        return await load(self)

    monkeypatch.setattr(Desk, "load", looked)
    if control:
        monkeypatch.setattr(client.Client, "_taken", _believes)
    async with wire() as server:
        east, west = both(server)
        async with bot(server, tmp_path, []) as (_, adapter):
            adapter.client._connection.guild_ready_timeout = 0.1
            idle = await until(lambda: east.presence and east.presence == west.presence and east.presence)
            assert idle
            await server.hang_up(4_009, west)
            await until(lambda: len(server.sessions) == 3)
            assert server.sessions[-1] == "identify 1"
            looks.clear()
            await until(lambda: len(looks) > 2 if control else west.presence)
            assert west.presence == ("" if control else idle)
            assert east.presence == idle


# --- R6: deliveries under faults


async def deliver(server: Wire, house: Room, count: int, seed: int) -> None:
    """So many finished jobs, each in a channel of its own, every third with a token that is old."""
    order = random.Random(seed)
    for number in range(count):
        asked = server.interaction(20_000 + number, 5, age=16 * 60 if order.random() < 0.4 else 0.0)
        await draw(house, Address(asked.channel, 5, asked.message, asked.id, asked.token), seed=number)


async def draw(house: Room, address: Address, seed: int) -> None:
    """A job whose pictures go there."""

    def meet(tx: Any) -> int:
        return accounts.meet(tx, "discord:5", "en", 0.0, grant=10**9).id

    account = await house.app.database.write(meet)
    request = Request(prompt="x", width=64, height=64, steps=1, count=1, seed=seed)
    await house.app.dispatch.submit(NewJob(account, f"k{seed}", request, 1, 0.1, address.place, "en"))


def faulty(seed: int, share: float) -> Callable[[str, str], None]:
    """Lost before, lost after, 429, 5xx: each of them this often."""
    order = random.Random(seed)

    def fault(method: str, path: str) -> None:
        if "/messages" not in path or method == "DELETE":
            return
        dice = order.random()
        if dice < share:
            raise Drop(done=False)
        if dice < 2 * share:
            raise Drop(done=True)
        if dice < 2.5 * share:
            refuse(429, retry_after=0.05)
        if dice < 3 * share:
            refuse(503)

    return fault


async def finals(server: Wire, count: int) -> list[int]:
    """How many messages show the pictures of each job."""

    def shown() -> list[int]:
        found = [0] * count
        for message in server.messages.values():
            jobs = {each.split(":")[2] for each in message.custom_ids if each.split(":")[1] == "details"}
            for job in jobs:
                found[int(job) - 1] += bool(message.files)
        return found

    await until(lambda: all(shown()), 60 + count)
    return shown()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "backoff", lambda tries: 0.05)
    monkeypatch.setattr("bot.adapters.discord.rest.PAUSE", 0.05)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "count", [24, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
async def test_r6_every_delivery_arrives_once_whatever_gets_lost(tmp_path: Path, count: int) -> None:
    async with wire() as server, bot(server, tmp_path, []) as (house, adapter):
        await until(adapter.client.is_ready)
        server.fault = faulty(1, 0.06)
        await deliver(server, house, count, 2)
        assert await finals(server, count) == [1] * count
        assert all(len(each.files) <= 1 for each in server.messages.values())
        assert server.violations == []


@pytest.mark.usefixtures("soon")
async def test_the_message_that_waited_is_taken_away_though_that_fails_at_first(tmp_path: Path) -> None:
    """Its token is old, the picture is posted; else it would say for ever that something is on its way."""
    said: list[str] = []

    def fault(method: str, path: str) -> None:
        said.append(method)
        if method == "DELETE" and said.count("DELETE") <= 3:  # the library repeats it once by itself
            raise Drop(done=False)

    async with wire() as server, bot(server, tmp_path, []) as (house, adapter):
        await until(adapter.client.is_ready)
        server.fault = fault
        await deliver(server, house, 1, seed=1)
        await until(lambda: [bool(each.files) for each in server.messages.values()] == [True])
        assert said.count("DELETE") > 3


@pytest.mark.usefixtures("soon")
async def test_an_edit_that_came_about_unheard_before_its_token_grew_old_is_found(tmp_path: Path) -> None:
    """The picture is there: it is not posted again."""
    said: list[str] = []

    def fault(method: str, path: str) -> None:
        said.append(method)
        if method == "PATCH" and said.count("PATCH") == 1:
            raise Drop(done=True)
        for asked in server.interactions.values():
            asked.expired = "PATCH" in said

    async with wire() as server, bot(server, tmp_path, []) as (house, adapter):
        await until(adapter.client.is_ready)
        server.fault = fault
        await deliver(server, house, 1, seed=2)
        await until(lambda: house.app.outbox._messages and house.app.outbox._messages[1].over)
        assert "POST" not in said
        (message,) = server.messages.values()
        assert message.files


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("control", [False, True], ids=["patient", "control"])
async def test_a_first_answer_that_a_killed_life_had_sent_is_waited_for(
    control: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on its way while the next life looks for it. Control: who does not wait shows it twice."""
    monkeypatch.setattr("bot.adapters.discord.deliver.FIRST", 0.0 if control else 8.0)
    async with wire() as server, bot(server, tmp_path, []) as (house, adapter):
        await until(adapter.client.is_ready)
        asked = server.interaction(20_000, 5, answered=False)
        await draw(house, Address(asked.channel, 5, 0, asked.id, asked.token), seed=1)
        await until(lambda: any(method == "PATCH" for method, _ in server.asked))
        server._answer(asked, {}, {"falopitas-1.png": b""}, private=False)
        await until(lambda: house.app.outbox._messages and house.app.outbox._messages[1].over)
        assert sum(bool(each.files) for each in server.messages.values()) == (2 if control else 1)


@pytest.mark.parametrize("control", [False, True], ids=["repaired", "control"])
async def test_an_edit_that_a_killed_life_left_on_the_line_does_not_stay_over_the_picture(
    control: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes about after the next life has shown the picture. Control: there it would stand for ever."""
    monkeypatch.setattr("bot.adapters.discord.adapter.ECHO", 0.0 if control else 0.1)
    late: list[dict[str, Any]] = []
    change = Wire._change

    def changed(self: Wire, method: str, number: int, body: Any, files: dict[str, bytes]) -> tuple[int, Any]:
        answer = change(self, method, number, body, files)
        if files and late:
            change(self, method, number, late.pop(), {})
        return answer

    monkeypatch.setattr(Wire, "_change", changed)
    async with lives.house(tmp_path) as here:
        async with here.bot(FakeEngine()):
            assert here.adapter
            await until(here.adapter.client.is_ready)
            asked = await here.wire.slash("imagine", prompt="a red fox", n=1)
            await until(lambda: asked.message and "Got it" in here.wire.messages[asked.message].text)
        message = here.wire.messages[asked.message]
        late.append({**message.body, "attachments": []})
        async with here.bot() as app:
            await until(lambda: not late)
            async with asyncio.timeout(60):
                while await app.database.read(_owed):
                    await asyncio.sleep(0.01)
        assert bool(message.files) is not control
        assert len(here.wire.messages) == 1


def _owed(tx: Any) -> int:
    (owed,) = tx.execute("SELECT count(*) FROM outbox WHERE over IS NULL").fetchone()
    return int(owed)


@pytest.mark.usefixtures("soon")
async def test_r6_control_without_nonce_and_search_some_arrive_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = Rest.post

    async def nothing(self: Delivery, channel: int, message: Any) -> int:
        return 0

    async def careless(self: Rest, channel: int, message: Any, nonce: str) -> int:
        return await posted(self, channel, message, f"{random.random()}"[:25])

    monkeypatch.setattr(Delivery, "_found", nothing)
    monkeypatch.setattr(Rest, "post", careless)
    count = 16
    for seed in range(1, 6):
        async with wire() as server, bot(server, tmp_path / f"{seed}", []) as (house, adapter):
            await until(adapter.client.is_ready)
            server.fault = faulty(seed, 0.25)
            await deliver(server, house, count, 2)
            if max(await finals(server, count)) > 1:
                return
    pytest.fail("it never came twice")
