"""Requests to Discord against its own machine-readable specification (``FALOPITAS_API_SPECS``).

Two normalisations: a snowflake may be an integer, and a query's boolean may be 0 or 1. Rules that it does not
say are said here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jsonschema  # type: ignore[import-untyped] # it has no types of its own
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FILE = "discord-openapi.json"
HERE = "urn:discord"
ROW, BUTTON, LINK = 1, 2, 5


def available() -> bool:
    """Whether the specification lies here."""
    folder = os.environ.get("FALOPITAS_API_SPECS", "")
    return bool(folder) and (Path(folder) / FILE).exists()


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(os.environ["FALOPITAS_API_SPECS"]) / FILE).read_text("utf-8"))
    document["components"]["schemas"]["SnowflakeType"] = {"type": ["string", "integer"]}
    return document


@cache
def _registry() -> Any:
    return Registry().with_resource(HERE, Resource.from_contents(_document(), DRAFT202012))


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Literal addresses first: …/messages/@original is no message id."""
    paths = sorted(_document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", r"[^/]+", path)), path) for path in paths]


def wrongs(method: str, path: str, body: object, query: Mapping[str, Any] | None = None) -> list[str]:
    """What is wrong with a request; nothing if it is as Discord wants it."""
    where = f"{method} {path}"
    name = next((name for pattern, name in _patterns() if pattern.fullmatch(unquote(path))), None)
    operation = _document()["paths"].get(name, {}).get(method.lower())
    if operation is None:
        return [f"{where}: there is no such request"]
    pointer = f"/paths/{str(name).replace('/', '~1')}/{method.lower()}"
    found = [*_query(operation, query or {}), *_body(operation, pointer, body)]
    return [f"{where}: {each}" for each in found]


def _query(operation: Mapping[str, Any], query: Mapping[str, Any]) -> Iterator[str]:
    known = {
        each["name"]: each["schema"] for each in operation.get("parameters", ()) if each["in"] == "query"
    }
    for name, value in query.items():
        if name not in known:
            yield f"unknown parameter {name}"
        elif known[name].get("type") == "boolean" and str(value) not in {"true", "false", "0", "1"}:
            yield f"parameter {name} is {value!r}"


def _body(operation: Mapping[str, Any], pointer: str, body: object) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" not in content:
        if body:
            yield "it has no body"
        return
    schema = {"$ref": f"{HERE}#{quote(pointer, safe='/~@')}/requestBody/content/application~1json/schema"}
    validator = jsonschema.Draft202012Validator(schema, registry=_registry())
    for error in validator.iter_errors(body):
        yield f"{error.json_path}: {error.message[:300]}"
    data = body.get("data", body) if isinstance(body, dict) else {}
    if isinstance(data, dict) and isinstance(data.get("components"), list):
        yield from _unsaid(data["components"])
    if isinstance(body, list):
        yield from (f"upper-case name {each['name']}" for each in body if _is_shouted(each))


def _is_shouted(command: Mapping[str, Any]) -> bool:
    name = str(command["name"])
    return command.get("type", 1) == 1 and name != name.lower()


def _unsaid(components: list[Any]) -> Iterator[str]:
    flat = list(_flat(components))
    if not flat:
        yield "an empty message"
    if len(flat) > 40:
        yield f"{len(flat)} components"
    text = sum(len(each.get("content", "")) for each in flat)
    if text > 4_000:
        yield f"{text} characters of text"
    for each in flat:
        if each["type"] == ROW and len(each["components"]) > 5:
            yield "more than five buttons in a row"
        if each["type"] == BUTTON and each.get("style") != LINK and not each.get("custom_id"):
            yield "a button without custom_id"
    ids = [each["custom_id"] for each in flat if "custom_id" in each]
    if len(ids) != len(set(ids)):
        yield f"the same custom_id twice: {ids}"


def _flat(components: list[Any]) -> Iterator[dict[str, Any]]:
    for each in components:
        yield each
        yield from _flat(each.get("components", []))
        yield from _flat([each["component"]] if "component" in each else [])
