"""The operator's commands on accounts: carried out on the database, or by the server that holds its file.

Invariant: a command is the same wherever it is carried out: by this process, on PostgreSQL beside running servers and
on a file that nobody has open, or by the server on SQLite that has it open.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import uvloop

from cronally import errors
from cronally.audit_chain import Who
from cronally.contract.firings import FiringQuery
from cronally.contract.forecasts import ForecastRange
from cronally.contract.freezes import NewFreeze
from cronally.contract.operator import MAX_LISTED, AccountState
from cronally.contract.reading import Reading
from cronally.contract.writing import Answer, to_json
from cronally.operations import Caller, Operations
from cronally.operations.lists import Page
from cronally.role import Role
from cronally.server import control
from cronally.server import keys as sealing
from cronally.server.environment import read_settings
from cronally.server.resources import is_sqlite, make_operations, open_targets, required_keys
from cronally.server.settings import Settings
from cronally.store import Store, examining, open_as_it_is, parse_url
from cronally.store.account_states import Position
from cronally.wire import NIL_UUID

MAX_DIGITS: Final = 18
Json = dict[str, Any]


class Admin:
    """Carries out commands on a store that is open."""

    def __init__(self, store: Store, operations: Operations) -> None:
        self._store = store
        self._operations = operations
        self._overseeing = operations.overseeing

    async def carry_out(self, command: str, parameters: Mapping[str, Any]) -> Json:
        """The envelope of a command's answer. Raises `errors.CronallyError`."""
        try:
            asked = COMMANDS[command]
            inspect.signature(asked).bind(self, **parameters)
        except (KeyError, TypeError):
            raise errors.InvalidRequest(
                f"The server does not know the command {command[:40]!a} in this form: is it of the same version?"
            ) from None
        answer = await asked(self, **parameters)
        if isinstance(answer, dict):
            return {"status": "success", "response": answer}
        if isinstance(answer, Page):
            items = [to_json(one) for one in answer.items]
            return {"status": "success", "response": items, "next_cursor": answer.next_cursor}
        return {"status": "success", "response": to_json(answer)}

    async def _accounts(
        self, *, state: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Any]:
        try:
            wanted = None if state is None else AccountState(state)
        except ValueError:
            raise errors.InvalidRequest(f"The state is none of {', '.join(AccountState)}.") from None
        return await self._overseeing.list_accounts(
            wanted, _read_cursor(cursor), max(1, min(limit, MAX_LISTED))
        )

    async def _account(self, *, account: str) -> Answer:
        return await self._overseeing.get_account(account)

    async def _suspend(self, *, account: str, reason: str) -> Answer:
        return await self._overseeing.suspend(account, reason)

    async def _resume(self, *, account: str) -> Answer:
        return await self._overseeing.resume(account)

    async def _delete(self, *, account: str, now: bool = False) -> Answer:
        return await self._operations.closing.delete(account, at_once=now)

    async def _restore(self, *, account: str) -> Answer:
        return await self._operations.closing.restore(account)

    async def _limits(self, *, account: str, changes: Mapping[str, int | None]) -> Answer:
        return await self._overseeing.limit(account, changes)

    async def _examine(self) -> Json:
        """What the database says of itself, and both clocks at that moment."""
        found = await self._store.transact(examining.examine)
        now = await self._store.read_clock()
        return {**found, "now": now, "machine": time.time_ns() // 1000}

    async def _notice(
        self, *, text: str | None = None, until: str | None = None, clear: bool = False
    ) -> Answer:
        if clear:
            return await self._operations.noticing.clear()
        if text is None:
            return await self._operations.noticing.read()
        return await self._operations.noticing.set(text, until)

    async def _audit(self, *, account: str, limit: int = 100, cursor: str | None = None) -> Page[Any]:
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= MAX_DIGITS):
            raise errors.InvalidRequest("The cursor is none of this list.")
        before = None if cursor is None else int(cursor)
        return await self._overseeing.list_audit(account, before, max(1, limit))

    async def _firings(self, *, account: str, query: Mapping[str, Any]) -> Page[Any]:
        caller = await self._as(account)
        return await self._operations.list_firings(caller, Reading(FiringQuery, query))

    async def _forecast(self, *, account: str, hours: int) -> Answer:
        caller = await self._as(account)
        return await self._operations.forecasts.forecast(
            caller, Reading(ForecastRange, {"hours": str(hours)})
        )

    async def _freeze(self, *, account: str, freeze: Mapping[str, Any]) -> Answer:
        caller = await self._as(account)
        return await self._operations.freezing.freeze(caller, Reading(NewFreeze, freeze))

    async def _freezes(self, *, account: str) -> Page[Any]:
        return await self._operations.freezing.list_freezes(await self._as(account))

    async def _unfreeze(self, *, account: str, freeze_id: str) -> Answer:
        caller = await self._as(account)
        return await self._operations.freezing.lift(caller, freeze_id)

    async def _as(self, meant: str) -> Caller:
        """The operator, at work on an account as with a key of it; the key that rows name is nobody's."""
        account = await self._overseeing.get_account(meant)
        return Caller(account.account_id, NIL_UUID, b"", who=Who.OPERATOR)

    async def _keys(self, *, account: str) -> Page[Any]:
        return await self._overseeing.list_keys(account)

    async def _new_key(self, *, account: str) -> Answer:
        return await self._overseeing.make_key(account)


COMMANDS: Final[Mapping[str, Callable[..., Awaitable[Answer | Page[Any] | Json]]]] = {
    "accounts": Admin._accounts,
    "account": Admin._account,
    "suspend": Admin._suspend,
    "resume": Admin._resume,
    "delete": Admin._delete,
    "restore": Admin._restore,
    "limits": Admin._limits,
    "examine": Admin._examine,
    "notice": Admin._notice,
    "audit": Admin._audit,
    "firings": Admin._firings,
    "forecast": Admin._forecast,
    "freeze": Admin._freeze,
    "freezes": Admin._freezes,
    "unfreeze": Admin._unfreeze,
    "keys": Admin._keys,
    "new-key": Admin._new_key,
}
"""What an operator may ask for, by name, each with parameters of JSON."""


def run(command: str, **parameters: Any) -> Json:
    """Carry out a command where the settings say that the database is; the envelope of its answer.

    Raises `errors.CronallyError` with what to do when it cannot be carried out.
    """
    settings = read_settings(roles=[Role.SCHEDULER])
    given = {name: value for name, value in parameters.items() if value is not None}
    socket = None
    if is_sqlite(settings):
        url = parse_url(settings.database_url.get_secret_value())
        socket = control.path_of(Path(url.database or ""))
        envelope = control.ask(socket, command, given)
        if envelope is not None:
            return _checked(envelope)

    async def work() -> Json:
        async with _opened(settings) as admin:
            return await admin.carry_out(command, given)

    try:
        return uvloop.run(work())
    except errors.StoreError as problem:
        if socket is None or control.ask(socket, "account", {"account": ""}) is None:
            raise
        # A server that started meanwhile has the file now.
        raise errors.Unavailable(f"A server has just opened the database: {problem} Try again.") from None


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Admin]:
    store = await open_as_it_is(settings.database_url.get_secret_value())
    try:
        vault = sealing.open_vault(await required_keys(settings, store))
        await sealing.check(store, vault)
        async with open_targets(settings) as targets:
            yield Admin(store, make_operations(settings, store, vault, targets))
    finally:
        await store.close()


def _checked(envelope: Json) -> Json:
    """The envelope of a success. Raises what an envelope of an error says."""
    if envelope.get("status") == "success":
        return envelope
    problem = envelope.get("error") or {}
    kind = next((one for one in _kinds(errors.RequestError) if one.code == problem.get("code")), None)
    raise (kind or errors.CronallyError)(problem.get("message"))


def _kinds(kind: type[errors.RequestError]) -> list[type[errors.RequestError]]:
    return [kind, *(below for one in kind.__subclasses__() for below in _kinds(one))]


def _read_cursor(text: str | None) -> Position | None:
    if text is None:
        return None
    at, _, account_id = text.partition("/")
    try:
        return int(at), account_id
    except ValueError:
        raise errors.InvalidRequest("The cursor is none of this list.") from None
