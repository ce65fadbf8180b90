"""Who asks for what: the people of a simulation. Times are in units of one usual picture drawn alone, but for
the evening's, which are a person's: seconds."""

from __future__ import annotations

import random
from collections.abc import Callable

from inference.simulate.clock import Ask, Machine

HOUR, ASKS = 3_600.0, 400
"""Seconds between two asks of a member, and how many asks of everybody make an evening."""

Mix = Callable[[Machine, random.Random, int], list[Ask]]


def usual(machine: Machine) -> float:
    """Seconds of a usual picture, drawn alone."""
    return machine.alone(Ask(0.0, "", first(machine)))


def first(machine: Machine) -> str:
    """The first model."""
    return next(iter(machine.tables))


def flood(machine: Machine, rng: random.Random, members: int) -> list[Ask]:
    """One person asks for 300 pictures at once, one keeps 80 waiting, six ask for one now and then."""
    model, one = first(machine), usual(machine)
    asks = [Ask(0.0, "flood", model, group="flood") for _ in range(300)]
    asks += [Ask(0.0, "steady", model, group="steady") for _ in range(80)]
    for person in range(6):
        asks += [
            Ask(at * one, f"light{person}", model, group="light")
            for at in _poisson(rng, every=9.0, until=130.0)
        ]
    return asks


def evening(machine: Machine, rng: random.Random, members: int) -> list[Ask]:
    """Members who each ask about once an hour, for one picture or a grid of four: twice as many members want
    twice as much, whatever the machine can."""
    model, long = first(machine), ASKS * HOUR / members
    asks = []
    for person in range(members):
        for at in _poisson(rng, every=HOUR, until=long):
            steps, rows = rng.choice((12, 20, 25, 25, 40)), rng.choice((1, 2, 2))
            asks.append(Ask(at, f"m{person}", model, steps, rows, rng.choice((1, 4, 4)), group="light"))
    return asks or [Ask(0.0, "m0", model, group="light")]


def roles(machine: Machine, rng: random.Random, members: int) -> list[Ask]:
    """Three people with shares of 1, 2 and 4, each with more than enough to do."""
    model = first(machine)
    shares = {"member": 1.0, "helper": 2.0, "patron": 4.0}
    return [
        Ask(0.0, name, model, weight=weight, group=name)
        for name, weight in shares.items()
        for _ in range(int(40 * weight))
    ]


def newcomers(machine: Machine, rng: random.Random, members: int) -> list[Ask]:
    """Five people draw all the time; every while somebody comes for the first time and asks for one."""
    model, one = first(machine), usual(machine)
    asks = [Ask(0.0, f"old{n}", model, group="steady") for n in range(5) for _ in range(60)]
    coming = _poisson(rng, every=5.0, until=90.0)
    return asks + [Ask(at * one, f"new{n}", model, group="light") for n, at in enumerate(coming)]


def models(machine: Machine, rng: random.Random, members: int) -> list[Ask]:
    """Two models: nine in ten want the first, and those of the second should not notice."""
    first_, *others = machine.tables
    other, one = (others or [first_])[0], usual(machine)
    asks = [Ask(0.0, f"hot{n}", first_, group="steady") for n in range(9) for _ in range(30)]
    return asks + [
        Ask(at * one, "cool", other, group="light") for at in _poisson(rng, every=16.0, until=130.0)
    ]


def _poisson(rng: random.Random, every: float, until: float) -> list[float]:
    found, at = [], rng.expovariate(1.0 / every)
    while at < until:
        found.append(at)
        at += rng.expovariate(1.0 / every)
    return found


MIXES: dict[str, Mix] = {
    "flood": flood, "evening": evening, "roles": roles, "newcomers": newcomers, "models": models,
}  # fmt: skip
