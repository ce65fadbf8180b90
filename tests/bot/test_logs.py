"""Logs: job ids and machine words, never a prompt, never a secret, one line a record."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import logs

PROMPT = "a very private prompt"
TELEGRAM = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawX"
DISCORD = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWsAb"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_of_json_with_its_words_and_ids() -> None:
    stream = io.StringIO()
    logs.start("info", stream=stream)
    logging.getLogger("bot.x").info("queued\n\x1b[2J\u2028two", extra={"action": "queued", "job": 7})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
    (line,) = lines(stream)
    assert (line["action"], line["job"], line["level"], line["from"]) == ("queued", 7, "info", "bot.x")


def test_a_traceback_keeps_its_places_and_loses_its_words() -> None:
    stream = io.StringIO()
    logs.start("info", stream=stream)
    try:
        try:
            raise ValueError(PROMPT)
        except ValueError as error:
            raise ExceptionGroup(PROMPT, [KeyError(PROMPT)]) from error
    except ExceptionGroup:
        logging.getLogger("bot").exception("broke")
    assert PROMPT not in stream.getvalue()
    (line,) = lines(stream)
    error_line = line["error"]
    assert isinstance(error_line, list)
    assert {"ExceptionGroup", "KeyError", "ValueError"} <= set(error_line)
    assert any("test_logs.py" in place for place in error_line)


@pytest.mark.parametrize("secret", [TELEGRAM, DISCORD, "my own secret"])
def test_no_secret_is_written_however_it_comes(secret: str) -> None:
    stream = io.StringIO()
    logs.start("debug", stream=stream, secrets=["my own secret", ""])
    log = logging.getLogger("bot")
    log.info("url https://api.telegram.org/bot%s/getMe", secret)
    log.info("x", extra={"where": f"token={secret}"})
    log.info(secret)
    assert secret not in stream.getvalue()
    assert stream.getvalue().count("[secret]") >= 3


def test_libraries_that_talk_too_much_are_quiet(tmp_path: Path) -> None:
    logs.start("debug", tmp_path / "logs")
    for noisy in ("httpx", "discord", "aiohttp.access"):
        assert not logging.getLogger(noisy).isEnabledFor(logging.INFO)
    assert logs.where() == str(tmp_path / "logs" / "falopitas.log")
    for handler in logging.getLogger().handlers:
        handler.close()


def test_nothing_long_is_written() -> None:
    stream = io.StringIO()
    logs.start("info", stream=stream)
    logging.getLogger("bot").info("x" * 10_000, extra={"y": "z" * 10_000})
    assert len(stream.getvalue()) < 1_000
