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
    ("call", "number", "error", "used"),
    [
        ("pwrite64", 12, "ENOSPC", False),
        ("rename", 1, "EROFS", False),
        ("pwrite64", 40, "EIO", True),
        ("pwrite64", 140, "ENOSPC", True),
        ("fdatasync", 3, "EIO", True),
        ("unlink", 2, "EROFS", True),
        ("unlink", 5, "EROFS", True),
    ],
)
async def test_one_failing_call_loses_and_doubles_nothing(
    call: str, number: int, error: str, used: bool
) -> None:
    """While a bot starts for the first time, and while one is at work."""
    assert await fail(Fault(call, number, error, used)) == []


@strace
@pytest.mark.slow
async def test_a_bot_for_which_what_a_disk_says_is_a_bug_is_caught() -> None:
    """The control."""
    wrong = await fail(Fault("pwrite64", 40, "EIO", used=True), "--bad", "fragile")
    assert any("a traceback" in each for each in wrong)
