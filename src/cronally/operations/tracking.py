"""The operations of an account: how one begins, is shown, listed and cancelled.

Invariant: an account has at most `MAX_RUNNING` operations that run, counted under its lock, and at most `MAX_KEPT`
altogether. What an operation has done stays done, whatever becomes of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import operations as contract
from cronally.contract.operations import OperationPage, Problem
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT
from cronally.contract.writing import make_answer
from cronally.operations import cursor as cursors
from cronally.operations.caller import Caller
from cronally.operations.lists import Page, read_cursor, that_fit
from cronally.operations.repeats import Repeats
from cronally.operations.restricting import encode_tags
from cronally.store import Signal, Store, accounts, background
from cronally.store.background import Operation

MAX_RUNNING: Final = 5
MAX_KEPT: Final = 1000
NO_OPERATION: Final = "There is no such operation; GET /operations/ lists those of the account."
_OPERATIONS: Final = "operations"
_NEW: Final = "a new operation"


class Tracking:
    """Keeps the operations of one store."""

    def __init__(self, store: Store, repeats: Repeats) -> None:
        self._store = store
        self._repeats = repeats

    async def find(
        self, caller: Caller, action: str, sent: Mapping[str, Any], *, now: int, idempotency_key: str
    ) -> Operation | None:
        """The operation that an idempotency key has begun; None if none.

        :param sent: as for `start`

        Raises InvalidRequest for a key that came with other parameters.
        """
        find = partial(
            self._begun,
            account_id=caller.account_id,
            known_by=_known_by(caller, action, sent),
            idempotency_key=idempotency_key,
            now=now,
        )
        return await self._store.transact(find)

    def _begun(
        self,
        connection: Connection,
        *,
        account_id: str,
        known_by: Mapping[str, Any],
        idempotency_key: str,
        now: int,
    ) -> Operation | None:
        used = self._repeats.find(connection, account_id, idempotency_key, known_by, now, _NEW)
        return None if used is None else get_kept(connection, account_id, used.cronjob_id)

    async def start(
        self,
        caller: Caller,
        action: str,
        parameters: Mapping[str, Any],
        *,
        now: int,
        total: int | None = None,
        idempotency_key: str | None = None,
        sent: Mapping[str, Any] | None = None,
        claimed_until: int = 0,
    ) -> tuple[Operation, bool]:
        """Begin an operation; it, and False if the same idempotency key had begun it before.

        :param action: the name of an `Action`
        :param parameters: what the action needs, as JSON has it. What stands under `filters` and `parameters` is shown
        :param sent: by which the same request is known again, with the same key; `parameters` by default
        :param claimed_until: when another node may work on it, if the caller begins with it himself

        Raises RateLimited where it would be one too many, InvalidRequest for a key that came with other parameters.
        """
        operation = Operation(
            operation_id=str(uuid4()),
            account_id=caller.account_id,
            action=action,
            parameters=background.encode(parameters),
            created_by=caller.api_key,
            created_at=now,
            total=total,
            updated_at=now,
            leased_until=claimed_until,
            within=encode_tags(caller),
        )
        known_by = _known_by(caller, action, parameters if sent is None else sent)
        begun, is_new = await self._store.transact(partial(self._start, operation, known_by, idempotency_key))
        if is_new and claimed_until <= now:
            await self._store.announce(Signal.OPERATIONS)
        return begun, is_new

    def _start(
        self,
        operation: Operation,
        known_by: Mapping[str, Any],
        idempotency_key: str | None,
        connection: Connection,
    ) -> tuple[Operation, bool]:
        account_id, now = operation.account_id, operation.created_at
        accounts.lock_account(connection, account_id)
        if idempotency_key is not None:
            begun = self._begun(
                connection,
                account_id=account_id,
                known_by=known_by,
                idempotency_key=idempotency_key,
                now=now,
            )
            if begun is not None:
                return begun, False
        if background.count_running(connection, account_id) >= MAX_RUNNING:
            raise errors.RateLimited(
                f"The account has {MAX_RUNNING} operations that run, as many as this server allows; wait for one of"
                " them, or cancel it.",
                retry_after=1,
            )
        background.forget_operations(connection, account_id, MAX_KEPT - 1)
        background.insert_operation(connection, operation)
        if idempotency_key is not None:
            self._repeats.record(
                connection, account_id, idempotency_key, known_by, now, operation.operation_id
            )
        return operation, True

    async def get_operation(self, caller: Caller, operation_id: str) -> contract.Operation:
        """An operation. Raises NotFound."""
        get = partial(_seen, caller=caller, operation_id=operation_id)
        return operation_answer(await self._store.transact(get))

    async def cancel_operation(self, caller: Caller, operation_id: str) -> contract.Operation:
        """End an operation; one that has ended stays as it is. Raises NotFound."""
        now = await self._store.clock()

        def work(connection: Connection) -> Operation:
            _seen(connection, caller, operation_id)
            background.cancel_operation(connection, caller.account_id, operation_id, now)
            return get_kept(connection, caller.account_id, operation_id)

        return operation_answer(await self._store.transact(work))

    async def list_operations(
        self, caller: Caller, reading: Reading[OperationPage]
    ) -> Page[contract.Operation]:
        """The account's operations, newest first: the part that `limit` and `cursor` name, or less of it, as a page of
        cron jobs."""
        position = read_cursor(reading, _OPERATIONS, 1)
        reading.raise_complaints()
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        before = None if position is None else (position[0], position[1][0])
        found = await self._store.transact(
            lambda connection: background.list_operations(
                connection, caller.account_id, before, limit + 1, encode_tags(caller)
            )
        )
        count = that_fit([len((one.parameters + one.problems).encode()) for one in found[:limit]])
        items = [operation_answer(operation) for operation in found[:count]]
        if len(found) <= count:
            return Page(items, None)
        last = found[count - 1]
        return Page(items, cursors.encode(_OPERATIONS, (last.created_at, last.operation_id)))


def _known_by(caller: Caller, action: str, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a request that begins an operation from another one."""
    return {"operation": action, **sent, **({"within": [*caller.tags]} if caller.tags else {})}


def operation_answer(operation: Operation) -> contract.Operation:
    """An operation as it is shown."""
    sent = json.loads(operation.parameters)
    return make_answer(
        contract.Operation,
        operation,
        filters=_texts(sent.get("filters")),
        parameters=_texts(sent.get("parameters")),
        problems=tuple([Problem(**problem) for problem in json.loads(operation.problems)]),
    )


def _texts(values: Mapping[str, Any] | None) -> dict[str, str] | None:
    """What was sent, each as a form would send it."""
    return {name: _text(value) for name, value in values.items()} if values else None


_WRITTEN: Final[Mapping[type, Callable[[Any], str]]] = {
    bool: lambda value: str(value).lower(),
    list: lambda value: ",".join(map(_text, value)),
    dict: lambda value: ",".join(f"{name}: {text}" for name, text in value.items()),
}


def _text(value: Any) -> str:
    return _WRITTEN.get(type(value), str)(value)


def _seen(connection: Connection, caller: Caller, operation_id: str) -> Operation:
    """An operation, for a key that is restricted to tags one that such a key began. Raises NotFound."""
    operation = get_kept(connection, caller.account_id, operation_id)
    if caller.tags and operation.within != encode_tags(caller):
        raise errors.NotFound(NO_OPERATION)
    return operation


def get_kept(connection: Connection, account_id: str, operation_id: str) -> Operation:
    """The account's operation. Raises NotFound."""
    operation = background.get_operation(connection, account_id, operation_id)
    if operation is None:
        raise errors.NotFound(NO_OPERATION)
    return operation
