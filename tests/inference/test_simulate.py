"""The simulation: everything asked for is drawn, nothing is drawn twice, and the same asks give the same
record."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path

import pytest
from PIL import Image

from inference.batch import ROW_BUCKETS
from inference.simulate import __main__ as command
from inference.simulate.clock import Ask, Machine, Record, play
from inference.simulate.mixes import MIXES
from inference.simulate.policies import POLICIES, Ours
from inference.simulate.story import Story, tell

TABLE = {1: 1.0, 2: 1.2, 4: 1.6, 8: 2.4, 16: 4.8}
MACHINE = Machine({"first": TABLE, "second": TABLE})
FAST = {rows: seconds / 50 for rows, seconds in TABLE.items()}
MACHINE_FAST = Machine({"first": FAST, "second": FAST})


def _small(seed: int = 1) -> list[Ask]:
    rng = random.Random(seed)
    return [
        Ask(rng.uniform(0, 60), f"p{rng.randrange(5)}", rng.choice(("first", "second")), rng.choice((4, 9)),
            rng.choice((1, 2)), rng.choice((1, 4)), rng.choice((1.0, 2.0)))
        for _ in range(40)
    ]  # fmt: skip


def _played(policy: str, engines: int = 1, seed: int = 1) -> Record:
    return play(_small(seed), POLICIES[policy](MACHINE, engines), MACHINE, engines)


@pytest.mark.parametrize("engines", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_everything_is_drawn_once(policy: str, engines: int) -> None:
    record = _played(policy, engines)
    assert all(job.ended >= job.began >= job.ask.at for job in record.jobs)
    given = sum(value for call in record.calls for _, value in call.given)
    assert given == pytest.approx(sum(job.cost for job in record.jobs))
    assert sum(call.seconds for call in record.calls) <= engines * record.end + 1e-9


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_asks_give_the_same_record(policy: str) -> None:
    assert _played(policy).calls == _played(policy).calls


@pytest.mark.parametrize("policy", POLICIES)
def test_a_machine_is_never_idle_while_somebody_waits(policy: str) -> None:
    record = _played(policy)
    ends, began = {0.0}, []
    for call in record.calls:
        began.append(call.end - call.seconds)
        ends.add(call.end)
    asked = {job.ask.at for job in record.jobs}
    assert all(min(abs(start - known) for known in ends | asked) < 1e-9 for start in began)


def test_alone_everybody_takes_what_it_takes_alone() -> None:
    ask = Ask(5.0, "p", "first", 10, 2, 4)
    record = play([ask], Ours(MACHINE), MACHINE)
    assert record.jobs[0].wait == pytest.approx(MACHINE.alone(ask)) == pytest.approx(24.0)


def test_two_machines_draw_twice_as_much() -> None:
    asks = [Ask(0.0, f"p{n % 7}", "first") for n in range(200)]
    one, two = (play(asks, Ours(MACHINE, n), MACHINE, n).end for n in (1, 2))
    assert one / two == pytest.approx(2.0, rel=0.05)


def _evening(members: int, engines: int) -> Story:
    asks = MIXES["evening"](MACHINE_FAST, random.Random(1), members)
    return tell(play(asks, Ours(MACHINE_FAST, engines), MACHINE_FAST, engines), MACHINE_FAST)


def test_more_members_want_more_and_another_machine_helps() -> None:
    """What an operator asks the simulation for: five thousand members fill a machine that fifty hardly use,
    and on two of it they wait less."""
    few, many, two = _evening(50, 1), _evening(5_000, 1), _evening(5_000, 2)
    assert few.rate < 0.05
    assert many.rate > 0.9
    assert two.rate <= 1.0
    assert two.groups["light"].median < 0.8 * many.groups["light"].median
    assert few.groups["light"].median < two.groups["light"].median


def test_tables_between_and_beyond_what_was_measured_are_straight_lines() -> None:
    machine = Machine({"m": {1: 1.0, 4: 4.0}})
    assert [machine.seconds("m", rows) for rows in ROW_BUCKETS] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert Machine({"m": {2: 1.0}}).seconds("m", 4) == 2.0


def test_the_story_counts_what_happened() -> None:
    story = tell(_played("fifo"), MACHINE)
    assert sum(group.asks for group in story.groups.values()) == 40
    assert all(0.0 < value <= 1.0 + 1e-9 for value in story.jain)
    assert 0.0 < story.busy <= 1.0 + 1e-9
    assert sum(values[-1] for values in story.service.values()) == pytest.approx(story.rate * story.end)


def test_whoever_has_four_shares_gets_them_from_the_beginning() -> None:
    """Although others came first: of the first fifth of what is drawn, four sevenths are the patron's."""
    record = play(MIXES["roles"](MACHINE_FAST, random.Random(1), 0), Ours(MACHINE_FAST), MACHINE_FAST)
    calls = record.calls[: len(record.calls) // 5]
    given = [dict(call.given).get("patron", 0.0) for call in calls]
    every = sum(value for call in calls for _, value in call.given)
    assert sum(given) / every == pytest.approx(4 / 7, abs=0.05)


def test_nobody_waits_out_an_allowance_from_before_the_first_picture() -> None:
    """A machine fifty times as fast as the first quantum thinks: the lone person of the other model."""
    record = play(MIXES["models"](MACHINE_FAST, random.Random(1), 0), Ours(MACHINE_FAST), MACHINE_FAST)
    assert tell(record, MACHINE_FAST).groups["light"].p95 < 40.0


def test_fair_is_fairer_than_first_come() -> None:
    """The control of every plot: what FIFO gets wrong must show."""
    stories = command.compare(MACHINE, "flood")
    assert stories["fifo"].gap > 10 * stories["falopitas"].gap
    assert stories["fifo"].groups["light"].p95 > 10 * stories["falopitas"].groups["light"].p95
    assert min(stories["fifo"].jain) < 0.5 < min(stories["falopitas"].jain)


@pytest.mark.parametrize("mix", MIXES)
def test_the_command_prints_figures_and_draws_its_plots(
    mix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = json.dumps({"title": "Quién espera, ñandú"}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(words)))
    assert command.main(["--mix", mix, "--members", "5", "--png", str(tmp_path / "plots.png")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["policies"]) == set(POLICIES)
    with Image.open(tmp_path / "plots.png") as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20


def test_what_was_measured_here_is_used(tmp_path: Path) -> None:
    assert command.speeds("", tmp_path)[0] == "sd15-512"
    kept = {"model cpu": {"8x8x77": {"1": 0.1, "2": 0.15, "4": 0.2}, "9x9x77": {"1": 1.0}}}
    (tmp_path / command.STEPS_FILE).write_text(json.dumps(kept))
    assert command.speeds("", tmp_path) == ("measured", {1: 0.1, 2: 0.15, 4: 0.2})
    (tmp_path / command.STEPS_FILE).write_text("{ broken")
    assert command.speeds("", tmp_path)[0] == "sd15-512"
