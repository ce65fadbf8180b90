"""R4 and R5 through a whole bot: a call of its own fails, or no file can be opened for a moment."""

from __future__ import annotations

import shutil

import pytest

from tests.flow.fail import FILES, Fault, fail

strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


async def test_who_asks_while_no_file_can_be_opened_is_answered_and_nothing_breaks() -> None:
    """From its first moments on: sentences are at hand before anybody asks."""
    assert await fail(Fault(FILES, 2, "EMFILE")) == []


@strace
@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "number", "error"),
    [("pwrite64", 12, "ENOSPC"), ("pwrite64", 40, "EIO"), ("fdatasync", 3, "EIO"), ("rename", 1, "EROFS")],
)
async def test_one_failing_call_loses_and_doubles_nothing(call: str, number: int, error: str) -> None:
    assert await fail(Fault(call, number, error)) == []
