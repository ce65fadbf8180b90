"""Text with entities, as Telegram measures it: in UTF-16 code units. Nothing is ever markup."""

from __future__ import annotations

from dataclasses import dataclass, field

from telegram import MessageEntity, User

TEXT, CAPTION, ALERT, COPY = 4_096, 1_024, 200, 256
"""UTF-16 units that fit a message, a caption, the answer to a press, a copy button."""
_JOINER, _VARIANT = "\u200d", "\ufe0f"


def units(text: str) -> int:
    """UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` units, with an ellipsis if something was taken away."""
    if units(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * max(0, limit - 1)].decode("utf-16-le", "ignore")
    return kept.rstrip().rstrip(_JOINER + _VARIANT) + "…" if limit else ""


@dataclass(slots=True)
class Rich:
    """A text that grows piece by piece, each with its style."""

    text: str = ""
    entities: list[MessageEntity] = field(default_factory=list)
    size: int = 0
    """Units so far."""
    begun: bool = False
    """What comes next stays on the line."""

    def add(self, text: str, style: str = "", *, url: str | None = None, user: int = 0) -> Rich:
        """Append ``text``; ``style`` is an entity type. Blank text is no entity."""
        length = units(text)
        if style and text.strip():
            person = User(user, text, is_bot=False) if user else None
            self.entities.append(MessageEntity(style, self.size, length, url=url, user=person))
        self.text += text
        self.size += length
        return self

    def line(self, text: str = "", style: str = "") -> Rich:
        """Append ``text`` on a line of its own."""
        if self.text and not self.begun:
            self.add("\n")
        self.begun = False
        return self.add(text, style)

    def trimmed(self) -> tuple[str, tuple[MessageEntity, ...]]:
        """As Telegram will show it: without blanks at either end, which would move the entities."""
        text = self.text.strip()
        lead = units(self.text) - units(self.text.lstrip())
        end = units(text)
        kept = []
        for entity in self.entities:
            begin = max(0, entity.offset - lead)
            length = min(entity.offset - lead + entity.length, end) - begin
            if length > 0:
                kept.append(MessageEntity(entity.type, begin, length, url=entity.url, user=entity.user))
        return text, tuple(kept)

    def space(self) -> Rich:
        """An empty line before what comes next."""
        return self.add("\n") if self.text else self
