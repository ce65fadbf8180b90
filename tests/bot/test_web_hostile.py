"""R26: nothing hostile gets through, and every request of the corpus would without the check it meets."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from aiohttp import web

from bot.adapters.web import Web
from bot.adapters.web.security import ALL_GUARDS, CSP, HEADERS, Guard
from storage.refusal import Refusal
from tests.bot.web_corpus import GOOD, GROUPS, HELLO, PATHS, Case, say
from tests.bot.web_server import Answer, site, token


@pytest.mark.parametrize("group", GROUPS)
async def test_hostile_requests_are_refused(group: str, tmp_path: Path) -> None:
    """Each gets its status and code, the security headers, and makes no call."""
    wrong: list[str] = []
    async with site(tmp_path) as here:
        key = (tmp_path / "web.key").read_bytes()
        for case in GROUPS[group]():
            here.clock.now += 60
            calls = len(here.talk.calls)
            answer = await case.ask(here)
            if problem := _problem(case, answer) or ("leaked the key" if key in answer.body else ""):
                wrong.append(f"{case.name}: {problem}")
            if len(here.talk.calls) != calls:
                wrong.append(f"{case.name}: made a call")
    assert not wrong, "\n".join(wrong)


def _problem(case: Case, answer: Answer) -> str:
    if answer.status not in case.gets:
        return f"{answer.status} {answer.body[:80]!r}"
    if case.error and answer.error != case.error:
        return f"error {answer.error!r}"
    bare = answer.status == 400 and "content-security-policy" not in answer.headers  # aiohttp's own parser
    return "" if bare or answer.headers.get("content-security-policy") == CSP else "no policy"


@pytest.mark.parametrize("guard", Guard)
async def test_without_its_guard_each_request_succeeds(guard: Guard, tmp_path: Path) -> None:
    """The control: with exactly that check off, the same request is served."""
    wrong: list[str] = []
    async with site(tmp_path, guards=ALL_GUARDS - {guard}) as here:
        for case in (each for group in GROUPS.values() for each in group() if each.off is guard):
            here.clock.now += 60
            answer = await case.ask(here)
            if answer.status not in GOOD:
                wrong.append(f"{case.name}: {answer.status} {answer.body[:80]!r}")
    assert not wrong, "\n".join(wrong)


async def test_the_harmless_twin_of_each_request_succeeds(tmp_path: Path) -> None:
    """The control of what no switch turns off: the same request without what is hostile in it."""
    async with site(tmp_path) as here:
        twins = {case.twin for group in GROUPS.values() for case in group() if case.off is None and case.twin}
        for twin in twins:
            here.clock.now += 60
            answer = await twin(here)
            assert answer.status in GOOD, answer


def test_the_corpus_is_large_and_has_controls() -> None:
    cases = [case for group in GROUPS.values() for case in group()]
    assert len(cases) >= 400
    assert sum(case.off is not None for case in cases) >= 250
    assert len({(name, case.name) for name, group in GROUPS.items() for case in group()}) == len(cases)


async def test_the_paths_would_leak_from_a_careless_server(tmp_path: Path) -> None:
    """The control of the paths: where addresses become paths, a good part of them reads the key."""
    (tmp_path / "web.key").write_bytes(b"secret")
    (tmp_path / "page").mkdir()

    async def careless(request: web.Request) -> web.Response:
        path = tmp_path / "page" / unquote(request.raw_path).lstrip("/")
        name = tmp_path / unquote(request.raw_path).lstrip("/")
        found = next((each for each in (path, name) if each.is_file()), None)
        return web.Response(body=found.read_bytes() if found else b"")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", careless)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with site(tmp_path / "page") as here:
        here.web.port, port = runner.addresses[0][1], here.web.port
        leaks = [path for path in PATHS if (await here.get(path)).body]
        here.web.port = port
    await runner.cleanup()
    assert len(leaks) >= 8, leaks


# -- time, replay, rates -----------------------------------------------------------------------------------


async def test_a_token_opens_one_session(tmp_path: Path) -> None:
    for guards, status in ((ALL_GUARDS, 403), (ALL_GUARDS - {Guard.ONCE}, 200)):
        async with site(tmp_path, guards=guards) as here:
            once = token(here.web)
            first = await here.post("/api/enter", {"token": once}, Cookie=None)
            again = await here.post("/api/enter", {"token": once}, Cookie=None)
            assert (first.status, again.status) == (200, status)


@pytest.mark.parametrize("guards", [ALL_GUARDS, ALL_GUARDS - {Guard.AGE}])
async def test_tokens_and_cookies_grow_old(tmp_path: Path, guards: frozenset[Guard]) -> None:
    async with site(tmp_path, guards=guards) as here:
        old, cookie = token(here.web), here.cookie
        here.clock.now += 25 * 3600
        late = await here.post("/api/enter", {"token": old}, Cookie=None)
        here.clock.now += 31 * 86_400
        stale = await here.get("/api/quota", Cookie=cookie)
        here.clock.now -= 90 * 86_400
        early = await here.get("/api/quota", Cookie=cookie)
        control = Guard.AGE not in guards
        assert [late.status, stale.status, early.status] == ([200] * 3 if control else [403, 401, 401])


@pytest.mark.parametrize("guards", [ALL_GUARDS, ALL_GUARDS - {Guard.MEMBER}])
async def test_a_copied_cookie_is_worth_nothing_after_sign_out(
    tmp_path: Path, guards: frozenset[Guard]
) -> None:
    async with site(tmp_path, guards=guards) as here:
        left = await here.post("/api/leave", {})
        assert left.status == 200
        assert "Max-Age=0" in left.headers["set-cookie"]
        tiny = await here.get("/api/texts")
        copied = await here.get("/api/picture/" + "0" * 64)
        assert tiny.status == 200
        assert copied.status == (404 if Guard.MEMBER not in guards else 401)
    async with site(tmp_path, guards=guards, house=here.house) as after:
        cookie = here.cookie.replace(str(here.web.port), str(after.web.port))
        after.house.accounts[f"web:{cookie.partition('=')[2][:24]}"] = 1  # even if storage still knew it
        later = await after.get("/api/quota", Cookie=cookie)
        assert later.status == (200 if Guard.MEMBER not in guards else 401)


@pytest.mark.parametrize("guards", [ALL_GUARDS, ALL_GUARDS - {Guard.RATE}])
async def test_guesses_are_slow(tmp_path: Path, guards: frozenset[Guard]) -> None:
    async with site(tmp_path, guards=guards) as here:
        for path, body in (("/api/link", {"code": "AAAAAAAA"}), ("/api/enter", {"token": "x"})):
            here.clock.now += 3600
            answers = [await here.post(path, body, Cookie=None) for _ in range(9)]
            statuses = [answer.status for answer in answers]
            control = Guard.RATE not in guards
            assert statuses == [403] * 9 if control else statuses == [403] * 6 + [429] * 3
            assert control or int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize("guards", [ALL_GUARDS, ALL_GUARDS - {Guard.RATE}])
async def test_a_flood_of_one_session_is_its_own_affair(tmp_path: Path, guards: frozenset[Guard]) -> None:
    async with site(tmp_path, guards=guards) as here:
        statuses = [(await say(here)).status for _ in range(25)]
        assert statuses.count(429) == (0 if Guard.RATE not in guards else 5)
        assert (await say(here, Cookie=here.other)).status == 202


@pytest.mark.parametrize("patience", [0.15, 5.0])
async def test_slow_bodies_are_cut_off(tmp_path: Path, patience: float) -> None:
    """Bytes that drip in hold a connection for the patience of the server, no longer."""
    async with site(tmp_path, patience=patience) as here:
        body = b'{"text": "a fox"}'
        for pieces in ((4,), (1, 2), (8, 12), (16,)):
            head = "".join(f"{name}: {value}\r\n" for name, value in here.headers().items())
            start = (
                f"POST /api/say HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            cuts = [0, *pieces, len(body)]
            parts = [body[a:b] for a, b in pairwise(cuts)]
            answer = await here.raw(start.encode() + parts[0], *((0.25, part) for part in parts[1:]))
            assert answer.status == (408 if patience < 1 else 202)


async def test_the_same_key_is_the_same_call(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for _ in range(3):
            assert (await say(here, Idempotency_Key="press-once")).status == 202
        assert (await say(here, Idempotency_Key="press-once", Cookie=here.other)).status == 202
        events = [call.event for call in here.talk.calls]
        assert len(events) == len(set(events)) == 2


# -- headers, binding --------------------------------------------------------------------------------------


async def test_every_answer_has_the_security_headers(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        paths = (
            "/",
            "/app.js",
            "/style.css",
            "/icon.svg",
            "/api/texts",
            "/api/me",
            "/api/gallery",
            "/nothing",
        )
        for path in (*paths, f"/api/picture/{here.mine}", "/api/events"):
            for cookie in (here.cookie, None):
                answer = await here.get(path, Cookie=cookie)
                for name, value in HEADERS.items():
                    assert answer.headers[name.lower()] == value, (path, name)


async def test_the_policy_lets_nothing_inline_run() -> None:
    assert "unsafe" not in CSP
    assert "default-src 'none'" in CSP
    assert "require-trusted-types-for 'script'" in CSP
    assert "frame-ancestors 'none'" in CSP


async def test_nothing_in_a_request_becomes_a_header(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        injected = "%0d%0aSet-Cookie:%20x=y%0d%0aX-Evil:%201"
        for path in (
            f"/api/picture/{here.mine}?download={injected}",
            f"/api/texts?language={injected}",
            f"/?{injected}",
        ):
            answer = await here.get(path)
            assert answer.status == 200
            assert "x-evil" not in answer.headers
            assert "set-cookie" not in answer.headers
        named = await here.get(f"/api/picture/{here.mine}?download=../../x.html")
        assert (
            named.headers["content-disposition"] == f'attachment; filename="falopitas-{here.mine[:12]}.png"'
        )


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        answer = await here.get("/api/me")
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie, "on this computer there is no TLS, and it must work"
        assert "Domain" not in cookie


async def test_pictures_are_what_they_are(tmp_path: Path) -> None:
    """A file that is no PNG or WebP is never served, whatever its digest says."""
    async with site(tmp_path) as here:
        job = here.house.jobs[1]
        job.pictures.append(here.house.keep(b"<html><script>alert(1)</script>"))
        html = await here.get(f"/api/picture/{job.pictures[-1]}")
        picture = await here.get(f"/api/picture/{here.mine}")
        assert html.status == 404
        assert (picture.status, picture.headers["content-type"]) == (200, "image/png")
        assert picture.headers["cache-control"] == "private, no-cache", "it may be held back"
        again = await here.get(f"/api/picture/{here.mine}", If_None_Match=picture.headers["etag"])
        assert (again.status, again.body) == (304, b"")


async def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    async with site(tmp_path):
        assert (tmp_path / "web.key").stat().st_mode & 0o777 == 0o600
        assert len((tmp_path / "web.key").read_bytes()) == 32


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])  # noqa: S104 - refused
async def test_other_addresses_need_public(tmp_path: Path, host: str) -> None:
    from tests.browser.house import FakeHouse

    with pytest.raises(Refusal, match="web_public"):
        Web(FakeHouse(), tmp_path, host=host)
    assert Web(FakeHouse(), tmp_path, host=host, public=True).public


async def test_behind_tls_the_cookie_is_never_sent_in_the_clear(tmp_path: Path) -> None:
    """Whether the proxy says so, or only the page's own address does."""
    for more in ({"X-Forwarded-Proto": "https"}, {"Origin": "https://pictures.example.org"}):
        async with site(tmp_path, public=True, names=("pictures.example.org",)) as here:
            origin = {"Host": "pictures.example.org", "Origin": "http://pictures.example.org"} | more
            answer = await here.post("/api/enter", {"token": token(here.web)}, **origin)
            assert answer.status == 200
            assert "Secure" in answer.headers["set-cookie"].split("; ")


async def test_a_public_server_knows_addresses_and_listed_names(tmp_path: Path) -> None:
    """A name that is not listed may be anybody's (rebinding); an address literal cannot be."""
    async with site(tmp_path, public=True, names=("pictures.example.org",)) as here:
        for host, status in (
            ("pictures.example.org", 200), ("PICTURES.example.org", 200),
            (f"192.168.1.5:{here.web.port}", 200), (f"[fe80::1]:{here.web.port}", 200),
            ("evil.example", 403), ("evil.pictures.example.org", 403),
        ):  # fmt: skip
            assert (await here.get("/api/quota", Host=host)).status == status, host
            posted = await here.post("/api/say", HELLO, Host=host, Origin=f"https://{host}")
            assert posted.status == (202 if status == 200 else 403)


async def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with pytest.raises(Refusal, match="port_in_use"):
            await Web(here.house, tmp_path, port=here.web.port).start()
