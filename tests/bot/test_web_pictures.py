"""A picture on the page: brought as bytes, named by its digest in what is said, held by every check."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.web.security import ALL_GUARDS, Guard
from bot.talk import Attachment
from storage.refusal import Refusal
from tests.bot.web_server import Answer, Site, site

BYTES = b"whatever it is"
KIND = "application/octet-stream"


async def bring(here: Site, data: bytes = BYTES, **headers: str | None) -> Answer:
    return await here.post("/api/upload", data, **{"Content_Type": KIND, **headers})


async def test_a_picture_is_kept_and_comes_with_the_prompt(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await bring(here)
        digest = hashlib.sha256(BYTES).hexdigest()
        assert (answer.status, answer.json) == (200, {"picture": digest})
        body = {"text": "a fox", "fields": {"strength": 0.3}, "picture": digest}
        assert (await here.post("/api/say", body)).status == 202
        (call,) = here.talk.calls
        assert call.picture == Attachment(digest)
        assert await here.web.fetch(call.picture, 100) == BYTES
        with pytest.raises(Refusal, match="picture_too_large"):
            await here.web.fetch(call.picture, 5)
        with pytest.raises(Refusal, match="picture_unreachable"):
            await here.web.fetch(Attachment("0" * 64), 100)
        (message,) = here.web.sessions.get(here.cookie.partition("=")[2][:24]).messages.values()
        assert message.said
        assert message.said["picture"] is True


@pytest.mark.parametrize("named", ["../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
async def test_a_name_that_is_no_digest_is_no_request(tmp_path: Path, named: str) -> None:
    async with site(tmp_path) as here:
        answer = await here.post("/api/say", {"text": "a fox", "picture": named})
        assert (answer.status, answer.error) == (400, "shape")
        assert not here.talk.calls


CHECKS: dict[str, tuple[dict[str, Any], int, Guard | None]] = {
    "stranger": ({"Cookie": None}, 401, None),
    "host": ({"Host": "evil.example", "Origin": "http://evil.example"}, 403, Guard.HOST),
    "origin": ({"Origin": "http://evil.example"}, 403, Guard.ORIGIN),
    "no origin": ({"Origin": None}, 403, Guard.ORIGIN),
    "site": ({"Sec_Fetch_Site": "cross-site"}, 403, Guard.SITE),
    "form": ({"Content_Type": "multipart/form-data; boundary=a"}, 415, Guard.JSON),
    "text": ({"Content_Type": "text/plain"}, 415, Guard.JSON),
    "json": ({"Content_Type": "application/json"}, 415, Guard.JSON),
    "packed": ({"Content_Encoding": "gzip"}, 415, Guard.JSON),
}


@pytest.mark.parametrize("name", CHECKS)
async def test_every_check_holds_and_without_it_the_picture_comes_in(tmp_path: Path, name: str) -> None:
    headers, status, guard = CHECKS[name]
    async with site(tmp_path) as here:
        assert (await bring(here, **headers)).status == status
        assert not here.house.uploads
    if guard and "Content_Encoding" not in headers:
        async with site(tmp_path / "control", guards=ALL_GUARDS - {guard}) as here:
            assert (await bring(here, **headers)).status == 200


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()


async def test_too_many_bytes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the length it says, or by what comes in spite of it. Control: without the check they come in."""
    monkeypatch.setattr("bot.adapters.web.api.MAX_UPLOAD", 1_000)
    for guards, status in ((ALL_GUARDS, 413), (ALL_GUARDS - {Guard.SIZE}, 200)):
        async with site(tmp_path, guards=guards) as here:
            assert (await bring(here, bytes(1_001))).status == status
            chunked = b"3e9\r\n" + bytes(1_001) + b"\r\n0\r\n\r\n"
            answer = await bring(here, chunked, Transfer_Encoding="chunked")
            assert answer.status == status
            assert (await bring(here, bytes(1_000))).status == 200


async def test_nothing_is_no_picture(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert (await bring(here, b"")).status == 400


async def test_a_flood_of_pictures_is_slowed_down(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert [(await bring(here)).status for _ in range(8)] == [200] * 6 + [429] * 2
        assert (await bring(here, Cookie=here.other)).status == 200


async def test_somebody_elses_upload_cannot_be_looked_at(tmp_path: Path) -> None:
    """An upload is not in anybody's gallery: no address shows it."""
    async with site(tmp_path) as here:
        digest = (await bring(here)).json["picture"]
        for cookie in (here.cookie, here.other):
            assert (await here.get(f"/api/picture/{digest}", Cookie=cookie)).status == 404
