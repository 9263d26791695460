"""The audit log on the wire: who did what in an account, when, and what that changed.

Invariant: a row holds no secret, only digests. Its hash is computed from what is shown of it (`audit_chain`), so
whoever reads a log can check it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, TypedDict

from cronally.audit_chain import Change, Ends, Entry, Row, Who
from cronally.contract.attribute import Attribute
from cronally.contract.values import AN_INSTANT, EXAMPLE_INSTANT, Cursor, Limit, check_cronjob_id, is_uuid
from cronally.contract.writing import Answer
from cronally.instants import from_datetime

_HASH: Final = "f6b9f0c3f3f4f0f6a3a3c1d0a1e2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4"


class Action(StrEnum):
    """What is done. A new one is added at the end."""

    ACCOUNT_CREATE = "account.create"
    ACCOUNT_UPDATE = "account.update"
    CALENDAR_PUT = "calendar.put"
    CALENDAR_DELETE = "calendar.delete"
    CONNECTION_CREATE = "connection.create"
    CONNECTION_UPDATE = "connection.update"
    CONNECTION_DELETE = "connection.delete"
    CONNECTION_VERIFY = "connection.verify"
    CRONJOB_CREATE = "cronjob.create"
    CRONJOB_UPDATE = "cronjob.update"
    CRONJOB_PAUSE = "cronjob.pause"
    CRONJOB_RESUME = "cronjob.resume"
    CRONJOB_RUN = "cronjob.run"
    CRONJOB_DELETE = "cronjob.delete"
    CRONJOB_STATE = "cronjob.state"
    """The server itself has completed, resumed, set aside or deleted a cron job."""
    FIRING_REPLAY = "firing.replay"
    FIRING_DISCARD = "firing.discard"
    FREEZE_CREATE = "freeze.create"
    FREEZE_LIFT = "freeze.lift"
    HOST_ADD = "host.add"
    HOST_VERIFY = "host.verify"
    HOST_REMOVE = "host.remove"
    OPERATION_START = "operation.start"
    OPERATION_CANCEL = "operation.cancel"
    OPERATION_END = "operation.end"
    REQUEST_REFUSED = "request.refused"
    """Requests that were not signed as they should be, or not allowed: one row for repeats."""
    CONNECTION_HEALTH = "connection.health"
    """The credentials of a connection were refused, or are accepted again."""
    KEY_CREATE = "key.create"
    KEY_UPDATE = "key.update"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    ACCOUNT_CONFIRM = "account.confirm"
    """The address of the account was shown to be its owner's."""
    ACCOUNT_RECOVER = "account.recover"
    """The account got a new API key by its address."""
    ACCOUNT_EMAIL = "account.email"
    """Another address was asked for, confirmed, agreed to or refused."""
    CHANNEL_CREATE = "channel.create"
    CHANNEL_UPDATE = "channel.update"
    CHANNEL_CONFIRM = "channel.confirm"
    CHANNEL_DELETE = "channel.delete"
    RULE_CREATE = "rule.create"
    RULE_UPDATE = "rule.update"
    RULE_DELETE = "rule.delete"


_ACTIONS: Final = frozenset(Action)


def check_action(text: str) -> str:
    """An action, by its name."""
    if text not in _ACTIONS:
        raise ValueError(f"is no action; there are {', '.join(Action)}")
    return text


def _one_of(*known: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in known:
            raise ValueError(f"is none of {', '.join(known)}")
        return text

    return check


def check_key(text: str) -> str:
    """An API key, by its form alone."""
    if not is_uuid(text):
        raise ValueError("is no API key, which is a UUID in lower case")
    return text


class AuditFilters(TypedDict, total=False):
    """Which rows of the log are meant: those for which all of it holds. A filter has no default."""

    since: Annotated[
        str | datetime,
        Attribute("Only what was done at this instant or later", AN_INSTANT, example=EXAMPLE_INSTANT),
    ]
    until: Annotated[
        str | datetime,
        Attribute("Only what was done before this instant", AN_INSTANT, example=EXAMPLE_INSTANT),
    ]
    action: Annotated[
        str,
        Attribute(
            "Only this action",
            "an action, such as cronjob.update",
            example=Action.CRONJOB_UPDATE.value,
            check=check_action,
        ),
    ]
    who: Annotated[
        str,
        Attribute("Only what these did", f"one of {', '.join(Who)}", example="key", check=_one_of(*Who)),
    ]
    cronjob_id: Annotated[
        str,
        Attribute(
            "Only what concerns this cron job, deleted or not", "an id", format="uuid", check=check_cronjob_id
        ),
    ]
    api_key: Annotated[
        str, Attribute("Only what was done with this API key", "an API key", format="uuid", check=check_key)
    ]


class AuditPage(AuditFilters, total=False):
    """Which rows of the log are listed, newest first."""

    limit: Limit
    cursor: Cursor


@dataclass(frozen=True, kw_only=True)
class AuditChange(Answer):
    """One thing that was changed. What is no text stands here as JSON, a secret as its digest."""

    name: Annotated[str, Attribute("What was changed", example="timezone")]
    before: Annotated[str | None, Attribute("What it was; null: there was none", example="UTC")] = None
    after: Annotated[str | None, Attribute("What it is since; null: there is none", example="Asia/Tokyo")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class AuditRow(Answer):
    """What was done, by whom and when."""

    number: Annotated[int, Attribute("1, 2, 3, ... in each account, without a gap", minimum=1)]
    at: Annotated[datetime, Attribute("When it was done", example=EXAMPLE_INSTANT)]
    who: Annotated[
        str,
        Attribute(
            "Who did it: `key`, somebody with an API key; `server`, the server by itself, or for an operation in the"
            " background; `operator`, who runs the server",
            example="key",
        ),
    ]
    api_key: Annotated[str | None, Attribute("The API key it was done with, if any", format="uuid")] = None
    address: Annotated[str | None, Attribute("The client's address", example="203.0.113.7")] = None
    request_id: Annotated[
        str | None,
        Attribute(
            "The `X-Request-Id` of the answer, or the id of the operation in the background", example="r"
        ),
    ] = None
    action: Annotated[str, Attribute("What was done", example=Action.CRONJOB_UPDATE.value)]
    subject: Annotated[str, Attribute("To what: cronjob, connection, ...", example="cronjob")]
    subject_id: Annotated[
        str | None, Attribute("Its id, or its name or fire time where it has none", example="holidays")
    ] = None
    cronjob_id: Annotated[
        str | None, Attribute("The cron job that it concerns, if it is one", format="uuid")
    ] = None
    count: Annotated[int, Attribute("How often, where one row stands for repeats", minimum=1)]
    changes: Annotated[
        tuple[Annotated[AuditChange, Attribute("One thing that was changed")], ...],
        Attribute("What was changed by it, or what is to be said of it"),
    ]
    previous: Annotated[str, Attribute("The hash of the row before", example=_HASH)]
    hash: Annotated[str, Attribute("Its own hash, which covers all of it and `previous`", example=_HASH)]

    def as_row(self) -> Row:
        """The row that the answer shows, to be checked. Whose it is does not stand in it."""
        entry = Entry(
            "",
            from_datetime(self.at),
            Who(self.who),
            self.action,
            self.subject,
            self.subject_id,
            tuple(Change(one.name, one.before, one.after) for one in self.changes),
            self.cronjob_id,
            self.api_key,
            self.address,
            self.request_id,
            self.count,
        )
        return Row(self.number, entry, self.previous, self.hash)


@dataclass(frozen=True, kw_only=True)
class AuditEnds(Answer):
    """Where the log of the account begins and ends."""

    number: Annotated[int, Attribute("The number of the newest row; 0: there was none yet", minimum=0)]
    hash: Annotated[
        str, Attribute("Its hash: who keeps it can check later that all rows are there", example=_HASH)
    ]
    anchor_number: Annotated[
        int, Attribute("The number of the last row that is not kept any more; 0: all are kept", minimum=0)
    ]
    anchor: Annotated[str, Attribute("Its hash, which the oldest row that is kept follows", example=_HASH)]

    def as_ends(self) -> Ends:
        """The ends, to be checked."""
        return Ends(self.anchor_number, self.anchor, self.number, self.hash)
