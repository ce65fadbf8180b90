"""Every request to Discord goes through here, and every way in which one can fail has a name here.

What can be sent twice without harm is: an edit, an answer to an interaction (Discord takes one), a post with
a nonce. So a lost answer is ``Unsure(repeatable=True)``.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, Route

from bot.adapters.discord.place import Address
from bot.adapters.discord.render import MOST_ALT, Message
from bot.talk import Image, Later, Unsure

PATIENCE = 60.0
"""Seconds for one request with all its repetitions."""
PAUSE = 5.0
"""Seconds until another try when Discord cannot be reached."""
REVOKED = 300.0
V2 = 1 << 15
EPHEMERAL = 1 << 6
ONE = "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}"
ORIGINAL = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
"""The first answer of an interaction, whose id may not be known."""
NEW, THINKING, SILENT, UPDATE, SUGGEST, MODAL = 4, 5, 6, 7, 8, 9
"""Kinds of an interaction's answer."""


class NoToken(Exception):  # noqa: N818 - an answer, not an error
    """The interaction's token opens nothing any more."""


class NoMessage(Exception):  # noqa: N818 - an answer, not an error
    """The message is deleted."""


class NoAccess(Exception):  # noqa: N818 - an answer, not an error
    """The bot may not write there, or there is no such place any more."""


class Answered(Exception):  # noqa: N818 - an answer, not an error
    """The interaction was answered before."""


class TooLarge(Exception):  # noqa: N818 - an answer, not an error
    """The place takes only smaller files."""


_BY_CODE: Mapping[int, type[Exception]] = {
    10_008: NoMessage, 10_015: NoToken, 10_062: NoToken, 50_027: NoToken, 40_060: Answered, 40_005: TooLarge,
}  # fmt: skip
_BY_STATUS: Mapping[int, type[Exception]] = {403: NoAccess, 404: NoAccess, 413: TooLarge}


def _meaning(error: discord.HTTPException) -> Exception:
    """What a refused request means to us."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]()
    if error.status in _BY_STATUS:
        return _BY_STATUS[error.status]()
    if error.status == 429:
        return Later(PATIENCE)
    if error.status == 401:
        return Later(REVOKED)
    return Unsure(repeatable=True) if error.status >= 500 else error


class Rest:
    """Discord's HTTP interface, as far as we need it, over a client's own connection and rate limits."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    @property
    def _http(self) -> HTTPClient:
        return self._client.http

    @property
    def _application(self) -> int:
        return self._client.application_id or 0

    async def _ask(
        self, method: str, path: str, *, body: Mapping[str, Any] | Sequence[Any] | None = None,
        files: Sequence[discord.File] = (), params: Mapping[str, str] | None = None, **where: Any,
    ) -> Any:  # fmt: skip
        """One request. Raises what this module names, Later and Unsure; anything else is our mistake."""
        more: dict[str, Any] = {"params": params} if params else {}
        if files:
            more |= {"files": files, "form": _form(body, files)}
        elif body is not None:
            more["json"] = body
        try:
            async with asyncio.timeout(PATIENCE):
                said = await self._http.request(Route(method, path, **where), **more)
        except discord.RateLimited as limited:
            raise Later(limited.retry_after) from limited
        except discord.HTTPException as error:
            raise _meaning(error) from error
        except aiohttp.ClientConnectorError as error:
            raise Later(PAUSE) from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:  # ValueError: no JSON
            raise Unsure(repeatable=True) from error
        if said and isinstance(said, str):  # somebody else's page
            raise Unsure(repeatable=True)
        return said

    # --- answers to an interaction

    async def answer(
        self,
        interaction: int,
        token: str,
        kind: int,
        message: Message | None = None,
        *,
        private: bool = False,
    ) -> int:
        """The first answer; the id of its message, 0 if it makes none."""
        body, files = _body(message) if message else ({}, [])
        if kind in {NEW, THINKING}:
            body["flags"] = body.get("flags", 0) | (EPHEMERAL if private else 0)
        whole = {"type": kind, **({"data": body} if body else {})}
        said = await self._ask(
            "POST", "/interactions/{interaction_id}/{webhook_token}/callback", body=whole, files=files,
            params={"with_response": "true"}, interaction_id=interaction, webhook_token=token,
        )  # fmt: skip
        return int((said or {}).get("interaction", {}).get("response_message_id") or 0)

    async def reply_with(self, interaction: int, token: str, kind: int, data: Mapping[str, Any]) -> None:
        """An answer that is no message: a form, or what could be typed next."""
        await self._ask(
            "POST", "/interactions/{interaction_id}/{webhook_token}/callback",
            body={"type": kind, "data": data}, interaction_id=interaction, webhook_token=token,
        )  # fmt: skip

    async def edit(self, address: Address, message: Message) -> int:
        """Edit an answer through its token; its message's id."""
        body, files = _body(message, edit=True)
        said = await self._ask(
            "PATCH", ONE if address.second else ORIGINAL, body=body, files=files,
            webhook_id=self._application, webhook_token=address.token, message_id=address.message,
        )  # fmt: skip
        return _id(said)

    async def withdraw(self, address: Address) -> None:
        """Delete the first answer."""
        await self._ask("DELETE", ORIGINAL, webhook_id=self._application, webhook_token=address.token)

    async def follow(self, address: Address, message: Message) -> int:
        """A second answer that only the person sees. It has no nonce: never for what must not come twice."""
        body, files = _body(message)
        body["flags"] |= EPHEMERAL
        said = await self._ask(
            "POST", "/webhooks/{webhook_id}/{webhook_token}", body=body, files=files,
            params={"wait": "true", "with_components": "true"},
            webhook_id=self._application, webhook_token=address.token,
        )  # fmt: skip
        return _id(said)

    # --- as the bot itself

    async def revise(self, channel: int, message_id: int, message: Message) -> None:
        """Edit a message of ours."""
        body, files = _body(message, edit=True)
        await self._ask(
            "PATCH", "/channels/{channel_id}/messages/{message_id}", body=body, files=files,
            channel_id=channel, message_id=message_id,
        )  # fmt: skip

    async def post(self, channel: int, message: Message, nonce: str) -> int:
        """A new message; the same ``nonce`` (≤ 25 characters) within minutes gives the same one."""
        body, files = _body(message)
        said = await self._ask(
            "POST", "/channels/{channel_id}/messages", files=files, channel_id=channel,
            body={**body, "nonce": nonce, "enforce_nonce": True},
        )  # fmt: skip
        return _id(said)

    async def recent(self, channel: int) -> list[dict[str, Any]]:
        """The last 50 messages of a channel, newest first."""
        found: list[dict[str, Any]] = await self._ask(
            "GET", "/channels/{channel_id}/messages", params={"limit": "50"}, channel_id=channel
        )
        return found

    async def remove(self, channel: int, message: int) -> None:
        """Delete a message of ours."""
        await self._ask(
            "DELETE", "/channels/{channel_id}/messages/{message_id}", channel_id=channel, message_id=message
        )

    async def direct(self, user: int) -> int:
        """The channel of a conversation with this person."""
        said = await self._ask("POST", "/users/@me/channels", body={"recipient_id": str(user)})
        return _id(said)

    async def declare(self, commands: Sequence[Mapping[str, Any]]) -> None:
        """These are our commands, everywhere, and no others."""
        await self._ask(
            "PUT", "/applications/{application_id}/commands", body=commands, application_id=self._application
        )

    async def attachment(self, url: str) -> bytes:
        """What somebody attached."""
        async with asyncio.timeout(PATIENCE):
            return await self._http.get_from_cdn(url)


def _id(said: Any) -> int:
    """Of a message or channel that Discord says there is."""
    try:
        return int(said["id"])
    except (TypeError, KeyError, ValueError):
        raise Unsure(repeatable=True) from None


def _body(message: Message, *, edit: bool = False) -> tuple[dict[str, Any], list[discord.File]]:
    """The JSON of a message, and its files. ``attachments`` is complete, so that an edit can be repeated."""
    files = [_file(image) for image in message.images]
    body: dict[str, Any] = {
        "flags": V2,
        "components": message.components,
        "allowed_mentions": {"parse": [], "users": [str(user) for user in message.ping]},
    }
    if files or edit:
        body["attachments"] = [
            {"id": number, "filename": file.filename, "description": (file.description or "")[:MOST_ALT]}
            for number, file in enumerate(files)
        ]
    return body, files


def _file(image: Image) -> discord.File:
    return discord.File(io.BytesIO(image.data), image.name, description=image.alt[:MOST_ALT] or None)


def _form(body: object, files: Sequence[discord.File]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"name": "payload_json", "value": json.dumps(body)}]
    for number, file in enumerate(files):
        parts.append({
            "name": f"files[{number}]", "value": file.fp, "filename": file.filename,
            "content_type": "application/octet-stream",
        })  # fmt: skip
    return parts
