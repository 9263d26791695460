"""Tags: words and pairs of a key and a value by which a tenant groups cron jobs.

Invariant: pure. A tag holds no quote, comma, space or `*`: it stands as it is in a query, in a list with commas and in
JSON, and one that ends with `=*` is none, but asks for all that begin so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from cronally.contract.attribute import Attribute

MAX_TAGS: Final = 20
MAX_KEY: Final = 64
MAX_VALUE: Final = 128
ANY: Final = "=*"
"""What a filter ends with that asks for any value of a key."""

_LETTERS: Final = "[0-9A-Za-z_.:/-]"
_KEY: Final = f"{_LETTERS}{{1,{MAX_KEY}}}"
_TAG: Final = re.compile(f"{_KEY}(?:={_LETTERS}{{1,{MAX_VALUE}}})?")
_WANTED: Final = re.compile(rf"{_TAG.pattern}|{_KEY}=\*")
_FORM: Final = (
    f"a word or key=value of letters, digits and -_.:/, {MAX_KEY} characters in a word or a key and {MAX_VALUE} in a"
    " value at most"
)


def check_tags(tags: Sequence[str]) -> list[str]:
    """The tags of a cron job, sorted."""
    if not all(map(_TAG.fullmatch, tags)):
        raise ValueError(f"holds what is no tag; give {_FORM}")
    if len({tag.partition("=")[0] for tag in tags}) < len(tags):
        raise ValueError("holds a word or a key more than once; send each once, with one value")
    return sorted(tags)


def check_wanted(tags: Sequence[str]) -> list[str]:
    """The tags by which a list is filtered, sorted, each once."""
    if not all(map(_WANTED.fullmatch, tags)):
        raise ValueError(f"holds what is no tag; give {_FORM}; key{ANY} stands for any value")
    return sorted(set(tags))


Tags = Annotated[
    list[str],
    Attribute(
        f"What it is grouped by: up to {MAX_TAGS} words or key=value, of letters, digits and -_.:/; a change replaces"
        " all of them, and an empty text takes them away",
        _FORM,
        example=["env=prod", "web"],
        check=check_tags,
        max_length=MAX_TAGS,
        may_be_empty=True,
        also="tag",
    ),
]
WantedTags = Annotated[
    list[str],
    Attribute(
        f"Only those with this tag, or with each of several; key{ANY} stands for any value of the key",
        "a tag, or several",
        example=["env=prod"],
        check=check_wanted,
        min_length=1,
        max_length=MAX_TAGS,
    ),
]
