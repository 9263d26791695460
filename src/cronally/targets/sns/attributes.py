"""The message attributes that a cron job adds of its own, beside those of its firings.

Invariant: pure. What `parse_attributes` returns SNS takes, by its documented rules: names, types and values. Numbers
keep the text that they were written with. No complaint repeats a value.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html,
https://docs.aws.amazon.com/sns/latest/api/API_MessageAttributeValue.html
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple, NoReturn

MAX_ATTRIBUTES: Final = 20
RAW_DELIVERY: Final = 10
"""Attributes that a message may have where SNS hands it to SQS raw; SNS discards one with more."""
PREFIX: Final = "cronally-"
"""What the attributes of firings begin with, and no other may."""

_NAME: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{0,254}[A-Za-z0-9_-])?")
_OF_AWS: Final = re.compile(r"aws\.|amazon\.", re.IGNORECASE)
_SHOWN: Final = 40
_MAX_DIGITS: Final = 38
_EXAMPLE: Final = '{"kind": "report", "copies": 2, "to": ["ann", "bob"]}'
_UNFIT: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class OwnAttribute(NamedTuple):
    """One attribute, as SNS has it."""

    name: str
    kind: str
    """`String`, `Number` or `String.Array`."""
    value: str

    @property
    def size(self) -> int:
        """Bytes, as SNS counts them."""
        return len(self.name) + len(self.kind) + len(self.value.encode())


class _Number(str):
    """A number, as it was written."""

    __slots__ = ()


def parse_attributes(text: str) -> list[OwnAttribute]:
    """The attributes in a JSON object of names and values. Raises ValueError with the end of a sentence."""
    try:
        read = json.loads(
            text,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_repeats,
        )
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"is no JSON; give an object like {_EXAMPLE}") from None
    if not isinstance(read, dict):
        raise ValueError(f"is no JSON object; give one like {_EXAMPLE}")
    if len(read) > MAX_ATTRIBUTES:
        raise ValueError(f"has {len(read):,} attributes; give {MAX_ATTRIBUTES} at most")
    return [_attribute(name, value) for name, value in read.items()]


def _attribute(name: str, value: Any) -> OwnAttribute:
    if not _NAME.fullmatch(name) or _OF_AWS.match(name):
        raise ValueError(
            f"has the name {_shown(name)}, which SNS refuses: it has 1 to 256 letters, digits and _ - . in it, no dot"
            " at an end or beside another, and does not begin with AWS. or Amazon."
        )
    if name.lower().startswith(PREFIX):
        raise ValueError(f"has the name {_shown(name)}; names that begin with {PREFIX} are those of firings")
    if isinstance(value, _Number):
        if sum(character.isdigit() for character in value) > _MAX_DIGITS or len(value) > 2 * _MAX_DIGITS:
            raise ValueError(f"has a number at {_shown(name)} of more than {_MAX_DIGITS} digits; give a text")
        return OwnAttribute(name, "Number", str(value))
    if isinstance(value, str):
        if not value or _UNFIT.search(value):
            raise ValueError(
                f"has an empty text at {_shown(name)}, or one with a character that SNS refuses; give another"
            )
        return OwnAttribute(name, "String", value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        if any(_UNFIT.search(item) for item in value):
            raise ValueError(f"has a text at {_shown(name)} with a character that SNS refuses; remove it")
        items = ",".join(
            str(item) if isinstance(item, _Number) else json.dumps(item, ensure_ascii=False) for item in value
        )
        return OwnAttribute(name, "String.Array", f"[{items}]")
    raise ValueError(
        f"has a value at {_shown(name)} that is neither a text, a number nor a list of these; give one of them"
    )


def _shown(name: str) -> str:
    """A name, cut, as a complaint may hold it."""
    cut = name if len(name) <= _SHOWN else name[:_SHOWN] + "..."
    return json.dumps(cut)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError("holds NaN or Infinity, which are no JSON; give a number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("holds a name more than once; give each once")
    return found
