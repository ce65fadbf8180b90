"""The page as its people use it, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from bot.talk import Reply, Tone
from tests.browser.desk import Desk, desk
from tests.browser.house import Again, Delete, Details, Imagine, Remix, Star, Upscale, Vary

pytestmark = pytest.mark.asyncio(loop_scope="session")

# -- the door ----------------------------------------------------------------------------------------------


async def test_the_launch_address_signs_in_once_and_leaves_no_trace(browser: Browser, tmp_path: Path) -> None:
    async with desk(browser, tmp_path) as here:
        address = here.web.launch_address()
        await here.page.goto(address)
        await expect(here.page.get_by_role("heading", name="What shall we draw?")).to_be_visible()
        assert here.page.url.rstrip("#") == here.web.address
        other = await (await browser.new_context()).new_page()
        await other.goto(address)
        await expect(other.get_by_role("alert")).to_contain_text("was used already")
        await here.page.reload()
        await expect(here.page.locator("#prompt")).to_be_visible()
        here.check_console()


async def test_without_a_token_the_page_explains_how_to_get_in(browser: Browser, tmp_path: Path) -> None:
    async with desk(browser, tmp_path) as here:
        await here.page.goto(here.web.address)
        await expect(here.page.get_by_role("heading", name="Come in")).to_have_count(0)
        await expect(here.page.locator(".address")).to_contain_text("/#enter=")
        assert here.console == []
        await here.page.fill("#code", "WRONG123")
        await here.page.keyboard.press("Enter")
        await expect(here.page.get_by_role("alert")).to_contain_text("does not work")
        await here.page.fill("#code", "abcd-2345")
        await here.page.get_by_role("button", name="Come in").click()
        await expect(here.page.locator("#prompt")).to_be_visible()
        assert list(here.house.accounts.values()) == [2]


async def test_signing_out_shuts_the_door(here: Desk) -> None:
    await here.ask("a fox")
    await here.view("settings")
    await here.page.get_by_role("button", name="Sign out").click()
    await expect(here.page.locator("#code")).to_be_visible()
    assert not here.house.accounts
    await here.page.go_back()
    await expect(here.page.locator(".exchange")).to_have_count(0)


# -- the main job ------------------------------------------------------------------------------------------


async def test_a_prompt_becomes_a_grid(here: Desk) -> None:
    """Empty state, own words, cost and place, live previews, four pictures, the credits left."""
    await expect(here.page.locator(".example")).to_have_count(6)
    here.talk.hold.clear()
    await here.page.fill("#prompt", "a red fox")
    await here.page.keyboard.press("Enter")
    await expect(here.last.locator(".said")).to_have_text("a red fox")
    await expect(here.last.locator(".facts")).to_contain_text("1 before you")
    await expect(here.last.locator(".bar.endless")).to_be_visible()
    await expect(here.page.locator(".empty")).to_be_hidden()
    here.talk.pace = 0.2
    here.talk.hold.set()
    await expect(here.last.locator(".tile.preview")).to_have_count(4)
    bar = here.last.get_by_role("progressbar")
    assert int(await bar.get_attribute("aria-valuenow") or 0) > 0
    await expect(here.last.locator(".left")).to_contain_text("left")
    here.talk.pace = 0.0
    await expect(here.last.locator("button.tile")).to_have_count(4)
    await expect(here.last.locator("button.tile img").first).to_have_attribute("alt", "a red fox")
    await expect(here.last.locator(".segments button")).to_have_text(
        ["U1", "U2", "U3", "U4", "V1", "V2", "V3", "V4"]
    )
    await expect(here.last.locator(".facts")).to_contain_text("Seed")
    await expect(here.page.locator("#purse")).to_contain_text("96")
    await expect(here.page.locator("#announce")).to_contain_text("a red fox")
    loaded = "(images) => images.every((image) => image.complete && image.naturalWidth > 0)"
    assert await here.last.locator("button.tile img").evaluate_all(loaded)


BAR_APART = """() => {
  window.apart = [];
  const measure = ([{ target: bar }]) => {
    const shown = bar.firstChild.getBoundingClientRect().width / bar.getBoundingClientRect().width;
    apart.push(Math.abs(100 * shown - bar.getAttribute("aria-valuenow")));
  };
  new MutationObserver(measure).observe(document, { subtree: true, attributeFilter: ["aria-valuenow"] });
}"""
"""Notes, whenever the progress that is said changes, by how many percent the drawn bar differs from it."""


async def test_the_bar_stands_where_its_words_say(here: Desk) -> None:
    await here.page.evaluate(BAR_APART)
    (who,) = here.house.accounts
    for percent in (22, 69, 96):
        reply = Reply(f"{percent} %", tone=Tone.WAITING, fleeting=True, progress=percent / 100)
        await here.web.show(f"{who}/drawing", reply)
        bar = here.last.get_by_role("progressbar")
        await expect(bar).to_have_attribute("aria-valuenow", str(percent))
    apart = await here.page.evaluate("apart")
    assert len(apart) >= 2  # the first stood before the card did
    assert max(apart) < 1


async def test_an_example_is_one_tap(here: Desk) -> None:
    await here.page.locator(".example").nth(1).click()
    await expect(here.last.locator(".said")).to_have_text("a 3d robot on a pink background")
    await expect(here.last.locator("button.tile")).to_have_count(4)


async def test_every_button_asks_for_what_it_says(here: Desk) -> None:
    await here.ask("a fox")
    card = here.page.locator(".exchange").first
    await card.get_by_text("U2").click()
    await expect(here.last.locator(".said.pressed")).to_contain_text("U2")
    await expect(here.last.locator("button.tile")).to_have_count(1)
    await card.get_by_text("V3").click()
    await expect(here.last.locator("button.tile")).to_have_count(4)
    await card.locator(".kind-again").click()
    await expect(here.page.locator(".exchange")).to_have_count(4)
    await card.locator(".kind-details").click()
    await expect(here.last.locator(".details dd")).to_have_count(6)
    for name, copied in (("list", "Sampler: dpmpp_2m_karras"), ("line", "/imagine a fox --seed 4242")):
        await here.last.get_by_role("button", name=f"Copy the {name}").click()
        await expect(here.last.get_by_text("Copied").last).to_be_visible()
        assert copied in await here.page.evaluate("navigator.clipboard.readText()")
    asks = [call.ask for call in here.talk.calls]
    assert asks == [Imagine("a fox"), Upscale(1, 1), Vary(1, 2), Again(1), Details(1)]


async def test_a_star_shows_on_the_pictures_and_can_be_taken_back(here: Desk) -> None:
    card = await here.ask("a fox")
    await card.locator(".kind-star").click()
    await expect(here.toast).to_contain_text("Kept")
    await expect(card.locator(".starred")).to_have_count(4)
    await here.toast.get_by_role("button").click()
    await expect(here.page.locator(".exchange")).to_have_count(1)
    await expect(card.locator(".starred")).to_have_count(0)
    assert [call.ask for call in here.talk.calls[1:]] == [Star(1, 0), Star(1, 1)]


async def test_deleting_asks_once_and_clears_the_card(here: Desk) -> None:
    card = await here.ask("a fox")
    await card.locator(".kind-delete").click()
    await expect(here.last.locator(".text")).to_contain_text("for good?")
    assert here.house.jobs[1].pictures
    await here.last.locator(".kind-delete").click()
    await expect(here.page.locator(".exchange").first.locator(".text")).to_have_text("Deleted.")
    await expect(here.page.locator("button.tile")).to_have_count(0)
    assert [call.ask for call in here.talk.calls[1:]] == [Delete(1, 0), Delete(1, 1)]


async def test_editing_begins_with_the_words_and_sends_the_new_ones(here: Desk) -> None:
    card = await here.ask("a fox")
    await card.locator(".kind-remix").click()
    box = card.locator(".editor textarea")
    await expect(box).to_have_value("a fox")
    await expect(box).to_be_focused()
    await box.press("Escape")
    await expect(box).to_have_count(0)
    await card.locator(".kind-remix").click()
    await box.fill("a fox in the snow")
    await box.press("Enter")
    await expect(here.page.locator(".exchange")).to_have_count(2)
    await expect(here.last.locator("button.tile")).to_have_count(4)
    assert here.talk.calls[-1].ask == Remix(1, "a fox in the snow")


async def test_what_was_typed_into_an_edit_that_is_refused_is_there_to_go_on_with(here: Desk) -> None:
    card = await here.ask("a fox")
    await card.locator(".kind-remix").click()
    await card.locator(".editor textarea").fill("a fox in the snow --size 512x512")
    await here.page.keyboard.press("Enter")
    box = here.page.locator(".editor textarea")
    await expect(box).to_have_value("a fox in the snow --size 512x512")
    await expect(box).to_be_focused()
    await box.fill("a fox in the snow")
    await box.press("Enter")
    await expect(here.last.locator("button.tile")).to_have_count(4)
    await expect(box).to_have_count(0)
    assert here.talk.calls[-1].ask == Remix(1, "a fox in the snow")


async def test_a_job_can_be_cancelled_while_it_waits(here: Desk) -> None:
    here.talk.hold.clear()
    await here.page.fill("#prompt", "a slow fox")
    await here.page.keyboard.press("Enter")
    await here.last.get_by_role("button", name="Cancel").click()
    await expect(here.toast).to_contain_text("Nothing was charged")


async def test_the_viewer_goes_through_the_pictures_by_keyboard(here: Desk) -> None:
    card = await here.ask("a fox")
    await card.locator("button.tile").nth(1).click()
    viewer = here.page.get_by_role("dialog")
    await expect(viewer).to_contain_text("2 of 4")
    await expect(viewer.locator("img")).to_have_attribute("alt", "a fox")
    await here.page.keyboard.press("ArrowRight")
    await here.page.keyboard.press("ArrowRight")
    await here.page.keyboard.press("ArrowRight")
    await expect(viewer).to_contain_text("1 of 4")
    async with here.page.expect_download() as waiting:
        await viewer.get_by_role("link", name="Download").click()
    saved = await (await waiting.value).path()
    assert Path(saved).read_bytes() == here.house.files[here.house.jobs[1].pictures[0]]
    await here.page.keyboard.press("Escape")
    await expect(viewer).to_have_count(0)


# -- asking ------------------------------------------------------------------------------------------------


async def test_options_go_along_and_stay_in_sight(here: Desk) -> None:
    await here.page.get_by_role("button", name="Options").click()
    panel = here.page.locator("#options")
    await panel.get_by_role("radio", name="flat").click()
    await panel.get_by_role("radio", name="2", exact=True).click()
    await panel.get_by_label("Leave out", exact=True).fill("trees")
    await panel.get_by_label("Steps", exact=True).fill("12")
    await panel.get_by_label("Seed", exact=True).fill("7")
    await panel.get_by_label("Seed", exact=True).press("Escape")
    await expect(here.page.locator(".chip")).to_have_count(5)
    await here.ask("a fox", pictures=2)
    ask = here.talk.calls[-1].ask
    assert isinstance(ask, Imagine)
    assert dict(ask.options) == {"style": "flat", "n": 2, "no": "trees", "steps": 12, "seed": 7}
    await here.page.get_by_role("button", name="Options").click()
    await panel.get_by_role("button", name="Back to usual").click()
    await expect(here.page.locator(".chip")).to_have_count(0)
    await here.page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(here.page.locator("#prompt")).to_be_focused()


async def test_slash_offers_commands(here: Desk) -> None:
    box = here.page.get_by_role("textbox", name="What to draw")
    await box.fill("/q")
    offers = here.page.get_by_role("option")
    await expect(offers).to_have_count(2)
    await expect(here.page.locator("#announce")).to_have_text("2 commands fit")
    await box.press("ArrowDown")
    await expect(offers.nth(1)).to_have_attribute("aria-selected", "true")
    await box.press("Tab")
    await expect(box).to_have_value("/quota ")
    await expect(offers).to_have_count(0)


async def test_an_exact_command_comes_first_and_enter_sends_it(here: Desk) -> None:
    box = here.page.get_by_role("textbox", name="What to draw")
    await box.fill("/mod")
    offers = here.page.get_by_role("option")
    await expect(offers.locator("b")).to_have_text(["/mod", "/models"])
    await box.press("ArrowDown")
    await box.press("Enter")
    await expect(box).to_have_value("/models ")
    await box.fill("/mode")
    await box.press("Enter")
    await expect(box).to_have_value("/models ")
    await box.fill("/mod")
    await box.press("Enter")
    await expect(here.last.locator(".said")).to_have_text("/mod")
    await expect(box).to_have_value("")


async def test_who_is_not_offered_a_command_sends_it_as_typed(browser: Browser, tmp_path: Path) -> None:
    async with desk(browser, tmp_path) as here:
        await here.page.goto(here.web.address)
        await here.page.fill("#code", "abcd-2345")
        await here.page.keyboard.press("Enter")
        await here.page.fill("#prompt", "/mod")
        await expect(here.page.get_by_role("option").locator("b")).to_have_text(["/models"])
        await here.page.keyboard.press("Enter")
        await expect(here.last.locator(".said")).to_have_text("/mod")


async def test_up_brings_back_what_was_typed(here: Desk) -> None:
    await here.ask("first fox")
    await here.ask("second fox")
    box = here.page.locator("#prompt")
    await box.press("ArrowUp")
    await expect(box).to_have_value("second fox")
    await box.press("ArrowUp")
    await expect(box).to_have_value("first fox")
    await box.press("ArrowDown")
    await box.press("ArrowDown")
    await expect(box).to_have_value("")


async def test_shift_enter_is_a_new_line_and_too_much_text_is_said(here: Desk) -> None:
    box = here.page.locator("#prompt")
    await box.type("one")
    await box.press("Shift+Enter")
    await box.type("two")
    await expect(box).to_have_value("one\ntwo")
    await expect(here.page.locator(".exchange")).to_have_count(0)
    await box.fill("x" * 4_600)
    await expect(here.page.locator(".too-long")).to_contain_text("4,600")
    await expect(here.page.locator(".send")).to_be_disabled()


async def test_refusals_and_bugs_look_like_what_they_are(here: Desk) -> None:
    for text, tone in (("grass ban", "refused"), ("break it", "broken")):
        await here.page.fill("#prompt", text)
        await here.page.keyboard.press("Enter")
        await expect(here.page.locator(f".reply.{tone}")).to_be_visible()
    await expect(here.page.locator(".reply.refused h2")).to_have_text("Not this one")
    await expect(here.page.locator(".reply.broken")).to_contain_text("3f2a")


async def test_two_mistakes_are_two_paragraphs_and_a_flag_is_not_torn(here: Desk) -> None:
    await here.page.fill("#prompt", "two mistakes")
    await here.page.keyboard.press("Enter")
    said = here.page.locator(".reply.refused .text")
    await expect(said.locator(".first")).to_have_text(["--ar is no --size.", "No such model."])
    await expect(said.locator("p")).to_have_count(4)
    await expect(said.locator(".flag")).to_have_text(["--ar", "--size", "--ar"])


# -- side views --------------------------------------------------------------------------------------------


async def test_the_gallery_pages_and_filters(here: Desk) -> None:
    await here.view("gallery")
    await expect(here.page.get_by_text("Nothing here yet")).to_be_visible()
    for number in range(30):
        here.house.hang(1, f"fox {number}")
    here.house.jobs[3].starred = True
    await here.view("chat")
    await here.view("gallery")
    await expect(here.page.locator(".piece")).to_have_count(24)
    await here.page.get_by_role("button", name="Older pictures").click()
    await expect(here.page.locator(".piece")).to_have_count(30)
    await here.page.get_by_role("button", name="Starred").click()
    await expect(here.page.locator(".piece")).to_have_count(1)
    await here.page.locator(".piece").click()
    await here.page.get_by_role("dialog").locator(".kind-again").click()
    await expect(here.page.locator(".exchange .said.pressed")).to_contain_text("fox 2")


async def test_queue_and_credits_tell_where_things_stand(here: Desk) -> None:
    await here.view("queue")
    await expect(here.page.get_by_text("Nothing waiting")).to_be_visible()
    await here.view("chat")
    here.talk.hold.clear()
    for text in ("first", "second"):
        await here.page.fill("#prompt", text)
        await here.page.keyboard.press("Enter")
        await expect(here.last.locator(".facts")).to_be_visible()
    await here.view("queue")
    await expect(here.page.locator(".job")).to_have_count(2)
    await expect(here.page.locator(".job").nth(1)).to_contain_text("1 before yours")
    await here.page.locator(".job").nth(1).get_by_role("button", name="Cancel").click()
    await expect(here.page.locator(".job")).to_have_count(1)
    await here.view("quota")
    await expect(here.page.locator(".big")).to_have_text("92")
    await expect(here.page.get_by_role("meter")).to_have_attribute("aria-valuenow", "92")
    await expect(here.page.locator(".entry")).to_have_count(2)
    here.talk.hold.set()


async def test_only_the_owner_is_shown_the_way_to_moderate(here: Desk) -> None:
    way = here.page.locator('.nav [href="/mod"]')
    await here.view("quota")
    await expect(here.page.locator(".big")).to_be_visible()
    await expect(way).to_have_count(0)
    here.house.unlimited = True
    await here.page.reload()
    await expect(way).to_have_text("Moderate")
    await here.page.get_by_role("button", name="Español").click()
    await expect(way).to_have_text("Moderar")


async def test_settings_are_saved_or_refused(here: Desk) -> None:
    await here.view("settings")
    await here.page.locator(".view-side").get_by_role("radio", name="noto").click()
    await here.page.get_by_role("button", name="Save").click()
    await expect(here.toast).to_have_text("Saved.")
    assert here.house.saved == {"style": "noto"}
    await here.page.locator(".view-side").get_by_label("Steps", exact=True).fill("13")
    await here.page.get_by_role("button", name="Save").click()
    await expect(here.toast.filter(has_text="unlucky")).to_be_visible()
    assert here.house.saved == {"style": "noto"}
    here.console = [line for line in here.console if "400 (Bad Request)" not in line]


async def test_the_language_is_a_radio_group_and_keeps_the_focus(here: Desk) -> None:
    await here.view("settings")
    await here.page.get_by_role("radio", name="English").focus()
    await here.page.keyboard.press("ArrowRight")
    await expect(here.page.get_by_role("heading", name="Ajustes")).to_be_visible()
    await expect(here.page.get_by_role("radio", name="Español")).to_be_focused()
    await here.page.keyboard.press("Tab")
    await expect(here.page.get_by_role("radio", name="Como mi dispositivo")).to_be_focused()


# -- everybody ---------------------------------------------------------------------------------------------


async def test_it_speaks_spanish_from_the_door_to_the_grid(browser: Browser, tmp_path: Path) -> None:
    async with desk(browser, tmp_path, locale="es-AR") as here:
        await here.page.goto(here.web.address)
        await expect(here.page.get_by_role("button", name="Entrar")).to_be_visible()
        await here.sign_in()
        await expect(here.page.get_by_role("heading", name="¿Qué dibujamos?")).to_be_visible()
        assert await here.page.get_attribute("html", "lang") == "es"
        await here.ask("un zorro rojo")
        assert here.talk.calls[-1].language == "es"
        await expect(here.last.get_by_role("button", name="Detalles")).to_be_visible()
        await here.page.get_by_role("button", name="English").click()
        await expect(here.last.get_by_role("button", name="Details")).to_be_visible()
        assert here.house.languages[1] == "en"
        here.check_console()


async def test_it_follows_the_dark_and_can_be_told_otherwise(browser: Browser, tmp_path: Path) -> None:
    async with desk(browser, tmp_path, color_scheme="dark") as here:
        await here.sign_in()
        shade = "() => getComputedStyle(document.body).backgroundColor"
        assert await here.page.evaluate(shade) == "rgb(27, 20, 31)"
        await here.page.get_by_role("button", name="Light").click()
        assert await here.page.evaluate(shade) == "rgb(251, 243, 231)"
        await here.page.reload()
        await expect(here.page.locator("#prompt")).to_be_visible()
        assert await here.page.evaluate(shade) == "rgb(251, 243, 231)"


@pytest.mark.parametrize("width", [320, 360, 414, 768, 1024, 1920])
async def test_it_fits_every_screen(browser: Browser, tmp_path: Path, width: int) -> None:
    async with desk(browser, tmp_path, viewport={"width": width, "height": 740}, locale="es-ES") as here:
        await here.page.goto(here.web.address)
        await expect(here.page.locator("#code")).to_be_visible()
        assert await here.fits()
        await here.sign_in()
        assert await here.fits()
        card = await here.ask("un zorro " + "muy" * 40)
        tops = [await card.locator(kind).bounding_box() for kind in (".kind-star", ".kind-delete")]
        assert len({each and round(each["y"]) for each in tops}) == 1, "the bin is never alone in a line"
        await card.locator(".kind-details").click()
        await expect(here.last.locator(".details")).to_be_visible()
        await here.page.locator(".opener:not(.attach)").click()
        assert await here.fits()
        await here.page.keyboard.press("Escape")
        for view in ("gallery", "queue", "quota", "settings"):
            await here.view(view)
            await expect(here.page.locator(".page h1")).to_be_visible()
            assert await here.fits(), view


async def test_everything_is_within_reach_of_the_keyboard(here: Desk) -> None:
    """Tab from the top reaches navigation, prompt, options and send; a grid's buttons follow in order."""
    await here.ask("a fox")
    await here.page.evaluate("() => document.activeElement.blur()")
    reached: list[str] = []
    for _ in range(45):
        await here.page.keyboard.press("Tab")
        reached.append(
            await here.page.evaluate(
                "() => document.activeElement.className + '#' + document.activeElement.id"
            )
        )
    for wanted in (
        "skip",
        "nav-link",
        "tile",
        "kind-upscale",
        "kind-vary",
        "kind-again",
        "kind-delete",
        "#prompt",
        "opener",
    ):
        assert any(wanted in each for each in reached), (wanted, reached)
    await here.page.locator("button.tile").first.focus()
    await here.page.keyboard.press("Enter")
    await expect(here.page.get_by_role("dialog")).to_be_visible()
    await here.page.keyboard.press("Escape")
    await expect(here.page.locator("button.tile").first).to_be_focused()
    nameless = await here.page.evaluate(
        "() => [...document.querySelectorAll('button, a, input, textarea, select')]"
        ".filter((each) => !each.hidden && !each.textContent.trim()"
        " && !each.getAttribute('aria-label') && !each.labels?.length)"
        ".map((each) => each.outerHTML)"
    )
    assert nameless == []


async def tab_to(here: Desk, wanted: Locator, key: str = "Tab") -> None:
    """Press it until this has the focus."""
    for _ in range(60):
        await here.page.keyboard.press(key)
        if await wanted.evaluate("(node) => node === document.activeElement"):
            return
    raise AssertionError(f"{key} never reaches {wanted}")


SPOKEN = """() => {
  window.spoken = [];
  new MutationObserver(([{ target }]) => spoken.push(target.textContent))
    .observe(document.getElementById("announce"), { childList: true });
}"""


async def test_from_the_prompt_to_a_deletion_by_keyboard_and_ear(here: Desk) -> None:
    """No focus is lost on the way; what is spoken is where it waits, each quarter at most, and what came."""
    await here.page.evaluate(SPOKEN)
    await here.page.keyboard.type("a fox")
    await here.page.keyboard.press("Enter")
    card = here.page.locator(".exchange").first
    await expect(card.locator("button.tile")).to_have_count(4)
    spoken = await here.page.evaluate("spoken")
    assert "1 before you" in spoken[0]
    assert spoken[-1].startswith("4 pictures are ready")
    assert len(spoken) <= 6
    await expect(card).to_have_attribute("aria-label", "Falopitas: a fox")
    await tab_to(here, card.get_by_role("button", name="U1: Picture 1 alone"), "Shift+Tab")
    await here.page.keyboard.press("Enter")
    await expect(here.last.locator("button.tile")).to_have_count(1)
    await tab_to(here, card.locator(".kind-remix"))
    await here.page.keyboard.press("Enter")
    await here.page.keyboard.press("Escape")
    await expect(card.locator(".kind-remix")).to_be_focused()
    await here.page.keyboard.press("Tab")
    await here.page.keyboard.press("Enter")
    await expect(here.last.get_by_role("button", name="Copy the line")).to_be_visible()
    await tab_to(here, card.locator("button.tile").first, "Shift+Tab")
    await here.page.keyboard.press("Enter")
    await expect(here.page.get_by_role("dialog")).to_be_visible()
    await here.page.keyboard.press("Escape")
    await expect(card.locator("button.tile").first).to_be_focused()
    await tab_to(here, card.locator(".kind-delete"))
    await here.page.keyboard.press("Enter")
    sure = here.last.locator(".kind-delete")
    await expect(sure).to_be_visible()
    await tab_to(here, sure)
    await here.page.keyboard.press("Enter")
    await expect(here.page.locator("button.tile")).to_have_count(0)
    await expect(here.last).to_be_focused()


async def test_who_is_at_the_end_stays_there_while_pictures_come(browser: Browser, tmp_path: Path) -> None:
    """Cards grow and shrink while they are drawn; whoever looks at something further up is left alone."""
    at_end = "() => { const box = document.querySelector('.view-chat'); " + (
        "return box.scrollHeight - box.scrollTop - box.clientHeight < 2; }"
    )
    async with desk(browser, tmp_path, viewport={"width": 390, "height": 780}) as here:
        await here.sign_in()
        for text in ("a fox", "a robot"):
            await here.ask(text)
            await here.page.wait_for_function(at_end)
            await expect(here.page.locator(".newest")).to_be_hidden()
        here.talk.hold.clear()
        await here.page.fill("#prompt", "a whale")
        await here.page.keyboard.press("Enter")
        await expect(here.last.locator(".facts")).to_be_visible()
        await here.page.locator(".view-chat").hover()
        await here.page.mouse.wheel(0, -900)
        await here.page.wait_for_function(f"() => !({at_end})()")
        here.talk.hold.set()
        await expect(here.page.locator(".newest")).to_be_visible()
        await expect(here.last.locator("button.tile")).to_have_count(4)
        assert not await here.page.evaluate(at_end)


async def test_a_long_conversation_leaves_the_frame_where_it_is(here: Desk) -> None:
    """What is hidden from the eye in it makes the page no longer: nothing can move the header away."""
    for text in ("a fox", "a cat"):
        await here.ask(text)
    await here.page.fill("#prompt", "/")
    await expect(here.page.get_by_role("option").first).to_be_visible()
    assert await here.page.evaluate("document.scrollingElement.scrollHeight <= innerHeight")


async def test_reduced_motion_is_respected(browser: Browser, tmp_path: Path) -> None:
    async with desk(browser, tmp_path, reduced_motion="reduce") as here:
        await here.sign_in()
        lasting = "() => getComputedStyle(document.querySelector('.hero')).animationDuration"
        assert float((await here.page.evaluate(lasting)).removesuffix("s")) < 0.01


# -- the line ----------------------------------------------------------------------------------------------


async def test_a_restart_of_the_bot_loses_nothing(here: Desk) -> None:
    """Pictures stay, what was being drawn goes on, what was typed meanwhile is sent when the bot is back."""
    await here.ask("before")
    here.talk.hold.clear()
    await here.page.fill("#prompt", "during")
    await here.page.keyboard.press("Enter")
    await expect(here.last.locator(".facts")).to_be_visible()
    port = here.web.port
    await here.stop()
    await expect(here.page.locator(".offline")).to_be_visible()
    await here.page.fill("#prompt", "typed while the bot was away")
    await here.page.keyboard.press("Enter")
    await expect(here.last.locator(".unsent")).to_contain_text("Not sent")
    await here.serve(port)
    await expect(here.page.locator(".offline")).to_be_hidden()
    await expect(here.last.locator("button.tile")).to_have_count(4)
    await expect(here.page.locator(".exchange")).to_have_count(3)
    assert [call.text for call in here.talk.calls] == ["typed while the bot was away"]
    await expect(here.page.locator(".exchange").first.locator("button.tile")).to_have_count(4)
    await expect(here.page.locator(".exchange").nth(1).locator(".bar")).to_be_visible()
    await here.page.reload()
    await expect(here.page.locator(".exchange")).to_have_count(3)
    await expect(here.page.locator("button.tile")).to_have_count(8)


async def test_two_tabs_show_the_same(here: Desk) -> None:
    other = await here.context.new_page()
    await other.goto(here.web.address)
    await expect(other.locator("#prompt")).to_be_visible()
    await here.ask("a fox")
    await expect(other.locator("button.tile")).to_have_count(4)


async def test_a_session_that_ended_elsewhere_shows_the_door(here: Desk) -> None:
    here.house.accounts.clear()
    here.web.sessions.close_all()
    await expect(here.page.get_by_role("alert")).to_contain_text("signed out")
    await expect(here.page.locator("#code")).to_be_visible()
