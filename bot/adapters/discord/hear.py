"""What an interaction says: who, where, what; and the forms and suggestions that come before an ask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import discord

from bot.adapters.discord.declare import (
    CHANNEL,
    CHAT,
    GROUP,
    MENU,
    ON_MESSAGE,
    PICTURE,
    ROLE,
    STRING,
    SUBCOMMAND,
    USER,
)  # fmt: skip
from bot.adapters.discord.house import Blank, Form, House
from bot.adapters.discord.place import PLATFORM, Address
from bot.adapters.discord.render import FORM, packed
from bot.talk import Ask, Attachment, Call
from bot.texts import spoken

SUGGESTIONS = 25
LONGEST_CHOICE = 100
LONGEST_TITLE, LONGEST_LABEL, LONGEST_VALUE = 45, 45, 4_000
_EVERYBODY = "@everyone"
"""Discord's role of all: a server's own id is its number, and nobody is told to have it."""
_PICKED = {USER: f"{PLATFORM}:", ROLE: "@role:", CHANNEL: f"#{PLATFORM}:"}
_PERSON, _ROLE, _CHANNEL = re.compile(r"<@!?(\d+)>"), re.compile(r"<@&(\d+)>"), re.compile(r"<#(\d+)>")
MODERATES = "mod"
"""The command in whose texts roles and channels may be named."""
MOST_NAMED = 25
LABEL, SELECT, INPUT = 18, 3, 4
"""Discord's numbers of a form's components."""


class Heard:
    """An interaction, as far as we need it."""

    def __init__(self, interaction: discord.Interaction[Any]) -> None:
        self._interaction = interaction
        self._data: Mapping[str, Any] = interaction.data or {}
        self.id = interaction.id
        self.token = interaction.token
        self.user: int = interaction.user.id
        self.channel = interaction.channel_id or 0
        self.language = spoken(str(interaction.locale))
        self.limit = interaction.filesize_limit
        self.message = interaction.message.id if interaction.message else 0

    @property
    def typing(self) -> bool:
        """Somebody types, and nothing is asked yet."""
        return self._interaction.type is discord.InteractionType.autocomplete

    @property
    def pressed(self) -> bool:
        """A button under a message, or a form that came from one."""
        return self.message > 0

    @property
    def custom_id(self) -> str:
        """Of a button or a form."""
        return str(self._data.get("custom_id", ""))

    @property
    def packed(self) -> str:
        """The ask that a button or a form carries."""
        return self.custom_id.partition(":")[2]

    @property
    def opens_form(self) -> bool:
        """A button whose ask is to be filled in first."""
        is_button = self._interaction.type is discord.InteractionType.component
        return is_button and self.custom_id.startswith(f"{FORM}:")

    @property
    def is_form(self) -> bool:
        """A form that was filled in."""
        return self._interaction.type is discord.InteractionType.modal_submit

    @property
    def is_button(self) -> bool:
        """A button."""
        return self._interaction.type is discord.InteractionType.component

    @property
    def in_private(self) -> bool:
        """Under a message that only this person sees."""
        return bool(self._interaction.message and self._interaction.message.flags.ephemeral)

    @property
    def alone(self) -> bool:
        """Nobody but this person and the bot is there."""
        return self._interaction.context.dm_channel

    @property
    def has_pictures(self) -> bool:
        """The message that was pressed shows some."""
        return bool(self._interaction.message and self._interaction.message.attachments)

    # --- a command

    @property
    def command(self) -> str:
        """Its name: ``mod quota set``."""
        parts = [str(each["name"]) for each in self._options() if each.get("type") in {SUBCOMMAND, GROUP}]
        return " ".join([str(self._data.get("name", "")), *parts])

    @property
    def kind(self) -> int:
        """Of a command: typed, or in a message's menu."""
        return int(self._data.get("type", CHAT))

    @property
    def values(self) -> dict[str, object]:
        """Option → value."""
        return {str(each["name"]): self._written(each) for each in self._options() if "value" in each}

    def _written(self, option: Mapping[str, Any]) -> object:
        everybody = option.get("type") == ROLE and str(option["value"]) == str(self._interaction.guild_id)
        return _EVERYBODY if everybody else _written(option)

    def _options(self) -> Iterator[Mapping[str, Any]]:
        waiting = list(self._data.get("options", ()))
        while waiting:
            option = waiting.pop(0)
            yield option
            waiting += option.get("options", ())

    @property
    def focused(self) -> tuple[str, str]:
        """The option that is being typed, and what stands there."""
        for each in self._options():
            if each.get("focused"):
                return str(each["name"]), str(each.get("value", ""))
        return "", ""

    @property
    def target(self) -> list[str]:
        """Every ask in the message that a menu was opened on, if we wrote it."""
        messages = self._data.get("resolved", {}).get("messages", {})
        message = messages.get(str(self._data.get("target_id")), {})
        ours = str(message.get("author", {}).get("id")) == str(self._interaction.application_id)
        me = self._interaction.client.user
        ours = ours or (me is not None and str(message.get("author", {}).get("id")) == str(me.id))
        return [ask for _, ask in packed(message.get("components"))] if ours else []

    @property
    def filled(self) -> dict[str, str]:
        """What stands in a form, by the name of each blank."""
        return dict(_filled(self._data.get("components", ())))

    @property
    def picture(self) -> Attachment | None:
        """The picture that came with a command."""
        number = str(self.values.get(PICTURE, ""))
        found = self._data.get("resolved", {}).get("attachments", {}).get(number)
        if not found:
            return None
        return Attachment(str(found["url"]), int(found.get("size", 0)), str(found.get("content_type") or ""))

    # --- where and by whom

    @property
    def scene(self) -> dict[str, Any]:
        """Whose rules count, and what the person is there: only what Discord itself says."""
        interaction, user = self._interaction, self._interaction.user
        if interaction.guild_id is None:
            return {}
        roles = list(user.roles) if isinstance(user, discord.Member) else []
        ids = user._roles if isinstance(user, discord.Member) else ()  # the cache may not know all names
        channel = interaction.channel
        parent = getattr(channel, "parent", None) or channel
        titles = [(f"{PLATFORM}:{self.channel}", str(getattr(channel, "name", "") or ""))]
        titles += [(f"role:{role.id}", role.name) for role in roles if not role.is_default()]
        titles += self._picked()
        return {
            "community": f"{PLATFORM}:{interaction.guild_id}",
            "channel": f"{PLATFORM}:{self.channel}",
            "roles": tuple(f"role:{number}" for number in ids),
            "entitled": interaction.permissions.manage_guild,
            "adult": bool(getattr(parent, "nsfw", False)),
            "titles": tuple((key, title) for key, title in titles if title),
        }

    def _picked(self) -> list[tuple[str, str]]:
        """The names of the roles and channels in a command's options."""
        resolved = self._data.get("resolved", {})
        kinds = (("roles", "role"), ("channels", PLATFORM))
        found = [
            (f"{kind}:{number}", str(each.get("name", "")))
            for field, kind in kinds
            for number, each in resolved.get(field, {}).items()
        ]
        everybody = f"role:{self._interaction.guild_id}"  # a channel may have the server's number too
        return [each for each in found if each[0] != everybody] + self._named()

    def _named(self) -> list[tuple[str, str]]:
        """The roles, and the channels with messages, whose mention or name stands in what was typed."""
        guild = self._interaction.guild
        typed = str([each.get("value") for each in self._options() if each.get("type") == STRING])
        if guild is None or self.command.partition(" ")[0] != MODERATES:
            return []
        named = [
            *((f"role:{each.id}", each.name, each.mention) for each in guild.roles if not each.is_default()),
            *(
                (f"{PLATFORM}:{each.id}", each.name, each.mention)
                for each in guild.channels
                if _has_words(each)
            ),
        ]
        words = typed.casefold()
        found = [(key, name) for key, name, sign in named if name.casefold() in words or sign in typed]
        return sorted(found, key=lambda pair: -len(pair[1]))[:MOST_NAMED]

    @property
    def name(self) -> str:
        """What the person calls themselves."""
        return self._interaction.user.display_name


def _has_words(channel: discord.abc.GuildChannel) -> bool:
    """Can one write there? Not in a category, nor in a forum itself."""
    return isinstance(channel, discord.abc.Messageable)


def _written(option: Mapping[str, Any]) -> object:
    """A value as every chat writes it: what was picked or mentioned, as ``options.Option.names`` says."""
    value, kind = option["value"], option.get("type")
    if kind in _PICKED:
        return f"{_PICKED[kind]}{value}"
    if not isinstance(value, str):
        return value
    text = _PERSON.sub(rf"{PLATFORM}:\1", value)
    text = _ROLE.sub(r"@role:\1", text)
    return _CHANNEL.sub(rf"#{PLATFORM}:\1", text)


def _filled(components: Any) -> Iterator[tuple[str, str]]:
    for each in components:
        inner = each.get("component")
        yield from _filled([inner] if inner else each.get("components", ()))
        if "custom_id" in each:
            values = each.get("values")
            yield str(each["custom_id"]), str(values[0] if values else each.get("value") or "")


async def ask(heard: Heard, house: House) -> Ask:
    """The ask that it says. Raises Refusal."""
    if heard.is_form:
        return await house.filled(heard.packed, heard.filled, f"{PLATFORM}:{heard.user}")
    if heard.is_button:
        return house.unpack(heard.packed)
    if heard.kind == ON_MESSAGE:
        return house.menu(MENU.get(heard.command, ""), heard.target)
    return house.read(heard.command, {k: v for k, v in heard.values.items() if k != PICTURE})


def call(heard: Heard, said: Ask | None, address: Address) -> Call:
    """The call it is."""
    return Call(
        f"{PLATFORM}:{heard.user}", address.place, str(heard.id), said, language=heard.language,
        name=heard.name, picture=None if heard.pressed else heard.picture, **heard.scene,
    )  # fmt: skip


def suggestions(heard: Heard, house: House) -> list[dict[str, str]]:
    """What could be meant by what was typed so far: what begins so, then what has it inside."""
    flag, text = heard.focused
    declared = next((each for each in house.commands() if each.name == heard.command), None)
    field = None if declared is None else _fields(declared.ask).get(flag)
    names = house.choices(field) if field else ()
    sought = text.strip().casefold()
    found = [name for name in names if sought in name.casefold()]
    found.sort(key=lambda name: not name.casefold().startswith(sought))
    return [{"name": name[:LONGEST_CHOICE], "value": name[:LONGEST_CHOICE]} for name in found[:SUGGESTIONS]]


def _fields(ask: type) -> dict[str, str]:
    from bot.options import fields_of

    return {field.flag: field.option.choices for field in fields_of(ask)}


def modal(packed_ask: str, form: Form) -> dict[str, Any]:
    """A form as Discord shows it."""
    return {
        "custom_id": f"{FORM}:{packed_ask}",
        "title": form.title[:LONGEST_TITLE],
        "components": [
            {"type": LABEL, "label": blank.label[:LONGEST_LABEL], "component": _blank(blank)}
            for blank in form.blanks
        ],
    }


def _blank(blank: Blank) -> dict[str, Any]:
    if blank.choices:
        options = [
            {"label": label[:100], "value": value[:100], "default": value == blank.value}
            for value, label in blank.choices
        ]
        return {"type": SELECT, "custom_id": blank.flag, "options": options, "required": blank.required}
    value = {"value": blank.value[:LONGEST_VALUE]} if blank.value else {}
    return {
        "type": INPUT, "custom_id": blank.flag, "style": 2 if blank.long else 1, "required": blank.required,
        "max_length": LONGEST_VALUE, **value,
    }  # fmt: skip
