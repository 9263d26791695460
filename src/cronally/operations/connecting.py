"""Connections: credentials of an account that its cron jobs share.

Invariant: under the account's lock. No cron job uses a connection that there is not, so none that is used is deleted,
or has another `base_url`. Secrets are sealed on their way in; they are opened here only to keep beside new ones what a
change does not replace.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import connections as contract
from cronally.contract.connection_requests import ConnectionChange, ConnectionPage, NewConnection
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT
from cronally.contract.writing import make_answer
from cronally.instants import format_duration, to_datetime
from cronally.operations import cursor as cursors
from cronally.operations.caller import Caller
from cronally.operations.connection_rules import NOTHING, Contents, check_contents, with_keys
from cronally.operations.grant_rules import TOKEN_URL, replaces
from cronally.operations.key_pages import shown_signing
from cronally.operations.lists import Page, read_cursor
from cronally.operations.parts import change
from cronally.operations.quotas import Quotas
from cronally.operations.repeats import Repeats, check_key, other_request
from cronally.operations.stored_parameters import encode, opened, seal
from cronally.operations.tls_rules import NOT_AFTER, SUBJECTS
from cronally.operations.using import place_of
from cronally.store import Signal, Store, accounts, channels, connection_health, connections
from cronally.store.connections import Standing, StoredConnection
from cronally.targets.connected import ACCESS_KEY_ID, EXTERNAL_ID, ROLE_ARN, TIMEOUT, URL_PARAMETER
from cronally.targets.http.signing_keys import KEYS
from cronally.targets.target import Target
from cronally.vault import Purpose, Vault

NO_CONNECTION: Final = "There is no such connection; GET /connections/ lists those of the account."
_NEW: Final = "a new connection"
_LISTED: Final = "connections"
_SHOWN: Final = 10
"""So many of the cron jobs that use a connection are named."""


class Connecting:
    """The connections of one store."""

    def __init__(
        self, store: Store, vault: Vault, targets: Mapping[str, Target], quotas: Quotas, repeats: Repeats
    ) -> None:
        self._store = store
        self._vault = vault
        self._targets = targets
        self._quotas = quotas
        self._repeats = repeats

    async def create(
        self, caller: Caller, reading: Reading[NewConnection], *, idempotency_key: str | None = None
    ) -> contract.Connection:
        """Create a connection, or answer with the one that the same idempotency key made in the last 24 h.

        Raises InvalidRequest (also for a name that another one has), and Forbidden when the account has as many as it
        may.
        """
        check_key(reading, idempotency_key)
        now = await self._store.clock()
        contents = NOTHING
        if "kind" in reading.values:
            contents = _with_external_id(
                check_contents(reading, reading.values["kind"], NOTHING, self._targets, now)
            )
        await self._look(caller, reading)
        reading.raise_complaints()
        contents = with_keys(NOTHING, contents, goes_on=False, stays=False)
        wanted = StoredConnection(
            connection_id=str(uuid4()),
            account_id=caller.account_id,
            name=reading.values["name"],
            kind=reading.values["kind"],
            parameters=encode(contents.public),
            version=1,
            created_at=now,
            updated_at=now,
            updated_by=caller.api_key,
        )
        create = partial(
            self._create,
            wanted=wanted,
            secret=contents.secret,
            sent=reading.parameters,
            idempotency_key=idempotency_key,
        )
        return _answer(*await change(self._store, create))

    def _create(
        self,
        connection: Connection,
        *,
        wanted: StoredConnection,
        secret: Mapping[str, str],
        sent: Mapping[str, Any],
        idempotency_key: str | None,
    ) -> tuple[StoredConnection, Standing]:
        account_id, now = wanted.account_id, wanted.created_at
        accounts.lock_account(connection, account_id)
        known_by = {"connection": True, **sent}
        if idempotency_key is not None:
            used = self._repeats.find(connection, account_id, idempotency_key, known_by, now, _NEW)
            if used is not None:
                made = connections.get_connection(connection, account_id, used.cronjob_id)
                if made is None:
                    raise other_request(_NEW)
                return made, _standing(connection, made, now)
        self._quotas.check_one_more_connection(connection, account_id)
        _check_name(connection, account_id, wanted.name)
        connections.insert_connection(connection, wanted, self._seal(wanted, "connection", secret))
        self._quotas.weigh(connection, account_id)
        if idempotency_key is not None:
            self._repeats.record(connection, account_id, idempotency_key, known_by, now, wanted.connection_id)
        return wanted, Standing()

    async def get(self, caller: Caller, meant: str) -> contract.Connection:
        """A connection, by its id or its name. Raises NotFound."""
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[StoredConnection, Standing]:
            found = existing(connection, caller.account_id, meant)
            return found, _standing(connection, found, now)

        return _answer(*await self._store.transact(work))

    async def list_connections(
        self, caller: Caller, reading: Reading[ConnectionPage]
    ) -> Page[contract.Connection]:
        """The account's connections by name: the part that `limit` and `cursor` name."""
        position = read_cursor(reading, _LISTED, 0, cursors.is_text)
        reading.raise_complaints()
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        after = "" if position is None else position[0]
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[list[StoredConnection], Mapping[str, Standing]]:
            found = connections.list_connections(connection, caller.account_id, after, limit + 1)
            return found, connections.read_standings(connection, found[:limit], now)

        found, standings = await self._store.transact(work)
        items = [_answer(one, standings[one.connection_id]) for one in found[:limit]]
        cursor = cursors.encode(_LISTED, (items[-1].name,)) if len(found) > limit else None
        return Page(items, cursor)

    async def update(
        self, caller: Caller, meant: str, reading: Reading[ConnectionChange]
    ) -> contract.Connection:
        """Change what was sent of a connection. The next attempt of each firing is made with it.

        Raises NotFound, InvalidRequest, Conflict for another base_url while cron jobs use it, and Unavailable if the
        server has not the key that its secrets are sealed with.
        """
        now = await self._store.clock()
        await self._look(caller, reading)
        update = partial(self._update, caller=caller, meant=meant, reading=reading, now=now)
        answer = _answer(*await change(self._store, update))
        if answer.health != contract.Health.OK:
            await self._store.announce(Signal.FIRINGS)
        return answer

    def _update(
        self,
        connection: Connection,
        *,
        caller: Caller,
        meant: str,
        reading: Reading[ConnectionChange],
        now: int,
    ) -> tuple[StoredConnection, Standing]:
        account_id = caller.account_id
        accounts.lock_account(connection, account_id)
        before = existing(connection, account_id, meant)
        if reading.is_empty:
            return before, _standing(connection, before, now)
        held = Contents(json.loads(before.parameters), self._open(connection, before))
        contents = _with_external_id(check_contents(reading, before.kind, held, self._targets, now))
        overlap = reading.values.get("overlap")
        replaced = replaces(held.secret, contents.secret) or _key_id(contents) != _key_id(held)
        if overlap and not replaced and "overlap" not in reading.complaints:
            reading.complain("overlap", ValueError("goes with a new secret, and none is sent; leave it out"))
        moves = contents.public.get("base_url") != held.public.get("base_url")
        if overlap and moves and "overlap" not in reading.complaints:
            problem = "does not go with a new base_url: the former secrets were given for the one before; leave it out"
            reading.complain("overlap", ValueError(problem))
        name = reading.values.get("name", before.name)
        reading.raise_complaints()
        if name != before.name:
            _check_name(connection, account_id, name)
        if moves:
            refuse_used(connection, before, "it gets another base_url")
        lasts = overlap if replaced and overlap else 0
        ends = not lasts and (replaced or moves or overlap == 0)
        contents = with_keys(held, contents, goes_on=bool(lasts), stays=not lasts and not ends)
        after = replace(
            before,
            name=name,
            parameters=encode(contents.public),
            version=before.version + 1,
            updated_at=now,
            updated_by=caller.api_key,
        )
        connections.replace_connection(connection, after, self._seal(after, "connection", contents.secret))
        if lasts:
            key_id = _key_id(held)
            former = {**held.secret} if key_id is None else {**held.secret, ACCESS_KEY_ID: key_id}
            sealed = self._seal(after, "connection_previous", former)
            if sealed is not None:
                connections.keep_previous(connection, after, sealed, now + lasts)
        elif ends:
            connections.forget_previous(connection, account_id, after.connection_id)
        if (replaced or contents.secret != held.secret) and before.unhealthy_since is not None:
            connection_health.try_soon(connection, after.connection_id, now)
            after = existing(connection, account_id, after.connection_id)
        self._quotas.weigh(connection, account_id)
        return after, _standing(connection, after, now)

    async def delete(self, caller: Caller, meant: str) -> contract.Connection:
        """Delete a connection and erase its secrets. Raises NotFound, and Conflict for one that cron jobs use."""

        def work(connection: Connection) -> StoredConnection:
            accounts.lock_account(connection, caller.account_id)
            found = existing(connection, caller.account_id, meant)
            refuse_used(connection, found, "it is deleted")
            if named := channels.list_using(connection, caller.account_id, found.connection_id):
                raise errors.Conflict(
                    f"Channels use the connection: {', '.join(named)}; before it is deleted, let them use another one."
                )
            connections.delete_connection(connection, found)
            return found

        return _answer(await change(self._store, work), Standing())

    async def _look(self, caller: Caller, reading: Reading[Any]) -> None:
        """Complain of a URL that can never be called."""
        for name in ("base_url", TOKEN_URL):
            url = reading.values.get(name)
            if url is None:
                continue
            found = await self._targets[contract.Kind.HTTP].look({URL_PARAMETER: url}, caller.account_id)
            for complaint in found.complaints.values():
                reading.complain(name, ValueError(complaint))

    def _seal(self, stored: StoredConnection, table: str, secret: Mapping[str, str]) -> bytes | None:
        return seal(self._vault, secret, place_of(stored, table))

    def _open(self, connection: Connection, stored: StoredConnection) -> dict[str, str]:
        sealed = connections.get_secret(connection, stored.account_id, stored.connection_id)
        return opened(self._vault, sealed, place_of(stored, "connection"), Purpose.CHANGE)


def existing(connection: Connection, account_id: str, meant: str) -> StoredConnection:
    """The account's connection with this id or of this name. Raises NotFound."""
    found = connections.get_connection(connection, account_id, meant)
    if found is None:
        raise errors.NotFound(NO_CONNECTION)
    return found


def refuse_used(connection: Connection, stored: StoredConnection, before: str) -> None:
    """Raise Conflict, which names some of them, where cron jobs use a connection."""
    users = connections.list_users(connection, stored.account_id, stored.connection_id, _SHOWN + 1)
    if users:
        raise errors.Conflict(
            f"Cron jobs use the connection: {_named(users)}; before {before}, let them use another one, or none."
        )


def _named(users: Sequence[tuple[str, str]]) -> str:
    named = ", ".join(f"{cronjob_id} ({called})" for cronjob_id, called in users[:_SHOWN])
    return named + (" and others" if len(users) > _SHOWN else "")


def _check_name(connection: Connection, account_id: str, name: str) -> None:
    if connections.get_connection(connection, account_id, name) is not None:
        complaint = "is the name of another connection; give another one"
        raise errors.InvalidRequest(f"name: {complaint}", fields={"name": complaint})


def _with_external_id(contents: Contents) -> Contents:
    """With an external id of its own, where it has a role. It stays for as long as the connection is there: nobody
    else is ever given it, and nobody chooses one."""
    if ROLE_ARN not in contents.public or EXTERNAL_ID in contents.public:
        return contents
    made = f"cronally-{secrets.token_urlsafe(24)}"
    return replace(contents, public={**contents.public, EXTERNAL_ID: made})


def _key_id(contents: Contents) -> str | None:
    return contents.public.get(ACCESS_KEY_ID)


def _standing(connection: Connection, stored: StoredConnection, now: int) -> Standing:
    return connections.read_standings(connection, [stored], now)[stored.connection_id]


def _answer(stored: StoredConnection, standing: Standing) -> contract.Connection:
    shown = json.loads(stored.parameters)
    if "header_names" in shown:
        shown["header_names"] = tuple(shown["header_names"])
    if SUBJECTS in shown:
        shown[SUBJECTS] = tuple(shown[SUBJECTS])
    if NOT_AFTER in shown:
        shown[NOT_AFTER] = to_datetime(shown[NOT_AFTER])
    if TIMEOUT in shown:
        shown[TIMEOUT] = format_duration(shown[TIMEOUT])
    until = standing.previous_until
    shown |= shown_signing(stored.connection_id, shown, former=until is not None)
    shown.pop(KEYS, None)
    return make_answer(
        contract.Connection,
        stored,
        used_by=standing.used_by,
        previous_until=None if until is None else to_datetime(until),
        health=contract.Health.OK if stored.unhealthy_since is None else contract.Health.UNHEALTHY,
        **shown,
    )
