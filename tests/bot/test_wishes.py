"""What moderators say in their own words, in either language, and what is not understood."""

from __future__ import annotations

import time

import pytest

from bot.commands.mod.wishes import Portion, Wishes, means, read
from storage.calendar import Hours
from storage.refusal import Refusal

DAY, WEEK, MONTH = (Portion("members", 20.0, period) for period in ("day", "week", "month"))
NIGHT = Hours(1_320, 480, "free")


@pytest.mark.parametrize(
    ("text", "portion"),
    [
        ("members 20 a day", DAY),
        ("members: 20/day", DAY),
        ("20 credits per day for members", DAY),
        ("members get 20 pictures each day", DAY),
        ("each members can spend 20 daily", DAY),
        ("members = 20 weekly", WEEK),
        ("members 20 a month", MONTH),
        ("members 20", DAY),
        ("20 a day", Portion("everybody", 20.0, "day")),
        ("20 al día", Portion("everybody", 20.0, "day")),
        ("20 pictures per person per day", Portion("everybody", 20.0, "day")),
        ("todo el mundo 20 por semana", Portion("todo el mundo", 20.0, "week")),
        ("los miembros tienen 2,5 créditos por día", Portion("miembros", 2.5, "day")),
        ("20 al mes para amigos", Portion("amigos", 20.0, "month")),
        ("@role:55 100", Portion("@role:55", 100.0, "day")),
        ("#discord:9 7", Portion("#discord:9", 7.0, "day")),
        ("Café con leche 3 diarios", Portion("Café con leche", 3.0, "day")),
    ],
)
def test_allowances(text: str, portion: Portion) -> None:
    assert read(text) == Wishes(portions=(portion,))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("nights free", NIGHT),
        ("free at night", NIGHT),
        ("the nights are free", NIGHT),
        ("free 22-8", NIGHT),
        ("from 22 to 8 free", NIGHT),
        ("noches gratis", NIGHT),
        ("gratis de noche", NIGHT),
        ("las noches son gratis", NIGHT),
        ("gratis de 22 a 8", NIGHT),
        ("de 22:30 a 8:00 gratis", Hours(1_350, 480, "free")),
        ("half price 13-15", Hours(780, 900, "half")),
        ("a mitad de precio de 13 a 15", Hours(780, 900, "half")),
        ("closed between 2 and 6", Hours(120, 360, "closed")),
        ("cerrado 2-6", Hours(120, 360, "closed")),
    ],
)
def test_hours(text: str, hours: Hours) -> None:
    assert read(text) == Wishes(hours=(hours,))


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("4 at a time", "at_once", 4),
        ("at most 4 jobs at once each", "at_once", 4),
        ("de a 4 a la vez", "at_once", 4),
        ("máximo 4 trabajos a la vez", "at_once", 4),
        ("4 en paralelo como mucho", "at_once", 4),
        ("3 a minute", "burst", 3),
        ("3 pedidos por minuto", "burst", 3),
        ("30 steps", "steps", 30),
        ("hasta 30 pasos", "steps", 30),
        ("max 512 pixels a side", "side", 512),
    ],
)
def test_limits(text: str, name: str, number: int) -> None:
    assert read(text) == Wishes(limits=((name, number),))


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("only #art", Wishes(only=("#art",))),
        ("#art only", Wishes(only=("#art",))),
        ("only in #art and #sketches", Wishes(only=("#art", "#sketches"))),
        ("only #art, #sketches", Wishes(only=("#art", "#sketches"))),
        ("solo aquí", Wishes(only=("#here",))),
        ("only in this channel", Wishes(only=("#here",))),
        ("solo para @amigos", Wishes(roles=("amigos",))),
        ("only @role:5 and @role:6", Wishes(roles=("role:5", "role:6"))),
        ("Madrid time", Wishes(zone="Madrid")),
        ("time zone: America/Montevideo", Wishes(zone="America/Montevideo")),
        ("hora de Buenos Aires", Wishes(zone="Buenos Aires")),
        ("zona horaria Madrid", Wishes(zone="Madrid")),
    ],
)
def test_places_people_and_clocks(text: str, wishes: Wishes) -> None:
    assert read(text) == wishes


def test_many_at_once_however_they_are_set_apart() -> None:
    said = "members 20 a day and supporters 100 a week; only #art,\n4 at a time. Nights free."
    assert read(said) == Wishes(
        portions=(Portion("members", 20.0, "day"), Portion("supporters", 100.0, "week")), only=("#art",),
        hours=(NIGHT,), limits=(("at_once", 4),),
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["make it nice", "members many", "nights", "4", "only", "#art", "a fox at night"]
)
def test_what_says_nothing_is_said_back_and_nothing_is_guessed(text: str) -> None:
    assert not means(text)
    with pytest.raises(Refusal) as caught:
        read(f"members 20 a day, {text}")
    assert (caught.value.code, caught.value.values["text"]) == ("unclear_wish", text)
    assert means("members 20 a day"), "the control"


@pytest.mark.parametrize(
    ("text", "credits_"),
    [
        ("members 1000 a day", 1_000.0), ("1500 por mes", 1_500.0), ("1.000.000 por mes", 1_000_000.0),
        ("members 1,000,000 a day", 1_000_000.0), ("members 0.125 a day", 0.125), ("members 2,5 a day", 2.5),
    ],
)  # fmt: skip
def test_an_amount_has_thousands_or_decimals(text: str, credits_: float) -> None:
    assert [each.credits for each in read(text).portions] == [credits_]


@pytest.mark.parametrize("text", ["members 1.500 a day", "1,000 por mes", "only #art, members 1.000"])
def test_a_number_that_people_read_in_two_ways_is_asked_about(text: str) -> None:
    """Also without ``setup``: it is a wish, and nothing is guessed."""
    assert means(text)
    with pytest.raises(Refusal, match="unclear_amount"):
        read(text)


def test_a_number_that_mixes_comma_and_point_is_said_back() -> None:
    with pytest.raises(Refusal, match="unclear_wish"):
        read("members 1.234,567 a day")


@pytest.mark.parametrize(
    "piece",
    ["#a,", "a ", "#a ", "@a,", "1 ", "a b c ", "only #a and ", "from 1 to ", "1 a ", " ", "1;", "\n", "y "],
)
def test_reading_takes_no_time_whatever_anybody_writes(piece: str) -> None:
    """A line is read on the loop that answers everybody, before anybody knows who may."""
    for text in ((piece * 12_000)[:11_990], (piece * 1_000)[:999]):
        begun = time.thread_time()
        assert not means(f"1{text}x")
        assert time.thread_time() - begun < 0.25
