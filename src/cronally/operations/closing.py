"""How an account is deleted, by its owner or by the operator, and how that is taken back.

Invariant: from the commit of the deletion on its keys are unknown and nothing of it fires, on any node; nothing else is
changed until the time to restore it is over, so a restored account is what it was. Who has a tenant's key cannot
shorten that time: a stolen key destroys nothing for good.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from cronally import errors
from cronally.audit_chain import Who
from cronally.contract.accounts import AccountDeletion, DeletedAccount
from cronally.contract.operator import AccountState, OverseenAccount
from cronally.contract.reading import Reading, refusal
from cronally.contract.writing import make_answer
from cronally.instants import format_iso
from cronally.operations.accounts import email_key
from cronally.operations.caller import Caller
from cronally.operations.overseeing import Overseeing, record_change
from cronally.store import Store, account_states
from cronally.store.account_states import StoredState


class Closing:
    """Deletes and restores the accounts of one store."""

    def __init__(self, store: Store, grace: int, overseeing: Overseeing) -> None:
        """
        :param grace: how long an account can be restored, in microseconds
        """
        self._store = store
        self._grace = grace
        self._overseeing = overseeing

    async def delete_own(self, caller: Caller, reading: Reading[AccountDeletion]) -> DeletedAccount:
        """Delete the caller's account. Raises InvalidRequest where `email` is not the account's."""
        reading.raise_complaints()
        now = await self._store.clock()

        def work(connection: Connection) -> StoredState:
            before = account_states.lock_state(connection, caller.account_id)
            if before is None or before.deleted_at is not None:
                raise errors.NotFound("There is no such account.")
            if email_key(reading.values["email"]) != email_key(before.email):
                raise refusal(
                    "email", "is not the account's own; send the address of the account that is to be deleted"
                )
            after = self._deleted(before, now, self._grace)
            account_states.record_state(connection, after)
            record_change(connection, Who.KEY, "account.delete", before, after, now, caller.api_key)
            return after

        return make_answer(DeletedAccount, await self._store.transact(work))

    async def delete(self, meant: str, *, at_once: bool = False) -> OverseenAccount:
        """Delete an account, as its owner would; with `at_once` without time to restore it, also where it is deleted.

        Raises NotFound, and Conflict for one that is deleted already, or for good.
        """

        def delete(_connection: Connection, before: StoredState, now: int) -> StoredState:
            if before.state is AccountState.PURGED:
                raise errors.Conflict("The account is deleted for good.")
            if before.deleted_at is None:
                return self._deleted(before, now, 0 if at_once else self._grace)
            if not at_once:
                raise errors.Conflict("The account is deleted already; --now ends the time to restore it.")
            return replace(before, purge_at=before.deleted_at)

        return await self._overseeing.change(meant, "account.delete", delete)

    async def restore(self, meant: str) -> OverseenAccount:
        """Take a deletion back: the account is what it was, and goes on from its next fire times.

        Raises NotFound, and Conflict for one that is not deleted, or whose time to be restored is over.
        """

        def restore(_connection: Connection, before: StoredState, now: int) -> StoredState:
            if before.deleted_at is None:
                raise errors.Conflict("The account is not deleted.")
            if before.purge_at is None or before.purge_at <= now:
                ended = "" if before.purge_at is None else f", until {format_iso(before.purge_at)}"
                raise errors.Conflict(f"The time in which the account could be restored is over{ended}.")
            return replace(before, deleted_at=None, purge_at=None)

        return await self._overseeing.change(meant, "account.restore", restore)

    def _deleted(self, before: StoredState, now: int, grace: int) -> StoredState:
        return replace(before, deleted_at=now, purge_at=now + grace)
