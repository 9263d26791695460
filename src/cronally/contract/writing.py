"""Answers to JSON and back: the server writes them, the client reads them, both from the same declarations.

Invariant: a newer server does not break an older client. Keys that the client does not know are kept in `extra`, and a
text that is none of the known ones (a new state, a new reason) stays a text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar, TypeVar, cast

from cronally.contract.attribute import Declared, declared
from cronally.errors import UnexpectedAnswer
from cronally.instants import format_duration, parse_iso, to_datetime

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The base of all answers."""

    extra: ClassVar[Mapping[str, Any]] = {}
    """Of an answer that the client read: the keys that it does not know."""


A = TypeVar("A", bound=Answer)


def to_json(answer: Answer, only: Collection[str] | None = None) -> Json:
    """The object of JSON that an answer is. Keys without a value are null, or absent where that is declared.

    :param only: the keys that are wanted; None: all
    """
    # Most attributes are written as they are: the others alone are looked at.
    written = dict(vars(answer))
    if only is not None:
        written = {name: value for name, value in written.items() if name in only}
    for name, write, absent in _writers(cast(Hashable, type(answer))):
        if only is not None and name not in only:
            continue
        value = written[name]
        if value is None:
            if absent:
                del written[name]
        elif write is not None:
            written[name] = write(value)
    written.pop("extra", None)
    return written


def from_json(kind: type[T], value: object) -> T:
    """The answer that an object of JSON is. Raises UnexpectedAnswer for what is none."""
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"the server's answer holds no {kind.__name__.lower()}; check the URL")
    extra = dict(value)
    known: dict[str, Any] = {}
    for name, read, required in _readers(cast(Hashable, kind)):
        found = extra.pop(name, None)
        if found is not None:
            known[name] = found if read is None else read(found)
        elif required:
            raise UnexpectedAnswer(f"the server's answer holds no `{name}`; check the URL")
    make: Callable[..., T] = kind
    answer = make(**known)
    object.__setattr__(answer, "extra", extra)
    return answer


def make_answer(kind: type[A], source: object, **values: Any) -> A:
    """An answer: with these values, and of the other attributes those that `source` has, by name.

    :param source: a dataclass or a named tuple; its instants are microseconds since 1970 in UTC
    """
    copied = {
        name: value if convert is None or value is None else convert(value)
        for name, convert in _copied(cast(Hashable, kind), cast(Hashable, type(source)))
        if name not in values
        for value in (getattr(source, name),)
    }
    return kind(**copied, **values)


@cache
def _copied(kind: Any, source: Any) -> list[tuple[str, Callable[[Any], Any] | None]]:
    """The attributes that both have, and how their values are converted."""
    names: Collection[str] = getattr(source, "__dataclass_fields__", ()) or getattr(source, "_fields", ())
    return [
        (name, to_datetime if one.type is datetime else None)
        for name, one in declared(kind).items()
        if name in names
    ]


def shown(one: Declared, stored: Any) -> Any:
    """A stored value as an answer holds it.

    :param one: the attribute by whose type it was read from a request
    """
    if one.type is timedelta:
        return format_duration(stored)
    return to_datetime(stored) if one.type is datetime else stored


@cache
def _writers(kind: Any) -> list[tuple[str, Callable[[Any], Any] | None, bool]]:
    """The attributes that are converted, or absent where there is no value."""
    found = [(one.name, _writer(one), one.attribute.absent) for one in declared(kind).values()]
    return [(name, write, absent) for name, write, absent in found if write is not None or absent]


def _writer(one: Declared) -> Callable[[Any], Any] | None:
    if one.type is datetime:
        return _write_instant
    if one.item is not None and (write := _writer(one.item)) is not None:
        return lambda values: [write(value) for value in values]
    return to_json if is_dataclass(one.type) else None


def _write_instant(moment: datetime) -> str:
    return moment.isoformat()[:-6] + "Z"  # an instant of an answer is in UTC: `+00:00`


@cache
def _readers(kind: Any) -> list[tuple[str, Callable[[Any], Any] | None, bool]]:
    optional = {one.name for one in fields(kind) if one.default is not MISSING}
    return [(one.name, _reader(one), one.name not in optional) for one in declared(kind).values()]


def _reader(one: Declared) -> Callable[[Any], Any] | None:
    if one.type is datetime:
        return lambda value: _read_instant(one.name, value)
    if one.item is not None:
        item = one.item
        if one.attribute.one_or_more:
            return lambda value: value if isinstance(value, str) else _read_list(item, value)
        return lambda value: _read_list(item, value)
    if is_dataclass(one.type):
        kind: type = one.type  # type: ignore[assignment]
        return lambda value: from_json(kind, value)
    return None


def _read_instant(name: str, value: Any) -> datetime:
    try:
        return to_datetime(parse_iso(value))
    except (TypeError, ValueError):
        raise UnexpectedAnswer(f"`{name}` in the server's answer is no instant") from None


def _read_list(one: Declared, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise UnexpectedAnswer(f"`{one.name}` in the server's answer is no list")
    read = _reader(one)
    return tuple(value if read is None else [read(item) for item in value])
