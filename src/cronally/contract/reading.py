"""Reading a request: the parameters that were sent become values, or complaints, all at once.

Invariant: a complaint is the end of a sentence that begins with the name of the parameter, or a sentence of its own,
and never repeats a value. One rule for all attributes: JSON sends a number, a boolean, a list or a map where an
attribute is so typed, or the text that a form would send; a form and a query send a list as repeated parameters or
with commas (repeated alone where there may be commas in a text), and a map as repeated `name: value`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from cronally import errors
from cronally.contract import templates
from cronally.contract.attribute import DEFAULT, Declared, declared
from cronally.instants import format_duration, parse_duration, parse_iso

T = TypeVar("T")
V = TypeVar("V")

MAX_COMPLAINTS: Final = 20
_SHOWN: Final = 64
_MAX_DIGITS: Final = 18
_ROOM: Final = 2
"""For each item that a list may have, so many commas: there may be nothing between two."""
# What one endpoint calls a parameter that another calls otherwise.
_MEANT: Final = {"expression": "cron", "instant": "at", "sns_secret": "sns_secret_access_key"}


class Repeated(list[str]):
    """The texts of a parameter that a form or a query holds more than once."""


@dataclass(slots=True)
class Parameters:
    """What a request sent, by name: texts of a form or a query, or values of JSON."""

    values: dict[str, Any] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    """Parameters that cannot be read, with the complaint about each."""


class Reading(Generic[T]):
    """A request of one kind while it is checked."""

    def __init__(self, kind: type[T], parameters: Parameters | Mapping[str, Any]) -> None:
        """
        :param kind: a typed dictionary of the contract
        """
        if not isinstance(parameters, Parameters):
            parameters = Parameters(dict(parameters))
        self.values: dict[str, Any] = {}
        """What was sent and can be used. Instants and durations are microseconds."""
        self.is_empty = not (parameters.values or parameters.unusable)
        self.known = declared(kind)
        """What there is to be sent."""
        self.complaints = self._by_name(parameters.unusable)
        self.parameters = self._by_name(parameters.values)
        """What was sent, as it was sent."""
        self._expression: errors.InvalidExpression | None = None
        for name, value in self.parameters.items():
            one = self.known.get(name)
            if one is None:
                self.complaints.setdefault(name, unknown_name(name, self.known))
            elif name not in self.complaints:
                self.check(name, lambda one=one, value=value: _convert(one, value))  # type: ignore[misc]
        self.require(name for name, one in self.known.items() if one.required)

    def _by_name(self, sent: Mapping[str, V]) -> dict[str, V]:
        """What was sent under another name that it may have, under its own; not where that was sent as well."""
        named = dict(sent)
        for name, one in self.known.items():
            also = one.attribute.also
            if also in named and name not in named:
                named[name] = named.pop(also)
        return named

    def require(self, names: Collection[str] | Any) -> None:
        """Complain about each of these parameters that was not sent."""
        for name in names:
            if name not in self.parameters and name not in self.complaints:
                self.complaints[name] = missing(self.known[name])

    def sent(self, names: Collection[str]) -> dict[str, Any]:
        """Those of the named parameters that were sent and can be used."""
        return {name: value for name, value in self.values.items() if name in names}

    def check(self, name: str, check: Callable[[], Any]) -> Any:
        """Keep what `check` returns as the value of a parameter; complain if it raises ValueError or
        InvalidExpression, and return None."""
        try:
            self.values[name] = value = check()
        except (ValueError, errors.InvalidExpression) as problem:
            self.complain(name, problem)
            return None
        return value

    def complain(self, name: str, problem: Exception) -> None:
        """Add a complaint about a parameter."""
        self.values.pop(name, None)
        self.complaints[name] = str(problem)
        if isinstance(problem, errors.InvalidExpression):
            self._expression = problem

    def as_json(self, names: Collection[str]) -> dict[str, Any]:
        """Those of the named parameters that were sent, as a body of JSON would hold them."""
        return {
            name: _as_json(self.known[name], value)
            for name, value in self.parameters.items()
            if name in names and name in self.values
        }

    def raise_complaints(self) -> None:
        """Raise InvalidRequest (InvalidExpression where an expression is all that is wrong) if anything is."""
        if not self.complaints:
            return
        shown = {_printable(name): text for name, text in list(self.complaints.items())[:MAX_COMPLAINTS]}
        if self._expression is not None and len(self.complaints) == 1:
            raise errors.InvalidExpression(self._expression.message, fields=shown)
        raise errors.InvalidRequest(
            "; ".join(f"{name}: {text}" for name, text in shown.items()), fields=shown
        )


def refusal(name: str, complaint: str) -> errors.InvalidRequest:
    """The error about one parameter."""
    return errors.InvalidRequest(f"{name}: {complaint}", fields={name: complaint})


def missing(one: Declared) -> str:
    """The complaint about a parameter that is not there."""
    return f"is missing or empty; give {one.attribute.expected}"


def unknown_name(name: str, known: Collection[str]) -> str:
    """The complaint about a parameter that there is not, with the nearest name that there is."""
    meant = _MEANT.get(name, "")
    # What a target's parameter is called without the target, such as url.
    endings = sorted(each for each in known if each.endswith(f"_{name[:_SHOWN]}"))
    near = [meant] if meant in known else endings or difflib.get_close_matches(name[:_SHOWN], known, n=1)
    if near:
        return f"is no parameter here; did you mean {' or '.join(near)}?"
    if not known:
        return "is no parameter here; there are none"
    return f"is no parameter here; there are {', '.join(sorted(known))}"


# Values


def _convert(one: Declared, value: Any) -> Any:
    """The value of a parameter as its type says. Raises ValueError with a complaint."""
    if value == "" or (isinstance(value, Repeated) and not any(value)):
        # Sent once: several empty texts are several items, and none of them is one.
        if one.attribute.may_be_empty and value == "":
            return [] if one.item is not None else {} if one.type == dict[str, str] else ""
        raise ValueError(missing(one))
    if value is None:
        raise ValueError(f"is null; leave it out, or send a {'text' if one.is_text else 'value'}")
    if value == DEFAULT and one.may_be_default:
        return value
    made: Any
    if one.item is not None:
        made = _list(one, value)
    elif one.type == dict[str, str]:
        made = _map(value)
    elif isinstance(value, Repeated):
        raise ValueError("is there more than once; send it once")
    elif one.type is int:
        made = _whole_number(one, value)
    elif one.type is bool:
        made = _boolean(value)
    else:
        made = _text(one, value)
    if isinstance(made, list | dict) or (one.type is str and one.attribute.check is None):
        check_length(one, made)
    if one.attribute.template:
        for text in made.values() if isinstance(made, dict) else [made]:
            templates.check(text, url=one.attribute.template == templates.Form.URL)
    return made if one.attribute.check is None else one.attribute.check(made)


def _text(one: Declared, value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"is {_name_of(value)}; send a text in quotes")
    if one.type is datetime:
        return read_instant(value)
    if one.type is timedelta:
        return _duration(one, value)
    if one.attribute.any_case:
        value = value.lower()
    if one.choices and value not in one.choices:
        raise ValueError(f"is none of {', '.join(one.choices)}; give one of them")
    return value


def _name_of(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case _:
            return "an object or a list"


def check_length(one: Declared, value: Any) -> None:
    """Raise ValueError with a complaint for a text, a list or a map that is too long, or too short."""
    most, unit = one.attribute.max_length, "characters" if isinstance(value, str) else "items"
    least = one.attribute.min_length
    if not isinstance(value, str) and least is not None and len(value) < least:
        raise ValueError(f"has {len(value):,} {unit}; give {least:,} at least")
    if most is not None and len(value) > most:
        raise ValueError(f"has {len(value):,} {unit}; give {most:,} at most")
    most = one.attribute.max_bytes
    if most is not None and (size := len(value.encode())) > most:
        raise ValueError(f"has {size:,} bytes in UTF-8; give {most:,} at most")


def _whole_number(one: Declared, value: Any) -> int:
    low, high = one.attribute.minimum or 0, one.attribute.maximum or 10**_MAX_DIGITS - 1
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        value = int(value)
    if type(value) is int and low <= value <= high:
        return value
    raise ValueError(f"is no whole number between {low:,} and {high:,}; give one")


def _boolean(value: Any) -> bool:
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise ValueError("is neither true nor false; give one of them")


def read_instant(text: str) -> int:
    """The instant that a text names. Raises ValueError with a complaint."""
    try:
        return parse_iso(text)
    except ValueError as problem:
        # A query turns the plus of an offset into a space.
        hint = "; in a query the + of an offset is written %2B" if " " in text else ""
        raise ValueError(f"is no instant: {problem}{hint}") from None


def _duration(one: Declared, text: str) -> int:
    try:
        duration = parse_duration(text)
    except ValueError as problem:
        raise ValueError(f"is no duration: {problem}") from None
    low, high = one.attribute.minimum, one.attribute.maximum
    if (low is not None and duration < low) or (high is not None and duration > high):
        bounds = f"{format_duration(low or 0)} and {format_duration(high or duration)}"
        raise ValueError(f"is out of range; give a duration between {bounds}")
    return duration


def _as_json(one: Declared, value: Any) -> Any:
    if not isinstance(value, Repeated):
        return value
    if one.attribute.one_or_more:
        return [*value]
    return _parts(value) if one.item is not None else _map(value)


def _parts(value: Repeated) -> list[str]:
    return [part.strip() for text in value for part in text.split(",") if part.strip()]


def _list(one: Declared, value: Any) -> list[Any]:
    if isinstance(value, str):
        value = Repeated([value])
    if one.attribute.one_or_more:
        if not isinstance(value, list):
            raise ValueError(f"is {_name_of(value)}; send a text in quotes, or a list of texts")
    elif isinstance(value, Repeated):
        most = one.attribute.max_length
        # Counted before anything is made of them: half a million fit into a body.
        if most is not None and sum([text.count(",") for text in value]) > _ROOM * most:
            raise ValueError(f"has more than {most:,} items; give {most:,} at most")
        value = _parts(value)
    if not isinstance(value, list):
        raise ValueError(f"is {_name_of(value)}; send a list, or texts with commas between them")
    assert one.item is not None  # noqa: S101 - for the type checker
    return [_convert(one.item, part) for part in value]


def _map(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        value = Repeated([value])
    if isinstance(value, Repeated):
        pairs = [text.partition(":") for text in value]
        if not all(colon and name.strip() for name, colon, _ in pairs):
            raise ValueError("is no map; send each entry as `name: value`")
        entries = [(name.strip(), text.strip()) for name, _, text in pairs]
    elif isinstance(value, dict):
        entries = list(value.items())
    else:
        raise ValueError("is no map; send an object of texts, or each entry as `name: value`")
    if not all(isinstance(text, str) for _, text in entries):
        raise ValueError("holds a value that is no text; send texts in quotes")
    if len(dict(entries)) < len(entries):
        raise ValueError("holds a name more than once; send each once")
    return dict(entries)


def _printable(name: str) -> str:
    """The name of a parameter as it may stand in an answer, whatever the client sent."""
    short = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return "".join(character if character.isprintable() else "\ufffd" for character in short)
