"""Where to answer, as text: ``chat[.topic][@person][^asked][#board][!press][/message]``.

The text is a Place: it is stored with the job, and what stands before the slash is the chat and whom it is
for, so an answer finds its way after a restart, into the person's own chat if it is private.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bot.talk import Place

NAME = "telegram"
_ADDRESS = re.compile(
    r"telegram:(-?\d{1,20})(?:\.(\d{1,20}))?(?:@(\d{1,20}))?(?:\^(\d{1,20}))?(?:#(\d{1,20}))?"
    r"(?:!(-?\d{1,20}))?(?:/(\d{1,20}))?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A chat, and what is known of the message in it."""

    chat: int
    topic: int = 0
    """The forum topic (``message_thread_id``), which must be passed back with everything."""
    person: int = 0
    """Who asked, in a group: what is private goes to their own chat."""
    asked: int = 0
    """The message that asked, in a group: it is replied to."""
    board: int = 0
    """The group's status message, in which they stand while they wait."""
    press: str = ""
    """The callback query that is still to be answered."""
    message: int = 0
    """Our own message, once there is one: from then on it is edited."""

    @property
    def is_group(self) -> bool:
        """Groups have negative ids, people positive ones."""
        return self.chat < 0

    def at(self, message: int, chat: int = 0) -> Address:
        """The message that was made here; its press is answered."""
        return replace(self, chat=chat or self.chat, message=message, board=0, press="", asked=0)

    def waiting(self, board: int) -> Address:
        """On the status message of the group."""
        return replace(self, board=board, press="")

    def elsewhere(self, chat: int) -> Address:
        """The same ask in another chat: nothing of the old chat's messages is there."""
        return replace(self, chat=chat, topic=0, asked=0, board=0, press="", message=0)

    def __str__(self) -> Place:
        """The Place."""
        parts = (
            (".", self.topic), ("@", self.person), ("^", self.asked), ("#", self.board), ("!", self.press),
            ("/", self.message),
        )  # fmt: skip
        return f"{NAME}:{self.chat}" + "".join(f"{sign}{part}" for sign, part in parts if part)


def parse(place: Place) -> Address:
    """The Address that a Place says. Raises ValueError: places come from our own rows."""
    match = _ADDRESS.fullmatch(place)
    if match is None:
        raise ValueError("not a place on Telegram")
    chat, topic, person, asked, board, press, message = match.groups("")
    return Address(
        int(chat), int(topic or 0), int(person or 0), int(asked or 0), int(board or 0), press,
        int(message or 0),
    )  # fmt: skip
