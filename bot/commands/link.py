"""One person, several chats: one quota, one gallery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.commands.common import meet
from bot.options import Option
from bot.talk import Button, Call, Reply, Tone, platform
from bot.texts import has, say
from storage import accounts
from storage.accounts import CODE_SECONDS, OWNER
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Link:
    """A code for another chat, or with a code: this chat now belongs to who made it.

    ``revoke`` takes a code back that was not used yet; ``leave`` makes this chat somebody of its own again.
    """

    code: Annotated[str, Option(words=True, longest=40)] = ""
    revoke: Annotated[bool, Option("revoke", ("revocar",))] = False
    leave: Annotated[bool, Option("leave", ("salir", "off"))] = False


async def answer(ask: Link, call: Call, app: App) -> AsyncIterator[Reply]:
    """Make a code, redeem one, take one back, or leave."""
    if ask.code:
        await app.database.write(accounts.redeem, ask.code, call.who, app.clock(), durable=True)
        yield Reply(say(call.language, "link.done"), tone=Tone.GOOD, private=True)
        return
    account = await meet(call, app)
    if ask.revoke:
        had = await app.database.write(accounts.revoke, account.id, durable=True)
        yield Reply(say(call.language, "link.revoked" if had else "link.no_code"), private=True)
    elif ask.leave:
        await _leave(call, app)
        yield Reply(say(call.language, "link.left"), tone=Tone.GOOD, private=True)
    else:
        code = await app.database.write(accounts.link_code, account.id, app.clock())
        chats = await app.database.read(accounts.who_of, account.id)
        yield _offer(code, chats, call.language)


def _offer(code: str, chats: tuple[str, ...], language: str) -> Reply:
    known = ", ".join(sorted({_called(platform(who), language) for who in chats}))
    return Reply(
        say(language, "link.text", line=f"/link {code}", left=CODE_SECONDS),
        title=say(language, "link.title"),
        fields=((say(language, "link.code"), code), (say(language, "link.chats"), known)),
        buttons=((Button(say(language, "link.revoke"), Link(revoke=True)),),),
        private=True,
    )


def _called(name: str, language: str) -> str:
    """A chat as people call it."""
    return say(language, key) if has(key := f"link.on.{name}") else name


async def _leave(call: Call, app: App) -> None:
    """Raises Refusal link_owner, link_last."""
    if call.who == OWNER:
        raise Refusal("link_owner")
    if not await app.database.write(accounts.unlink, call.who, app.clock(), durable=True):
        raise Refusal("link_last")
