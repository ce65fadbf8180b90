"""Nothing of me is left: jobs, pictures, names, links, settings, refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from bot.app import App
from bot.backups import renew
from bot.commands.common import meet
from bot.dispatch import surely
from bot.options import Option
from bot.talk import Button, Call, Reply
from bot.texts import say
from storage import forget
from storage.refusal import Refusal


@dataclass(frozen=True, slots=True)
class ForgetMe:
    """Forget me; without ``sure`` only ask."""

    sure: Annotated[bool, Option("sure", ("seguro",))] = False


async def answer(ask: ForgetMe, call: Call, app: App) -> AsyncIterator[Reply]:
    """Ask once; then rows, log, files and older backups, in this order. Raises Refusal forget_owner, …"""
    account = await meet(call, app)
    if account.unlimited:
        raise Refusal("forget_owner")
    if not ask.sure:
        yes = Button(say(call.language, "button.forget_sure"), ForgetMe(sure=True), style="danger")
        yield Reply(say(call.language, "forgetme.sure"), buttons=((yes,),), private=True)
        return
    gone = await app.database.write(forget.forget, account.id, app.clock(), durable=True)
    await surely(app.database.scrub)
    await app.files.remove(gone.digests)
    await renew(app)
    app.dispatch.wake()
    yield Reply(say(call.language, "forgetme.done", n=len(gone.jobs)), private=True)
