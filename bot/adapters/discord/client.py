"""The connection: a sharded client without privileged intents, kept alive, and the commands it declares."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import aiohttp
import discord
import yarl
from discord.backoff import ExponentialBackoff
from discord.gateway import DiscordWebSocket, ReconnectWebSocket, WebSocketClosure
from discord.http import Route
from discord.shard import EventItem, EventType, Shard

from bot.adapters.discord.declare import fingerprint
from bot.adapters.discord.rest import NoAccess, Rest
from bot.secret import Secret
from bot.talk import Later, Unsure

log = logging.getLogger(__name__)

OFFICIAL = "https://discord.com/api/v10"
AGAIN = (2.0, 5.0, 15.0, 30.0)
"""Seconds until another try to sign in, the longer the more of them in a row reached nothing."""
LONGEST = 30.0
"""Seconds at most until a broken connection to the gateway is made again: the library's pauses grow to 17
minutes, and a line that healed would be left deaf for them."""
SIGNING = 60.0
"""Seconds for signing in, and for a shard's first connection: the library would wait five minutes for one
answer on a line that is half open.
"""
SILENCE = 60.0
"""Seconds without a word from the gateway, not even a heartbeat, after which it is connected to anew."""
LONGEST_429 = 30.0
"""Seconds of a rate limit that a request waits for by itself; a longer one is for the outbox."""
REFUSED = (discord.LoginFailure, discord.PrivilegedIntentsRequired)
AWAY = (
    aiohttp.ClientError, OSError, TimeoutError, discord.HTTPException, discord.GatewayNotFound,
    discord.ConnectionClosed, discord.RateLimited, ReconnectWebSocket, WebSocketClosure,
)  # fmt: skip
NONSENSE = (ValueError, TypeError, KeyError, zlib.error)
"""What the library raises when somebody else answers in Discord's place: the page of a wireless network."""
OVER = frozenset({4003, 4007, 4009})
"""The gateway's words for a session that cannot be resumed: a new one is begun."""
NOT_YOU = 4004
"""The gateway's word for a token that is no longer good."""

Heard: TypeAlias = Callable[[discord.Interaction[Any]], Awaitable[None]]
Connect: TypeAlias = Callable[["Client", Callable[[str], None]], Awaitable[None]]
"""Keeps a client connected until it is closed; says ``discord.token`` or ``discord.away`` once."""


class Pauses(ExponentialBackoff[Literal[False]]):
    """Before each new try of a shard's connection: at random, up to 2 s, 4 s, 8 s … ``LONGEST``."""

    def delay(self) -> float:
        """Seconds, the next one."""
        return min(LONGEST, super().delay())


class Client(discord.AutoShardedClient):
    """Hears interactions and nothing else; caches servers, and neither people nor messages."""

    def __init__(
        self, token: Secret, commands: Sequence[dict[str, Any]], memo: Path, *, api_root: str = OFFICIAL,
        shards: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            intents=discord.Intents(guilds=True),
            shard_count=shards,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,
            max_ratelimit_timeout=LONGEST_429,
            heartbeat_timeout=SILENCE,
            shard_connect_timeout=SIGNING,
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self._elsewhere = point_at(api_root)
        self._shards = shards
        self.token = token
        self.heard: Heard = _nobody
        self.entered = asyncio.Event()
        """Signed in: requests can be made."""
        self._launched: set[int] = set()
        """Shards of this life whose first connection was tried."""
        self.reached = False
        """A gateway took us in this life."""
        self._trying: set[int] = set()
        """Shards that were connected to anew, and were not taken yet."""
        self._presented: dict[int, str] = {}
        """What each shard's session surely shows of the bot."""
        self._commands = commands
        self._memo = memo
        self._rest = Rest(self)

    @property
    def me(self) -> int:
        """The bot user's id."""
        return self.user.id if self.user else 0

    async def setup_hook(self) -> None:
        """Signed in, not connected yet."""
        if self._elsewhere or self._shards is None:
            count, address, _ = await self.http.get_bot_gateway()
            self.shard_count = self._shards or count
            # When it cannot resume, the library goes to Discord's own gateway by default.
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address)
        self.entered.set()
        await self.declare()

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connect it first, once a life. The library would try without end, each time inside the time before
        and with all their traces in the log: ``connect`` begins anew instead. Raises GatewayNotFound.
        """
        if shard_id in self._launched:
            raise discord.GatewayNotFound
        self._launched.add(shard_id)
        await super().launch_shard(gateway, shard_id, initial=initial)
        shard = self.shards[shard_id]._parent
        shard._backoff = Pauses()
        shard._queue_put = partial(self._next, shard, Pauses(), shard._queue_put)

    def _next(self, shard: Shard, pauses: Pauses, put: Callable[[EventItem], None], item: EventItem) -> None:
        """What is done about a connection that broke. The library would resume a session that it never had,
        without end, and try again at once, however often a gateway hangs up on it.
        """
        if item.type == EventType.resume and not _resumable(shard):
            item = EventItem(EventType.identify, shard, ReconnectWebSocket(shard.id, resume=False))
        if shard.id in self._trying and item.type in {EventType.resume, EventType.identify}:
            self.loop.call_later(pauses.delay(), put, item)
            return
        self._trying.add(shard.id)
        put(item)

    async def on_shard_connect(self, shard_id: int) -> None:
        """A gateway took it."""
        self.reached = True
        self._taken(shard_id)

    async def on_shard_resumed(self, shard_id: int) -> None:
        """A gateway took it back."""
        self._taken(shard_id)

    def _taken(self, shard_id: int) -> None:
        self._trying.discard(shard_id)
        # A new session shows nothing of the bot; what the line lost that broke, nobody knows.
        self._presented.pop(shard_id, None)

    async def present(self, text: str) -> None:
        """Show this beside the bot's name in every server: each shard is told by itself."""
        for shard_id in self.shards:
            if self._presented.get(shard_id) == text:
                continue
            try:
                await self.change_presence(activity=discord.CustomActivity(text), shard_id=shard_id)
            except (OSError, discord.DiscordException) as error:  # the others are told all the same
                log.info("not presented", extra={"action": "presence", "error": type(error).__name__})
            else:
                self._presented[shard_id] = text

    async def declare(self) -> None:
        """Declare the commands if they are not as they were declared last."""
        mark = fingerprint(self._commands, self.application_id or 0)
        if _read(self._memo) == mark:
            return
        try:
            await self._rest.declare(self._commands)
        except (Later, Unsure, NoAccess, discord.HTTPException) as error:
            log.warning("not declared", extra={"action": "declare", "error": type(error).__name__})
            return
        with suppress(OSError):
            self._memo.write_text(mark, "ascii")
        log.info("declared", extra={"action": "declare"})

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Somebody wants something."""
        await self.heard(interaction)

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """A bug of ours: one line, without what people said."""
        log.exception("broke", extra={"action": "broke", "event": event_method})

    async def anew(self) -> None:
        """As if it had never been started: also how many shards there are is asked again, and where."""
        self.clear()
        # The library makes its queue of events once, and every end leaves the word in it that ends the next
        # life too: it would look well until the gateway's first pause, after which nobody resumes.
        await self._async_setup_hook()
        self._launched.clear()
        self._trying.clear()
        self._presented.clear()
        self.reached = False
        self.entered.clear()
        self.shard_count = self._shards  # type: ignore[assignment]  # None: Discord says how many
        # Closed with its session; the library would go on with it.
        self.http.connector = discord.utils.MISSING

    async def leave(self) -> None:
        """Close what is open, also if somebody who was closing it was cancelled."""
        if self._closing_task is not None and self._closing_task.cancelled():
            self.clear()
        with suppress(AttributeError):  # never signed in: the library has no queue of its shards yet
            await self.close()


def _resumable(shard: Shard) -> bool:
    """Whether there is a session to resume."""
    return shard.ws.session_id is not None and shard.ws.socket.close_code not in OVER


async def _nobody(interaction: discord.Interaction[Any]) -> None:
    log.warning("nobody listens", extra={"action": "unheard", "event": str(interaction.id)})


def _read(memo: Path) -> str:
    try:
        return memo.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def point_at(api_root: str) -> bool:
    """Whether this root is not Discord's own: then it is talked to. The library keeps it for the process."""
    if api_root == OFFICIAL:
        return False
    Route.BASE = api_root.rstrip("/")
    return True


async def connect(client: Client, say: Callable[[str], None]) -> None:
    """Stay connected. A token that is not good ends it with one line; a lost network is tried again."""
    tries = 0
    """In a row that reached nothing."""
    while True:
        if client.user is not None:  # started before
            await _afresh(client)
        try:
            async with asyncio.timeout(SIGNING):
                await client.login(client.token.reveal())
            await client.connect()
        except REFUSED as refused:
            log.error("refused", extra={"action": "token", "error": type(refused).__name__})
            say("discord.token")
            return
        except AWAY as away:
            if isinstance(away, discord.ConnectionClosed) and away.code == NOT_YOU:
                log.error("refused", extra={"action": "token", "error": "4004"})
                say("discord.token")
                return
            log.warning("away", extra={"action": "away", "error": type(away).__name__})
            if not tries and not client.reached:
                say("discord.away")
        except NONSENSE as error:
            log.warning("nonsense", exc_info=error, extra={"action": "away", "error": type(error).__name__})
        else:
            if client.is_closed():
                return
            log.warning("ended by itself", extra={"action": "away"})
        tries = 0 if client.reached else tries + 1
        await _afresh(client)
        await asyncio.sleep(AGAIN[max(0, min(tries, len(AGAIN)) - 1)])


async def _afresh(client: Client) -> None:
    """The same client, as if it had never been started."""
    client.entered.clear()
    await client.leave()
    await client.anew()
