"""R30: broken frames at either end of the wire never give anything but a message, an end or BadFrame."""

from __future__ import annotations

import asyncio

from inference import wire
from tests.inference.frames import TO_BOT, TO_ENGINE, corpus
from tests.inference.test_wire import Read, judged, trusting
from tests.proof.frame import Played, Proof

BATCH = 2_000
"""Frames of one seed."""


async def _play(seed: int, control: bool) -> Played:
    ends: list[tuple[Read, tuple[wire.Message, ...]]] = [
        (trusting if control else wire.read_by_engine, TO_ENGINE),
        (trusting if control else wire.read_by_bot, TO_BOT),
    ]
    wrong = [
        f"{kind}: {verdict}: {data[:60]!r}"
        for read, good in ends
        for kind, data in corpus(seed, BATCH // 2, good)
        if (verdict := await judged(read, data))
    ]
    return Played(BATCH, tuple(wrong))


FRAMES = Proof(
    name="frames",
    claim="a frame that is no message is refused, whatever it is",
    rounds=10_000_000,
    unit="frames",
    play=lambda seed, control: asyncio.run(_play(seed, control)),
    control_rounds=BATCH,
    control_rate=0.3,
)
