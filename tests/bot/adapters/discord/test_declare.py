"""One declaration of a command, as Discord wants it: two languages, its limits, sent when it changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot import commands, options, texts
from bot.adapters.discord.declare import INSTALLS, MENU, SPANISH, fingerprint
from bot.adapters.discord.declare import commands as declared
from bot.adapters.discord.declare import names as called
from bot.desk import Desk
from tests.bot.adapters.discord import spec
from tests.bot.adapters.discord.server import server

DESK = Desk(None)  # type: ignore[arg-type] # the table needs no App
TABLE = declared(DESK.commands())
NAME = re.compile(r"[-_'\w]{1,32}")


def everything(parts: list[dict[str, Any]], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every command, subcommand and option, with its path."""
    for each in parts:
        where = f"{path} {each['name']}".strip()
        yield where, each
        yield from everything(each.get("options", []), where)


ALL = dict(everything(TABLE))


def test_every_command_of_the_table_is_there() -> None:
    below = {each.name for each in commands.MODERATION if " " in each.name}
    assert {each.name for each in commands.COMMANDS} | below | {"mod", *MENU} <= set(ALL)
    for each in commands.COMMANDS:
        assert {f"{each.name} {field.flag}" for field in options.fields_of(each.ask)} <= set(ALL)


@pytest.mark.parametrize("where", ALL)
def test_every_name_and_description_is_said_in_both_spanishes(where: str) -> None:
    each = ALL[where]
    assert set(each["name_localizations"]) == set(SPANISH)
    if each["name"] not in MENU:
        assert set(each["description_localizations"]) == set(SPANISH)
        assert 1 <= len(each["description"]) <= 100
        assert all(1 <= len(text) <= 100 for text in each["description_localizations"].values())
        for name in (each["name"], *each["name_localizations"].values()):
            assert NAME.fullmatch(name)
            assert name == name.lower()
    for name in each["name_localizations"].values():
        assert len(name) <= 32


def test_every_name_is_translated() -> None:
    """A command or an option that has no entry yet is found here."""
    known = texts.table("es")
    for where, each in ALL.items():
        kind = "command" if each.get("type", 1) in {1, 2} and "options" in each else "option"
        if each["name"] not in MENU:
            assert f"discord.{kind}.{each['name']}" in known, where


@pytest.mark.parametrize("where", [key for key, each in ALL.items() if "options" in each])
def test_names_are_one_of_a_kind_in_every_language_and_required_options_come_first(where: str) -> None:
    parts = ALL[where]["options"]
    assert len(parts) <= 25
    for names in (
        [each["name"] for each in parts],
        [each["name_localizations"]["es-ES"] for each in parts],
    ):
        assert len(names) == len(set(names))
    required = [bool(each.get("required")) for each in parts]
    assert required == sorted(required, reverse=True)


def test_it_is_for_servers_and_people_and_moderation_for_those_who_manage() -> None:
    for each in TABLE:
        if each["name"] == "mod":
            assert (each["default_member_permissions"], each["contexts"]) == (32, [0])
        else:
            assert each["integration_types"] == INSTALLS
            assert each["contexts"] == [0, 1, 2]


def test_all_commands_together_are_small_enough() -> None:
    """Discord counts names, descriptions and values of each command: 8 000 characters in all languages."""
    for each in TABLE:
        said = [text for _, part in everything([each]) for text in _said(part)]
        assert sum(map(len, said)) <= 8_000, each["name"]


def _said(part: dict[str, Any]) -> list[str]:
    """The longest of each text: Discord counts the largest of its translations."""
    name = max([part["name"], *part["name_localizations"].values()], key=len)
    about = [part.get("description", ""), *part.get("description_localizations", {}).values()]
    return [name, max(about, key=len)]


def test_the_specification_takes_it() -> None:
    if not spec.available():
        pytest.skip("FALOPITAS_API_SPECS names no specification")
    assert spec.wrongs("PUT", "/applications/1/commands", TABLE) == []


def test_the_specification_would_say_so() -> None:
    """The control of every test that validates."""
    if not spec.available():
        pytest.skip("FALOPITAS_API_SPECS names no specification")
    bad = json.loads(json.dumps(TABLE))
    bad[0]["description"] = "x" * 101
    assert spec.wrongs("PUT", "/applications/1/commands", bad)
    button = {"type": 2, "style": 2, "label": "x" * 81, "custom_id": "f:x"}
    body = {"components": [{"type": 1, "components": [button]}], "flags": 1 << 15}
    assert spec.wrongs("POST", "/channels/1/messages", body)
    button = {"type": 2, "style": 2, "label": "x"}
    body = {"components": [{"type": 1, "components": [button]}], "flags": 1 << 15}
    assert spec.wrongs("POST", "/channels/1/messages", body)
    assert spec.wrongs("POST", "/channels/1/nothing", {})


async def test_commands_are_declared_once_and_again_when_they_changed(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        assert len(sent(house)) == 1
        await house.restart()
        assert len(sent(house)) == 1
        (tmp_path / "discord.commands").write_text("older")
        await house.restart()
        assert len(sent(house)) == 2


def sent(house: Any) -> list[Any]:
    return [each for each in house.env.http_requests if each.method == "PUT"]


def test_another_application_is_another_matter() -> None:
    assert fingerprint(TABLE, 1) == fingerprint(json.loads(json.dumps(TABLE)), 1)
    assert fingerprint(TABLE, 1) != fingerprint(TABLE, 2)
    assert fingerprint(TABLE, 1) != fingerprint(TABLE[1:], 1)


async def test_a_declaration_that_failed_is_made_up_for(tmp_path: Path) -> None:
    async with server(tmp_path) as house:
        (tmp_path / "discord.commands").unlink()
        house.env.inject_error("PUT", "/applications/*", status=500, times=1)
        await house.bot.adapter.client.declare()
        assert not (tmp_path / "discord.commands").exists()
        await house.bot.adapter._present()
        assert (tmp_path / "discord.commands").exists()


@pytest.mark.parametrize(
    ("language", "text", "shown"),
    [
        ("en", "/imagine a red fox --n 2 /queue", "/imagine prompt:a red fox --n 2 /queue"),
        ("es", "/imagine un zorro --n 2", "/imagina texto:un zorro --n 2"),
        ("es", "/settings --n 2 --style none", "/ajustes cantidad:2 estilo:none"),
        ("en", "/cancel 12", "/cancel job:12"),
        ("en", "/gift discord:5 3", "/gift person:discord:5 credits:3"),
        ("en", "/gallery --starred", "/gallery starred:True"),
        ("en", "/settings --private --n 2", "/settings private:True n:2"),
        ("es", "/link ABCD2345", "/vincular ABCD2345"),
        ("es", "Están en /gallery.", "Están en /galería."),
        ("en", "/nothing here", "/nothing here"),
        ("en", "/mod", "/mod"),
        ("en", "/mod setup members 20 a day, only #art", "/mod setup what:members 20 a day, only #art"),
        ("en", "/mod quota set everybody 20 --per day", "/mod quota set who:everybody credits:20 per:day"),
        ("en", "/mod block discord:5 floods it", "/mod block person:discord:5 why:floods it"),
        ("en", "/mod community --zone Madrid --free 22-8", "/mod community zone:Madrid free:22-8"),
        ("es", "/mod cuota fijar todos 20", "/mod cuota fijar quién:todos créditos:20"),
        ("es", "/mod comunidad --zona Madrid", "/mod comunidad zona:Madrid"),
    ],
)
def test_a_line_to_type_can_be_copied_into_discord(language: str, text: str, shown: str) -> None:
    """A code is for the other chat, where there are no options."""
    assert called(DESK.commands(), language).local(text) == shown


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_example_names_options_that_there_are(language: str) -> None:
    names, shown = called(DESK.commands(), language), []
    for each in DESK.commands():
        if " " in each.name or each.name in ("link", "mod"):
            continue
        declared = next(made for made in TABLE if made["name"] == each.name)
        known = {
            option.get("name_localizations", {}).get("es-ES", option["name"])
            if language == "es"
            else option["name"]
            for option in declared.get("options", [])
        }
        line = names.local(texts.say(language, f"command.{each.name}.example"))
        rest = line.partition(" ")[2]
        said = re.findall(r"(?:^|(?<=\s))([^\s:]+):(?=\S)", rest)
        assert set(said) <= known, line
        assert not rest or re.match(r"[^\s:]+:\S", rest), line
        shown.append(line)
    assert len([line for line in shown if ":" in line]) >= 6
