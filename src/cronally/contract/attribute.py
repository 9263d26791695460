"""An attribute of a request or of an answer: what is declared about it, and how the declarations are read.

Invariant: this is the only module that looks at type hints. A declared type decides how a value is written:

- `str`, or a `Literal` or enum of texts: a text;
- `int`: a whole number; `bool`: true or false;
- `datetime`: an instant, ISO 8601 in UTC; `timedelta`: a duration such as `15m`;
- `list[...]` or `tuple[..., ...]`: a list, or where it is `one_or_more` its only text alone; `dict[str, str]`: a map
  from names to texts;
- a dataclass of the contract: an object.

A type may have alternatives that only the client takes (`str | datetime`); what crosses the wire is the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

from cronally.instants import format_duration

DEFAULT: Final = "default"
"""The value of a policy that follows a rule without a value, as when it is not sent."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """What is declared about an attribute. What a limit counts depends on the type: characters, items, units."""

    description: str
    expected: str = ""
    """What to send, as the end of "is missing or empty; give ..."."""
    example: object = field(default=None, hash=False)
    default: object = None
    """What holds where a request does not have it; of a duration in microseconds."""
    check: Callable[[Any], Any] | None = None
    """Returns the value to use. Raises ValueError with a complaint that begins with a verb, or InvalidExpression."""
    minimum: int | None = None
    maximum: int | None = None
    """Of whole numbers; of durations in microseconds. Both included."""
    min_length: int | None = None
    max_length: int | None = None
    """Of texts in characters, of lists and maps in items."""
    may_be_empty: bool = False
    """Of a list, a map or what a target works without: whether an empty text takes away what a change finds."""
    max_bytes: int | None = None
    """Of a text in UTF-8."""
    any_case: bool = False
    """Of a choice: whether capitals are taken too."""
    pattern: str | None = None
    """A regular expression for readers of the OpenAPI document; `check` enforces it."""
    format: str | None = None
    """The name of the form in JSON Schema."""
    secret: bool = False
    """Whether it is sealed at rest and never in an answer or a log."""
    hide: Callable[[str, Mapping[str, Any]], str] | None = None
    """Of a text that may hold secrets: returns it as it may be shown, given the values beside it. Where that is another
    text, the text is sealed at rest."""
    goes_with: str | None = None
    """Of what is sealed: the attribute that cannot change without it."""
    template: bool | str = False
    """Of a text, or of the texts of a map: whether it may hold placeholders (`templates`); `url` or `header`
    for what the text is."""
    file: bool = False
    """Whether the CLI can read it from a file."""
    lines: bool = False
    """Of a secret text: whether it has several lines, as PEM has."""
    optional: bool = False
    """Of a parameter of a target: whether the target works without it."""
    together: bool = False
    """Of a parameter of a target: whether a change gives all of its target's that are so, since they are checked
    together."""
    also: str | None = None
    """Another name that a request may have it under."""
    one_or_more: bool = False
    """Of a list of texts: whether one of them may stand alone, and is shown alone; there may be commas in them."""
    absent: bool = False
    """Of an answer: whether the key is left out, rather than null, where there is no value."""


@dataclass(frozen=True, slots=True)
class Declared:
    """An attribute with its name and its type."""

    name: str
    type: Any
    """Without `None`, `Annotated` and the alternatives for the client."""
    nullable: bool
    required: bool
    """Whether a request must have it."""
    attribute: Attribute

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that it may be, where there are only a few."""
        if get_origin(self.type) is Literal:
            return get_args(self.type)
        if isinstance(self.type, type) and issubclass(self.type, Enum):
            return tuple(str(member.value) for member in self.type)
        return ()

    @property
    def written_default(self) -> object:
        """The default as JSON would have it."""
        default = self.attribute.default
        if self.type is timedelta and isinstance(default, int):
            return format_duration(default)
        return default

    @property
    def default_text(self) -> str | None:
        """The default as a form would send it."""
        default = self.written_default
        if isinstance(default, bool):
            return str(default).lower()
        return None if default is None else str(default)

    @property
    def item(self) -> Declared | None:
        """What a list holds."""
        if get_origin(self.type) not in (list, tuple):
            return None
        type_, nullable, attribute = _unwrap(get_args(self.type)[0])
        about = attribute or Attribute(self.attribute.description, self.attribute.expected)
        return Declared(self.name, type_, nullable, False, about)

    @property
    def may_be_default(self) -> bool:
        """Whether it may be the word `default`, beside what its type says."""
        return self.attribute.default == DEFAULT and not self.choices

    @property
    def is_text(self) -> bool:
        """Whether it is written as a text in JSON too."""
        return self.type in (str, datetime, timedelta) or bool(self.choices) or self.attribute.one_or_more


def declared(kind: type) -> Mapping[str, Declared]:
    """The attributes of a request or an answer by name, in the order of their declaration."""
    return _declared(cast(Hashable, kind))


@cache
def _declared(kind: Any) -> Mapping[str, Declared]:
    required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        type_, nullable, attribute = _unwrap(hint)
        if attribute is not None:
            found[name] = Declared(name, type_, nullable, name in required, attribute)
        elif is_dataclass(type_):
            raise TypeError(f"{kind.__name__}.{name} has no Attribute")
    return found


def _unwrap(hint: Any) -> tuple[Any, bool, Attribute | None]:
    """The type, whether it may be null, and the outermost `Attribute` of a type hint."""
    attribute: Attribute | None = None
    nullable = False
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            found = [part for part in hint.__metadata__ if isinstance(part, Attribute)]
            attribute = attribute or (found[-1] if found else None)
            hint = hint.__origin__
        elif origin in (Union, UnionType):
            parts = [part for part in get_args(hint) if part is not NoneType]
            nullable = nullable or len(parts) < len(get_args(hint))
            hint = parts[-1]
        else:
            return hint, nullable, attribute
