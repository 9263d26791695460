"""Destinations of test messages, with the credentials of the cron job or of its connection.

Invariant: secrets are opened here for one test message that the account asks for, and kept nowhere.
"""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.templates import NotFilled
from cronally.operations.stored_parameters import opened
from cronally.operations.using import place_of
from cronally.store import connections
from cronally.store.connections import StoredConnection
from cronally.targets.connected import CONNECTION_ID, Held, NotConnected, connect
from cronally.targets.filled import filled
from cronally.targets.target import Destination, Message
from cronally.vault import Purpose, SealContext, Vault
from cronally.wire import NIL_UUID


class Completing:
    """Puts credentials to destinations. Every method runs inside the caller's transaction."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def complete(
        self,
        connection: Connection,
        account_id: str,
        destination: Destination,
        used: StoredConnection | None,
        *,
        name: str,
        timezone: str,
    ) -> Destination:
        """A destination of an account with what its connection holds, if it uses one.

        Raises Unavailable, Conflict, and InvalidRequest where placeholders cannot be filled in.

        :param name: the cron job's, which may be a part of what is sent, as its time zone may
        """
        destination = replace(destination, account_id=account_id)
        if used is None:
            return destination
        sealed = connections.get_secret(connection, account_id, used.connection_id)
        secret = self.read_secret(sealed, place_of(used, "connection"))
        public = {**json.loads(used.parameters), CONNECTION_ID: used.connection_id}
        held = Held(used.kind, public, secret)
        try:
            # What it is with its placeholders filled in must go with the connection too.
            connect(filled(destination, Message(NIL_UUID, NIL_UUID, name, 0, 0, NIL_UUID), timezone), held)
            return connect(destination, held)
        except NotConnected as problem:
            raise errors.Conflict(str(problem)) from None
        except NotFilled as problem:
            raise errors.InvalidRequest(str(problem)) from None

    def read_secret(self, sealed: bytes | None, place: SealContext) -> dict[str, str]:
        """The secret parameters of a row. Raises Unavailable if the server has not the key."""
        return opened(self._vault, sealed, place, Purpose.VERIFY)
