"""A picture to begin from: chosen, pasted, dropped, taken away, sent with the next prompt."""

from __future__ import annotations

import pytest
from playwright.async_api import FilePayload, expect

from bot.talk import Attachment
from tests.browser.desk import Desk
from tests.browser.house import Imagine, sticker

pytestmark = pytest.mark.asyncio(loop_scope="session")


def fox() -> FilePayload:
    return FilePayload(name="fox.png", mimeType="image/png", buffer=sticker(3, 64))


async def choose(here: Desk) -> None:
    await here.page.set_input_files("input[type=file]", fox())
    await expect(here.page.locator(".attached")).to_be_visible()
    await expect(here.page.locator(".attached.busy")).to_have_count(0)


async def test_a_chosen_picture_goes_with_the_prompt_and_only_with_that_one(here: Desk) -> None:
    await choose(here)
    await expect(here.page.locator(".attached canvas")).to_be_visible()
    await here.ask("a hen like this")
    call = here.talk.calls[-1]
    assert call.picture == Attachment(here.house.uploads[-1])
    assert call.ask == Imagine("a hen like this", ()) or call.ask is None
    await expect(here.last.locator(".said .sent")).to_be_visible()
    await expect(here.page.locator(".attached")).to_be_hidden()
    await here.ask("a fox")
    assert here.talk.calls[-1].picture is None


async def test_how_far_to_go_is_said_when_it_was_touched(here: Desk) -> None:
    await choose(here)
    await here.page.locator(".attached-strength input").fill("0.3")
    await here.ask("a hen like this")
    ask = here.talk.calls[-1].ask
    assert isinstance(ask, Imagine)
    assert dict(ask.options)["strength"] == 0.3


async def test_a_picture_taken_away_is_not_sent(here: Desk) -> None:
    await choose(here)
    await here.page.get_by_role("button", name="Take the picture away").click()
    await expect(here.page.locator(".attached")).to_be_hidden()
    await here.ask("a fox")
    assert here.talk.calls[-1].picture is None


async def test_a_picture_can_be_pasted_and_dropped(here: Desk) -> None:
    """As a person's browser does it: a file in the event's clipboard or transfer."""
    for kind in ("paste", "drop"):
        await here.page.evaluate(
            """([kind, bytes]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], 'a.png', { type: 'image/png' }));
                const more = { bubbles: true, cancelable: true };
                const event = kind === 'paste'
                    ? new ClipboardEvent(kind, { clipboardData: transfer, ...more })
                    : new DragEvent(kind, { dataTransfer: transfer, ...more });
                document.querySelector('#prompt').dispatchEvent(event);
            }""",
            [kind, list(sticker(4, 32))],
        )
        await expect(here.page.locator(".attached canvas")).to_be_visible()
        await here.page.get_by_role("button", name="Take the picture away").click()
    assert len(here.house.uploads) == 2


async def test_too_large_a_picture_is_refused_before_it_travels(here: Desk) -> None:
    big = here.folder / "big.png"
    with big.open("wb") as file:
        file.truncate(21 * 2**20)
    await here.page.set_input_files("input[type=file]", big)  # a file of the disk: its bytes stay there
    await expect(here.toast).to_contain_text("20 MiB")
    assert not here.house.uploads


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("README.md", "text/markdown", b"# Falopitas"),
        ("fox.png", "image/png", b"no picture at all"),
        ("fox", "", b"%PDF-1.7"),
    ],
)
async def test_what_is_no_picture_is_refused_when_it_is_attached(
    here: Desk, name: str, kind: str, data: bytes
) -> None:
    await here.page.set_input_files("input[type=file]", FilePayload(name=name, mimeType=kind, buffer=data))
    await expect(here.toast).to_contain_text("no picture I can read")
    await expect(here.page.locator(".attached")).to_be_hidden()
    assert not here.house.uploads
    await here.ask("a fox")
    assert here.talk.calls[-1].picture is None


async def test_it_fits_a_phone(here: Desk) -> None:
    await here.page.set_viewport_size({"width": 360, "height": 700})
    await choose(here)
    assert await here.fits()
