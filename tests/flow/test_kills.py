"""Suite size of R1, with the variants that must fail."""

from __future__ import annotations

import pytest

from tests.flow.rounds import rounds


@pytest.mark.timeout(900)
async def test_kills_lose_nothing_charge_nobody_twice_and_deliver_once() -> None:
    outcome = await rounds(seed=11, count=16)
    assert outcome.wrongs == []
    assert outcome.jobs >= 16


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("bad", "word"), [("early", "was lost"), ("double", "charged twice"), ("orphan", "for ever")]
)
async def test_a_known_bad_bot_is_caught(bad: str, word: str) -> None:
    """The control: the same rounds against a bot that is broken on purpose must find it."""
    for seed in range(4):
        restless = 0.15 if bad == "early" else 0.6
        outcome = await rounds(seed, 8, "--bad", bad, restless=restless, patience=10.0)
        if any(word in wrong for wrong in outcome.wrongs):
            return
    pytest.fail(f"{bad} went unnoticed")
