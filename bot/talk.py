"""Words that chats and commands share: Who, Place, Call, Reply, Button, Adapter.

A *Who* is ``platform:user`` and a *Place* is ``platform:address``; both are opaque text outside the adapter
that made them, and a place is stored with the job, so that an answer finds its way after a restart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

Who: TypeAlias = str
Place: TypeAlias = str
Ask: TypeAlias = object
"""A parsed command: one of the frozen dataclasses in ``bot/commands/`` (see ``COMMANDS``)."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture that came with a call, not fetched yet. Its bytes are foreign: only ``scrub`` decodes them.

    ``ref`` is what the adapter's own ``fetch`` needs to get it, also after a restart, for the inbox keeps it:
    a ``file_id``, an attachment's address, the digest of an upload. ``size`` (bytes) and ``kind`` (media
    type) are what the platform says, 0 and "" when it does not: good for an early no, never believed.
    """

    ref: str
    size: int = 0
    kind: str = ""


Fetch: TypeAlias = Callable[[], Awaitable[bytes]]
"""Gets the bytes of the call's picture: ``Fetches.fetch``, bound by the loop in ``converse.py``."""


@dataclass(frozen=True, slots=True)
class Call:
    """An ask, who asked it and where to answer.

    ``text`` is what was typed (empty for a button or a form); when ``ask`` is None it is still to be parsed.
    ``event`` is the platform's own id of the event: the same event is never answered twice. ``picture`` is
    what was attached or replied to; an ask that has no use for one ignores it. An ask whose ``private`` is
    true (``/imagine --private``) is answered at a place that only ``who`` can read: the adapter chooses it
    before it acknowledges the event, for ``place`` is kept with the job.
    """

    who: Who
    place: Place
    event: str
    ask: Ask | None = None
    text: str = ""
    language: str = "en"
    name: str = ""
    """What the person calls themselves, for greetings only; never trusted."""
    picture: Attachment | None = None
    community: str = ""
    """Whose rules and allowances count: the server or group (``discord:guild``, ``telegram:chat``). Opaque
    text without blanks; empty in private, on the page and at the terminal, where the house's own count."""
    channel: str = ""
    """The channel or topic in it (``discord:channel``, ``telegram:chat/topic``), opaque; empty in private."""
    roles: tuple[str, ...] = ()
    """What the person is in that community: Discord's role ids (``role:55``), Telegram's ``administrator``.
    A moderator names one as ``@role:55``. Only what the platform itself told the adapter."""
    entitled: bool = False
    """The platform says that they may moderate this community now (Discord: Manage Server; Telegram: an
    administrator). Read anew for each call; the owner is entitled everywhere without it."""
    adult: bool = False
    """The channel is age-restricted."""
    about: Who = ""
    """Whose message this one answers (a Telegram reply): the person whom ``/mod`` means if it names none."""
    titles: tuple[tuple[str, str], ...] = ()
    """Names to show for the channel and the roles and people in this call: ``("role:55", "Supporters")``,
    ``("discord:9", "art")``, ``("person:telegram:5", "Ana")``. Never trusted, never a key; of people never
    kept."""
    fetch: Fetch | None = field(default=None, repr=False, compare=False)
    """Given by the loop, never by an adapter."""


class Tone(StrEnum):
    """How a reply is meant, for colour and icon."""

    PLAIN = "plain"
    GOOD = "good"
    WAITING = "waiting"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Image:
    """One picture in a reply: ``data`` is PNG or WebP; ``alt`` is a person's text (the prompt)."""

    data: bytes
    name: str
    alt: str = ""
    digest: str = ""
    """SHA-256 in the gallery if it is kept there: an adapter may send the file by reference."""
    exact: bool = False
    """The file itself was asked for: no chat may show a recompressed copy of it instead. It may even be no
    picture at all (the zip of /mydata): a file to take along.
    """
    spoiler: bool = False
    """Covered until somebody chooses to look."""


@dataclass(frozen=True, slots=True)
class Button:
    """An ask not yet pressed; a request, not a right. ``style``: plain, main or danger.

    ``form`` names a field of the ask that the person edits first, in a text box that begins with ``value``;
    then the ask is ``dataclasses.replace(button.ask, **{button.form: text})`` (after a restart, from its
    packed form: ``commands.unpack(packed, text)``). A chat that has no text box at hand presses the bare ask:
    its answer is a Reply with the same button.
    """

    label: str
    ask: Ask
    style: str = "plain"
    form: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to show. All text is plain text: an adapter escapes it, nobody formats it.

    The replies to one call edit one message; the first one makes it. ``prompt`` is a person's own words,
    shown as a quotation. ``fields`` are label-value pairs (details, quota). ``fleeting`` replies are
    progress: the newest wins, they may be skipped and are never queued. ``progress`` is 0 to 1. ``ends`` is
    the Unix time at which drawing is expected to be done. A ``private`` reply is shown where only who asked
    can read it, or not at all (Gone). ``code`` says to a program why there is no picture.
    """

    text: str = ""
    title: str = ""
    prompt: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    images: tuple[Image, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    tone: Tone = Tone.PLAIN
    fleeting: bool = False
    private: bool = False
    progress: float | None = None
    ends: float | None = None
    job: int | None = None
    link: str = ""
    """An address of our own that opens in a browser; shown so that it can be pressed or copied."""
    redraws: bool = False
    """It only changes the message that shows this job already: never one of its own, and nobody is told. Gone
    when there is none (any more) that can be changed."""
    code: str = ""


class Gone(Exception):  # noqa: N818 - an answer, not an error
    """There is nowhere to show it any more: message, channel or person is gone."""


class Later(Exception):  # noqa: N818 - an answer, not an error
    """Not now: try again in ``seconds``; certainly not shown."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"in {seconds:.1f} s")
        self.seconds = seconds


class Unsure(Exception):  # noqa: N818 - an answer, not an error
    """Shown or not: the answer was lost. ``repeatable``: an edit, or a send with a key; else never again."""

    def __init__(self, *, repeatable: bool = False) -> None:
        super().__init__("repeatable" if repeatable else "not repeatable")
        self.repeatable = repeatable


class Adapter(Protocol):
    """One chat. The loop in ``converse.py`` is shared by all of them."""

    name: str
    """The platform: the part of Who and Place before the colon."""

    def listen(self) -> AsyncIterator[Call]:
        """Every call that people make, until the adapter is closed."""

    async def show(self, place: Place, reply: Reply) -> Place:
        """Send or edit; return where the message is now. Raises Gone, Later or Unsure."""

    async def close(self) -> None:
        """Stop listening and let go of connections."""


class Fetches(Protocol):
    """What an adapter also has whose calls carry pictures."""

    async def fetch(self, picture: Attachment, limit: int) -> bytes:
        """The bytes of a picture, now or after a restart. Raises Refusal: picture_too_large for more than
        ``limit`` bytes (stop reading there), picture_unreachable when the platform does not give it.
        """


def platform(name: Who | Place) -> str:
    """The part before the colon."""
    return name.partition(":")[0]


def lane(place: Place) -> str:
    """The chat that a place is in, for order and pace: an address is ``chat`` or ``chat/message``."""
    return place.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a test adapter remembers of one ``show``."""

    place: Place
    reply: Reply = field(repr=False)
