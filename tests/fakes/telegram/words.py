"""Texts, entities and keyboards as Telegram takes them, or refuses them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

TEXT, CAPTION = 4_096, 1_024
TYPES = frozenset(
    (
        "mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bold", "italic",
        "underline", "strikethrough", "spoiler", "blockquote", "expandable_blockquote", "code", "pre",
        "text_link", "text_mention", "custom_emoji", "date_time",
    )
)  # fmt: skip
TAGS = frozenset(
    (
        "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "a", "code", "pre",
        "blockquote", "tg-spoiler", "tg-emoji",
    )
)  # fmt: skip
ACTIONS = frozenset(
    (
        "url", "callback_data", "web_app", "login_url", "switch_inline_query",
        "switch_inline_query_current_chat", "switch_inline_query_chosen_chat", "copy_text",
        "callback_game", "pay",
    )
)  # fmt: skip


class Bad(Exception):  # noqa: N818 - an answer, not an error
    """An answer with an error code."""

    def __init__(self, text: str, code: int = 400, **parameters: int) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.parameters = parameters


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def formatted(
    text: str, entities: list[dict[str, Any]] | None, mode: str | None, limit: int
) -> tuple[str, list[dict[str, Any]]]:
    """The text as it is shown, trimmed, and its entities. Raises Bad."""
    if mode:
        text = _parsed(text, mode)
    kept = _trimmed(text, entities or [])
    too_long = "message is too long" if limit == TEXT else "message caption is too long"
    if units(kept[0]) > limit:
        raise Bad(f"Bad Request: {too_long}")
    return kept


def _trimmed(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    for entity in entities:
        _check(text, entity)
    lead = units(text) - units(text.lstrip())
    shown = text.strip()
    end = units(shown)
    kept = []
    for entity in entities:
        begin = max(0, entity["offset"] - lead)
        length = min(entity["offset"] - lead + entity["length"], end) - begin
        if length > 0:
            kept.append({**entity, "offset": begin, "length": length})
    return shown, kept


def _check(text: str, entity: dict[str, Any]) -> None:
    begin, length = entity.get("offset", -1), entity.get("length", 0)
    if entity.get("type") not in TYPES:
        raise Bad("Bad Request: can't parse entities: unknown entity type")
    if begin < 0 or length <= 0 or begin + length > units(text):
        raise Bad(
            f"Bad Request: can't parse entities: entity at UTF-16 offset {begin} is outside of the text"
        )
    data = text.encode("utf-16-le")
    for edge in (begin, begin + length):
        low = data[2 * edge : 2 * edge + 2]
        if len(low) == 2 and 0xDC <= low[1] <= 0xDF:
            raise Bad(f"Bad Request: can't parse entities: offset {edge} is in the middle of a symbol")
    if entity["type"] == "text_link" and not is_url(entity.get("url", "")):
        raise Bad("Bad Request: can't parse entities: wrong URL of a text_link")
    if entity["type"] == "text_mention" and "id" not in entity.get("user", {}):
        raise Bad("Bad Request: can't parse entities: a text_mention of nobody")


def is_url(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "tg"} and bool(parts.netloc)


class _Html(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise Bad(f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}"')
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise Bad("Bad Request: can't parse entities: Unexpected end tag")

    def handle_data(self, data: str) -> None:
        self.text += data


def _parsed(text: str, mode: str) -> str:
    if mode.casefold() != "html":
        raise Bad("Bad Request: unsupported parse_mode")
    parser = _Html()
    parser.feed(text)
    parser.close()
    if parser.open:
        raise Bad("Bad Request: can't parse entities: Can't find end tag")
    return parser.text


# --- keyboards


def keyboard(markup: dict[str, Any] | None) -> dict[str, Any] | None:
    """The keyboard as it is shown. Raises Bad."""
    if markup is None:
        return None
    if "force_reply" in markup:
        hint = markup.get("input_field_placeholder")
        if hint is not None and not 1 <= units(hint) <= 64:
            raise Bad("Bad Request: input field placeholder must be 1-64 characters")
        return markup
    rows = [row for row in markup.get("inline_keyboard", []) if row]
    if sum(len(row) for row in rows) > 100 or any(len(row) > 8 for row in rows):
        raise Bad("Bad Request: reply markup is too long")
    for row in rows:
        for button in row:
            _button(button)
    return {"inline_keyboard": rows} if rows else None


def _button(button: dict[str, Any]) -> None:
    if not button.get("text", "").strip():
        raise Bad("Bad Request: inline keyboard button text can't be empty")
    actions = ACTIONS & button.keys()
    if len(actions) != 1:
        raise Bad("Bad Request: exactly one of the optional fields of an inline keyboard button must be set")
    if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
        raise Bad("Bad Request: BUTTON_DATA_INVALID")
    if "copy_text" in button and not 1 <= units(button["copy_text"]["text"]) <= 256:
        raise Bad("Bad Request: BUTTON_COPY_TEXT_INVALID")
    if "url" in button and not is_url(button["url"]):
        raise Bad("Bad Request: BUTTON_URL_INVALID")
    if button.get("style") not in {None, "danger", "success", "primary"}:
        raise Bad("Bad Request: BUTTON_STYLE_INVALID")
