"""Who may speak to the page's server: hosts, origins, tokens, cookies, rates. No request is trusted twice.

Every check has a name in :class:`Guard`, so that a test can take exactly one away and see that the hostile
request then succeeds (its control). The bot always runs with all of them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from aiohttp import web

COOKIE_DAYS = 30
TOKEN_SECONDS = 24 * 3600
"""A launch address waits this long for its one use; ``run`` prints a fresh one at every start."""
MAX_TOKENS = 16
CODE_LENGTH = (6, 12)
MAX_BODY = 64 * 1024
"""Bytes of a posted body: 4 000 characters, all escaped, and a form beside them."""
_MAX_KEYS = 4_096

CSP = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:",
    "connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'", "trusted-types 'none'",
))  # fmt: skip

HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Server": "falopitas",
}
"""On every answer, refusals and pictures included."""


class Guard(StrEnum):
    """The checks, one name each."""

    HOST = "host"  # the Host header names this server (DNS rebinding)
    SITE = "site"  # Sec-Fetch-Site: nothing but our own page reads the interface
    METHOD = "method"  # the one method a route has
    ORIGIN = "origin"  # state changes come from our own page
    JSON = "json"  # state changes are JSON, which no HTML form can send
    SIGNATURE = "signature"  # the cookie was made here
    AGE = "age"  # cookies and tokens expire
    MEMBER = "member"  # the session still belongs to an account
    TOKEN = "token"  # noqa: S105 - a name: the launch token was made here
    ONCE = "once"  # a launch token opens one session
    OWNER = "owner"  # pictures are shown to their owner only
    RATE = "rate"  # guesses and floods
    SIZE = "size"  # bytes of a body


ALL_GUARDS = frozenset(Guard)


class Denied(Exception):  # noqa: N818 - an answer
    """This request will not be served: HTTP status, a code the page has a sentence for, extra headers."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.headers = headers


def read_key(path: Path) -> bytes:
    """The secret that signs cookies: made once, readable by its owner only."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) == 32:
        path.chmod(0o600)
        return key
    key = secrets.token_bytes(32)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(key)
    draft.replace(path)
    return key


@dataclass(frozen=True, slots=True)
class Names:
    """Host headers that mean this server, and the origins that go with them.

    A rebinding attack needs a *name* that the attacker's DNS answers for, so a public server also takes
    address literals; other names must be listed.
    """

    port: int
    public: bool = False
    extra: tuple[str, ...] = ()

    def knows(self, host: str) -> bool:
        """Whether a Host header is ours."""
        wanted = host.lower()
        local = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if self.port == 80:
            local |= {"127.0.0.1", "localhost", "[::1]"}
        if wanted in local:
            return True
        return self.public and (
            wanted in {name.lower() for name in self.extra} or _is_literal(wanted, self.port)
        )

    def same(self, origin: str, host: str) -> bool:
        """Whether an Origin header is the page that this Host served."""
        schemes = ("http", "https") if self.public else ("http",)
        return origin.lower() in {f"{scheme}://{host.lower()}" for scheme in schemes}


def _is_literal(host: str, port: int) -> bool:
    name = host.removesuffix(f":{port}")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class Cookies:
    """Signed session cookies: ``session.issued.signature``. The key never leaves the data folder."""

    key: bytes
    guards: frozenset[Guard] = ALL_GUARDS

    def sign(self, session: str, now: float) -> str:
        """A cookie for this session, issued now."""
        body = f"{session}.{int(now):x}"
        return f"{body}.{self._mac(body)}"

    def read(self, value: str, now: float) -> tuple[str, float] | None:
        """Session and time of issue, or None when the cookie is forged, malformed or too old."""
        if len(value) > 200 or not value.isascii():
            return None
        body, _, mac = value.rpartition(".")
        session, _, issued_hex = body.partition(".")
        if not is_session(session):
            return None
        if Guard.SIGNATURE in self.guards and not hmac.compare_digest(mac, self._mac(body)):
            return None
        try:
            issued = float(int(issued_hex, 16))
        except ValueError:
            return None
        if Guard.AGE in self.guards and not -60 <= now - issued <= COOKIE_DAYS * 86_400:
            return None
        return session, issued

    def _mac(self, body: str) -> str:
        return hmac.new(self.key, b"falopitas page 1|" + body.encode(), hashlib.sha256).hexdigest()


@dataclass(slots=True)
class Left:
    """Sessions that signed out: their cookies, copied or not, are worth nothing for as long as they last."""

    path: Path
    _names: dict[str, float] = field(default_factory=dict)

    def read(self, now: float) -> None:
        """Remember what the file says; drop what has expired by itself."""
        try:
            lines = self.path.read_text("ascii").split("\n")
        except (FileNotFoundError, UnicodeDecodeError):
            return
        for line in lines:
            name, _, at = line.partition(" ")
            if is_session(name) and at.isdecimal() and now - float(at) < (COOKIE_DAYS + 1) * 86_400:
                self._names[name] = float(at)

    def add(self, name: str, now: float) -> None:
        """This session signed out."""
        self._names[name] = now
        text = "".join(f"{each} {int(at)}\n" for each, at in self._names.items())
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        draft.write_text(text, "ascii")
        draft.replace(self.path)

    def __contains__(self, name: str) -> bool:
        return name in self._names


def new_session() -> str:
    """An unguessable session name, 24 hex digits."""
    return secrets.token_hex(12)


def is_session(name: str) -> bool:
    """Whether this is the form of a session name."""
    return len(name) == 24 and all(sign in "0123456789abcdef" for sign in name)


@dataclass(slots=True)
class Tokens:
    """Launch tokens: each signs in the owner once. Only their hashes are kept."""

    guards: frozenset[Guard] = ALL_GUARDS
    _made: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    def make(self, now: float) -> str:
        """A new token; the oldest unused ones are forgotten."""
        token = secrets.token_urlsafe(24)
        self._made[_digest(token)] = now
        while len(self._made) > MAX_TOKENS:
            self._made.popitem(last=False)
        return token

    def use(self, token: str, now: float) -> bool:
        """True once for a token made here not long ago."""
        digest = _digest(token)
        made = self._made.get(digest)
        if made is None:
            return Guard.TOKEN not in self.guards
        if Guard.ONCE in self.guards:
            del self._made[digest]
        return Guard.AGE not in self.guards or 0 <= now - made <= TOKEN_SECONDS


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@dataclass(slots=True)
class Rate:
    """A token bucket a key: ``burst`` at once, then one every ``every`` seconds."""

    burst: int
    every: float
    clock: Callable[[], float]
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait(self, key: str) -> float:
        """Take one; 0, or the seconds after which there will be one (then none was taken)."""
        now = self.clock()
        left, at = self._left.pop(key, (float(self.burst), now))
        left = min(float(self.burst), left + max(0.0, now - at) / self.every)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        while len(self._left) > _MAX_KEYS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * self.every


def check_host(request: web.Request, names: Names) -> None:
    """Exactly one Host header, and it is ours."""
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not names.knows(hosts[0]):
        raise Denied(403, "host")


def check_site(request: web.Request, *, navigable: bool) -> None:
    """Another site may link to the page, and do nothing else: not even another port of this machine."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if site in {"same-origin", "none"}:
        return
    if (
        navigable
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
    ):
        return
    raise Denied(403, "site")


def check_origin(request: web.Request, names: Names) -> None:
    """A state change says where it comes from, and it is here."""
    origins = request.headers.getall("Origin", [])
    if len(origins) != 1 or not names.same(origins[0], request.headers.get("Host", "")):
        raise Denied(403, "origin")


def check_bytes(request: web.Request) -> None:
    """A picture comes as plain bytes, a type that no HTML form can send either."""
    if request.headers.getall("Content-Type", []) != ["application/octet-stream"]:
        raise Denied(415, "bytes")
    if "Content-Encoding" in request.headers:
        raise Denied(415, "bytes")


def check_json(request: web.Request) -> None:
    """A state change is plain JSON."""
    kinds = request.headers.getall("Content-Type", [])
    kind, _, parameters = (kinds[0] if len(kinds) == 1 else "").partition(";")
    if kind.strip().lower() != "application/json":
        raise Denied(415, "json")
    if parameters.strip().lower() not in {"", "charset=utf-8"} or "Content-Encoding" in request.headers:
        raise Denied(415, "json")
