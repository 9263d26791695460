"""Placeholders in the texts of a cron job: `<cronally.firing-id>` and the like, filled in when a firing is sent.

Invariant: pure. Reading a text raises nothing but ValueError with a complaint, filling one in nothing but NotFilled;
both take time that grows as the text does. What is no placeholder stays as it is written. What a filled text is to
be, a text, JSON or a URL, is decided once, when it is written, and kept with it (`MARK`): a text without that was
written before there were placeholders, or has none, and is sent as it is. Why so: docs/design/templates.md.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Final, NoReturn

from cronally.clock import zones
from cronally.contract.attribute import Declared
from cronally.contract.formats import ISO, UNIX, check_format, formatted
from cronally.contract.shifts import NOWHERE, STARTS, Shift, parse_offset, shifted
from cronally.instants import SECOND, to_datetime
from cronally.wire import header_text

MARK: Final = "templates"
"""Among the public parameters of a target: which of them hold placeholders, and what each is when it is filled in."""
MAX_PLACEHOLDERS: Final = 100
"""Of one text."""
MAX_ADDED: Final = 4096
"""Bytes that a text may grow by when it is filled in: what is claimed at once is counted by what is stored."""


class Form(StrEnum):
    """What a text is when its placeholders are filled in."""

    TEXT = "text"
    JSON = "json"
    """Inside a string of it a value is escaped; elsewhere it is a number, or a string with its quotes."""
    URL = "url"
    """A value is percent-encoded."""
    HEADER = "header"
    """A value is percent-encoded if it needs it."""


class NotFilled(ValueError):
    """A text cannot be filled in now. The message is a sentence."""


class _Name(StrEnum):
    FIRING_ID = "cronally.firing-id"
    SCHEDULED_TIME = "cronally.scheduled-time"
    SCHEDULED_LOCAL_TIME = "cronally.scheduled-local-time"
    ATTEMPT_NUMBER = "cronally.attempt-number"
    CRONJOB_ID = "cronally.cronjob-id"
    CRONJOB_NAME = "cronally.cronjob-name"
    ACK_URL = "cronally.ack-url"
    LT = "cronally.lt"
    """The character `<` itself."""


_TIMES: Final = frozenset({_Name.SCHEDULED_TIME, _Name.SCHEDULED_LOCAL_TIME})
NAMES: Final[Mapping[str, str]] = {
    **{name.value: name.value for name in _Name},
    # As EventBridge Scheduler calls them. Nothing here has an ARN: which schedule it is, the cron job's id says.
    "aws.scheduler.execution-id": _Name.FIRING_ID,
    "aws.scheduler.scheduled-time": _Name.SCHEDULED_TIME,
    "aws.scheduler.attempt-number": _Name.ATTEMPT_NUMBER,
    "aws.scheduler.schedule-arn": _Name.CRONJOB_ID,
}
"""The placeholders, and for which of Cronally's each stands."""

# Each part is bounded, so that it takes no longer at one place than at another. In JSON a quote may have a backslash.
_BEGIN: Final = re.compile(r"<(?:cronally|aws\.scheduler)\.", re.IGNORECASE)
_BLANKS: Final = "[ \t\r\n]"
_VALUE: Final = r"""[^"'<>\\]{0,128}"""
_OPTION: Final = re.compile(
    rf"""{_BLANKS}{{1,8}}([a-z-]{{1,16}})=(?:"({_VALUE})"|'({_VALUE})'|\\"({_VALUE})\\"|([^\s"'<>\\]{{1,128}}))"""
)
_OPTIONS_FORM: Final = _OPTION.pattern.replace("([", "(?:[")
_PLACEHOLDER: Final = re.compile(rf"<([A-Za-z0-9.-]{{1,64}})((?:{_OPTIONS_FORM}){{0,3}}){_BLANKS}{{0,8}}>")
_OPTIONS: Final = frozenset({"format", "offset", "start-of"})
_ORIGIN: Final = re.compile(r"[^:/?#]*://[^/?#]*[/?#]|/")
"""Of a path, which is one below a connection's URL, nothing that leads elsewhere is filled in."""
_RESERVED: Final = re.compile(rb"[^A-Za-z0-9._~-]")
_LITERALLY: Final = "where the text itself is meant, write <cronally.lt> in place of its <"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder."""

    name: _Name
    format: str = ISO
    shift: Shift = NOWHERE

    @property
    def is_number(self) -> bool:
        """Whether its value is a number of JSON."""
        return self.name is _Name.ATTEMPT_NUMBER or (self.name in _TIMES and self.format == UNIX)


@dataclass(frozen=True, slots=True)
class Values:
    """What placeholders stand for in one attempt of one firing."""

    firing_id: str
    cronjob_id: str
    cronjob_name: str
    scheduled_at: int
    """An instant."""
    attempt: int
    timezone: str
    """The IANA name of the cron job's time zone."""
    ack_url: str | None = field(default=None, kw_only=True)
    """Where the firing is acknowledged; None where nobody asks for that."""
    longest: bool = field(default=False, kw_only=True)
    """Whether times and numbers are the longest texts that they can be."""


_LONG_TIME: Final = datetime(
    2026, 9, 2, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=1, minutes=2, seconds=3))
)
"""A Wednesday in September: no instant is written longer."""
_LONG_ID: Final = "f" * 36
_LONG_NUMBER: Final = 9_999_999_999


def longest(cronjob_name: str, ack_url: str | None = None) -> Values:
    """Values as long as any of a cron job of this name.

    :param ack_url: one as long as its firings have, if they have any
    """
    return Values(_LONG_ID, _LONG_ID, cronjob_name, 0, _LONG_NUMBER, zones.UTC, ack_url=ack_url, longest=True)


def asks_for_ack(text: str) -> bool:
    """Whether the URL that acknowledges a firing stands in a text that can be read."""
    return any(piece.name is _Name.ACK_URL for piece in parse(text) if not isinstance(piece, str))


# Reading


def parse(text: str) -> list[str | Placeholder]:
    """A text in pieces: what is sent as it is, and placeholders. Raises ValueError with a complaint."""
    pieces, end = list[str | Placeholder](), 0
    for count, begin in enumerate(_BEGIN.finditer(text), 1):
        if count > MAX_PLACEHOLDERS:
            raise ValueError(f"holds more than {MAX_PLACEHOLDERS} placeholders; use fewer")
        found = _PLACEHOLDER.match(text, begin.start())
        if found is None:
            raise ValueError(
                f"holds a placeholder that does not end, or is not written like <cronally.firing-id> or"
                f' <cronally.scheduled-time format="%Y-%m-%d" offset="-1d"> (at {begin.start():,}); {_LITERALLY}'
            )
        try:
            placeholder = _placeholder(found[1], found[2])
        except ValueError as problem:
            raise ValueError(f"holds a placeholder {problem} (at {begin.start():,}); {_LITERALLY}") from None
        pieces += [text[end : begin.start()], placeholder]
        end = found.end()
    return [*pieces, text[end:]]


def _placeholder(name: str, options: str) -> Placeholder:
    """One placeholder. Raises ValueError with the rest of a sentence."""
    if name not in NAMES:
        near = difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.0)
        raise ValueError(f"that there is not; did you mean <{near[0]}>?")
    chosen = dict[str, str]()
    for option in _OPTION.finditer(options):
        if option[1] in chosen:
            raise ValueError(
                f"with {option[1] if option[1] in _OPTIONS else 'an option'} twice; give it once"
            )
        chosen[option[1]] = next(value for value in option.groups()[1:] if value is not None)
    if not chosen:
        return Placeholder(_Name(NAMES[name]))
    if name not in _TIMES or not chosen.keys() <= _OPTIONS:
        raise ValueError(
            f"with an option that it has not; {' and '.join(sorted(_TIMES))} have {', '.join(sorted(_OPTIONS))}"
        )
    try:
        wanted = check_format(chosen.get("format", ISO))
    except ValueError as problem:
        raise ValueError(f"whose format is none: it {problem}") from None
    start_of = chosen.get("start-of")
    if start_of is not None and start_of not in STARTS:
        raise ValueError(f"whose start-of is none of {', '.join(STARTS)}")
    try:
        parts = parse_offset(chosen["offset"]) if "offset" in chosen else ()
    except ValueError as problem:
        raise ValueError(f"whose offset is none: it {problem}") from None
    return Placeholder(_Name(name), wanted, Shift(start_of, parts))


def check(text: str, *, url: bool = False) -> None:
    """Raise ValueError with a complaint for a text whose placeholders cannot be read.

    :param url: whether it is a URL: what it leads to is not filled in, for that is checked when it is written
    """
    parse(text)
    begin = _BEGIN.search(text)
    if url and begin is not None and not _ORIGIN.match(text, endpos=begin.start()):
        raise ValueError("holds a placeholder before its path; only path and query can hold one")


# Marking


def marks(parameters: Mapping[str, Declared], values: Mapping[str, Any]) -> dict[str, str]:
    """The mark of what was written: the form of each text that holds placeholders.

    :param values: the parameters that were sent, checked
    """
    found = {}
    for name, value in values.items():
        one = parameters.get(name)
        if one is None or not one.attribute.template:
            continue
        texts = list(value.values()) if isinstance(value, Mapping) else [value]
        pieces = [parse(text) for text in texts if isinstance(text, str)]
        if any(len(each) > 1 for each in pieces):
            is_json = isinstance(value, str) and _is_json(pieces[0])
            wanted = one.attribute.template
            found[name] = wanted if isinstance(wanted, str) else Form.JSON if is_json else Form.TEXT
    return found


def _is_json(pieces: list[str | Placeholder]) -> bool:
    """Whether a text is an object or a list of JSON, however it is filled in."""
    parts, inside = list[str](), False
    for piece in pieces:
        if isinstance(piece, str):
            inside ^= _turns(piece)
            parts.append(piece)
        else:
            # What no escape can be a part of, and what is a whole value.
            parts.append("~" if inside else "null")
    skeleton = "".join(parts)
    if not skeleton.lstrip(" \t\r\n").startswith(("{", "[")):
        return False
    try:
        json.loads(skeleton, parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)


def _turns(piece: str) -> bool:
    """Whether a string of JSON begins or ends in a piece, and does not do both."""
    return _ESCAPED.sub("", piece).count('"') % 2 == 1


# Filling in


def fill(text: str, form: str, values: Values) -> str:
    """A text with its placeholders filled in.

    Raises NotFilled where it would grow too long, or the time zone is none that is known.
    """
    parts, inside = list[str](), False
    for piece in parse(text):
        if isinstance(piece, str):
            parts.append(piece)
            inside ^= form == Form.JSON and _turns(piece)
        else:
            parts.append(_written(piece, form, inside, _value(piece, values)))
    done = "".join(parts)
    if len(done.encode()) > len(text.encode()) + MAX_ADDED:
        raise NotFilled(f"What its placeholders stand for is more than {MAX_ADDED:,} bytes.")
    return done


def _written(piece: Placeholder, form: str, inside: bool, value: str) -> str:
    match form:
        case Form.URL:
            return _RESERVED.sub(lambda byte: b"%%%02X" % byte[0][0], value.encode()).decode("ascii")
        case Form.HEADER:
            return header_text(value)
        case Form.JSON if inside:
            return json.dumps(value, ensure_ascii=False)[1:-1]
        case Form.JSON if not piece.is_number:
            return json.dumps(value, ensure_ascii=False)
    return value


def _value(piece: Placeholder, values: Values) -> str:
    match piece.name:
        case _Name.FIRING_ID:
            return values.firing_id
        case _Name.CRONJOB_ID:
            return values.cronjob_id
        case _Name.CRONJOB_NAME:
            return values.cronjob_name
        case _Name.ATTEMPT_NUMBER:
            return str(values.attempt)
        case _Name.LT:
            return "<"
        case _Name.ACK_URL if values.ack_url is not None:
            return values.ack_url
        case _Name.ACK_URL:
            raise NotFilled(f"It holds <{_Name.ACK_URL}>, and the cron job has no ack_within.")
    if values.longest:
        return formatted(_LONG_TIME, piece.format, local=True)
    try:
        zone = zones.zone(values.timezone)
    except ValueError as problem:
        raise NotFilled(f"The time zone of the cron job is not known here: {problem}.") from None
    at = shifted(values.scheduled_at, zone, piece.shift)
    moment, local = to_datetime(at), piece.name is _Name.SCHEDULED_LOCAL_TIME
    if local:
        moment = moment.astimezone(timezone(timedelta(seconds=zone.span(at // SECOND).offset)))
    return formatted(moment, piece.format, local=local)


def filled(values: Mapping[str, Any], marked: Mapping[str, str], by: Values) -> dict[str, Any]:
    """Parameters with their placeholders filled in. Raises NotFilled.

    :param marked: their mark
    """
    done = dict(values)
    for name, form in marked.items():
        value = done.get(name)
        if isinstance(value, str):
            done[name] = fill(value, form, by)
        elif isinstance(value, Mapping):
            done[name] = {key: fill(text, form, by) for key, text in value.items()}
    return done


def with_own(public: Mapping[str, Any], own: Mapping[str, Any], parameters: Container[str]) -> dict[str, Any]:
    """The public parameters of a cron job, with what a firing sends in place of them, and the mark of both.

    :param parameters: those that its target can have: it may be another one by now, which has no such message
    """
    used = {name: value for name, value in own.items() if name in parameters or name in public}
    used.pop(MARK, None)
    marked = {name: form for name, form in public.get(MARK, {}).items() if name not in used}
    marked |= {name: form for name, form in own.get(MARK, {}).items() if name in used}
    rest = {name: value for name, value in public.items() if name != MARK}
    return rest | used | ({MARK: marked} if marked else {})
