"""What strangers say of firings: a word with the token of an acknowledgement URL.

Invariant: who has a token can say how that one firing ended, and learns nothing by it: there is one answer to a token
of a firing that the ledger has, and one to everything else. A token is opened before the database is asked.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from cronally import errors, failpoints
from cronally.ack_links import AckLinks
from cronally.acknowledgement import MAX_BODY, Word, word_by
from cronally.contract.acknowledgements import Received
from cronally.firing import Key, firing_id
from cronally.store import Signal, Store, acknowledgements, hearing
from cronally.store.acknowledgements import Body
from cronally.vault import SealContext, Vault

PLACE = ("acknowledgement_body", "secret")


class Meant(NamedTuple):
    """What a token stands for."""

    key: Key
    attempts_before: int


class Acknowledging:
    """Hears receivers."""

    def __init__(self, store: Store, vault: Vault, links: AckLinks | None) -> None:
        self._store = store
        self._vault = vault
        self._links = links

    def meant(self, token: str) -> Meant:
        """What a token stands for. Raises NotFound for one that this server never made."""
        found = None if self._links is None else self._links.read(token)
        if found is None:
            raise errors.NotFound()
        return Meant(*found)

    async def hear(self, meant: Meant, word: Word, exit_code: int | None, body: bytes) -> Received:
        """Take a word down. Raises NotFound where the ledger does not have the firing any more.

        :param body: what came with it, empty if nothing
        """
        received = Received(received=word_by(word, exit_code).value)
        if self._links is not None and self._links.is_test(meant.key):
            return received
        now = await self._store.clock()

        def work(connection: Connection) -> hearing.Heard | None:
            heard = hearing.hear(
                connection,
                meant.key,
                meant.attempts_before,
                word,
                now,
                exit_code=exit_code,
                with_body=bool(body),
            )
            if heard is not None and heard.keeps_body:
                place = SealContext(heard.account_id, *PLACE, firing_id(*meant.key))
                kept = Body(now, len(body) > MAX_BODY, self._vault.seal(body[-MAX_BODY:], place))
                acknowledgements.record_body(connection, heard.account_id, meant.key, kept)
            return heard

        heard = await self._store.transact(work)
        if heard is None:
            raise errors.NotFound()
        failpoints.reach("acknowledge.after_commit")
        if heard.freed:
            await self._store.announce(Signal.FIRINGS)
        return received
