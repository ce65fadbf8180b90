# ruff: noqa: E501 - the rows of a corpus
"""R26: hostile requests to the page's server, each with what it must get and its control.

A control is the same request to a server without the one check that stops it (``off``), where it must
succeed; where nothing can be switched off (a parser, a missing file) it is the harmless twin of the request.
"""

from __future__ import annotations

import gzip
import json
import secrets
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from bot.adapters.web.security import Cookies, Guard
from tests.bot.web_server import Answer, Site, token

Ask: TypeAlias = Callable[..., Awaitable[Answer]]
HELLO = {"text": "a fox"}
GOOD = frozenset({200, 202})


@dataclass(frozen=True)
class Case:
    """One hostile request. ``gets`` are the statuses that are right; ``error`` the code, where there is one."""

    name: str
    ask: Ask
    gets: frozenset[int]
    error: str = ""
    off: Guard | None = None
    twin: Ask | None = None


def say(site: Site, **headers: str | None) -> Awaitable[Answer]:
    return site.post("/api/say", HELLO, **headers)


def _case(
    name: str,
    ask: Ask,
    gets: set[int] | int,
    error: str = "",
    off: Guard | None = None,
    twin: Ask | None = None,
) -> Case:
    return Case(name, ask, frozenset({gets} if isinstance(gets, int) else gets), error, off, twin or say)


# -- hosts: DNS rebinding ----------------------------------------------------------------------------------

HOSTS = (
    "evil.example", "evil.example:{port}", "127.0.0.1", "localhost", "127.0.0.1:80", "localhost:1",
    "127.0.0.1.evil.example:{port}", "127.0.0.1.nip.io:{port}", "localhost.evil.example:{port}",
    "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}", "[::]:{port}", "2130706433:{port}", "0x7f000001:{port}",
    "127.1:{port}", "017700000001:{port}", "127.0.0.2:{port}", "192.168.1.5:{port}", "10.0.0.1:{port}",
    "169.254.169.254:{port}", "[::ffff:127.0.0.1]:{port}", "[fe80::1]:{port}", "user@127.0.0.1:{port}",
    "127.0.0.1:{port}@evil.example", "127.0.0.1:{port}/", "127.0.0.1:{port}#x", "127.0.0.1:{port}?x",
    "127.0.0.1:{port},evil.example", "evil.example,127.0.0.1:{port}", "localhost.:{port}", "localhost:0{port}",
    "localhost:{port}0", "localhost:", "localhost:http", "xn--localhost:{port}", "falopitas.local:{port}",
    "[127.0.0.1]:{port}", "::1:{port}", "127.0.0.1%00:{port}", "127.0.0.1;:{port}", "rebind.example:{port}",
    "*:{port}", "null", "metadata.google.internal",
)  # fmt: skip


def hosts() -> Iterator[Case]:
    def host(template: str, site: Site) -> str:
        return template.format(port=site.web.port)

    for template in HOSTS:
        yield _case(
            f"read {template}",
            lambda s, t=template: s.get("/api/quota", Host=host(t, s)),
            403,
            "host",
            Guard.HOST,
        )
        yield _case(
            f"page {template}", lambda s, t=template: s.get("/", Host=host(t, s)), 403, "host", Guard.HOST
        )
        yield _case(
            f"post {template}", lambda s, t=template: say(s, Host=host(t, s), Origin=f"http://{host(t, s)}"), 403,
            "host", Guard.HOST,
        )  # fmt: skip
    yield _case("no host", lambda s: s.get("/api/quota", Host=None), {400, 403})
    yield _case("empty host", lambda s: s.get("/api/quota", Host=""), 403, "host")
    yield _case("two hosts", lambda s: s.get("/api/quota", host="evil.example"), {400, 403})


# -- origins: another page posts ---------------------------------------------------------------------------

ORIGINS = (
    None, "null", "", "http://evil.example", "https://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1",
    "http://localhost:{port}", "http://127.0.0.1:1", "http://127.0.0.1:{port}.evil.example", "http://127.0.0.1:{port}/",
    "http://evil.example/http://127.0.0.1:{port}", "http://127.0.0.1:{port} http://evil.example", "file://",
    "http://evil.example#http://127.0.0.1:{port}", "chrome-extension://abcdefghijklmnop", "moz-extension://x",
    "data:text/html,x", "about:blank", "127.0.0.1:{port}", "//127.0.0.1:{port}", "http:127.0.0.1:{port}",
    "ws://127.0.0.1:{port}", "http://user@127.0.0.1:{port}", "http://127.0.0.1:{port}@evil.example",
    "http://127.0.0.1:0{port}", "http://[::1]:{port}", "http://0.0.0.0:{port}", "http://127.1:{port}", "*",
    "http://sub.127.0.0.1:{port}", "javascript://127.0.0.1:{port}",
)  # fmt: skip


def origins() -> Iterator[Case]:
    for template in ORIGINS:

        def origin(site: Site, template: str | None = template) -> str | None:
            return template.format(port=site.web.port) if template is not None else None

        off = Guard.ORIGIN
        yield _case(f"say {template}", lambda s, o=origin: say(s, Origin=o(s)), 403, "origin", off)
        yield _case(
            f"settings {template}", lambda s, o=origin: s.post("/api/settings", {"fields": {}}, Origin=o(s)), 403,
            "origin", off,
        )  # fmt: skip
        yield _case(
            f"enter {template}",
            lambda s, o=origin: s.post("/api/enter", {"token": token(s.web)}, Origin=o(s), Cookie=None), 403,
            "origin", off,
        )  # fmt: skip


# -- sites: another page reads or embeds -------------------------------------------------------------------

READS = (
    "/api/me",
    "/api/quota",
    "/api/gallery",
    "/api/queue",
    "/api/texts",
    "/app.js",
    "/style.css",
    "/icon.svg",
)


def sites() -> Iterator[Case]:
    for site in ("cross-site", "same-site", "CROSS-SITE", "unknown"):
        for path in READS:
            yield _case(
                f"{site} {path}",
                lambda s, p=path, v=site: s.get(p, Sec_Fetch_Site=v),
                403,
                "site",
                Guard.SITE,
            )
        yield _case(
            f"{site} picture", lambda s, v=site: s.get(f"/api/picture/{s.mine}", Sec_Fetch_Site=v), 403, "site",
            Guard.SITE,
        )  # fmt: skip
        yield _case(f"{site} post", lambda s, v=site: say(s, Sec_Fetch_Site=v), 403, "site", Guard.SITE)
        for kind in ("iframe", "object", "embed", "image", "script", ""):
            yield _case(
                f"{site} frame {kind}",
                lambda s, v=site, k=kind: s.get("/", Sec_Fetch_Site=v, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest=k),
                403, "site", Guard.SITE,
            )  # fmt: skip
        yield _case(
            f"{site} link to data",
            lambda s, v=site: s.get(
                "/api/quota", Sec_Fetch_Site=v, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document"
            ),
            403, "site", Guard.SITE,
        )  # fmt: skip


# -- methods -----------------------------------------------------------------------------------------------


def methods() -> Iterator[Case]:
    hello = json.dumps(HELLO).encode()
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "QUERY", "LOCK"):
        yield _case(
            f"{method} say", lambda s, m=method: s.send(m, "/api/say", s.headers(), hello), 405,
            "" if method == "HEAD" else "method", Guard.METHOD,
        )  # fmt: skip
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY"):
        for path in ("/", "/app.js", "/api/me", "/api/quota", "/api/gallery", "/api/texts"):
            yield _case(
                f"{method} {path}", lambda s, m=method, p=path: s.send(m, p, s.headers(), b"{}"), 405, "method",
                Guard.METHOD,
            )  # fmt: skip
    yield _case("TRACE", lambda s: s.send("TRACE", "/api/me", s.headers()), {400, 405})
    yield _case("CONNECT", lambda s: s.send("CONNECT", "evil.example:443", s.headers()), {400, 403, 404, 405})


# -- what a form can send ----------------------------------------------------------------------------------

TYPES = (
    None, "", "text/plain", "text/plain; application/json", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "text/json", "application/jsonp", "application/json-patch+json",
    "application/csp-report", "application/json; charset=utf-16", "application/json; charset=latin-1",
    "application/json, text/plain", "text/plain, application/json", "*/*", "json", "application/ json",
    "application/json; charset=utf-8; x=y", "application/javascript", "text/html",
)  # fmt: skip


def _bomb() -> bytes:
    return gzip.compress(b'{"text":"' + b"a" * 30_000_000)


def types() -> Iterator[Case]:
    for kind in TYPES:
        yield _case(f"type {kind}", lambda s, k=kind: say(s, Content_Type=k), 415, "json", Guard.JSON)
    plain = json.dumps(HELLO).encode()
    for coding, packed in (
        ("gzip", gzip.compress(plain)),
        ("deflate", zlib.compress(plain)),
        ("identity", plain),
    ):
        yield _case(
            f"encoding {coding}",
            lambda s, c=coding, d=packed: s.send("POST", "/api/say", s.headers(Content_Encoding=c), d), 415, "json",
            Guard.JSON,
        )  # fmt: skip
    yield _case(
        "gzip bomb",
        lambda s: s.send("POST", "/api/say", s.headers(Content_Encoding="gzip"), _bomb()),
        415,
        "json",
    )


# -- shapes ------------------------------------------------------------------------------------------------

BODIES: tuple[bytes, ...] = (
    b"", b"{", b"}", b"[]", b"null", b"1", b'"x"', b"NaN", b"{'text': 'a'}", b'{"text": "a"', b'{"text": "a"}}',
    b'{"text": "a",}', b'{"text": 1}', b'{"text": null}', b'{"text": ["a"]}', b'{"text": {"a": 1}}', b'{"text": true}',
    b'{"text": ""}', b'{"text": "   "}', b'{"text": "\\n\\t "}', b"{}", b'{"press": ""}', b'{"press": 1}',
    b'{"text": "a", "press": "Star:1"}', b'{"text": "a", "who": "web:other"}', b'{"text": "a", "place": "web:x/y"}',
    b'{"text": "a", "event": "e"}', b'{"text": "a", "account": 1}', b'{"text": "a", "__proto__": {"x": 1}}',
    b'{"text": "a", "constructor": {}}', b'{"text": "a", "language": "fr"}', b'{"text": "a", "language": "../en"}',
    b'{"text": "a", "fields": []}', b'{"text": "a", "fields": {"n": [1]}}', b'{"text": "a", "fields": {"n": {"$gt": 1}}}',
    b'{"text": "a", "fields": {"n": null}}', b'{"text": "a", "label": 7}', b'{"text": "\xff\xfe"}',
    b'{"text": "\\ud800"}', b'{"text": "\\udc00\\ud800"}', b'{"text": "a\\u"}', b'{"text": "\x00"}', b"\x00" * 64,
    b"\x93\x01\x02\x03", b"<xml/>", b"text=a", b"[" * 50_000, b'{"a":' * 9_000, b'{"text": "a"} {"text": "b"}',
    b'{"text": "' + b"a" * 9_001 + b'"}', b'{"text": "a", "label": "' + b"b" * 81 + b'"}',
    b'{"press": "' + b"c" * 201 + b'"}', b'{"text": "a", "about": "' + b"d" * 81 + b'"}',
    json.dumps({"text": "a", "fields": {f"f{n}": 1 for n in range(25)}}).encode(),
    b'{"text": 1e999}', b'{"text": "a", "fields": {"n": 1e999}}',
)  # fmt: skip


def shapes() -> Iterator[Case]:
    for number, body in enumerate(BODIES):
        yield _case(f"body {number} {body[:30]!r}", lambda s, b=body: s.post("/api/say", b), 400, "shape")
    for path in ("/api/enter", "/api/link", "/api/leave", "/api/settings"):
        for body in (b"", b"[]", b"{", b'{"x": 1}', b'"a"', b'{"token": 1, "code": 1, "fields": 1}'):
            yield _case(f"{path} {body!r}", lambda s, p=path, b=body: s.post(p, b), 400, "shape")


# -- sizes -------------------------------------------------------------------------------------------------


def sizes() -> Iterator[Case]:
    def padded(size: int) -> bytes:
        body = json.dumps(HELLO).encode()
        return body + b" " * (size - len(body))

    for size in (65_537, 70_000, 200_000, 1_000_000, 5_000_000):
        yield _case(f"{size} bytes", lambda s, n=size: s.post("/api/say", padded(n)), 413, "size", Guard.SIZE)

        def chunked(site: Site, size: int = size) -> Awaitable[Answer]:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, padded(size))
            return site.send("POST", "/api/say", site.headers(Transfer_Encoding="chunked"), body)

        yield _case(f"{size} bytes in chunks", chunked, 413, "size", Guard.SIZE)
    long = "x" * 9_000
    for name in ("Cookie", "Idempotency_Key", "Last_Event_ID", "Accept_Language"):
        yield _case(f"long {name}", lambda s, n=name: s.get("/api/quota", **{n: long}), {400, 401, 431})
    yield _case("long path", lambda s: s.get("/" + "x" * 9_000), {400, 404, 414})


# -- cookies -----------------------------------------------------------------------------------------------


def _parts(site: Site) -> tuple[str, str, str, str]:
    name, _, value = site.cookie.partition("=")
    session, issued, mac = value.split(".")
    return name, session, issued, mac


def _forged(change: Callable[[str, str, str, str], str]) -> Ask:
    return lambda site: site.get("/api/quota", Cookie=change(*_parts(site)))


FORGED: dict[str, Callable[[str, str, str, str], str]] = {
    "wrong mac": lambda n, s, i, m: f"{n}={s}.{i}.{m[::-1]}",
    "mac of zeros": lambda n, s, i, m: f"{n}={s}.{i}.{'0' * 64}",
    "no mac": lambda n, s, i, m: f"{n}={s}.{i}.",
    "short mac": lambda n, s, i, m: f"{n}={s}.{i}.{m[:-1]}",
    "long mac": lambda n, s, i, m: f"{n}={s}.{i}.{m}0",
    "loud mac": lambda n, s, i, m: f"{n}={s}.{i}.{m[:-1]}{'A' if m[-1] != 'a' else 'B'}",
    "later": lambda n, s, i, m: f"{n}={s}.{int(i, 16) + 1:x}.{m}",
    "earlier": lambda n, s, i, m: f"{n}={s}.{int(i, 16) - 1:x}.{m}",
    "0x time": lambda n, s, i, m: f"{n}={s}.0x{i}.{m}",
    "time with a sign": lambda n, s, i, m: f"{n}={s}.+{i}.{m}",
    "other key": lambda n, s, i, m: f"{n}={Cookies(b'k' * 32).sign(s, int(i, 16))}",
    "empty key": lambda n, s, i, m: f"{n}={Cookies(b'').sign(s, int(i, 16))}",
}
MALFORMED: dict[str, Callable[[str, str, str, str], str]] = {
    "nothing": lambda n, s, i, m: "",
    "empty": lambda n, s, i, m: f"{n}=",
    "name of another port": lambda n, s, i, m: f"{n}0={s}.{i}.{m}",
    "upper-case name": lambda n, s, i, m: f"{n.upper()}={s}.{i}.{m}",
    "session only": lambda n, s, i, m: f"{n}={s}",
    "two parts": lambda n, s, i, m: f"{n}={s}.{i}",
    "four parts": lambda n, s, i, m: f"{n}={s}.{i}.{m}.{m}",
    "dots": lambda n, s, i, m: f"{n}=..",
    "no session": lambda n, s, i, m: f"{n}=.{i}.{m}",
    "no time": lambda n, s, i, m: f"{n}={s}..{m}",
    "upper-case session": lambda n, s, i, m: f"{n}={s.upper()}Z.{i}.{m}",
    "path for a session": lambda n, s, i, m: f"{n}=../../web.key.{i}.{m}",
    "SQL for a session": lambda n, s, i, m: f"{n}=' OR 1=1 --.{i}.{m}",
    "session of another platform": lambda n, s, i, m: f"{n}=terminal:owner.{i}.{m}",
    "wildcard": lambda n, s, i, m: f"{n}=%.{i}.{m}",
    "quoted": lambda n, s, i, m: f'{n}="{s}.{i}.{m}x"',
    "base64": lambda n, s, i, m: f"{n}=eyJhbGciOiJub25lIn0.e30.",
    "pickle": lambda n, s, i, m: f"{n}=gASVCgAAAAAAAACMBHBpY2uUhZQu",
    "huge": lambda n, s, i, m: f"{n}={'f' * 5000}",
    "not ASCII": lambda n, s, i, m: f"{n}={s}.{i}.ñ{m}",
    "not hex time": lambda n, s, i, m: f"{n}={s}.zz.{m}",
    "unknown session": lambda n, s, i, m: f"{n}={secrets.token_hex(12)}.{i}.{m}",
}


def cookies() -> Iterator[Case]:
    def known(site: Site) -> Awaitable[Answer]:
        return site.get("/api/quota")

    for name, change in FORGED.items():
        yield _case(name, _forged(change), 401, "session", Guard.SIGNATURE)
    for name, change in MALFORMED.items():
        yield _case(name, _forged(change), {400, 401}, "", twin=known)
    paths = ("/api/me", "/api/gallery", "/api/queue", "/api/quota", "/api/events")
    for path in paths:
        yield _case(f"no cookie {path}", lambda s, p=path: s.get(p, Cookie=None), 401, "session", twin=known)
    for path, body in (("/api/say", HELLO), ("/api/settings", {"fields": {}}), ("/api/leave", {})):
        yield _case(
            f"no cookie {path}",
            lambda s, p=path, b=body: s.post(p, b, Cookie=None),
            401,
            "session",
            twin=known,
        )


# -- tokens and codes --------------------------------------------------------------------------------------

TOKENS = (
    "", " ", "x", "0" * 32, "A" * 32, "null", "undefined", "true", "*", "%", "' OR 1=1 --", "../../web.key",
    "\x00", "ñ" * 16, "😀" * 8, "-" * 32, "_" * 32, "a" * 100,
)  # fmt: skip
CODES = (
    "", "ABCD2346", "abcd2346", "ABCD-2346", "AAAAAAAA", "00000000", "********", "ABCD234", "ABCD23455", "' OR 1=1",
    "ＡＢＣＤ２３４５", "ABCD2345\x00", "ABCD2345;", "../../../", "😀😀😀😀😀😀😀😀", "ABCDEFGHJKLMNPQR",
)  # fmt: skip


def tokens() -> Iterator[Case]:
    def enter(site: Site, value: Any) -> Awaitable[Answer]:
        return site.post("/api/enter", {"token": value}, Cookie=None)

    def right(site: Site) -> Awaitable[Answer]:
        return enter(site, token(site.web))

    for value in TOKENS:
        yield _case(f"token {value!r}", lambda s, v=value: enter(s, v), 403, "token", Guard.TOKEN)
    for name, change in {
        "reversed": lambda t: t[::-1], "upper": lambda t: t.swapcase(), "padded": lambda t: f"{t} ",
        "cut": lambda t: t[:-1], "doubled": lambda t: t + t,
    }.items():  # fmt: skip
        yield _case(f"token {name}", lambda s, c=change: enter(s, c(token(s.web))), 403, "token", Guard.TOKEN)
    strange: tuple[Any, ...] = ([], {}, 1, True, None, ["x"], "x" * 101)
    for thing in strange:
        yield _case(f"token {thing!r}", lambda s, v=thing: enter(s, v), 400, "shape", twin=right)

    def redeem(site: Site, code: str) -> Awaitable[Answer]:
        return site.post("/api/link", {"code": code}, Cookie=None)

    for value in CODES:
        yield _case(
            f"code {value!r}",
            lambda s, v=value: redeem(s, v),
            403,
            "code",
            twin=lambda s: redeem(s, "abcd-2345"),
        )


# -- other people's pictures -------------------------------------------------------------------------------


def owners() -> Iterator[Case]:
    for path in ("/api/picture/{}", "/api/small/{}", "/api/picture/{}?download=1", "/api/small/{}?x=1"):
        yield _case(
            f"theirs {path}", lambda s, p=path: s.get(p.format(s.theirs)), 404, "missing", Guard.OWNER
        )
        yield _case(
            f"mine, by them {path}", lambda s, p=path: s.get(p.format(s.mine), Cookie=s.other), 404, "missing",
            Guard.OWNER,
        )  # fmt: skip
        yield _case(
            f"nobody's {path}", lambda s, p=path: s.get(p.format("0" * 64)), 404, "missing",
            twin=lambda s, p=path: s.get(p.format(s.mine)),
        )  # fmt: skip
        yield _case(
            f"mine, signed out {path}", lambda s, p=path: s.get(p.format(s.mine), Cookie=None), 401, "session",
            twin=lambda s, p=path: s.get(p.format(s.mine)),
        )  # fmt: skip


# -- paths -------------------------------------------------------------------------------------------------

PATHS = (
    "/web.key", "/./web.key", "/../web.key", "/../../web.key", "/%2e%2e/web.key", "/%2e%2e%2fweb.key", "/..%2fweb.key",
    "/..%5cweb.key", "/%252e%252e%252fweb.key", "/....//web.key", "/.%2e/web.key", "//web.key", "///web.key",
    "/app.js/../web.key", "/app.js%2f..%2fweb.key", "/page/../web.key", "/static/../web.key", "/index.html", "/page/",
    "/app.js/", "/app.js%00", "/app.js%00.png", "/APP.JS", "/app.js.map", "/style.css~", "/.env", "/.git/config",
    "/falopitas.toml", "/falopitas.sqlite3", "/data/web.key", "/logs/falopitas.log", "/pictures/", "/robots.txt",
    "/server.py", "/security.py", "/__init__.py", "/../security.py", "/%2e%2e/server.py", "/etc/passwd",
    "//etc/passwd", "/%2fetc%2fpasswd", "/C:/Windows/win.ini", "/file:///etc/passwd", "/..;/web.key", "/%c0%ae%c0%ae/web.key",
    "/%uff0e%uff0e/web.key", "/api", "/api/", "/api/picture", "/api/picture/", "/api/picture/..%2f..%2fweb.key",
    "/api/picture/../../web.key", "/api/picture/%2e%2e", "/api/picture/{mine}.png", "/api/picture/{mine}/", "/api/picture/{mine}%00",
    "/api/picture/{mine}%0a", "/api/picture/{MINE}", "/api/picture/{mine}{mine}", "/api/picture/ab/{mine}", "/api/picture/*",
    "/api/picture/%", "/api/small/../picture/{mine}x", "/api/admin", "/api/say/", "/api//me", "/api/me/", "/debug", "/metrics",
)  # fmt: skip


def paths() -> Iterator[Case]:
    def get(site: Site, path: str) -> Awaitable[Answer]:
        return site.get(path.replace("{mine}", site.mine).replace("{MINE}", site.mine.upper() + "A"))

    for path in PATHS:
        yield _case(
            f"path {path}",
            lambda s, p=path: get(s, p),
            {400, 404},
            twin=lambda s: s.get(f"/api/picture/{s.mine}"),
        )
    yield _case(
        "absolute address", lambda s: s.send("GET", "http://evil.example/api/me", s.headers(Host="evil.example")),
        {400, 403, 404}, twin=lambda s: s.get("/api/me"),
    )  # fmt: skip


# -- headers -----------------------------------------------------------------------------------------------

KEYS = (
    None, "", "short", "x" * 65, "has space", "../../../x", "a/b/c/d/e", "web:x/yyyyy", "ééééééééé", "<script>alert(1)",
    "'; DROP TABLE", "{{7*7}}7777", "$(reboot)xx", "a.b.c.d.e.f", "%0d%0aX: y", "*********", "null\x00null", "tab\ttab99",
    "😀😀😀😀😀😀😀😀", "=========",
)  # fmt: skip


def keys() -> Iterator[Case]:
    for key in KEYS:
        yield _case(f"key {key!r}", lambda s, k=key: say(s, Idempotency_Key=k), 400)
    for query in (
        "before=x",
        "before=-1",
        "before=1e9",
        "before=" + "9" * 30,
        "before=%00",
        "before=1%202",
        "before=%EF%BC%91",
    ):
        yield _case(
            f"gallery {query}", lambda s, q=query: s.get(f"/api/gallery?{q}"), 400, "shape",
            twin=lambda s: s.get("/api/gallery?before=5"),
        )  # fmt: skip


GROUPS = {
    "hosts": hosts, "origins": origins, "sites": sites, "methods": methods, "types": types, "shapes": shapes,
    "sizes": sizes, "cookies": cookies, "tokens": tokens, "owners": owners, "paths": paths, "keys": keys,
}  # fmt: skip
