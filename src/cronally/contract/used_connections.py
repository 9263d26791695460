"""The connection that a cron job uses: how it is named, what it stands in for, and how it is shown.

Invariant: what a connection stands in for of a target is decided here: a cron job that uses one has no such parameters
of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.connections import HEALTH, NAME_FORM, Health, Kind
from cronally.contract.targets import TARGETS, parameters_of
from cronally.contract.values import Uuid, is_uuid
from cronally.contract.writing import Answer

_AS_OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "sns": {
        "sns_access_key_id": "aws_access_key_id",
        "sns_secret_access_key": "aws_secret_access_key",
    }
}
"""Of a target with names of its own: by what it calls what a connection holds."""
_AWS_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def kind_for(target: str) -> Kind | None:
    """The kind of the connections that a target can use; None if it uses none."""
    if target == Kind.HTTP:
        return Kind.HTTP
    return Kind.AWS if given(target) else None


def given(target: str) -> Mapping[str, str]:
    """What of a target's parameters a connection stands in for, and what the connection calls it."""
    if target in _AS_OWN:
        return _AS_OWN[target]
    known = parameters_of(target) if target in TARGETS else {}
    return {name: name for name in _AWS_KEYS if name in known}


def check_meant(text: str) -> str:
    """The name or the id of a connection, by its form alone."""
    if not NAME_FORM.fullmatch(text):
        raise ValueError("is neither the name nor the id of a connection; GET /connections/ lists them")
    return text.lower() if is_uuid(text.lower()) else text


Used = Annotated[
    str,
    Attribute(
        "The connection that it uses, by name or id: its credentials are in place of"
        f" {' and '.join(_AS_OWN['sns'])}, or it calls a URL below base_url; by default it uses none",
        "the name or the id of a connection, or default for none",
        example="billing",
        default=DEFAULT,
        check=check_meant,
        min_length=1,
        max_length=64,
    ),
]
WantedConnection = Annotated[
    str,
    Attribute(
        "Only those that use this connection, by name or id",
        "the name or the id of a connection",
        check=check_meant,
        min_length=1,
        max_length=64,
    ),
]


@dataclass(frozen=True, kw_only=True)
class UsedConnection(Answer):
    """The connection that a cron job uses."""

    connection_id: Uuid
    name: Annotated[str, Attribute("What it is called", example="billing")]
    health: Annotated[str | Health, HEALTH] = Health.OK
