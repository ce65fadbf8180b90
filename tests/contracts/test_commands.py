"""Every command: help in every language, an example that parses, the chats' limits, a line in the README."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import commands, options, texts
from bot.commands import BUTTONS, COMMANDS, MODERATION, Command
from bot.commands.common import LAST_JOB
from bot.commands.help import Help
from bot.commands.imagine import Imagine
from bot.commands.listing import table
from bot.commands.mod.people import Block
from bot.config import ROOT
from bot.desk import Desk
from bot.options import Ratio, Size, Spot
from bot.options.value import written
from storage.refusal import Refusal
from tests.fakes.engine import FakeEngine
from tests.fakes.room import room

READMES = {"en": "README.md", "es": "README.es.md"}
FLAG = re.compile(r"[a-z0-9_-]{1,32}")
NAME = re.compile(r"[a-z0-9_]{1,32}( [a-z0-9_]{1,32}){0,2}")
ALL = COMMANDS + MODERATION

each_command = pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
each_ask = pytest.mark.parametrize("command", ALL + BUTTONS, ids=lambda command: command.name)
each_language = pytest.mark.parametrize("language", texts.LANGUAGES)


def test_names_are_one_of_a_kind() -> None:
    names = [name for each in ALL + BUTTONS for name in (each.name, *each.aliases)]
    assert len(names) == len(set(names))
    assert len({each.ask for each in ALL + BUTTONS}) == len(ALL + BUTTONS)


def test_a_root_has_as_many_parts_as_discord_takes() -> None:
    """At most 25 parts of a root, and of a group in it; a group is no command itself."""
    paths = [each.name.split() for each in MODERATION if " " in each.name]
    for depth in (1, 2):
        for root in {tuple(path[:depth]) for path in paths if len(path) > depth}:
            parts = {path[depth] for path in paths if tuple(path[:depth]) == root}
            assert len(parts) <= 25
    groups = {tuple(path[:2]) for path in paths if len(path) == 3}
    assert not groups & {tuple(path) for path in paths}


@each_ask
def test_it_is_a_frozen_dataclass_and_an_async_generator(command: Command) -> None:
    import inspect

    assert dataclasses.is_dataclass(command.ask)
    assert command.ask.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert inspect.isasyncgenfunction(command.answer)


@each_command
@each_language
def test_it_has_help_in_every_language(command: Command, language: str) -> None:
    assert texts.say(language, f"command.{command.key}.summary")
    for field in options.fields_of(command.ask):
        assert texts.say(language, f"command.{command.key}.flag.{field.flag}")


@each_command
@each_language
def test_it_parses_its_own_example(command: Command, language: str) -> None:
    ask = commands.read(texts.say(language, f"command.{command.key}.example"))
    assert type(ask) is command.ask
    assert commands.read(commands.line(ask)) == ask


@each_command
@each_language
def test_it_fits_discord_and_telegram(command: Command, language: str) -> None:
    assert NAME.fullmatch(command.name)
    assert len(texts.say(language, f"command.{command.key}.summary")) <= 100
    fields = options.fields_of(command.ask)
    assert len(fields) <= 25
    for field in fields:
        assert FLAG.fullmatch(field.flag)
        assert len(texts.say(language, f"command.{command.key}.flag.{field.flag}")) <= 100
    required = [field.required for field in fields]
    assert required == sorted(required, reverse=True)


def test_a_telegram_menu_holds_them_all() -> None:
    assert len(COMMANDS) <= 100


@each_command
def test_flags_and_aliases_are_one_of_a_kind(command: Command) -> None:
    names = [
        name
        for field in options.fields_of(command.ask)
        if not field.option.words
        for name in (field.flag, *field.option.aliases)
    ]
    assert len(names) == len(set(names))


async def test_options_of_their_own_say_what_the_line_says(tmp_path: Path) -> None:
    """As Discord sends them: no word of a reason is taken for whom it is about."""
    async with room(tmp_path, engine=FakeEngine()) as house:
        desk = Desk(house.app)
        for command, language in itertools.product(ALL, texts.LANGUAGES):
            ask = commands.read(texts.say(language, f"command.{command.key}.example"))
            said = {field.flag: getattr(ask, field.name) for field in options.fields_of(command.ask)}
            values = {flag: _sent(value) for flag, value in said.items() if value not in (None, "", False)}
            assert desk.read(command.name, values) == ask, (command.name, values)


def _sent(value: object) -> object:
    """What a picker, a number's option or a text holds."""
    return value if isinstance(value, bool | int | float | str) else written(value)


async def test_flags_behind_a_reason_are_read_and_mistakes_are_said_once(tmp_path: Path) -> None:
    async with room(tmp_path, engine=FakeEngine()) as house:
        desk = Desk(house.app)
        read = desk.read("mod block", {"person": "discord:5", "why": "floods the channel --days 3"})
        assert read == Block("discord:5", "floods the channel", 3)
        with pytest.raises(Refusal, match="text_too_long") as caught:
            desk.read("mod picture", {"job": 3, "as": "spoiler, please", "why": "too crude"})
        assert caught.value.also == ()


@each_command
def test_its_form_is_a_json_schema(command: Command) -> None:
    jsonschema = pytest.importorskip("jsonschema")

    schema = options.schema(
        command.ask,
        lambda flag: texts.say("es", f"command.{command.key}.flag.{flag}"),
        {"models": ["builtin"]},
    )
    jsonschema.Draft202012Validator.check_schema(schema)


VALUES: dict[type, st.SearchStrategy[object]] = {
    int: st.integers(0, LAST_JOB),
    float: st.floats(0, 1),
    bool: st.booleans(),
    str: st.sampled_from(["", "es", "a b", "ñ"]),
    Ratio: st.builds(Ratio, st.integers(1, 9), st.integers(1, 9)),
    Size: st.builds(Size, st.integers(1, 99), st.integers(1, 99)),
    Spot: st.builds(Spot, st.integers(1, LAST_JOB), st.integers(0, 3)),
}


def asks(command: Command) -> st.SearchStrategy[object]:
    """Asks of this command as a button may carry them: numbers as large as they get."""
    fields = {}
    for field in options.fields_of(command.ask):
        low, high = field.option.low, field.option.high
        value = VALUES[field.type]
        if field.type is int and low is not None and high is not None:
            value = st.integers(int(low), int(high)) | st.just(int(high))
        fields[field.name] = value if field.required else value | st.just(field.default)
    return st.builds(command.ask, **fields)


@pytest.mark.parametrize("command", BUTTONS, ids=lambda command: command.name)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_button_s_ask_fits_64_bytes_and_comes_back(command: Command, data: st.DataObject) -> None:
    ask = data.draw(asks(command))
    packed = commands.pack(ask)
    assert len(packed.encode()) <= 64
    field = commands.form_field(ask)
    bare = dataclasses.replace(ask, **{field: ""}) if field else ask  # type: ignore[type-var]
    assert commands.unpack(packed) == bare
    if field:
        assert commands.unpack(packed, "typed") == dataclasses.replace(ask, **{field: "typed"})  # type: ignore[type-var]


@given(st.text(max_size=70) | st.from_regex(r"[a-z]{2,8}(:[0-9a-z%]{0,9}){0,5}", fullmatch=True))
@settings(max_examples=500, deadline=None)
def test_a_forged_button_is_an_ask_or_a_refusal(packed: str) -> None:
    try:
        ask = commands.unpack(packed)
    except Refusal as refusal:
        outcome: object = refusal.code
    else:
        outcome = type(ask)
    assert outcome in {"bad_button"} | {each.ask for each in ALL + BUTTONS}


@each_language
def test_it_is_in_the_readme(language: str) -> None:
    readme = ROOT / READMES[language]
    if not readme.exists():
        pytest.skip(f"{readme.name} is not written yet")
    assert table(language) in readme.read_text("utf-8")


@each_language
def test_the_table_names_every_command(language: str) -> None:
    rows = table(language).splitlines()
    assert len(rows) == len(COMMANDS) + 2
    assert all(row.startswith("|") and row.endswith("|") for row in rows)


def test_the_spanish_readme_names_every_command_in_spanish() -> None:
    text = (ROOT / READMES["es"]).read_text("utf-8")
    (named,) = [part for part in text.split("\n\n") if part.startswith("También se entienden en español")]
    said = re.findall(r"`(/\w+)`", named)
    names = {alias: each for each in COMMANDS for alias in each.aliases}
    assert [names[each.removeprefix("/")] for each in said] == list(COMMANDS)
    flags = {flag for each in COMMANDS for flag in options.flags_of(each.ask)}
    assert set(re.findall(r"`--(\w+)`", named)) <= flags


@each_command
def test_help_behind_a_command_shows_its_help(command: Command) -> None:
    for word in ("--help", "--ayuda"):
        assert commands.read(f"/{command.name} {word}") == Help(command.name)
    assert commands.read("a fox --help --n 2", "imagine") == Help("imagine")
    assert commands.read(r"/imagine a fox \--help") == Imagine("a fox --help")


@each_language
def test_no_list_of_flags_or_choices_is_empty(language: str) -> None:
    with pytest.raises(Refusal, match="unknown_flag_none") as caught:
        commands.read("/styles --zzzz")
    assert ": ." not in texts.why_not(language, caught.value)
    with pytest.raises(Refusal, match="missing_choice") as caught:
        commands.read("/mod community --nsfw")
    assert "withhold, spoiler, allow" in texts.why_not(language, caught.value)


def test_an_example_of_a_number_is_one_that_its_flag_takes() -> None:
    for said, code, example in (
        ("--n 1,5", "not_whole", "--n 4"),
        ("--n x", "not_a_number", "--n 4"),
        ("--cfg x", "not_a_number", "12"),
        ("--strength x", "not_a_number", "--strength 1"),
    ):
        with pytest.raises(Refusal, match=code) as caught:
            commands.read(f"/imagine a fox {said}")
        assert example in texts.why_not("en", caught.value)
