"""One declaration, read in every way people write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import options
from bot.options import Option, Ratio, Size, Spot
from bot.texts import LANGUAGES, typed, why_not
from storage.refusal import MOST_WRONG, Refusal


@dataclass(frozen=True, slots=True)
class Paint:
    """An ask with a field of every kind."""

    prompt: Annotated[str, Option(words=True, longest=4_000)]
    aspect: Annotated[Ratio | None, Option("ar", ("aspect",))] = None
    negative: Annotated[str | None, Option("no", ("sin",), rest=True, longest=4_000)] = None
    seed: Annotated[int | None, Option("seed", low=-1, high=2**32 - 1)] = None
    steps: Annotated[int | None, Option("steps", ("s", "pasos"), low=1, high=150)] = None
    guidance: Annotated[float | None, Option("cfg", low=0, high=30)] = None
    model: Annotated[str | None, Option("model", choices="models")] = None
    size: Annotated[Size | None, Option("size", ("tamaño",))] = None
    source: Annotated[Spot | None, Option("from")] = None
    private: Annotated[bool, Option("private")] = False


@dataclass(frozen=True, slots=True)
class Quiet:
    """An ask without words."""

    page: Annotated[int, Option("page", low=0)] = 0


@dataclass(frozen=True, slots=True)
class Press:
    """A button's ask."""

    job: int
    picture: int = 0
    strong: bool = False
    name: str = ""
    prompt: Annotated[str, Option(typed=True)] = ""


COMMANDS = {"imagine": Paint, "queue": Quiet}


def paint(text: str) -> Paint:
    ask = options.parse(f"/imagine {text}", COMMANDS)
    assert isinstance(ask, Paint)
    return ask


def code(text: str) -> str:
    with pytest.raises(Refusal) as caught:
        options.parse(text, COMMANDS)
    return caught.value.code


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        ("a red fox", Paint("a red fox")),
        ("a  red\n fox ", Paint("a red fox")),
        ("it's a fox's den", Paint("it's a fox's den")),
        ("--seed 5 a fox", Paint("a fox", seed=5)),
        ("a --steps 12 fox", Paint("a fox", steps=12)),
        ("a fox --ar 16:9", Paint("a fox", aspect=Ratio(16, 9))),
        ("a fox --aspect=16:9 --s 3", Paint("a fox", aspect=Ratio(16, 9), steps=3)),
        ("a fox —seed 5", Paint("a fox", seed=5)),
        ("a fox –seed 5", Paint("a fox", seed=5)),
        ("a fox --SEED 5", Paint("a fox", seed=5)),
        ("a fox --seed -1", Paint("a fox", seed=-1)),
        ("a fox --seed −1", Paint("a fox", seed=-1)),
        ("a fox --no red, dark blue --seed 5", Paint("a fox", negative="red, dark blue", seed=5)),
        ("a fox --no red --no blue", Paint("a fox", negative="red, blue")),
        ("a fox --no", Paint("a fox", negative="")),
        ('a fox --no "red, blue" in snow', Paint("a fox in snow", negative="red, blue")),
        ("a fox --no “red, blue” in snow", Paint("a fox in snow", negative="red, blue")),
        ('a fox --no 5" nails', Paint("a fox", negative='5" nails')),
        ('a "red" fox', Paint('a "red" fox')),
        ("un zorro --tamaño 64×48", Paint("un zorro", size=Size(64, 48))),
        ("un zorro --size 64", Paint("un zorro", size=Size(64, 64))),
        ("a fox --cfg 4,5", Paint("a fox", guidance=4.5)),
        ("a fox --from 12.3", Paint("a fox", source=Spot(12, 2))),
        ("a fox --private in snow", Paint("a fox in snow", private=True)),
        ("a fox \\--seed 5", Paint("a fox --seed 5")),
        ("a fox -- really", Paint("a fox -- really")),
        ("a well-known fox--wolf", Paint("a well-known fox--wolf")),
        ("un zorro —pequeño y rojo— en la nieve", Paint("un zorro —pequeño y rojo— en la nieve")),
        ("un gato —sin botas— en casa", Paint("un gato —sin botas— en casa")),
        ("un zorro —como siempre", Paint("un zorro —como siempre")),
        ("🦊🌲", Paint("🦊🌲")),
        ("ثعلب أحمر", Paint("ثعلب أحمر")),
        ("((a fox", Paint("((a fox")),
        ("(a fox:1.3) [snow]", Paint("(a fox:1.3) [snow]")),
    ],
)
def test_people_write_flags_in_many_ways(text: str, ask: Paint) -> None:
    assert paint(text) == ask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/imagine", "empty_prompt"),
        ("/imagine   ", "empty_prompt"),
        ("/imagine --seed 5", "empty_prompt"),
        ("/imagine " + "a" * 4_001, "prompt_too_long"),
        ("/imagine a --no " + "b" * 4_001, "text_too_long"),
        ("/imagine " + "a " * 7_000, "line_too_long"),
        ("/imagine a --steps 9999", "out_of_range"),
        ("/imagine a --steps 0", "out_of_range"),
        ("/imagine a --steps x", "not_a_number"),
        ("/imagine a --steps", "missing_value"),
        ("/imagine a --steps --seed 5", "missing_value"),
        ("/imagine a --seed -2", "out_of_range"),
        (f"/imagine a --seed {2**64}", "out_of_range"),
        ("/imagine a --seed " + "9" * 5_000, "not_a_number"),
        ("/imagine a --cfg nan", "out_of_range"),
        ("/imagine a --cfg inf", "out_of_range"),
        ("/imagine a --ar 1:0", "bad_ratio"),
        ("/imagine a --ar wide", "bad_ratio"),
        ("/imagine a --size big", "bad_sides"),
        ("/imagine a --from me", "bad_spot"),
        ("/imagine a --stepz 5", "unknown_flag_near"),
        ("/imagine a —stepz 5", "unknown_flag_near"),
        ("/imagine a --zzzzzz 5", "unknown_flag"),
        ("/imagin a fox", "unknown_command_near"),
        ("/zzzz a fox", "unknown_command"),
        ("hello", "unknown_command"),
        ("/", "unknown_command"),
        ("/queue please", "needless_words"),
    ],
)
def test_what_cannot_be_done_is_a_refusal(text: str, expected: str) -> None:
    assert code(text) == expected


def test_an_unknown_flag_names_the_nearest() -> None:
    with pytest.raises(Refusal) as caught:
        paint("a fox --stepz 5")
    assert caught.value.values["near"] == "steps"


def test_the_command_may_name_its_bot_or_be_left_out() -> None:
    assert options.parse("/imagine@falopitas_bot a fox", COMMANDS) == Paint("a fox")
    assert options.parse("a fox", COMMANDS, "imagine") == Paint("a fox")
    assert options.parse("/IMAGINE a fox", COMMANDS) == Paint("a fox")


def test_a_shell_groups_its_own_words() -> None:
    ask = options.arguments(
        ["a", "red fox", "--no", "red, blue", "--seed=5", "--private", "--ar", "1:2"], Paint
    )
    assert ask == Paint("a red fox", negative="red, blue", seed=5, private=True, aspect=Ratio(1, 2))
    with pytest.raises(Refusal):
        options.arguments(["a", "--seed"], Paint)


def test_flags_inside_a_quoted_prompt_are_flags() -> None:
    """The value of a flag is one word of the shell, whatever is in it."""
    said = options.arguments(["a fox --steps 5 --no red, blue", "in snow", "--model", "a --b"], Paint)
    assert said == Paint("a fox in snow", steps=5, negative="red, blue", model="a --b")
    assert options.arguments(["a \\--steps stair"], Paint).prompt == "a --steps stair"
    twice = options.arguments(["a fox --no red", 'in snow --no "blue"', "--no", "a --b"], Paint)
    assert (twice.prompt, twice.negative) == ("a fox in snow", "red, blue, a --b")


@pytest.mark.parametrize(
    ("words", "private"),
    [
        (["a", "--private"], True), (["--private", "a"], True), (["a", "--private=no"], False),
        (["--private:yes", "a"], True), (["a --private=no"], False), (["a —private= "], True),
    ],
)  # fmt: skip
def test_a_switch_takes_a_value_only_where_it_is_bound_to_it(words: list[str], private: bool) -> None:
    assert options.arguments(words, Paint) == Paint("a", private=private)


@given(
    st.lists(
        st.sampled_from(["a fox", "it's", "--x", "—", "\\", '"', "”a", "\\--no b", "-", "=", " "]), max_size=4
    ),
    st.sampled_from([["--steps", "5"], ["--steps=5"], ["—steps", "5"]]),
)
def test_a_value_stays_as_the_shell_gave_it(words: list[str], steps: list[str]) -> None:
    """Whatever stands in it, and whatever stands before it."""
    value = " ".join(words)
    said = options.arguments(["before", "--model", value, *steps, "after", "--no", value], Paint)
    assert (said.prompt, said.steps) == ("before after", 5)
    assert (said.model or "", said.negative) == (options.plain(value), options.plain(value))


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(Refusal) as refused:
        options.read("a fox --steps x --zzzzzz 5 --ar 1:0 --seed", Paint)
    known = [refused.value.code, *(each.code for each in refused.value.also)]
    assert sorted(known) == sorted(["unknown_flag", "missing_value", "not_a_number", "bad_ratio"])
    with pytest.raises(Refusal) as refused:
        options.read("fox " + "--zzzzzz 5 " * 500, Paint)
    assert len(refused.value.also) == MOST_WRONG - 1


def test_a_form_leaves_out_what_is_empty() -> None:
    ask = options.form(
        {"prompt": "a --seed 4 fox", "ar": "", "steps": 12.0, "seed": None, "private": True}, Paint
    )
    assert ask == Paint("a --seed 4 fox", steps=12, private=True)
    for bad in ({"prompt": "a", "steps": [1]}, {"prompt": "a", "steps": 10**5000}, {"prompt": "a", "x": 1}):
        with pytest.raises(Refusal):
            options.form(bad, Paint)


def test_the_schema_knows_bounds_and_choices() -> None:
    schema = options.schema(Paint, lambda flag: f"help of {flag}", {"models": ["builtin"]})
    assert schema["required"] == ["prompt"]
    assert schema["properties"]["steps"] == {
        "type": "integer", "description": "help of steps", "minimum": 1, "maximum": 150
    }  # fmt: skip
    assert schema["properties"]["model"]["enum"] == ["builtin"]


def test_controls_are_left_out_and_counted_joiners_are_not() -> None:
    assert options.without_controls("a\x00 \u202efox\x1b[31m") == ("a fox[31m", 3)
    assert options.without_controls("👩‍🎨 می‌خواهم") == ("👩‍🎨 می‌خواهم", 0)


def test_usage_is_one_line() -> None:
    assert options.usage("imagine", Paint).startswith("/imagine PROMPT [--ar W:H] [--no …] [--seed N]")


def test_a_button_carries_what_is_not_typed() -> None:
    press = Press(7, 2, True, "a|b: é", "never carried")
    assert options.unsqueeze(options.squeeze(press), Press) == Press(7, 2, True, "a|b: é")
    assert options.squeeze(Press(7)) == ["7"]


def test_a_shell_s_grammar_would_fail_here() -> None:
    """The control: prompts are prose, and the usual splitter dies on the first apostrophe."""
    import shlex

    with pytest.raises(ValueError, match="closing quotation"):
        shlex.split("a fox's den")


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(options.plain)
tricky = st.lists(
    st.one_of(
        words,
        st.sampled_from(
            ["--seed", "—ar", "–no", "\\--seed", '"', "“", "\\", "--", "--no", "a--b", "=", "—x—", '"a" b']
        ),
    ),
    max_size=8,
).map(lambda parts: options.plain(" ".join(parts)))
paints = st.builds(
    Paint,
    prompt=tricky.filter(bool),
    aspect=st.none() | st.builds(Ratio, st.integers(1, 9999), st.integers(1, 9999)),
    negative=st.none() | tricky,
    seed=st.none() | st.integers(-1, 2**32 - 1),
    steps=st.none() | st.integers(1, 150),
    guidance=st.none() | st.floats(0, 30),
    model=st.none() | tricky.map(lambda text: text[:200].strip()),
    size=st.none() | st.builds(Size, st.integers(0, 99999), st.integers(0, 99999)),
    source=st.none() | st.builds(Spot, st.integers(0, 10**15 - 1), st.integers(0, 8)),
    private=st.booleans(),
)


@given(paints)
@settings(max_examples=300, deadline=None)
def test_line_and_parse_are_inverse(ask: Paint) -> None:
    assert options.parse(options.line("imagine", ask), COMMANDS) == ask


@dataclass(frozen=True, slots=True)
class Pay:
    """An amount that may be large, and one that may not."""

    credits: Annotated[float, Option("credits", word=True, low=0, high=1_000_000)] = 0.0
    share: Annotated[float, Option("share", low=0, high=30)] = 0.0


@pytest.mark.parametrize(
    ("text", "credits_"),
    [
        ("1000", 1_000),
        ("1.000.000", 1_000_000),
        ("1,000,000", 1_000_000),
        ("1.50", 1.5),
        ("1,1250", 1.125),
        ("1500.125", 1_500.125),
        ("2,5", 2.5),
        ("0.125", 0.125),
        ("10", 10),
    ],
)
def test_a_large_amount_has_thousands(text: str, credits_: float) -> None:
    assert options.read(text, Pay) == Pay(credits=credits_)


@pytest.mark.parametrize(
    ("text", "large", "small"),
    [
        ("1.500", 1_500, 1.5),
        ("1,500", 1_500, 1.5),
        ("12.000", 12_000, 12),
        ("999,125", 999_125, 999.125),
        ("+1.500", 1_500, 1.5),
        ("١.٥٠٠", 1_500, 1.5),
    ],
)
def test_an_amount_that_people_read_in_two_ways_is_refused_with_both(
    text: str, large: int, small: float
) -> None:
    """What is told to type in its stead is read as just that, in either language."""
    with pytest.raises(Refusal, match="unclear_amount") as caught:
        options.read(text, Pay)
    assert caught.value.values == {"value": text, "large": large, "small": small}
    for language in LANGUAGES:
        said = why_not(language, caught.value)
        for reading in (large, small):
            assert said.count(typed(language, reading)) >= 2
            assert options.read(typed(language, reading), Pay) == Pay(credits=reading)


def test_what_cannot_be_large_has_decimals() -> None:
    assert options.read("--share 7.500", Pay) == Pay(share=7.5)


@given(st.builds(Pay, st.integers(0, 10**9).map(lambda n: n / 1_000), st.floats(0, 30)))
@settings(max_examples=300, deadline=None)
def test_an_amount_is_read_back_as_it_is_written(ask: Pay) -> None:
    assert options.read(options.line("pay", ask).removeprefix("/pay"), Pay) == ask
    assert options.unsqueeze(options.squeeze(ask), Pay) == ask
    assert options.form({"credits": ask.credits, "share": ask.share}, Pay) == ask


@given(st.one_of(tricky, st.text(max_size=80)))
@settings(max_examples=300, deadline=None)
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: options.parse(text, COMMANDS, "imagine"),
        lambda: options.parse(f"/imagine {text}", COMMANDS),
        lambda: options.arguments(text.split(" "), Paint),
        lambda: options.form({"prompt": text, "seed": text}, Paint),
        lambda: options.unsqueeze(text.split(":"), Press),
    )
    for read in readers:
        try:
            read()
        except Refusal:
            continue


@pytest.mark.parametrize(
    "unit",
    ["--", "—a ", "--no ", "\\", "—stepz ", '"', ' "', '--no "', "—sin ", "a—", " ", "--seed 1 ", "(" * 10],
)
def test_parsing_takes_time_in_proportion_to_the_text(unit: str) -> None:
    """12 000 characters of anything are read in well under a second of this thread's own time."""
    text = unit * (options.LONGEST_LINE // len(unit))
    begin = time.thread_time()
    with pytest.raises(Refusal):
        options.parse("/imagine " + text[: options.LONGEST_LINE - 10] + " --zzzzzzz", COMMANDS)
    assert time.thread_time() - begin < 1.0
