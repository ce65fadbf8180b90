"""What came in a request: query, form, multipart or JSON, each value as its type in the specification."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import BodyPartReader, web


class Malformed(Exception):  # noqa: N818 - an answer, not an error
    """No server could read this."""


async def read(request: web.Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Parameters (texts still as they came) and uploads by name."""
    values: dict[str, Any] = dict(request.query)
    files: dict[str, bytes] = {}
    kind = request.content_type
    if kind == "application/json":
        said = await request.json()
        if not isinstance(said, dict):
            raise Malformed("JSON that is no object")
        values |= said
    elif kind == "multipart/form-data":
        await _parts(request, values, files)
    elif kind == "application/x-www-form-urlencoded":
        values |= dict(await request.post())
    elif request.can_read_body and await request.read():
        raise Malformed(f"a body of {kind}")
    return values, files


async def _parts(request: web.Request, values: dict[str, Any], files: dict[str, bytes]) -> None:
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise Malformed("a nested part")
        data = bytes(await part.read(decode=True))
        if part.filename is None:
            values[part.name] = data.decode()
        else:
            files[part.name] = data


def typed(types: list[str], value: Any) -> Any:
    """A form's text as the first of ``types`` that it can be."""
    if not isinstance(value, str):
        return value
    for kind in types:
        if kind in {"String", "InputFile"}:
            return value
        try:
            found = json.loads(value)
        except ValueError:
            continue
        plain = kind in {"Integer", "Float", "Boolean"}
        if plain != isinstance(found, dict | list):
            return found
    return value
