"""Nonces: a request whose signature has one is carried out once.

Invariant: a nonce is used up before the request does anything, and never because the database did not answer.
"""

from __future__ import annotations

from sqlalchemy import Connection

from cronally import errors
from cronally.operations.caller import Caller
from cronally.store import Store, nonces


class Nonces:
    """The nonces of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def use(self, caller: Caller, nonce: bytes, until: int) -> bool:
        """Use a nonce up; False when it was before. Raises Unavailable where that cannot be known.

        :param until: the instant until which its request could be accepted
        """
        tries = 0

        def work(connection: Connection) -> bool:
            nonlocal tries
            tries += 1
            return nonces.insert_nonce(connection, caller.account_id, nonce, until)

        is_new = await self._store.note(work)
        if not is_new and tries > 1:
            # A connection broke, and the row may be of the try before. A client signs anew for its next try.
            raise errors.Unavailable()
        return is_new
