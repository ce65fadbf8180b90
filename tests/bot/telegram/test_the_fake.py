"""The fake is worth nothing unless it refuses what Telegram refuses."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from PIL import Image as Pillow

from tests.fakes.engine import png
from tests.fakes.telegram import Fault, Server, spec
from tests.fakes.telegram.flood import Flood
from tests.fakes.telegram.words import Bad
from tests.fakes.telegram.world import TOKEN

CODE = {"type": "code", "offset": 0, "length": 3}
BUTTON = {"text": "U1", "callback_data": "again:1"}


class Client:
    """Asks as raw HTTP does, in each of the ways Telegram reads."""

    def __init__(self, tele: Server, session: aiohttp.ClientSession) -> None:
        self.tele = tele
        self.session = session

    async def ask(self, method: str, token: str = TOKEN, how: str = "json", **values: Any) -> Any:
        url = f"{self.tele.root}/bot{token}/{method}"
        files = {name: each for name, each in values.items() if isinstance(each, bytes)}
        texts = {name: each for name, each in values.items() if name not in files}
        form = {name: each if isinstance(each, str) else json.dumps(each) for name, each in texts.items()}
        if files:
            body = aiohttp.FormData(form)
            for name, data in files.items():
                body.add_field(name, io.BytesIO(data), filename=f"{name}.png")
            request = self.session.post(url, data=body)
        elif how == "json":
            request = self.session.post(url, json=values)
        elif how == "query":
            request = self.session.get(url, params=form)
        else:
            request = self.session.post(url, data=form)
        async with request as response:
            return await response.json()

    async def bad(self, words: str, method: str, **values: Any) -> Any:
        answer = await self.ask(method, **values)
        assert not answer["ok"], answer
        assert words in answer["description"], answer
        return answer


@pytest.fixture
async def tele() -> AsyncIterator[Server]:
    made = Server()
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def raw(tele: Server) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(tele, session)


def jpeg(width: int = 50, height: int = 50) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (width, height)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("how", ["json", "form", "query"])
async def test_it_reads_every_kind_of_body(tele: Server, raw: Client, how: str) -> None:
    ana = tele.world.person("Ana")
    markup = {"inline_keyboard": [[BUTTON]]}
    answer = await raw.ask("sendMessage", how=how, chat_id=ana.id, text="12", reply_markup=markup)
    assert answer["result"]["text"] == "12", "a text that looks like a number stays a text"
    assert ana.private.ours[0].labels == ["U1"]
    assert not tele.violations


async def test_a_token_is_known_or_not(raw: Client) -> None:
    assert (await raw.ask("getMe", token=TOKEN + "x"))["error_code"] == 401
    assert (await raw.ask("getMe", token="nonsense"))["error_code"] == 404
    assert (await raw.ask("getMeNow"))["error_code"] == 404


async def test_what_the_specification_does_not_know_is_a_violation(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    await raw.ask("sendMessage", chat_id=ana.id, text="x", colour="red")
    markup = {"inline_keyboard": [[{**BUTTON, "colour": "red"}]]}
    await raw.ask("sendMessage", chat_id=ana.id, text="x", reply_markup=markup)
    assert len(tele.violations) >= 2
    assert "colour" in tele.violations[0]


async def test_texts_are_measured_and_entities_checked(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    to: dict[str, Any] = {"chat_id": ana.id}
    await raw.bad("text is empty", "sendMessage", text=" \n ", **to)
    await raw.bad("too long", "sendMessage", text="🦊" * 2_049, **to)
    await raw.bad("can't parse entities", "sendMessage", text="ab", entities=[CODE], **to)
    middle = [{**CODE, "offset": 1, "length": 1}]
    await raw.bad("middle of a symbol", "sendMessage", text="🦊ab", entities=middle, **to)
    await raw.bad("can't parse entities", "sendMessage", text="<b>x", parse_mode="HTML", **to)
    await raw.bad("Unsupported start tag", "sendMessage", text="<fox>", parse_mode="HTML", **to)
    sent = await raw.ask("sendMessage", text="  abc  ", entities=[{**CODE, "offset": 2}], **to)
    assert sent["result"]["text"] == "abc"
    assert sent["result"]["entities"] == [CODE], "trimmed, and the entity with it"
    assert not ana.private.ours[1:]


@pytest.mark.parametrize(
    ("button", "words"),
    [
        ({"text": "x", "callback_data": "x" * 65}, "BUTTON_DATA_INVALID"),
        ({"text": "x", "callback_data": ""}, "BUTTON_DATA_INVALID"),
        ({"text": "x"}, "exactly one"),
        ({"text": "", "callback_data": "x"}, "empty"),
        ({"text": "x", "copy_text": {"text": "x" * 257}}, "COPY_TEXT"),
        ({"text": "x", "url": "javascript:1"}, "URL"),
        ({"text": "x", "callback_data": "x", "style": "pink"}, "STYLE"),
    ],
)
async def test_a_button_is_checked(tele: Server, raw: Client, button: dict[str, Any], words: str) -> None:
    ana = tele.world.person("Ana")
    markup = {"inline_keyboard": [[button]]}
    await raw.bad(words, "sendMessage", chat_id=ana.id, text="x", reply_markup=markup)


async def test_uploads_have_limits(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    assert (await raw.ask("sendPhoto", chat_id=ana.id, photo=jpeg()))["ok"]
    await raw.bad("IMAGE_PROCESS_FAILED", "sendPhoto", chat_id=ana.id, photo=b"no picture")
    await raw.bad("DIMENSIONS", "sendPhoto", chat_id=ana.id, photo=jpeg(500, 20))
    await raw.bad("too big for a photo", "sendPhoto", chat_id=ana.id, photo=b"x" * 10_600_000)
    await raw.bad("Too Large", "sendDocument", chat_id=ana.id, document=b"x" * 52_500_000)
    await raw.bad("caption is too long", "sendPhoto", chat_id=ana.id, photo=jpeg(), caption="x" * 1_025)
    await raw.bad("no such upload", "sendPhoto", chat_id=ana.id, photo="attach://nothing")
    sent = ana.private.ours[0]
    assert sent.file
    again = await raw.ask("sendPhoto", chat_id=ana.id, photo=sent.file.id)
    assert again["ok"], "by its id"
    await raw.bad("wrong file identifier", "sendDocument", chat_id=ana.id, document=sent.file.id)


async def test_albums_have_rules(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")

    def items(*kinds: str) -> dict[str, Any]:
        media = [{"type": kind, "media": f"attach://f{number}"} for number, kind in enumerate(kinds)]
        return {"media": media} | {f"f{number}": png(8, 8, number) for number in range(len(kinds))}

    await raw.bad("2-10", "sendMediaGroup", chat_id=ana.id, **items("photo"))
    await raw.bad("2-10", "sendMediaGroup", chat_id=ana.id, **items(*["photo"] * 11))
    await raw.bad("cannot be mixed", "sendMediaGroup", chat_id=ana.id, **items("photo", "document"))
    sent = await raw.ask("sendMediaGroup", chat_id=ana.id, **items("photo", "photo"))
    assert len({each["media_group_id"] for each in sent["result"]}) == 1
    tele.violations.clear()
    two = items("photo", "photo")
    await raw.ask("sendMediaGroup", chat_id=ana.id, reply_markup={"force_reply": True}, **two)
    assert tele.violations, "an album carries no keyboard"


async def test_edits_are_edits_of_something_else_that_is_there(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    mine = ana.say("hello")
    await raw.ask("sendMessage", chat_id=ana.id, text="x", reply_markup={"inline_keyboard": [[BUTTON]]})
    message = ana.private.ours[0]
    at: dict[str, Any] = {"chat_id": ana.id, "message_id": message.id}
    same = {"text": "x", "reply_markup": {"inline_keyboard": [[BUTTON]]}}
    await raw.bad("not modified", "editMessageText", **at, **same)
    assert (await raw.ask("editMessageText", text="x", **at))["ok"]
    assert not message.buttons, "a keyboard that is not sent again disappears"
    await raw.bad("can't be edited", "editMessageText", chat_id=ana.id, message_id=mine.id, text="y")
    await raw.bad("not found", "editMessageText", chat_id=ana.id, message_id=1, text="y")
    photo = {"type": "photo", "media": "attach://f", "caption": "a fox"}
    assert (await raw.ask("editMessageMedia", media=photo, f=jpeg(), **at))["ok"], "a text becomes a photo"
    await raw.bad("no text in the message", "editMessageText", text="z", **at)
    message.delete()
    await raw.bad("to edit not found", "editMessageMedia", media=photo, f=jpeg(), **at)


async def test_who_cannot_be_written_to(tele: Server, raw: Client) -> None:
    world = tele.world
    stranger, blocked = world.person("Hugo", started=False), world.person("Ana")
    blocked.block()
    await raw.bad("bot can't initiate", "sendMessage", chat_id=stranger.id, text="x")
    refused = await raw.bad("blocked by the user", "sendMessage", chat_id=blocked.id, text="x")
    assert refused["error_code"] == 403
    await raw.bad("chat not found", "sendMessage", chat_id=5, text="x")
    group = world.group("Friends", forum=True)
    topic = world.topic(group)
    await raw.bad("thread not found", "sendMessage", chat_id=group.id, message_thread_id=5, text="x")
    group.topics[topic] = "closed"
    await raw.bad("TOPIC_CLOSED", "sendMessage", chat_id=group.id, message_thread_id=topic, text="x")
    gone = {"message_id": 5}
    await raw.bad("replied not found", "sendMessage", chat_id=group.id, text="x", reply_parameters=gone)
    new = world.migrate(group)
    answer = await raw.bad("upgraded to a supergroup", "sendMessage", chat_id=group.id, text="x")
    assert answer["parameters"] == {"migrate_to_chat_id": new.id}
    new.member = False
    await raw.bad("kicked", "sendMessage", chat_id=new.id, text="x")


async def test_presses_are_answered_once_and_in_time(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    await raw.ask("sendMessage", chat_id=ana.id, text="x", reply_markup={"inline_keyboard": [[BUTTON]]})
    message = ana.private.ours[0]
    with pytest.raises(AssertionError, match="no button"):
        ana.press(message, "V1")
    query = ana.press(message, "U1")
    await raw.bad("TOO_LONG", "answerCallbackQuery", callback_query_id=query, text="x" * 201)
    assert (await raw.ask("answerCallbackQuery", callback_query_id=query, text="x" * 200))["ok"]
    await raw.bad("query is too old", "answerCallbackQuery", callback_query_id=query)
    late = ana.press(message, "U1")
    tele.world.pressed_at[late] -= 3_600
    await raw.bad("query is too old", "answerCallbackQuery", callback_query_id=late)


async def test_updates_come_again_until_they_are_confirmed(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    ana.say("one")
    ana.say("two")
    first = (await raw.ask("getUpdates"))["result"]
    assert first == (await raw.ask("getUpdates"))["result"]
    rest = (await raw.ask("getUpdates", offset=first[0]["update_id"] + 1))["result"]
    assert [each["message"]["text"] for each in rest] == ["two"]
    last = first[1]["update_id"] + 1
    waiting = asyncio.create_task(raw.ask("getUpdates", offset=last, timeout=5))
    await asyncio.sleep(0.1)
    assert not waiting.done(), "it polls for long"
    ana.say("three")
    assert (await waiting)["result"][0]["message"]["text"] == "three"
    assert (await raw.ask("getUpdates", offset=last, limit=1))["result"]


async def test_two_cannot_poll_and_none_beside_a_webhook(tele: Server, raw: Client) -> None:
    first = asyncio.create_task(raw.ask("getUpdates", timeout=5))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(raw.ask("getUpdates", timeout=1))
    assert (await first)["error_code"] == 409
    assert (await second)["ok"]
    await raw.bad("HTTPS", "setWebhook", url="http://x.example")
    await raw.ask("setWebhook", url="https://x.example/hook", secret_token="s")
    assert (await raw.ask("getUpdates"))["error_code"] == 409


async def test_only_updates_that_are_asked_for_come(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    ana.say("x")
    assert (await raw.ask("getUpdates", allowed_updates=["inline_query"]))["result"] == []


async def test_files_are_given_up_to_a_size(tele: Server, raw: Client) -> None:
    from tests.fakes.telegram import File

    tele.world.keep(File("big", "document", b"x", claims=20_971_521))
    tele.world.keep(File("small", "document", b"x"))
    await raw.bad("file is too big", "getFile", file_id="big")
    await raw.bad("wrong file_id", "getFile", file_id="other")
    path = (await raw.ask("getFile", file_id="small"))["result"]["file_path"]
    async with raw.session.get(f"{tele.root}/file/bot{TOKEN}/{path}") as response:
        assert await response.read() == b"x"


async def test_commands_have_names(raw: Client) -> None:
    def one(name: str) -> list[dict[str, str]]:
        return [{"command": name, "description": "x"}]

    for name in ("Upper", "with-dash", "ñ", "x" * 33, ""):
        await raw.bad("BOT_COMMAND_INVALID", "setMyCommands", commands=one(name))
    await raw.bad("LANG_CODE", "setMyCommands", commands=one("x"), language_code="es-419")
    await raw.ask("setMyCommands", commands=one("x"), language_code="es")
    assert (await raw.ask("getMyCommands"))["result"] == []
    assert (await raw.ask("getMyCommands", language_code="es"))["result"] == one("x")


async def test_faults_happen_before_or_after(tele: Server, raw: Client) -> None:
    ana = tele.world.person("Ana")
    tele.fault = lambda method, values: Fault(0, done=True)
    with pytest.raises(aiohttp.ClientError):
        await raw.ask("sendMessage", chat_id=ana.id, text="x")
    tele.fault = lambda method, values: Fault(429, retry_after=7)
    assert (await raw.ask("sendMessage", chat_id=ana.id, text="y"))["parameters"] == {"retry_after": 7}
    assert [message.text for message in ana.private.ours] == ["x"]


def flooded(flood: Flood, chat: int) -> int:
    with pytest.raises(Bad) as refused:
        flood.count(chat)
    assert refused.value.code == 429
    return refused.value.parameters["retry_after"]


def test_floods_are_refused_by_second_minute_and_in_all() -> None:
    now = [1_000.0]
    flood = Flood(lambda: now[0])
    for _ in range(3):
        flood.count(5)
    assert flooded(flood, 5) == 3, "one a second, three at once"
    for chat in range(100, 127):
        flood.count(chat)
    assert flooded(flood, 999) == 1, "thirty a second in all"
    flood = Flood(lambda: now[0])
    for _ in range(20):
        now[0] += 1.5
        flood.count(-5)
    now[0] += 1.5
    assert flooded(flood, -5) == 30, "twenty a minute in a group"
    flood.count(5)
    assert flood.most(-5) == 20


def test_the_specification_is_the_published_one() -> None:
    known = spec.load()
    assert known.knows("editMessageMedia")
    assert known.request("sendMessage", {"chat_id": 1, "text": "x"}, set()) == []
    assert known.request("sendMessage", {"chat_id": True, "text": "x"}, set())
    assert known.request("sendMessage", {"text": "x"}, set())
    assert known.response("sendMessage", {"message_id": 1})
