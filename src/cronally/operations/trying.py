"""Trying out the credentials of a connection: AWS is asked whose they are, a web server is called with them.

Invariant: it is bounded as test messages are (`verifying`), together with them. No more is told of an answer than of a
firing's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.audit import Action
from cronally.contract.connections import ConnectionVerification, Kind
from cronally.operations.caller import Caller
from cronally.operations.completing import Completing
from cronally.operations.connecting import existing
from cronally.operations.deeds import Deed
from cronally.operations.parts import change
from cronally.operations.using import base_of, place_of
from cronally.operations.verifying import Verifier, asked_hosts
from cronally.store import Signal, Store, accounts, connection_health, connections
from cronally.store.audit_subjects import Subject
from cronally.store.connections import StoredConnection
from cronally.targets.connected import CONNECTION_ID
from cronally.targets.target import Delivered, Target
from cronally.targets.trying import TryingTarget

_ASKED: Final[Mapping[str, str]] = {Kind.AWS: "sns", Kind.HTTP: "http"}
"""The target that finds it out, by the kind of the connection."""


class Trying:
    """Tries out the connections of one store."""

    def __init__(
        self, store: Store, targets: Mapping[str, Target], completing: Completing, verifier: Verifier
    ) -> None:
        self._store = store
        self._targets = targets
        self._completing = completing
        self._verifier = verifier

    async def verify(self, caller: Caller, meant: str) -> ConnectionVerification:
        """What is said to the credentials of a connection. Raises NotFound, RateLimited, and Unavailable if the server
        has not the key that they are sealed with."""

        def read(connection: Connection) -> tuple[StoredConnection, dict[str, str]]:
            found = existing(connection, caller.account_id, meant)
            sealed = connections.get_secret(connection, caller.account_id, found.connection_id)
            return found, self._completing.read_secret(sealed, place_of(found, "connection"))

        found, secret = await self._store.transact(read)
        target = self._targets.get(_ASKED.get(found.kind, ""))
        if not isinstance(target, TryingTarget):  # of what was stored by another server
            raise errors.Unavailable(f"This server has nothing for connections of the kind {found.kind}.")
        host = target.host(base_of(found)) if found.kind == Kind.HTTP else None
        public = {**json.loads(found.parameters), CONNECTION_ID: found.connection_id}
        hosts = asked_hosts(target, host, secret)
        tried, seconds = await self._verifier.ask(
            caller.account_id, hosts, lambda: target.try_credentials(public, secret, caller.account_id)
        )
        outcome = tried.outcome
        if tried.accepted and found.unhealthy_since is not None:
            await self._recover(caller, found, well=isinstance(outcome, Delivered))
        return ConnectionVerification(
            accepted=tried.accepted,
            outcome=type(outcome).__name__.lower(),
            detail=None if isinstance(outcome, Delivered) else outcome.detail,
            http_status=tried.status,
            aws_account=tried.aws_account,
            aws_arn=tried.aws_arn,
            duration_ms=int(seconds * 1000),
        )

    async def _recover(self, caller: Caller, found: StoredConnection, *, well: bool) -> None:
        """Let firings go out with a connection again whose credentials are accepted.

        :param well: whether that is known; else one firing is sent to try them
        """
        now = await self._store.clock()

        def work(connection: Connection) -> int:
            accounts.lock_account(connection, found.account_id)
            if not well:
                return connection_health.try_soon(connection, found.connection_id, now)
            return connection_health.recover(
                connection, found.account_id, found.connection_id, found.version, now
            )

        deed = Deed(caller, Action.CONNECTION_VERIFY, Subject.CONNECTION, found.connection_id)
        if await change(self._store, deed, now, work):
            await self._store.announce(Signal.FIRINGS)
