"""Refuses what comes along when an expression is copied from elsewhere: quotes, typographic characters, comments,
several lines, settings and commands of a crontab.

Invariant: what is left in the hint are characters of the text itself, or the ASCII characters that they stand for.
Settings and commands are never repeated in a message: they may hold secrets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NoReturn

from cronally.cron.fields import DAY_OF_WEEK, LONG_NAMES, MONTH
from cronally.cron.hints import Hint, quoted
from cronally.errors import InvalidExpression

_UNPRINTABLE: Final = re.compile(r"[^\t\x20-\x7e]")
_LINE_END: Final = re.compile(r"[\r\n]")
# What editors, chats and input methods make of ASCII. An empty text: it is left out.
_TYPED: Final = {
    **dict.fromkeys("\x0b\x0c\x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000", " "),
    **{chr(space): " " for space in range(0x2000, 0x200B)},
    **dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad", ""),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63", "-"),
    **dict.fromkeys("\u2217\u204e\u2731\u00d7\u066d", "*"),
    **dict.fromkeys("\u2044\u2215\u00f7", "/"),
    **dict.fromkeys("\u201a\u060c\u3001\ufe50", ","),
    **dict.fromkeys("\u2018\u2019\u201b\u2032\u02bc", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **{chr(0xFEE0 + ascii_): chr(ascii_) for ascii_ in range(0x21, 0x7F)},  # full width
}
_QUOTES: Final = "\"'`"
_LABEL: Final = re.compile(r"(?:- *)?(?:cron|schedule|expression) *[:=] *(?=\S)", re.IGNORECASE)
_COMMENT: Final = re.compile(r"(?:^|[ \t])#")
_ZONE: Final = re.compile(r"(?:CRON_)?TZ *= *", re.IGNORECASE)
_SETTING: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*) *=")
_NO_SETTINGS: Final = ("oncalendar", "freq")
_FIELD: Final = re.compile(r"[0-9A-Za-z*?,/#()~-]+")
_LETTERS: Final = re.compile(r"[A-Za-z]+")
_NAMED_ZONE: Final = re.compile(r"(?:CRON_)?TZ *= *([A-Za-z][\w+/-]{0,40})(?: |$)", re.ASCII | re.IGNORECASE)
_OF_FIELDS: Final = {
    *("L", "W", "LW", "H", "R"),
    *(*LONG_NAMES, *MONTH.names, *DAY_OF_WEEK.names),
    *(f"{name}L" for name in DAY_OF_WEEK.names),
}
_NTH: Final = re.compile(r"#[0-9]")
_PATH: Final = ("/", "./", "~/", "$")
"""How a word begins that can be nothing but a command."""
YEAR: Final = re.compile(r"\*(?:/[0-9]+)?|[0-9]{4}(?:[-,/][0-9]{1,4})*")
NO_ZONE: Final = "is by the clock of the cron job's timezone: give the zone there"


def refuse_pasted(text: str) -> None:
    """Refuse a text of several lines, with characters beyond ASCII, in quotes or with a comment."""
    if _LINE_END.search(text):
        _refuse_lines(text)
    typed = _UNPRINTABLE.search(text)
    clean = "".join(map(_typed, text)) if typed else text
    unquoted = _unquoted(clean)
    if typed:
        problem = f"the character {typed[0]!a} at column {typed.start() + 1} is not accepted"
        if unquoted and not _UNPRINTABLE.search(unquoted):
            raise InvalidExpression(problem, hints=(Hint(unquoted),))
        raise InvalidExpression(f"{problem}; write one line of ASCII letters, digits, spaces and * , - /")
    if unquoted and unquoted != text.strip():
        raise InvalidExpression(
            "the expression is in quotes, or has a backslash or a name before it; leave them out",
            hints=(Hint(unquoted),),
        )
    if comment := _COMMENT.search(text):
        _refuse_comment(text, comment.start())
    if setting := _SETTING.match(text.lstrip()):
        _refuse_setting(text.lstrip(), setting)


def refuse_command(text: str, words: Sequence[str]) -> None:
    """Refuse a line of a crontab, with a user or a command after its fields."""
    shortcut = text.startswith("@") and not text.lower().startswith("@every")
    count = 1 if shortcut else 5
    if len(words) <= count or (shortcut and text.lower().startswith("@reboot")):
        return
    fields = words[:count]
    if shortcut or (all(map(_is_field, fields)) and not _is_field(words[5])):
        written = " ".join(fields)
        # One word more, or more behind the ? of Quartz, may as well be a weekday, of six fields, that is misspelt or of
        # another language: LUN-VIE.
        rest = words[count + 1 :]
        alone = not rest or YEAR.fullmatch(" ".join(rest)) is not None
        unknown = not shortcut and not words[5].startswith(_PATH) and (alone or "?" in fields)
        differs = (
            "takes the last word for a command; weekdays have English names, SUN to SAT" if unknown else ""
        )
        refuse_behind(written, differs)


def refuse_behind(written: str, differs: str = "") -> NoReturn:
    """Refuse an expression with a user or a command behind it, of which nothing is said."""
    raise InvalidExpression(
        f"{quoted(written)} has a user or a command after it, as a line of a crontab has: a cron job sends to its"
        " target, and runs no command",
        hints=(Hint(written, differs),),
    )


def _is_field(word: str) -> bool:
    """Whether a word may be a field; of commands hardly one may."""
    return _FIELD.fullmatch(word) is not None and all(
        letters.upper() in _OF_FIELDS for letters in _LETTERS.findall(word)
    )


def _refuse_lines(text: str) -> None:
    lines = [line for line in (line.strip() for line in re.split(r"[\r\n]+", text)) if line]
    owed = [
        line for line in lines if not (line.startswith("#") or (_is_setting(line) and not _behind_zone(line)))
    ]
    if len(owed) == 1:
        differs = NO_ZONE if any(map(_ZONE.match, lines)) else ""
        problem = "the expression ends with a line end" if len(lines) == 1 else "the text has several lines"
        raise InvalidExpression(
            f"{problem}; an expression is one line, without settings and comments",
            hints=(Hint(owed[0], differs),),
        )
    if owed and all(len(line.split()) < 5 and not line.startswith("@") for line in owed):
        raise InvalidExpression("the expression is broken into several lines", hints=(Hint(" ".join(owed)),))
    if not owed:
        raise InvalidExpression("the text has several lines, and none of them is an expression")
    raise InvalidExpression(
        f"the text has {len(owed)} lines with expressions, as a crontab; an expression is one line: make a cron job"
        " of each"
    )


def _refuse_comment(text: str, start: int) -> None:
    before, after = text[:start].strip(), text[start:].strip(" \t#")
    if before and _NTH.fullmatch(text[start:].strip()):
        raise InvalidExpression(
            f'there is a space before "{text[start:].strip()}", so it is a comment; write MON#2 without one, or'
            " leave it out"
        )
    if before:
        raise InvalidExpression("the expression has a comment after it; leave it out", hints=(Hint(before),))
    raise InvalidExpression(
        "the text is a comment of a crontab, which never fires",
        hints=(Hint(after, "fires, as the comment never did"),) if after else (),
    )


def _refuse_setting(text: str, setting: re.Match[str]) -> None:
    name = setting[1]
    if _ZONE.match(text):
        rest = _behind_zone(text)
        raise InvalidExpression(
            f'"{name}=" is not part of an expression; give {_named_zone(text)} as the cron job\'s timezone',
            hints=(Hint(rest, NO_ZONE),) if rest else (),
        )
    if _is_setting(text):
        raise InvalidExpression(
            f"{quoted(name + '=')} is a setting of a crontab, not part of an expression; leave it out"
        )


def _named_zone(line: str) -> str:
    """The zone that stands in a line, or what to call one that can be none."""
    found = _NAMED_ZONE.match(line)
    return "the zone" if found is None else found[1]


def _behind_zone(line: str) -> str:
    """What stands behind a zone in its line; nothing for a line without one."""
    zone = _ZONE.match(line)
    return "" if zone is None else line[zone.end() :].partition(" ")[2].strip()


def _is_setting(line: str) -> bool:
    setting = _SETTING.match(line)
    return setting is not None and setting[1].lower() not in _NO_SETTINGS


def _typed(character: str) -> str:
    """The ASCII characters that one beyond ASCII stands for; itself where there are none."""
    if character.isascii():
        return character
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    return _TYPED.get(character, character)


def _unquoted(text: str) -> str:
    """A text without the quotes around it, the name before it, and the backslashes before stars."""
    text = text.strip()
    if label := _LABEL.match(text):
        text = text[label.end() :]
    return text.replace("\\*", "*").strip(_QUOTES + " \t")
