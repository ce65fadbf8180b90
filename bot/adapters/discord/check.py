"""What is wrong with a token's set-up, for ``falopitas doctor``: asked of Discord, changing nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from bot.secret import Secret

PERMISSIONS = sum(1 << bit for bit in (10, 11, 15, 16, 38))
"""What the bot needs in a channel: see it, send, attach files, read back what it posted there, send in
threads (Discord's documentation, "Permissions"). Nothing of ours embeds a link."""
SCOPES = "bot applications.commands"
PATIENCE = 15.0
USER_INSTALL = "1"
"""Key of ``integration_types_config``: an app that people take with them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of the token found: ``mark`` is ok, note or bad, ``what`` a key of ``discord.check``."""

    mark: str
    what: str
    values: tuple[tuple[str, object], ...] = ()


async def check(token: Secret, api_root: str) -> tuple[Finding, ...]:
    """The bot's name and the link that invites it, or why it cannot be reached.

    A finding's sentence is ``discord.check.<what>`` (and ``….next``) with its values.
    """
    headers = {"Authorization": f"Bot {token.reveal()}", "User-Agent": "DiscordBot (falopitas, 1)"}
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            me = await _get(session, f"{api_root}/users/@me")
            application = await _get(session, f"{api_root}/applications/@me")
    except aiohttp.ClientResponseError as error:
        if error.status == 401:
            return (Finding("bad", "token"),)
        return (Finding("bad", "refused", (("reason", error.status),)),)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return (Finding("bad", "network", (("root", api_root),)),)
    return (Finding("ok", "name", (("name", me.get("username", "?")),)), *_set_up(application))


async def _get(session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    async with session.get(url, raise_for_status=True) as answer:
        found = await answer.json(content_type=None)
    if not isinstance(found, dict):
        raise ValueError(type(found).__name__)
    return found


def invitation(application: object) -> str:
    """The address with which somebody who manages a server lets the bot in."""
    scope = SCOPES.replace(" ", "+")
    query = f"client_id={application}&permissions={PERMISSIONS}&scope={scope}"
    return f"https://discord.com/oauth2/authorize?{query}"


def _set_up(application: Mapping[str, Any]) -> tuple[Finding, ...]:
    link = invitation(application.get("id", ""))
    facts = (("link", link), ("permissions", PERMISSIONS), ("scopes", SCOPES))
    found = [Finding("ok", "invite", facts)]
    if USER_INSTALL not in (application.get("integration_types_config") or {}):
        found.append(Finding("note", "personal"))
    if application.get("bot_public") is False:
        found.append(Finding("note", "closed"))
    if application.get("interactions_endpoint_url"):
        found.append(Finding("bad", "endpoint", (("url", application["interactions_endpoint_url"]),)))
    return tuple(found)
