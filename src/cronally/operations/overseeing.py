"""What the operator does with accounts: finds them, suspends and resumes them, and makes a key for one that has none.

Invariant: what changes how an account stands is one transaction under the lock of the account's row, in force with its
commit: the next claim and the next key that is looked up go by it. Nothing here is for tenants.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.audit_chain import Change as AuditChange
from cronally.audit_chain import Entry, Row, Who
from cronally.contract.audit import Action
from cronally.contract.keys import MAX_KEYS, SPARE_KEYS
from cronally.contract.operator import MAX_LISTED, AccountState, OverseenAccount, OverseenEntry, OverseenKey
from cronally.contract.values import MAX_EMAIL, check_note
from cronally.contract.writing import make_answer
from cronally.instants import format_iso
from cronally.operations.accounts import email_key
from cronally.operations.key_rules import counts, free_name
from cronally.operations.keys import secret_place
from cronally.operations.limits import LimitsInForce, change_own
from cronally.operations.lists import Page
from cronally.store import Store, account_states, api_keys, audit
from cronally.store.account_states import Position, StoredState
from cronally.store.api_keys import ApiKey
from cronally.store.audit import record_audit
from cronally.store.audit_subjects import Subject
from cronally.vault import Vault
from cronally.wire import UUID

Change = Callable[[Connection, StoredState, int], StoredState]
"""What becomes of an account that is locked, at an instant. Raises Conflict where it cannot."""

OPERATORS: Final = "operator"
"""What a key is called that the operator has made."""


class Overseeing:
    """The accounts of one store, for its operator."""

    def __init__(self, store: Store, vault: Vault, limits: LimitsInForce) -> None:
        self._store = store
        self._vault = vault
        self._limits = limits

    async def list_accounts(
        self, state: AccountState | None, before: Position | None, limit: int
    ) -> Page[OverseenAccount]:
        """Accounts in a state, or all, newest first."""
        limit = min(limit, MAX_LISTED)

        def work(connection: Connection) -> tuple[list[StoredState], dict[str, int]]:
            found = account_states.list_states(connection, state, before, limit + 1)
            counts = account_states.count_cronjobs(connection, [one.account_id for one in found[:limit]])
            return found, counts

        found, counts = await self._store.transact(work)
        more = f"{found[limit - 1].created_at}/{found[limit - 1].account_id}" if len(found) > limit else None
        return Page([self._answer(one, counts) for one in found[:limit]], more)

    async def get_account(self, meant: str) -> OverseenAccount:
        """The account that is meant. Raises NotFound."""
        return await self._store.transact(lambda connection: self._read(connection, find(connection, meant)))

    async def suspend(self, meant: str, reason: str) -> OverseenAccount:
        """Let nothing of an account fire, and refuse its requests with this reason; a second time changes the reason.

        Raises NotFound, and Conflict for one that is deleted.
        """
        try:
            check_note(reason)
        except ValueError as problem:
            raise errors.InvalidRequest(f"The reason {problem}.") from None

        def suspend(_connection: Connection, before: StoredState, now: int) -> StoredState:
            refuse_deleted(before)
            since = now if before.suspended_at is None else before.suspended_at
            return replace(before, suspended_at=since, suspended_note=reason)

        return await self.change(meant, "account.suspend", suspend)

    async def resume(self, meant: str) -> OverseenAccount:
        """Let an account go on, from the next fire time; one that is active stays as it is.

        Raises NotFound, and Conflict for one that is deleted.
        """

        def resume(_connection: Connection, before: StoredState, _now: int) -> StoredState:
            refuse_deleted(before)
            return replace(before, suspended_at=None, suspended_note=None)

        return await self.change(meant, "account.resume", resume)

    async def limit(self, meant: str, changes: Mapping[str, int | None]) -> OverseenAccount:
        """Set limits of an account's own, or with None give it the server's again.

        Raises NotFound, InvalidRequest, and Conflict for one that is deleted for good.
        """

        def limit(_connection: Connection, before: StoredState, _now: int) -> StoredState:
            if before.state is AccountState.PURGED:
                refuse_deleted(before)
            return replace(before, limits=change_own(before.limits, changes))

        return await self.change(meant, "account.limit", limit)

    async def change(self, meant: str, action: str, change: Change) -> OverseenAccount:
        """Change how the account that is meant stands, in one transaction, which its audit log tells of.

        :param action: what is done, as the log calls it
        """
        now = await self._store.clock()

        def work(connection: Connection) -> OverseenAccount:
            account_id = find(connection, meant)
            before = account_states.lock_state(connection, account_id)
            if before is None:
                raise _unknown(meant)
            after = change(connection, before, now)
            if after != before:
                account_states.record_state(connection, after)
                record_change(connection, Who.OPERATOR, action, before, after, now)
            return self._read(connection, account_id)

        return await self._store.transact(work)

    async def list_keys(self, meant: str) -> Page[OverseenKey]:
        """The API keys of an account, newest first, without their secrets. Raises NotFound."""

        def work(connection: Connection) -> list[ApiKey]:
            return api_keys.list_keys(connection, find(connection, meant))[::-1][:MAX_LISTED]

        return Page([make_answer(OverseenKey, row) for row in await self._store.transact(work)], None)

    async def list_audit(self, meant: str, before: int | None, limit: int) -> Page[OverseenEntry]:
        """The audit log of an account, newest first, from the row before the one of the number `before`.

        Raises NotFound.
        """

        def work(connection: Connection) -> audit.Part:
            return audit.list_audit(connection, find(connection, meant), before, min(limit, MAX_LISTED))

        part = await self._store.transact(work)
        return Page([_entry(row) for row in part.rows], None if part.last is None else str(part.last))

    async def make_key(self, meant: str) -> OverseenKey:
        """Make a further API key for an account, whose owner has lost theirs; its secret is shown this once.

        Raises NotFound, Conflict for one that is deleted, and Forbidden when it has too many.
        """
        now, api_key, secret = await self._store.clock(), str(uuid4()), os.urandom(32)

        def work(connection: Connection) -> ApiKey:
            account_id = find(connection, meant)
            before = account_states.lock_state(connection, account_id)
            if before is None:
                raise _unknown(meant)
            refuse_deleted(before)
            known = api_keys.list_keys(connection, account_id)
            if sum(counts(each, now) for each in known) >= MAX_KEYS + SPARE_KEYS:
                raise errors.Forbidden(
                    f"The account has {MAX_KEYS + SPARE_KEYS} API keys, as many as it may have; its owner has to revoke"
                    " one."
                )
            sealed = self._vault.seal(secret, secret_place(account_id, api_key))
            made = ApiKey(api_key, account_id, sealed, now, name=free_name(OPERATORS, known, now))
            api_keys.insert_api_key(connection, made)
            entry = Entry(account_id, now, Who.OPERATOR, Action.KEY_CREATE, Subject.API_KEY, api_key)
            record_audit(connection, entry)
            return made

        made = await self._store.transact(work)
        api_secret = base64.b64encode(secret).decode("ascii")
        return make_answer(OverseenKey, made, api_secret=api_secret)

    def _read(self, connection: Connection, account_id: str) -> OverseenAccount:
        stored = account_states.get_state(connection, account_id)
        if stored is None:
            raise _unknown(account_id)
        return self._answer(stored, account_states.count_cronjobs(connection, [account_id]))

    def _answer(self, stored: StoredState, counts: Mapping[str, int]) -> OverseenAccount:
        return make_answer(
            OverseenAccount,
            stored,
            state=stored.state,
            cronjobs=counts.get(stored.account_id, 0),
            reason=stored.suspended_note,
            limits=self._limits.of(stored.limits),
            own_limits=sorted(json.loads(stored.limits or "{}")),
        )


def find(connection: Connection, meant: str) -> str:
    """The id of the account that is meant: by its id, its email address, or one of its API keys. Raises NotFound."""
    text = meant.strip()
    if not text.isprintable() or len(text) > MAX_EMAIL:
        raise _unknown("of this name")
    uuid = text.lower() if UUID.fullmatch(text.lower()) else None
    found = account_states.find_accounts(connection, uuid, email_key(text), uuid)
    if not found:
        raise _unknown(meant)
    return found[0]


def _entry(row: Row) -> OverseenEntry:
    changes = [f"{one.name}: {_shown(one.before)} -> {_shown(one.after)}" for one in row.entry.changes]
    return make_answer(OverseenEntry, row.entry, number=row.number, hash=row.hash, changes=changes)


def _shown(text: str | None) -> str:
    return "none" if text is None else text


def record_change(
    connection: Connection,
    who: Who,
    action: str,
    before: StoredState,
    after: StoredState,
    now: int,
    api_key: str | None = None,
) -> None:
    """Tell in an account's audit log how its state has changed: the last thing that the transaction does."""
    told = ((name, _told(before), _told(after)) for name, _told in _TOLD.items())
    changes = tuple(AuditChange(name, was, became) for name, was, became in told if was != became)
    account_id = before.account_id
    record_audit(
        connection, Entry(account_id, now, who, action, "account", account_id, changes, api_key=api_key)
    )


def _instant(at: int | None) -> str | None:
    return None if at is None else format_iso(at)


_TOLD: Final[Mapping[str, Callable[[StoredState], str | None]]] = {
    "state": lambda state: state.state,
    "reason": lambda state: state.suspended_note,
    "purge_at": lambda state: _instant(state.purge_at),
    "limits": lambda state: state.limits,
}
"""What the audit log tells of an account, as texts."""


def refuse_deleted(before: StoredState) -> None:
    """Raise Conflict for an account that is deleted."""
    if before.state is AccountState.PURGED:
        raise errors.Conflict("The account is deleted for good.")
    if before.state is AccountState.DELETED:
        raise errors.Conflict("The account is deleted; `cronally admin restore` takes that back.")


def _unknown(meant: str) -> errors.NotFound:
    return errors.NotFound(
        f"There is no account {meant[:100]}; give its id, its email address or one of its API keys, as"
        " `cronally admin accounts` lists them."
    )
