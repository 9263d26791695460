"""Which connection a cron job uses, and what that means for its parameters.

Invariant: a cron job that uses a connection has no credentials of its own in place of which the connection's are, and
calls nothing but what is below the connection's `base_url`. Another account's connection is one that there is not.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import DEFAULT
from cronally.contract.connections import Kind
from cronally.contract.reading import Reading
from cronally.contract.used_connections import given, kind_for
from cronally.store import connections
from cronally.store.connections import StoredConnection
from cronally.store.cronjobs import Cronjob
from cronally.targets.below import is_below, whole_url
from cronally.targets.connected import URL_PARAMETER
from cronally.vault import SealContext

USED: Final = "connection"
"""The parameter that names it."""


def find_used(
    connection: Connection,
    account_id: str,
    reading: Reading[Any],
    cronjob: Cronjob | None = None,
    *,
    whole: bool = False,
) -> StoredConnection | None:
    """The connection that a cron job is to use; None for none. Complains of one that there is not.

    A path that was sent as its URL becomes the URL below the connection's; done again, it stays so.

    :param cronjob: the one that is changed, if one is
    :param whole: whether what was not sent gets its default, instead of staying
    """
    used = _find(connection, account_id, reading, cronjob, whole)
    if used is not None and used.kind == Kind.HTTP and URL_PARAMETER in reading.values:
        base, url = base_of(used), reading.values[URL_PARAMETER]
        reading.check(URL_PARAMETER, lambda: whole_url(base, url))
    return used


def _find(
    connection: Connection,
    account_id: str,
    reading: Reading[Any],
    cronjob: Cronjob | None,
    whole: bool,
) -> StoredConnection | None:
    meant = reading.values.get(USED)
    if meant == DEFAULT:
        return None
    if meant is not None:
        found = connections.get_connection(connection, account_id, meant)
        if found is None:
            complaint = "names a connection that there is not; GET /connections/ lists those of the account"
            reading.complain(USED, ValueError(complaint))
        return found
    if cronjob is None or whole or cronjob.connection_id is None:
        return None
    if reading.values.get("delivery_type", cronjob.target) != cronjob.target:
        return None  # it belongs to the target, as its parameters do
    return connections.get_connection(connection, account_id, cronjob.connection_id)


def check_used(reading: Reading[Any], target: str, used: StoredConnection | None) -> Collection[str]:
    """Complain of a connection that is of no use to a target, and of parameters in place of which it is.

    Returns the names of these.
    """
    if used is None:
        return ()
    wanted = kind_for(target)
    if wanted != used.kind:
        advice = "leave it out" if wanted is None else f"give one of the kind {wanted}"
        complaint = f"is of the kind {used.kind}, and of no use to delivery_type={target}; {advice}"
        reading.complain(USED, ValueError(complaint))
        return ()
    provided = given(target)
    for name in reading.parameters.keys() & provided.keys():
        reading.complain(
            name, ValueError("comes from the connection; leave it out, or send connection=default")
        )
    return provided.keys()


def provided_by(target: str, used: StoredConnection | None) -> Collection[str]:
    """The parameters of a target in place of which a connection is."""
    return () if used is None else given(target).keys()


def check_below(reading: Reading[Any], values: Mapping[str, Any], used: StoredConnection | None) -> None:
    """Complain of a connection to which the URL that stays does not belong."""
    if (
        used is None
        or used.kind != Kind.HTTP
        or URL_PARAMETER not in values
        or URL_PARAMETER in reading.values
    ):
        return
    if URL_PARAMETER not in reading.complaints and not is_below(base_of(used), values[URL_PARAMETER]):
        complaint = f"has the base_url {base_of(used)}, and {URL_PARAMETER} is not below it; send that too"
        reading.complain(USED, ValueError(complaint))


def base_of(used: StoredConnection) -> str:
    """Where what a connection of the kind `http` holds may go."""
    base: str = json.loads(used.parameters)["base_url"]
    return base


def require_same(connection: Connection, account_id: str, used: StoredConnection | None) -> None:
    """Raise Conflict where a connection is gone, or leads elsewhere, since it was read. The caller has locked the
    account."""
    if used is None:
        return
    now = connections.get_connection(connection, account_id, used.connection_id)
    if now is None or (used.kind == Kind.HTTP and base_of(now) != base_of(used)):
        raise errors.Conflict(
            "The connection was changed or deleted at the same time; look at it, and try again."
        )


def place_of(used: StoredConnection, table: str) -> SealContext:
    """The place that a sealed secret of a connection belongs to."""
    return SealContext(used.account_id, table, "secret", used.connection_id)
