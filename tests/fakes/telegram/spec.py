"""Telegram's published specification: is this what a method takes, is that what it returns?"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.telegram.body import typed

FILE = "telegram-bot-api.json"
_SIMPLE = {"Integer": int, "String": str, "Boolean": bool, "Float": (int, float)}


@cache
def load() -> Spec:
    """The specification in the folder $FALOPITAS_API_SPECS. Raises LookupError without it."""
    path = Path(os.environ.get("FALOPITAS_API_SPECS", "/nowhere")) / FILE
    if not path.exists():
        raise LookupError(f"FALOPITAS_API_SPECS names no folder with {FILE}: see CONTRIBUTING.md")
    return Spec(json.loads(path.read_text("utf-8")))


class Spec:
    def __init__(self, document: dict[str, Any]) -> None:
        self._methods = document["methods"]
        self._types = document["types"]

    def knows(self, method: str) -> bool:
        return method in self._methods

    def parameters(self, method: str) -> set[str]:
        return {each["name"] for each in self._methods[method].get("fields", ())}

    def typed(self, method: str, values: dict[str, Any]) -> dict[str, Any]:
        """A form's texts as what they stand for."""
        fields = {each["name"]: each["types"] for each in self._methods[method].get("fields", ())}
        return {name: typed(fields.get(name, ["String"]), value) for name, value in values.items()}

    def request(self, method: str, values: dict[str, Any], files: set[str]) -> list[str]:
        """What is wrong with the parameters; ``files`` are the names of uploads."""
        fields = {each["name"]: each for each in self._methods[method].get("fields", ())}
        wrong = [f"{method}: no parameter {name}" for name in values if name not in fields]
        wrong += [
            f"{method}: {name} is missing"
            for name, field in fields.items()
            if field["required"] and name not in values
        ]
        for name, value in values.items():
            if name in fields and not self._is_any(fields[name]["types"], value, files):
                wrong.append(f"{method}: {name} is no {' or '.join(fields[name]['types'])}: {_short(value)}")
        return wrong

    def response(self, method: str, result: Any) -> list[str]:
        """What is wrong with a result."""
        returns = self._methods[method]["returns"]
        return [] if self._is_any(returns, result, set()) else [f"{method} returned {_short(result)}"]

    def update(self, update: dict[str, Any]) -> list[str]:
        return [] if self._is("Update", update, set()) else [f"no Update: {_short(update)}"]

    def _is_any(self, types: list[str], value: Any, files: set[str]) -> bool:
        return any(self._is(kind, value, files) for kind in types)

    def _is(self, kind: str, value: Any, files: set[str]) -> bool:
        if kind.startswith("Array of "):
            inner = kind.removeprefix("Array of ")
            return isinstance(value, list) and all(self._is(inner, each, files) for each in value)
        if kind in _SIMPLE:
            wanted = _SIMPLE[kind]
            return isinstance(value, wanted) and (kind == "Boolean" or not isinstance(value, bool))  # type: ignore[arg-type]
        if kind == "InputFile":
            return isinstance(value, str) and value.startswith("attach://") and value[9:] in files
        return self._is_object(self._types[kind], value, files)

    def _is_object(self, shape: dict[str, Any], value: Any, files: set[str]) -> bool:
        if shape.get("subtypes"):
            return any(self._is(kind, value, files) for kind in shape["subtypes"])
        fields = {each["name"]: each for each in shape.get("fields", ())}
        if not isinstance(value, dict) or not value.keys() <= fields.keys():
            return False
        if any(field["required"] and name not in value for name, field in fields.items()):
            return False
        return all(self._is_any(fields[name]["types"], each, files) for name, each in value.items())


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)[:300]
