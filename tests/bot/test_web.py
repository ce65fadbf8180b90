"""The page's server as a chat: calls in, replies out as events, nothing lost between two connections."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from bot.adapters.web import Web
from bot.adapters.web.api import FILES
from bot.adapters.web.render import media_type, render, size
from bot.adapters.web.security import Denied
from bot.adapters.web.session import MAX_MESSAGES, MAX_OFFERED, Message, Session, Sessions
from bot.adapters.web.words import prefer
from bot.talk import Button, Call, Gone, Image, Reply, Tone
from storage.refusal import Refusal
from tests.bot.web_server import Site, site
from tests.browser.house import FORM, Details, FakeHouse, Star, sticker

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "bot" / "adapters" / "web" / "page"


async def events(
    here: Site, count: int, after: str = "", **headers: str | None
) -> list[tuple[str, str, Any]]:
    """The next ``count`` events of a stream: id, kind, data."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.web.port)
    lines = [
        f"{name}: {value}" for name, value in here.headers(Content_Type=None, Origin=None, **headers).items()
    ]
    writer.write("\r\n".join([f"GET /api/events?after={after} HTTP/1.1", *lines, "", ""]).encode())
    found: list[tuple[str, str, Any]] = []
    async with asyncio.timeout(60):
        text = ""
        while len(found) < count:
            text += (await reader.read(65_536)).decode()
            found = re.findall(r"id: (\S+)\r?\nevent: (\w+)\r?\ndata: (.*)\n", text)
    writer.close()
    return [(number, kind, json.loads(data)) for number, kind, data in found]


def zipped(*names: str) -> bytes:
    """A zip with a word in each file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return out.getvalue()


# -- calls in ----------------------------------------------------------------------------------------------


async def test_what_is_typed_becomes_a_call(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        body = {"text": "a fox", "fields": {"n": 2}, "language": "es"}
        answer = await here.post("/api/say", body, Idempotency_Key="key-00001")
        assert (answer.status, answer.json) == (202, {"id": "key-00001"})
        (call,) = here.talk.calls
        session = here.cookie.partition("=")[2][:24]
        assert (call.who, call.place) == (f"web:{session}", f"web:{session}/key-00001")
        assert (call.event, call.text, call.language) == (f"{session}.key-00001", "a fox", "es")


async def test_a_pressed_button_is_its_ask(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.post("/api/say", {"press": "Details:1", "label": "Details"})
        assert here.talk.calls[0].ask == Details(1)


async def test_a_button_that_is_none_is_refused_in_the_conversation(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await here.post("/api/say", {"press": "Reboot:1"}, Idempotency_Key="key-00001")
        assert answer.status == 202
        assert not here.talk.calls
        ((_, _, shown),) = await events(here, 1)
        assert shown[0]["reply"]["tone"] == "refused"


async def test_an_answer_waits_until_the_conversation_has_the_call(tmp_path: Path) -> None:
    """202 means durable: the loop asks for the next call only when it has this one."""
    web = Web(FakeHouse(), tmp_path, port=0, patience=0.2)
    call = Call("web:x", "web:x/y", "e", text="a")
    with pytest.raises(Denied, match="busy"):
        await web.hand_in(call)
    heard = web.listen()
    assert (await anext(heard)).event == "e"
    web.patience = 60.0
    later = asyncio.create_task(web.hand_in(Call("web:x", "web:x/z", "f", text="b")))
    assert (await anext(heard)).event == "f"
    await asyncio.sleep(0.01)
    assert not later.done()
    asking = asyncio.create_task(anext(heard, None))
    await later
    await web.close()
    assert await asking is None


# -- replies out -------------------------------------------------------------------------------------------


async def test_a_page_that_comes_back_gets_what_it_missed(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        session = here.cookie.partition("=")[2][:24]
        for name in ("one", "two"):
            await here.web.show(f"web:{session}/{name}", Reply(text=name))
        ((number, kind, shown),) = await events(here, 1)
        assert kind == "all"
        assert [each["id"] for each in shown] == ["one", "two"]
        await here.web.show(f"web:{session}/one", Reply(text="changed"))
        ((after, kind, message),) = await events(here, 1, after=number)
        assert (kind, message["id"], message["reply"]["text"]) == ("message", "one", "changed")
        ((_, kind, _),) = await events(here, 1, after="00000000-1")
        assert kind == "all"
        ((_, kind, _),) = await events(here, 1, Last_Event_ID=f"{after}junk")
        assert kind == "all"


async def test_a_slow_page_skips_progress_instead_of_piling_it_up(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        session = here.cookie.partition("=")[2][:24]
        place = f"web:{session}/job"
        for step in range(500):
            await here.web.show(place, Reply(progress=step / 500, fleeting=True, tone=Tone.WAITING, job=1))
        ((_, _, shown),) = await events(here, 1)
        assert len(shown) == 1
        assert shown[0]["reply"]["progress"] == 499 / 500


async def test_progress_that_comes_too_late_is_dropped(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        session = here.cookie.partition("=")[2][:24]
        place = f"web:{session}/job"
        await here.web.show(place, Reply(text="done", tone=Tone.GOOD))
        await here.web.show(place, Reply(text="98 %", fleeting=True, tone=Tone.WAITING))
        ((_, _, shown),) = await events(here, 1)
        assert shown[0]["reply"]["text"] == "done"


async def test_after_a_restart_the_conversation_is_there_again(tmp_path: Path) -> None:
    """Finished pictures from the gallery; what is still being drawn goes on."""
    house = FakeHouse()
    async with site(tmp_path, house=house) as here:
        session = here.cookie.partition("=")[2][:24]
        house.hang(1, "finished fox")
        house.hang(1, "unfinished fox")
        for number, job in house.jobs.items():
            job.place = f"web:{session}/key-{number:05}"
        house.jobs[max(house.jobs)].done = False
    async with site(tmp_path, house=house) as here:
        cookie = f"falopitas_{here.web.port}={here.web.cookies.sign(session, here.clock.now)}"
        await events(here, 1, Cookie=cookie)
        ((_, _, shown),) = await events(here, 1, Cookie=cookie)
        texts = {each["said"]["text"]: each["reply"] for each in shown}
        assert texts["finished fox"]["images"]
        assert texts["unfinished fox"]["progress"] == 0.5


async def test_a_place_of_nobody_is_gone(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        stranger = "web:" + "0" * 24 + "/x"
        for place in (stranger, "web:../../x", "telegram:1/2", "web:", "x"):
            with pytest.raises(Gone):
                await here.web.show(place, Reply(text="hello"))


async def test_a_grid_is_shown_as_its_single_pictures(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        session = here.cookie.partition("=")[2][:24]
        parts = [here.house.keep(sticker(seed, 16)) for seed in range(3)]
        job = here.house.jobs[1]
        job.pictures = parts
        whole = Image(here.house.files[parts[2]], "grid.png", "a fox", parts[2])
        await here.web.show(f"web:{session}/x", Reply(images=(whole,), job=1, tone=Tone.GOOD))
        ((_, _, shown),) = await events(here, 1)
        assert [tile["digest"] for tile in shown[0]["reply"]["tiles"]] == parts[:2]
        assert {tile["alt"] for tile in shown[0]["reply"]["tiles"]} == {"a fox"}


async def test_whoever_was_shown_a_picture_may_load_it(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        session = here.cookie.partition("=")[2][:24]
        assert (await here.get(f"/api/picture/{here.theirs}")).status == 404
        image = Image(here.house.files[here.theirs], "x.png", "", here.theirs)
        await here.web.show(f"web:{session}/x", Reply(images=(image,)))
        assert (await here.get(f"/api/picture/{here.theirs}")).status == 200
        loose = Image(sticker(9, 16), "y.png")
        await here.web.show(f"web:{session}/x", Reply(images=(loose,)))
        ((_, _, shown),) = await events(here, 1)
        address = shown[0]["reply"]["images"][0]["src"]
        assert (await here.get(address)).body == loose.data
        assert (await here.get(address, Cookie=here.other)).status == 404


async def test_a_file_to_take_along_is_a_download_for_whom_it_was_offered(tmp_path: Path) -> None:
    """Also with a picture beside it; nobody else gets it, and nothing but what a reply offered is served."""
    async with site(tmp_path) as here:
        session = here.cookie.partition("=")[2][:24]
        data, picture = zipped("mydata.json"), Image(sticker(9, 16), "y.png", exact=True)
        await here.web.show(
            f"web:{session}/x", Reply(images=(Image(data, "falopitas-mydata.zip", exact=True), picture))
        )
        ((_, _, shown),) = await events(here, 1)
        (file,) = shown[0]["reply"]["files"]
        assert (file["name"], file["size"]) == ("falopitas-mydata.zip", len(data))
        assert [each["name"] for each in shown[0]["reply"]["images"]] == ["y.png"]
        answer = await here.get(file["src"])
        assert (answer.status, answer.body) == (200, data)
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"] == 'attachment; filename="falopitas-mydata.zip"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await here.get(file["src"], Cookie=here.other)).status == 404
        assert (await here.get(file["src"], Cookie=None)).status == 401
        assert (await here.get(file["src"], Sec_Fetch_Site="cross-site")).status == 403
        digest = file["src"].rpartition("/")[2]
        assert (await here.get(f"/api/picture/{digest}")).status == 404
        assert (await here.get(f"/api/file/{here.mine}")).status == 404


@pytest.mark.parametrize(
    "image",
    [
        Image(b"PK no picture that nobody asked for exactly", "x.zip"),
        Image(b"<script>", "x.html", exact=True),
        Image(b"PK", 'x".zip', exact=True),
        Image(b"PK", "x\r\nSet-Cookie: a=b.zip", exact=True),
    ],
)
async def test_what_is_no_zip_of_ours_is_never_served(tmp_path: Path, image: Image) -> None:
    async with site(tmp_path) as here:
        session = here.cookie.partition("=")[2][:24]
        await here.web.show(f"web:{session}/x", Reply("Here.", images=(image,)))
        digest = hashlib.sha256(image.data).hexdigest()
        assert (await here.get(f"/api/file/{digest}")).status == 404
        assert (await here.get(f"/api/picture/{digest}")).status == 404


async def test_closing_ends_streams_and_listening(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.web.port)
        writer.write(
            f"GET /api/events HTTP/1.1\r\nHost: {here.host}\r\nCookie: {here.cookie}\r\n\r\n".encode()
        )
        assert b"200 OK" in await reader.readline()
        async with asyncio.timeout(60):
            await here.web.close()
            await here.web.close()
            await reader.read()
        writer.close()
        await writer.wait_closed()


# -- parts -------------------------------------------------------------------------------------------------


def test_sessions_forget_the_oldest_that_nobody_watches() -> None:
    sessions = Sessions()
    first = sessions.get("0" * 24)
    with first.watch():
        for number in range(1, 520):
            sessions.get(f"{number:024x}")
        assert sessions.get("0" * 24) is first
    assert sessions.get(f"{1:024x}").messages == {}


def test_a_session_keeps_its_newest_files() -> None:
    session = Session("x")
    for number in range(MAX_OFFERED + 2):
        session.offer(str(number), f"{number}.zip", b"PK")
    assert list(session.offered) == ["2", "3", "4"]


def test_a_conversation_keeps_its_newest_messages() -> None:
    session = Session("x")
    for number in range(MAX_MESSAGES + 5):
        session.put(Message(f"m{number}", float(number)))
    assert len(session.messages) == MAX_MESSAGES
    assert "m0" not in session.messages


def test_pictures_are_told_by_their_bytes() -> None:
    assert media_type(sticker(1, 16)) == "image/png"
    assert media_type(b"RIFF\x00\x00\x00\x00WEBPVP8 ") == "image/webp"
    for data in (b"", b"GIF89a", b"<svg/>", b"\xff\xd8\xff", b"%PDF", b"RIFF\x00\x00\x00\x00WAVE"):
        assert media_type(data) is None
    assert size(sticker(1, 16)) == (16, 16)
    assert size(b"RIFF") == (0, 0)
    for kind in ({"quality": 60}, {"lossless": True}, {"quality": 60, "icc_profile": b"a profile"}):
        preview = io.BytesIO()
        Pillow.new("RGB", (300, 17), "#e2572b").save(preview, "WEBP", **kind)
        assert size(preview.getvalue()) == (300, 17), kind
        assert size(preview.getvalue()[:29]) == (0, 0)


def test_a_button_carries_its_form() -> None:
    button = Button("✏️", Star(1), form="prompt", value="a fox")
    shown = render(Reply(buttons=((button,),)), lambda ask: "packed", lambda *_: None, lambda *_: None)
    assert shown["buttons"] == [[{
        "label": "✏️", "style": "plain", "kind": "star", "press": "packed",
        "form": {"name": "prompt", "value": "a fox"},
    }]]  # fmt: skip


def test_images_without_bytes_are_left_out() -> None:
    shown = render(Reply(images=(Image(b"", "x.webp"),)), str, lambda *_: None, lambda *_: None)
    assert shown["images"] == []


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("es", "es"), ("es-419,en;q=0.8", "es"), ("en-GB,es;q=0.9", "en"),
        ("fr,es;q=0.4,en;q=0.3", "es"),
        ("fr", "en"), ("*", "en"), (",,;q=,es;q=x", "en"), ("ES;q=0.5", "es"), ("x" * 9_000, "en"),
    ],
)  # fmt: skip
def test_the_browser_says_what_it_speaks(header: str, language: str) -> None:
    assert prefer(header) == language


# -- the page's files --------------------------------------------------------------------------------------


def test_every_file_of_the_page_is_listed_and_small() -> None:
    listed = {name for name, _ in FILES.values()}
    assert listed == {path.name for path in PAGE.iterdir()}
    sizes = {path.name: path.stat().st_size for path in PAGE.iterdir()}
    moderators = {name for name in sizes if name.startswith(("mod", "plots"))}  # nobody else loads these
    assert sum(sizes[name] for name in sizes.keys() - moderators) < 150_000
    assert sum(sizes[name] for name in moderators) < 75_000


def test_the_page_never_makes_markup_from_text() -> None:
    """Only nodes and text: what would parse a string as HTML or script is not in the sources."""
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser"
        r"|javascript:"
    )
    for path in PAGE.glob("*.js"):
        assert not re.findall(forbidden, path.read_text("utf-8")), path.name
    html = (PAGE / "index.html").read_text("utf-8")
    assert not re.findall(r"<script>|<style|style=|\son\w+=", html)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def test_both_languages_say_the_same_things() -> None:
    folder = ROOT / "bot" / "texts"
    english, spanish = (
        _flat(tomllib.loads((folder / f"{language}.web.toml").read_text("utf-8"))["web"])
        for language in ("en", "es")
    )
    many = {key for key in spanish if key.endswith(".many")}
    assert set(english) == set(spanish) - many
    for key, sentence in english.items():
        assert set(re.findall(r"{\w+}", sentence)) == set(re.findall(r"{\w+}", spanish[key])), key


def test_every_sentence_the_page_asks_for_is_there() -> None:
    texts = set(_flat(tomllib.loads((ROOT / "bot" / "texts" / "en.web.toml").read_text("utf-8"))["web"]))
    groups = {key.rpartition(".")[0] for key in texts}
    for path in PAGE.glob("*.js"):
        for key in re.findall(r'\bsay\("([a-z_.]+)"', path.read_text("utf-8")):
            assert key in texts | groups, (path.name, key)


def test_the_fake_form_is_like_the_real_one() -> None:
    from bot.commands.imagine import Imagine
    from bot.options import schema

    choices = {"models": ["builtin"], "styles": ["3d"], "samplers": ["euler"]}
    real = schema(Imagine, lambda flag: "", choices)["properties"]
    for flag, rule in FORM["properties"].items():
        assert rule["type"] == real[flag]["type"], flag
        assert set(rule) <= set(real[flag]) | {"enum"}, flag


async def test_settings_say_why_not(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        refused = await here.post("/api/settings", {"fields": {"steps": 13}})
        assert (refused.status, refused.json) == (400, {"error": "refused", "text": "unlucky"})
        assert (await here.post("/api/settings", {"language": "es"})).status == 200
        assert here.house.languages[1] == "es"


def test_a_refusal_of_the_fake_house_is_one() -> None:
    with pytest.raises(Refusal):
        FakeHouse().read("", "nonsense", {})
