"""One declaration of a command, read as chat text with --flags, as a form, on a command line, in a button.

A command's ask is a frozen dataclass; what a chat needs to know of a field stands in its annotation::

    @dataclass(frozen=True, slots=True)
    class Imagine:
        prompt: Annotated[str, Option(words=True)]
        steps: Annotated[int | None, Option("steps", ("s", "pasos"), low=1, high=150)] = None

Prompts are prose: an apostrophe is an apostrophe, a quote groups only the value of a flag, a long dash from a
phone is two dashes unless it encloses words (—like this—). ``\\--word`` is the word, not a flag. Every reader
is linear in its input and raises nothing but ``Refusal``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin
from urllib.parse import quote, unquote

from storage.refusal import MOST_WRONG, Mistakes, Refusal

LONGEST_LINE = 12_000
"""Characters of one chat message that are looked at; two full prompts and every flag fit."""
LONGEST_PACK = 64
"""Bytes of a packed ask: what Telegram lets a button carry."""


class Ratio(NamedTuple):
    """Width to height, as in ``--ar 16:9``."""

    wide: int
    high: int


class Size(NamedTuple):
    """Pixels, as in ``--size 512x768``."""

    width: int
    height: int


class Spot(NamedTuple):
    """One picture of a job, as in ``--from 12.3``: the third of job 12 (``picture`` counts from 0)."""

    job: int
    picture: int


@dataclass(frozen=True, slots=True)
class Option:
    """What a chat needs to know of a field, beside its type.

    ``words``: the text that stands outside of all flags. ``word``: one word of that text, before ``words``,
    in the order of the fields (``/mod quota set @ana 20``); written with its flag, it takes none.
    ``rest``: takes text up to the next flag.
    ``typed``: filled in a text box, never carried by a button. ``choices`` names a list that only a running
    bot knows (``models``, ``styles``) or a fixed one (``samplers``, ``languages``, or one of ``CHOICES``).
    ``names`` says what the text names: ``person``, ``role``, ``channel``, or ``subject`` for any of them. A
    chat with pickers offers one, and every chat writes what was picked or mentioned in one way: a person as
    their Who (``discord:5``), a role as ``@`` and its text in ``Call.roles`` (``@role:55``), a channel as
    ``#`` and its text in ``Call.channel`` (``#discord:9``); the picked one's name goes into ``Call.titles``.
    """

    flag: str = ""
    aliases: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    longest: int = 200
    choices: str = ""
    words: bool = False
    rest: bool = False
    typed: bool = False
    word: bool = False
    names: str = ""


CHOICES: dict[str, tuple[str, ...]] = {
    "periods": ("day", "week", "month"),
    "rules": ("word", "pattern", "allow"),
    "tariffs": ("free", "half", "closed"),
    "nsfw": ("withhold", "spoiler", "allow"),
    "ways": ("show", "spoiler", "hold", "delete"),
}
"""Fixed lists that ``Option.choices`` may name."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an ask: its name, its type without None, and its ``Option``."""

    name: str
    type: type
    option: Option
    required: bool
    default: object

    @property
    def flag(self) -> str:
        """What stands after the two dashes."""
        return self.option.flag or self.name


@cache
def fields_of(ask: type[Any]) -> tuple[Field, ...]:
    """Every field of an ask, in the order of its declaration."""
    hints = typing.get_type_hints(ask, include_extras=True)
    return tuple(_field(each, hints[each.name]) for each in dataclasses.fields(ask))


def _field(each: dataclasses.Field[Any], hint: Any) -> Field:
    option = Option()
    if get_origin(hint) is Annotated:
        hint, option = get_args(hint)
    if get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in get_args(hint) if part is not type(None))
    required = each.default is dataclasses.MISSING
    return Field(each.name, hint, option, required, None if required else each.default)


def _class(ask: object) -> Any:
    return type(ask)


@cache
def flags_of(ask: type) -> dict[str, Field]:
    """Flag or alias → field, for everything that can be written as a flag."""
    return {
        name: field
        for field in fields_of(ask)
        if not field.option.words
        for name in (field.flag, *field.option.aliases)
    }


def words_of(ask: type) -> Field | None:
    """The field that takes the words outside of all flags."""
    return next((field for field in fields_of(ask) if field.option.words), None)


def single_words_of(ask: type) -> list[Field]:
    """The fields that take one word each of what stands outside of all flags."""
    return [field for field in fields_of(ask) if field.option.word]


# --- text


def shown(text: object, limit: int = 40) -> str:
    """A person's own words as they may stand in a sentence to them: short, controls made visible."""
    clean = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text)[: limit + 1]
    )
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def plain(text: str) -> str:
    """``text`` with every run of white space as one blank, and without lone surrogates."""
    return " ".join(text.encode("utf-8", "ignore").decode().split())


_UNSEEN = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff")


def without_controls(text: str) -> tuple[str, int]:
    """``text`` without control characters, direction overrides, and how many there were.

    Joiners stay: emoji and several scripts need them.
    """
    before = plain(text)
    kept = "".join(each for each in before if unicodedata.category(each) != "Cc" and each not in _UNSEEN)
    return plain(kept), len(before) - len(kept)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word a person most likely meant, or nothing."""
    found = difflib.get_close_matches(word[:40].casefold(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


# --- one value


def _number(field: Field, text: str) -> float:
    cleaned = text.strip().lstrip("#").replace(",", ".").replace("−", "-").replace("–", "-")
    try:
        value = float(cleaned) if field.type is float else int(cleaned)
    except ValueError:
        raise Refusal("not_a_number", flag=field.flag, value=shown(text)) from None
    low, high = field.option.low, field.option.high
    if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
        raise Refusal("out_of_range", flag=field.flag, value=shown(text), low=low or 0, high=high or 0)
    return value


_RATIO = re.compile(r"([0-9]{1,4})\s*[:/x×]\s*([0-9]{1,4})")
_SIZE = re.compile(r"([0-9]{1,5})(?:\s*[x×*:,]\s*([0-9]{1,5}))?")
_SPOT = re.compile(r"#?([0-9]{1,15})[.:/]([1-9])")


def _ratio(field: Field, text: str) -> Ratio:
    match = _RATIO.fullmatch(text.strip().casefold())
    if match is None or not int(match[1]) or not int(match[2]):
        raise Refusal("bad_ratio", flag=field.flag, value=shown(text))
    return Ratio(int(match[1]), int(match[2]))


def _size(field: Field, text: str) -> Size:
    match = _SIZE.fullmatch(text.strip().casefold())
    if match is None:
        raise Refusal("bad_sides", flag=field.flag, value=shown(text))
    return Size(int(match[1]), int(match[2] or match[1]))


def _spot(field: Field, text: str) -> Spot:
    match = _SPOT.fullmatch(text.strip())
    if match is None:
        raise Refusal("bad_spot", flag=field.flag, value=shown(text))
    return Spot(int(match[1]), int(match[2]) - 1)


_YES = frozenset({"", "1", "yes", "true", "on", "y", "si", "sí", "s"})
_NO = frozenset({"0", "no", "false", "off", "n"})


def _switch(field: Field, text: str) -> bool:
    word = text.strip().casefold()
    if word not in _YES | _NO:
        raise Refusal("bad_switch", flag=field.flag, value=shown(text))
    return word in _YES


def _text(field: Field, text: str) -> str:
    value = plain(text)
    if len(value) > field.option.longest:
        code = "prompt_too_long" if field.option.words else "text_too_long"
        raise Refusal(code, flag=field.flag, length=len(value), limit=field.option.longest)
    return value


_READ: dict[type, Callable[[Field, str], object]] = {
    int: _number,
    float: _number,
    str: _text,
    bool: _switch,
    Ratio: _ratio,
    Size: _size,
    Spot: _spot,
}


def _write(value: object) -> str:
    match value:
        case Ratio():
            return f"{value.wide}:{value.high}"
        case Size():
            return f"{value.width}x{value.height}"
        case Spot():
            return f"{value.job}.{value.picture + 1}"
        case bool():
            return "yes" if value else "no"
        case float():
            return repr(value).removesuffix(".0")
        case _:
            return str(value)


def build(ask: type, values: Mapping[str, str], wrong: Mistakes | None = None) -> Any:
    """The ask made of written values, by field name. Raises Refusal for all that is missing or out of bounds.

    ``wrong`` is what was wrong before.
    """
    known, wrong = {field.name: field for field in fields_of(ask)}, wrong or Mistakes()
    read: dict[str, object] = {}
    for name, text in values.items():
        with wrong.noted():
            read[name] = _READ[known[name].type](known[name], text)
    for field in known.values():
        if field.required and (read if field.name in read else values).get(field.name, "") == "":
            code = "empty_prompt" if field.name == "prompt" else "missing_value"
            wrong.found.append(Refusal(code, flag=field.flag))
    if wrong.found:
        wrong.draft = _draft(ask, read)
    wrong.say()
    return ask(**read)


def _draft(ask: type, read: Mapping[str, object]) -> object:
    """The ask of what could be read, so that the rest of it can be judged too; None if too little could."""
    missing = [field for field in fields_of(ask) if field.required and read.get(field.name, "") == ""]
    if any(field.type is not str for field in missing):
        return None
    return ask(**{**read, **{field.name: "?" for field in missing}})


# --- chat text

_FLAG = re.compile(r"(?<!\S)(--|—|–)([^\W\d_][\w-]*)[=:]?")
_ESCAPED = re.compile(r"(?<!\S)(\\*)((?:--|—|–)[^\W\d_])")
_CLOSING = re.compile(r"\w[—–](?!\w)")
_COMMAND = re.compile(r"/(\w{1,64})(?:@\w+)?(?!\S)")
_BARE = re.compile(r"\w[\w.-]*")
_QUOTED = re.compile(r'\s*["“”]((?:[^"“”\\]|\\.)*)["“”](?!\S)', re.DOTALL)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _cuts(word: str) -> set[str]:
    """``word`` and ``word`` without any one letter: two words one slip apart share one of these."""
    return {word} | {word[:i] + word[i + 1 :] for i in range(len(word))}


@cache
def _slips(ask: type) -> frozenset[str]:
    return frozenset(cut for flag in flags_of(ask) if len(flag) > 3 for cut in _cuts(flag))


def _is_flag(match: re.Match[str], after: str, ask: type) -> bool:
    """Two dashes always begin a flag; one long dash only if the word is one, or one slip away from one."""
    if match[1] == "--":
        return True
    name = _folded(match[2])
    known = name in flags_of(ask) or (3 < len(name) <= 20 and not _cuts(name).isdisjoint(_slips(ask)))
    return known and _CLOSING.search(after) is None


def _flags(text: str, ask: type) -> list[tuple[re.Match[str], int]]:
    """Every flag in ``text``, and where what follows it ends."""
    seen = _until_next(list(_FLAG.finditer(text)), len(text))
    return _until_next(
        [match for match, end in seen if _is_flag(match, text[match.end() : end], ask)], len(text)
    )


def _until_next(matches: Sequence[re.Match[str]], last: int) -> list[tuple[re.Match[str], int]]:
    ends = [*(match.start() for match in matches[1:]), last]
    return list(zip(matches, ends, strict=False))


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: match[1][1:] + match[2], text)


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: "\\" + match[0], text)


def _value(field: Field, text: str, bound: bool) -> tuple[str, str]:
    """The value of a flag, and the prose that follows it; ``bound`` to it by = or a colon."""
    quoted = _QUOTED.match(text)
    if field.type is bool:
        said, _, after = text.partition(" ") if bound else ("", "", text)
        return said, after
    if quoted is not None and (quoted[1] or field.type is str):
        return _unescape(re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)), text[quoted.end() :]
    if field.option.rest:
        return plain(_unescape(text)), ""
    first, _, after = text.strip().partition(" ")
    if not first or quoted is not None:
        raise Refusal("missing_value", flag=field.flag)
    return first, after


def _collect(text: str, ask: type, wrong: Mistakes) -> tuple[dict[str, str], str]:
    """The values of the flags, and the words outside of them."""
    values: dict[str, str] = {}
    prose: list[str] = []
    begin = len(text)
    for match, end in _flags(text, ask):
        begin = min(begin, match.start())
        if len(wrong.found) >= MOST_WRONG:
            break
        field, rest = flags_of(ask).get(_folded(match[2])), text[match.end() : end]
        if field is None:
            wrong.found.append(unknown_flag(match[2], ask))
            prose.append(rest)
            continue
        with wrong.noted():
            value, after = _value(field, rest, match[0][-1] in "=:")
            again = field.option.rest and values.get(field.name) and value
            values[field.name] = f"{values[field.name]}, {value}" if again else value
            prose.append(after)
    return values, plain(_unescape(" ".join([text[:begin], *prose])))


def _words(words: str, ask: type, said: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in single_words_of(ask):
        if each.name not in said and words:
            quoted = _QUOTED.match(words)
            found[each.name], _, words = (
                (quoted[1], "", words[quoted.end() :].lstrip()) if quoted else words.partition(" ")
            )
    return found | _prose(words, ask)


def _prose(words: str, ask: type) -> dict[str, str]:
    field = words_of(ask)
    if field is None and words:
        raise Refusal("needless_words", words=shown(words))
    return {field.name: words} if field is not None and words else {}


def unknown_flag(flag: str, ask: type) -> Refusal:
    """The refusal of a flag that this command does not have, with the nearest that it has."""
    near = nearest(_folded(flag), flags_of(ask))
    code = "unknown_flag_near" if near else "unknown_flag"
    return Refusal(
        code, flag=shown(flag), near=near, known=", ".join(f"--{each.flag}" for each in _flagged(ask))
    )


def _flagged(ask: type) -> list[Field]:
    return [field for field in fields_of(ask) if not field.option.words]


def read(text: str, ask: type) -> Any:
    """The ask that ``text`` (without the command's name) says."""
    if len(text) > LONGEST_LINE:
        raise Refusal("line_too_long", length=len(text), limit=LONGEST_LINE)
    wrong = Mistakes()
    values, words = _collect(plain(text), ask, wrong)
    with wrong.noted():
        values |= _words(words, ask, values)
    return build(ask, values, wrong)


def parse(line: str, commands: Mapping[str, type], plainly: str = "", about: str = "") -> Any:
    """The ask that a chat line says. Without ``/name`` in front it is the command ``plainly``, if given.

    ``about`` is the person whose message the line answers: in a line that says too little (``/mod quota give
    10``) it is they.
    """
    text = line.strip()
    match = _COMMAND.match(text)
    name, rest = (_folded(match[1]), text[match.end() :]) if match else (plainly, text)
    name, rest = _deepest(name, rest, commands) if match else (name, rest)
    if (match is None and text.startswith("/")) or name not in commands:
        raise unknown_command(text.split(maxsplit=1)[0] if text else "/", commands)
    try:
        return read(rest, commands[name])
    except Refusal as refusal:
        first = next(iter(single_words_of(commands[name])), None)
        if refusal.code != "missing_value" or not about or not first or first.option.names not in _PEOPLE:
            raise
        return read(f"{about} {rest}", commands[name])


_PEOPLE = frozenset(["person", "subject"])


def _deepest(name: str, rest: str, commands: Mapping[str, type]) -> tuple[str, str]:
    """The longest name of a command that the line begins with (``mod quota set``), and what follows it.

    Raises Refusal unknown_part(name, known) for a word that continues no command of that name.
    """
    while known := sorted(each for each in commands if each.startswith(f"{name} ")):
        word, _, after = rest.strip().partition(" ")
        longer = f"{name} {_folded(word)}"
        if not any(f"{each} ".startswith(f"{longer} ") for each in known):
            if word or name not in commands:
                parts = dict.fromkeys(each.removeprefix(f"{name} ").partition(" ")[0] for each in known)
                raise Refusal("unknown_part", name=name, word=shown(word), known=", ".join(parts))
            break
        name, rest = longer, after
    return name, rest


def unknown_command(name: str, commands: Iterable[str]) -> Refusal:
    """The refusal of a command that is not there, with the nearest that is."""
    near = nearest(name.removeprefix("/"), commands)
    return Refusal("unknown_command_near" if near else "unknown_command", name=shown(name), near=near)


def line(name: str, ask: Any) -> str:
    """``ask`` as the chat line that says it: ``parse`` of it is ``ask`` again."""
    parts = [f"/{name}"]
    for field in sorted(fields_of(_class(ask)), key=lambda field: not field.option.words):
        value = getattr(ask, field.name)
        if value is not None and (value != field.default or field.required):
            parts.append(_spelled(field, value))
    return " ".join(part for part in parts if part)


def _spelled(field: Field, value: object) -> str:
    if field.type is bool:
        return f"--{field.flag}" if value else ""
    text = _escape(_write(value))
    if field.option.words:
        return text
    if field.type is str and _ambiguous(text, field):
        text = _quoted(text)
    return f"--{field.flag} {text}".rstrip()


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["“”\\])', r"\\\1", text) + '"'


def _ambiguous(text: str, field: Field) -> bool:
    """Would this value, written bare, be read as something else?"""
    return text[:1] in ('"', "“", "”") or (not field.option.rest and not _BARE.fullmatch(text))


# --- command line and form


def arguments(argv: Sequence[str], ask: type) -> Any:
    """The ask that a shell's words say: as chat text, but a flag's value is one word of the shell.

    A quoted prompt may have its flags inside: ``"a fox --steps 5"``.
    """
    return read(spoken(argv, ask), ask)


def spoken(argv: Sequence[str], ask: type) -> str:
    """A shell's words as the chat text that says the same, right or wrong: nothing in it is judged yet."""
    parts: list[str] = []
    words = iter(plain(word) for word in argv)
    for word in words:
        match = _FLAG.match(word)
        field = flags_of(ask).get(_folded(match[2])) if match and _is_flag(match, "", ask) else None
        if match is None or (" " in word and match[0][-1] not in "=:"):
            parts.append(_ended(word, ask))
        elif field is None or field.type is bool:
            parts.append(word)
        else:
            value = word[match.end() :] or next(words, None)
            parts.append(f"--{field.flag}" if value is None else f"--{field.flag} {_quoted(_escape(value))}")
    return " ".join(parts)


def _ended(word: str, ask: type) -> str:
    """Chat text in one word of a shell: a flag that takes all that follows takes nothing beyond it."""
    found = _flags(word, ask)
    parts = [word[: found[0][0].start()] if found else word]
    for match, end in found:
        field, text = flags_of(ask).get(_folded(match[2])), word[match.end() : end]
        open_ended = field is not None and field.option.rest and text.strip() and not _QUOTED.match(text)
        parts.append(f"{match[0]} {_quoted(text.strip())} " if open_ended else match[0] + text)
    return "".join(parts)


def form(values: Mapping[str, object], ask: type) -> Any:
    """The ask that a filled form says; keys are flags or field names; what is empty stays the default."""
    known = {
        **flags_of(ask),
        **{name: field for field in fields_of(ask) for name in (field.flag, field.name)},
    }
    written: dict[str, str] = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_flag(key, ask)
        if value is None or value == "":
            continue
        if not isinstance(value, str | int | float) or (isinstance(value, int) and value.bit_length() > 80):
            raise Refusal("bad_value", flag=known[key].flag)
        whole = isinstance(value, float) and value.is_integer()
        written[known[key].name] = str(int(value)) if whole else _write(value)
    return build(ask, written)


_JSON: dict[type, str] = {int: "integer", float: "number", bool: "boolean"}
_PATTERNS: dict[type, str] = {Ratio: r"^\d+:\d+$", Size: r"^\d+x\d+$", Spot: r"^\d+\.\d$"}


def schema(ask: type, say: Callable[[str], str], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A JSON schema of the form, in order; ``say(flag)`` is a field's help, ``choices`` fill its lists."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.flag: _schema(field, say, choices) for field in fields_of(ask)},
        "required": [field.flag for field in fields_of(ask) if field.required],
    }


def _schema(field: Field, say: Callable[[str], str], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": _JSON.get(field.type, "string"),
        "description": say(field.flag),
        "minimum": field.option.low,
        "maximum": field.option.high,
        "maxLength": field.option.longest if field.type is str else None,
        "enum": list(choices[field.option.choices]) if field.option.choices in choices else None,
        "pattern": _PATTERNS.get(field.type),
        "words": True if field.option.words else None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def usage(name: str, ask: type) -> str:
    """How a command is written, on one line."""
    parts = [f"/{name}"]
    for field in (*single_words_of(ask), *filter(None, [words_of(ask)])):
        parts.append(field.flag.upper() if field.required else f"[{field.flag.upper()}]")
    hints = {bool: "", Ratio: " W:H", Size: " WxH", Spot: " JOB.N", int: " N", float: " X", str: " …"}
    parts += [f"[--{field.flag}{hints[field.type]}]" for field in _flagged(ask) if not field.option.word]
    return " ".join(parts)


# --- buttons


def squeeze(ask: Any) -> list[str]:
    """The fields a button carries, in order; empty where a field has its default, none at the end."""
    parts = [
        "" if (value := getattr(ask, field.name)) == field.default else quote(_write(value), safe="")
        for field in fields_of(_class(ask))
        if not field.option.typed
    ]
    while parts and not parts[-1]:
        parts.pop()
    return parts


def unsqueeze(parts: Sequence[str], ask: type) -> Any:
    """The ask that a button carried. Anybody can send anything: whatever is no ask is the same Refusal."""
    carried = [field for field in fields_of(ask) if not field.option.typed]
    if len(parts) > len(carried):
        raise Refusal("bad_button")
    try:
        return build(
            ask, {field.name: unquote(part) for field, part in zip(carried, parts, strict=False) if part}
        )
    except Refusal:
        raise Refusal("bad_button") from None


__all__ = [
    "CHOICES", "LONGEST_LINE", "LONGEST_PACK", "Field", "Option", "Ratio", "Size", "Spot", "arguments",
    "build", "fields_of", "flags_of", "form", "line", "nearest", "parse", "plain", "read", "schema", "shown",
    "spoken", "squeeze", "unknown_command", "unknown_flag", "unsqueeze", "usage", "without_controls",
    "words_of",
]  # fmt: skip
