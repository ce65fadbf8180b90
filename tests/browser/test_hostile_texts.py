"""R28, the page: whatever people write stands there as text, and nothing of it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from bot.adapters.web.session import Message
from bot.talk import Button, Image, Reply, Tone
from tests.browser.desk import Desk, desk
from tests.browser.hostile import ACTIVE, QUIET
from tests.browser.house import Details, Remix, sticker

pytestmark = pytest.mark.asyncio(loop_scope="session")
RAN = "() => window.__ran || 0"
HANDLER = """() => {
  const box = document.createElement('b');
  try { box.setAttribute('onclick', 'window.__ran = 1'); } catch { return; }
  document.body.append(box);
  box.click();
}"""
UNTIL = """const until = async (seen) => {
  const end = performance.now() + 60_000;
  while (!seen() && performance.now() < end) await new Promise((next) => setTimeout(next, 5));
  if (!seen()) throw new Error(`never seen: ${seen}`);
};
const card = () => document.querySelector(`[data-id=${id}]`);
"""
SHOWN = f"""async ([id, text]) => {{
  {UNTIL}
  await until(() => card()?.querySelector('.details'));
  const expected = {{ '.quote': `${{text}}!`, '.act': `see ${{text}}` }};
  const holds = (node, place) => [node, ...node.querySelectorAll('*')]
    .some((each) => [...each.childNodes]
      .some((child) => child.nodeType === 3 && child.data === (expected[place] ?? text)));
  const said = document.querySelector('.exchange:last-child');
  const missing = ['.said', '.quote', 'h2', '.text', '.details', '.act'].filter((place) => {{
    const box = said.querySelector(place);
    return !box || !holds(box, place);
  }});
  card().querySelector('.kind-remix').click();
  await until(() => card().querySelector('.editor textarea'));
  return [missing, card().querySelector('.text').textContent, card().querySelector('.editor textarea').value];
}}"""
"""Where a text is missing, what the text's place and the editor hold: one trip to the browser a text."""
PICTURED = f"""async (id) => {{
  {UNTIL}
  await until(() => card().querySelectorAll('button.tile').length === 2);
  return card().querySelector('.face ~ .reply img').getAttribute('alt');
}}"""


def reply(text: str) -> Reply:
    """These words wherever a reply can hold words."""
    return Reply(
        text=text, title=text, prompt=f"{text}!", fields=((text, text),), tone=Tone.PLAIN,
        buttons=((Button(f"see {text}", Details(1)), Button("✏️", Remix(1), form="prompt", value=text)),),
    )  # fmt: skip


@pytest.mark.timeout(900)
async def test_hostile_texts_are_shown_and_nothing_runs(here: Desk) -> None:
    """Every text in every place: own words, quotation, title, text, table, button, editor, picture's alt."""
    session = next(iter(here.house.accounts)).partition(":")[2]
    pictures = (Image(sticker(1, 16), "x.png", ""), Image(sticker(2, 16), "y.png", ""))
    wrong: list[str] = []
    for number, text in enumerate((*ACTIVE, *QUIET)):
        place = f"web:{session}/hostile{number:04}"
        here.web.sessions.get(session).put(_message(place, text))
        await here.web.show(place, reply(text))
        missing, held, edited = await here.page.evaluate(SHOWN, [f"hostile{number:04}", text])
        if missing and (missing != [".text"] or text.split("\n")[0] not in held):
            wrong.append(f"{text[:40]!r} is not text in {missing}")
        if edited != text.replace("\r", "\n"):
            wrong.append(f"{text[:40]!r} is not what the editor holds")
        await here.web.show(place, Reply(prompt=text, images=pictures, tone=Tone.GOOD, title=text))
        if await here.page.evaluate(PICTURED, f"hostile{number:04}") != text:
            wrong.append(f"{text[:40]!r} is not the picture's alt text")
    assert not wrong, "\n".join(wrong)
    assert await here.page.evaluate(RAN) == 0
    foreign = ".log :is(script, iframe, object, embed, a, style, base, meta, form:not(.editor))"
    assert await here.page.locator(foreign).count() == 0
    assert await here.fits()


def _message(place: str, text: str) -> Message:
    return Message(place.rpartition("/")[2], float(place[-4:]), said={"text": text, "label": "", "about": ""})


async def test_hostile_prompts_come_back_as_typed(here: Desk) -> None:
    """The whole way: typed, posted, drawn, shown in gallery, queue and credits."""
    for text in (*ACTIVE[:6], *QUIET[:4], "\u202egnp.exe"):
        await here.ask(text)
        await expect(here.last.locator(".said bdi")).to_have_text(text)
    for view in ("gallery", "quota"):
        await here.view(view)
        await expect(here.page.locator(".piece, .entry").first).to_be_visible()
    await here.page.reload()
    await expect(here.page.locator(".page h1")).to_be_visible()
    assert await here.page.evaluate(RAN) == 0


async def test_a_careless_page_would_run_them(browser: Browser) -> None:
    """The control: as innerHTML without our policy, most of the markup runs."""

    async def careless(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><div id=log></div>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", careless)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    page = await browser.new_page()
    ran = 0
    for text in ACTIVE:
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await page.evaluate("(text) => { document.getElementById('log').innerHTML = text }", text)
        await page.wait_for_timeout(120)
        ran += bool(await page.evaluate(RAN))
    await page.close()
    await runner.cleanup()
    assert ran >= 12, ran


async def test_the_policy_stops_what_a_bug_would_let_in(browser: Browser, tmp_path: Path) -> None:
    """Even if some code of ours used innerHTML, eval or an inline handler: the browser refuses."""
    async with desk(browser, tmp_path) as here:
        await here.sign_in()
        attempt = """(texts) => texts.map((text) => {
          try { document.body.insertAdjacentHTML('beforeend', text); return 'in'; }
          catch (error) { return error.name; }
        })"""
        assert set(await here.page.evaluate(attempt, list(ACTIVE))) == {"TypeError"}
        await here.page.evaluate(HANDLER)
        assert await here.page.evaluate(RAN) == 0
