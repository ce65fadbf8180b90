"""Logs: one JSON object a line, with job ids and machine words, without prompts and without secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

KNOWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes every record has; the others are ours, given by ``extra``."""
SHORT = 200
"""Characters of one value; nothing we log on purpose is longer."""
MEGABYTES = 5
FILES = 5
_TOKENS = re.compile(
    r"(?<!\d)\d{6,12}:[\w-]{30,}|\b[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}|(?<=token=)[\w-]+", re.ASCII
)
"""A Telegram token, a Discord token, a token in an address."""


class Lines(logging.Formatter):
    """A record as one line of JSON. A traceback keeps its places and loses its message and its source lines.

    What an exception says may be a person's words (a prompt that did not parse); where it was raised is not.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """One line, printable ASCII."""
        ours = {key: value for key, value in record.__dict__.items() if key not in KNOWN}
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "says": self._safe(record.getMessage()),
        }
        line |= {k: v if isinstance(v, int | float | None) else self._safe(str(v)) for k, v in ours.items()}
        if record.exc_info and record.exc_info[1]:
            line["error"] = places(record.exc_info[1])
        return self._redacted(json.dumps(line, ensure_ascii=True))

    def _safe(self, text: str) -> str:
        return self._redacted(text)[:SHORT]

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return _TOKENS.sub("[secret]", text)


def places(error: BaseException) -> list[str]:
    """Class names and file:line of an exception, its causes and the members of its group, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    found = [type(error).__name__, *lines]
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            found += places(member)
    cause = error.__cause__ or error.__context__
    return found + (places(cause) if cause else [])


def start(
    level: str = "info", folder: Path | None = None, *, secrets: Iterable[str] = (),
    stream: IO[str] | None = None,
) -> None:  # fmt: skip
    """Log to ``folder/falopitas.log`` (rotated), or to ``stream`` (standard error) without a folder."""
    handler: logging.Handler
    if folder is not None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            folder / "falopitas.log", maxBytes=MEGABYTES * 1_000_000, backupCount=FILES, encoding="utf-8"
        )
    else:
        handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines(secrets))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "aiohttp.access", "discord", "telegram", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def where() -> str:
    """The file that is logged to, or nothing."""
    files = (each for each in logging.getLogger().handlers if isinstance(each, logging.FileHandler))
    return next((each.baseFilename for each in files), "")
