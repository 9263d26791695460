"""What lists of cron jobs and of firings are filtered and sorted by, and what is shown of each.

Invariant: pure. A filter has no default; where several are sent, all of them hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, TypedDict, get_args

from cronally.contract.attribute import Attribute, declared
from cronally.contract.tags import WantedTags
from cronally.contract.targets import TARGETS, TargetName
from cronally.contract.used_connections import WantedConnection
from cronally.contract.values import (
    AN_INSTANT,
    EXAMPLE_INSTANT,
    ID_PREFIX,
    MAX_NAME,
    Cursor,
    Limit,
    check_id_prefix,
    check_name,
)

_Order = Literal["created", "-created", "name", "-name", "next_fire", "-next_fire", "updated", "-updated"]
CREATED: Final = "created"
"""The order that holds where none is sent: oldest first."""


class CronjobFilters(TypedDict, total=False):
    """Which cron jobs are listed: those with this name, these policies. A filter has no default."""

    name: Annotated[str, Attribute("Only those of exactly this name", "a name", check=check_name)]
    id_prefix: Annotated[
        str,
        Attribute(
            "Only those whose id begins so",
            "the beginning of an id",
            example="0b7e",
            check=check_id_prefix,
            pattern=f"^{ID_PREFIX}$",
            min_length=1,
            max_length=36,
        ),
    ]
    state: Annotated[
        Literal["active", "paused", "completed"],
        Attribute("Only those in this state", "one of active, paused, completed"),
    ]
    health: Annotated[
        Literal["ok", "failing", "late", "new"],
        Attribute("Only those whose last firings say so", "one of ok, failing, late, new"),
    ]
    tag: WantedTags
    connection: WantedConnection
    name_prefix: Annotated[
        str,
        Attribute(
            "Only those whose name begins so",
            "the beginning of a name",
            check=check_name,
            min_length=1,
            max_length=MAX_NAME,
        ),
    ]
    delivery_type: Annotated[
        TargetName,
        Attribute("Only those whose firings go there", f"one of {', '.join(TARGETS)}"),
    ]
    next_fire_from: Annotated[
        str | datetime,
        Attribute(
            "Only those whose next fire time is this instant or later", AN_INSTANT, example=EXAMPLE_INSTANT
        ),
    ]
    next_fire_until: Annotated[
        str | datetime,
        Attribute(
            "Only those whose next fire time is before this instant", AN_INSTANT, example=EXAMPLE_INSTANT
        ),
    ]


class Sorted(TypedDict, total=False):
    """In which order cron jobs are listed."""

    sort: Annotated[
        _Order,
        Attribute(
            "By what they are sorted, with - in front downwards; created by default. Those without a next fire time"
            " come last",
            f"one of {', '.join(get_args(_Order))}",
        ),
    ]


class CronjobList(CronjobFilters, Sorted, total=False):
    """Which cron jobs are listed, and in which order."""


class CronjobPage(CronjobList, total=False):
    """Which cron jobs are listed: all of them without a limit and a cursor."""

    limit: Limit
    cursor: Cursor
    counts: Annotated[
        bool,
        Attribute(
            "Whether each comes with counts_24h and counts_7d; that takes a while: each is counted by itself",
            "true or false",
        ),
    ]


def fields_of(kind: type, own_id: str) -> Attribute:
    """The attribute that says which keys of an answer are wanted. Its value has the id too.

    :param kind: a dataclass of the contract
    :param own_id: the key that is always there
    """
    known = declared(kind)

    def check(names: Sequence[str]) -> frozenset[str]:
        if not known.keys() >= set(names):
            raise ValueError(f"holds what is no key of the answer; there are {', '.join(known)}")
        return frozenset({*names, own_id})

    return Attribute(
        f"Only these keys of each, and {own_id}",
        "names of keys, with commas between them",
        example=[name for name in ("name", "scheduled_at", "state") if name in known],
        check=check,
        min_length=1,
        max_length=len(known),
    )
