"""Listen, answer, show: one loop for every chat; errors become sentences here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, cast

import msgspec

from bot import commands
from bot.app import App
from bot.commands.drawing import watch
from bot.commands.missed import missed
from bot.commands.mod.cases import Appeal
from bot.commands.wrong import named_at_once
from bot.sent import MAX_BYTES
from bot.talk import (
    Adapter,
    Ask,
    Attachment,
    Button,
    Call,
    Fetch,
    Fetches,
    Gone,
    Later,
    Place,
    Reply,
    Tone,
    Unsure,
)
from bot.texts import say, why_not
from storage import accounts, inbox, jobs, outbox, policy
from storage.database import Connection
from storage.jobs import Job
from storage.refusal import Refusal

log = logging.getLogger(__name__)

FRESH = 120.0
"""Seconds: an ask that a crash left unanswered is answered if it is younger, else apologised for."""
TRIES = 4
"""Times a reply that a chat puts off is tried: an answer is worth a wait, not a queue."""
PLAINLY = "imagine"
"""The command of plain text."""
_TYPED = frozenset(command.ask for command in commands.COMMANDS + commands.MODERATION)


class _Letter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A Call as the inbox keeps it until it is answered."""

    who: str
    text: str = ""
    button: str = ""
    typed: str | None = None
    language: str = "en"
    name: str = ""
    community: str = ""
    channel: str = ""
    roles: tuple[str, ...] = ()
    entitled: bool = False
    adult: bool = False
    about: str = ""
    titles: tuple[tuple[str, str], ...] = ()
    picture: Attachment | None = None


_SCENE = ("community", "channel", "roles", "entitled", "adult", "about", "titles")
"""Where a call was made and by whom: what a letter says just as its call does."""


def write(call: Call) -> bytes:
    """A call as bytes for the inbox."""
    letter = _Letter(call.who, call.text, language=call.language, name=call.name, picture=call.picture)
    letter = msgspec.structs.replace(letter, **{each: getattr(call, each) for each in _SCENE})
    if call.ask is not None:
        letter = msgspec.structs.replace(letter, **_spelled(call.ask))
    return msgspec.msgpack.encode(letter)


def _spelled(ask: Ask) -> dict[str, str]:
    if type(ask) in _TYPED:
        return {"text": commands.line(ask)}
    field = commands.form_field(ask)
    if not field or not getattr(ask, field):
        return {"button": commands.pack(ask)}
    bare = replace(cast("Any", ask), **{field: ""})
    return {"button": commands.pack(bare), "typed": getattr(ask, field)}


def reread(event: inbox.Event) -> Call:
    """The call that the inbox kept. Raises Refusal if a newer or older program cannot read its button."""
    letter = msgspec.msgpack.decode(event.payload, type=_Letter)
    ask = commands.unpack(letter.button, letter.typed) if letter.button else None
    call = Call(
        letter.who, event.place, event.event, ask, letter.text, letter.language, letter.name, letter.picture
    )
    return replace(call, **{each: getattr(letter, each) for each in _SCENE})


class _Conversations:
    """The answers in flight. One that breaks in spite of everything ends alone, and is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()):
            log.error("broke", exc_info=bug, extra={"action": "broke"})

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()


async def serve(adapter: Adapter, app: App) -> None:
    """Answer every call of one chat until it is closed.

    When ``listen`` is asked for its next call, the one before is durably in the inbox: only then may an
    adapter confirm it to its platform.
    """
    conversations = _Conversations()
    try:
        for event in await app.database.read(inbox.pending):
            if event.platform == adapter.name:
                conversations.begin(_resume(adapter, app, event))
        for job in await app.database.read(jobs.untold, adapter.name):
            conversations.begin(_tell(adapter, app, job))
        async for call in adapter.listen():
            conversations.begin(await _first(adapter, app, call))
    finally:
        conversations.end()


async def _first(adapter: Adapter, app: App, call: Call) -> Coroutine[Any, Any, None]:
    """Into the inbox, durably; then what is to be done about it."""
    row = (adapter.name, call.event, call.place, write(call), app.clock())
    try:
        new = await app.database.write(inbox.accept, *row, durable=True)
    except Refusal as refusal:
        return _Thread(adapter, app, call.place).last(refused(call.language, refusal))
    return answer(adapter, app, call) if new else _seen(call)


async def _seen(call: Call) -> None:
    log.info("seen before", extra={"action": "seen", "event": call.event})


async def _resume(adapter: Adapter, app: App, event: inbox.Event) -> None:
    """What a crash left over: answered if it is fresh, else an apology with a button."""
    try:
        call = reread(event)
    except (Refusal, msgspec.DecodeError):
        log.warning("unreadable event", extra={"action": "unreadable", "event": event.event})
        return await _done(app, adapter.name, event.event)
    if app.clock() - event.at <= FRESH:
        return await answer(adapter, app, call)
    await _Thread(adapter, app, call.place).last(_apology(call))
    return await _done(app, adapter.name, event.event)


async def _tell(adapter: Adapter, app: App, job: Job) -> None:
    """A crash came between the charge and the first answer: say now where the job stands."""
    thread = _Thread(adapter, app, job.place)
    account = await app.database.read(accounts.get, job.account)
    async with aclosing(cast("AsyncGenerator[Reply]", watch(job, account, job.language, app))) as replies:
        async for reply in replies:
            await thread.last(reply)


def _apology(call: Call) -> Reply:
    text = "\n".join(say(call.language, key) for key in ("restarted.text", "restarted.next"))
    if call.picture is not None:  # a button cannot carry it
        return Reply(text)
    try:
        ask = call.ask if call.ask is not None else commands.read(call.text, PLAINLY, call.about)
    except Refusal:
        return Reply(text)
    return Reply(text, buttons=((Button(say(call.language, "again.label"), ask),),))


async def answer(adapter: Adapter, app: App, call: Call) -> None:
    """Answer one call, whatever happens: every reply of its command, or a sentence why not."""
    thread = _Thread(adapter, app, call.place)
    try:
        call = replace(call, language=await app.database.read(_language, call), fetch=_fetch(adapter, call))
        try:
            await _replies(app, call, thread)
        except Refusal as refusal:
            await thread.last(refused(call.language, refusal))
    except (Gone, Later, Unsure):  # what was ordered is delivered all the same, if only to the gallery
        log.info("not shown", extra={"action": "unshown", "job": thread.job, "event": call.event})
    except Exception:  # the one place where a bug becomes a sentence
        ref = secrets.token_hex(2)
        log.exception("broke", extra={"action": "broke", "ref": ref, "job": thread.job, "event": call.event})
        try:
            await thread.last(broke(call.language, ref))
        except Exception:  # nor can that be said: it is over all the same, or nobody would ever answer it
            log.exception("broke", extra={"action": "broke", "ref": ref, "event": call.event})
    await _done(app, adapter.name, call.event)
    await _remind(adapter, app, call)


async def _remind(adapter: Adapter, app: App, call: Call) -> None:
    """Tell who came back what they missed, where the chat has room beside the answer (``adapter.beside``)."""
    beside = getattr(adapter, "beside", None)
    try:
        found = await missed(call, app) if beside else None
        if beside and found:
            await app.outbox.show(adapter, beside(call.place), found[0])
            await app.database.write(outbox.told, found[1])
    except (Gone, Later, Unsure, Refusal):  # another time
        log.info("not reminded", extra={"action": "unshown", "event": call.event})


async def _replies(app: App, call: Call, thread: _Thread) -> None:
    with named_at_once(app):
        ask = call.ask if call.ask is not None else commands.read(call.text, PLAINLY, call.about)
    replies = cast("AsyncGenerator[Reply]", commands.answer(ask, call, app))
    async with aclosing(replies):
        async for reply in replies:
            await thread.show(reply)


def _fetch(adapter: Adapter, call: Call) -> Fetch | None:
    """How to get the picture that came with the call, if one did."""
    if call.picture is None:
        return None
    return partial(cast("Fetches", adapter).fetch, call.picture, MAX_BYTES)


def _language(tx: Connection, call: Call) -> str:
    """The language they chose, else their community's, else the one their chat speaks now."""
    known = accounts.find(tx, call.who)
    chosen = accounts.get(tx, known).defaults.language if known is not None else None
    here = policy.counts(tx, call.community).language if call.community else None
    return chosen or here or call.language


async def _done(app: App, platform: str, event: str) -> None:
    try:
        await app.database.write(inbox.done, platform, event)
    except Refusal as refusal:  # answered twice after a restart, at worst
        log.warning("not recorded", extra={"action": "disk", "code": refusal.code, "event": event})


class _Thread:
    """The one message that the replies to a call edit."""

    def __init__(self, adapter: Adapter, app: App, place: Place) -> None:
        self._adapter = adapter
        self._app = app
        self._place = place
        self.job: int | None = None

    async def show(self, reply: Reply) -> None:
        """Show it here, now or a little later; what is fleeting is never shown later."""
        self.job = reply.job or self.job
        for attempt in range(TRIES):
            try:
                shown = await self._app.outbox.show(self._adapter, self._place, reply)
            except Later as later:
                if reply.fleeting:
                    return
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(later.seconds)
            except Unsure:
                if not reply.fleeting:
                    raise
                return
            else:
                self._place = shown or self._place
                return

    async def last(self, reply: Reply) -> None:
        """Show the end of a call that went wrong, if there is anybody to show it to."""
        try:
            await self.show(reply)
        except (Gone, Later, Unsure):
            log.info("not shown", extra={"action": "unshown", "job": self.job})


# --- errors as sentences


def refused(language: str, refusal: Refusal) -> Reply:
    """A refusal as its person reads it."""
    matter = refusal.values.get("matter")
    appeal = ((Button(say(language, "button.appeal"), Appeal(matter)),),) if isinstance(matter, int) else ()
    return Reply(
        why_not(language, refusal), buttons=appeal, tone=Tone.REFUSED, private=True, code=refusal.code
    )


def broke(language: str, ref: str) -> Reply:
    """A bug as its person reads it; ``ref`` finds it in the log."""
    text = "\n".join(say(language, key, ref=ref) for key in ("broken.text", "broken.next"))
    return Reply(text, tone=Tone.BROKEN, private=True, code="broken")
