"""`falopitas simulate` and `stats`, as an operator sees them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot import rehearse, whatif
from bot.__main__ import Mix
from bot.config import load
from bot.speed import Speed
from bot.texts import say
from storage.refusal import Refusal


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_simulation_is_a_table_and_a_sheet_of_plots(language: str, tmp_path: Path) -> None:
    said: list[str] = []
    config = replace(load(None, {}), data_dir=tmp_path)
    out = tmp_path / "plots.png"
    rehearse.simulate(
        config, language, said.append, mix="newcomers", engines=1, members=5, machine="", seed=1, out=out
    )
    assert out.read_bytes().startswith(b"\x89PNG")
    text = "".join(said)
    assert str(out) in text
    assert say(language, "simulate.mix.newcomers") in text
    assert "sd15-512" in text, "nothing was measured: it says what it is played on"
    ours, new, old = text[text.index("\nFalopitas") :].splitlines()[1:4]
    assert ours.endswith("%"), "how fast is one figure for everybody, not one a person"
    assert [each.strip().split("  ")[0] for each in (new, old)] == [
        say(language, f"simulate.{group}") for group in ("light", "steady")
    ]
    assert new.count("×") == old.count("×") == 2
    assert "%" not in new + old


@pytest.mark.parametrize(
    ("measured", "machine", "english"),
    [
        (True, "", "They share 2 machines like this one, at the speed that was measured here."),
        (False, "", "They share 2 machines: large GPUs (sd15-512), as nothing was measured on this one yet."),
        (True, "sdxl-512", "They share 2 machines: large GPUs (sdxl-512)."),
    ],
)
def test_it_says_which_machine_it_is(tmp_path: Path, measured: bool, machine: str, english: str) -> None:
    if measured:
        steps = {"builtin float32 cpu": {"16x16": {1: 0.1, 8: 0.4}}}
        (tmp_path / "steps.json").write_text(json.dumps(steps))
    said: list[str] = []
    config = replace(load(None, {}), data_dir=tmp_path)
    rehearse.simulate(
        config, "en", said.append, mix="evening", engines=2, members=1, machine=machine, seed=1,
        out=tmp_path / "plots.png",
    )  # fmt: skip
    assert said[0] == "1 member asks about once an hour, for one picture or for four.\n"
    assert said[1] == english + "\n"
    assert "<1%" in "".join(said), "hardly anything is asked for, but that is drawn"


def test_a_machine_that_is_not_known_is_refused(tmp_path: Path) -> None:
    config = replace(load(None, {}), data_dir=tmp_path)
    with pytest.raises(Refusal, match="bad_machine"):
        rehearse.simulate(
            config,
            "en",
            print,
            mix="flood",
            engines=1,
            members=5,
            machine="tpu",
            seed=1,
            out=tmp_path / "x.png",
        )


def test_the_command_knows_every_mix_and_machine_of_the_simulation() -> None:
    """The bot imports none of the engine's code, so its lists are its own: they must be equal."""
    from inference.simulate.__main__ import PRESETS, WORDS
    from inference.simulate.mixes import MIXES

    assert {mix.value for mix in Mix} == set(MIXES)
    assert set(rehearse.MACHINES) == set(PRESETS)
    assert set(whatif.MIXES) == set(MIXES)
    assert set(WORDS) <= {*whatif.WORDS, "time"}


def test_stats_say_how_well_promises_were_kept(tmp_path: Path) -> None:
    said: list[str] = []
    config = replace(load(None, {}), data_dir=tmp_path)
    speed = Speed(tmp_path)
    for n in range(50):
        speed.kept(10.0, 8.0 + 0.1 * n)
    rehearse.stats(config, "en", said.append)
    assert "50" in said[0]
    assert json.loads((tmp_path / "promises.json").read_text())[0] == 0.8


def test_stats_count_from_the_first_wait_and_say_what_is_missing(tmp_path: Path) -> None:
    """Nothing measured, measured but nobody told, one wait: three different things."""
    said: list[str] = []
    config = replace(load(None, {}), data_dir=tmp_path)
    rehearse.stats(config, "en", said.append)
    speed = Speed(tmp_path)
    speed.learn({"builtin": 2.0})
    rehearse.stats(config, "en", said.append)
    assert ["been measured here" in said[0], "still loading" in said[1]] == [True, True]
    speed.kept(10.0, 12.5)
    rehearse.stats(config, "es", said.append)
    assert said[2].startswith("La única vez")
    assert "1,25" in said[4]
    assert "≤ 0,25" in said[5]
