"""Where a Discord answer goes, as the text that is kept with the job.

``discord:<channel>/<user>.<language><flags>.<limit>.<message>.<interaction>.<token>``: the channel is the
lane, in which deliveries keep their order. The token edits the answer for a quarter of an hour; then the bot
posts itself.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from bot.talk import Gone, Place

PLATFORM = "discord"
EPOCH = 1_420_070_400
"""Unix seconds at which Discord's ids begin (1 January 2015)."""
TOKEN_SECONDS = 14 * 60.0
"""A token lives 15 minutes; the last one is left for clocks that disagree and for slow uploads."""
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Address:
    """``private``: only the person sees it. ``pressed``: a button asked, so Discord does not say who did.
    ``alone``: nobody but the person and the bot is there. ``message`` is 0 until it is known.

    ``beside``: it is not the answer but a word more, for the person alone. ``second``: its message is not the
    first answer. ``limit``: MiB that one file may have.
    """

    channel: int
    user: int
    message: int = 0
    interaction: int = 0
    token: str = ""
    private: bool = False
    pressed: bool = False
    alone: bool = False
    beside: bool = False
    second: bool = False
    limit: int = 10
    language: str = "en"

    @property
    def place(self) -> Place:
        """As text."""
        known = {"p": self.private, "b": self.pressed, "a": self.alone, "o": self.beside, "s": self.second}
        flags = self.language + "".join(flag for flag, is_so in known.items() if is_so)
        rest = f"{self.user}.{flags}.{self.limit}.{self.message}.{self.interaction}.{self.token}"
        return f"{PLATFORM}:{self.channel}/{rest}"

    def fresh(self, now: float) -> bool:
        """Whether the token still opens anything at ``now`` (Unix seconds)."""
        return bool(self.token) and now - made_at(self.interaction) < TOKEN_SECONDS

    def at(self, message: int) -> Address:
        """The same answer, now that its message is known."""
        return dataclasses.replace(self, message=message)

    def moved(self, channel: int, message: int) -> Address:
        """The same person, in a message that the bot posted by itself."""
        return Address(
            channel, self.user, message, alone=self.alone, limit=self.limit, language=self.language
        )


def parse(place: Place) -> Address:
    """The address that a place says; without a person it is a channel as such, where nobody asked.

    Raises Gone for what is none: a place of another program's making.
    """
    lane, _, rest = place.partition("/")
    try:
        if not rest:
            return Address(int(lane.removeprefix(f"{PLATFORM}:")), 0)
        user, flags, limit, message, interaction, token = rest.split(".", 5)
        channel = int(lane.removeprefix(f"{PLATFORM}:"))
        language, rest = flags[:2], flags[2:]
        private, pressed, alone, beside, second = (flag in rest for flag in "pbaos")
        numbers = (channel, int(user), int(message), int(interaction))
        return Address(*numbers, token, private, pressed, alone, beside, second, int(limit), language)
    except ValueError:
        raise Gone(place) from None


def made_at(snowflake: int) -> float:
    """When Discord made this id, in Unix seconds."""
    return (snowflake >> 22) / 1_000 + EPOCH
