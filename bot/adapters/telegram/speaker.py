"""Shows Replies: which message, in which chat, now or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Message

from bot.adapters.telegram.address import NAME, Address
from bot.adapters.telegram.board import Board, Standing
from bot.adapters.telegram.client import Line, Lost, Moved, Pictured, Unchanged
from bot.adapters.telegram.files import BLANK, DOCUMENT, too_large
from bot.adapters.telegram.house import House
from bot.adapters.telegram.pace import Backoff, Pacer
from bot.adapters.telegram.presses import Presses
from bot.adapters.telegram.render import LINK, Shown, render
from bot.adapters.telegram.rich import Rich, cut
from bot.adapters.telegram.sender import Sender
from bot.talk import Gone, Image, Later, Reply, Tone, Unsure
from bot.texts import say

log = logging.getLogger(__name__)

CROWD = 6
"""Messages of the last minute from which on a group's people wait on one status message."""
SHORTLY = 3.0
"""Seconds that progress may wait for a message of its own."""
REMEMBERED = 4_096
_TROUBLE = (Gone, Later, Unsure, Unchanged, Lost, Moved)


class Speaker:
    """What the bot says. ``name`` is its user name, once it is known; ``unit`` is how long a second is."""

    def __init__(self, line: Line, house: House, language: str, unit: float = 1.0) -> None:
        self.name = ""
        self._line = line
        self._house = house
        self._language = language
        self._unit = unit
        self._pacer = Pacer(unit)
        self._backoff = Backoff(unit)
        self._sender = Sender(line, self._pacer, self._backoff, self._known_as, house.placed)
        self.presses = Presses(line)
        self._boards: dict[tuple[int, int], Board] = {}
        self._moved: dict[int, int] = {}
        """Groups that became supergroups."""
        self._names: OrderedDict[int, str] = OrderedDict()
        self._unheard: OrderedDict[int, Reply] = OrderedDict()
        """The last private word for somebody who has no private chat with us yet."""
        self._tasks: set[asyncio.Task[object]] = set()

    # --- what is known

    def met(self, person: int, name: str) -> None:
        """What somebody calls themselves, to say for whom a picture is."""
        self._put(self._names, person, name)

    def moved(self, before: int, now: int) -> None:
        """A group became a supergroup, with another id."""
        self._moved[before] = now

    async def catch_up(self, person: int) -> None:
        """Say what could not be said before they opened a private chat."""
        reply = self._unheard.pop(person, None)
        if reply is not None:
            await self._quietly(self.show(Address(person), reply))

    @staticmethod
    def _put(memory: OrderedDict[int, Any], key: int, value: object) -> None:
        memory[key] = value
        memory.move_to_end(key)
        if len(memory) > REMEMBERED:
            memory.popitem(last=False)

    def _known_as(self, image: Image, message: Message) -> None:
        """Telegram knows this picture now: inline mode may offer it."""
        if image.digest and message.photo:
            self.aside(self._house.remember(image.digest, message.photo[-1].file_id))

    def aside(self, work: Coroutine[Any, Any, object]) -> None:
        """Something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()):
            log.error("broke", exc_info=bug, extra={"action": "broke", "platform": NAME})

    async def _quietly(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except _TROUBLE:
            return

    # --- show

    async def show(self, at: Address, reply: Reply) -> Address:
        """Send or edit; return where it is now. Raises Gone, Later, Unsure."""
        at = self._here(at)
        if reply.redraws:
            return await self._redrawn(at, reply)
        if reply.fleeting and (at.message or reply.job is not None or at.is_group):
            return await self._progress(at, reply)
        if at.press and await self.presses.say(at.press, reply, group=at.is_group, page=bool(at.message)):
            return replace(at, press="")
        target = Address(at.person) if reply.private and at.is_group and not _is_form(reply) else at
        try:
            return await self._say(target, reply)
        except Gone:
            return await self._elsewhere(at, target, reply)

    async def _redrawn(self, at: Address, reply: Reply) -> Address:
        """In the message that there is; a group that moved took its messages along."""
        at = self._sender.known(at, reply.job)
        if not at.message:
            raise Gone
        if too_large(reply.images):
            reply = self._too_large(reply)
        try:
            return await self._fitting(at, reply, partial(self._sender.redraw, at))
        except Moved as moved:
            self.moved(at.chat, moved.chat)
            raise Later(0.0) from moved
        except Lost as lost:
            raise Gone from lost

    def _here(self, at: Address) -> Address:
        now = self._moved.get(at.chat)
        return at.elsewhere(now) if now else at

    async def _say(self, at: Address, reply: Reply) -> Address:
        at = self._sender.known(at, reply.job)
        try:
            return await self._put_up(at, reply)
        except Moved as moved:
            self.moved(at.chat, moved.chat)
            return await self._put_up(at.elsewhere(moved.chat), reply)
        except Lost as lost:  # an edit that fell back to a send cannot be lost
            raise Gone from lost

    async def _elsewhere(self, at: Address, target: Address, reply: Reply) -> Address:
        """The chat takes nothing from us: a finished public picture goes to its person, who asked for it."""
        final = reply.job is not None and not _is_waiting(reply)
        if at.person and target.is_group and final:
            self._sender.forget(reply.job)
            return await self._say(Address(at.person), reply)
        if at.person and not target.is_group and at.is_group:
            if reply.job is None:  # a picture is in the gallery, and told of when they come
                self._put(self._unheard, at.person, reply)
            await self._quietly(self._invite(at))
        raise Gone

    async def _invite(self, at: Address) -> None:
        """Ask for a private chat: a bot may not begin one."""
        language = await self._house.language(f"{NAME}:{at.person}", self._language)
        rich = Rich()
        if name := self._names.get(at.person):
            rich.add(name, "text_mention", user=at.person).add(": ")
        rich.add(say(language, "telegram.invite"))
        way = InlineKeyboardButton(say(language, "telegram.open"), url=f"{LINK}{self.name}?start=open")
        shown = Shown(rich.text, tuple(rich.entities), InlineKeyboardMarkup([[way]]))
        await self._sender.text(replace(at, message=0), shown)

    async def _put_up(self, at: Address, reply: Reply) -> Address:
        if too_large(reply.images):
            reply = self._too_large(reply)
        if at.is_group and reply.job is not None and not at.message:
            board = self._board(at)
            if _is_waiting(reply) and self._is_crowded(at, board):
                return at.waiting(await board.join(reply.job, _standing(at, reply)))
            board.leave(reply.job)
        return await self._fitting(at, reply, partial(self._sent, at, reply))

    async def _fitting(
        self, at: Address, reply: Reply, show: Callable[[Shown], Awaitable[Address]]
    ) -> Address:
        """``show`` it. Where a picture was and none is to be, a blank one takes its place, under which fewer
        words fit: Telegram turns no picture into a text. Raises Lost.
        """
        try:
            return await show(self._render(at, reply))
        except Pictured:
            return await self._sender.redraw(at, self._render(at, reply, instead=BLANK))

    async def _sent(self, at: Address, reply: Reply, shown: Shown) -> Address:
        if len(shown.images) > 1:
            return await self._sender.album(at, shown)
        if not shown.images:
            return await self._sender.text(at, shown, reply.job)
        if reply.job is None:
            return await self._sender.picture(at, shown)
        bare = replace(reply, text="…", images=(), buttons=(), fields=(), tone=Tone.WAITING)
        placeholder = self._render(at, bare)
        return await self._sender.deliver(at, shown, placeholder, reply.job)

    def _too_large(self, reply: Reply) -> Reply:
        """Telegram does not take it: it stays in the gallery, and the page shows it."""
        size = max(len(image.data) for image in reply.images)
        text = say(self._language, "telegram.too_large", size=round(size / 1e6), limit=DOCUMENT // 1_000_000)
        return replace(reply, text=f"{reply.text}\n{text}".strip(), images=())

    def _render(self, at: Address, reply: Reply, instead: Image | None = None) -> Shown:
        name = self._names.get(at.person) if at.is_group and reply.job is not None else None
        brief = at.is_group and reply.job is not None
        person = (at.person, name) if name else None
        return render(reply, self._house.pack, self.name, person=person, brief=brief, instead=instead)

    # --- progress

    async def _progress(self, at: Address, reply: Reply) -> Address:
        """Show it if there is a turn to spare, by ever rarer edits; else forget it."""
        at = self._sender.known(at, reply.job)
        if not at.message:
            return await self._beginning(at, reply)
        if self._backoff.due(at.chat, at.message) and self._pacer.free(at.chat):
            self._backoff.edited(at.chat, at.message)
            try:
                await self._sender.edit(at, self._render(at, reply))
            except (Gone, Lost, Moved):
                self._backoff.end(at.chat, at.message)
            except (Later, Unsure):
                return at
        return at

    async def _beginning(self, at: Address, reply: Reply) -> Address:
        """Of a job that stands on the status message: it moves there, or gets its own message."""
        if reply.job is None or not at.is_group or (reply.private and at.is_group):
            return at
        board = self._board(at)
        if reply.progress is None:
            board.update(reply.job, _standing(at, reply))
            return at
        if self._pacer.wait(at.chat) > SHORTLY * self._unit:
            return at
        board.leave(reply.job)
        return await self._sender.text(at, self._render(at, reply), reply.job)

    # --- the status message of a crowded group

    def _board(self, at: Address) -> Board:
        key = (at.chat, at.topic)
        if key not in self._boards:
            self._tidy()
            post = partial(self._post, Address(at.chat, at.topic))
            self._boards[key] = Board(post, partial(self._pacer.free, at.chat), self._unit)
        board = self._boards[key]
        board.message = board.message or at.board  # it was there before we were
        if at.board not in (0, board.message):  # of two, one is too many
            self.aside(self._line.courtesy(partial(self._line.bot.delete_message, at.chat, at.board)))
        return board

    def _tidy(self) -> None:
        if len(self._boards) >= REMEMBERED:
            self._boards = {key: board for key, board in self._boards.items() if board.standing}

    def _is_crowded(self, at: Address, board: Board) -> bool:
        return bool(board.standing or at.board) or self._pacer.recent(at.chat) >= CROWD

    async def _post(self, at: Address, message: int, standing: tuple[Standing, ...], more: int) -> int:
        if not standing:
            if message:
                await self._line.courtesy(partial(self._line.bot.delete_message, at.chat, message))
            return 0
        first, group = f"{NAME}:{standing[0].person}", f"{NAME}:{at.chat}"
        language = await self._house.language(first, self._language, group)
        rich = Rich().add(say(language, "telegram.waiting"), "bold")
        for each in standing:
            self._stand(rich, each)
        if more:
            rich.line(say(language, "telegram.more", n=more))
        shown = Shown(rich.text, tuple(rich.entities), None)
        return await self._sender.board(replace(at, message=message), shown)

    def _stand(self, rich: Rich, standing: Standing) -> None:
        rich.line("• ")
        if name := self._names.get(standing.person):
            rich.add(cut(name, 24), "text_mention", user=standing.person).add(" · ")
        rich.add(standing.prompt, "code").add(f" · {standing.text}")

    def close(self) -> None:
        """Answer every open press; leave the rest as it is."""
        self.presses.close()
        for board in self._boards.values():
            board.close()


def _is_form(reply: Reply) -> bool:
    """A question whose answer is typed: it is asked where the button was."""
    return any(button.form for row in reply.buttons for button in row) and len(reply.buttons) == 1


def _is_waiting(reply: Reply) -> bool:
    """Not the last word of a job."""
    return reply.tone in (Tone.WAITING, Tone.REFUSED)


def _standing(at: Address, reply: Reply) -> Standing:
    place = reply.fields[0][1] if reply.fields and reply.tone is Tone.WAITING else ""
    text = place or reply.text.split("\n", 1)[0]
    return Standing(at.person, cut(" ".join(reply.prompt.split()), 32), text)
