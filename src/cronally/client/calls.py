"""Each call of the API, described once: what is sent, and how the answer is read.

Invariant: a call is a value. It is made without I/O, it says itself whether it may be sent twice, and its
repr shows neither parameters nor headers, which may hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

from cronally.clock.dates import NAME
from cronally.contract.accounts import Account, DeletedAccount
from cronally.contract.alert_rules import AlertRule
from cronally.contract.alerts import Alert
from cronally.contract.attribute import declared
from cronally.contract.audit import AuditEnds, AuditRow
from cronally.contract.bulk import Selection
from cronally.contract.calendars import Calendar
from cronally.contract.channels import NAME_FORM as CHANNEL_FORM
from cronally.contract.channels import Channel
from cronally.contract.connection_requests import ConnectionChange
from cronally.contract.connections import NAME_FORM, Connection, ConnectionVerification
from cronally.contract.cronjob_requests import CronjobChange
from cronally.contract.cronjobs import Cronjob
from cronally.contract.dead_letters import Discarded
from cronally.contract.firings import Firing
from cronally.contract.forecasts import Forecast
from cronally.contract.freezes import Freeze
from cronally.contract.hosts import PATH_FORM, Host
from cronally.contract.keys import Key, KeyChange
from cronally.contract.mailed_links import PATH as LINK_PATH
from cronally.contract.mailed_links import REVOKE_OTHERS, LinkPurpose, MailedLink, UsedLink, token_of
from cronally.contract.operations import Operation
from cronally.contract.renderings import Rendering
from cronally.contract.replays import BackfillTrial, ReplayTrial
from cronally.contract.schedules import CronjobPreview, Explanation, Preview
from cronally.contract.service import Status
from cronally.contract.then import AS
from cronally.contract.verification import Verification
from cronally.contract.writing import from_json
from cronally.errors import InvalidRequest, NotFound, Unconfirmed, UnexpectedAnswer
from cronally.instants import format_duration, format_iso, from_datetime
from cronally.wire import IDEMPOTENCY_KEY_HEADER, SIGNUP_TOKEN_HEADER

T = TypeVar("T")
Json = Mapping[str, Any]

_ID: Final = re.compile(r"[0-9A-Za-z-]{1,100}")  # wire facts: what a path parameter may hold
_HEADER_TEXT: Final = re.compile(r"[!-~]{1,255}")
_MAY_BE_EMPTY: Final = frozenset(
    name
    for kind in (CronjobChange, ConnectionChange, KeyChange)
    for name, one in declared(kind).items()
    if one.attribute.may_be_empty
)

When = str | datetime
"""An instant."""
Texts = dict[str, str | list[str]]
"""Parameters as a form and a query write them; a list and a map as several texts."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and the cursor of the next part; None behind the last."""

    items: tuple[T, ...]
    next_cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A call of the API whose answer is read as a T."""

    method: str
    path: str
    read: Callable[[Json], T] = field(repr=False)
    """Reads the envelope of a success. Raises UnexpectedAnswer."""
    query: Texts = field(default_factory=dict, repr=False)
    form: Texts | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    signed: bool = True
    repeatable: bool = False
    """Whether carrying it out twice is the same as once: it may be sent again after a cut connection."""


def status() -> Call[Status]:
    """`GET /status/`, which is not signed."""
    return Call("GET", "/status/", _one(Status), signed=False, repeatable=True)


def signup(email: str, token: str | None = None) -> Call[Account]:
    """`POST /account/`, which is not signed."""
    headers = {} if token is None else {SIGNUP_TOKEN_HEADER: _header_text("token", token)}
    return Call("POST", "/account/", _made, form={"email": email}, headers=headers, signed=False)


def _made(envelope: Json) -> Account:
    """The account of a sign-up. Raises Unconfirmed where a link in a mail makes it."""
    answer = envelope.get("response")
    if isinstance(answer, dict) and answer.get("purpose") == LinkPurpose.SIGNUP:
        raise Unconfirmed(_one(MailedLink)(envelope).message)
    return _one(Account)(envelope)


def recover_account(email: str) -> Call[MailedLink]:
    """`POST /account/recover/`, which is not signed; each one sends a mail."""
    return Call("POST", "/account/recover/", _one(MailedLink), form={"email": email}, signed=False)


def confirm_email() -> Call[MailedLink]:
    """`POST /account/confirm/`; each one sends a mail."""
    return Call("POST", LINK_PATH, _one(MailedLink))


def use_link(link: str, *, revoke_others: bool = False) -> Call[UsedLink]:
    """`POST /account/confirm/<token>/`, which is not signed; a second one is answered with 404.

    :param link: as it stands in the mail, or its token
    """
    try:
        token = token_of(link)
    except ValueError as problem:
        raise InvalidRequest(fields={"link": str(problem)}) from None
    form = texts({REVOKE_OTHERS: revoke_others or None})
    return Call("POST", f"{LINK_PATH}{token}/", _one(UsedLink), form=form, signed=False)


def account() -> Call[Account]:
    """`GET /account/`"""
    return Call("GET", "/account/", _one(Account), repeatable=True)


def update_account(changes: Mapping[str, Any]) -> Call[Account]:
    """`PATCH /account/`; setting the same values twice is the same as once."""
    form = texts(changes)
    if not form:
        raise InvalidRequest("nothing to change: give at least one parameter, as `dead_letter`")
    return Call("PATCH", "/account/", _one(Account), form=form, repeatable=True)


def delete_account(email: str) -> Call[DeletedAccount]:
    """`DELETE /account/`, once: the key is unknown afterwards."""
    return Call("DELETE", "/account/", _one(DeletedAccount), query={"email": email})


def create_cronjob(parameters: Mapping[str, Any], idempotency_key: str | None = None) -> Call[Cronjob]:
    """`POST /cronjob/`, always with an Idempotency-Key, so that sending it again cannot make a second one."""
    form, headers = texts(parameters), _idempotent(idempotency_key)
    return Call("POST", "/cronjob/", _one(Cronjob), form=form, headers=headers, repeatable=True)


def cronjobs(page: Mapping[str, Any]) -> Call[Page[Cronjob]]:
    """`GET /cronjobs/`"""
    return Call("GET", "/cronjobs/", _page(Cronjob), query=texts(page), repeatable=True)


def cronjob(cronjob_id: str) -> Call[Cronjob]:
    """`GET /cronjob/<id>/`"""
    return Call("GET", _path(cronjob_id), _one(Cronjob), repeatable=True)


def update_cronjob(cronjob_id: str, changes: Mapping[str, Any]) -> Call[Cronjob]:
    """`PATCH /cronjob/<id>/`; setting the same values twice is the same as once."""
    form = texts(changes)
    if not form:
        raise InvalidRequest("nothing to change: give at least one parameter, as `name` or `cron`")
    return Call("PATCH", _path(cronjob_id), _one(Cronjob), form=form, repeatable=True)


def put_cronjob(name: str, parameters: Mapping[str, Any]) -> Call[Cronjob]:
    """`PUT /cronjob/by-name/<name>/`; putting twice is the same as once."""
    # A name of dots would be another path.
    escaped = quote(name, safe="").replace(".", "%2E")
    if not escaped:
        raise InvalidRequest(fields={"name": "a name has 1 to 256 characters"})
    form = texts(parameters)
    return Call("PUT", f"/cronjob/by-name/{escaped}/", _one(Cronjob), form=form, repeatable=True)


def many(
    action: str,
    filters: Mapping[str, Any],
    parameters: Mapping[str, Any],
    idempotency_key: str | None = None,
) -> Call[Operation]:
    """`POST /cronjobs/pause/`, or another of `contract.bulk.BULK`, always with an Idempotency-Key."""
    query, form, headers = texts(filters), texts(parameters), _idempotent(idempotency_key)
    path = f"/cronjobs/{action}/"
    return Call("POST", path, _one(Operation), query=query, form=form, headers=headers, repeatable=True)


def try_many(action: str, filters: Mapping[str, Any], parameters: Mapping[str, Any]) -> Call[Selection]:
    """The same with `dry_run`: it changes nothing."""
    query, form = texts(filters), texts({**parameters, "dry_run": True})
    return Call("POST", f"/cronjobs/{action}/", _one(Selection), query=query, form=form, repeatable=True)


def verify_cronjob(cronjob_id: str) -> Call[Verification]:
    """`POST /cronjob/<id>/verify/`; each one sends a message."""
    return Call("POST", f"{_path(cronjob_id)}verify/", _one(Verification))


def run_cronjob(
    cronjob_id: str, parameters: Mapping[str, Any], idempotency_key: str | None = None
) -> Call[Firing]:
    """`POST /cronjob/<id>/run/`, always with an Idempotency-Key, so that sending it again cannot make a second one."""
    path = f"{_path(cronjob_id)}run/"
    form, headers = texts(parameters), _idempotent(idempotency_key)
    return Call("POST", path, _one(Firing), form=form, headers=headers, repeatable=True)


def same_firing(firing: Firing) -> Call[Firing]:
    """`GET /account/firings/` of one firing as it stands now, with its attempts; of a deleted cron job too.

    Raises NotFound when the ledger does not have it any more.
    """
    query = texts({"cronjob_id": firing.cronjob_id, "scheduled_at": firing.scheduled_at, "attempts": True})
    page = _page(Firing)

    def read(envelope: Json) -> Firing:
        for found in page(envelope):
            if found.kind == firing.kind:
                return found
        raise NotFound("the ledger does not have this firing any more")

    return Call("GET", "/account/firings/", read, query=query, repeatable=True)


def replay_at(cronjob_id: str, scheduled_at: When, kind: str, as_: str | None = None) -> Call[Firing]:
    """`POST /cronjob/<id>/firings/<fire time>/replay/`; a second one is answered with 409, so it is not repeatable."""
    at = quote(_text("scheduled_at", scheduled_at), safe=":")
    form = texts({"kind": kind, AS: as_})
    return Call("POST", f"{_path(cronjob_id)}firings/{at}/replay/", _one(Firing), form=form)


def replay_firing(firing: Firing, as_: str | None = None) -> Call[Firing]:
    """The same for a firing that is known."""
    return replay_at(firing.cronjob_id, firing.scheduled_at, str(firing.kind), as_)


def replay_firings(
    filters: Mapping[str, Any], as_: str | None = None, idempotency_key: str | None = None
) -> Call[Operation]:
    """`POST /firings/replay/`, always with an Idempotency-Key, so that sending it again cannot replay twice."""
    form, headers = texts({**filters, AS: as_}), _idempotent(idempotency_key)
    return Call("POST", "/firings/replay/", _one(Operation), form=form, headers=headers, repeatable=True)


def try_replay(filters: Mapping[str, Any], as_: str | None = None) -> Call[ReplayTrial]:
    """The same with `dry_run`: it changes nothing."""
    form = texts({**filters, AS: as_, "dry_run": True})
    return Call("POST", "/firings/replay/", _one(ReplayTrial), form=form, repeatable=True)


def backfill_cronjob(
    cronjob_id: str, parameters: Mapping[str, Any], idempotency_key: str | None = None
) -> Call[Operation]:
    """`POST /cronjob/<id>/backfill/`, always with an Idempotency-Key."""
    path = f"{_path(cronjob_id)}backfill/"
    form, headers = texts(parameters), _idempotent(idempotency_key)
    return Call("POST", path, _one(Operation), form=form, headers=headers, repeatable=True)


def try_backfill(cronjob_id: str, parameters: Mapping[str, Any]) -> Call[BackfillTrial]:
    """The same with `dry_run`: it changes nothing."""
    form = texts({**parameters, "dry_run": True})
    return Call("POST", f"{_path(cronjob_id)}backfill/", _one(BackfillTrial), form=form, repeatable=True)


def pause_cronjob(cronjob_id: str, pause: Mapping[str, Any]) -> Call[Cronjob]:
    """`POST /cronjob/<id>/pause/`; pausing twice is the same as once."""
    return Call("POST", f"{_path(cronjob_id)}pause/", _one(Cronjob), form=texts(pause), repeatable=True)


def resume_cronjob(cronjob_id: str) -> Call[Cronjob]:
    """`POST /cronjob/<id>/resume/`; resuming twice is the same as once."""
    return Call("POST", f"{_path(cronjob_id)}resume/", _one(Cronjob), repeatable=True)


def delete_cronjob(cronjob_id: str) -> Call[Cronjob]:
    """`DELETE /cronjob/<id>/`; a second one is answered with 404, so it is not repeatable."""
    return Call("DELETE", _path(cronjob_id), _one(Cronjob))


def firings(cronjob_id: str, page: Mapping[str, Any]) -> Call[Page[Firing]]:
    """`GET /cronjob/<id>/firings/`, newest first."""
    path = f"{_path(cronjob_id)}firings/"
    return Call("GET", path, _page(Firing), query=texts(page), repeatable=True)


def account_firings(page: Mapping[str, Any]) -> Call[Page[Firing]]:
    """`GET /account/firings/`, newest first; those of a deleted cron job too."""
    return Call("GET", "/account/firings/", _page(Firing), query=texts(page), repeatable=True)


def dead_letters(page: Mapping[str, Any]) -> Call[Page[Firing]]:
    """`GET /account/dead-letters/`, newest first."""
    return Call("GET", "/account/dead-letters/", _page(Firing), query=texts(page), repeatable=True)


def discard_at(cronjob_id: str, scheduled_at: When, kind: str, note: str) -> Call[Firing]:
    """`POST /cronjob/<id>/firings/<fire time>/discard/`; discarding twice is the same as once."""
    at = quote(_text("scheduled_at", scheduled_at), safe=":")
    form = texts({"kind": kind, "note": note})
    return Call("POST", f"{_path(cronjob_id)}firings/{at}/discard/", _one(Firing), form=form, repeatable=True)


def discard_firing(firing: Firing, note: str) -> Call[Firing]:
    """The same for a firing that is known."""
    return discard_at(firing.cronjob_id, firing.scheduled_at, str(firing.kind), note)


def discard_firings(filters: Mapping[str, Any], note: str, *, dry_run: bool = False) -> Call[Discarded]:
    """`POST /account/dead-letters/discard/`; discarding twice is the same as once."""
    form = texts({**filters, "note": note, "dry_run": dry_run or None})
    return Call("POST", "/account/dead-letters/discard/", _one(Discarded), form=form, repeatable=True)


def calendars() -> Call[Page[Calendar]]:
    """`GET /calendars/`, without their dates."""
    return Call("GET", "/calendars/", _page(Calendar), repeatable=True)


def calendar(name: str) -> Call[Calendar]:
    """`GET /calendar/<name>/`"""
    return Call("GET", _calendar_path(name), _one(Calendar), repeatable=True)


def put_calendar(name: str, dates: Iterable[str]) -> Call[Calendar]:
    """`PUT /calendar/<name>/`; putting the same twice is the same as once."""
    # One text: a form has room for 100.
    form: Texts = {"dates": ",".join(dates)}
    return Call("PUT", _calendar_path(name), _one(Calendar), form=form, repeatable=True)


def delete_calendar(name: str) -> Call[Calendar]:
    """`DELETE /calendar/<name>/`; a second one is answered with 404, so it is not repeatable."""
    return Call("DELETE", _calendar_path(name), _one(Calendar))


def preview(query: Mapping[str, Any]) -> Call[Preview]:
    """`GET /schedule/preview/`, which is not signed."""
    path = "/schedule/preview/"
    return Call("GET", path, _one(Preview), query=texts(query), signed=False, repeatable=True)


def preview_cronjob(cronjob_id: str, window: Mapping[str, Any]) -> Call[CronjobPreview]:
    """`GET /cronjob/<id>/preview/`"""
    path = f"{_path(cronjob_id)}preview/"
    return Call("GET", path, _one(CronjobPreview), query=texts(window), repeatable=True)


def explain(cronjob_id: str, at: str | datetime) -> Call[Explanation]:
    """`GET /cronjob/<id>/explain/`"""
    path = f"{_path(cronjob_id)}explain/"
    return Call("GET", path, _one(Explanation), query=texts({"at": at}), repeatable=True)


def render(cronjob_id: str, at: When | None = None) -> Call[Rendering]:
    """`GET /cronjob/<id>/render/`"""
    path = f"{_path(cronjob_id)}render/"
    return Call("GET", path, _one(Rendering), query=texts({"at": at}), repeatable=True)


def forecast(hours: int | None = None) -> Call[Forecast]:
    """`GET /account/forecast/`"""
    query = texts({"hours": hours})
    return Call("GET", "/account/forecast/", _one(Forecast), query=query, repeatable=True)


def get_operation(operation_id: str) -> Call[Operation]:
    """`GET /operation/<id>/`"""
    return Call("GET", _operation_path(operation_id), _one(Operation), repeatable=True)


def list_operations(page: Mapping[str, Any]) -> Call[Page[Operation]]:
    """`GET /operations/`, newest first."""
    return Call("GET", "/operations/", _page(Operation), query=texts(page), repeatable=True)


def cancel_operation(operation_id: str) -> Call[Operation]:
    """`DELETE /operation/<id>/`; cancelling twice is the same as once."""
    return Call("DELETE", _operation_path(operation_id), _one(Operation), repeatable=True)


def freeze(parameters: Mapping[str, Any], idempotency_key: str | None = None) -> Call[Freeze]:
    """`POST /freeze/`, always with an Idempotency-Key, so that sending it again cannot make a second one."""
    form, headers = texts(parameters), _idempotent(idempotency_key)
    return Call("POST", "/freeze/", _one(Freeze), form=form, headers=headers, repeatable=True)


def list_freezes() -> Call[Page[Freeze]]:
    """`GET /freezes/`, those in force first."""
    return Call("GET", "/freezes/", _page(Freeze), repeatable=True)


def get_freeze(freeze_id: str) -> Call[Freeze]:
    """`GET /freeze/<id>/`"""
    return Call("GET", _freeze_path(freeze_id), _one(Freeze), repeatable=True)


def lift_freeze(freeze_id: str) -> Call[Freeze]:
    """`DELETE /freeze/<id>/`; lifting twice is the same as once."""
    return Call("DELETE", _freeze_path(freeze_id), _one(Freeze), repeatable=True)


def create_rule(parameters: Mapping[str, Any], idempotency_key: str | None = None) -> Call[AlertRule]:
    """`POST /rule/`, always with an Idempotency-Key, so that sending it again cannot make a second one."""
    form, headers = texts(parameters), _idempotent(idempotency_key)
    return Call("POST", "/rule/", _one(AlertRule), form=form, headers=headers, repeatable=True)


def list_rules() -> Call[Page[AlertRule]]:
    """`GET /rules/`, the oldest first."""
    return Call("GET", "/rules/", _page(AlertRule), repeatable=True)


def get_rule(rule_id: str) -> Call[AlertRule]:
    """`GET /rule/<id>/`"""
    return Call("GET", _rule_path(rule_id), _one(AlertRule), repeatable=True)


def update_rule(rule_id: str, changes: Mapping[str, Any]) -> Call[AlertRule]:
    """`PATCH /rule/<id>/`; changing twice is the same as once."""
    return Call("PATCH", _rule_path(rule_id), _one(AlertRule), form=texts(changes), repeatable=True)


def delete_rule(rule_id: str) -> Call[AlertRule]:
    """`DELETE /rule/<id>/`; a second one is answered with 404, so it is not repeatable."""
    return Call("DELETE", _rule_path(rule_id), _one(AlertRule))


def create_connection(parameters: Mapping[str, Any], idempotency_key: str | None = None) -> Call[Connection]:
    """`POST /connection/`, always with an Idempotency-Key, so that sending it again cannot make a second one."""
    form, headers = texts(parameters), _idempotent(idempotency_key)
    return Call("POST", "/connection/", _one(Connection), form=form, headers=headers, repeatable=True)


def list_connections(page: Mapping[str, Any]) -> Call[Page[Connection]]:
    """`GET /connections/`, by name."""
    return Call("GET", "/connections/", _page(Connection), query=texts(page), repeatable=True)


def get_connection(connection: str) -> Call[Connection]:
    """`GET /connection/<id or name>/`"""
    return Call("GET", _connection_path(connection), _one(Connection), repeatable=True)


def update_connection(connection: str, changes: Mapping[str, Any]) -> Call[Connection]:
    """`PATCH /connection/<id or name>/`; not repeatable, for it replaces secrets that may go on beside the new ones."""
    form = texts(changes)
    if not form:
        raise InvalidRequest("nothing to change: give at least one parameter, as `name` or `token`")
    return Call("PATCH", _connection_path(connection), _one(Connection), form=form)


def verify_connection(connection: str) -> Call[ConnectionVerification]:
    """`POST /connection/<id or name>/verify/`; each one asks somebody."""
    return Call("POST", f"{_connection_path(connection)}verify/", _one(ConnectionVerification))


def delete_connection(connection: str) -> Call[Connection]:
    """`DELETE /connection/<id or name>/`; a second one is answered with 404, so it is not repeatable."""
    return Call("DELETE", _connection_path(connection), _one(Connection))


def create_channel(parameters: Mapping[str, Any], idempotency_key: str | None = None) -> Call[Channel]:
    """`POST /channel/`, always with an Idempotency-Key, so that sending it again cannot make a second one."""
    form, headers = texts(parameters), _idempotent(idempotency_key)
    return Call("POST", "/channel/", _one(Channel), form=form, headers=headers, repeatable=True)


def list_channels(page: Mapping[str, Any]) -> Call[Page[Channel]]:
    """`GET /channels/`, by name."""
    return Call("GET", "/channels/", _page(Channel), query=texts(page), repeatable=True)


def get_channel(channel: str) -> Call[Channel]:
    """`GET /channel/<id or name>/`"""
    return Call("GET", _channel_path(channel), _one(Channel), repeatable=True)


def update_channel(channel: str, changes: Mapping[str, Any]) -> Call[Channel]:
    """`PATCH /channel/<id or name>/`; not repeatable, for another address gets a mail."""
    form = texts(changes)
    if not form:
        raise InvalidRequest("nothing to change: give at least one parameter, as `name` or `webhook_url`")
    return Call("PATCH", _channel_path(channel), _one(Channel), form=form)


def test_channel(channel: str) -> Call[Alert]:
    """`POST /channel/<id or name>/test/`; each one sends an alert."""
    return Call("POST", f"{_channel_path(channel)}test/", _one(Alert))


def confirm_channel(channel: str) -> Call[Channel]:
    """`POST /channel/<id or name>/confirm/`; each one sends a mail."""
    return Call("POST", f"{_channel_path(channel)}confirm/", _one(Channel))


def delete_channel(channel: str) -> Call[Channel]:
    """`DELETE /channel/<id or name>/`; a second one is answered with 404, so it is not repeatable."""
    return Call("DELETE", _channel_path(channel), _one(Channel))


def list_alerts(page: Mapping[str, Any]) -> Call[Page[Alert]]:
    """`GET /account/alerts/`, the newest first."""
    return Call("GET", "/account/alerts/", _page(Alert), query=texts(page), repeatable=True)


def get_alert(alert_id: str) -> Call[Alert]:
    """`GET /alert/<id>/`"""
    if not _ID.fullmatch(alert_id):
        raise InvalidRequest(fields={"alert_id": "an id has only letters, digits and `-`"})
    return Call("GET", f"/alert/{alert_id}/", _one(Alert), repeatable=True)


def add_host(host: str) -> Call[Host]:
    """`POST /account/hosts/`; adding twice is the same as once."""
    return Call("POST", "/account/hosts/", _one(Host), form={"host": host}, repeatable=True)


def list_hosts() -> Call[Page[Host]]:
    """`GET /account/hosts/`, by name."""
    return Call("GET", "/account/hosts/", _page(Host), repeatable=True)


def verify_host(host: str) -> Call[Host]:
    """`POST /account/hosts/<host>/verify/`; each one asks the host."""
    return Call("POST", f"{_host_path(host)}verify/", _one(Host))


def remove_host(host: str) -> Call[Host]:
    """`DELETE /account/hosts/<host>/`; a second one is answered with 404, so it is not repeatable."""
    return Call("DELETE", _host_path(host), _one(Host))


def list_audit(filters: Mapping[str, Any]) -> Call[Page[AuditRow]]:
    """`GET /account/audit/`, newest first."""
    return Call("GET", "/account/audit/", _page(AuditRow), query=texts(filters), repeatable=True)


def get_audit_ends() -> Call[AuditEnds]:
    """`GET /account/audit/ends/`"""
    return Call("GET", "/account/audit/ends/", _one(AuditEnds), repeatable=True)


def create_key(parameters: Mapping[str, Any]) -> Call[Key]:
    """`POST /key/`; not repeatable, for its secret is in this answer alone."""
    return Call("POST", "/key/", _one(Key), form=texts(parameters))


def list_keys() -> Call[Page[Key]]:
    """`GET /account/keys/`, in the order in which they were made."""
    return Call("GET", "/account/keys/", _page(Key), repeatable=True)


def get_key(key: str) -> Call[Key]:
    """`GET /key/<id or name>/`"""
    return Call("GET", _key_path(key), _one(Key), repeatable=True)


def update_key(key: str, changes: Mapping[str, Any]) -> Call[Key]:
    """`PATCH /key/<id or name>/`; repeatable, unless it renames: the name may be another's by then."""
    form = texts(changes)
    if not form:
        raise InvalidRequest("nothing to change: give at least one parameter, as `scopes` or `expires_at`")
    return Call("PATCH", _key_path(key), _one(Key), form=form, repeatable="name" not in form)


def rotate_key(key: str, parameters: Mapping[str, Any]) -> Call[Key]:
    """`POST /key/<id or name>/rotate/`; not repeatable, for the secret is in this answer alone."""
    return Call("POST", f"{_key_path(key)}rotate/", _one(Key), form=texts(parameters))


def revoke_key(key: str) -> Call[Key]:
    """`DELETE /key/<id or name>/`; a second one may mean another key of this name, so it is not repeatable."""
    return Call("DELETE", _key_path(key), _one(Key))


def texts(parameters: Mapping[str, Any]) -> Texts:
    """The parameters as the API reference writes them; those that are None are left out."""
    return {name: _texts(name, value) for name, value in parameters.items() if value is not None}


def _one(kind: type[T]) -> Callable[[Json], T]:
    """Reads the object under `response`."""
    return lambda envelope: from_json(kind, envelope.get("response"))


def _page(kind: type[T]) -> Callable[[Json], Page[T]]:
    """Reads the list under `response`, and the `next_cursor` beside it."""

    def read(envelope: Json) -> Page[T]:
        items = envelope.get("response")
        cursor = envelope.get("next_cursor")
        if not isinstance(items, list) or not (cursor is None or isinstance(cursor, str)):
            raise UnexpectedAnswer("the server's answer holds no list; check the URL")
        return Page(tuple([from_json(kind, item) for item in items]), cursor)

    return read


def _path(cronjob_id: str) -> str:
    """The path of a cron job. Raises InvalidRequest for an id that would become another path."""
    if not _ID.fullmatch(cronjob_id):
        raise InvalidRequest(fields={"cronjob_id": "an id has only letters, digits and `-`"})
    return f"/cronjob/{cronjob_id}/"


def _calendar_path(name: str) -> str:
    """The path of a calendar. Raises InvalidRequest for a name that would become another path."""
    if not NAME.fullmatch(name):
        raise InvalidRequest(fields={"name": "a name has 1 to 64 letters, digits, `-` and `_`"})
    return f"/calendar/{name}/"


def _operation_path(operation_id: str) -> str:
    """The path of an operation. Raises InvalidRequest for an id that would become another path."""
    if not _ID.fullmatch(operation_id):
        raise InvalidRequest(fields={"operation_id": "an id has only letters, digits and `-`"})
    return f"/operation/{operation_id}/"


def _rule_path(rule_id: str) -> str:
    """The path of a rule. Raises InvalidRequest for an id that would become another path."""
    if not _ID.fullmatch(rule_id):
        raise InvalidRequest(fields={"rule_id": "an id has only letters, digits and `-`"})
    return f"/rule/{rule_id}/"


def _freeze_path(freeze_id: str) -> str:
    """The path of a freeze. Raises InvalidRequest for an id that would become another path."""
    if not _ID.fullmatch(freeze_id):
        raise InvalidRequest(fields={"freeze_id": "an id has only letters, digits and `-`"})
    return f"/freeze/{freeze_id}/"


def _connection_path(connection: str) -> str:
    """The path of a connection. Raises InvalidRequest for what would become another path."""
    if not NAME_FORM.fullmatch(connection):
        complaint = "an id or a name has 1 to 64 letters, digits, `-` and `_`"
        raise InvalidRequest(fields={"connection": complaint})
    return f"/connection/{connection}/"


def _channel_path(channel: str) -> str:
    """The path of a channel. Raises InvalidRequest for what would become another path."""
    if not CHANNEL_FORM.fullmatch(channel):
        raise InvalidRequest(fields={"channel": "an id or a name has 1 to 64 letters, digits, `-` and `_`"})
    return f"/channel/{channel}/"


def _host_path(host: str) -> str:
    """The path of a host. Raises InvalidRequest for what would become another path."""
    if not re.fullmatch(PATH_FORM, host) or not host.strip("."):
        raise InvalidRequest(fields={"host": "a host is a name, with a port unless that is 443"})
    return f"/account/hosts/{host}/"


def _key_path(key: str) -> str:
    """The path of an API key. Raises InvalidRequest for what would become another path."""
    if not NAME_FORM.fullmatch(key):
        raise InvalidRequest(fields={"key": "an id or a name has 1 to 64 letters, digits, `-` and `_`"})
    return f"/key/{key}/"


def _idempotent(key: str | None) -> dict[str, str]:
    """The header with an idempotency key; a random one where none is given."""
    return {IDEMPOTENCY_KEY_HEADER: str(uuid4()) if key is None else _header_text("idempotency_key", key)}


def _header_text(name: str, text: str) -> str:
    if not _HEADER_TEXT.fullmatch(text):
        raise InvalidRequest(fields={name: "1 to 255 visible ASCII characters, without spaces"})
    return text


def _texts(name: str, value: Any) -> str | list[str]:
    match value:
        case list() | tuple() | set() | frozenset() | dict() if not value and name in _MAY_BE_EMPTY:
            return ""
        case list() | tuple() | set() | frozenset():
            return [_text(name, item) for item in value]
        case dict() if not value and name in _MAY_BE_EMPTY:
            return ""
        case dict():
            return [f"{key}: {text}" for key, text in value.items()]
        case _:
            return _text(name, value)


def _text(name: str, value: Any) -> str:
    try:
        match value:
            case bool():
                return "true" if value else "false"
            case datetime():
                return format_iso(from_datetime(value))
            case timedelta():
                return format_duration(value // timedelta(microseconds=1))
            case _:
                return str(value)
    except ValueError as error:
        raise InvalidRequest(fields={name: str(error)}) from None
