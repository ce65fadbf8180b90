"""Asks as chat text with --flags, read and written; a shell's words are the same text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from bot.options.declare import (
    LONGEST_LINE,
    Field,
    class_of,
    fields_of,
    flagged,
    flags_of,
    single_words_of,
    words_of,
)
from bot.options.value import build, lacking, written
from bot.options.words import nearest, plain, shown
from storage.refusal import MOST_WRONG, Mistakes, Refusal

_FLAG = re.compile(r"(?<!\S)(--|—|–)([^\W\d_][\w-]*)[=:]?")
_ESCAPED = re.compile(r"(?<!\S)(\\*)((?:--|—|–)[^\W\d_])")
_CLOSING = re.compile(r"\w[—–](?!\w)")
_COMMAND = re.compile(r"/(\w{1,64})(?:@\w+)?(?!\S)")
_HELP = re.compile(r"(?<!\S)--(help|ayuda)(?!\S)", re.IGNORECASE)
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
        raise lacking(field)
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
    known = ", ".join(f"--{each.flag}" for each in flagged(ask))
    code = "unknown_flag_near" if near else "unknown_flag" if known else "unknown_flag_none"
    return Refusal(code, flag=shown(flag), near=near, known=known)


def read(text: str, ask: type, said: Mapping[str, str] | None = None) -> Any:
    """The ask that ``text`` (without the command's name) says; ``said`` beside it are values by field name:
    no word of the text is one of them.
    """
    if len(text) > LONGEST_LINE:
        raise Refusal("line_too_long", length=len(text), limit=LONGEST_LINE)
    wrong = Mistakes()
    values, words = _collect(plain(text), ask, wrong)
    with wrong.noted():
        values |= _words(words, ask, {**(said or {}), **values})
    return build(ask, {**values, **(said or {})}, wrong)


def parse(line: str, commands: Mapping[str, type], plainly: str = "", about: str = "") -> Any:
    """The ask that a chat line says. Without ``/name`` in front it is the command ``plainly``, if given.

    ``about`` is the person whose message the line answers: in a line that says too little (``/mod quota give
    10``) it is they. With ``--help`` in it the line asks for the command's help, if there is a command of
    that name.
    """
    text = line.strip()
    match = _COMMAND.match(text)
    name, rest = (_folded(match[1]), text[match.end() :]) if match else (plainly, text)
    helped = _HELP.search(rest) if "help" in commands else None
    rest = rest[: helped.start()] if helped else rest
    name, rest = _deepest(name, rest, commands) if match else (name, rest)
    if (match is None and text.startswith("/")) or name not in commands:
        raise unknown_command(text.split(maxsplit=1)[0] if text else "/", commands)
    if helped:
        return commands["help"](name)
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
    """The refusal of a command that is not there, with the nearest that is: one word if one is near, for a
    path of several words (``mod setup``) is a moderator's.
    """
    word, known = name.removeprefix("/"), list(commands)
    near = nearest(word, (each for each in known if " " not in each)) or nearest(word, known)
    return Refusal("unknown_command_near" if near else "unknown_command", name=shown(name), near=near)


def line(name: str, ask: Any) -> str:
    """``ask`` as the chat line that says it: ``parse`` of it is ``ask`` again."""
    parts = [f"/{name}"]
    for field in sorted(fields_of(class_of(ask)), key=lambda field: not field.option.words):
        value = getattr(ask, field.name)
        if value is not None and (value != field.default or field.required):
            parts.append(_spelled(field, value))
    return " ".join(part for part in parts if part)


def _spelled(field: Field, value: object) -> str:
    if field.type is bool:
        return f"--{field.flag}" if value else ""
    text = _escape(written(value))
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


# --- a shell's words


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
