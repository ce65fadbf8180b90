"""R25: pictures that people send, harmed in every way, each in the real process; the bot lives on."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from unittest import mock

from bot import scrub, sent
from tests.bot.picture_corpus import bombs, spoiled
from tests.bot.test_sent import check
from tests.proof.frame import Played, Proof

AT_ONCE = 10


def play(seed: int, control: bool) -> Played:
    """Ten harmed pictures; for the control the bombs, opened as if sizes did not matter."""
    return asyncio.run(_bombs() if control else _harmed(seed))


async def _harmed(seed: int) -> Played:
    cases = [case for case in spoiled(seed, AT_ONCE) if case.kind == "harmed"]
    wrong = [await check(case) for case in cases]
    return Played(len(cases), tuple(each for each in wrong if each))


async def _bombs() -> Played:
    """A process that trusts what a header says."""
    trusting = (
        "import sys\n"
        f"sys.path.insert(0, {str(scrub.__file__).rsplit('/', 2)[0]!r})\n"
        "from bot import scrub\nscrub.MAX_PIXELS = scrub.MAX_JPEG = 10**12\n"
        "scrub.main(sys.stdin.buffer, sys.stdout.buffer)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "trusting.py"
        script.write_text(trusting)
        with mock.patch.object(sent, "SCRUB", script):
            cases = [case for case in bombs() if case.fate == "picture_pixels"][:2]
            wrong = [await check(case) for case in cases]
    return Played(len(cases), tuple(each for each in wrong if each))


PHOTOGRAPHS = Proof("R25", "harmed pictures become clean or refused", 1_000, "pictures", play, 2, 0.5)
