"""Each call of the API, described once: what is sent, and how the answer is read.

Invariant: a call is a value. It is made without I/O, it says itself whether it may be sent twice, and its
repr shows neither parameters nor headers, which may hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Generic, Required, TypedDict, TypeVar, cast
from uuid import uuid4

from cronally.client.answers import (
    Account,
    Cronjob,
    Explanation,
    Firing,
    Json,
    Page,
    Preview,
    read_one,
    read_page,
)
from cronally.errors import InvalidRequest
from cronally.instants import format_duration, format_iso, from_datetime
from cronally.wire import IDEMPOTENCY_KEY_HEADER, SIGNUP_TOKEN_HEADER

T = TypeVar("T")


_ID: Final = re.compile(r"[0-9A-Za-z-]{1,100}")  # wire facts: what a path parameter may hold
_HEADER_TEXT: Final = re.compile(r"[!-~]{1,255}")

Value = str | int | bool | datetime | timedelta | None
"""What a parameter may be given as; None means that it is not given."""


class CronjobParameters(TypedDict, total=False):
    """What a cron job may be given. Other parameters are passed on as they are, for newer servers."""

    timezone: str | None
    """An IANA name, as `Europe/Berlin`; `UTC` by default."""
    dst_gap: str | None
    """What becomes of a fire time whose local time is skipped: `run_at_jump`, `skip`, `shift` or `default`."""
    dst_overlap: str | None
    """When to fire at a local time that comes twice: `first`, `last`, `both` or `default`."""
    catch_up: str | None
    """`latest` (default), `all` or `skip`."""
    misfire_grace: str | timedelta | None
    """How late is still useful: `24h`, `90s`, or a timedelta in whole seconds."""
    delivery_type: str | None
    """`sns` (default) or `http`."""
    sns_topic: str | None
    sns_message: str | None
    sns_region: str | None
    sns_access_key_id: str | None
    sns_secret_access_key: str | None
    delivery_http_url: str | None
    delivery_http_method: str | None
    """`get` or `post`."""


class NewCronjob(CronjobParameters, total=False):
    """The parameters of a new cron job."""

    name: Required[str]
    cron: Required[str]
    """The expression, as `0 8 * * *`, `cron(0 10 ? * MON-FRI *)` or `@every 90s`."""


class CronjobChanges(CronjobParameters, total=False):
    """The parameters that change a cron job; None leaves what is there."""

    name: str | None
    cron: str | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A call of the API whose answer is read as a T."""

    method: str
    path: str
    read: Callable[[Json], T] = field(repr=False)
    """Reads the envelope of a success. Raises UnexpectedAnswer."""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    signed: bool = True
    repeatable: bool = False
    """Whether carrying it out twice is the same as once: it may be sent again after a cut connection."""


def signup(email: str, token: str | None = None) -> Call[Account]:
    """`POST /account/`, the only call that is not signed."""
    headers = {} if token is None else {SIGNUP_TOKEN_HEADER: _header_text("token", token)}
    return Call("POST", "/account/", _account, form={"email": email}, headers=headers, signed=False)


def account() -> Call[Account]:
    """`GET /account/`"""
    return Call("GET", "/account/", _account, repeatable=True)


def create_cronjob(parameters: Mapping[str, Value], idempotency_key: str | None = None) -> Call[Cronjob]:
    """`POST /cronjob/`, always with an Idempotency-Key, so that sending it again cannot make a second one."""
    key = str(uuid4()) if idempotency_key is None else _header_text("idempotency_key", idempotency_key)
    return Call(
        "POST",
        "/cronjob/",
        _cronjob,
        form=_texts(parameters),
        headers={IDEMPOTENCY_KEY_HEADER: key},
        repeatable=True,
    )


def cronjobs(limit: int | None = None, cursor: str | None = None) -> Call[Page[Cronjob]]:
    """`GET /cronjobs/`"""
    query = _texts({"limit": limit, "cursor": cursor})
    return Call("GET", "/cronjobs/", _cronjob_page, query=query, repeatable=True)


def cronjob(cronjob_id: str) -> Call[Cronjob]:
    """`GET /cronjob/<id>/`"""
    return Call("GET", f"/cronjob/{_id(cronjob_id)}/", _cronjob, repeatable=True)


def update_cronjob(cronjob_id: str, changes: Mapping[str, Value]) -> Call[Cronjob]:
    """`PATCH /cronjob/<id>/`; setting the same values twice is the same as once."""
    form = _texts(changes)
    if not form:
        raise InvalidRequest("nothing to change: give at least one parameter, as `name` or `cron`")
    return Call("PATCH", f"/cronjob/{_id(cronjob_id)}/", _cronjob, form=form, repeatable=True)


def delete_cronjob(cronjob_id: str) -> Call[Cronjob]:
    """`DELETE /cronjob/<id>/`; a second one is answered with 404, so it is not repeatable."""
    return Call("DELETE", f"/cronjob/{_id(cronjob_id)}/", _cronjob)


def firings(cronjob_id: str, limit: int | None = None, cursor: str | None = None) -> Call[Page[Firing]]:
    """`GET /cronjob/<id>/firings/`, newest first."""
    query = _texts({"limit": limit, "cursor": cursor})
    return Call("GET", f"/cronjob/{_id(cronjob_id)}/firings/", _firing_page, query=query, repeatable=True)


def account_firings(
    cronjob_id: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[Firing]]:
    """`GET /account/firings/`, newest first; those of a deleted cron job too."""
    query = _texts({"cronjob_id": cronjob_id, "limit": limit, "cursor": cursor})
    return Call("GET", "/account/firings/", _firing_page, query=query, repeatable=True)


def preview(parameters: Mapping[str, Value]) -> Call[Preview]:
    """`GET /schedule/preview/`, which is not signed."""
    query = _texts(parameters)
    return Call("GET", "/schedule/preview/", _preview, query=query, signed=False, repeatable=True)


def preview_cronjob(
    cronjob_id: str, after: str | datetime | None = None, count: int | None = None
) -> Call[Preview]:
    """`GET /cronjob/<id>/preview/`"""
    query = _texts({"after": after, "count": count})
    return Call("GET", f"/cronjob/{_id(cronjob_id)}/preview/", _preview, query=query, repeatable=True)


def explain(cronjob_id: str, at: str | datetime) -> Call[Explanation]:
    """`GET /cronjob/<id>/explain/`"""
    query = _texts({"at": at})
    return Call("GET", f"/cronjob/{_id(cronjob_id)}/explain/", _explanation, query=query, repeatable=True)


def given(parameters: NewCronjob | CronjobChanges) -> Mapping[str, Value]:
    """The parameters as the plain mapping that they are."""
    return cast("Mapping[str, Value]", parameters)


def _account(envelope: Json) -> Account:
    return read_one(Account, envelope)


def _cronjob(envelope: Json) -> Cronjob:
    return read_one(Cronjob, envelope)


def _cronjob_page(envelope: Json) -> Page[Cronjob]:
    return read_page(Cronjob, envelope)


def _firing_page(envelope: Json) -> Page[Firing]:
    return read_page(Firing, envelope)


def _preview(envelope: Json) -> Preview:
    return read_one(Preview, envelope)


def _explanation(envelope: Json) -> Explanation:
    return read_one(Explanation, envelope)


def _id(cronjob_id: str) -> str:
    """Refuse here what would become another path."""
    if not _ID.fullmatch(cronjob_id):
        raise InvalidRequest(fields={"cronjob_id": "an id has only letters, digits and `-`"})
    return cronjob_id


def _header_text(name: str, text: str) -> str:
    if not _HEADER_TEXT.fullmatch(text):
        raise InvalidRequest(fields={name: "1 to 255 visible ASCII characters, without spaces"})
    return text


def _texts(parameters: Mapping[str, Value]) -> dict[str, str]:
    """The parameters that are given, as the wire facts write them."""
    return {name: _text(name, value) for name, value in parameters.items() if value is not None}


def _text(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        try:
            return format_iso(from_datetime(value))
        except ValueError as error:
            raise InvalidRequest(fields={name: str(error)}) from None
    if isinstance(value, timedelta):
        try:
            return format_duration(value // timedelta(microseconds=1))
        except ValueError as error:
            raise InvalidRequest(fields={name: str(error)}) from None
    return str(value)
