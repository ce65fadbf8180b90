"""What a community decides beside allowances: who may ask for what, where and when.

A community is a server or a group (``discord:guild``); '' is the house, whose policy stands under everybody
else's. A channel's policy says only what differs there.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from inference.request import MAX_COUNT, MAX_SIDE, MAX_STEPS, Name, Request
from storage.calendar import TARIFFS, Hours, Tariff
from storage.refusal import Refusal

HOUSE = ""
"""The community of everybody who is in none: private chats, the page, the terminal."""
Word = Annotated[str, Meta(max_length=100)]
GIFTS = 20_000
"""Units a person may give away a day, and get, where nobody decided."""
NSFW = ("withhold", "spoiler", "allow")
"""What becomes of a finished picture that a safety check flags."""
FLAGGED, FLAGGED_ADULT = "withhold", "spoiler"
"""The same where nobody decided: in general, and in channels for adults."""


class Policy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """None is "as it is above": a channel under its community, that under the house, that under nothing.

    ``burst`` asks a minute, ``at_once`` unfinished jobs a person; ``side`` in pixels; ``only`` are the open
    channels (empty: all); ``who`` the roles that may ask (empty: everybody); ``desk`` is the place of
    moderators' cards; ``retention`` in days (0 keeps pictures); ``weights`` are shares of a busy machine;
    ``nsfw`` is what becomes of flagged pictures, ``adult`` the same in channels for adults. ``crowd`` asks a
    minute of everybody together; ``newcomers``' share of a busy machine; until ``raid`` (Unix s) they wait.
    """

    language: Annotated[str, Meta(max_length=16)] | None = None
    zone: Word | None = None
    hours: tuple[Hours, ...] | None = None
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] | None = None
    side: Annotated[int, Meta(ge=16, le=MAX_SIDE)] | None = None
    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)] | None = None
    at_once: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    burst: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    models: tuple[Name, ...] | None = None
    only: tuple[Word, ...] | None = None
    who: tuple[Word, ...] | None = None
    nsfw: Annotated[str, Meta(pattern="^(withhold|spoiler|allow)$")] | None = None
    adult: Annotated[str, Meta(pattern="^(withhold|spoiler|allow)$")] | None = None
    retention: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    gifts: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    weights: dict[str, Annotated[float, Meta(gt=0.0, le=100.0)]] | None = None
    desk: Annotated[str, Meta(max_length=300)] | None = None
    crowd: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    newcomers: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    raid: Annotated[float, Meta(ge=0.0)] | None = None


NOTHING = Policy()
_policy = msgspec.json.Decoder(Policy)


def said(tx: sqlite3.Connection, community: str, channel: str = "") -> Policy:
    """What was decided for this community (or for one channel of it) itself."""
    row = tx.execute(
        "SELECT said FROM policy WHERE community = ? AND channel = ?", (community, channel)
    ).fetchone()
    return NOTHING if row is None else _policy.decode(row[0])


def save(tx: sqlite3.Connection, community: str, channel: str, policy: Policy) -> None:
    """Decide; nothing decided is no row."""
    if policy == NOTHING:
        tx.execute("DELETE FROM policy WHERE community = ? AND channel = ?", (community, channel))
        return
    tx.execute(
        "INSERT INTO policy (community, channel, said) VALUES (?, ?, ?) "
        "ON CONFLICT (community, channel) DO UPDATE SET said = excluded.said",
        (community, channel, msgspec.json.encode(policy).decode()),
    )


def differing(before: Policy, after: Policy) -> dict[str, Any]:
    """The parts that are not what they were, as they can be recorded; None is taken back. Each tariff's hours
    are a part: what is said of one stands in ``hours``, one that is taken back is ``hours.free``.
    """
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    found = {name: new.get(name) for name in after.__struct_fields__ if old.get(name) != new.get(name)}
    if "hours" not in found:
        return found
    tariffs = retariffed(before, after)
    found["hours"] = [each for each in found["hours"] or () if each[2] in tariffs]
    if not found["hours"]:
        del found["hours"]
    return found | {f"{HOURS_OF}{each}": None for each in tariffs if not at_tariff(after, each)}


HOURS_OF = "hours."
"""What stands before a tariff whose hours were taken back."""


def retariffed(before: Policy, after: Policy) -> tuple[Tariff, ...]:
    """The tariffs whose hours are not what they were."""
    return tuple(each for each in TARIFFS if at_tariff(before, each) != at_tariff(after, each))


def at_tariff(policy: Policy, tariff: Tariff) -> tuple[Hours, ...]:
    """The hours of one tariff."""
    return tuple(each for each in policy.hours or () if each.tariff == tariff)


def counts(tx: sqlite3.Connection, community: str, channel: str = "") -> Policy:
    """What counts there: the channel's word over the community's over the house's; of raids the longest."""
    layers = dict.fromkeys([(community, channel), (community, ""), (HOUSE, "")])
    policies = [said(tx, *layer) for layer in layers]
    parts = {
        name: next((value for each in policies if (value := getattr(each, name)) is not None), None)
        for name in Policy.__struct_fields__
    }
    raids = [each.raid for each in policies if each.raid is not None]  # one that is over hides no other
    return Policy(**parts | {"raid": max(raids, default=None)})


def channels(tx: sqlite3.Connection, community: str) -> tuple[tuple[str, Policy], ...]:
    """The channels of a community that differ, and how."""
    rows = tx.execute(
        "SELECT channel, said FROM policy WHERE community = ? AND channel <> '' ORDER BY channel",
        (community,),
    ).fetchall()
    return tuple((channel, _policy.decode(text)) for channel, text in rows)


_RETENTIONS_SQL = """
    SELECT community, channel, json_extract(said, '$.retention') FROM policy
    WHERE json_extract(said, '$.retention') IS NOT NULL
"""


def retentions(tx: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """Every community (its channel is '') and channel that said for how many days it keeps pictures."""
    return {(community, channel): int(n) for community, channel, n in tx.execute(_RETENTIONS_SQL).fetchall()}


def kept_for(said: dict[tuple[str, str], int], community: str, channel: str, otherwise: int) -> int:
    """Days for which a picture from there is kept, 0 for ever: what the channel says, else the community,
    else the house, else ``otherwise``.
    """
    layers = ((community, channel), (community, ""), (HOUSE, ""))
    return next((said[each] for each in layers if each in said), otherwise)


def flagged(tx: sqlite3.Connection, community: str, channel: str, *, adult: bool) -> str:
    """What becomes of flagged pictures there (``NSFW``): what was said of that very channel, else what counts
    in its community for channels like it.
    """
    own = said(tx, community, channel).nsfw if channel else None
    there = counts(tx, community)
    usual = (there.adult or FLAGGED_ADULT) if adult else (there.nsfw or FLAGGED)
    return own or usual


def check_request(policy: Policy, request: Request) -> None:
    """Refuse what is more than may be asked for here: limit_steps, limit_side, limit_count, limit_model."""
    if policy.steps is not None and request.steps > policy.steps:
        raise Refusal("limit_steps", value=request.steps, limit=policy.steps)
    side = 0 if request.enlarge > 1 else max(request.width, request.height)
    if policy.side is not None and side > policy.side:
        raise Refusal("limit_side", value=side, limit=policy.side)
    if policy.count is not None and request.count > policy.count:
        raise Refusal("limit_count", value=request.count, limit=policy.count)
    if policy.models and request.model not in policy.models:
        raise Refusal("limit_model", value=request.model, limit=", ".join(policy.models))
