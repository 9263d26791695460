"""What the audit log tells of a row: its columns before and after something was done to it.

Invariant: of each subject every column is told but those that are named here, which the server moves by itself or which
say what the log says anyway: a new column is told without a line here. Reads the rows of one account alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, bindparam, select

from cronally.cronjob import read_object
from cronally.instants import format_iso
from cronally.store import accounts, cronjobs, tables
from cronally.store.types import Id


class Subject(StrEnum):
    """What something is done to."""

    ACCOUNT = "account"
    API_KEY = "api_key"
    CALENDAR = "calendar"
    CHANNEL = "channel"
    CONNECTION = "connection"
    CRONJOB = "cronjob"
    FIRING = "firing"
    FREEZE = "freeze"
    HOST = "host"
    OPERATION = "operation"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a row."""

    texts: Mapping[str, str]
    """By name; what is NULL is left out. Instants as the API writes them, what is no text as JSON."""
    secret: bytes | None = None
    """What is sealed beside them."""


@dataclass(frozen=True)
class _Rows:
    """The rows of one kind of subject."""

    table: Table
    key: str
    untold: frozenset[str]
    objects: frozenset[str] = frozenset()
    """Columns of JSON objects: each member is told by itself."""


_CHANGED: Final = frozenset({"version", "created_at", "updated_at", "updated_by", "size"})
_ROWS: Final[Mapping[Subject, _Rows]] = {
    Subject.ACCOUNT: _Rows(tables.account, "account_id", frozenset({"email_key", "created_at", "paced_at"})),
    Subject.API_KEY: _Rows(
        tables.api_key, "api_key", frozenset({"secret", "created_at", "created_by", "last_used_at"})
    ),
    Subject.CALENDAR: _Rows(tables.calendar, "name", _CHANGED | {"count"}),
    Subject.CHANNEL: _Rows(
        tables.channel,
        "channel_id",
        _CHANGED | {"token_digest", "token_until", "delivered_at", "unhealthy_since", "unhealthy_detail"},
        frozenset({"parameters"}),
    ),
    Subject.CONNECTION: _Rows(
        tables.connection,
        "connection_id",
        _CHANGED
        | {"last_used_at", "unhealthy_detail", "probe_at", "probes", "probe", "probed", "release_at"},
        frozenset({"parameters"}),
    ),
    Subject.CRONJOB: _Rows(
        tables.cronjob,
        "cronjob_id",
        _CHANGED
        | {"settled_at", "next_fire_at", "tzdata", "turn", "purge_at", "paused_by", "wake_at", "fired"},
        frozenset({"policies", "destination"}),
    ),
    Subject.FREEZE: _Rows(tables.freeze, "freeze_id", frozenset({"created_at", "created_by", "lifted_by"})),
    Subject.HOST: _Rows(
        tables.host_proof, "host", frozenset({"path", "text", "created_at", "looked_at", "look_at"})
    ),
    Subject.OPERATION: _Rows(
        tables.operation,
        "operation_id",
        frozenset(
            {
                *("created_by", "created_at", "updated_at", "finished_at", "cursor", "problems"),
                *("leased_until", "lease_no"),
            }
        ),
        frozenset({"parameters"}),
    ),
    Subject.RULE: _Rows(
        tables.rule,
        "rule_id",
        frozenset({"created_at", "updated_at", "updated_by"}),
        frozenset({"settings"}),
    ),
}
_SEALED: Final = "secret"
_INSTANTS: Final = ("_at", "_since", "until")
"""How the names of columns end that hold instants."""


def lock_and_read(connection: Connection, subject: Subject, account_id: str, subject_id: str) -> Told | None:
    """What is told of a row that is about to change, under the lock that changes take; None where there is none."""
    if subject == Subject.CRONJOB:
        cronjobs.lock_cronjob(connection, account_id, subject_id)
    else:
        accounts.lock_account(connection, account_id)
    return read_told(connection, subject, account_id, subject_id)


def read_told(connection: Connection, subject: Subject, account_id: str, subject_id: str) -> Told | None:
    """What is told of a row; None where there is none, or it is deleted."""
    parameters = {"account": account_id, "subject": subject_id}
    row = connection.execute(_select(subject), parameters).mappings().one_or_none()
    if row is None or row.get("state") == "deleted":
        return None
    told: dict[str, str] = {}
    for name, value in row.items():
        if name in _ROWS[subject].objects:
            # What another version has stored may be none.
            members = read_object(value)
            if members is None:
                told[name] = value
            else:
                told |= {member: _text(member, each) for member, each in members.items() if each is not None}
        elif value is not None and name != _SEALED:
            told[name] = _text(name, value)
    return Told(told, row.get(_SEALED))


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if type(value) is int and name.endswith(_INSTANTS):
        return format_iso(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


@cache
def _select(subject: Subject) -> Select[Any]:
    rows = _ROWS[subject]
    table, key = rows.table, rows.table.c[rows.key]
    told = [one for one in table.c if one.name not in {"account_id", rows.key, *rows.untold}]
    return select(*told).where(
        table.c.account_id == bindparam("account", type_=Id()), key == bindparam("subject", type_=key.type)
    )
