"""What people type: every flag as an option and by hand, suggestions, pictures, and text that means harm."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.discord import escape, hear
from bot.talk import Attachment, Call
from inference.request import MAX_PROMPT
from storage import jobs
from storage.jobs import Job
from storage.refusal import Refusal
from tests.bot.adapters.discord.server import Server, media, said, server
from tests.bot.adapters.discord.test_late import order
from tests.bot.adapters.discord.test_private import draw
from tests.fakes.engine import FakeEngine, png

BY_HAND = (
    "a fox --ar 3:2 --no trees, snow --seed 5 --steps 3 --cfg 2.5 --n 2 --model builtin --style flat "
    "--sampler euler"
)
OPTIONS = {
    "ar": "3:2", "no": "trees, snow", "seed": 5, "steps": 3, "cfg": 2.5, "n": 2, "model": "builtin",
    "style": "flat", "sampler": "euler",
}  # fmt: skip


async def drawn(house: Server, **options: Any) -> Job:
    before = await house.app.database.read(lambda tx: tx.execute("SELECT count(*) FROM job").fetchone())
    result = await house.join("ana").slash(house.channel, "imagine", **options)
    answer = await house.answer(result)
    assert not answer.ephemeral, said(answer)
    return await house.job(before[0] + 1)


async def test_every_flag_says_the_same_as_an_option_and_by_hand(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        as_options = await drawn(house, prompt="a fox", **OPTIONS)
        by_hand = await drawn(house, prompt=BY_HAND)
        assert as_options.request == by_hand.request
        assert as_options.request.negative == "trees, snow"
        mixed = await drawn(house, prompt="a fox --n 4 --seed 9", n=1)
        assert (mixed.request.count, mixed.request.seed) == (1, 9), "an option wins over a flag"


async def test_a_size_and_a_beginning_say_the_same_as_options_and_by_hand(tmp_path: Path) -> None:
    """The flags that exclude ``--ar``; what one begins with must have been drawn before."""
    async with server(tmp_path) as house:
        await house.imagine(prompt="a red fox", n=1, size="96x64")
        flags = {"size": "96x64", "from": "1.1", "strength": 0.4, "n": 1, "seed": 5}
        as_options = await drawn(house, prompt="a fox", **flags)
        by_hand = await drawn(house, prompt="a fox --size 96x64 --from 1.1 --strength 0.4 --n 1 --seed 5")
        assert as_options.request == by_hand.request
        request = by_hand.request
        assert (request.width, request.height, request.strength) == (96, 64, 0.4)
        assert request.source
        assert (by_hand.parent, by_hand.parent_index) == (1, 0)


@pytest.mark.parametrize(
    ("option", "typed", "offered"),
    [
        ("model", "buil", "builtin"),
        ("style", "fl", "flat"),
        ("style", "", "none"),
        ("sampler", "EUL", "euler"),
    ],
)
async def test_what_could_be_meant_is_offered_from_memory(
    tmp_path: Path, option: str, typed: str, offered: str
) -> None:
    async with server(tmp_path) as house:
        ana = house.join("ana")
        choices = await ana.autocomplete(house.channel, "imagine", option, typed, prompt="x")
        assert offered in [each["value"] for each in choices]
        assert len(choices) <= 25
        nothing = await ana.autocomplete(house.channel, "imagine", option, "zzzz", prompt="x")
        assert nothing == []


async def test_free_text_in_a_suggested_option_is_checked_again(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        result = await house.join("ana").slash(house.channel, "imagine", prompt="x", style="flet")
        answer = await house.answer(result)
        assert answer.ephemeral
        assert "Did you mean flat" in said(answer)


async def test_a_picture_can_come_with_it(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        await order(house, picture=("cat.png", png(64, 64, 3)), strength=0.4)
        job = await house.job(1)
        assert job.request.source
        assert job.request.strength == 0.4


async def test_a_picture_that_is_none_costs_nothing(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        ana = house.join("ana")
        result = await ana.slash(house.channel, "imagine", prompt="x", picture=("cat.png", b"no picture"))
        await house.until(lambda: (result.response and result.response.ephemeral) or result.followups)
        assert await house.app.database.read(jobs.get, 1) is None


async def test_a_picture_over_the_limit_is_refused_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord says how large it is; who says too little is not believed either."""
    monkeypatch.setattr("bot.converse.MAX_BYTES", 2**20)
    async with server(tmp_path, engine=FakeEngine()) as house:
        large = noise(2**20 + 1)
        ana = house.join("ana")
        answer = await house.answer(
            await ana.slash(house.channel, "imagine", prompt="x", picture=("cat.png", large))
        )
        assert "more than 1 MiB" in said(answer)
        assert await house.app.database.read(jobs.get, 1) is None
        fetched: list[str] = []

        async def attachment(url: str) -> bytes:
            fetched.append(url)
            return large

        monkeypatch.setattr(house.bot.adapter.rest, "attachment", attachment)
        for size in (len(large), 5):
            with pytest.raises(Refusal, match="picture_too_large"):
                await house.bot.adapter.fetch(Attachment("url", size), 2**20)
        assert fetched == ["url"], "what is said to be too large is not fetched"


def noise(size: int) -> bytes:
    return b"\x89PNG" + bytes(size - 4)


# --- text out (R28)

HOSTILE = (
    "@everyone @here <@1> <@&2> <#3>",
    "**bold** __under__ ~~no~~ ||spoiler|| `code` ```block```",
    "[click](https://evil.example) <https://evil.example> https://evil.example",
    "# heading\n> quote\n- list",
    "<script>alert(1)</script> &lt;b&gt; <b>",
    "</imagine:123> <t:0:R> <:emoji:123> <a:b:1>",
    "שלום עולם مرحبا \u202eexe.gnp\u202c",
    "👩‍👩‍👧‍👦 🏳️‍🌈 é ﷽ Z̸a̸l̸g̸o̸",
    "a\u0000b\u001b[31mred\u0007",
    "`" * 30,
    "\\`\\*\\_",
)


@pytest.mark.parametrize("prompt", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_prompt_is_shown_as_it_is_and_means_nothing_to_discord(tmp_path: Path, prompt: str) -> None:
    async with server(tmp_path) as house:
        message = await house.imagine(prompt=prompt, n=1)
        (line,) = [each for each in said(message).split("\n") if each.startswith("`")]
        assert line.count("`") == 2, "one code span, from end to end"
        assert line.endswith("`")
        for each in house.requests("POST") + house.requests("PATCH"):
            data = (each.json or {}).get("data", each.json or {})
            assert data["allowed_mentions"] == {"parse": [], "users": []}
        details = await house.answer(await house.press(message, "🔎"))
        block = said(details).split("```")
        assert len(block) == 3, "one block, and nothing got out of it"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_sentence_with_a_person_s_words_in_it_means_nothing_to_discord(text: str) -> None:
    shown = escape.plain(f'There is no style "{text}".')
    for sign in (
        "<@",
        "<#",
        "</",
        "<t:",
        "<:",
        "<a:",
        "@everyone",
        "@here",
        "**",
        "__",
        "~~",
        "||",
        "](",
        "://",
    ):
        for at in _places(shown, sign):
            assert shown[at - 1] == "\\" or shown[at : at + len(sign)].count("\\"), (sign, shown)
    assert not any(line.lstrip().startswith(("#", ">", "-")) for line in shown.split("\n"))


def _places(text: str, sign: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(sign, at)]


def test_without_the_escape_it_would_mean_something() -> None:
    """The control of the test above."""
    assert _places(HOSTILE[0], "@everyone")


async def test_a_prompt_that_is_too_long_is_refused_and_a_long_one_is_shown_short(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        ana = house.join("ana")
        refused = await house.answer(await ana.slash(house.channel, "imagine", prompt="x" * (MAX_PROMPT + 1)))
        assert refused.ephemeral
        assert "4,000 fit" in said(refused)
        message = await house.imagine(prompt="fox " * 900, n=1)
        assert len(said(message)) < 500
        assert len(media(message)[0]["description"]) <= 1_024
        details = await house.answer(await house.press(message, "🔎"))
        assert len(said(details)) <= 4_000


async def test_words_of_moderators_reach_the_person_and_names_become_mentions(tmp_path: Path) -> None:
    import discord

    async with server(tmp_path) as house:
        boss = house.guild.create_role("Boss", permissions=discord.Permissions(manage_guild=True))
        mod = house.join("mod", roles=[boss])
        ana = house.join("ana")
        given = await house.answer(await mod.slash(house.channel, "mod quota give", person=ana, credits=7))
        assert f"<@{ana.id}>" in said(given)
        role = house.guild.create_role("Supporters")
        await house.answer(await mod.slash(house.channel, "mod quota set", who=f"<@&{role.id}>", credits=30))
        shown = await house.answer(await mod.slash(house.channel, "mod quota show"))
        assert "Supporters" in said(shown)
        log = await house.answer(await mod.slash(house.channel, "mod log"))
        assert said(log).count(f"<@{mod.id}>") == 2, "who did it, not their number"


async def test_a_call_says_where_it_was_made_and_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles, Manage Server and the channel come from Discord, never from the person."""
    import discord

    seen: list[Call] = []
    usual = hear.call

    def noticed(*args: Any) -> Call:
        seen.append(usual(*args))
        return seen[-1]

    monkeypatch.setattr(hear, "call", noticed)
    async with server(tmp_path, engine=FakeEngine()) as house:
        role = house.guild.create_role("Boss", permissions=discord.Permissions(manage_guild=True))
        await order(house)
        await house.answer(await house.join("mod", roles=[role]).slash(house.channel, "quota"))
        await house.answer(await house.people["ana"].user.slash("quota"))
        await asyncio.sleep(0)
    ana, mod, alone = seen
    assert (ana.community, ana.channel) == (f"discord:{house.guild.id}", f"discord:{house.channel.id}")
    assert not ana.entitled
    assert mod.entitled
    assert f"role:{role.id}" in mod.roles
    assert (f"role:{role.id}", "Boss") in mod.titles
    assert (alone.community, alone.roles, alone.entitled) == ("", (), False)


async def test_the_engine_s_own_grid_is_what_is_shown(tmp_path: Path) -> None:
    async with server(tmp_path, engine=FakeEngine()) as house:
        result = await order(house, n=4)
        await draw(house)
        message = await house.pictures(result)
        assert len(message.attachments) == 1


async def test_a_moderator_sets_a_server_up_with_one_line_and_the_names_they_know(tmp_path: Path) -> None:
    """Roles and channels are found by their names as they are typed, not only as mentions."""
    import discord

    async with server(tmp_path) as house:
        boss = house.guild.create_role("Boss", permissions=discord.Permissions(manage_guild=True))
        house.guild.create_role("Supporters")
        house.guild.create_text_channel("chat")
        mod = house.join("mod", roles=[boss])
        line = "members 20 a day, supporters 100, #chat only, 4 at a time, nights free, Madrid time"
        done = await house.answer(await mod.slash(house.channel, "mod setup", what=line))
        assert r"Everybody: 20 credits a day. \@Supporters: 100 credits a day." in said(done)
        assert "Only in: #chat" in said(done)
        refused = await house.answer(await house.join("ana").slash(house.channel, "imagine", prompt="a fox"))
        assert "Here I do: #chat" in said(refused)
        await house.answer(await mod.slash(house.channel, "mod setup", what="@everyone 5 a day"))
        house.guild.create_voice_channel("talk")
        house.guild.create_category("rooms")
        for line, said_back in (("only #supporters", "supporters"), ("only #rooms", "rooms")):
            answer = await house.answer(await mod.slash(house.channel, "mod setup", what=line))
            assert f"#{said_back}" in said(answer)
            assert "Only in" not in said(answer)
        talk = await house.answer(await mod.slash(house.channel, "mod setup", what="only #talk"))
        assert "Only in: #talk" in said(talk)
        undone = await house.answer(await mod.slash(house.channel, "mod undo", number=1))
        assert "Change 1 is undone" in said(undone)
