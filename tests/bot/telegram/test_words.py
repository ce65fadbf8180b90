"""A person's text is never markup: what is hostile, long or strange is shown as it is, within the limits."""

from __future__ import annotations

import pytest

from bot import commands
from bot.adapters.telegram.render import render
from bot.adapters.telegram.rich import CAPTION, TEXT, cut, units
from bot.commands.again import Again
from bot.commands.remix import Remix
from bot.talk import Button, Image, Reply, Tone
from bot.texts import say
from tests.bot.telegram.house import House
from tests.fakes.engine import png
from tests.fakes.telegram.words import formatted, keyboard

HOSTILE = {
    "html": "<b>fox</b> <a href='http://x'>x</a> &amp; <script>",
    "markdown": "*fox* _snow_ `code` [x](http://x) ||spoiler|| \\_ ```pre```",
    "everyone": "@everyone @here @durov #tag $USD /start https://example.org",
    "emoji": "🦊👩‍👩‍👧‍👦🏳️‍🌈👍🏽 in the 🌨️",
    "right to left": "ثعلب أحمر في الثلج שועל אדום",
    "beyond the first plane": "𝕗𝕠𝕩 𐍈 🜁" * 5,
    "combining": "z̸̡̛a̶l̵g̷o̴",
    "apostrophes": "it's a \"fox\" — o'clock",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_prompt_is_shown_as_it_is(here: House, kind: str) -> None:
    ana, group = here.tele.world.person("Ana <b>"), here.tele.world.group("Friends")
    async with here.bot():
        ana.say(f"/imagine {HOSTILE[kind]} --n 1", group)
        drawn = await here.tele.picture(group)
    assert drawn.styled("code") == [" ".join(HOSTILE[kind].split())]
    assert {entity["type"] for entity in drawn.entities} <= {"code", "text_mention"}
    assert drawn.styled("text_mention") == ["Ana <b>"]


@pytest.mark.parametrize("letter", ["a ", "🦊 ", "ñ", "ث"])
async def test_an_over_long_prompt_is_cut_and_whole_behind_details(here: House, letter: str) -> None:
    prompt = (letter * 4_000)[: 3_900 // units(letter) * len(letter)].strip()
    ana = here.tele.world.person("Ana")
    async with here.bot():
        ana.say(f"/imagine {prompt} --n 1")
        drawn = await here.tele.picture(ana.private)
        assert units(drawn.caption) <= CAPTION
        assert "…" in drawn.styled("code")[0]
        assert say("en", "fact.seed") in drawn.caption, "the facts stay"
        assert "📋 Prompt" not in drawn.labels, "too long for a button"
        ana.press(drawn, "🔎")
        await here.tele.until(lambda: len(ana.private.ours) >= 3)
        assert all(units(message.text) <= TEXT for message in ana.private.ours[1:])


def shown(reply: Reply) -> None:
    """Telegram would take it."""
    made = render(reply, commands.pack, "falopitas_bot", person=(7, "Ana"))
    limit = CAPTION if len(made.images) == 1 else TEXT
    assert made.text
    entities = [entity.to_dict() for entity in made.entities]
    text, kept = formatted(made.text, entities, None, limit)
    assert text == made.text, "nothing is trimmed, so no entity moves"
    assert kept == entities
    keyboard(made.markup.to_dict() if made.markup else None)
    for page in made.more:
        assert 0 < units(page) <= TEXT


@pytest.mark.parametrize("size", [1, 30, 900, 1_024, 1_025, 4_000, 4_096, 9_000])
@pytest.mark.parametrize("letter", ["a", "🦊", "e\u0301", " a"])
def test_every_reply_fits_however_long_its_parts_are(size: int, letter: str) -> None:
    text = (letter * size)[:size]
    picture = Image(png(8, 8, 1), "x.png", alt=text)
    buttons = ((Button("U1", Again(1)), Button("x" * 80, Again(2))),)
    fields = ((text[:40], text), ("Seed", text[:60]))
    shown(Reply(text, title=text, prompt=text, fields=fields, buttons=buttons, tone=Tone.GOOD))
    shown(Reply(text, prompt=text, fields=fields, images=(picture,), buttons=buttons, tone=Tone.GOOD))
    shown(Reply(text, prompt=text, fields=fields, progress=0.5, tone=Tone.WAITING, job=1))
    shown(Reply(text, buttons=((Button("✏️", Remix(1), form="prompt", value=text),),)))


@pytest.mark.parametrize("limit", range(12))
def test_cutting_never_breaks_a_symbol(limit: int) -> None:
    for text in ("🦊🦊🦊🦊🦊", "abcdefgh🦊🦊", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "short"):
        kept = cut(text, limit)
        assert units(kept) <= limit
        kept.encode("utf-16-le")
        assert not kept.rstrip("…").endswith("\u200d")


async def test_every_flag_by_hand(here: House) -> None:
    ana = here.tele.world.person("Ana")
    line = (
        "/imagine a red fox --ar 3:2 --no trees, people --seed 12 --steps 3 --cfg 5.5 —n 2 --model builtin "
        "--style flat --sampler euler --private"
    )
    async with here.bot():
        ana.say(line)
        drawn = await here.tele.picture(ana.private)
        request = (await here.job(1)).request
    assert (request.width, request.height) == (96, 64)
    assert (request.seed, request.steps, request.guidance, request.count) == (12, 3, 5.5, 2)
    assert (request.negative, request.sampler) == ("trees, people", "euler")
    assert "12–13" in drawn.caption


async def test_a_size_and_a_beginning_by_hand(here: House) -> None:
    """The flags that exclude ``--ar``; what one begins with must have been drawn before."""
    ana = here.tele.world.person("Ana")
    async with here.bot():
        ana.say("/imagine a red fox --size 96x64 --n 1")
        await here.tele.picture(ana.private)
        ana.say("/imagine a blue fox --size 96x64 --from 1.1 --strength 0.4 --n 1")
        await here.tele.picture(ana.private, 2)
        job = await here.job(2)
    request = job.request
    assert (request.width, request.height, request.strength) == (96, 64, 0.4)
    assert request.source
    assert (job.parent, job.parent_index) == (1, 0)


@pytest.mark.parametrize(
    "data", ["", "x", "again", "again:", "delete:1:1:1:1", "again:-5", "é" * 40, "a" * 64]
)
async def test_a_forged_button_does_nothing_and_says_so(here: House, data: str) -> None:
    """A client may send anything as the data of a button."""
    ana = here.tele.world.person("Ana")
    async with here.bot():
        ana.say("a red fox --n 1")
        drawn = await here.tele.picture(ana.private)
        query = here.tele.world.pressed(ana, drawn, data)
        await here.tele.until(lambda: query in here.tele.world.answers)
        assert here.tele.world.answers[query].get("show_alert")
        assert not (await here.job(1)).request.prompt.startswith("x")
    assert len(ana.private.ours) == 1
