"""What the pacer lets through, on a clock of the test's own."""

from __future__ import annotations

from bot.adapters.telegram.pace import SPARE, Pacer

GROUP, PERSON = -5, 5


async def test_after_a_start_a_group_gets_what_a_busy_minute_before_it_leaves() -> None:
    now = [100.0]
    pacer = Pacer(clock=lambda: now[0])
    assert pacer.recent(GROUP) == 0, "nobody is taken for a crowd"
    for _ in range(SPARE):
        now[0] += 2
        assert pacer.wait(GROUP) <= 0
        assert not pacer.free(GROUP), "courtesies wait"
        async with pacer.turn(GROUP):
            pass
    assert now[0] + pacer.wait(GROUP) == 160.0
    assert pacer.recent(GROUP) == SPARE
    assert pacer.wait(PERSON) <= 0
    now[0] = 159.0
    assert pacer.free(PERSON), "a private chat has no minute"
    assert not pacer.free(GROUP)
    now[0] = 160.0
    assert pacer.wait(GROUP) <= 0
    assert pacer.free(GROUP)
